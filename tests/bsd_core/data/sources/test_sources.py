from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.source_names import PATH_KINDS, SOURCE_NAMES
from bsd_core.data.sources import PATH_SOURCES, SOURCES, check_name, load_source
from bsd_core.errors import ConfigError, DataError


def test_digits_are_the_images_of_scikit_learn_in_two_disjoint_stratified_parts() -> None:
    source = load_source("digits")
    bunch = load_digits()
    expected = {
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), int(label)) for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    found = {
        (image.tobytes(), int(label)) for part in (source.train, source.test) for image, label in zip(part.array, part.targets, strict=True)
    }
    assert found == expected
    assert (len(source.train), len(source.test)) == (1438, 359)
    assert source.train.images.shape[1:] == (1, 8, 8)
    assert int(source.train.array.max()) == 255
    assert np.bincount(source.test.targets).tolist() == pytest.approx((np.bincount(bunch.target) / 5).tolist(), abs=1)


def test_the_test_split_of_digits_is_always_the_same() -> None:
    assert load_source("digits").test.fingerprint() == load_source("digits").test.fingerprint()


def test_digits_know_their_names_and_are_never_mirrored() -> None:
    source = load_source("digits")
    assert source.class_names == tuple("0123456789")
    assert source.augment.flip is False
    assert source.asymmetric_map == ASYMMETRIC_MAPS["digits"]


def test_every_name_that_a_study_may_say_has_its_loader() -> None:
    assert (tuple(SOURCES), tuple(PATH_SOURCES)) == (SOURCE_NAMES, PATH_KINDS)


def test_every_registered_source_but_digits_is_missing_in_an_empty_folder(tmp_path: Path) -> None:
    for name in SOURCES:
        if name == "digits":
            assert load_source(name, data_dir=tmp_path, download=False).name == "digits"
        else:
            with pytest.raises(DataError, match=rf"No {name} files in .*(download is off|looked for).*set data_dir"):
                load_source(name, data_dir=tmp_path, download=False)


@pytest.mark.parametrize(("name", "near"), [("Digits", "digits"), ("cifar-10", "cifar10"), ("fashionmnist", "fashion_mnist")])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"Unknown data set '{name}'\. Did you mean '{near}'\? Known: cifar10, .*parquet:<path>"):
        load_source(name)


@pytest.mark.parametrize("name", ["digits", "folder:somewhere", "parquet:somewhere"])
def test_known_names_pass(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["folder", "parquet", "cifar10:x", ":x", ""])
def test_a_kind_needs_its_path_and_a_name_has_none(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Unknown data set '.*Known: .*folder:<path>, .*parquet:<path>"):
        check_name(name)


def test_an_image_size_is_for_folders_of_images_only() -> None:
    with pytest.raises(ConfigError, match=r"digits has images of one size; image_size=32 is for folders of images"):
        load_source("digits", image_size=32)
    with pytest.raises(ConfigError, match=r"`image_size >= 1` must hold, but got image_size=0"):
        load_source("cub200", image_size=0)
