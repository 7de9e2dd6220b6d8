from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsd_core.data.images import ImageSet, MappedImages
from bsd_core.errors import DataError
from tests._dummies import make_image_set, make_images, make_mapped_images


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


# ---------------------------------------------------------------- mapped images


def test_mapped_images_give_the_rows_of_their_file(tmp_path: Path) -> None:
    pixels = make_images(6, 3, 8, 6)
    images = make_mapped_images(tmp_path, pixels)
    assert (len(images), images.shape, images.ndim, images.dtype) == (6, (6, 3, 8, 6), 4, np.dtype(np.uint8))
    assert np.array_equal(images[4], pixels[4])
    assert np.array_equal(images[1:5:2], pixels[1:5:2])
    assert np.array_equal(images[np.array([5, 0, 5])], pixels[[5, 0, 5]])


def test_a_selection_of_a_selection_counts_rows_from_the_last(tmp_path: Path) -> None:
    pixels = make_images(6, 3, 8, 6)
    images = make_mapped_images(tmp_path, pixels).select(np.array([5, 3, 1])).select(np.array([2, 0]))
    assert images.rows.tolist() == [1, 5]
    assert np.array_equal(images[:], pixels[[1, 5]])


def test_what_is_read_is_a_copy_and_the_file_cannot_be_written(tmp_path: Path) -> None:
    pixels = make_images(3, 3, 8, 6)
    images = make_mapped_images(tmp_path, pixels)
    for part in (images[0], images[0:2], images[np.array([0, 1])]):
        assert type(part) is np.ndarray
        part[:] = 0
    assert np.array_equal(images[:], pixels)


def test_mapped_images_travel_as_a_path_and_rows(tmp_path: Path) -> None:
    pixels = make_images(40, 3, 32, 32)
    images = make_mapped_images(tmp_path, pixels).select(np.array([30, 2]))
    images[0]  # the file is open now, and does not travel
    sent = pickle.dumps(images)
    assert len(sent) < 1000 < pixels.nbytes
    assert images.nbytes == 16
    assert np.array_equal(pickle.loads(sent)[:], pixels[[30, 2]])


def test_a_receiver_without_the_file_is_told_so_when_it_reads(tmp_path: Path) -> None:
    images = make_mapped_images(tmp_path, make_images(3))
    images.path.unlink()
    there = pickle.loads(pickle.dumps(images))
    assert there.shape == images.shape
    with pytest.raises(DataError, match=r"is not on this machine\. Load the data set here once, or keep data_dir on a shared disk"):
        there[0]


def test_mapped_images_never_become_an_array_unasked(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"do not turn into an array by themselves"):
        np.asarray(make_mapped_images(tmp_path, make_images(3)))


def test_an_image_set_of_mapped_images_is_selected_without_reading(tmp_path: Path) -> None:
    pixels = make_images(6, 3, 8, 6)
    images = ImageSet(make_mapped_images(tmp_path, pixels), np.arange(6) % 3, 3)
    chosen = images.select(np.array([4, 1]))
    assert isinstance(chosen.images, MappedImages)
    assert "_pixels" not in vars(chosen.images)
    assert (chosen.channels, chosen.image_size, chosen.targets.tolist()) == (3, (8, 6), [1, 1])
    assert np.array_equal(chosen.array, pixels[[4, 1]])


def test_the_fingerprint_of_mapped_images_reads_no_pixels(tmp_path: Path) -> None:
    images = ImageSet(make_mapped_images(tmp_path, make_images(4)), np.arange(4) % 3, 3)
    other = ImageSet(images.images, (images.targets + 1) % 3, 3)
    parts = [images, other, images.select(np.array([0, 1])), images.select(np.array([1, 0]))]
    assert len({part.fingerprint() for part in parts}) == 4
    assert isinstance(images.images, MappedImages)
    assert "_pixels" not in vars(images.images)
