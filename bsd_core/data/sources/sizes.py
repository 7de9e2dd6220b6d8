"""How many images, classes and pixels the named data sets have, for whoever plans before the files are there."""

from __future__ import annotations

from typing import Final, NamedTuple


class PublishedSize(NamedTuple):
    """A data set's size once it is loaded.

    Attributes:
        n_train, n_test: images of the official splits; of `imagenet` the validation images are the test split.
        image_shape: (C, H, W); of folders of images, as they are resized where the user asks for no other size.
        n_classes: K.
    """

    n_train: int
    n_test: int
    image_shape: tuple[int, int, int]
    n_classes: int


PUBLISHED_SIZES: Final = {
    "cifar10": PublishedSize(50_000, 10_000, (3, 32, 32), 10),
    "cifar100": PublishedSize(50_000, 10_000, (3, 32, 32), 100),
    "cub200": PublishedSize(5_994, 5_794, (3, 224, 224), 200),
    "digits": PublishedSize(1_438, 359, (1, 8, 8), 10),
    "fashion_mnist": PublishedSize(60_000, 10_000, (1, 28, 28), 10),
    "imagenet": PublishedSize(1_281_167, 50_000, (3, 224, 224), 1000),
    "mit67": PublishedSize(5_360, 1_340, (3, 224, 224), 67),
    "mnist": PublishedSize(60_000, 10_000, (1, 28, 28), 10),
    "stanford_dogs": PublishedSize(12_000, 8_580, (3, 224, 224), 120),
    "svhn": PublishedSize(73_257, 26_032, (3, 32, 32), 10),
    "tiny_imagenet": PublishedSize(100_000, 10_000, (3, 64, 64), 200),
}
