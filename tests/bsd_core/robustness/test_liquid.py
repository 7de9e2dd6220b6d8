from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from bsd_core.robustness.liquid import canny_edges, edge_distance, emboss, equalise, water_mask
from tests.bsd_core.robustness.readings import spatter as readings

Int16 = npt.NDArray[np.int16]
SHAPES = [(32, 32), (13, 9), (3, 40), (1, 5), (2, 2), (1, 1)]


def make_layers(height: int, width: int, *, seed: int = 0) -> Int16:
    """(12, H, W) grey levels: noise, smooth hills, and drops on black, four of each."""
    noise = np.random.default_rng(seed).uniform(0, 1, (12, height, width))
    smooth = np.stack([ndimage.gaussian_filter(plane, 1.5, mode="nearest") for plane in noise])
    layers = np.concatenate([noise[:4] * 255, smooth[4:8] * 600 % 256, np.where(smooth[8:] > 0.52, smooth[8:] * 400 % 256, 0)])
    return layers.astype(np.int16)


def last(layers: npt.NDArray[np.generic]) -> Tensor:
    """(N, H, W) -> (H, W, N)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(layers, 0, 2)))


def first(x: Tensor) -> npt.NDArray[np.generic]:
    return np.moveaxis(x.numpy(), 2, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_step_is_its_definition_applied_layer_by_layer(shape: tuple[int, int]) -> None:
    layers = make_layers(*shape)
    edges = np.stack([readings.canny(layer.astype(int)) for layer in layers])
    assert np.array_equal(first(canny_edges(last(layers))), edges)
    distance = np.stack([readings.chamfer_distance(plane) for plane in edges])
    assert np.array_equal(first(edge_distance(last(edges))).clip(max=20), distance.clip(max=20))
    levels = layers.astype(np.uint8)
    assert np.array_equal(first(equalise(last(levels))), np.stack([readings.equalise(level) for level in levels]))
    kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = np.stack([ndimage.correlate(layer.astype(int), kernel, mode="mirror").clip(0, 255) for layer in layers])
    assert np.array_equal(first(emboss(last(levels))), relief)
    mask = np.stack([readings.water_mask(layer.astype(int)) for layer in layers])
    assert first(water_mask(last(layers))) == pytest.approx(mask, abs=1e-6)


def test_an_edge_continues_over_weak_pixels_but_does_not_begin_there() -> None:
    # A step from left to right whose height falls from 60 to 20 along the rows: 4 x 60 is above 150, 4 x 20 between 50 and 150.
    step = np.zeros((8, 9), np.int16)
    step[:, 5:] = np.array([60, 60, 20, 20, 20, 20, 20, 20])[:, None]
    assert canny_edges(last(step[None]))[:, 4:6].any(dim=1).all()
    assert not canny_edges(last(np.where(step > 0, 20, 0).astype(np.int16)[None])).any()


def test_distances_are_straight_diagonal_and_knights_steps() -> None:
    edges = np.zeros((1, 5, 5), dtype=bool)
    edges[0, 1, 1] = True
    diagonal, knight = 91750 / 65536, 143976 / 65536  # 1.4 and 2.1969 in fixed point
    assert first(edge_distance(last(edges)))[0].tolist() == [
        [diagonal, 1, diagonal, knight, 1 + knight],
        [1, 0, 1, 2, 3],
        [diagonal, 1, diagonal, knight, 1 + knight],
        [knight, 2, knight, 2 * diagonal, diagonal + knight],
        [1 + knight, 3, 1 + knight, diagonal + knight, 3 * diagonal],
    ]


def test_without_an_edge_everything_is_far() -> None:
    assert float(edge_distance(torch.zeros(30, 40, 2, dtype=torch.bool)).min()) >= 20


def test_equalising_spreads_the_levels_that_occur_and_keeps_a_constant_image() -> None:
    levels = np.array([[[3, 3, 7, 9, 9]], [[4, 4, 4, 4, 4]]], np.uint8)
    # Above the lowest level lie three pixels: one is at most a 7, all three at most a 9.
    assert first(equalise(last(levels))).tolist() == [[[0, 0, 85, 255, 255]], [[4, 4, 4, 4, 4]]]


def test_a_mask_has_a_largest_value_of_one_and_a_dry_layer_none() -> None:
    layers = make_layers(32, 32)
    layers[3] = 0
    largest = first(water_mask(last(layers))).max((1, 2))
    assert largest.tolist() == [1.0, 1.0, 1.0, 0.0, *[1.0] * 8]
    alone = water_mask(last(layers[5:6]))
    assert torch.equal(alone[..., 0], water_mask(last(layers))[..., 5])
