from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources import Source, load_source
from bsd_core.errors import DataError
from tests._dummies import UInt8, make_images, make_png, shared_cifar10


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
    together = {image.tobytes() for part in (source.train, source.test) for image in part.array}
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
    assert np.abs(load(tmp_path).train.array.astype(int) - 200).max() <= 2


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
    assert source.train.array.mean((0, 2, 3)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)
