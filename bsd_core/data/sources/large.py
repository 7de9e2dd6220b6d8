"""Data sets of image files: found under `data_dir`, listed by their layout, decoded once, then mapped or loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bsd_core.config import AugmentConfig
from bsd_core.data.decode import ImageFiles, decode_folder
from bsd_core.data.images import ImageSet
from bsd_core.data.sources.layouts import (
    Listing,
    read_cub200,
    read_folder,
    read_imagenet,
    read_mit67,
    read_stanford_dogs,
    read_tiny_imagenet,
)
from bsd_core.data.sources.source import Loader, Request, Source, hold_out_test
from bsd_core.errors import DataError, MissingDataError, one_line, shown

IN_MEMORY_BYTES: Final = 2 << 30  # a set of fewer bytes is loaded into ordinary memory, which is faster
IMAGE_SIZE: Final = 224
LARGE_SIDE: Final = 128  # pixels: from here on a random crop is resized


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a data set is published.

    Attributes:
        folder: name of the top folder.
        required: what must be in it.
        expected: all of it in one line, for the reader of an error.
        read: lists the images.
        image_size: H and W, unless the user wants another.
    """

    folder: str
    required: tuple[str, ...]
    expected: str
    read: Callable[[Path], Listing]
    image_size: int = IMAGE_SIZE


LAYOUTS: Final = {
    "cub200": Layout(
        folder="CUB_200_2011",
        required=("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt", "images"),
        expected="{images.txt, image_class_labels.txt, train_test_split.txt, classes.txt, images/<class>/*.jpg}",
        read=read_cub200,
    ),
    "imagenet": Layout(
        folder="imagenet",
        required=("train", "val"),
        expected="{train/<wnid>/*.JPEG, val/<wnid>/*.JPEG} or {train/<wnid>/*.JPEG, val/*.JPEG, ILSVRC2012_devkit_t12/data/"
        "{ILSVRC2012_validation_ground_truth.txt, meta.mat}}",
        read=read_imagenet,
    ),
    "mit67": Layout(
        folder="indoorCVPR_09",
        required=("TrainImages.txt", "TestImages.txt", "Images"),
        expected="{TrainImages.txt, TestImages.txt, Images/<class>/*.jpg}",
        read=read_mit67,
    ),
    "stanford_dogs": Layout(
        folder="StanfordDogs",
        required=("train_list.mat", "test_list.mat", "Images"),
        expected="{train_list.mat, test_list.mat, Images/<class>/*.jpg}",
        read=read_stanford_dogs,
    ),
    "tiny_imagenet": Layout(
        folder="tiny-imagenet-200",
        required=("wnids.txt", "train", "val/val_annotations.txt", "val/images"),
        expected="{wnids.txt, words.txt, train/<wnid>/images/*.JPEG, val/images/*.JPEG, val/val_annotations.txt}",
        read=read_tiny_imagenet,
        image_size=64,
    ),
}


def published(layout: Layout) -> Loader:
    """A loader for a data set that its owners publish as `layout`; it is not downloaded."""

    def load(request: Request) -> Source:
        return _load(request, layout.read(_find_root(request, layout)), request.image_size or layout.image_size)

    return load


def load_folder(request: Request) -> Source:
    """`folder:<path>`: one folder a class, as torchvision's `ImageFolder` reads them.

    <path>/train/<class>/* and <path>/test/<class>/* (or val/), or <path>/<class>/*, of which a fixed stratified fifth becomes the test
    split. Images become RGB of 224 px, or of the first image's shorter side where that is less.
    """
    if not request.path:
        raise DataError("folder: needs a path: dataset=folder:<folder with train/<class>/* and test/<class>/*>.")
    root = Path(os.path.expanduser(request.path))
    if not os.path.isdir(root):
        raise MissingDataError(f"No such folder: {shown(root)}. Expected {{train/<class>/*, test/<class>/*}} or {{<class>/*}} in it.")
    listing = read_folder(root)
    return _load(request, listing, request.image_size or min(IMAGE_SIZE, _shorter_side(listing.train)))


def _find_root(request: Request, layout: Layout) -> Path:
    """The folder that has everything the layout requires: the published top folder, one of the data set's name, or data_dir itself."""
    candidates = [request.data_dir / layout.folder, request.data_dir / request.name, request.data_dir]

    def absent(root: Path) -> list[str]:
        return [name for name in layout.required if not os.path.exists(root / name)]

    best = min(candidates, key=lambda root: len(absent(root)))  # the first of equals
    if missing := absent(best):
        raise MissingDataError(
            f"No {request.name} files in {str(request.data_dir)!r}: looked for {str(best / missing[0])!r}. Expected "
            f"{layout.folder}/{layout.expected}. It is not downloaded: get it from its owners, and set data_dir=..."
        )
    return best


def _shorter_side(files: ImageFiles) -> int:
    from PIL import Image

    path = files.root / files.names[0]
    try:
        with Image.open(path) as image:
            return min(image.size)
    except Exception as error:
        raise DataError(f"{path}: broken image ({one_line(error, limit=120)}).") from error


def _load(request: Request, listing: Listing, image_size: int) -> Source:
    def decode(files: ImageFiles) -> ImageSet:
        cache = request.data_dir / "cache"
        return decode_folder(files, n_classes=len(listing.class_names), image_size=image_size, cache_dir=cache)

    train, test = decode(listing.train), None if listing.test is None else decode(listing.test)
    rest: dict[str, Any] = {"class_names": listing.class_names, "augment": _augment(image_size)}
    source = hold_out_test(request.name, train, **rest) if test is None else Source(name=request.name, train=train, test=test, **rest)
    if (len(source.train) + len(source.test)) * 3 * image_size**2 < IN_MEMORY_BYTES:
        return replace(source, train=_in_memory(source.train), test=_in_memory(source.test))
    return source


def _augment(image_size: int) -> AugmentConfig:
    """Photographs are mirrored; large ones are cropped as for ImageNet (but not below a fifth of the area), small ones as for CIFAR."""
    if image_size >= LARGE_SIDE:
        return AugmentConfig(flip=True, resized_crop=0.2)
    return AugmentConfig(flip=True, crop_padding=image_size // 8)


def _in_memory(images: ImageSet) -> ImageSet:
    return ImageSet(images.array, images.targets, images.n_classes)
