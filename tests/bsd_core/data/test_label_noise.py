from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.data.label_noise import ASYMMETRIC_MAPS, NOISE_KINDS, next_in_group, spoil_labels
from bsd_core.errors import ConfigError
from tests._dummies import PROPERTY, Float64, Int64, load_shared_golden

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


def make_balanced(n: int, n_classes: int) -> Int64:
    return np.arange(n, dtype=np.int64) % n_classes


def transition_matrix(true: Int64, given: Int64, n_classes: int) -> Float64:
    """(K, K) share of each given label among the samples of each true class."""
    counts = np.zeros((n_classes, n_classes))
    for true_label, given_label in zip(true.tolist(), given.tolist(), strict=True):
        counts[true_label, given_label] += 1
    shares: Float64 = counts / counts.sum(1, keepdims=True)
    return shares


@PROPERTY
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    rate=st.floats(0, 1, exclude_max=True),
    n_classes=st.integers(5, 9),
    seed=st.integers(0, 9),
)
def test_symmetric_noise_spoils_exactly_the_rounded_share(labels: list[int], rate: float, n_classes: int, seed: int) -> None:
    true = np.array(labels)
    spoiled = spoil_labels(true, "symmetric", rate, n_classes=n_classes, seed=seed)
    assert int((spoiled != true).sum()) == round(rate * len(labels))
    assert spoiled.min() >= 0
    assert spoiled.max() < n_classes


@PROPERTY
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_asymmetric_noise_spoils_exactly_the_rounded_share_by_the_map(labels: list[int], share: float, seed: int) -> None:
    mapping = {0: 1, 1: 4, 3: 0}
    true = np.array(labels)
    n_mapped = sum(label in mapping for label in labels)
    rate = min(share, 0.99) * n_mapped / len(labels)
    spoiled = spoil_labels(true, "asymmetric", rate, n_classes=5, seed=seed, mapping=mapping)
    wrong = spoiled != true
    assert int(wrong.sum()) == round(rate * len(labels))
    assert spoiled[wrong].tolist() == [mapping[label] for label in true[wrong].tolist()]


def test_symmetric_noise_is_uniform_over_the_other_classes() -> None:
    n_classes, per_class = 5, 8000
    true = make_balanced(n_classes * per_class, n_classes)
    spoiled = spoil_labels(true, "symmetric", 0.5, n_classes=n_classes, seed=3)
    expected = 0.5 / (n_classes - 1)
    # A share of 8000 draws has a spread of at most sqrt(p (1 - p) / 8000); four of them are allowed.
    tolerance = 4 * np.sqrt(expected * (1 - expected) / per_class)
    shares = transition_matrix(true, spoiled, n_classes)
    off_diagonal = shares[~np.eye(n_classes, dtype=bool)]
    assert off_diagonal == pytest.approx(expected, abs=tolerance)


def test_asymmetric_noise_hits_every_mapped_class_alike_and_no_other() -> None:
    true = make_balanced(50_000, 10)
    spoiled = spoil_labels(true, "asymmetric", 0.2, n_classes=10, seed=1)
    shares = transition_matrix(true, spoiled, 10)
    # A fifth of all labels are two fifths of the five mapped classes.
    for label in range(10):
        if label in (2, 3, 4, 5, 9):
            assert shares[label, ASYMMETRIC_MAPS["cifar10"][label]] == pytest.approx(0.4, abs=0.03)
        else:
            assert shares[label, label] == 1


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.5, 0.8])
def test_symmetric_noise_agrees_with_the_published_transition_matrix(rate: float) -> None:
    expected = load_shared_golden("noise")[f"c10_sym_excl_{rate}"]
    true = make_balanced(50_000, 10)
    found = transition_matrix(true, spoil_labels(true, "symmetric", rate, n_classes=10, seed=0), 10)
    assert np.abs(found - expected).max() < 0.03


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.5, 0.8])
def test_asymmetric_noise_at_half_the_rate_agrees_with_the_published_transition_matrix(rate: float) -> None:
    expected = load_shared_golden("noise")[f"c10_asym_{rate}"]
    true = make_balanced(50_000, 10)
    found = transition_matrix(true, spoil_labels(true, "asymmetric", rate / 2, n_classes=10, seed=0), 10)
    assert np.abs(found - expected).max() < 0.03


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


