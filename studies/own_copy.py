"""A process's own copy of the data, kept from trial to trial; no trial can change what another one trains on.

Arrays in Ray's object store lie in memory that all processes of a machine share, and a tensor made of one can be written to, unseen. So a
process copies them once. Its own later trials are protected by check sums: the counter of writes that every tensor has would not see those
through `.data` or NumPy.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bsd_core.data.host_images import HostImages, to_device
from bsd_core.data.images import Int64
from bsd_core.errors import DataError
from studies.trial_data import SearchData


@dataclass(frozen=True, kw_only=True)
class OwnCopy:
    """Tensors of a `SearchData` on one device; mapped images stay in their file, which nobody can write to.

    Attributes:
        train_images, train_targets, val_images, val_targets, given, shifted_rows: as there.
    """

    train_images: Tensor | HostImages
    train_targets: Tensor
    val_images: Tensor | HostImages
    val_targets: Tensor
    given: dict[str, tuple[Tensor, Tensor]]
    shifted_rows: Tensor
    _sums: dict[str, tuple[int, torch.Size]] = field(default_factory=dict, init=False, repr=False)  # when it was made, by name

    def __post_init__(self) -> None:
        self._sums.update(self._check_sums())

    @classmethod
    def of(cls, data: SearchData, device: torch.device) -> OwnCopy:
        """Copy `data` to `device`, on a CPU, too."""

        def own(array: Int64) -> Tensor:
            return torch.tensor(array, device=device)

        return cls(
            train_images=to_device(data.train_images, device),
            train_targets=own(data.train_targets),
            val_images=to_device(data.val_images, device),
            val_targets=own(data.val_targets),
            given={name: (own(train), own(val)) for name, (train, val) in data.given.items()},
            shifted_rows=own(data.shifted_rows),
        )

    def changed(self) -> list[str]:
        """Names of what is no longer as it was when the copy was made."""
        return [name for name, check_sum in self._check_sums().items() if check_sum != self._sums[name]]

    def check_unchanged(self) -> None:
        """Refuse numbers from data that a training has changed.

        Raises:
            DataError: it has.
        """
        if changed := self.changed():
            raise DataError(f"The training changed its data ({', '.join(changed)}), which no method may do.")

    def _check_sums(self) -> dict[str, tuple[int, torch.Size]]:
        named: dict[str, Any] = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        for name, pair in self.given.items():
            named |= {f"labels of {split} in {name}": labels for split, labels in zip(("train", "val"), pair, strict=True)}
        return {name: (zlib.crc32(tensor.cpu().contiguous().numpy()), tensor.shape) for name, tensor in named.items()}


_copies: dict[tuple[str, str], OwnCopy] = {}


def own_copy(data: SearchData, device: torch.device) -> OwnCopy:
    """This process's copy, made once; made again if an earlier trial has changed it."""
    key = (data.fingerprint, str(device))
    copy = _copies.get(key)
    if copy is None or copy.changed():
        _copies.clear()  # first, so that there are never two in memory
        copy = _copies[key] = OwnCopy.of(data, device)
    return copy
