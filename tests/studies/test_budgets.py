from __future__ import annotations

from typing import Any

import pytest

from studies.budgets import Budgets, collect_budgets, render_budgets
from studies.ledger import Event
from studies.spec import StudySpec
from studies.statistics.document import as_json
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_choice, make_confirmation, make_events, make_spec, make_suggest, render

ARMS = ("cross_entropy/none", "bsd/none")
FULL = [(arm, number, 0.9, 0.1) for arm in ARMS for number in range(2)]


def make_budgets(events: list[Event], spec: StudySpec | None = None, **changes: dict[str, Any]) -> Budgets:
    """Budgets of a ledger; `changes` of rows by trial id, with `_` for `-` and `/`."""
    rows = build_tables(events, CONSTANTS).trials.to_pylist()
    changed = [row | changes.get(row["trial_id"].replace("-", "_"), {}) for row in rows]
    return collect_budgets(changed, spec or make_spec())


def test_an_arm_is_counted_by_hand() -> None:
    failed = [("bsd/none", 2, None, 0.0)]
    events = make_events(*FULL, *failed)
    events += [
        make_choice({("bsd/none", 0): "knee"}),
        *make_confirmation("bsd/none", 0, 0, 0.8),
        *make_confirmation("bsd/none", 0, 1, None),
    ]
    plain, bsd = make_budgets(events).arms
    assert (plain.arm, plain.n_finished, plain.n_failed, plain.epochs, plain.images_seen) == ("cross_entropy/none", 2, 0, 4, 400)
    assert (bsd.n_finished, bsd.n_failed, bsd.epochs, bsd.images_seen, bsd.train_seconds) == (2, 1, 6, 600, 4.5)
    assert (bsd.n_confirmed, bsd.n_confirm_finished, bsd.n_confirm_failed) == (1, 1, 1)
    assert bsd.n_seeds == 1  # `make_suggest` gives all trials the same
    assert (plain.n_searched, bsd.n_searched) == (2, 5)  # learning rate and weight decay; and BSD's own three


def test_equal_arms_are_equal_whatever_images_they_push() -> None:
    budgets = make_budgets(make_events(*FULL), bsd_none_0001={"images_seen": 10**6})
    assert (budgets.equal, budgets.reasons) == (True, [])


def test_failed_trials_were_replaced_and_make_no_difference() -> None:
    assert make_budgets(make_events(*FULL, ("bsd/none", 2, None, 0.0))).equal


def test_an_arm_with_fewer_trials_is_named() -> None:
    budgets = make_budgets(make_events(*FULL[:3]))
    assert not budgets.equal
    assert budgets.reasons == ["finished trials: cross_entropy/none 2, bsd/none 1"]


def test_of_many_arms_only_the_odd_ones_are_named() -> None:
    spec = make_spec(methods=["cross_entropy", "bsd", "cs_kd"])
    budgets = make_budgets(make_events(*FULL, ("cs_kd/none", 0, 0.9, 0.1)), spec)
    assert budgets.reasons == ["finished trials: 2, but cs_kd/none 1"]


def test_equal_trials_of_unequal_length_are_unequal() -> None:
    budgets = make_budgets(make_events(*FULL), bsd_none_0000={"epochs": 1})
    assert budgets.reasons == ["epochs of the finished trials: cross_entropy/none 4, bsd/none 3"]


def test_a_baseline_is_told_and_not_judged() -> None:
    budgets = make_budgets(make_events(*FULL), make_spec(baseline="random"))
    assert [(arm.arm, arm.n_finished) for arm in budgets.arms][2:] == [("cross_entropy/none/random", 0), ("bsd/none/random", 0)]
    assert budgets.equal


# --- early stopping: equal in epochs, within one training


def stopped(epochs: int, stopped_at: int, *, audited: bool = False) -> dict[str, Any]:
    return {"state": "stopped", "epochs": epochs, "stopped_at": stopped_at, "audited": audited}


