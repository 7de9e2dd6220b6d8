from __future__ import annotations

from typing import Any

import pytest

from studies.budgets import Budgets, collect_budgets, few_trials, render_budgets
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


def test_an_audited_trial_that_failed_before_its_stop_gives_nothing_back() -> None:
    rows = {"bsd_none_0000": stopped(0, 4, audited=True)}
    _, bsd = make_budgets(make_events(*FULL), make_spec(stopping="pareto_halving", epochs=9), **rows).arms
    assert (bsd.epochs, bsd.audit_epochs) == (2, 0)


def test_an_arm_that_finished_nothing_is_named_though_its_epochs_are_equal() -> None:
    failed = [("bsd/none", number, None, 0.0) for number in range(2)]
    budgets = make_budgets(make_events(*FULL[:2], *failed), make_spec(stopping="pareto_halving", epochs=2))
    assert (budgets.search_equal, budgets.reasons) == (False, ["no finished trial: bsd/none"])


# --- a budget of images


@pytest.mark.parametrize(("epochs", "tolerance"), [(2, 4), (1, 8)])
def test_on_a_budget_of_images_a_trial_may_miss_it_by_one_step(epochs: int, tolerance: int) -> None:
    """Two trials an arm, batches of 2; who trains one epoch where another trains two passes over a batch twice."""
    spec = make_spec(budget="images", batch_size=2, epochs=2)
    short = {"epochs": epochs, "images_seen": 200 - tolerance}
    within = make_budgets(make_events(*FULL), spec, bsd_none_0000=short)
    beyond = make_budgets(make_events(*FULL), spec, bsd_none_0000=short | {"images_seen": 199 - tolerance})
    assert within.equal
    assert beyond.reasons == [f"images of the finished trials: cross_entropy/none 400, bsd/none {399 - tolerance}"]


# --- confirm phase


CHOSEN = {("cross_entropy/none", 0): "knee", ("bsd/none", 0): "knee"}


def test_settings_confirmed_by_unequal_numbers_of_trainings_are_named() -> None:
    choice = make_choice(CHOSEN)
    first = [*make_confirmation("cross_entropy/none", 0, 0, 0.8), *make_confirmation("bsd/none", 0, 0, None)]
    second = make_confirmation("cross_entropy/none", 0, 1, 0.8)
    assert make_budgets([*make_events(*FULL), choice, *first]).equal  # a failed one was paid for
    reasons = make_budgets([*make_events(*FULL), choice, *first, *second]).reasons
    assert reasons == ["trainings of a confirmed setting: cross_entropy-none-0000 2, bsd-none-0000 1"]


def test_a_phase_that_has_not_come_to_all_seeds_is_unfinished() -> None:
    spec = make_spec(confirm={"seeds": 2, "at_most": 1})
    events = [*make_events(*FULL), make_choice(CHOSEN)]
    events += [event for arm, _ in CHOSEN for event in make_confirmation(arm, 0, 0, 0.8)]
    budgets = make_budgets(events, spec)
    assert budgets.reasons == ["the confirm phase is unfinished: 2 of 4 trainings ended"]
    assert (budgets.search_equal, budgets.equal) == (True, False)
    assert make_budgets(make_events(*FULL), spec).equal  # it has not begun
    events += [event for arm, _ in CHOSEN for event in make_confirmation(arm, 0, 1, 0.8)]
    assert make_budgets(events, spec).equal


def test_an_arm_without_a_confirmed_setting_is_named() -> None:
    choice = make_choice({("cross_entropy/none", 0): "knee"})
    budgets = make_budgets([*make_events(*FULL), choice, *make_confirmation("cross_entropy/none", 0, 0, 0.8)])
    assert budgets.reasons == ["no confirmed setting: bsd/none"]
    assert budgets.search_equal


def test_an_arm_that_cannot_give_enough_settings_is_noted_and_no_less_equal() -> None:
    spec = make_spec(confirm={"seeds": 1, "at_most": 3})
    events = [*make_events(*FULL, ("cross_entropy/none", 2, 0.9, 0.1)), make_choice(CHOSEN)]
    assert make_budgets(events, spec).notes == [
        "Fewer finished trials than settings to confirm (3 an arm): bsd/none 2. What they gave is confirmed."
    ]
    assert make_budgets(make_events(*FULL), spec).notes == []  # nothing is confirmed yet
    one = make_spec(confirm={"points": "knee", "at_most": 3})
    assert few_trials(one, {"bsd/none": 1}) == ""
    assert few_trials(one, {"bsd/none": 0}).startswith("Fewer finished trials than settings to confirm (1 an arm): bsd/none 0.")
    assert few_trials(make_spec(confirm="none"), {"bsd/none": 0}) == ""


def test_seeds_that_only_some_arms_had_are_noted() -> None:
    budgets = make_budgets(make_events(*FULL), bsd_none_0001={"seed": 6})
    assert budgets.equal
    assert budgets.notes == ["Finished trials do not have the same training seeds in all arms: bsd/none had others."]
    assert budgets.notes[0] in " ".join(" ".join(render(render_budgets(as_json(budgets)))).split())


# --- how it is shown


def test_the_table_shows_each_arm_and_says_whether_budgets_are_equal() -> None:
    lines = render(render_budgets(as_json(make_budgets(make_events(*FULL)))))
    assert [line.split() for line in lines if "cross_entropy" in line] == [["cross_entropy", "2", "4", "400", "3", "s", "1", "2"]]
    assert "Budgets are equal in finished trials and their epochs." in lines
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
