"""Order, partners and views: from a training set in memory to the batches a method asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.augment import Normaliser, augment, strong
from bsd_core.errors import DataError
from bsd_core.seeds import torch_stream


class Images(Protocol):
    """What training images are read from: a tensor, or images that stay on the host."""

    @property
    def device(self) -> torch.device:
        """Where batches live."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, rows: Tensor) -> Tensor:
        """(B,) int64 -> (B, C, H, W) uint8 on the device."""


@dataclass(frozen=True)
class Batch:
    """One step's input to a method.

    Attributes:
        images: (B, C, H, W) float32, augmented and normalised.
        targets: (B,) int64, the given labels, possibly wrong.
        indices: (B,) int64, row of each image in the training split: where a method keeps per-sample state.
        epoch: zero-based.
        step: zero-based, over all epochs.

    What only some methods need, None for the others:
        partner_images: (B, C, H, W), another image of the same given label for each image, independently augmented ("partner").
        second_images: (B, C, H, W), the same images, augmented independently ("second_view").
        strong_images: two views (B, C, H, W) of the same images, augmented more strongly ("strong_views").
        previous_images, previous_targets: the batch of the step before, augmented anew ("previous"); None in the first step.
    """

    images: Tensor
    targets: Tensor
    indices: Tensor
    epoch: int = 0
    step: int = 0
    partner_images: Tensor | None = None
    second_images: Tensor | None = None
    strong_images: tuple[Tensor, Tensor] | None = None
    previous_images: Tensor | None = None
    previous_targets: Tensor | None = None


BATCH_PARTS: Final = frozenset({"partner", "second_view", "strong_views", "previous"})


class PartnerSampler:
    """For each sample, one drawn uniformly, with replacement, from all of the same given label, itself included.

    That is the pair rule of CS-KD's reference (`datasets.py`: `PairBatchSampler`). Vectorised: rows sorted by label, so a
    partner is start[label] + floor(u * count[label]).
    """

    def __init__(self, targets: Tensor, n_classes: int) -> None:
        self._rows_by_label = torch.argsort(targets, stable=True)
        self._counts = torch.bincount(targets, minlength=n_classes)
        self._starts = self._counts.cumsum(0) - self._counts

    def draw(self, targets: Tensor, generator: torch.Generator) -> Tensor:
        """(B,) int64 labels -> (B,) int64 rows of partners."""
        count = self._counts[targets]
        uniform = torch.rand(targets.shape, device=targets.device, dtype=torch.float64, generator=generator)
        return self._rows_by_label[self._starts[targets] + (uniform * count).long()]


class Batches:
    """The training split as batches; every epoch is a new permutation, every image is used once an epoch.

    The last batch may be short, as in the references; a last batch of a single image would leave batch normalisation without a
    spread, so that image joins the batch before it.

    Order, partners and each kind of view have a stream of their own: asking for partners does not change the order.

    Args:
        needs: which of `BATCH_PARTS` to make.
    """

    def __init__(
        self,
        images: Images,
        targets: Tensor,
        *,
        n_classes: int,
        batch_size: int,
        augment: AugmentConfig,
        normaliser: Normaliser,
        needs: frozenset[str],
        seed: int,
    ) -> None:
        device = images.device
        self._images, self._targets, self._needs = images, targets, needs
        self._augment, self._strong, self._normaliser = augment, strong(augment), normaliser
        self._fill = normaliser.mean_pixel
        self._partners = PartnerSampler(targets, n_classes)
        # The order is drawn on the CPU, so that it does not depend on the device.
        self._streams = {"order": torch_stream(seed, "order")}
        self._streams |= {name: torch_stream(seed, name, device=device) for name in ("augment", *sorted(needs & BATCH_PARTS))}
        starts = list(range(0, len(images), batch_size))
        if len(starts) > 1 and len(images) - starts[-1] == 1:
            starts.pop()
        self._bounds = list(zip(starts, [*starts[1:], len(images)], strict=True))
        self.step = 0  # of the next batch, over all epochs
        self._order = torch.arange(len(images))  # of the epoch in progress
        self._previous: Tensor | None = None  # rows of the batch before

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._bounds)

    @property
    def sizes(self) -> list[int]:
        """Images of each batch of an epoch."""
        return [stop - start for start, stop in self._bounds]

    @property
    def rows_of_epoch(self) -> Tensor:
        """(n,) int64, the rows of the epoch's batches so far."""
        return self._order[: self._bounds[(self.step - 1) % len(self)][1]]

    def next(self) -> Batch:
        """The next batch; after the last of an epoch comes the first of another."""
        epoch, position = divmod(self.step, len(self))
        if position == 0:
            self._order = torch.randperm(len(self._images), generator=self._streams["order"]).to(self._images.device)
        start, stop = self._bounds[position]
        rows = self._order[start:stop]
        targets = self._targets[rows]
        batch = Batch(
            images=self._view(rows, "augment"), targets=targets, indices=rows, epoch=epoch, step=self.step, **self._parts(rows, targets)
        )
        self.step += 1
        if "previous" in self._needs:
            self._previous = rows
        return batch

    def epoch(self) -> Iterator[Batch]:
        """The batches that are left of the epoch in progress, or those of another one."""
        for _ in range(len(self) - self.step % len(self)):
            yield self.next()

    def _parts(self, rows: Tensor, targets: Tensor) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if "partner" in self._needs:
            partners = self._partners.draw(targets, self._streams["partner"])
            parts["partner_images"] = self._view(partners, "partner")
        if "second_view" in self._needs:
            parts["second_images"] = self._view(rows, "second_view")
        if "strong_views" in self._needs:
            parts["strong_images"] = tuple(self._view(rows, "strong_views", self._strong) for _ in range(2))
        if "previous" in self._needs and self._previous is not None:
            parts["previous_images"] = self._view(self._previous, "previous")
            parts["previous_targets"] = self._targets[self._previous]
        return parts

    def _view(self, rows: Tensor, stream: str, config: AugmentConfig | None = None) -> Tensor:
        pixels = augment(self._images[rows], config or self._augment, self._streams[stream], fill=self._fill)
        return self._normaliser(pixels)

    def state_dict(self) -> dict[str, Any]:
        """All that the batches to come depend on, at any step."""
        streams = {name: stream.get_state() for name, stream in self._streams.items()}
        return {
            "step": self.step,
            "order": self._order.clone(),
            "previous": None if self._previous is None else self._previous.clone(),
            "streams": streams,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`.

        Raises:
            DataError: the state is of another number of images.
        """
        if len(state["order"]) != len(self._order):
            raise DataError(f"The saved order is of {len(state['order'])} images, but there are {len(self._order)}.")
        device = self._images.device
        self.step = int(state["step"])
        self._order = state["order"].to(device)
        self._previous = None if state["previous"] is None else state["previous"].to(device)
        for name, stream in self._streams.items():
            stream.set_state(state["streams"][name].cpu())
