from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from bsd_core.data import statistics
from bsd_core.data.label_noise import check_instance_size, instance, instance_features, spoil_labels
from bsd_core.errors import ConfigError, DataError
from tests._dummies import Int64, UInt8, load_shared_golden, make_images, make_mapped_images
from tests.bsd_core.data.label_noise._dummies import make_balanced


def read_from_the_paper(true: Int64, features: npt.NDArray[np.float32], rate: float, n_classes: int, seed: int) -> Int64:
    """Algorithm 2 of Xia et al. image by image, with the random numbers in the order of the authors' code."""
    stream = np.random.RandomState(seed)
    flip_rates = stats.truncnorm(-rate / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).rvs(len(true), random_state=stream)
    weights = stream.randn(n_classes, features.shape[1], n_classes).astype(np.float32)
    rows = []
    for x, y, q in zip(features, true, flip_rates, strict=True):
        scores = np.delete(x @ weights[y], y).astype(np.float64)
        wrong = np.exp(scores) / np.exp(scores).sum()
        rows.append(np.insert(q * wrong, y, 1 - q))
    return np.array([stream.choice(n_classes, p=row) for row in rows])


def make_features(n: int, d: int = 8) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)


def test_the_labels_are_those_of_the_authors_function() -> None:
    golden = load_shared_golden("noise")
    given = spoil_labels(
        golden["idn_y"], "instance", float(golden["idn_rate"]), n_classes=4, seed=int(golden["idn_seed"]), features=golden["idn_X"]
    )
    assert given.tolist() == golden["idn_labels"].tolist()


def test_the_flip_rates_are_those_of_the_authors_function() -> None:
    golden = load_shared_golden("noise")
    uniform = np.random.RandomState(int(golden["idn_seed"])).random_sample(40)
    assert instance.truncated_normal(0.3, uniform) == pytest.approx(golden["idn_q"], abs=1e-14)


@pytest.mark.parametrize(("rate", "seed", "n_classes"), [(0.01, 0, 10), (0.2, 1, 2), (0.45, 2, 5), (0.99, 3, 7)])
def test_the_labels_are_those_of_the_paper_read_image_by_image(rate: float, seed: int, n_classes: int) -> None:
    true, features = make_balanced(300, n_classes), make_features(300)
    given = spoil_labels(true, "instance", rate, n_classes=n_classes, seed=seed, features=features)
    assert np.array_equal(given, read_from_the_paper(true, features, rate, n_classes, seed))


def test_a_class_without_images_takes_its_random_numbers_nevertheless() -> None:
    true, features = make_balanced(60, 3) * 2, make_features(60)  # classes 0, 2 and 4 of six
    given = spoil_labels(true, "instance", 0.4, n_classes=6, seed=9, features=features)
    assert np.array_equal(given, read_from_the_paper(true, features, 0.4, 6, 9))


def test_the_size_of_a_block_changes_no_label(monkeypatch: pytest.MonkeyPatch) -> None:
    true, features = make_balanced(100, 4), make_features(100)
    whole = spoil_labels(true, "instance", 0.4, n_classes=4, seed=0, features=features)
    monkeypatch.setattr(instance, "_BLOCK", 7)
    assert np.array_equal(spoil_labels(true, "instance", 0.4, n_classes=4, seed=0, features=features), whole)


def test_large_seeds_are_taken_modulo_two_to_the_32() -> None:
    true, features = make_balanced(100, 4), make_features(100)
    small, large = (spoil_labels(true, "instance", 0.4, n_classes=4, seed=seed, features=features) for seed in (5, 5 + 2**40))
    assert np.array_equal(small, large)


def test_an_image_that_occurs_often_is_mistaken_for_the_same_class_mostly() -> None:
    true, features = np.zeros(4000, np.int64), np.repeat(make_features(1, 200), 4000, axis=0)
    given = spoil_labels(true, "instance", 0.5, n_classes=10, seed=1, features=features)
    wrong = np.bincount(given[given != true], minlength=10)
    assert wrong.max() > 0.9 * wrong.sum()


