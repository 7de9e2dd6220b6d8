from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from studies.report.terminal import NOTHING_CONFIRMED, print_report, print_summary
from studies.spec import StudySpec
from tests.studies._dummies import make_choice, make_confirmation, make_events, make_spec
from tests.studies.report._documents import make_document, make_statistics

RUN = Path("results/mine/20250101T000000Z-abc123")
LONG = ("temporal_ensembling", "confidence_penalty", "label_smoothing", "cross_entropy")


def printed(document: dict[str, Any], *, everything: bool = True) -> list[str]:
    console = Console(width=80, file=io.StringIO(), color_system=None, markup=False, highlight=False)
    (print_report if everything else print_summary)(console, document, RUN, opened="2025-01-02T03:04:05+00:00")
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def make_long() -> dict[str, Any]:
    """Long names, everything measured, noise, a baseline and early stopping."""
    values: dict[str, Any] = {method: (0.7 + 0.05 * index, 0.71 + 0.06 * index, None) for index, method in enumerate(LONG)}
    arm = f"{LONG[0]}/asymmetric_12.3457"
    corrupted = make_confirmation(arm, 0, 3, 0.9, corrupted={"gaussian_noise": [0.1, 0.2]})
    corrupted[-1]["metrics"] |= {"test_corrupted_accuracy": 0.5, "test_corrupted_ece": 0.25}
    changes = {"conditions": ["asymmetric:0.123457"], "baseline": "random", "stopping": "pareto_halving"}
    return make_statistics(values, more=corrupted, **changes)


def test_the_report_has_every_part() -> None:
    text = "\n".join(printed(make_long()))
    parts = ["confirmed on test", "methods compared on test", "operating points", "verdicts", "ranking", "winner's curse", "budgets"]
    parts += ["hypervolume", "settings that mattered", "early stopping", "opened once, at 2025-01-02T03:04:05+00:00"]
    assert [part for part in parts if part not in text] == []


def test_the_end_of_a_run_has_what_is_confirmed_compared_and_recommended() -> None:
    text = "\n".join(printed(make_long(), everything=False))
    assert all(part in text for part in ("confirmed on test", "methods compared on test", "operating points"))
    assert not any(part in text for part in ("verdicts", "budgets (", "winner's curse", "settings that mattered"))


def test_that_other_settings_may_stand_otherwise_is_said_only_of_other_settings() -> None:
    methods = ("cross_entropy", "bsd")
    spec = make_spec(methods=list(methods), trials=2, confirm={"seeds": 2})
    events = make_events(*((f"{method}/none", number, 0.75 + 0.01 * number, 0.1 + 0.1 * number) for method in methods for number in (0, 1)))
    roles = {("cross_entropy/none", 1): "best_accuracy, knee", ("bsd/none", 1): "best_accuracy, best_ece"}
    events.append(make_choice(roles | {("bsd/none", 0): "knee"}))
    for (arm, number), replicate in itertools.product([*roles, ("bsd/none", 0)], (0, 1)):
        events += make_confirmation(arm, number, replicate, 0.7 + 0.01 * replicate)
    differing = " ".join(printed(make_document(events, spec), everything=False))
    assert "By their knee settings they may stand otherwise" in differing
    assert "stand otherwise" not in " ".join(printed(make_statistics(), everything=False))  # all roles are held by one setting


def few_trials() -> dict[str, Any]:
    return make_document(make_events(("bsd/none", 0, None, 0.0)), make_spec(methods=["bsd"]))


@pytest.mark.parametrize(
    "document",
    [make_long(), make_statistics(), make_statistics({"bsd": (0.5,)}), few_trials()],
    ids=["long", "usual", "one seed, one method", "nothing finished"],
)
def test_no_line_but_a_command_is_wider_than_eighty_columns(document: dict[str, Any]) -> None:
    lines = printed(document)
    assert max(len(line) for line in lines if " -m studies retrain " not in line) <= 80
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("spec", [make_spec(), make_spec(confirm={"seeds": 2})], ids=["confirm: none", "interrupted"])
def test_a_run_that_confirmed_nothing_says_so_and_shows_the_rest(spec: StudySpec) -> None:
    events = make_events(("cross_entropy/none", 0, 0.8, 0.2), ("bsd/none", 0, 0.9, 0.1))
    lines = printed(make_document(events, spec))
    assert NOTHING_CONFIRMED in " ".join(" ".join(lines).split())
    assert not any("confirmed on test" in line or line.startswith("methods compared") for line in lines)
    assert any("not confirmed" in line for line in lines)
    assert any(line.startswith("budgets") for line in lines)


def test_brackets_in_names_are_shown_as_they_are() -> None:
    document = make_statistics()
    for point in document["confirmed"]:
        point["method"] = "[red]m[/red]"
    document["operating_points"][0]["reason"] = "[bold]why"
    document["operating_points"][0]["trial_id"] = None
    text = "\n".join(printed(document))
    assert "[red]m[/red]" in text
    assert "[bold]why" in text
