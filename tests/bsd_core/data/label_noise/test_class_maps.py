from __future__ import annotations

import numpy as np
import pytest

from bsd_core.data.label_noise import ASYMMETRIC_MAPS, next_in_group
from bsd_core.data.label_noise.class_maps import mapping_table, next_class_table
from tests._dummies import load_shared_golden

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

# Krizhevsky's superclasses of CIFAR-100; the fine labels are numbered in alphabetical order.
CIFAR100_SUPERCLASSES = [
    "beaver dolphin otter seal whale",
    "aquarium_fish flatfish ray shark trout",
    "orchid poppy rose sunflower tulip",
    "bottle bowl can cup plate",
    "apple mushroom orange pear sweet_pepper",
    "clock keyboard lamp telephone television",
    "bed chair couch table wardrobe",
    "bee beetle butterfly caterpillar cockroach",
    "bear leopard lion tiger wolf",
    "bridge castle house road skyscraper",
    "cloud forest mountain plain sea",
    "camel cattle chimpanzee elephant kangaroo",
    "fox porcupine possum raccoon skunk",
    "crab lobster snail spider worm",
    "baby boy girl man woman",
    "crocodile dinosaur lizard snake turtle",
    "hamster mouse rabbit shrew squirrel",
    "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "bicycle bus motorcycle pickup_truck train",
    "lawn_mower rocket streetcar tank tractor",
]


def test_the_map_of_cifar100_agrees_with_the_superclasses_of_the_label_files() -> None:
    expected = load_shared_golden("noise")["c100_next_in_superclass"]
    assert ASYMMETRIC_MAPS["cifar100"] == dict(enumerate(expected.tolist()))


def test_the_map_of_cifar100_is_the_next_class_of_the_superclass_written_out_by_name() -> None:
    groups = [sorted(group.split()) for group in CIFAR100_SUPERCLASSES]
    number = {name: label for label, name in enumerate(sorted(name for group in groups for name in group))}
    assert len(number) == 100
    expected = {number[name]: number[group[(place + 1) % 5]] for group in groups for place, name in enumerate(group)}
    assert ASYMMETRIC_MAPS["cifar100"] == expected


def test_the_map_of_cifar10_is_the_one_of_the_literature_by_name() -> None:
    by_name = {CIFAR10[true]: CIFAR10[wrong] for true, wrong in ASYMMETRIC_MAPS["cifar10"].items()}
    assert by_name == {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


@pytest.mark.parametrize(("name", "n_classes"), [("cifar10", 10), ("cifar100", 100), ("mnist", 10), ("digits", 10), ("fashion_mnist", 10)])
def test_every_map_leads_to_another_class_of_the_data_set(name: str, n_classes: int) -> None:
    for true, wrong in ASYMMETRIC_MAPS[name].items():
        assert 0 <= true < n_classes
        assert 0 <= wrong < n_classes
        assert true != wrong


def test_next_in_group_goes_round_each_group() -> None:
    # groups: 7 holds classes 0, 2, 3; 8 holds 1 and 4
    assert next_in_group([7, 8, 7, 7, 8]) == {0: 2, 2: 3, 3: 0, 1: 4, 4: 1}


def test_the_table_of_a_map_leaves_unmapped_classes_as_they_are() -> None:
    assert mapping_table({0: 2, 3: 1}, 5).tolist() == [2, 1, 2, 1, 4]


def test_the_numbers_of_a_map_may_be_numpys() -> None:
    assert mapping_table({np.int64(0): np.uint8(2)}, 3).tolist() == [2, 1, 2]  # type: ignore[dict-item]


def test_the_next_class_of_the_last_is_the_first_as_in_the_published_circular_map() -> None:
    assert next_class_table(4).tolist() == [1, 2, 3, 0]
    assert np.array_equal(next_class_table(100), load_shared_golden("noise")["c100_next_circular"])