def test_without_a_map_ten_and_a_hundred_classes_take_those_of_cifar() -> None:
    for n_classes, name in ((10, "cifar10"), (100, "cifar100")):
        true = make_balanced(2000, n_classes)
        default = spoil_labels(true, "asymmetric", 0.3, n_classes=n_classes, seed=2)
        named = spoil_labels(true, "asymmetric", 0.3, n_classes=n_classes, seed=2, mapping=ASYMMETRIC_MAPS[name])
        assert np.array_equal(default, named)


@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
def test_noise_is_a_function_of_the_seed_and_leaves_the_labels_as_they_were(kind: str) -> None:
    true = make_balanced(500, 10)
    before = true.copy()
    first, again, other = (spoil_labels(true, kind, 0.3, n_classes=10, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(true, before)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_an_array_gives_an_array_and_a_tensor_the_same_labels_as_a_tensor(kind: str) -> None:
    true = make_balanced(100, 10)
    rate = 0.0 if kind == "none" else 0.25
    array = spoil_labels(true, kind, rate, n_classes=10, seed=0)
    tensor = spoil_labels(torch.from_numpy(true), kind, rate, n_classes=10, seed=0)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.int64
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.int64
    assert np.array_equal(tensor.numpy(), array)


def test_a_tensor_is_not_modified_and_shares_no_memory_with_the_noisy_one() -> None:
    true = torch.arange(10)
    spoiled = spoil_labels(true, "none", 0.0, n_classes=10, seed=0)
    spoiled[0] = 5
    assert true.tolist() == list(range(10))


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_rate_zero_changes_nothing(kind: str) -> None:
    true = make_balanced(50, 10)
    assert np.array_equal(spoil_labels(true, kind, 0.0, n_classes=10, seed=0), true)


@pytest.mark.parametrize(
    ("kind", "rate", "n_classes", "mapping", "message"),
    [
        ("symetric", 0.1, 10, None, r"Unknown label noise 'symetric'\. Known: asymmetric, none, symmetric\. Did you mean 'symmetric'\?"),
        ("symmetric", 1.0, 10, None, r"`0 <= noise_rate < 1` must hold, but got noise_rate=1\.0"),
        ("symmetric", -0.1, 10, None, r"noise_rate=-0\.1"),
        ("symmetric", float("nan"), 10, None, r"noise_rate=nan"),
        ("none", 0.1, 10, None, r"`noise_rate = 0 without noise` must hold, but got noise_rate=0\.1"),
        ("asymmetric", 0.1, 7, None, r"no map is known for 7 classes\. Give one: mapping"),
        ("asymmetric", 0.1, 10, {3: 3}, r"mapped to another class` must hold, but got mapping=\{3: 3\}"),
        ("asymmetric", 0.1, 10, {3: 10}, r"`0 <= class < 10, mapped to another class` must hold, but got mapping=\{3: 10\}"),
        ("asymmetric", 0.1, 10, {-1: 2}, r"mapping=\{-1: 2\}"),
        ("asymmetric", 0.5, 10, {0: 1}, r"needs 50 labels to spoil, but only 10 of 100 .* Lower the rate to 0\.100 or map more classes"),
    ],
)
def test_noise_that_cannot_be_made_is_refused(
    kind: str, rate: float, n_classes: int, mapping: Mapping[int, int] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        spoil_labels(make_balanced(100, n_classes), kind, rate, n_classes=n_classes, seed=0, mapping=mapping)
