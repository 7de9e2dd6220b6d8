from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.data.splits import split_rows, split_train_val, stratified_split, subset, subset_rows
from bsd_core.errors import ConfigError
from tests._dummies import PROPERTY, make_image_set

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80)


@PROPERTY
@given(labels=LABELS, share=st.floats(0, 1), seed=st.integers(0, 5))
def test_a_split_is_sorted_disjoint_whole_and_of_the_right_size(labels: list[int], share: float, seed: int) -> None:
    n_held = round(share * len(labels))
    rest, held = stratified_split(np.array(labels), n_held, seed=seed)
    assert len(held) == n_held
    assert np.all(np.diff(rest) > 0)
    assert np.all(np.diff(held) > 0)
    assert sorted([*rest.tolist(), *held.tolist()]) == list(range(len(labels)))


@PROPERTY
@given(labels=LABELS, share=st.floats(0, 1))
def test_every_class_is_held_out_in_its_share_to_within_one_image(labels: list[int], share: float) -> None:
    targets, n_held = np.array(labels), round(share * len(labels))
    _, held = stratified_split(targets, n_held, seed=0)
    for label in set(labels):
        size, taken = labels.count(label), int((targets[held] == label).sum())
        # floor(size * n_held / N) or one more, in whole numbers
        assert taken - size * n_held // len(labels) in (0, 1)


@PROPERTY
@given(sizes=st.tuples(st.integers(0, 10), st.integers(0, 10)), seed=st.integers(0, 5))
def test_larger_splits_of_a_balanced_set_contain_the_smaller_ones(sizes: tuple[int, int], seed: int) -> None:
    targets = np.arange(60) % 6
    small, large = (set(stratified_split(targets, 6 * size, seed=seed)[1].tolist()) for size in sorted(sizes))
    assert small <= large


def test_what_is_left_goes_to_the_largest_remainders() -> None:
    targets = np.array([0] * 5 + [1] * 3 + [2] * 2)
    # Shares of 4 of 10: 2.0, 1.2, 0.8; floors 2, 1, 0; the one left goes to class 2.
    _, held = stratified_split(targets, 4, seed=0)
    assert np.bincount(targets[held]).tolist() == [2, 1, 1]


def test_the_seed_decides_which_rows() -> None:
    targets = np.arange(100) % 5
    first, again, other = (stratified_split(targets, 20, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_rows_of_a_class_do_not_depend_on_other_classes() -> None:
    alone = np.array([0] * 10 + [1] * 10)
    renamed = np.array([0] * 10 + [3] * 10)
    assert np.array_equal(stratified_split(alone, 8, seed=3)[1][:4], stratified_split(renamed, 8, seed=3)[1][:4])


@pytest.mark.parametrize("n_held", [-1, 6])
def test_more_or_less_than_all_cannot_be_held_out(n_held: int) -> None:
    with pytest.raises(ConfigError, match=rf"`0 <= n_held <= N` must hold, but got n_held={n_held}, N=5"):
        stratified_split(np.zeros(5, np.int64), n_held, seed=0)


def test_an_empty_set_splits_into_two_empty_ones() -> None:
    rest, held = stratified_split(np.empty(0, np.int64), 0, seed=0)
    assert (rest.size, held.size) == (0, 0)


def test_train_and_val_are_a_stratified_partition_of_the_images() -> None:
    images = make_image_set(50, n_classes=5)
    train, val = split_train_val(images, 0.2, seed=4)
    assert (len(train), len(val)) == (40, 10)
    assert np.bincount(val.targets).tolist() == [2] * 5
    together = {image.tobytes() for part in (train, val) for image in part.array}
    assert together == {image.tobytes() for image in images.array}
    assert (train.n_classes, val.n_classes) == (5, 5)


def test_a_subset_is_stratified_and_all_where_enough_is_asked() -> None:
    images = make_image_set(30, n_classes=3)
    assert np.bincount(subset(images, 9, seed=0).targets).tolist() == [3, 3, 3]
    assert subset(images, None, seed=0) is images
    assert subset(images, 30, seed=0) is images
    with pytest.raises(ConfigError, match=r"`1 <= train_images <= 30, the images there are,` must hold, but got train_images=99"):
        subset(images, 99, seed=0)


def test_rows_of_a_split_of_a_subset_lead_to_the_official_images() -> None:
    official = make_image_set(60, n_classes=3)
    chosen = subset_rows(official.targets, 30, seed=1)
    train, val = split_rows(official.targets[chosen], 0.2, seed=2)
    images = split_train_val(subset(official, 30, seed=1), 0.2, seed=2)
    for rows, part in zip((chosen[train], chosen[val]), images, strict=True):
        assert np.array_equal(official.images[rows], part.images)
        assert np.array_equal(official.targets[rows], part.targets)


def test_rows_of_the_whole_set_are_all_rows() -> None:
    targets = np.arange(7) % 2
    assert subset_rows(targets, None, seed=0).tolist() == subset_rows(targets, 7, seed=0).tolist() == list(range(7))


@pytest.mark.parametrize(
    ("val_fraction", "message"),
    [
        (0.0, r"`0 < val_fraction < 1` must hold, but got val_fraction=0\.0"),
        (1.0, r"val_fraction=1\.0"),
        (0.01, r"val_fraction=0\.01 of 10 images leaves none for validation"),
        (0.99, r"val_fraction=0\.99 of 10 images leaves none for training"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(val_fraction: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_rows(np.arange(10) % 2, val_fraction, seed=0)
