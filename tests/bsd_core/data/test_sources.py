from __future__ import annotations

import io
import json
import pickle
import socket
import struct
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources import SOURCES, Source, load_source
from bsd_core.errors import ConfigError, DataError
from tests._dummies import UInt8, make_images, make_png, shared_cifar10

# ---------------------------------------------------------------- digits


def test_digits_are_the_images_of_scikit_learn_in_two_disjoint_stratified_parts() -> None:
    source = load_source("digits")
    bunch = load_digits()
    expected = {
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), int(label)) for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    found = {
        (image.tobytes(), int(label))
        for part in (source.train, source.test)
        for image, label in zip(part.images, part.targets, strict=True)
    }
    assert found == expected
    assert (len(source.train), len(source.test)) == (1438, 359)
    assert source.train.images.shape[1:] == (1, 8, 8)
    assert int(source.train.images.max()) == 255
    assert np.bincount(source.test.targets).tolist() == pytest.approx((np.bincount(bunch.target) / 5).tolist(), abs=1)


def test_the_test_split_of_digits_is_always_the_same() -> None:
    assert load_source("digits").test.fingerprint() == load_source("digits").test.fingerprint()


def test_digits_know_their_names_and_are_never_mirrored() -> None:
    source = load_source("digits")
    assert source.class_names == tuple("0123456789")
    assert source.augment.flip is False
    assert source.asymmetric_map == ASYMMETRIC_MAPS["digits"]


def test_every_registered_source_but_digits_is_missing_in_an_empty_folder(tmp_path: Path) -> None:
    for name in SOURCES:
        if name == "digits":
            assert load_source(name, data_dir=tmp_path, download=False).name == "digits"
        else:
            with pytest.raises(DataError, match=rf"No {name} files in .*download is off.*set data_dir"):
                load_source(name, data_dir=tmp_path, download=False)


@pytest.mark.parametrize(("name", "near"), [("Digits", "digits"), ("cifar-10", "cifar10"), ("fashionmnist", "fashion_mnist")])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"Unknown data set '{name}'\. Known: cifar10, .*parquet:<path>\. Did you mean '{near}'\?"):
        load_source(name)


# ---------------------------------------------------------------- torchvision's data sets, in the formats they have on disk


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


# ---------------------------------------------------------------- Parquet


