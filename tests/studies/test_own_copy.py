from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from bsd_core.errors import DataError
from studies import own_copy as own_copy_module
from studies.own_copy import OwnCopy, own_copy
from studies.trial_data import SearchData
from tests.studies._dummies import make_search_data

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_copies() -> Iterator[None]:
    own_copy_module._copies.clear()
    yield
    own_copy_module._copies.clear()


def images(copy: OwnCopy) -> torch.Tensor:
    assert isinstance(copy.train_images, torch.Tensor)
    return copy.train_images


WRITES: dict[str, tuple[Callable[[OwnCopy], object], str]] = {
    "in place": (lambda copy: images(copy).add_(1), "train_images"),
    "through a view": (lambda copy: images(copy)[3].view(-1)[7:8].fill_(77), "train_images"),
    "through .data": (lambda copy: images(copy).data.zero_(), "train_images"),
    "through NumPy": (lambda copy: images(copy).numpy().fill(1), "train_images"),
    "in another order": (lambda copy: images(copy).data.copy_(images(copy).flip(0)), "train_images"),
    "in another shape": (lambda copy: images(copy).transpose_(0, 1), "train_images"),
    "to targets": (lambda copy: copy.val_targets.fill_(0), "val_targets"),
    "to labels": (lambda copy: copy.given["symmetric_40"][0].data.fill_(0), "labels of train in symmetric_40"),
    "to rows": (lambda copy: copy.shifted_rows.sub_(1), "shifted_rows"),
}


@pytest.mark.parametrize("way", WRITES)
def test_every_write_is_seen_and_named(way: str) -> None:
    write, name = WRITES[way]
    copy = OwnCopy.of(make_search_data(conditions=["none", "symmetric_40"]), CPU)
    copy.check_unchanged()
    write(copy)
    assert copy.changed() == [name]
    with pytest.raises(DataError, match=rf"^The training changed its data \({name}\), which no method may do\.$"):
        copy.check_unchanged()


def test_a_copy_shares_no_memory_with_the_data() -> None:
    data = make_search_data(conditions=["none", "symmetric_40"])
    copy = OwnCopy.of(data, CPU)
    pairs = [
        (copy.train_images, data.train_images),
        (copy.val_images, data.val_images),
        (copy.train_targets, data.train_targets),
        (copy.val_targets, data.val_targets),
        (copy.shifted_rows, data.shifted_rows),
        *((own, array) for name in data.given for own, array in zip(copy.given[name], data.given[name], strict=True)),
    ]
    for own, array in pairs:
        assert isinstance(own, torch.Tensor)
        assert np.array_equal(own.numpy(), np.asarray(array))
        assert not np.shares_memory(own.numpy(), np.asarray(array))


def test_a_process_copies_once() -> None:
    data = make_search_data()
    assert own_copy(data, CPU) is own_copy(make_search_data(), CPU)


def test_a_copy_that_a_trial_has_changed_is_made_again() -> None:
    data = make_search_data()
    first = own_copy(data, CPU)
    images(first).data.zero_()
    second = own_copy(data, CPU)
    assert second is not first
    assert np.array_equal(images(second).numpy(), np.asarray(data.train_images))


def test_other_data_take_the_place_of_the_first() -> None:
    first, other = make_search_data(fingerprint="first"), make_search_data(n_train=24, fingerprint="other")
    own_copy(first, CPU)
    assert len(own_copy(other, CPU).train_targets) == 24
    assert len(own_copy_module._copies) == 1


def test_data_without_an_image_for_validation_are_copied_too() -> None:
    data: SearchData = make_search_data(n_val=0)
    own_copy(data, CPU).check_unchanged()
