from __future__ import annotations

import pytest

from bsd_core.bench import Spread, operations_per_image, passes_of
from tests._dummies import make_recipe, make_toy_images


def test_operations_of_a_trained_image_are_three_times_those_of_the_forward_pass() -> None:
    # resnet20 at 32 px: 40.55 million multiply-adds forward (He et al. say 41 million); the backward pass takes twice as many, but for
    # the gradient of the images themselves, 0.44 million.
    expected = 2 * (3 * 40.55e6 - 0.44e6)
    assert operations_per_image("resnet20", None, 32) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("cross_entropy", [(16, True, True)]),
        ("cs_kd", [(16, True, True), (16, False, True)]),
        ("dlb", [(16, True, True), (16, True, True)]),
        ("ddgsd", [(32, True, True)]),
    ],
)
def test_the_passes_of_a_step_are_those_of_the_method(method: str, passes: list[tuple[int, bool, bool]]) -> None:
    images, targets = make_toy_images(48)
    found = passes_of(make_recipe(method), images, targets)
    assert [(call.n_images, call.trained, call.training_mode) for call in found] == passes


def test_heads_are_passes_too_and_show_no_images() -> None:
    images, targets = make_toy_images(48)
    found = passes_of(make_recipe("bsd_contrastive"), images, targets)
    assert sum(call.n_images for call in found) == 48
    assert sum(call.n_images == 0 for call in found) == 3  # projector, predictor, and the averaged projector without gradient
    assert {call.trained for call in found if not call.n_images} == {True, False}


def test_a_spread_is_made_of_quartiles() -> None:
    assert Spread.of([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(median=3.0, low=2.0, high=4.0)
