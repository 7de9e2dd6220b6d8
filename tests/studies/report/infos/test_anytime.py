from __future__ import annotations

import pytest

from studies.ledger import Event
from studies.report.infos.anytime import collect_anytime
from tests.studies._dummies import make_events, make_spec
from tests.studies.report._sources import Trial, make_source

TRIALS: list[Trial] = [
    ("cross_entropy/none", 0, 0.5, 0.5),
    ("cross_entropy/none", 1, None, 0.0),
    ("cross_entropy/none", 2, 0.8, 0.4),
    ("cross_entropy/none/random", 0, 0.6, 0.5),
]


def make_twin_events() -> list[Event]:
    """`TRIALS`, the last as one of the random twin of its arm."""
    events = make_events(*TRIALS)
    suggest = next(event for event in events if event["event"] == "suggest" and event["arm"].endswith("/random"))
    suggest |= {"condition": "none", "noise_kind": "none", "sampler": "random"}
    return events


def test_each_trial_adds_its_cost_and_what_the_front_gained() -> None:
    info = collect_anytime(make_source(make_twin_events(), make_spec(methods=["cross_entropy"], trials=3, baseline="random")))
    search, twin = info.conditions["none"]
    assert list(search.hypervolume) == pytest.approx([0.25, 0.25, 0.48])  # 0.5 * 0.5; the failed one adds none; 0.8 * 0.6
    assert list(search.n_trials) == [1, 2, 3]
    assert list(search.train_seconds) == pytest.approx([1.5, 3.0, 4.5])
    assert (search.name, twin.name) == ("cross_entropy", "cross_entropy at random")
    assert list(twin.hypervolume) == pytest.approx([0.3])
    end, course = info.tables()
    assert [(row["sampler"], row["n_trials"]) for row in end.rows] == [("tpe", 3), ("random", 1)]
    assert [row["hypervolume"] for row in end.rows] == pytest.approx([0.48, 0.3])
    assert len(course.rows) == 4
    assert "drawn at random" in info.caption
    assert "100 validation images with clean labels" in info.caption
    assert "no interval" in info.caption


def test_searches_of_unequal_budget_are_called_so() -> None:
    events = make_events(("cross_entropy/none", 0, 0.5, 0.5), ("bsd/none", 0, 0.5, 0.5), ("bsd/none", 1, 0.5, 0.5))
    info = collect_anytime(make_source(events, make_spec()))
    assert not info.comparable
    assert "unequal" in info.caption
    assert "random" not in info.caption


def test_nothing_finished_is_said() -> None:
    assert collect_anytime(make_source([], make_spec())).missing == "No trial of the search has ended yet."
    failed = collect_anytime(make_source(make_events(("bsd/none", 0, None, 0.0)), make_spec()))
    assert failed.missing == "No trial of the search finished, so there is no front whose growth could be shown."
