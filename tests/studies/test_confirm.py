"""What is confirmed, and how its trainings are handed out."""

from __future__ import annotations

from typing import Any

import pytest

from bsd_core.errors import DataError
from studies.confirm import ChosenTrial, ConfirmPhase, already_chosen, choose_trials, chosen_event
from studies.ledger import Event
from studies.operating_points import OPERATING_POINTS, operating_points
from studies.spec import StudySpec
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_end, make_events, make_spec, make_suggest

BASE = {"conditions": ["none", "symmetric:0.4"], "trials": 4}


def confirming(**confirm: Any) -> StudySpec:
    """A study that confirms what its arms give, without operating points unless said."""
    return make_spec(**BASE, confirm={"operating_points": False, **confirm})


FRONT = [  # in bsd/none: most accurate 0, knee 1, best calibrated 2; 3 is beaten
    ("bsd/none", 0, 0.9, 0.30),
    ("bsd/none", 1, 0.88, 0.10),
    ("bsd/none", 2, 0.7, 0.05),
    ("bsd/none", 3, 0.6, 0.20),
]


def test_points_of_each_arm_are_chosen_by_validation_values() -> None:
    events = make_events(*FRONT, ("cross_entropy/none", 0, 0.5, 0.5), ("bsd/symmetric_40", 0, 0.4, 0.4))
    chosen = choose_trials(confirming(), events)
    assert [(trial.trial_id, trial.roles) for trial in chosen] == [
        ("cross_entropy-none-0000", ("best_accuracy", "best_ece", "knee")),
        ("bsd-none-0000", ("best_accuracy",)),
        ("bsd-none-0002", ("best_ece",)),
        ("bsd-none-0001", ("knee",)),
        ("bsd-symmetric_40-0000", ("best_accuracy", "best_ece", "knee")),
    ]
    assert chosen[2].params == {"learning_rate": 0.1, "weight_decay": 1.5e-3}


def test_repeats_of_one_setting_are_confirmed_once_with_all_their_roles() -> None:
    chosen = choose_trials(confirming(), make_events(*FRONT, params={"learning_rate": 0.1, "weight_decay": 5e-4}))
    assert [(trial.trial_id, trial.roles) for trial in chosen] == [("bsd-none-0000", ("best_accuracy", "best_ece", "knee"))]


@pytest.mark.parametrize(("points", "number"), [("best_accuracy", 0), ("knee", 1), ("best_ece", 2)])
def test_one_kind_of_point_alone(points: str, number: int) -> None:
    chosen = choose_trials(confirming(points=points), make_events(*FRONT))
    assert [trial.trial_id for trial in chosen] == [f"bsd-none-000{number}"]


