from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.corruptions.noise import alias_table, shot_counts
from bsd_core.robustness.corruptions.severities import SEVERITIES, strength
from tests._dummies import Float64, UInt8
from tests.bsd_core.robustness.readings import noise

READINGS: dict[str, Callable[[UInt8, float, np.random.Generator], UInt8]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "speckle_noise": noise.speckle_noise,
}
MIDDLE = np.full((100, 3, 16, 16), 128, np.uint8)


def apply(images: UInt8, name: str, severity: int, *, seed: int = 0) -> UInt8:
    out: UInt8 = corrupt(torch.from_numpy(images), name, severity, seed=seed, indices=torch.arange(len(images))).numpy()
    return out


def difference(images: UInt8, name: str, severity: int, *, seed: int = 0) -> Float64:
    return apply(images, name, severity, seed=seed).astype(np.float64) - images


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 64, 64)])
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", READINGS)
def test_noise_of_each_grey_level_has_the_law_of_an_independent_sample(name: str, severity: int, shape: tuple[int, int, int]) -> None:
    # The grey levels of an image are equally frequent, so that each of four groups of them has 40,000 values or more.
    size = int(np.prod(shape))
    images = np.resize(np.arange(256, dtype=np.uint8), (160_000 // size + 1, size)).reshape(-1, *shape)
    parameter = strength(name, severity, height=shape[1], width=shape[2])
    rng = np.random.default_rng(severity)
    found, expected = apply(images, name, severity), READINGS[name](images, parameter, rng)
    for low in range(0, 256, 64):
        group = (images >= low) & (images < low + 64)
        one, other = (levels[group].astype(np.float64) - images[group] for levels in (found, expected))
        assert stats.ks_2samp(one, other, method="asymp").pvalue > 1e-5
        error = max(one.std(), other.std()) * np.sqrt(2 / len(one))
        assert one.mean() == pytest.approx(other.mean(), abs=4.5 * error)
        # The spread of a spread, from the fourth moment of the two samples.
        squares = np.concatenate([(one - one.mean()) ** 2, (other - other.mean()) ** 2])
        assert one.var() == pytest.approx(other.var(), abs=4.5 * squares.std() * np.sqrt(2 / len(one)))
        changed = (other != 0).mean()
        assert (one != 0).mean() == pytest.approx(changed, abs=4.5 * np.sqrt(changed * (1 - changed) * 2 / len(one)) + 1e-9)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise"])
def test_normal_noise_on_middle_grey_has_the_spread_of_the_table(name: str, severity: int) -> None:
    sigma = {
        "gaussian_noise": 255 * np.array([0.04, 0.06, 0.08, 0.09, 0.10]),
        "speckle_noise": 128 * np.array([0.06, 0.1, 0.12, 0.16, 0.2]),
    }[name][severity - 1]
    noise = difference(MIDDLE, name, severity)
    # Truncation shifts the mean by half a grey level and adds a variance of 1/12; nothing is clipped at 128.
    assert noise.mean() == pytest.approx(-0.5, abs=5 * sigma / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.02)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_on_middle_grey_has_the_variance_of_a_poisson_count(severity: int) -> None:
    photons = (500, 250, 100, 75, 50)[severity - 1]
    noise = difference(MIDDLE, "shot_noise", severity)
    assert noise.std() == pytest.approx(255 * np.sqrt(128 / 255 / photons), rel=0.02)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulses_are_half_black_and_half_white_and_fall_on_values_not_pixels(severity: int) -> None:
    amount = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    out = apply(MIDDLE, "impulse_noise", severity)
    assert set(np.unique(out)) == {0, 128, 255}
    for level in (0, 255):
        assert (out == level).mean() == pytest.approx(amount / 2, abs=5 * np.sqrt(amount / 2 / out.size))
    is_hit = out != 128
    n_channels = is_hit.sum(axis=1)
    assert (n_channels == 1).mean() == pytest.approx(3 * amount * (1 - amount) ** 2, rel=0.2)


@pytest.mark.parametrize("name", READINGS)
def test_noise_of_channels_pixels_and_images_is_uncorrelated(name: str) -> None:
    noise = difference(np.full((60, 3, 32, 32), 128, np.uint8), name, 5)
    pairs = [
        (noise[:, 0], noise[:, 1]),
        (noise[:, :, :, 1:], noise[:, :, :, :-1]),
        (noise[:, :, 1:], noise[:, :, :-1]),
        (noise[1:], noise[:-1]),
    ]
    for left, right in pairs:
        # 61,440 pairs or more: a correlation spreads by 0.004
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 5 * 0.004


@pytest.mark.parametrize("name", READINGS)
def test_severities_are_other_noise_not_only_more_of_it(name: str) -> None:
    noise = [difference(MIDDLE, name, severity) for severity in SEVERITIES]
    assert [part.std() for part in noise] == sorted(part.std() for part in noise)
    assert abs(np.corrcoef(noise[3].ravel(), noise[4].ravel())[0, 1]) < 5 / np.sqrt(noise[0].size)


@pytest.mark.parametrize("name", ["shot_noise", "speckle_noise"])
def test_black_stays_black_where_noise_grows_with_the_light(name: str) -> None:
    assert not apply(np.zeros_like(MIDDLE), name, 5).any()


@pytest.mark.parametrize("photons", [500, 50, 3])
def test_shot_counts_are_the_poisson_law_of_each_grey_level(photons: int) -> None:
    counts = shot_counts(photons)
    assert counts.min() >= 0
    assert (counts.sum(axis=1) == 2**16).all()
    for level in (0, 1, 100, 254, 255):
        k = np.arange(3 * photons + 60)
        outputs = (np.clip(k / photons, 0, 1) * 255).astype(np.uint8)
        law = np.bincount(outputs, weights=stats.poisson.pmf(k, level / 255 * photons), minlength=256)
        assert counts[level] / 2**16 == pytest.approx(law, abs=2.0**-16)


def test_an_alias_table_gives_every_column_exactly_its_count() -> None:
    rng = np.random.default_rng(0)
    counts = np.stack([
        np.full(256, 256),
        np.bincount([7], weights=[2**16], minlength=256),
        rng.multinomial(2**16, rng.dirichlet(np.full(256, 0.05))),
        shot_counts(75)[200],
    ]).astype(np.int64)  # fmt: skip
    limits, aliases = alias_table(counts)
    column, height = np.arange(2**16) & 255, np.arange(2**16) >> 8
    for row in range(len(counts)):
        drawn = np.where(height <= limits[row, column], column, aliases[row, column])
        assert np.array_equal(np.bincount(drawn, minlength=256), counts[row])
