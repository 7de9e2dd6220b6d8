from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from studies.front import UNEQUAL
from studies.report.recommended import print_operating_points, render_winners_curse, retrain_command
from tests.studies._dummies import make_events, make_spec, render
from tests.studies.report._documents import make_document, make_statistics


def printed(document: dict[str, Any], run: Path = Path("results/mine/run")) -> list[str]:
    console = Console(width=80, file=io.StringIO(), color_system=None, markup=False, highlight=False)
    print_operating_points(console, document, run)
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_the_command_retrains_the_trial_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = shlex.split(retrain_command(tmp_path / "my results" / "run", "bsd-none-0003"))
    assert command[1:] == ["-m", "studies", "retrain", "my results/run", "bsd-none-0003"]
    assert Path(command[0]).name.startswith("python")


def test_each_point_has_its_confirmed_values_and_an_unbroken_command() -> None:
    lines = printed(make_statistics())
    assert lines[1] == "condition none"
    knee = next(index for index, line in enumerate(lines) if line.startswith("  knee"))
    assert lines[knee].rstrip() == "  knee, no_worse_than_cross_entropy: bsd-none-0000"  # all searched alike: the first of the table
    assert lines[knee + 1].rstrip() == "    on test: accuracy 81.2 ±3.1 %, ECE 11.0 ±2.5 %"
    assert lines[knee + 2].endswith("-m studies retrain results/mine/run bsd-none-0000")


def test_points_of_one_trial_share_its_command() -> None:
    lines = printed(make_statistics(confirm={"seeds": 3, "max_ece": 0.5}))
    assert any(line.startswith("  knee, accurate_and_calibrated") for line in lines)


def test_a_missing_point_says_why() -> None:
    text = " ".join(" ".join(printed(make_statistics())).split())
    assert "accurate_and_calibrated: none; no trial has an ECE of at most 5 %; the lowest is of" in text


def test_what_was_not_confirmed_is_said_to_be_so() -> None:
    lines = printed(make_document(make_events(("bsd/none", 0, 0.9, 0.1)), make_spec(methods=["bsd"])))
    assert "    not confirmed" in [line.rstrip() for line in lines]


def test_a_point_whose_trainings_all_failed_says_so() -> None:
    lines = printed(make_statistics({"bsd": (None, None)}))
    assert "    on test: no finished training" in [line.rstrip() for line in lines]


def test_a_repeat_of_a_confirmed_setting_names_what_was_confirmed() -> None:
    document = make_statistics()
    document["operating_points"][0]["confirmed_as"] = "bsd-none-0007"
    text = " ".join(" ".join(printed(document)).split())
    assert "on test: accuracy 81.2 ±3.1 %, ECE 11.0 ±2.5 %; bsd-none-0007 was confirmed, which has the same settings" in text


def test_points_of_methods_with_unequal_budgets_are_marked() -> None:
    assert UNEQUAL in printed(make_statistics(more=make_events(("bsd/none", 1, 0.5, 0.5))))[1]
    assert UNEQUAL not in "".join(printed(make_statistics()))
    unfinished = make_statistics(confirm={"seeds": 4})
    assert (unfinished["budgets"]["equal"], UNEQUAL in "".join(printed(unfinished))) == (False, False)  # the search chose them


def test_the_shrinkage_is_shown_in_points_with_its_interval() -> None:
    lines = render(render_winners_curse(make_statistics({"cross_entropy": (0.70, 0.70), "bsd": (0.74, 0.74)})))
    # 0.75 searched; confirmed 0.70 and 0.74: shrinkages 5 and 1 points, mean 3; t of one degree of freedom 12.706, half 25.4.
    (accuracy,) = [line.split() for line in lines if line.startswith("accuracy")]
    assert accuracy == ["accuracy", *["+3.0", "[-22.4,", "+28.4]"] * 2]
    assert "averaged over 2 chosen settings" in " ".join(" ".join(lines).split())


def test_without_a_finished_training_the_shrinkage_is_not_known() -> None:
    lines = render(render_winners_curse(make_statistics({"bsd": (None, None)})))
    assert [line.split() for line in lines if line.startswith(("accuracy", "ece"))] == [["accuracy", "-", "-"], ["ece", "-", "-"]]
