from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bsd_core.data.sources import SOURCES, load_source
from bsd_core.data.sources.sizes import PUBLISHED_SIZES
from studies.device_hours import Costs, DeviceHours, Sizes, Work, confirm_work, estimate, n_operating_points, n_points, search_work
from tests.studies._dummies import make_spec

SIZES = Sizes(n_train=1000, n_val=200, n_test=300, image_shape=(1, 8, 8), n_classes=10)
NOTHING = Work(trainings=0, trained=0, predicted=0, corrupted=0, frames=0, measured=0)


def make_confirm(**changes: Any) -> dict[str, Any]:
    return {"points": "front", "at_most": 2, "seeds": 5, "corruptions": "none", **changes}


def test_a_search_is_counted_trial_by_trial() -> None:
    """Two arms of three trials of two epochs; cs_kd pushes two images a sample; 2 corruptions x 2 severities of 50 images."""
    shown = {"corruptions": ["contrast", "pixelate"], "severities": [1, 5], "images": 50}
    work = search_work(make_spec(methods=["bsd", "cs_kd"], trials=3, epochs=2, evaluate=shown), SIZES)
    assert work == Work(
        trainings=6, trained=3 * 2 * 1000 * (1 + 2), predicted=6 * 200 * (2 + 1), corrupted=6 * 50 * 4, frames=0, measured=6 * (2 + 4)
    )


def test_sequences_are_counted_by_frames() -> None:
    """31 frames of rotate and 16 of translate; no more images are perturbed than there are."""
    work = search_work(make_spec(evaluate={"corruptions": "none", "perturbations": ["rotate", "translate"], "images": 5000}), SIZES)
    assert work.frames == 4 * 200 * (31 + 16)


def test_on_a_budget_of_images_every_method_pushes_as_many() -> None:
    spec = make_spec(methods=["bsd", "cs_kd"], trials=3, epochs=2, budget="images")
    assert search_work(spec, SIZES).trained == 2 * 3 * 2 * 1000


def test_a_baseline_doubles_the_search_and_is_not_confirmed() -> None:
    plain = make_spec(confirm=make_confirm())
    twins = make_spec(confirm=make_confirm(), baseline="random")
    assert search_work(twins, SIZES).trainings == 2 * search_work(plain, SIZES).trainings
    assert confirm_work(twins, SIZES) == confirm_work(plain, SIZES)


def test_a_confirm_phase_is_counted_by_points_and_seeds() -> None:
    """Two points x five seeds of bsd and of cs_kd, two epochs; the test images once clean and once by each of 2 x 3 corruptions."""
    confirm = make_confirm(corruptions=["contrast", "pixelate"], severities=[1, 3, 5], perturbations=["rotate"])
    work = confirm_work(make_spec(methods=["bsd", "cs_kd"], epochs=2, confirm=confirm), SIZES)
    assert work == Work(
        trainings=20,
        trained=10 * 2 * 1000 * (1 + 2),
        predicted=20 * (200 * 3 + 300),
        corrupted=20 * 300 * 6,
        frames=20 * 300 * 31,
        measured=20 * (3 + 6),
    )


def test_training_on_validation_images_leaves_none_to_predict() -> None:
    work = confirm_work(make_spec(methods=["bsd"], epochs=2, confirm=make_confirm(train_on="train+val")), SIZES)
    assert work.trained == 10 * 2 * (1000 + 200)
    assert work.predicted == 10 * 300


