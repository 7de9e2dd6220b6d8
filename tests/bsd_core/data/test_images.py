from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bsd_core.data.images import ImageSet
from bsd_core.errors import DataError
from tests._dummies import make_image_set, make_images


def test_an_image_set_tells_its_size() -> None:
    images = make_image_set(7, channels=3, height=8, width=6)
    assert (len(images), images.channels, images.image_size) == (7, 3, (8, 6))


def test_not_every_class_must_occur() -> None:
    images = ImageSet(make_images(2, 1, 4, 4), np.array([0, 0]), 10)
    assert images.n_classes == 10


@pytest.mark.parametrize(
    ("images", "targets", "n_classes", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), 2, r"uint8 images of shape \(N, C, H, W\).* got uint8 \(2, 4, 4\)"),
        (np.zeros((2, 3, 4, 4), np.float32), np.zeros(2, np.int64), 2, r"Expected uint8 images .* got float32 \(2, 3, 4, 4\)"),
        (np.zeros((2, 2, 4, 4), np.uint8), np.zeros(2, np.int64), 2, r"with C = 1 or 3, but got uint8 \(2, 2, 4, 4\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), np.zeros(3, np.int64), 2, r"one int64 label an image, shape \(2,\), but got int64 \(3,\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int32), 2, r"one int64 label an image, .* got int32 \(2,\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64), 1, r"at least 2 classes, but got n_classes=1"),
        (np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 5]), 5, r"Labels run from 0 to 5, but the network has 5 outputs \(0 to 4\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), np.array([-1, 1]), 5, r"Labels run from -1 to 1"),
    ],
)
def test_arrays_of_another_form_are_refused(images: Any, targets: Any, n_classes: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet(images, targets, n_classes)


def test_select_copies_the_rows_in_the_given_order() -> None:
    images = make_image_set(5)
    chosen = images.select(np.array([3, 0]))
    assert np.array_equal(chosen.images, images.array[[3, 0]])
    assert chosen.targets.tolist() == [images.targets[3], images.targets[0]]
    assert chosen.n_classes == images.n_classes
    chosen.array[:] = 0
    assert images.array[3].any()


def test_equal_data_have_equal_fingerprints_whatever_their_memory_order() -> None:
    images = make_image_set(4)
    twin = ImageSet(np.asfortranarray(images.images), images.targets.copy(), images.n_classes)
    assert twin.fingerprint() == images.fingerprint()


def test_the_fingerprint_changes_with_a_pixel_a_label_the_shape_and_the_class_count() -> None:
    images = make_image_set(4, height=8, width=6)
    pixel, label = images.array.copy(), images.targets.copy()
    pixel[0, 0, 0, 0] ^= 1
    label[0] = (label[0] + 1) % 3
    others = [
        ImageSet(pixel, images.targets, 3),
        ImageSet(images.images, label, 3),
        ImageSet(images.array.reshape(4, 3, 6, 8), images.targets, 3),
        ImageSet(images.images, images.targets, 4),
    ]
    assert len({images.fingerprint(), *(other.fingerprint() for other in others)}) == 5