def write_parquet(
    path: Path,
    images: UInt8,
    labels: Any,
    *,
    image: str = "img",
    label: str = "label",
    struct_column: bool = True,
    class_names: list[str] | None = None,
) -> None:
    """(N, H, W) or (N, H, W, 3) uint8 images as PNG in a Parquet file, as Hugging Face lays it out."""
    encoded: list[Any] = [make_png(pixels) for pixels in images]
    if struct_column:
        encoded = [{"bytes": data, "path": None} for data in encoded]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()}) if struct_column else pa.binary()
    table = pa.table({image: pa.array(encoded, kind), label: pa.array(labels)})
    if class_names is not None:
        info = {"info": {"features": {label: {"names": class_names, "_type": "ClassLabel"}, image: {"_type": "Image"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def make_rgb(n: int, height: int = 8, width: int = 8, *, seed: int = 0) -> UInt8:
    """(N, H, W, 3), as PIL wants it."""
    return np.ascontiguousarray(make_images(n, 3, height, width, seed=seed).transpose(0, 2, 3, 1))


def load(path: Path) -> Source:
    return load_source(f"parquet:{path}")


@pytest.mark.parametrize(
    ("image", "label", "struct_column"),
    [("img", "label", True), ("image", "fine_label", False), ("img", "fine_label", False), ("image", "label", True)],
)
def test_parquet_files_with_train_and_test(tmp_path: Path, image: str, label: str, struct_column: bool) -> None:
    train, test = make_rgb(7, 8, 6, seed=1), make_rgb(4, 8, 6, seed=2)
    write_parquet(tmp_path / "train.parquet", train, [0, 1, 2, 0, 1, 2, 3], image=image, label=label, struct_column=struct_column)
    write_parquet(tmp_path / "test-0.parquet", test, [3, 2, 1, 0], image=image, label=label, struct_column=struct_column)
    source = load(tmp_path)
    assert source.name == f"parquet:{tmp_path}"
    assert np.array_equal(source.train.images, train.transpose(0, 3, 1, 2))
    assert np.array_equal(source.test.images, test.transpose(0, 3, 1, 2))
    assert source.train.targets.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert source.test.targets.tolist() == [3, 2, 1, 0]
    assert (source.train.n_classes, source.class_names, source.asymmetric_map) == (4, (), None)
    assert (source.augment.crop_padding, source.augment.flip) == (1, True)


def test_shards_are_read_in_the_order_of_their_names_also_under_data(tmp_path: Path) -> None:
    images = make_rgb(6)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", images[3:5], [2, 3])
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", images[:3], [0, 1, 1])
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", images[5:], [0])
    source = load(tmp_path)
    assert source.train.targets.tolist() == [0, 1, 1, 2, 3]
    assert np.array_equal(source.train.images, images[:5].transpose(0, 3, 1, 2))


def test_row_groups_within_a_file_keep_their_order(tmp_path: Path) -> None:
    images = make_rgb(5)
    write_parquet(tmp_path / "test.parquet", images[:1], [0])
    table = pa.table({"image": pa.array([make_png(pixels) for pixels in images], pa.binary()), "label": [4, 3, 2, 1, 0]})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=2)
    source = load(tmp_path)
    assert source.train.targets.tolist() == [4, 3, 2, 1, 0]
    assert np.array_equal(source.train.images, images.transpose(0, 3, 1, 2))


def test_class_names_come_from_the_metadata_and_set_the_class_count(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", make_rgb(3), [0, 1, 1], class_names=["cat", "dog", "owl"])
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 1], class_names=["cat", "dog", "owl"])
    source = load(tmp_path)
    assert source.class_names == ("cat", "dog", "owl")
    assert (source.train.n_classes, source.test.n_classes) == (3, 3)


def test_cifar10_in_parquet_keeps_its_asymmetric_map(tmp_path: Path) -> None:
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", make_rgb(2), [0, 9], class_names=names)
    assert load(tmp_path).asymmetric_map == ASYMMETRIC_MAPS["cifar10"]


def test_the_larger_label_of_train_and_test_sets_the_class_count(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", make_rgb(2), [0, 1])
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 4])
    source = load(tmp_path)
    assert (source.train.n_classes, source.test.n_classes) == (5, 5)


def test_one_file_gives_a_fixed_stratified_fifth_as_test(tmp_path: Path) -> None:
    images = make_rgb(50)
    write_parquet(tmp_path / "all.parquet", images, [row % 5 for row in range(50)])
    source, again = load(tmp_path / "all.parquet"), load(tmp_path / "all.parquet")
    assert np.bincount(source.test.targets).tolist() == [2] * 5
    assert np.bincount(source.train.targets).tolist() == [8] * 5
    together = {image.tobytes() for part in (source.train, source.test) for image in part.images}
    assert together == {np.ascontiguousarray(image).tobytes() for image in images.transpose(0, 3, 1, 2)}
    assert source.test.fingerprint() == again.test.fingerprint()


def test_images_are_grey_where_all_are_and_are_then_not_mirrored(tmp_path: Path) -> None:
    grey = make_images(4, 1, 8, 8)[:, 0]
    write_parquet(tmp_path / "train.parquet", grey, [0, 1, 0, 1])
    write_parquet(tmp_path / "test.parquet", grey[:2], [0, 1])
    source = load(tmp_path)
    assert np.array_equal(source.train.images, grey[:, None])
    assert (source.train.channels, source.test.channels, source.augment.flip) == (1, 1, False)


def test_one_coloured_image_makes_all_rgb(tmp_path: Path) -> None:
    grey = make_images(4, 1, 8, 8)[:, 0]
    write_parquet(tmp_path / "train.parquet", grey, [0, 1, 0, 1])
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 1])
    source = load(tmp_path)
    assert (source.train.channels, source.test.channels) == (3, 3)
    assert np.array_equal(source.train.images, np.repeat(grey[:, None], 3, axis=1))


def test_a_jpeg_is_decoded_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(buffer, "JPEG")
    for split in ("train", "test"):
        pq.write_table(pa.table({"image": pa.array([buffer.getvalue()] * 2, pa.binary()), "label": [0, 1]}), tmp_path / f"{split}.parquet")
    assert np.abs(load(tmp_path).train.images.astype(int) - 200).max() <= 2


def write_table(folder: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), folder / "train.parquet")


