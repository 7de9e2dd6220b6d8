from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from scipy.io import savemat

from bsd_core.data.sources import load_source
from bsd_core.errors import DataError, MissingDataError
from tests._dummies import UInt8, make_images


def write_svhn(root: Path) -> tuple[UInt8, UInt8]:
    """The owners' MATLAB files: X is (32, 32, 3, N), y is (N, 1) with 10 for the digit 0."""
    root.mkdir(parents=True, exist_ok=True)
    train, test = make_images(4, 3, 32, 32, seed=1), make_images(2, 3, 32, 32, seed=2)
    for name, images, labels in (("train", train, [1, 9, 10, 2]), ("test", test, [10, 5])):
        content = {"X": images.transpose(2, 3, 1, 0), "y": np.array(labels, dtype=np.uint8)[:, None]}
        savemat(root / f"{name}_32x32.mat", content)
    return train, test


@pytest.mark.parametrize("folder", [".", "svhn"])
def test_matlab_files_become_rgb_images_and_ten_means_zero(tmp_path: Path, folder: str) -> None:
    train, test = write_svhn(tmp_path / folder)
    source = load_source("svhn", data_dir=tmp_path, download=False)
    assert np.array_equal(source.train.array, train)
    assert np.array_equal(source.test.array, test)
    assert source.train.targets.tolist() == [1, 9, 0, 2]
    assert source.test.targets.tolist() == [0, 5]
    assert (source.train.n_classes, source.class_names) == (10, tuple("0123456789"))
    assert (source.augment.crop_padding, source.augment.flip, source.asymmetric_map) == (4, False, None)


def test_the_images_are_those_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_svhn(tmp_path)
    monkeypatch.setattr(torchvision.datasets.svhn, "check_integrity", lambda path, md5=None: Path(path).is_file())
    theirs = torchvision.datasets.SVHN(str(tmp_path), split="train")
    ours = load_source("svhn", data_dir=tmp_path, download=False).train
    assert np.array_equal(ours.array, theirs.data)
    assert np.array_equal(ours.targets, theirs.labels)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    (tmp_path / "test_32x32.mat").unlink()
    with pytest.raises(MissingDataError, match=r"download is off: looked for '.*test_32x32\.mat'\. Expected train_32x32\.mat and"):
        load_source("svhn", data_dir=tmp_path, download=False)


def test_missing_files_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Downloaded:
        def __init__(self, root: str, split: str, *, download: bool) -> None:
            assert download
            print(f"fetching {split}")
            write_svhn(Path(root))

    monkeypatch.setattr(torchvision.datasets, "SVHN", Downloaded)
    assert load_source("svhn", data_dir=tmp_path).test.targets.tolist() == [0, 5]
    assert capsys.readouterr() == ("", "")


def test_neither_files_nor_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise URLError("Temporary failure in\nname resolution")

    monkeypatch.setattr(torchvision.datasets, "SVHN", unreachable)
    with pytest.raises(DataError, match=r"svhn is neither in .* nor could it be downloaded .*name resolution") as caught:
        load_source("svhn", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, r"train_32x32\.mat: not a readable MATLAB file with X and y \('y'\)"),
        ({"X": np.zeros((2, 3, 32, 32), np.uint8), "y": [1, 2]}, r"expected uint8 X of .* but got uint8 \(2, 3, 32, 32\) and 2 labels"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [1, 2, 3]}, r"but got uint8 \(32, 32, 3, 2\) and 3 labels"),
        ({"X": np.zeros((32, 32, 3, 2)), "y": [1, 2]}, r"but got float64 \(32, 32, 3, 2\)"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": [0, 2]}, r"labels must lie in \[1, 10\], but run from 0 to 2"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    write_svhn(tmp_path)
    savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(DataError, match=message):
        load_source("svhn", data_dir=tmp_path, download=False)


def test_a_file_that_is_not_matlab_is_refused(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    (tmp_path / "train_32x32.mat").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"train_32x32\.mat: not a readable MATLAB file"):
        load_source("svhn", data_dir=tmp_path, download=False)
