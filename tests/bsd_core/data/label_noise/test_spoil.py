from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.data.label_noise import ASYMMETRIC_MAPS, NOISE_KINDS, spoil_labels
from bsd_core.errors import ConfigError, DataError
from tests._dummies import PROPERTY, Float64, Int64, load_shared_golden
from tests.bsd_core.data.label_noise._dummies import assert_drawn_from, make_balanced, transition_matrix

Labels = TypeVar("Labels", Int64, torch.Tensor)

DRAWN = [kind for kind in NOISE_KINDS if kind != "human"]
RATED = [kind for kind, facts in NOISE_KINDS.items() if "rate" in facts.needs]


def spoil(true: Labels, kind: str, rate: float, *, n_classes: int = 10, seed: int = 0) -> Labels:
    """Noise of any kind that is drawn, with made-up features and a made-up matrix where it needs them."""
    features = np.random.default_rng(0).standard_normal((len(true), 6)).astype(np.float32)
    matrix: Float64 = np.full((n_classes, n_classes), 0.3 / n_classes) + 0.7 * np.eye(n_classes)
    return spoil_labels(true, kind, rate, n_classes=n_classes, seed=seed, features=features, matrix=matrix)


@PROPERTY
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    rate=st.floats(0, 1, exclude_max=True),
    n_classes=st.integers(5, 9),
    seed=st.integers(0, 9),
)
def test_exact_kinds_spoil_exactly_the_rounded_share_and_never_leave_the_classes(
    labels: list[int], rate: float, n_classes: int, seed: int
) -> None:
    true = np.array(labels)
    for kind in ("symmetric", "pairflip"):
        spoiled = spoil_labels(true, kind, rate, n_classes=n_classes, seed=seed)
        assert int((spoiled != true).sum()) == round(rate * len(labels))
        assert 0 <= spoiled.min() <= spoiled.max() < n_classes


@pytest.mark.parametrize("kind", ["symmetric", "pairflip"])
def test_nearly_all_labels_can_be_wrong(kind: str) -> None:
    true = make_balanced(1000, 10)
    assert int((spoil_labels(true, kind, 0.999, n_classes=10, seed=0) != true).sum()) == 999
    assert np.all(spoil_labels(true, kind, 0.9999, n_classes=10, seed=0) != true)


@PROPERTY
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), rate=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 9))
def test_redrawn_labels_are_at_most_the_rounded_share(labels: list[int], rate: float, seed: int) -> None:
    true = np.array(labels)
    spoiled = spoil_labels(true, "symmetric_inclusive", rate, n_classes=5, seed=seed)
    assert int((spoiled != true).sum()) <= round(rate * len(labels))
    assert 0 <= spoiled.min() <= spoiled.max() < 5


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
@pytest.mark.parametrize(
    ("kind", "published", "share_of_labels"),
    [
        ("symmetric", "sym_excl", 1.0),
        ("symmetric_inclusive", "sym_incl", 1.0),
        ("asymmetric", "asym", 0.5),  # the published rate is that of five of the ten classes
        ("pairflip", "pair", 1.0),
    ],
)
def test_labels_agree_with_the_published_transition_matrix(kind: str, published: str, share_of_labels: float, rate: float) -> None:
    expected = load_shared_golden("noise")[f"c10_{published}_{rate}"]
    true = make_balanced(50_000, 10)
    assert_drawn_from(expected, true, spoil_labels(true, kind, rate * share_of_labels, n_classes=10, seed=0))


def test_pair_flips_go_to_the_next_class_and_from_the_last_to_the_first() -> None:
    true = make_balanced(400, 4)
    spoiled = spoil_labels(true, "pairflip", 0.45, n_classes=4, seed=0)
    wrong = spoiled != true
    assert int(wrong.sum()) == 180
    assert set(zip(true[wrong].tolist(), spoiled[wrong].tolist(), strict=True)) == {(0, 1), (1, 2), (2, 3), (3, 0)}


def test_without_a_map_ten_and_a_hundred_classes_take_those_of_cifar() -> None:
    for n_classes, name in ((10, "cifar10"), (100, "cifar100")):
        true = make_balanced(2000, n_classes)
        default = spoil_labels(true, "asymmetric", 0.3, n_classes=n_classes, seed=2)
        named = spoil_labels(true, "asymmetric", 0.3, n_classes=n_classes, seed=2, mapping=ASYMMETRIC_MAPS[name])
        assert np.array_equal(default, named)


