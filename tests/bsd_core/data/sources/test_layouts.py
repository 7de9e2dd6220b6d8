from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bsd_core.data.images import ImageSet
from bsd_core.data.sources import load_source
from bsd_core.data.sources.layouts import (
    Listing,
    read_cub200,
    read_folder,
    read_imagenet,
    read_mit67,
    read_stanford_dogs,
    read_tiny_imagenet,
)
from bsd_core.errors import DataError, MissingDataError

# Every data set is written as its owners publish it, with one flat grey level an image, so that an image is known by its pixels.


def write_image(path: Path, grey: int, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey, grey, grey)).save(path, "JPEG", quality=95)


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_tiny_imagenet(root: Path) -> None:
    write_lines(root / "wnids.txt", "n02", "n01", "n03")  # the published file is not sorted either
    write_lines(root / "words.txt", "n00\tentity", "n01\tgoldfish, Carassius auratus", "n02\tEuropean fire salamander", "n03\tbullfrog")
    for index, wnid in enumerate(("n01", "n02", "n03")):
        for image in range(2):
            write_image(root / "train" / wnid / "images" / f"{wnid}_{image}.JPEG", 10 + 20 * index + image, (64, 64))
        write_lines(root / "train" / wnid / f"{wnid}_boxes.txt", f"{wnid}_0.JPEG\t0\t0\t62\t62")
    for image, grey in enumerate((200, 210)):
        write_image(root / "val" / "images" / f"val_{image}.JPEG", grey, (64, 64))
    write_lines(root / "val" / "val_annotations.txt", "val_0.JPEG\tn03\t0\t32\t44\t62", "val_1.JPEG\tn01\t52\t55\t57\t59")
    write_image(root / "test" / "images" / "test_0.JPEG", 0, (64, 64))  # never labelled, never read


def write_cub200(root: Path) -> None:
    black, laysan = "001.Black_footed_Albatross", "002.Laysan_Albatross"
    names = [f"{black}/Black_0046_18.jpg", f"{laysan}/Laysan_0002.jpg", f"{black}/Black_0009_34.jpg", f"{laysan}/Laysan_0001.jpg"]
    write_lines(root / "images.txt", *(f"{number} {name}" for number, name in enumerate(names, 1)))
    write_lines(root / "image_class_labels.txt", "1 1", "2 2", "3 1", "4 2")
    write_lines(root / "train_test_split.txt", "1 0", "2 1", "3 1", "4 0")
    write_lines(root / "classes.txt", "1 001.Black_footed_Albatross", "2 002.Laysan_Albatross")
    for number, name in enumerate(names):
        write_image(root / "images" / name, 40 * (number + 1))


def write_stanford_dogs(root: Path) -> None:
    """The lists are MATLAB structs with a cell array of N x 1 names and N x 1 labels."""
    listed = {
        "train": [("n02085620-Chihuahua/n02085620_5927.jpg", 1), ("n02085782-Japanese_spaniel/n02085782_1.jpg", 2)],
        "test": [("n02085782-Japanese_spaniel/n02085782_2.jpg", 2)],
    }
    grey = 0
    for split, pairs in listed.items():
        cells = np.empty((len(pairs), 1), dtype=object)
        for row, (name, _) in enumerate(pairs):
            cells[row, 0] = name
            write_image(root / "Images" / name, grey := grey + 40)
        savemat(root / f"{split}_list.mat", {"file_list": cells, "labels": np.array([[label] for _, label in pairs], dtype=np.uint8)})


def write_mit67(root: Path) -> None:
    write_lines(root / "TrainImages.txt", "library/a b.jpg", "airport_inside/one.jpg", "library/two.jpg")
    write_lines(root / "TestImages.txt", "airport_inside/three.jpg")
    for grey, name in ((40, "library/a b"), (80, "airport_inside/one"), (120, "library/two"), (160, "airport_inside/three")):
        write_image(root / "Images" / f"{name}.jpg", grey)
    write_image(root / "Images" / "library" / "not_listed.jpg", 0)


def write_imagenet(root: Path, *, flat: bool) -> None:
    """ILSVRC's ids are in an order of their own: 1 is n03, 2 is n01, 3 is n02; synset 4 is an inner node."""
    for index, wnid in enumerate(("n01", "n02", "n03")):
        write_image(root / "train" / wnid / f"{wnid}_7.JPEG", 20 * (index + 1))
    for number, (wnid, grey) in enumerate((("n02", 100), ("n03", 120), ("n01", 140)), 1):
        write_image(root / "val" / ("" if flat else wnid) / f"ILSVRC2012_val_{number:08d}.JPEG", grey)
    if flat:
        devkit = root / "ILSVRC2012_devkit_t12" / "data"
        write_lines(devkit / "ILSVRC2012_validation_ground_truth.txt", "3", "1", "2")
        fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
        rows = [(1, "n03", "bullfrog, Rana", 0), (2, "n01", "goldfish", 0), (3, "n02", "salamander", 0), (4, "n00", "entity", 3)]
        savemat(devkit / "meta.mat", {"synsets": np.array(rows, dtype=fields)[:, None]})


