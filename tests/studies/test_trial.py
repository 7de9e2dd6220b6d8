from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bsd_core.errors import DivergedError
from bsd_core.methods import METHODS, method_config
from studies import own_copy as own_copy_module
from studies import trial as trial_module
from studies.ledger import Event
from studies.own_copy import own_copy
from studies.tables import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS
from studies.trial import reset_process_state, trial_events
from studies.trial_data import SearchData, TrialSettings, TrialTask
from tests.studies._dummies import make_search_data, make_settings, make_task

CPU = torch.device("cpu")
TIMES = ("seconds", "train_seconds", "evaluate_seconds", "images_per_second")


def events_of(task: TrialTask, settings: TrialSettings | None = None, data: SearchData | None = None) -> list[Event]:
    return list(trial_events(task, settings or make_settings(), data or make_search_data(), CPU))


def without_times(events: list[Event]) -> list[Event]:
    return [{name: value for name, value in event.items() if name not in TIMES} for event in events]


def test_the_search_has_no_test_split() -> None:
    names = {field.name for field in dataclasses.fields(SearchData)}
    assert {name for name in names if "image" in name} == {"train_images", "val_images"}
    assert [name for name in names if "test" in name] == []


def test_a_trial_yields_every_epoch_and_then_one_end() -> None:
    events = events_of(make_task(), make_settings(epochs=3))
    assert [(event["event"], event.get("epoch")) for event in events] == [("epoch", 1), ("epoch", 2), ("epoch", 3), ("end", None)]
    assert {event["trial_id"] for event in events} == {"cross_entropy-none-0000"}


def test_epochs_bring_every_column_of_their_table() -> None:
    first, *_ = events_of(make_task())
    assert set(EPOCHS.names) <= set(first)


def test_an_end_brings_every_column_that_the_trial_itself_knows() -> None:
    shown = dataclasses.replace(make_settings().evaluation, perturbations=("translate",))
    end = events_of(make_task(), make_settings(evaluation=shown))[-1]
    known_to_the_driver = {"study", "run_id", "phase", "arm", "method", "condition", "noise_kind", "noise_rate", "dataset", "model"}
    known_to_the_driver |= {"trial_number", "seed", "validation_labels", "objectives", "on_front", "sampler", "chosen_as", "confirms"}
    known_to_the_driver |= {"replicate", "noise_seed", "stopped_at", "audited"}
    known_to_the_driver |= {"val_corruption_error_vs_cross_entropy"}  # from the table
    known_to_the_driver |= {name for name in TRIALS.names if name.startswith("test_")}  # of the confirm phase
    brought = set(end) | set(end["metrics"])
    assert set(TRIALS.names) - known_to_the_driver <= brought
    assert (end["state"], end["error"], end["device"], end["epochs"]) == ("complete", None, "cpu", 2)


def test_evaluations_and_bins_bring_every_column_of_their_tables() -> None:
    end = events_of(make_task())[-1]
    for row in end["evaluations"]:
        assert set(EVALUATIONS.names) - {"trial_id", "phase", "flip_probability", "top5_distance"} <= set(row)
    for row in end["reliability"]:
        assert set(RELIABILITY.names) - {"trial_id", "phase"} <= set(row)


def test_events_survive_json_without_loss() -> None:
    events = events_of(make_task("bsd", condition="symmetric_40"), data=make_search_data(conditions=["symmetric_40"]))
    assert json.loads(json.dumps(events, allow_nan=False)) == events


def test_an_end_evaluates_clean_images_by_both_labels_and_every_corruption() -> None:
    end = events_of(make_task())[-1]
    rows = [(row["split"], row["shift"], row["name"], row["severity"], row["n"]) for row in end["evaluations"]]
    assert rows == [
        ("val", "clean", "clean", 0, 24),
        ("val_noisy_labels", "clean", "clean", 0, 24),
        ("val", "corruption", "contrast", 1, 12),  # shifted_rows: every second image
        ("val", "corruption", "contrast", 3, 12),
    ]
    assert len(end["reliability"]) == 4 * 15
    counts = [sum(row["count"] for row in end["reliability"][start : start + 15]) for start in range(0, 60, 15)]
    assert counts == [24, 24, 12, 12]


def test_an_end_tells_how_steady_predictions_are_where_asked_for() -> None:
    shown = dataclasses.replace(make_settings().evaluation, corruptions=(), perturbations=("translate", "shot_noise"))
    end = events_of(make_task(), make_settings(evaluation=shown))[-1]
    first, second = end["evaluations"][2:]
    assert [(row["shift"], row["name"], row["n"]) for row in (first, second)] == [
        ("perturbation", "translate", 12),
        ("perturbation", "shot_noise", 12),
    ]
    mean = (first["flip_probability"] + second["flip_probability"]) / 2
    assert end["metrics"]["val_flip_probability"] == pytest.approx(mean)
    assert end["metrics"]["val_top5_distance"] is None  # three classes


