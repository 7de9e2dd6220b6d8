"""Folders as the owners of a data set publish them -> which image has which label. No image is opened here.

A reader takes the root of an unpacked data set and gives its `Listing`; paths are relative to that root, classes are numbered as in the
literature: by the owner's own numbers where there are any, otherwise in the order of their sorted names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from bsd_core.data.decode import ImageFiles
from bsd_core.errors import DataError, MissingDataError, one_line

SUFFIXES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

K = TypeVar("K")
V = TypeVar("V")
Labelled = tuple[str, int]  # path of an image relative to the root, and its label


@dataclass(frozen=True)
class Listing:
    """The files of a data set.

    Attributes:
        train: official training images.
        test: test images, or None where the data set has none.
        class_names: K names.
    """

    train: ImageFiles
    test: ImageFiles | None
    class_names: tuple[str, ...]


def _listing(root: Path, train: list[Labelled], test: list[Labelled] | None, class_names: Iterable[str]) -> Listing:
    def files(pairs: list[Labelled], split: str) -> ImageFiles:
        if not pairs:
            raise DataError(f"No {split} images in {str(root)!r}.")
        return ImageFiles(root, [name for name, _ in pairs], np.array([label for _, label in pairs], dtype=np.int64))

    return Listing(files(train, "training"), None if test is None else files(test, "test"), tuple(class_names))


def read_tiny_imagenet(root: Path) -> Listing:
    """200 classes, 64 px; the 10,000 labelled `val` images are the test split, since the labels of `test` were never published."""
    wnids = sorted(fields[0] for fields in _lines(root / "wnids.txt", 1))
    label = {wnid: index for index, wnid in enumerate(wnids)}
    words = dict(_lines(root / "words.txt", 2, "\t")) if (root / "words.txt").is_file() else {}
    train = [(name, label[wnid]) for wnid in wnids for name in _images_in(root, f"train/{wnid}/images")]
    annotations = root / "val" / "val_annotations.txt"
    test = [(f"val/images/{name}", _look_up(label, wnid, annotations)) for name, wnid in _lines(annotations, 2, "\t")]
    return _listing(root, train, test, (words.get(wnid, wnid) for wnid in wnids))


def read_cub200(root: Path) -> Listing:
    """Caltech-UCSD Birds 200-2011: 5,994 training and 5,794 test images, by the owners' numbers."""
    labels = dict(_lines(root / "image_class_labels.txt", 2))
    is_train = dict(_lines(root / "train_test_split.txt", 2))
    classes = sorted((_number(text, root / "classes.txt"), name) for text, name in _lines(root / "classes.txt", 2))
    label = {str(number): index for index, (number, _) in enumerate(classes)}
    parts: dict[str, list[Labelled]] = {"1": [], "0": []}
    for image, name in _lines(root / "images.txt", 2):
        number = _look_up(labels, image, root / "image_class_labels.txt")
        split = _look_up(parts, _look_up(is_train, image, root / "train_test_split.txt"), root / "train_test_split.txt")
        split.append((f"images/{name}", _look_up(label, number, root / "classes.txt")))
    return _listing(root, parts["1"], parts["0"], (name.partition(".")[2].replace("_", " ") or name for _, name in classes))


def read_stanford_dogs(root: Path) -> Listing:
    """120 breeds, 12,000 training and 8,580 test images, listed in MATLAB files with labels from 1."""
    parts: list[list[Labelled]] = []
    names: dict[int, str] = {}
    for split in ("train", "test"):
        path = root / f"{split}_list.mat"
        content = _matlab(path, "file_list", "labels")
        files = [str(name) for name in np.atleast_1d(content["file_list"])]
        labels = [int(label) - 1 for label in np.atleast_1d(content["labels"])]
        if len(files) != len(labels):
            raise DataError(f"{path}: {len(files)} files, but {len(labels)} labels.")
        names |= {label: file.partition("/")[0].partition("-")[2] for file, label in zip(files, labels, strict=True)}
        parts.append([(f"Images/{file}", label) for file, label in zip(files, labels, strict=True)])
    if sorted(names) != list(range(len(names))):
        raise DataError(f"{str(root)!r}: the labels of train_list.mat and test_list.mat do not run from 1 to {len(names)} without gaps.")
    train, test = parts
    return _listing(root, train, test, (names[label].replace("_", " ") for label in range(len(names))))


def read_mit67(root: Path) -> Listing:
    """MIT indoor scenes: 67 classes, 5,360 training and 1,340 test images, listed as <class>/<file>."""
    listed = [[fields[0] for fields in _lines(root / f"{split}Images.txt", 1, "\n")] for split in ("Train", "Test")]
    names = sorted({file.partition("/")[0] for files in listed for file in files})
    label = {name: index for index, name in enumerate(names)}
    train, test = ([(f"Images/{file}", label[file.partition("/")[0]]) for file in files] for files in listed)
    return _listing(root, train, test, names)