def test_without_a_confirm_phase_there_is_nothing_to_do() -> None:
    assert confirm_work(make_spec(confirm="none"), SIZES) == NOTHING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"confirm": "none"}, 0),
        ({"confirm": make_confirm(at_most=3), "trials": 8}, 3),
        ({"confirm": make_confirm(at_most=3), "trials": 2}, 2),
        ({"confirm": make_confirm(at_most=3), "trials": 2, "stopping": "pareto_halving"}, 3),  # more, shorter trials
        ({"confirm": make_confirm(points="knee", at_most=3), "trials": 8}, 1),
    ],
)
def test_points_are_no_more_than_there_can_be(changes: dict[str, Any], expected: int) -> None:
    assert n_points(make_spec(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"confirm": "none"}, 0),
        ({"confirm": make_confirm(operating_points=False), "trials": 8}, 0),
        ({"confirm": make_confirm(), "trials": 8}, 2 * 3),
        ({"confirm": make_confirm(points="knee"), "trials": 2}, 2 * 2),  # one other trial of each of two methods
        ({"confirm": make_confirm(), "trials": 2}, 0),  # all are confirmed already
        ({"confirm": make_confirm(), "trials": 2, "stopping": "pareto_halving"}, 2 * 3),
    ],
)
def test_operating_points_add_three_settings_a_condition_if_there_are_as_many(changes: dict[str, Any], expected: int) -> None:
    assert n_operating_points(make_spec(conditions=["none", "symmetric:0.4"], **changes)) == expected


def test_operating_points_are_counted_as_trainings_of_the_costliest_method() -> None:
    """Two points of bsd and of cs_kd and three more of cs_kd, which pushes two images a sample, with five seeds each."""
    work = confirm_work(make_spec(methods=["bsd", "cs_kd"], trials=8, epochs=2, confirm=make_confirm()), SIZES)
    assert work.trainings == (2 * 2 + 3) * 5
    assert work.trained == 5 * 2 * 1000 * (2 * 1 + 2 * 2 + 3 * 2)


def test_seconds_are_counts_times_costs() -> None:
    """2 x 10 + 30 x 1 + (4 + 5 + 6) x 0.1 + 5 x 0.2 + 6 x 0.3 + 7 x 0.5."""
    costs = Costs(start=10, train=1, predict=0.1, corrupt=0.2, frame=0.3, measure=0.5)
    work = Work(trainings=2, trained=30, predicted=4, corrupted=5, frames=6, measured=7)
    assert costs.seconds(work) == pytest.approx(20 + 30 + 1.5 + 1.0 + 1.8 + 3.5)


def test_an_estimate_is_in_hours_by_phase() -> None:
    """4 and 20 trainings that cost a quarter of an hour and nothing else."""
    costs = Costs(start=900, train=0, predict=0, corrupt=0, frame=0, measure=0)
    hours = estimate(costs, make_spec(confirm=make_confirm()), SIZES)
    assert hours == DeviceHours(search=1.0, confirm=5.0)
    assert hours.total == 6.0


def test_every_data_set_with_a_name_has_a_published_size() -> None:
    assert set(PUBLISHED_SIZES) == set(SOURCES)


def test_the_published_size_of_digits_is_that_of_the_data() -> None:
    source = load_source("digits")
    size = PUBLISHED_SIZES["digits"]
    assert (size.n_train, size.n_test, size.n_classes) == (len(source.train), len(source.test), source.train.n_classes)
    assert size.image_shape == source.train.images.shape[1:]


CIFAR10 = Sizes(n_train=40_000, n_val=10_000, n_test=10_000, image_shape=(3, 32, 32), n_classes=10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dataset": "cifar10"}, CIFAR10),
        ({"dataset": "cifar10", "val_fraction": 0.1}, replace(CIFAR10, n_train=45_000, n_val=5_000)),
        ({"dataset": "cifar10", "train_images": 1000}, replace(CIFAR10, n_train=800, n_val=200)),
        ({"dataset": "cifar100", "n_classes": 128}, replace(CIFAR10, n_classes=128)),
        ({"dataset": "mnist"}, Sizes(n_train=48_000, n_val=12_000, n_test=10_000, image_shape=(1, 28, 28), n_classes=10)),
        (
            {"dataset": "tiny_imagenet", "image_size": 32},
            Sizes(n_train=80_000, n_val=20_000, n_test=10_000, image_shape=(3, 32, 32), n_classes=200),
        ),
    ],
)
def test_sizes_of_data_that_are_not_at_hand_are_the_published_ones(changes: dict[str, Any], expected: Sizes) -> None:
    assert Sizes.of(make_spec(**changes), None) == expected


def test_nobody_knows_the_size_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert Sizes.of(make_spec(dataset=f"folder:{tmp_path / 'absent'}"), None) is None