def test_wrong_labels_are_counted() -> None:
    data = make_search_data(conditions=["none", "symmetric_40"], fingerprint="counted")
    end = events_of(make_task(condition="symmetric_40"), data=data)[-1]
    assert (end["n_wrong_labels"], end["wrong_label_share"]) == (6, pytest.approx(6 / 48))
    assert events_of(make_task(), data=data)[-1]["n_wrong_labels"] == 0


def test_headline_metrics_are_those_of_the_clean_row() -> None:
    end = events_of(make_task())[-1]
    clean, _, *corrupted = end["evaluations"]
    assert {name: end["metrics"][f"val_{name}"] for name in ("accuracy", "ece", "nll", "brier")} == {
        name: clean[name] for name in ("accuracy", "ece", "nll", "brier")
    }
    for name in ("accuracy", "ece"):
        assert end["metrics"][f"val_corrupted_{name}"] == pytest.approx(sum(row[name] for row in corrupted) / 2)


def test_the_last_epoch_and_the_end_agree() -> None:
    *_, last, end = events_of(make_task())
    assert (last["val_accuracy"], last["val_ece"], last["val_nll"]) == tuple(
        end["metrics"][f"val_{name}"] for name in ("accuracy", "ece", "nll")
    )


@pytest.mark.parametrize(("chosen", "other"), [("clean", "noisy"), ("noisy", "clean")])
def test_the_validation_labels_that_choose_are_the_studys_and_both_are_stored(chosen: str, other: str) -> None:
    data = make_search_data(conditions=["symmetric_40"])
    train, val = data.given["symmetric_40"]
    data = dataclasses.replace(data, given={"symmetric_40": (train, (val + 1) % 3)}, fingerprint=f"all wrong {chosen}")
    end = events_of(make_task(condition="symmetric_40"), make_settings(validation_labels=chosen, epochs=6), data)[-1]
    metrics = end["metrics"]
    assert metrics["val_accuracy"] == metrics[f"val_accuracy_{chosen}_labels"]
    assert metrics["val_ece"] == metrics[f"val_ece_{chosen}_labels"]
    assert metrics["val_accuracy_clean_labels"] > metrics["val_accuracy_noisy_labels"]
    assert [row["split"] for row in end["evaluations"]] == ["val", f"val_{other}_labels", "val", "val"]


def test_without_corruptions_there_are_no_corrupted_metrics() -> None:
    settings = make_settings(evaluation=dataclasses.replace(make_settings().evaluation, corruptions=()))
    end = events_of(make_task(), settings)[-1]
    assert len(end["evaluations"]) == 2
    assert [name for name in end["metrics"] if "corrupted" in name] == []


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_same_task_gives_the_same_numbers(method: str) -> None:
    task = make_task(method)
    first = without_times(events_of(task))
    torch.rand(7)  # the global stream has moved on
    assert without_times(events_of(task)) == first


def test_another_seed_gives_other_numbers_and_another_name_does_not() -> None:
    first = events_of(make_task())[-1]["metrics"]
    assert events_of(make_task(seed=4))[-1]["metrics"] != first
    assert events_of(make_task(trial_id="elsewhere"))[-1]["metrics"] == first


@pytest.mark.parametrize("method", sorted(METHODS))
def test_images_are_counted_as_they_pass_the_network(method: str) -> None:
    *epochs, end = events_of(make_task(method))
    announced = 2 * 48 * method_config(method, {}).images_per_sample
    assert announced - 16 <= end["images_seen"] <= announced  # dlb has one step without a batch before it
    assert end["images_seen"] == sum(event["images_seen"] for event in epochs)


def test_a_budget_of_images_trains_dear_methods_for_fewer_epochs() -> None:
    train = dataclasses.replace(make_settings().train, epochs=4, budget="images")
    ends = [events_of(make_task(method), settings=make_settings(train=train))[-1] for method in ("cross_entropy", "cs_kd")]
    assert [end["epochs"] for end in ends] == [4, 2]
    assert [end["images_seen"] for end in ends] == [4 * 48] * 2


def test_label_recovery_is_null_without_noise_and_a_share_with_it() -> None:
    data = make_search_data(conditions=["none", "symmetric_12.5"], fingerprint="two conditions")
    clean = events_of(make_task(), data=data)[0]
    noisy = events_of(make_task(condition="symmetric_12.5"), data=data)[0]
    assert (clean["label_recovery"], clean["memorised"]) == (None, None)
    assert 0 <= noisy["label_recovery"] <= 1
    assert 0 <= noisy["memorised"] <= 1 - noisy["label_recovery"]


