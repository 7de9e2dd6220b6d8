from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from bsd_core.robustness.plasma import plasma_fractal, plasma_side
from bsd_core.robustness.random_fields import RandomField
from tests._dummies import Float64
from tests.bsd_core.robustness.readings.replay import Replay
from tests.bsd_core.robustness.readings.weather import diamond_square


def make_field(n: int, *, first: int = 0) -> RandomField:
    return RandomField("test", "plasma", indices=torch.arange(first, first + n))


def wobbles(field: RandomField, side: int) -> Float64:
    """(N, side**2 - 1) in (0, 1), the numbers that a fractal uses."""
    return np.asarray(field.bits(side * side - 1).double() / 2**32 + 0.5)


@pytest.mark.parametrize(
    ("height", "width", "side"), [(1, 1, 2), (2, 2, 2), (3, 2, 4), (8, 8, 8), (9, 13, 16), (32, 32, 32), (24, 40, 64), (224, 224, 256)]
)
def test_the_side_is_the_next_power_of_two(height: int, width: int, side: int) -> None:
    assert plasma_side(height, width) == side


@pytest.mark.parametrize("decay", [1.75, 2.0, 3.0])
@pytest.mark.parametrize("side", [2, 4, 32])
def test_a_fractal_is_the_diamond_square_algorithm_on_its_random_numbers(side: int, decay: float) -> None:
    found = plasma_fractal(make_field(4), side, decay).numpy()
    for fractal, numbers in zip(found, wobbles(make_field(4), side), strict=True):
        rng = Replay(uniform=numbers)
        assert fractal == pytest.approx(diamond_square(side, decay, cast(np.random.Generator, rng)), abs=2e-6)
        assert rng.is_used_up()


def test_a_fractal_of_two_by_two_can_be_computed_by_hand() -> None:
    # The corner is 0, the centre c; either edge has the corner on two sides and the centre on the other two: c / 2 + its own wobble.
    centre, top, left = 10_000 * (2 * wobbles(make_field(1), 2)[0] - 1)
    values = np.array([[0, centre / 2 + top], [centre / 2 + left, centre]])
    expected = (values - values.min()) / (values.max() - values.min())
    assert plasma_fractal(make_field(1), 2, 3.0)[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_every_fractal_has_its_own_0_and_1() -> None:
    fractals = plasma_fractal(make_field(50), 16, 2.0)
    assert torch.equal(fractals.amin((1, 2)), torch.zeros(50))
    assert torch.equal(fractals.amax((1, 2)), torch.ones(50))


def test_a_fractal_does_not_depend_on_its_batch() -> None:
    whole = plasma_fractal(make_field(9), 32, 2.0)
    assert torch.equal(plasma_fractal(make_field(4, first=3), 32, 2.0), whole[3:7])


def test_opposite_borders_fit_together() -> None:
    fractals = plasma_fractal(make_field(200), 32, 2.0)
    inside = (fractals[:, :, 1:] - fractals[:, :, :-1]).square().mean()
    around = (fractals[:, :, 0] - fractals[:, :, -1]).square().mean()
    assert around / inside == pytest.approx(1, abs=0.2)


def test_a_larger_decay_is_smoother() -> None:
    fractals = [plasma_fractal(make_field(50), 32, decay) for decay in (1.5, 2.0, 3.0)]
    rough, middle, smooth = (float((x[:, :, 1:] - x[:, :, :-1]).abs().mean()) for x in fractals)
    assert rough > 1.5 * middle
    assert middle > 1.1 * smooth