def read_imagenet(root: Path) -> Listing:
    """ILSVRC 2012: 1,281,167 training images; the 50,000 validation images are the test split, as everywhere in the literature.

    Where `val` has no folders its labels come from the devkit. Those are ILSVRC's own ids, which meta.mat maps to WordNet ids; classes are
    numbered by their sorted WordNet ids.
    """
    wnids = _class_folders(root / "train")
    devkit = root / "ILSVRC2012_devkit_t12" / "data"
    meta, truth = devkit / "meta.mat", devkit / "ILSVRC2012_validation_ground_truth.txt"
    synsets = _synsets(meta) if meta.is_file() else {}
    if any(entry.is_dir() for entry in (root / "val").iterdir()):
        test = _labelled_by_folder(root, "val", wnids)
    else:
        for path in (truth, meta):
            if not path.is_file():
                raise MissingDataError(f"{str(root / 'val')!r} has no class folders, so {str(path)!r} was looked for, but is not there.")
        label = {wnid: index for index, wnid in enumerate(wnids)}
        ids = [_number(text, truth) for (text,) in _lines(truth, 1)]
        names = _images_in(root, "val")
        if len(ids) != len(names):
            raise DataError(f"{truth}: {len(ids)} labels, but {str(root / 'val')!r} has {len(names)} images.")
        wnid_of = [_look_up(synsets, number, meta)[0] for number in ids]
        test = [(name, _look_up(label, wnid, root / "train")) for name, wnid in zip(names, wnid_of, strict=True)]
    words = dict(synsets.values())
    return _listing(root, _labelled_by_folder(root, "train", wnids), test, (words.get(wnid, wnid) for wnid in wnids))


def read_folder(root: Path) -> Listing:
    """One folder a class, under train/ and test/ (or val/), or directly under `root`, which then has no test split."""
    if not (root / "train").is_dir():
        classes = _class_folders(root)
        return _listing(root, _labelled_by_folder(root, ".", classes), None, classes)
    held = next((split for split in ("test", "val") if (root / split).is_dir()), None)
    if held is None:
        raise MissingDataError(
            f"{str(root)!r} has train/, but neither test/ nor val/. Add one, or use folder:{root / 'train'}, of which a fifth is held out."
        )
    classes = _class_folders(root / "train")
    return _listing(root, _labelled_by_folder(root, "train", classes), _labelled_by_folder(root, held, classes), classes)


# ---------------------------------------------------------------- pieces


def _class_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted: class k is the k-th. Hidden folders are none."""
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise DataError(f"{str(folder)!r} has no class folders; images belong into {str(folder / '<class>')!r}.")
    return found


def _labelled_by_folder(root: Path, split: str, classes: Sequence[str]) -> list[Labelled]:
    """Images of root/split/<class>/, class by class."""
    found = _class_folders(root / split)
    if strangers := sorted(set(found) - set(classes)):
        raise DataError(f"{str(root / split / strangers[0])!r} is of a class that the training images do not have.")
    return [(name, label) for label, wanted in enumerate(classes) if wanted in found for name in _images_in(root, f"{split}/{wanted}")]


def _images_in(root: Path, folder: str) -> list[str]:
    """Image files below root/folder, sorted, relative to `root`."""
    found = []
    for parent, _, files in os.walk(root / folder, followlinks=True):
        inside = os.path.relpath(parent, root)
        found += [os.path.join(inside, file) for file in files if file.lower().endswith(SUFFIXES)]
    if not found:
        raise DataError(f"No image in {str(root / folder)!r}; looked for {', '.join(SUFFIXES)}.")
    return sorted(found)


def _lines(path: Path, n_fields: int, separator: str | None = None) -> list[list[str]]:
    """The first `n_fields` fields of every line that is not empty."""
    try:
        rows = [line.strip().split(separator) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise MissingDataError(f"{str(path)!r} was looked for, but is not there.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({one_line(error, limit=120)}).") from error
    for number, row in enumerate(rows, 1):
        if len(row) < n_fields:
            raise DataError(f"{path}, line {number}: expected {n_fields} fields, but got {' '.join(row)!r}.")
    return [row[:n_fields] for row in rows]


def _number(text: str, path: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{path}: expected a whole number, but got {text!r}.") from None


def _matlab(path: Path, *names: str) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(path, squeeze_me=True)
    except Exception as error:
        raise DataError(f"{path}: not a readable MATLAB file ({one_line(error, limit=120)}).") from error
    for name in names:
        if name not in content:
            raise DataError(f"{path}: expected a variable {name!r}.")
    return content


def _synsets(path: Path) -> dict[int, tuple[str, str]]:
    """meta.mat of the devkit: ILSVRC's id -> (WordNet id, words)."""
    found = np.atleast_1d(_matlab(path, "synsets")["synsets"])
    try:
        return {int(one["ILSVRC2012_ID"]): (str(one["WNID"]), str(one["words"])) for one in found}
    except (IndexError, ValueError) as error:
        raise DataError(f"{path}: `synsets` is not the table of the devkit ({one_line(error, limit=120)}).") from error


def _look_up(table: dict[K, V], key: K, path: Path) -> V:
    """`table[key]`, or an error that names the file which should have had it."""
    if key not in table:
        raise DataError(f"{path}: nothing about {key!r}, which another file of the data set names.")
    return table[key]