@pytest.mark.parametrize("kind", [kind for kind in DRAWN if kind != "none"])
def test_noise_is_a_function_of_the_seed_and_leaves_the_labels_as_they_were(kind: str) -> None:
    true = make_balanced(500, 10)
    before = true.copy()
    rate = 0.3 if kind in RATED else 0.0
    first, again, other = (spoil(true, kind, rate, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(true, before)


@pytest.mark.parametrize("kind", DRAWN)
def test_an_array_gives_an_array_and_a_tensor_the_same_labels_as_a_tensor(kind: str) -> None:
    true = make_balanced(100, 10)
    array = spoil(true, kind, 0.25 if kind in RATED else 0.0)
    tensor = spoil(torch.from_numpy(true), kind, 0.25 if kind in RATED else 0.0)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.int64
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.int64
    assert np.array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("kind", DRAWN)
def test_lists_tensors_and_other_integers_give_the_same_labels(kind: str) -> None:
    true = make_balanced(100, 10)
    rate = 0.25 if kind in RATED else 0.0
    features = np.random.default_rng(0).standard_normal((100, 6)).astype(np.float32)
    matrix: Float64 = np.full((10, 10), 0.03) + 0.7 * np.eye(10)
    expected = spoil_labels(true, kind, rate, n_classes=10, seed=0, features=features, matrix=matrix)
    from_lists = spoil_labels(true.tolist(), kind, rate, n_classes=10, seed=0, features=features.tolist(), matrix=matrix.tolist())
    from_bytes = spoil_labels(
        true.astype(np.uint8), kind, rate, n_classes=10, seed=0, features=torch.from_numpy(features), matrix=torch.from_numpy(matrix)
    )
    for given_labels in (from_lists, from_bytes):
        assert isinstance(given_labels, np.ndarray)
        assert given_labels.dtype == np.int64
        assert np.array_equal(given_labels, expected)


def test_an_empty_list_has_no_labels() -> None:
    assert spoil_labels([], "symmetric", 0.5, n_classes=3, seed=0).shape == (0,)


@pytest.mark.parametrize(("n", "n_mapped", "rate"), [(300, 200, "0.666"), (1000, 1, "0.001"), (700, 377, "0.538")])
def test_the_rate_that_is_advised_can_be_had(n: int, n_mapped: int, rate: str) -> None:
    true = (np.arange(n) >= n_mapped).astype(np.int64)
    with pytest.raises(ConfigError, match=rf"only {n_mapped} of {n} .* Lower the rate to {rate} or map more classes\."):
        spoil_labels(true, "asymmetric", 0.99, n_classes=3, seed=0, mapping={0: 2})
    spoiled = spoil_labels(true, "asymmetric", float(rate), n_classes=3, seed=0, mapping={0: 2})
    assert int((spoiled != true).sum()) == round(float(rate) * n)


def test_no_rate_is_advised_where_none_would_do() -> None:
    true = (np.arange(2000) >= 1).astype(np.int64)  # 1 / 2000 is 0.000 in three digits
    with pytest.raises(ConfigError, match=r"only 1 of 2000 samples are of a class in the map\. Map more classes\.$"):
        spoil_labels(true, "asymmetric", 0.5, n_classes=3, seed=0, mapping={0: 2})


def test_noise_leaves_numpys_global_random_numbers_alone() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1]  # type: ignore[index]
    for kind in DRAWN:
        spoil(make_balanced(50, 10), kind, 0.25 if kind in RATED else 0.0)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


def test_a_tensor_is_not_modified_and_shares_no_memory_with_the_noisy_one() -> None:
    true = torch.arange(10)
    spoiled = spoil_labels(true, "none", 0.0, n_classes=10, seed=0)
    spoiled[0] = 5
    assert true.tolist() == list(range(10))


@pytest.mark.parametrize("kind", ["none", *RATED])
def test_rate_zero_changes_nothing(kind: str) -> None:
    true = make_balanced(50, 10)
    assert np.array_equal(spoil_labels(true, kind, 0.0, n_classes=10, seed=0), true)


@pytest.mark.parametrize(
    ("kind", "rate", "n_classes", "mapping", "message"),
    [
        ("symetric", 0.1, 10, None, r"Unknown label noise 'symetric'\. Did you mean 'symmetric'\? Known:"),
        ("symmetric", 1.0, 10, None, r"`0 <= noise_rate < 1` must hold, but got noise_rate=1\.0"),
        ("symmetric", -0.1, 10, None, r"noise_rate=-0\.1"),
        ("symmetric", float("nan"), 10, None, r"noise_rate=nan"),
        ("none", 0.1, 10, None, r"`noise_rate = 0 without noise` must hold, but got noise_rate=0\.1"),
        ("confusion", 0.1, 10, None, r"`noise_rate = 0 with confusion noise, whose rate its file says,` must hold"),
        ("confusion", 0.0, 10, None, r"Confusion noise needs a K x K matrix: matrix=load_transition_matrix"),
        ("human", 0.0, 10, None, r"Human labels are read from a file, not drawn: use human_labels"),
        ("instance", 0.1, 10, None, r"Instance noise depends on the images\. Give features=instance_features\(images\)"),
        ("symmetric", 0.1, 1, None, r"`n_classes >= 2` must hold, but got n_classes=1"),
        ("asymmetric", 0.1, 10, {}, r"A map of classes says in whole numbers .*, but got \{\}"),
        ("asymmetric", 0.1, 10, {0: 1.5}, r"A map of classes says in whole numbers .*, but got \{0: 1\.5\}"),
        ("asymmetric", 0.1, 10, {0: True}, r"but got \{0: True\}"),
        ("asymmetric", 0.1, 10, {"0": 1}, r"but got \{'0': 1\}"),
        ("asymmetric", 0.1, 10, [(0, 1)], r"but got \[\(0, 1\)\]"),
        ("asymmetric", 0.1, 7, None, r"no map is known for 7 classes\. Give one: mapping"),
        ("asymmetric", 0.1, 10, {3: 3}, r"mapped to another class` must hold, but got mapping=\{3: 3\}"),
        ("asymmetric", 0.1, 10, {3: 10}, r"`0 <= class < 10, mapped to another class` must hold, but got mapping=\{3: 10\}"),
        ("asymmetric", 0.1, 10, {-1: 2}, r"mapping=\{-1: 2\}"),
        ("asymmetric", 0.5, 10, {0: 1}, r"needs 50 labels to spoil, but only 10 of 100 .* Lower the rate to 0\.100 or map more classes"),
    ],
)
def test_noise_that_cannot_be_made_is_refused(kind: str, rate: float, n_classes: int, mapping: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        spoil_labels(make_balanced(100, n_classes), kind, rate, n_classes=n_classes, seed=0, mapping=mapping)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 10]), r"Labels must lie in \[0, 10\), but run from 0 to 10"),
        (np.array([-1, 3]), r"run from -1 to 3"),
        (np.array([0.0, 1.0]), r"Expected integer labels of shape \(N,\), but got float64 \(2,\)"),
        (np.zeros((2, 2), np.int64), r"got int64 \(2, 2\)"),
        (torch.ones(2, dtype=torch.bfloat16), r"Expected integer labels of shape \(N,\), but got bfloat16 \(2,\)"),
        (torch.ones(2), r"got float32 \(2,\)"),
        (torch.ones(2).to_sparse(), r"Expected labels as an array, a tensor or a list of numbers, but got a Tensor of torch\.sparse_coo"),
        (torch.tensor([True, False]), r"got bool \(2,\)"),
        (np.array([1, 2], "m8[s]"), r"got timedelta64\[s\] \(2,\)"),
        (np.array([0, 2**64 - 1], np.uint64), r"run from 0 to 18446744073709551615"),
        ([0, 1.5], r"got float64 \(2,\)"),
        ([0, 2**70], r"got object \(2,\)"),
        ([[0], [1, 2]], r"Expected labels as .*, but got a list with rows of unequal length"),
        (None, r"got object \(\)"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        spoil_labels(labels, "symmetric", 0.5, n_classes=10, seed=0)


@pytest.mark.parametrize("kind", DRAWN)
def test_no_labels_stay_no_labels(kind: str) -> None:
    assert spoil(np.empty(0, np.int64), kind, 0.5 if kind in RATED else 0.0).shape == (0,)