def write_folder(root: Path, held: str = "test") -> None:
    write_image(root / "train" / "cat" / "b.jpg", 40)
    write_image(root / "train" / "cat" / "a.JPG", 20)
    write_image(root / "train" / "ape" / "deeper" / "c.jpg", 60)
    write_lines(root / "train" / "cat" / "notes.txt", "no image")
    write_image(root / held / "cat" / "d.jpg", 80)
    write_image(root / "train" / ".thumbnails" / "e.jpg", 0)


def greys(images: ImageSet) -> list[int]:
    """The grey level of every image, to the nearest ten: JPEG keeps flat images within one or two levels."""
    return [int(10 * round(float(image.mean()) / 10)) for image in images.array]


def labelled(listing: Listing) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    assert listing.test is not None
    train, test = (list(zip(files.names, files.targets.tolist(), strict=True)) for files in (listing.train, listing.test))
    return train, test


# ---------------------------------------------------------------- whole data sets


@pytest.mark.parametrize("folder", ["tiny-imagenet-200", "tiny_imagenet", "."])
def test_tiny_imagenet(tmp_path: Path, folder: str) -> None:
    write_tiny_imagenet(tmp_path / folder)
    source = load_source("tiny_imagenet", data_dir=tmp_path)
    assert (source.train.images.shape, source.test.images.shape) == ((6, 3, 64, 64), (2, 3, 64, 64))
    assert source.train.targets.tolist() == [0, 0, 1, 1, 2, 2]  # sorted WordNet ids
    assert source.test.targets.tolist() == [2, 0]
    assert greys(source.test) == [200, 210]
    assert source.class_names == ("goldfish, Carassius auratus", "European fire salamander", "bullfrog")
    assert (source.augment.crop_padding, source.augment.flip, source.asymmetric_map) == (8, True, None)


@pytest.mark.parametrize("folder", ["CUB_200_2011", "."])
def test_cub200(tmp_path: Path, folder: str) -> None:
    write_cub200(tmp_path / folder)
    source = load_source("cub200", data_dir=tmp_path, image_size=24)
    assert (source.train.images.shape, source.test.images.shape) == ((2, 3, 24, 24), (2, 3, 24, 24))
    assert (greys(source.train), source.train.targets.tolist()) == ([80, 120], [1, 0])
    assert (greys(source.test), source.test.targets.tolist()) == ([40, 160], [0, 1])
    assert source.class_names == ("Black footed Albatross", "Laysan Albatross")


def test_stanford_dogs_count_their_labels_from_one(tmp_path: Path) -> None:
    write_stanford_dogs(tmp_path / "stanford_dogs")
    source = load_source("stanford_dogs", data_dir=tmp_path, image_size=24)
    assert (greys(source.train), source.train.targets.tolist()) == ([40, 80], [0, 1])
    assert (greys(source.test), source.test.targets.tolist()) == ([120], [1])
    assert source.class_names == ("Chihuahua", "Japanese spaniel")


def test_mit67_reads_the_listed_images_only(tmp_path: Path) -> None:
    write_mit67(tmp_path)
    source = load_source("mit67", data_dir=tmp_path, image_size=24)
    assert (greys(source.train), source.train.targets.tolist()) == ([40, 80, 120], [1, 0, 1])
    assert (greys(source.test), source.test.targets.tolist()) == ([160], [0])
    assert source.class_names == ("airport_inside", "library")


@pytest.mark.parametrize("flat", [False, True])
def test_imagenet_validates_on_folders_or_by_the_devkit(tmp_path: Path, flat: bool) -> None:
    write_imagenet(tmp_path / "imagenet", flat=flat)
    source = load_source("imagenet", data_dir=tmp_path, image_size=24)
    assert (greys(source.train), source.train.targets.tolist()) == ([20, 40, 60], [0, 1, 2])
    assert dict(zip(greys(source.test), source.test.targets.tolist(), strict=True)) == {100: 1, 120: 2, 140: 0}
    assert source.class_names == (("goldfish", "salamander", "bullfrog, Rana") if flat else ("n01", "n02", "n03"))


@pytest.mark.parametrize("held", ["test", "val"])
def test_a_folder_with_two_splits(tmp_path: Path, held: str) -> None:
    write_folder(tmp_path / "own", held)
    source = load_source(f"folder:{tmp_path / 'own'}", data_dir=tmp_path / "data", image_size=24)
    assert source.class_names == ("ape", "cat")
    assert (greys(source.train), source.train.targets.tolist()) == ([60, 20, 40], [0, 1, 1])
    assert (greys(source.test), source.test.targets.tolist()) == ([80], [1])