def test_the_studys_own_objectives_choose() -> None:
    events = make_events(("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.5, 0.2))
    for event, value in zip((event for event in events if event["event"] == "end"), (0.3, 0.8), strict=True):
        event["metrics"] |= {"val_corrupted_accuracy": value, "val_corrupted_ece": 0.1}
    spec = make_spec(
        **BASE,
        confirm={"points": "best_accuracy"},
        objectives=["val_corrupted_accuracy", "val_corrupted_ece"],
        evaluate={"corruptions": ["fog"]},
    )
    assert [trial.trial_id for trial in choose_trials(spec, events)] == ["bsd-none-0001"]


def test_failed_stopped_and_random_trials_are_not_confirmed() -> None:
    events = make_events(
        ("bsd/none", 0, 0.6, 0.4), ("bsd/none", 1, None, 0.0), ("bsd/none", 2, 0.9, 0.1), ("bsd/none/random", 0, 0.95, 0.0)
    )
    next(event for event in events if event["event"] == "end" and event["trial_id"].endswith("0002"))["state"] = "stopped"
    spec = make_spec(**BASE, confirm={}, baseline="random")
    assert [trial.trial_id for trial in choose_trials(spec, events)] == ["bsd-none-0000"]


def test_nothing_is_chosen_without_a_confirm_phase_or_a_finished_trial() -> None:
    assert choose_trials(make_spec(**BASE, confirm="none"), make_events(*FRONT)) == []
    assert choose_trials(confirming(), make_events(("bsd/none", 0, None, 0.0))) == []


# --- operating points are confirmed, too

RIVALS = [  # of all methods: most accurate cross_entropy 0, knee bsd 1, and bsd 2 the best calibrated; cross_entropy 1 is beaten
    ("cross_entropy/none", 0, 0.92, 0.50),
    ("cross_entropy/none", 1, 0.80, 0.30),
    ("bsd/none", 0, 0.91, 0.40),
    ("bsd/none", 1, 0.88, 0.10),
    ("bsd/none", 2, 0.70, 0.04),
]


def chosen_roles(spec: StudySpec, events: list[Event]) -> list[tuple[str, str]]:
    return [(trial.trial_id, ", ".join(trial.roles)) for trial in choose_trials(spec, events)]


def test_what_operating_points_name_follows_the_points_of_its_arm() -> None:
    spec = confirming(points="best_accuracy", operating_points=True)
    assert chosen_roles(spec, make_events(*RIVALS)) == [
        ("cross_entropy-none-0000", "best_accuracy, knee"),
        ("bsd-none-0000", "best_accuracy"),
        ("bsd-none-0001", "condition_knee"),
        ("bsd-none-0002", "accurate_and_calibrated"),
    ]
    assert chosen_roles(confirming(points="best_accuracy", operating_points=True, max_ece=0.01), make_events(*RIVALS))[-1] == (
        "bsd-none-0001",
        "condition_knee",
    )


def test_what_is_chosen_already_only_gets_another_role() -> None:
    events = make_events(*RIVALS, ("bsd/none", 3, 0.89, 0.2))  # on the front of its arm and no operating point
    assert chosen_roles(confirming(at_most=4, operating_points=True), events)[1:] == [
        ("cross_entropy-none-0001", "best_ece"),
        ("bsd-none-0000", "best_accuracy"),
        ("bsd-none-0002", "best_ece, accurate_and_calibrated"),
        ("bsd-none-0001", "knee, condition_knee"),
        ("bsd-none-0003", "front"),
    ]


def test_the_points_that_the_report_names_are_those_that_are_confirmed() -> None:
    spec = make_spec(trials=3, confirm={"points": "best_accuracy", "max_ece": 0.1})
    no_worse = [("bsd/none", 3, 0.93, 0.5), ("bsd/none", 4, 0.93, 0.45)]
    events = make_events(*RIVALS, *no_worse)
    confirmed = {trial.trial_id: trial.roles for trial in choose_trials(spec, events)}
    rows = build_tables(events, CONSTANTS).trials.to_pylist()
    points = operating_points(rows, objectives=spec.targets, max_ece=0.1)
    assert {point.name for point in points if point.trial_id and point.role in confirmed[point.trial_id]} == set(OPERATING_POINTS)
    assert confirmed["bsd-none-0004"] == ("best_accuracy", "no_worse_than_cross_entropy")


def test_an_operating_point_that_repeats_a_chosen_setting_is_that_setting() -> None:
    events = make_events(("bsd/none", 0, 0.9, 0.3), ("bsd/none", 1, 0.8, 0.02), params={"learning_rate": 0.1, "weight_decay": 5e-4})
    assert chosen_roles(confirming(operating_points=True), events) == [
        ("bsd-none-0000", "best_accuracy, knee, best_ece, condition_knee, accurate_and_calibrated")
    ]


def test_random_search_is_no_operating_point() -> None:
    events = make_events(("bsd/none", 0, 0.6, 0.4), ("bsd/none/random", 0, 0.95, 0.0))
    spec = make_spec(trials=4, confirm={}, baseline="random")
    assert [trial_id for trial_id, _ in chosen_roles(spec, events)] == ["bsd-none-0000"]


def chosen_trials(spec: StudySpec) -> list[ChosenTrial]:
    return choose_trials(spec, make_events(*FRONT, ("cross_entropy/symmetric_40", 0, 0.5, 0.5)))


def test_what_is_written_down_is_what_a_resumed_run_confirms() -> None:
    spec = confirming(at_most=2)
    events = make_events(*FRONT)
    chosen = choose_trials(spec, events)
    record = chosen_event(chosen, test_fingerprint="abc")
    assert (record["chosen"], record["test_fingerprint"]) == ({"bsd-none-0000": ["best_accuracy"], "bsd-none-0002": ["best_ece"]}, "abc")
    assert already_chosen(spec, [*events, record]) == chosen
    assert already_chosen(spec, events) is None
    later = chosen_event([], test_fingerprint="abc")
    assert already_chosen(spec, [*events, record, later]) == chosen  # the first record stands


def test_a_record_that_names_unknown_trials_is_refused() -> None:
    record = {"event": "confirm", "chosen": {"bsd-none-0009": ["knee"]}, "opened": "", "test_fingerprint": ""}
    with pytest.raises(DataError, match=r"confirms trial bsd-none-0009, which is not one of this study's"):
        already_chosen(confirming(), [*make_events(*FRONT), record])


def test_every_point_is_trained_with_every_seed_and_seeds_and_noise_are_equal_in_all_arms() -> None:
    spec = confirming(seeds=3)
    phase = ConfirmPhase(spec, chosen_trials(spec))
    assert phase.wanted == {"bsd/none": 9, "cross_entropy/symmetric_40": 3}
    handed_out = []
    while (suggestion := phase.next()) is not None:
        handed_out.append(suggestion)
    assert len(handed_out) == 12
    assert len({suggestion.trial_id for suggestion in handed_out}) == 12
    assert handed_out[0].trial_id == "bsd-none-0000-confirm-0"
    assert [suggestion.replicate for suggestion in handed_out] == [0] * 4 + [1] * 4 + [2] * 4  # seeds outermost
    seeds = {(suggestion.replicate, suggestion.seed) for suggestion in handed_out}
    assert len(seeds) == 3
    assert all(suggestion.phase == "confirm" for suggestion in handed_out)
    noise = {(suggestion.arm.condition.name, suggestion.noise_seed) for suggestion in handed_out}
    assert len(noise) == 4  # none in condition none, three fresh ones in the other
    assert ("none", None) in noise
    numbers = [suggestion.number for suggestion in handed_out if suggestion.arm.name == "bsd/none"]
    assert numbers == list(range(9))


def test_fresh_seeds_are_not_those_of_the_search() -> None:
    from studies.search import StudySearch

    spec = confirming(seeds=4)
    search = StudySearch(spec, slots=1)
    searched = {search.arms["bsd/none"].ask().seed for _ in range(4)}
    phase = ConfirmPhase(spec, chosen_trials(spec))
    confirmed = {suggestion.seed for _ in range(16) if (suggestion := phase.next()) is not None}
    assert len(confirmed) == 4
    assert not searched & confirmed


def test_noise_of_the_search_is_kept_where_asked_for() -> None:
    spec = confirming(noise_seeds="same")
    phase = ConfirmPhase(spec, chosen_trials(spec))
    assert {phase.next().noise_seed for _ in range(4)} == {None}  # type: ignore[union-attr]


def confirmed_end(trial_id: str, accuracy: float) -> Event:
    end = make_end("", 0, 0.5)
    return {**end, "trial_id": trial_id, "metrics": {"test_accuracy": accuracy, "test_ece": 0.2}}


def test_a_phase_is_done_when_all_trainings_have_ended_failed_ones_too() -> None:
    spec = confirming(seeds=1, at_most=1)
    phase = ConfirmPhase(spec, chosen_trials(spec))
    first, second = phase.next(), phase.next()
    assert first is not None
    assert second is not None
    assert phase.next() is None
    assert not phase.done
    assert phase.finish(first, confirmed_end(first.trial_id, 0.7)).values == (0.7, 0.2)
    assert phase.finish(second, make_end("", 0, None)).values is None
    assert phase.done


def test_a_training_whose_process_died_is_handed_out_again() -> None:
    spec = confirming(seeds=1, at_most=1)
    phase = ConfirmPhase(spec, chosen_trials(spec))
    first = phase.next()
    assert first is not None
    phase.give_back(first)
    assert [phase.next().trial_id for _ in range(2)][1] == first.trial_id  # type: ignore[union-attr]


def test_a_resumed_phase_trains_only_what_is_missing() -> None:
    spec = confirming(seeds=2, at_most=1)
    handed_out = ("bsd-none-0000-confirm-0", "cross_entropy-symmetric_40-0000-confirm-1")
    events: list[Event] = [
        *({**make_suggest("bsd/none", 0, phase="confirm"), "trial_id": trial_id} for trial_id in handed_out),
        confirmed_end("bsd-none-0000-confirm-0", 0.8),
        confirmed_end("cross_entropy-symmetric_40-0000-confirm-1", 0.6),
        confirmed_end("bsd-none-0000-confirm-1", 0.7),  # its `suggest` could not be read, so tables would not know it
    ]
    phase = ConfirmPhase(spec, chosen_trials(spec))
    replayed = phase.replay(events)
    assert {(arm, outcome.values) for arm, outcome in replayed} == {
        ("bsd/none", (0.8, 0.2)),
        ("cross_entropy/symmetric_40", (0.6, 0.2)),
    }
    left = [suggestion.trial_id for _ in range(4) if (suggestion := phase.next()) is not None]
    assert sorted(left) == ["bsd-none-0000-confirm-1", "cross_entropy-symmetric_40-0000-confirm-0"]
