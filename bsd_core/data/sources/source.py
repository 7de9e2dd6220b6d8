"""What a data set is once it is loaded, and what a loader is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet
from bsd_core.data.splits import stratified_split
from bsd_core.errors import require


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data set, whole.

    Attributes:
        name: as the user wrote it, e.g. "digits" or "parquet:data/cifar10".
        train, test: official splits; where a data set has no test split, `test` is a fixed stratified fifth.
        class_names: K names, or empty.
        augment: what suits these images (digits are not mirrored).
        asymmetric_map: which class each class is mistaken for, or None where nobody has said.
    """

    name: str
    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...] = ()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    asymmetric_map: Mapping[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a loader is asked for.

    Attributes:
        name: as the user wrote it.
        path: what stands behind the colon of `folder:` and `parquet:`, otherwise empty.
        data_dir: where data sets and the image cache lie.
        download: fetch files where they are missing and their owners allow it.
        image_size: H and W in pixels; None: what is usual for the data set.
    """

    name: str
    path: str = ""
    data_dir: Path
    download: bool = True
    image_size: int | None = None

    def __post_init__(self) -> None:
        require(self.image_size is None or self.image_size >= 1, "image_size >= 1", image_size=self.image_size)


Loader = Callable[[Request], Source]


def hold_out_test(name: str, images: ImageSet, **rest: Any) -> Source:
    """A source without a test split: a fixed stratified fifth becomes it, the same for every study and seed."""
    train, test = stratified_split(images.targets, round(len(images) / 5), seed=0)
    return Source(name=name, train=images.select(train), test=images.select(test), **rest)
