"""The data of the confirm phase: fresh noise, and the test split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bsd_core.data.sources import load_source
from studies.prepare import PreparedStudy, prepare
from studies.prepare_confirm import PreparedConfirm, prepare_confirm
from studies.spec import StudySpec
from tests.studies._dummies import make_spec

CONDITIONS = ["none", "symmetric:0.4"]


def ready(spec: StudySpec) -> tuple[PreparedStudy, PreparedConfirm]:
    prepared = prepare(spec)
    return prepared, prepare_confirm(spec, prepared)


def confirming(**confirm: Any) -> StudySpec:
    return make_spec(conditions=CONDITIONS, train_images=400, confirm={"seeds": 2, "corruptions": ["fog"], **confirm})


def test_test_images_are_the_official_ones_by_true_labels() -> None:
    _, confirm = ready(confirming())
    official = load_source("digits").test
    assert np.array_equal(confirm.test.images, official.images)
    assert np.array_equal(confirm.test.targets, official.targets)
    assert np.array_equal(confirm.test.shifted_rows, np.arange(len(official)))


def test_nothing_of_the_test_split_is_in_what_the_search_is_sent() -> None:
    prepared, confirm = ready(confirming())
    seen = {image.tobytes() for images in (prepared.data.train_images, prepared.data.val_images) for image in images[:]}
    assert not seen & {image.tobytes() for image in confirm.test.images[:]}
    assert not any("test" in name for name in vars(prepared.data))
    assert not any("test" in name for name in vars(prepared.settings))


def test_each_seed_draws_its_own_wrong_labels_at_the_same_rate() -> None:
    prepared, confirm = ready(confirming())
    assert set(confirm.data.given) == {"none/0", "none/1", "symmetric_40/0", "symmetric_40/1"}
    searched = prepared.data.given["symmetric_40"][0]
    first, second = (confirm.data.given[f"symmetric_40/{replicate}"][0] for replicate in (0, 1))
    true = prepared.data.train_targets
    assert len({(labels != true).mean() for labels in (searched, first, second)}) == 1
    assert not np.array_equal(searched, first)
    assert not np.array_equal(first, second)
    assert np.array_equal(confirm.data.given["none/1"][0], true)


def test_the_noise_of_the_search_can_be_kept() -> None:
    prepared, confirm = ready(confirming(noise_seeds="same"))
    for replicate in (0, 1):
        for mine, theirs in zip(confirm.data.given[f"symmetric_40/{replicate}"], prepared.data.given["symmetric_40"], strict=True):
            assert np.array_equal(mine, theirs)


def test_trainings_on_all_images_leave_none_for_validation() -> None:
    prepared, confirm = ready(confirming(train_on="train+val"))
    train, val = prepared.data.train_images, prepared.data.val_images
    assert np.array_equal(confirm.data.train_images, np.concatenate([train[:], val[:]]))
    assert np.array_equal(confirm.data.train_targets, np.concatenate([prepared.data.train_targets, prepared.data.val_targets]))
    assert len(confirm.data.val_images) == len(confirm.data.val_targets) == len(confirm.data.shifted_rows) == 0
    for given, nothing in confirm.data.given.values():
        assert (len(given), len(nothing)) == (400, 0)


def test_test_images_are_corrupted_as_the_study_says_and_not_as_validation_images_are() -> None:
    spec = make_spec(
        evaluate={"corruptions": ["snow"], "perturbations": ["rotate"]}, confirm={"corruptions": ["fog"], "severities": [2], "images": 30}
    )
    prepared, confirm = ready(spec)
    plan = confirm.settings.evaluation
    assert (plan.corruptions, plan.severities, plan.perturbations) == (("fog",), (2,), ("rotate",))
    assert plan.seed != prepared.settings.evaluation.seed
    assert len(confirm.test.shifted_rows) == 30
    shown = confirm.test.targets[confirm.test.shifted_rows]
    assert np.ptp(np.bincount(shown, minlength=10)) <= 1  # stratified


def test_by_default_all_corruptions_in_all_severities_are_shown() -> None:
    spec = make_spec(confirm={})
    plan = ready(spec)[1].settings.evaluation
    assert plan.n_shifts == 95
    assert plan.perturbations == ()


def test_perturbations_of_their_own_and_kept_predictions() -> None:
    spec = confirming(perturbations=["tilt"], predictions="all")
    settings = ready(spec)[1].settings
    assert (settings.evaluation.perturbations, settings.predictions) == (("tilt",), "all")


@pytest.mark.parametrize("change", [{"seeds": 3}, {"train_on": "train+val"}, {"noise_seeds": "same"}])
def test_a_process_does_not_take_the_data_of_one_phase_for_those_of_another(change: dict[str, Any]) -> None:
    prepared, confirm = ready(confirming())
    _, other = ready(confirming(**change))
    assert len({prepared.data.fingerprint, confirm.data.fingerprint, other.data.fingerprint}) == 3


def test_features_are_of_a_stratified_subset_that_is_the_same_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    test = ready(confirming())[1].test
    assert test.feature_rows is not None
    assert test.feature_rows.tolist() == list(range(len(test.targets)))  # fewer than 2,000
    assert ready(confirming(features=False))[1].test.feature_rows is None
    monkeypatch.setattr("studies.prepare_confirm.FEATURE_IMAGES", 100)
    some, again = (ready(confirming(seeds=seeds))[1].test.feature_rows for seeds in (1, 2))
    assert some is not None
    assert again is not None
    assert some.tolist() == again.tolist()
    counts = np.bincount(test.targets[some], minlength=10)
    assert (len(set(some.tolist())), counts.min() >= 9, counts.max() <= 11) == (100, True, True)