# --- failures


@pytest.mark.parametrize("rate", [1e8, 1e30])
def test_a_diverging_trial_ends_once_as_failed_with_its_reason(rate: float) -> None:
    events = events_of(make_task(learning_rate=rate, weight_decay=0.0), make_settings(epochs=8))
    ends = [event for event in events if event["event"] == "end"]
    assert ends == events[-1:]
    assert ends[0]["state"] == "failed"
    assert ends[0]["error"].startswith("diverged: ")
    assert ends[0]["traceback"] is None
    assert (ends[0]["metrics"], ends[0]["evaluations"], ends[0]["reliability"]) == ({}, [], [])
    assert ends[0]["train_seconds"] > 0
    assert json.loads(json.dumps(events, allow_nan=False)) == events


def test_an_unexpected_error_ends_the_trial_as_failed_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("first\nsecond")

    monkeypatch.setattr(trial_module, "measure_val", broken)
    *epochs, end = events_of(make_task())
    assert len(epochs) == 2
    assert (end["state"], end["epochs"]) == ("failed", 2)
    assert end["error"] == "KeyError: 'first\\nsecond'"
    assert "broken" in end["traceback"]
    assert end["n_parameters"] > 0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"condition": "unknown"}, "KeyError: 'unknown'"),
        ({"settings": {"nonsense": 1.0}}, "ConfigError: "),
        ({"learning_rate": -1.0}, "ConfigError: `0 < learning_rate < inf` must hold"),
    ],
)
def test_a_task_that_makes_no_sense_fails_before_its_first_epoch(changes: dict[str, Any], error: str) -> None:
    (end,) = events_of(make_task(**changes))
    assert (end["event"], end["state"], end["epochs"]) == ("end", "failed", 0)
    assert end["error"].startswith(error)
    assert len(end["error"].splitlines()) == 1


def test_a_failed_trial_leaves_the_process_as_it_was() -> None:
    before = without_times(events_of(make_task()))
    events_of(make_task(learning_rate=1e30, weight_decay=0.0))
    assert without_times(events_of(make_task())) == before


@pytest.mark.parametrize("problem", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_failure(problem: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any, **kwargs: Any) -> Any:
        raise problem("stop")

    monkeypatch.setattr(trial_module, "predict", stop)
    with pytest.raises(problem, match="stop"):
        events_of(make_task())


def test_a_message_of_divergence_says_what_was_seen() -> None:
    end = events_of(make_task(learning_rate=1e30, weight_decay=0.0), make_settings(epochs=4))[-1]
    assert "NaN or infinite" in end["error"] or "training loss was" in end["error"]
    assert issubclass(DivergedError, ArithmeticError)


# --- the process


def test_a_trial_cannot_change_the_data_of_others() -> None:
    data = make_search_data(fingerprint="read only")
    images = [np.asarray(data.train_images), np.asarray(data.val_images)]
    arrays: list[npt.NDArray[Any]] = [*images, data.train_targets, data.val_targets, data.shifted_rows]
    arrays += data.given["none"]
    for array in arrays:
        array.setflags(write=False)  # as Ray's shared memory is
    before = [array.copy() for array in arrays]
    events_of(make_task("bsd"), data=data)
    for tensor in [value for value in vars(own_copy(data, CPU)).values() if isinstance(value, torch.Tensor)]:
        tensor.zero_()
    assert all(np.array_equal(old, new) for old, new in zip(before, arrays, strict=True))
    own_copy_module._copies.clear()


def test_data_of_another_fingerprint_replace_those_at_hand() -> None:
    first = events_of(make_task(), data=make_search_data(fingerprint="first"))[-1]["evaluations"][0]["n"]
    second = events_of(make_task(), data=make_search_data(n_val=12, fingerprint="second"))[-1]["evaluations"][0]["n"]
    assert (first, second) == (24, 12)


@pytest.mark.parametrize(("cpus", "threads"), [(2.0, 2), (1.0, 1), (0.5, 1)])
def test_a_trial_takes_as_many_threads_as_it_has_cpus(cpus: float, threads: int) -> None:
    before = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    try:
        reset_process_state(make_settings(cpus=cpus))
        assert torch.get_num_threads() == threads
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(before)


def test_accuracy_is_that_of_a_network_that_learns() -> None:
    events = events_of(make_task(), make_settings(epochs=12))
    assert events[-1]["metrics"]["val_accuracy"] > 0.6
    assert math.isfinite(events[-1]["metrics"]["val_nll"])
    assert events[-2]["train_loss"] < events[0]["train_loss"]
