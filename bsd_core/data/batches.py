"""Order, partners and views: from a training set in memory to the batches a method asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.augment import Normaliser, random_crop_and_flip
from bsd_core.seeds import torch_stream


@dataclass(frozen=True)
class Batch:
    """One step's input to a method.

    Attributes:
        images: (B, C, H, W) float32, augmented and normalised.
        targets: (B,) int64, the given labels, possibly wrong.
        indices: (B,) int64, row of each image in the training split: where a method keeps per-sample state.
        partner_images: (B, C, H, W), another image of the same given label for each image, independently augmented; None
            unless the method needs "partner".
    """

    images: Tensor
    targets: Tensor
    indices: Tensor
    partner_images: Tensor | None = None


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

    Order, augmentation and partners each have a stream of their own: asking for partners does not change the order.
    """

    def __init__(
        self,
        images: Tensor,
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
        self._images, self._targets = images, targets
        self._augment, self._normaliser = augment, normaliser
        self._partners = PartnerSampler(targets, n_classes) if "partner" in needs else None
        self._streams = {
            "order": torch_stream(seed, "order"),  # on the CPU, so that the order does not depend on the device
            "augment": torch_stream(seed, "augment", device=device),
            "partner": torch_stream(seed, "partner", device=device),
        }
        starts = list(range(0, len(images), batch_size))
        if len(starts) > 1 and len(images) - starts[-1] == 1:
            starts.pop()
        self._bounds = list(zip(starts, [*starts[1:], len(images)], strict=True))

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._bounds)

    def epoch(self) -> Iterator[Batch]:
        """The batches of one more epoch."""
        order = torch.randperm(len(self._images), generator=self._streams["order"]).to(self._images.device)
        for start, stop in self._bounds:
            indices = order[start:stop]
            targets = self._targets[indices]
            partner_images = None
            if self._partners is not None:
                partner_images = self._view(self._partners.draw(targets, self._streams["partner"]))
            yield Batch(self._view(indices), targets, indices, partner_images)

    def _view(self, indices: Tensor) -> Tensor:
        augmented = random_crop_and_flip(self._images[indices], self._augment, self._streams["augment"])
        return self._normaliser(augmented)

    def state_dict(self) -> dict[str, Tensor]:
        """The state of every random stream, at an epoch's boundary."""
        return {name: stream.get_state() for name, stream in self._streams.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from `state_dict()`."""
        for name, stream in self._streams.items():
            stream.set_state(state[name])
