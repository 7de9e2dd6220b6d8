from __future__ import annotations

from typing import Any

from studies.front import UNEQUAL
from studies.ledger import Event
from studies.report.searched import render_audit, render_hypervolumes, render_importance
from studies.statistics.document import as_json
from studies.statistics.importance import Importance
from tests.studies._dummies import make_events, render
from tests.studies.report._documents import make_statistics


def make_twin(method: str, accuracy: float, ece: float) -> list[Event]:
    """The ledger of one trial of a random baseline in condition none."""
    events = make_events((f"{method}/none/random", 0, accuracy, ece))
    return [event | {"condition": "none", "sampler": "random"} if event["event"] == "suggest" else event for event in events]


def rows_of(lines: list[str], start: str) -> list[list[str]]:
    return [line.split() for line in lines if line.strip().startswith(start)]


def test_hypervolumes_of_search_random_search_and_confirmation_stand_side_by_side() -> None:
    document = make_statistics(baseline="random", more=make_twin("bsd", 0.5, 0.5))
    lines = render(render_hypervolumes(document))
    # 0.75 * 0.9 searched; 0.5 * 0.5 at random; 0.8 * 0.9, 0.81 * 0.89, 0.825 * 0.88 confirmed: mean 0.72230, half of 4.3027 * 0.0018.
    assert rows_of(lines, "bsd") == [["bsd", "0.675", "0.250", "0.722", "±0.008", "1"]]
    assert rows_of(lines, "cs_kd")[0][:3] == ["cs_kd", "0.675", "-"]


def test_without_a_baseline_or_confirmation_there_is_less_to_show() -> None:
    lines = render(render_hypervolumes(make_statistics({"bsd": (None,)})))
    assert rows_of(lines, "bsd") == [["bsd", "0.675", "-", "-"]]
    assert not any("random" in line for line in lines)


def test_hypervolumes_of_unequal_budgets_are_marked() -> None:
    document = make_statistics(more=make_events(("bsd/none", 1, 0.5, 0.5)))
    assert UNEQUAL in " ".join(" ".join(render(render_hypervolumes(document))).split())
    assert UNEQUAL not in " ".join(" ".join(render(render_hypervolumes(make_statistics()))).split())


def test_the_area_says_on_how_many_settings_it_rests() -> None:
    text = " ".join(" ".join(render(render_hypervolumes(make_statistics()))).split())
    assert "more settings can only have more area, so areas of unequal numbers are not comparable" in text


def shares(**values: tuple[float, float, float]) -> dict[str, Any]:
    return {name: as_json(Importance(*value)) for name, value in values.items()}


def test_the_three_settings_that_mattered_most_are_shown() -> None:
    document = make_statistics({"bsd": (0.8,)})
    known = shares(discount=(0.1, 0.0, 0.2), momentum=(0.05, 0.0, 0.1), rate=(0.6, 0.5, 0.7), decay=(0.25, 0.2, 0.3))
    document["importance"] = {"bsd/none": {"val_accuracy": known, "val_ece": None}}
    lines = render(render_importance(document))
    text = " ".join(" ".join(lines).split())
    assert text.index("rate 60 [50, 70]") < text.index("decay 25 [20, 30]") < text.index("discount 10 [0, 20]")
    assert "momentum" not in text
    assert text.count("too few trials") == 1


def test_the_audit_counts_what_would_have_reached_the_front() -> None:
    document = make_statistics(stopping="pareto_halving")
    document["audit"]["bsd/none"] = {"n_stopped": 9, "n_audited": 3, "n_would_have_reached_front": 1}
    lines = render(render_audit(document))
    assert rows_of(lines, "bsd/none") == [["bsd/none", "9", "3", "1"]]
    assert "1 of 3 would have reached their arm's front." in " ".join(" ".join(lines).split())