def png(height: int = 8, width: int = 8) -> bytes:
    return make_png(make_rgb(1, height, width)[0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [png()], "label": [0]}, r"train\.parquet: expected a column 'img' or 'image' and .* but it has 'picture', 'label'\."),
        ({"img": [png()], "class": [0]}, r"a column 'label' or 'fine_label', but it has 'img', 'class'\."),
        ({"img": ["text"], "label": [0]}, r"column 'img' should hold image bytes, .* but is string"),
        (
            {"img": [{"path": "a.png"}], "label": [0]},
            r"column 'img' should hold image bytes, or a struct with a field 'bytes', but is struct",
        ),
        ({"img": [png()], "label": ["cat"]}, r"column 'label' should hold integers, but is string"),
        ({"img": [png()], "label": [0.5]}, r"column 'label' should hold integers, but is double"),
        ({"img": [png()] * 3, "label": [0, None, None]}, r"column 'label' has 2 empty labels"),
        ({"img": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, r"train\.parquet: no rows"),
        ({"img": [png(), b"\x89PNG broken"], "label": [0, 1]}, r"train\.parquet, row 1: broken image bytes \(cannot identify image file"),
        ({"img": [png(), png(), png()[:-60]], "label": [0, 1, 1]}, r"train\.parquet, row 2: broken image bytes"),
        ({"img": [png(), b""], "label": [0, 1]}, r"row 1: broken image bytes \(empty\)"),
        ({"img": [png(), None], "label": [0, 1]}, r"row 1: broken image bytes \(empty\)"),
        ({"img": [{"bytes": png(), "path": "a"}, None], "label": [0, 1]}, r"row 1: broken image bytes \(empty\)"),
        ({"img": [png(), png(8, 9)], "label": [0, 1]}, r"row 1: image of 9x8 pixels among images of 8x8\. All images must have one size"),
        ({"img": [png(), png()], "label": [-1, 1]}, r"labels run from -1 to 1"),
        ({"img": [png()], "label": pa.array([2**64 - 1], pa.uint64())}, r"labels run from 18446744073709551615 to 18446744073709551615"),
        ({"img": [png()] * 3, "label": [0, 1, 255]}, r"labels go up to 255, but only 3 different ones occur\. A stray label\?"),
    ],
)
def test_a_table_of_another_form_is_refused_in_one_line(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    write_table(tmp_path, columns)
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 1])
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_row_of_a_broken_image_is_counted_within_its_own_shard(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", make_rgb(3), [0, 1, 0])
    pq.write_table(pa.table({"img": pa.array([b"no image"], pa.binary()), "label": [0]}), tmp_path / "train-1.parquet")
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 1])
    with pytest.raises(DataError, match=r"train-1\.parquet, row 0: broken image bytes"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 this is no Parquet file at all"])
def test_a_file_that_is_not_parquet_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.parquet").write_bytes(content)
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 1])
    with pytest.raises(DataError, match=r"train\.parquet: not a readable Parquet file \(.*[Pp]arquet") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    write_parquet(path, make_rgb(20), [0, 1] * 10)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"all\.parquet: not a readable Parquet file"):
        load(path)


def test_a_folder_without_a_test_file_says_what_it_has(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", make_rgb(2), [0, 1])
    with pytest.raises(DataError, match=r"No test\*\.parquet in .* \(found train\.parquet\)"):
        load(tmp_path)


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No train\*\.parquet in .* \(found nothing\)"):
        load(tmp_path)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file or folder: '.*nowhere'"):
        load(tmp_path / "nowhere")


def test_parquet_without_a_path_says_how_to_write_it() -> None:
    with pytest.raises(DataError, match=r"needs a path: dataset=parquet:<folder"):
        load_source("parquet:")


def test_train_and_test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", make_rgb(2, 8, 8), [0, 1])
    write_parquet(tmp_path / "test.parquet", make_rgb(2, 8, 10), [0, 1])
    with pytest.raises(DataError, match=r"Train and test images differ in size: \{'train': \(8, 8\), 'test': \(8, 10\)\}"):
        load(tmp_path)


def test_a_label_above_the_named_classes_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", make_rgb(3), [0, 1, 2], class_names=["cat", "dog"])
    write_parquet(tmp_path / "test.parquet", make_rgb(2), [0, 1])
    with pytest.raises(DataError, match=r"Labels run from 0 to 2, but the network has 2 outputs"):
        load(tmp_path)


def test_the_test_images_of_the_real_cifar10_are_read_whole() -> None:
    (file,) = shared_cifar10().glob("test*.parquet")
    source = load(file)
    assert source.train.images.shape == (8000, 3, 32, 32)
    assert np.bincount(source.train.targets).tolist() == [800] * 10
    assert np.bincount(source.test.targets).tolist() == [200] * 10
    assert source.class_names[:3] == ("airplane", "automobile", "bird")
    assert source.asymmetric_map == ASYMMETRIC_MAPS["cifar10"]
    # The published channel means of CIFAR-10's training images are 0.4914, 0.4822 and 0.4465.
    assert source.train.images.mean((0, 2, 3)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)
