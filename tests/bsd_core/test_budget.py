from __future__ import annotations

import pytest

from bsd_core.budget import total_steps
from bsd_core.config import TrainConfig
from bsd_core.methods import method_config

SIZES = [16, 16, 16, 2]  # 50 images


def steps(method: str, *, epochs: int, budget: str = "images", sizes: list[int] = SIZES, **settings: object) -> int:
    return total_steps(TrainConfig(epochs=epochs, budget=budget, warmup_epochs=0), sizes, method_config(method, dict(settings)))


@pytest.mark.parametrize("method", ["cross_entropy", "cs_kd", "kd", "bsd_contrastive"])
def test_a_budget_of_epochs_is_all_of_them(method: str) -> None:
    assert steps(method, epochs=3, budget="epochs") == 12


def test_a_method_of_one_image_a_sample_has_the_same_steps_either_way() -> None:
    assert steps("cross_entropy", epochs=3) == 12


@pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (2, 4), (3, 5), (4, 8)])
def test_partners_halve_the_images_and_the_short_batch_counts_as_what_it_is(epochs: int, expected: int) -> None:
    # 2 images a sample: 25, 50, 75, 100 samples; an epoch is 16 + 16 + 16 + 2.
    assert steps("cs_kd", epochs=epochs) == expected


def test_a_teacher_that_is_trained_first_costs_one_pass_and_the_student_two() -> None:
    # 150 images: 4 steps of the teacher (50), then 16 + 16 + 16 samples twice (96), are 146; an eighth step (2 samples) makes 150.
    assert steps("kd", epochs=3) == 8
    assert steps("kd", epochs=3, teacher="weights.pt") == 5  # 75 samples, twice: 16 + 16 + 16 + 2 + 16


def test_a_clean_pass_costs_as_many_images_as_the_epoch_has() -> None:
    assert steps("bsd", epochs=4, evidence="clean") == 8  # 2 epochs of 50 and 50
    assert steps("bsd", epochs=3, evidence="clean") == 7  # and a half one, which ends before its pass
    assert steps("bsd", epochs=1, evidence="clean") == 3


def test_at_least_one_step_is_made() -> None:
    assert steps("bsd_contrastive", epochs=1, sizes=[16]) == 1