def test_a_folder_without_splits_gives_a_fixed_stratified_fifth_as_test(tmp_path: Path) -> None:
    for label, name in enumerate("xyz"):
        for image in range(10):
            write_image(tmp_path / "own" / name / f"{image}.jpg", 80 * label + 2 * image)
    source, again = (load_source(f"folder:{tmp_path / 'own'}", data_dir=tmp_path) for _ in range(2))
    assert np.bincount(source.train.targets).tolist() == [8, 8, 8]
    assert np.bincount(source.test.targets).tolist() == [2, 2, 2]
    assert source.test.fingerprint() == again.test.fingerprint()


@pytest.mark.parametrize(("size", "expected"), [((20, 16), 16), ((32, 32), 32), ((300, 230), 224)])
def test_a_folder_of_small_images_is_not_enlarged(tmp_path: Path, size: tuple[int, int], expected: int) -> None:
    for name in "ab":
        for image in range(5):
            write_image(tmp_path / "own" / name / f"{image}.png", 90, size)
    source = load_source(f"folder:{tmp_path / 'own'}", data_dir=tmp_path)
    assert source.train.image_size == (expected, expected)
    assert (source.augment.resized_crop, source.augment.crop_padding) == ((0.2, 0) if expected == 224 else (0.0, expected // 8))


def test_reading_again_needs_the_cache_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cub200(tmp_path)
    first = load_source("cub200", data_dir=tmp_path, image_size=24)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("bsd_core.data.decode.load_image", refuse)
    assert load_source("cub200", data_dir=tmp_path, image_size=24).train.fingerprint() == first.train.fingerprint()
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2  # train and test


# ---------------------------------------------------------------- listings name files by their place under the root


def test_listings_hold_relative_names(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path / "tiny")
    train, test = labelled(read_tiny_imagenet(tmp_path / "tiny"))
    assert train[:2] == [("train/n01/images/n01_0.JPEG", 0), ("train/n01/images/n01_1.JPEG", 0)]
    assert test == [("val/images/val_0.JPEG", 2), ("val/images/val_1.JPEG", 0)]
    write_folder(tmp_path / "own")
    train, test = labelled(read_folder(tmp_path / "own"))
    assert train == [("train/ape/deeper/c.jpg", 0), ("train/cat/a.JPG", 1), ("train/cat/b.jpg", 1)]
    assert test == [("test/cat/d.jpg", 1)]


# ---------------------------------------------------------------- what is missing or torn


@pytest.mark.parametrize(
    ("name", "looked_for"),
    [
        ("cub200", r"CUB_200_2011/images\.txt'\. Expected CUB_200_2011/\{images\.txt, .*images/<class>/\*\.jpg\}"),
        ("imagenet", r"imagenet/train'\. Expected imagenet/\{train/<wnid>/\*\.JPEG, val/<wnid>/\*\.JPEG\} or .*meta\.mat"),
        ("mit67", r"indoorCVPR_09/TrainImages\.txt'\. Expected .*Images/<class>/\*\.jpg\}"),
        ("stanford_dogs", r"StanfordDogs/train_list\.mat'\. Expected .*test_list\.mat"),
        ("tiny_imagenet", r"tiny-imagenet-200/wnids\.txt'\. Expected tiny-imagenet-200/\{wnids\.txt, .*val/val_annotations\.txt\}"),
    ],
)
def test_an_absent_data_set_names_the_path_and_the_layout_in_one_line(tmp_path: Path, name: str, looked_for: str) -> None:
    with pytest.raises(MissingDataError, match=rf"No {name} files in '.*': looked for '.*{looked_for}") as caught:
        load_source(name, data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_half_there_is_looked_for_where_the_rest_lies(tmp_path: Path) -> None:
    write_cub200(tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(MissingDataError, match=rf"looked for '{tmp_path}/classes\.txt'"):
        load_source("cub200", data_dir=tmp_path)


def test_a_listed_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_mit67(tmp_path)
    (tmp_path / "Images" / "library" / "two.jpg").unlink()
    with pytest.raises(MissingDataError, match=r"Images/library/two\.jpg' is listed, but cannot be read \(No such file or directory\)"):
        load_source("mit67", data_dir=tmp_path, image_size=24)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    write_cub200(tmp_path)
    (tmp_path / "images" / "002.Laysan_Albatross" / "Laysan_0002.jpg").write_bytes(b"\xff\xd8 no jpeg")
    with pytest.raises(DataError, match=r"Laysan_0002\.jpg: broken image \(cannot identify image file"):
        load_source("cub200", data_dir=tmp_path, image_size=24)


def edited(path: str, *lines: str) -> Callable[[Path], None]:
    return lambda root: write_lines(root / path, *lines)


@pytest.mark.parametrize(
    ("write", "spoil", "read", "message"),
    [
        (write_cub200, edited("image_class_labels.txt", "1 1"), read_cub200, r"image_class_labels\.txt: nothing about '2'"),
        (write_cub200, edited("image_class_labels.txt", "1 1", "2 2", "3", "4 2"), read_cub200, r"labels\.txt, line 3: expected 2 fields"),
        (write_cub200, edited("image_class_labels.txt", "1 9", "2 2", "3 1", "4 2"), read_cub200, r"classes\.txt: nothing about '9'"),
        (write_cub200, edited("train_test_split.txt", "1 1", "2 1", "3 1", "4 1"), read_cub200, r"No test images in"),
        (write_cub200, edited("classes.txt", "one a", "2 b"), read_cub200, r"classes\.txt: expected a whole number, but got 'one'"),
        (
            write_tiny_imagenet,
            edited("val/val_annotations.txt", "val_0.JPEG\tn99"),
            read_tiny_imagenet,
            r"annotations\.txt: nothing about 'n99'",
        ),
        (write_tiny_imagenet, edited("wnids.txt", "n01", "n07"), read_tiny_imagenet, r"No image in '.*train/n07/images'; looked for \.bmp"),
        (write_stanford_dogs, edited("test_list.mat", "text"), read_stanford_dogs, r"test_list\.mat: not a readable MATLAB file"),
        (write_mit67, lambda root: (root / "TestImages.txt").unlink(), read_mit67, r"TestImages\.txt' was looked for, but is not there"),
        (
            write_mit67,
            lambda root: (root / "TestImages.txt").write_bytes(b"\xff\xfe\x00"),
            read_mit67,
            r"TestImages\.txt: not a readable text",
        ),
        (
            write_folder,
            lambda root: write_image(root / "test" / "dog" / "x.jpg", 9),
            read_folder,
            r"test/dog' is of a class that the training",
        ),
        (write_folder, lambda root: os.rename(root / "test", root / "other"), read_folder, r"train/, but neither test/ nor val/"),
        (write_folder, lambda root: (root / "train" / "empty").mkdir(), read_folder, r"No image in '.*train/empty'"),
    ],
)
def test_files_that_contradict_each_other_are_refused_by_name(
    tmp_path: Path, write: Callable[[Path], None], spoil: Callable[[Path], None], read: Callable[[Path], Listing], message: str
) -> None:
    write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda devkit: (devkit / "meta.mat").unlink(), r"val' has no class folders, so '.*meta\.mat' was looked for"),
        (edited("ILSVRC2012_validation_ground_truth.txt", "3", "1"), r"ground_truth\.txt: 2 labels, but '.*val' has 3 images"),
        (edited("ILSVRC2012_validation_ground_truth.txt", "3", "1", "9"), r"meta\.mat: nothing about 9"),
        (edited("ILSVRC2012_validation_ground_truth.txt", "3", "1", "4"), r"train: nothing about 'n00'"),
        (lambda devkit: savemat(devkit / "meta.mat", {"synsets": np.arange(3)}), r"meta\.mat: `synsets` is not the table of the devkit"),
        (lambda devkit: savemat(devkit / "meta.mat", {"other": 1}), r"meta\.mat: expected a variable 'synsets'"),
    ],
)
def test_a_devkit_that_does_not_fit_is_refused(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    write_imagenet(tmp_path, flat=True)
    spoil(tmp_path / "ILSVRC2012_devkit_t12" / "data")
    with pytest.raises(DataError, match=message):
        read_imagenet(tmp_path)


def test_dogs_with_a_gap_in_their_labels_are_refused(tmp_path: Path) -> None:
    write_stanford_dogs(tmp_path)
    cells = np.array([["n1-a/x.jpg"]], dtype=object)
    savemat(tmp_path / "test_list.mat", {"file_list": cells, "labels": np.array([[4]])})
    with pytest.raises(DataError, match=r"do not run from 1 to 3 without gaps"):
        read_stanford_dogs(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"), [("folder:", r"needs a path"), ("folder:/nowhere/at/all", r"No such folder: '/nowhere/at/all'")]
)
def test_a_folder_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_source(name)


def test_a_folder_without_classes_says_where_images_belong(tmp_path: Path) -> None:
    write_image(tmp_path / "own" / "x.jpg", 9)
    with pytest.raises(DataError, match=r"has no class folders; images belong into '.*own/<class>'"):
        load_source(f"folder:{tmp_path / 'own'}", data_dir=tmp_path)