@pytest.mark.parametrize("rate", [1e-9, 0.05, 0.3, 0.5, 0.999])
def test_the_mean_flip_rate_is_that_of_the_truncated_normal(rate: float) -> None:
    expected = stats.truncnorm(-rate / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).mean()
    assert instance.mean_flip_rate(rate) == pytest.approx(expected, rel=1e-6)
    drawn = instance.truncated_normal(rate, (np.arange(20_000) + 0.5) / 20_000)
    assert 0 <= drawn.min() <= drawn.max() <= 1
    assert drawn.mean() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_pixels_normalised_per_channel_and_flattened(channels: int) -> None:
    images = make_images(30, channels, 5, 7)
    features = instance_features(images)
    pixels = images / 255
    expected = (pixels - pixels.mean((0, 2, 3), keepdims=True)) / pixels.std((0, 2, 3), keepdims=True)
    assert features.shape == (30, channels * 35)
    assert features.dtype == np.float32
    assert features == pytest.approx(expected.reshape(30, -1), abs=1e-5)


def test_mapped_images_have_the_same_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = make_images(20)
    whole = instance_features(images)
    monkeypatch.setattr(instance, "_BLOCK", 6)
    assert np.array_equal(instance_features(make_mapped_images(tmp_path, images)), whole)


def test_several_arrays_of_images_are_normalised_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = make_images(20)
    images[12:] //= 2  # by themselves the last ones would come out differently
    whole = instance_features(images)
    monkeypatch.setattr(instance, "_BLOCK", 6)
    monkeypatch.setattr(statistics, "_CHUNK_BYTES", 5 * images[0].nbytes)  # chunks that lie across the parts
    mapped = make_mapped_images(tmp_path, images[:12])
    assert np.array_equal(instance_features(mapped, images[12:12], images[12:]), whole)
    assert not np.array_equal(instance_features(images[12:]), whole[12:])


def test_images_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(DataError, match=r"of one shape \(C, H, W\), but got \[\(3, 3, 8, 8\), \(3, 1, 8, 8\)\]"):
        instance_features(make_images(3, 3, 8, 8), make_images(3, 1, 8, 8))
    with pytest.raises(DataError, match=r"but got \[\]"):
        instance_features()
    with pytest.raises(DataError, match=r"but got \[\(0, 3, 8, 8\)\]"):
        instance_features(make_images(1, 3, 8, 8)[:0])


def test_images_of_one_colour_have_finite_features() -> None:
    images: UInt8 = np.full((4, 3, 2, 2), 200, np.uint8)
    assert instance_features(images) == pytest.approx(0, abs=1e-3)


def test_weights_beyond_a_gibibyte_are_refused_before_they_are_drawn() -> None:
    # 1000 x 300 x 1000 float32 are 1.2e9 bytes, 1.1 GiB; 1000 x 268 x 1000 are just below one
    check_instance_size(1000, 268)
    with pytest.raises(
        ConfigError, match=r"needs 1000 x 300 x 1000 random weights, 1\.1 GiB; at most 1 GiB is allowed\. Use smaller images"
    ):
        spoil_labels(np.zeros(2, np.int64), "instance", 0.4, n_classes=1000, seed=0, features=make_features(2, 300))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (make_features(9), r"Expected float features of shape \(10, d\), one row an image, but got float32 \(9, 8\)"),
        (make_features(10).reshape(10, 2, 4), r"got float32 \(10, 2, 4\)"),
        (np.zeros((10, 8), np.uint8), r"got uint8 \(10, 8\)"),
        (np.full((10, 8), np.nan, np.float32), r"values that are not finite, or too large"),
        (np.full((10, 8), 3e38, np.float32), r"values that are not finite, or too large"),
    ],
)
def test_features_that_are_none_are_refused(features: npt.NDArray[np.float32], message: str) -> None:
    with pytest.raises(DataError, match=message):
        spoil_labels(make_balanced(10, 3), "instance", 0.4, n_classes=3, seed=0, features=features)
