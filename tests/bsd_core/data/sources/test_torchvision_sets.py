from __future__ import annotations

import pickle
import socket
import struct
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources import load_source
from bsd_core.errors import DataError
from tests._dummies import UInt8, make_images

# The formats are those that torchvision's data sets have on disk.


def write_idx(folder: Path, prefix: str, images: UInt8, labels: list[int]) -> None:
    """MNIST's format: big-endian magic number and sizes, then raw bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, *images.shape) + images.tobytes())
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, len(labels)) + bytes(labels))


def write_mnist(root: Path, class_name: str = "MNIST") -> tuple[UInt8, UInt8]:
    train, test = make_images(6, 1, 28, 28, seed=1)[:, 0], make_images(4, 1, 28, 28, seed=2)[:, 0]
    write_idx(root / class_name / "raw", "train", train, [5, 0, 4, 1, 9, 2])
    write_idx(root / class_name / "raw", "t10k", test, [7, 2, 1, 0])
    return train, test


def write_cifar10(root: Path) -> tuple[UInt8, UInt8]:
    """CIFAR-10's format: pickled dicts, each row a red, a green and a blue plane of 1024 bytes."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    train, test = make_images(10, 3, 32, 32, seed=1), make_images(3, 3, 32, 32, seed=2)
    for batch in range(5):
        rows = train[2 * batch : 2 * batch + 2].reshape(2, 3072)
        content = {"batch_label": f"training batch {batch + 1} of 5", "data": rows, "labels": [batch, batch + 5], "filenames": ["a", "b"]}
        (folder / f"data_batch_{batch + 1}").write_bytes(pickle.dumps(content, protocol=2))
    (folder / "test_batch").write_bytes(pickle.dumps({"data": test.reshape(3, 3072), "labels": [3, 8, 8]}, protocol=2))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names, "num_vis": 3072}, protocol=2))
    return train, test


def write_cifar100(root: Path) -> tuple[UInt8, UInt8]:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    train, test = make_images(4, 3, 32, 32, seed=1), make_images(2, 3, 32, 32, seed=2)
    for name, images, fine in (("train", train, [19, 29, 0, 99]), ("test", test, [49, 33])):
        content = {"data": images.reshape(-1, 3072), "fine_labels": fine, "coarse_labels": [0] * len(fine)}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"fine {k}" for k in range(100)]}, protocol=2))
    return train, test


@pytest.fixture
def no_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision compares CIFAR's files with the checksums of the real ones; ours only have to exist."""
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5=None: Path(path).is_file())


@pytest.mark.parametrize(("name", "class_name", "flip"), [("mnist", "MNIST", False), ("fashion_mnist", "FashionMNIST", True)])
def test_idx_files_become_grey_images_and_labels(tmp_path: Path, name: str, class_name: str, flip: bool) -> None:
    train, test = write_mnist(tmp_path, class_name)
    source = load_source(name, data_dir=tmp_path, download=False)
    assert np.array_equal(source.train.images, train[:, None])
    assert np.array_equal(source.test.images, test[:, None])
    assert source.train.targets.tolist() == [5, 0, 4, 1, 9, 2]
    assert source.test.targets.tolist() == [7, 2, 1, 0]
    assert (source.train.n_classes, len(source.class_names), source.augment.flip) == (10, 10, flip)
    assert source.asymmetric_map == ASYMMETRIC_MAPS[name]


@pytest.mark.usefixtures("no_checksums")
def test_cifar10_batches_become_rgb_images_and_labels(tmp_path: Path) -> None:
    train, test = write_cifar10(tmp_path)
    source = load_source("cifar10", data_dir=str(tmp_path), download=False)
    assert np.array_equal(source.train.images, train)
    assert np.array_equal(source.test.images, test)
    assert source.train.targets.tolist() == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]
    assert source.test.targets.tolist() == [3, 8, 8]
    assert source.class_names[9] == "truck"
    assert (source.augment.crop_padding, source.augment.flip) == (4, True)
    assert source.asymmetric_map == {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}


@pytest.mark.usefixtures("no_checksums")
def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    train, test = write_cifar100(tmp_path)
    source = load_source("cifar100", data_dir=tmp_path, download=False)
    assert np.array_equal(source.train.images, train)
    assert np.array_equal(source.test.images, test)
    assert source.train.targets.tolist() == [19, 29, 0, 99]
    assert source.train.n_classes == 100
    assert source.class_names[7] == "fine 7"
    assert source.asymmetric_map == ASYMMETRIC_MAPS["cifar100"]


def test_cifar10_files_with_wrong_checksums_do_not_count(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match=r"No cifar10 files in .*download is off"):
        load_source("cifar10", data_dir=tmp_path, download=False)


def test_files_that_are_there_are_never_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dataset: Any) -> None:
        raise AssertionError("tried to download")

    write_mnist(tmp_path)
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", refuse)
    assert len(load_source("mnist", data_dir=tmp_path, download=True).train) == 6


def test_missing_files_are_downloaded_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def download(dataset: Any) -> None:
        print("100%|##########|")
        write_mnist(Path(dataset.root))

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", download)
    source = load_source("mnist", data_dir=tmp_path, download=True)
    assert source.test.targets.tolist() == [7, 2, 1, 0]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_neither_files_nor_network_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, class_name: str) -> None:
    def download(dataset: Any) -> None:
        raise URLError("Temporary failure in\nname resolution")

    monkeypatch.setattr(getattr(torchvision.datasets, class_name), "download", download)
    before = socket.getdefaulttimeout()
    with pytest.raises(DataError, match=rf"{name} is neither in .* nor could it be downloaded .*name resolution.*dataset=digits") as caught:
        load_source(name, data_dir=tmp_path, download=True)
    assert "\n" not in str(caught.value)
    assert socket.getdefaulttimeout() == before
