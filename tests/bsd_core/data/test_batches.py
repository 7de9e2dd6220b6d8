from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.augment import Normaliser
from bsd_core.data.batches import Batch, Batches, PartnerSampler
from tests._dummies import PROPERTY, make_targets

IDENTITY = Normaliser(mean=torch.zeros(1), std=torch.ones(1))


def make_numbered_images(n: int, size: int = 4) -> Tensor:
    """(N, 1, H, W): image i has grey level i + 1 everywhere, so that a batch shows which images are in it."""
    return torch.arange(1, n + 1, dtype=torch.uint8)[:, None, None, None].expand(n, 1, size, size).contiguous()


def numbers_of(images: Tensor) -> list[int]:
    """Which images of `make_numbered_images` these normalised ones are; padding is 0 and does not count."""
    return [round(float(image.max()) * 255) - 1 for image in images]


def make_batches(
    n: int,
    *,
    batch_size: int = 8,
    partner: bool = False,
    augment: AugmentConfig | None = None,
    seed: int = 0,
    targets: Tensor | None = None,
    n_classes: int = 3,
) -> Batches:
    return Batches(
        make_numbered_images(n),
        make_targets(n, n_classes) if targets is None else targets,
        n_classes=n_classes,
        batch_size=batch_size,
        augment=augment or AugmentConfig(),
        normaliser=IDENTITY,
        needs=frozenset({"partner"} if partner else ()),
        seed=seed,
    )


def indices_of(batches: list[Batch]) -> list[int]:
    return [index for batch in batches for index in batch.indices.tolist()]


@PROPERTY
@given(n=st.integers(1, 60), batch_size=st.integers(2, 20), seed=st.integers(0, 3))
def test_every_image_is_used_once_an_epoch_in_batches_of_the_asked_size(n: int, batch_size: int, seed: int) -> None:
    batches = make_batches(n, batch_size=batch_size, seed=seed)
    epoch = list(batches.epoch())
    sizes = [len(batch.targets) for batch in epoch]
    assert sorted(indices_of(epoch)) == list(range(n))
    assert len(epoch) == len(batches)
    # A last batch of one image joins the one before it.
    expected = [batch_size] * (n // batch_size) + ([n % batch_size] if n % batch_size else [])
    if len(expected) > 1 and expected[-1] == 1:
        expected[-2:] = [batch_size + 1]
    assert sizes == expected


@PROPERTY
@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), seed=st.integers(0, 100))
def test_a_partner_has_the_label_it_is_drawn_for(labels: list[int], seed: int) -> None:
    targets = torch.tensor(labels)
    partners = PartnerSampler(targets, 6).draw(targets, torch.Generator().manual_seed(seed))
    assert partners.shape == targets.shape
    assert torch.equal(targets[partners], targets)


def test_partners_are_uniform_over_the_label_itself_included_and_with_replacement() -> None:
    targets = torch.tensor([0, 1, 0, 1, 1, 0, 0])  # label 0: rows 0, 2, 5, 6; label 1: rows 1, 3, 4
    draws = 4000
    sampler = PartnerSampler(targets, 2)
    rows = sampler.draw(torch.zeros(draws, dtype=torch.int64), torch.Generator().manual_seed(0))
    counts = torch.bincount(rows, minlength=7).double()
    assert counts[[1, 3, 4]].tolist() == [0, 0, 0]
    # 1000 each; chi-square of 3 degrees passes 16.3 once in 1000.
    assert float(((counts[[0, 2, 5, 6]] - 1000) ** 2 / 1000).sum()) < 16.3


def test_images_targets_and_indices_of_a_batch_belong_together() -> None:
    targets = make_targets(50, 3)
    for batch in make_batches(50, targets=targets).epoch():
        assert numbers_of(batch.images) == batch.indices.tolist()
        assert torch.equal(batch.targets, targets[batch.indices])
        assert batch.images.dtype == torch.float32
        assert batch.partner_images is None


def test_partner_images_have_the_given_label_of_their_primary() -> None:
    targets = make_targets(50, 5)
    pairs = set()
    for batch in make_batches(50, targets=targets, n_classes=5, partner=True).epoch():
        assert batch.partner_images is not None
        partners = numbers_of(batch.partner_images)
        assert torch.equal(targets[partners], batch.targets)
        pairs |= set(zip(batch.indices.tolist(), partners, strict=True))
    assert any(primary != partner for primary, partner in pairs)


def test_primary_and_partner_are_augmented_independently() -> None:
    targets = torch.arange(6)  # every class has one image, so each image is its own partner
    batches = make_batches(6, targets=targets, n_classes=6, partner=True, augment=AugmentConfig(crop_padding=2))
    (batch,) = batches.epoch()
    assert batch.partner_images is not None
    assert numbers_of(batch.images) == numbers_of(batch.partner_images) == batch.indices.tolist()
    assert not torch.equal(batch.images, batch.partner_images)


def test_asking_for_partners_does_not_change_the_order() -> None:
    alone, paired = make_batches(40), make_batches(40, partner=True)
    for _ in range(2):
        assert indices_of(list(alone.epoch())) == indices_of(list(paired.epoch()))


def test_the_order_changes_with_the_epoch_and_the_seed_alone() -> None:
    first, twin, other = make_batches(40), make_batches(40), make_batches(40, seed=1)
    orders = [indices_of(list(batches.epoch())) for batches in (first, first, twin, twin, other)]
    assert orders[0] == orders[2]
    assert orders[1] == orders[3]
    assert len({tuple(orders[index]) for index in (0, 1, 4)}) == 3


def test_partners_and_augmentation_change_with_the_seed_too() -> None:
    # With one label and grey levels aside, neither depends on the order: only on its own stream.
    one_label = torch.zeros(40, dtype=torch.int64)
    partners, places = [], []
    for seed in (0, 0, 1):
        batches = make_batches(40, batch_size=40, targets=one_label, partner=True, augment=AugmentConfig(crop_padding=2), seed=seed)
        (batch,) = batches.epoch()
        assert batch.partner_images is not None
        partners.append(numbers_of(batch.partner_images))
        places.append((batch.images > 0).tolist())
    assert partners[0] == partners[1] != partners[2]
    assert places[0] == places[1] != places[2]


def test_augmentation_is_new_every_epoch() -> None:
    batches = make_batches(8, batch_size=8, augment=AugmentConfig(crop_padding=2))
    first, second = (next(iter(batches.epoch())) for _ in range(2))
    assert not torch.equal(first.images[first.indices.argsort()], second.images[second.indices.argsort()])


def test_a_state_continues_order_augmentation_and_partners() -> None:
    batches, twin = (make_batches(30, partner=True, augment=AugmentConfig(crop_padding=1, flip=True), seed=seed) for seed in (3, 4))
    list(batches.epoch())
    twin.load_state_dict(batches.state_dict())
    for ours, theirs in zip(batches.epoch(), twin.epoch(), strict=True):
        assert ours.partner_images is not None
        assert theirs.partner_images is not None
        assert torch.equal(ours.indices, theirs.indices)
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.partner_images, theirs.partner_images)


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(1, 8, [1]), (9, 8, [9]), (17, 8, [8, 9]), (10, 8, [8, 2]), (16, 8, [8, 8])])
def test_a_single_image_never_makes_a_last_batch_of_its_own(n: int, batch_size: int, expected: list[int]) -> None:
    assert [len(batch.targets) for batch in make_batches(n, batch_size=batch_size).epoch()] == expected
