"""Every corruption's statistics on the photographs and beside the numbers of the reference.

The golden numbers come from one run of the reference over 200 photographs: the first 20 of each class by file name. Ours are taken on
the same photographs, so which photographs were drawn is no part of the error, and the deterministic corruptions must agree as they are.
What is left for the random ones is the draw. Images are drawn independently, so the variance of a statistic over draws is the sum over
images of the variance of each image's contribution, and a few seeds of ours tell it well: 200 images give each seed 200 degrees of
freedom. The error of a difference is that of one draw (theirs) and of the mean of N_SEEDS (ours).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from tests._dummies import Float64, UInt8, load_shared_golden, shared_cifar10

N_SEEDS = 6
EXACT = ("brightness", "contrast", "pixelate", "jpeg_compression", "saturate")
WITHIN_ONE_LEVEL = ("defocus_blur", "zoom_blur", "gaussian_blur")  # on at most 2 % of values
DRAWN = tuple(name for name in CORRUPTIONS if name not in EXACT + WITHIN_ONE_LEVEL)
STATISTICS = ("mean", "std", "mean_abs", "frac_changed")


@dataclass(frozen=True)
class Statistics:
    """Of corrupted - clean, in grey levels, over all values; `changed` is a fraction.

    Attributes:
        values: (4,) in the order of STATISTICS.
        errors: (4,) standard errors of `values` over draws of the corruption's random numbers, for one draw.
    """

    values: Float64
    errors: Float64


def difference_statistics(differences: Float64) -> Statistics:
    """(S, N, V): S draws of N images with V values each."""
    mean, square = differences.mean(axis=2), (differences**2).mean(axis=2)  # (S, N)
    mean_abs, changed = np.abs(differences).mean(axis=2), (differences != 0).mean(axis=2)
    spread = np.sqrt(square.mean(axis=1) - mean.mean(axis=1) ** 2)  # (S,)
    # What an image adds to the spread, to first order: d sqrt(E[x^2] - E[x]^2) = (d E[x^2] - 2 E[x] d E[x]) / (2 spread)
    spread_part = (square - 2 * mean.mean() * mean) / (2 * spread.mean())
    parts = np.stack([mean, spread_part, mean_abs, changed])  # (4, S, N)
    errors = np.zeros(4)
    if len(differences) > 1:
        # No less than if one value had come out otherwise: where only a few of the values stay as they were, no draw of ours may tell.
        errors = np.sqrt(parts.var(axis=1, ddof=1).sum(axis=1) / parts.shape[2] ** 2 + 1 / differences[0].size ** 2)
    values = np.array([mean.mean(), spread.mean(), mean_abs.mean(), changed.mean()])
    return Statistics(values, errors)


def corrupted_statistics(images: UInt8, name: str, severity: int, *, n_seeds: int) -> Statistics:
    """Of the corruption `name` with the seeds 0, 1, ..."""
    pixels, indices = torch.from_numpy(images), torch.arange(len(images))
    draws = [corrupt(pixels, name, severity, seed=seed, indices=indices).numpy().astype(np.float64) - images for seed in range(n_seeds)]
    return difference_statistics(np.stack(draws).reshape(n_seeds, len(images), -1))


@pytest.fixture(scope="module")
def photographs() -> UInt8:
    """(200, 3, 32, 32): the photographs of the golden numbers."""
    (file,) = shared_cifar10().glob("test*.parquet")
    rows = pq.read_table(file, columns=["img"])["img"].to_pylist()
    chosen = [row["bytes"] for row in rows if int(row["path"].split("/")[1].removesuffix(".jpg")) < 20]
    return np.stack([np.asarray(Image.open(io.BytesIO(picture))) for picture in chosen]).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def expected() -> dict[tuple[str, int], Float64]:
    """(corruption, severity) -> (4,) in the order of STATISTICS."""
    golden = load_shared_golden("corruptions_stats")
    return {
        (name, severity): np.array([golden[statistic][row, severity - 1] for statistic in STATISTICS])
        for row, name in enumerate(golden["names"].tolist())
        for severity in SEVERITIES
    }


def test_statistics_and_their_errors_are_those_of_a_known_law() -> None:
    sigma, n_images, n_values = 3.0, 40, 300
    rng = np.random.default_rng(0)
    found = difference_statistics(rng.normal(1.0, sigma, (50, n_images, n_values)))
    root = np.sqrt(n_images * n_values)
    assert found.errors[:2] == pytest.approx([sigma / root, sigma / root / np.sqrt(2)], rel=0.06)
    assert found.values[:2] == pytest.approx([1.0, sigma], abs=5 * sigma / root / np.sqrt(50))
    assert found.values[3] == 1.0
    assert found.errors[3] == pytest.approx(1 / (n_images * n_values))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", EXACT)
def test_an_exact_corruption_has_the_very_statistics_of_the_reference(
    name: str, severity: int, photographs: UInt8, expected: dict[tuple[str, int], Float64]
) -> None:
    found = corrupted_statistics(photographs, name, severity, n_seeds=1).values
    assert found == pytest.approx(expected[name, severity], abs=1e-9)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", WITHIN_ONE_LEVEL)
def test_a_blur_has_the_statistics_of_the_reference_but_for_last_bits(
    name: str, severity: int, photographs: UInt8, expected: dict[tuple[str, int], Float64]
) -> None:
    found = corrupted_statistics(photographs, name, severity, n_seeds=1).values
    assert found == pytest.approx(expected[name, severity], abs=0.02)  # one grey level on 2 % of values


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", DRAWN)
def test_a_random_corruption_has_the_statistics_of_the_reference_within_three_standard_errors(
    name: str, severity: int, photographs: UInt8, expected: dict[tuple[str, int], Float64]
) -> None:
    found = corrupted_statistics(photographs, name, severity, n_seeds=N_SEEDS)
    error = found.errors * np.sqrt(1 + 1 / N_SEEDS)
    distances = (found.values - expected[name, severity]) / error
    assert np.abs(distances).max() < 3, dict(zip(STATISTICS, distances.round(2).tolist(), strict=True))