def test_with_early_stopping_epochs_may_differ_by_a_training() -> None:
    spec = make_spec(stopping="pareto_halving", epochs=2)
    within = make_budgets(make_events(*FULL[:3]), spec)  # 4 and 2 epochs, and a training has 2
    beyond = make_budgets(make_events(*FULL, ("bsd/none", 2, 0.9, 0.1), ("bsd/none", 3, 0.9, 0.1)), spec)
    assert within.equal
    assert beyond.reasons == ["epochs of the search: cross_entropy/none 4, bsd/none 8"]


def test_an_audit_costs_nothing_and_is_told_apart() -> None:
    spec = make_spec(stopping="pareto_halving", epochs=9)
    rows = {"bsd_none_0000": stopped(9, 1, audited=True), "bsd_none_0001": stopped(1, 1)}
    _, bsd = make_budgets(make_events(*FULL), spec, **rows).arms
    assert (bsd.n_finished, bsd.n_stopped, bsd.epochs, bsd.audit_epochs) == (0, 2, 2, 8)


# --- a budget of images


def test_on_a_budget_of_images_these_are_compared() -> None:
    spec = make_spec(budget="images", batch_size=2)
    within = make_budgets(make_events(*FULL), spec, bsd_none_0000={"images_seen": 190, "epochs": 1})
    beyond = make_budgets(make_events(*FULL), spec, bsd_none_0000={"images_seen": 100, "epochs": 2})
    assert within.equal
    assert beyond.reasons == ["images of the finished trials: cross_entropy/none 400, bsd/none 300"]


# --- confirm phase


def test_settings_confirmed_by_unequal_numbers_of_trainings_are_named() -> None:
    choice = make_choice({("cross_entropy/none", 0): "knee", ("bsd/none", 0): "knee"})
    first = [*make_confirmation("cross_entropy/none", 0, 0, 0.8), *make_confirmation("bsd/none", 0, 0, None)]
    second = make_confirmation("cross_entropy/none", 0, 1, 0.8)
    assert make_budgets([*make_events(*FULL), choice, *first]).equal  # a failed one was paid for
    reasons = make_budgets([*make_events(*FULL), choice, *first, *second]).reasons
    assert reasons == ["trainings of a confirmed setting: bsd-none-0000 1, cross_entropy-none-0000 2"]


# --- how it is shown


def test_the_table_shows_each_arm_and_says_whether_budgets_are_equal() -> None:
    lines = render(render_budgets(as_json(make_budgets(make_events(*FULL)))))
    assert [line.split() for line in lines if "cross_entropy" in line] == [["cross_entropy", "2", "4", "400", "3", "s", "2"]]
    assert "Budgets are equal." in lines
    text = " ".join(render(render_budgets(as_json(make_budgets(make_events(*FULL[:3]))))))
    assert "Budgets are NOT equal, so methods are not ranked." in text


@pytest.mark.parametrize("stopping", ["none", "pareto_halving"])
def test_everything_fits_in_eighty_columns_with_no_column_lost(stopping: str) -> None:
    methods = ["temporal_ensembling", "confidence_penalty"]
    spec = make_spec(methods=methods, conditions=["asymmetric_12.3457"], baseline="random", stopping=stopping, epochs=300)
    arm = "temporal_ensembling/asymmetric_12.3457"
    events = make_events((arm, 0, 0.9, 0.1), (arm, 1, None, 0.0))
    events += [make_choice({(arm, 0): "knee"}), *make_confirmation(arm, 0, 0, None), *make_confirmation(arm, 0, 1, 0.9)]
    events += [{**make_suggest(arm, 2)}]
    big = {
        "images_seen": 123_456_789_012,
        "epochs": 30_000,
        "train_seconds": 9e5,
        "state": "stopped",
        "stopped_at": 10_000,
        "audited": True,
    }
    rows = build_tables(events, CONSTANTS).trials.to_pylist()
    if stopping != "none":
        rows[0] |= big
    lines = render(render_budgets(as_json(collect_budgets(rows, spec))))
    assert max(map(len, lines)) <= 80
    assert any("confirmed" in line for line in lines)
    assert any(line.rstrip().endswith("1/2 (1)") for line in lines)
