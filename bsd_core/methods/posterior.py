"""Where BSD keeps its N x K table of Dirichlet parameters: whole in float32 or bfloat16, or the largest entries of each row.

    float32    4 K bytes a sample
    bfloat16   2 K bytes a sample, rounded stochastically
    top_k      4 k + 4 bytes a sample: k bfloat16 values with their classes (int16), and the mass of all other classes together (float32),
               which is read back spread evenly over them

A class outside a row's k cannot rise by small evidence alone, since its mass is shared with all the others at every read: it must beat the
least of the k in one update. Keep more classes than are ever plausible for one image.

ImageNet's 1.28 M x 1000 is 5.1 GB in float32, 2.6 GB in bfloat16 and 0.33 GB with k = 64.

Why stochastic rounding: bfloat16 has 8 significant bits, so a pseudo-count of 100 would never grow by the 0.3 that one prediction adds.
Rounded up or down at random, with the right expectation, small evidence accumulates without bias.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from bsd_core.errors import require, unknown_name
from bsd_core.seeds import derive_seed

MEMORIES: Final = ("bfloat16", "float32", "top_k")
_ROWS_AT_ONCE: Final = 4_096  # the dense prior is never whole in memory


def round_stochastically(values: Tensor, generator: torch.Generator) -> Tensor:
    """float32 -> bfloat16, up or down with probabilities that make the expectation exact.

    Args:
        values: any shape, finite, magnitudes below 3e38.
        generator: on the device of `values`.
    """
    bits = values.contiguous().view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    return ((bits + noise) & -(1 << 16)).view(torch.float32).to(torch.bfloat16)


def prior(targets: Tensor, n_classes: int, *, prior_strength: float, epsilon: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """Dirichlet parameters before any evidence: `prior_strength` at the given label, `epsilon` elsewhere.

    Args:
        targets: (N,) int64 in [0, n_classes).
        n_classes: K.
        prior_strength: c >= 0, pseudo-counts behind the given label.
        epsilon: >= 0, pseudo-counts of every other class; far below c / (K - 1).
        dtype: of the table; trainings keep float32.

    Returns:
        (N, K), on the device of `targets`.
    """
    require(prior_strength >= 0, "prior_strength >= 0", prior_strength=prior_strength)
    require(epsilon >= 0, "epsilon >= 0", epsilon=epsilon)
    alpha = torch.full((len(targets), n_classes), float(epsilon), dtype=dtype, device=targets.device)
    return alpha.scatter_(1, targets[:, None], float(prior_strength))


class PosteriorTable(nn.Module):
    """Dirichlet parameters by training sample.

    Args:
        targets: (N,) int64, given labels.
        n_classes: K.
        prior_strength: parameter at the given label.
        epsilon: parameter elsewhere.
        memory: one of `MEMORIES`.
        top_k: k of memory `top_k`, at most K and 32,767 classes.
        seed: of the rounding; equal (seed, key) round alike.

    Raises:
        ConfigError: unknown memory, or a k that cannot be.
    """

    values: Tensor  # (N, K), or (N, k) the largest parameters of each row
    classes: Tensor | None  # (N, k) int16, whose parameters they are
    rest: Tensor | None  # (N,) float32, sum of all other parameters

    def __init__(
        self, targets: Tensor, n_classes: int, *, prior_strength: float, epsilon: float, memory: str, top_k: int, seed: int
    ) -> None:
        super().__init__()
        if memory not in MEMORIES:
            raise unknown_name("memory", memory, MEMORIES)
        self.n_classes, self._seed, self._sparse = n_classes, seed, memory == "top_k"
        n, device = len(targets), targets.device
        dtype = torch.float32 if memory == "float32" else torch.bfloat16
        self._generator = torch.Generator(device=device)
        self.register_buffer("classes", None)
        self.register_buffer("rest", None)
        if self._sparse:
            require(1 <= top_k <= n_classes <= 32_767, "1 <= top_k <= K <= 32767", top_k=top_k, K=n_classes)
            self.register_buffer("classes", torch.zeros((n, top_k), dtype=torch.int16, device=device))
            self.register_buffer("rest", torch.zeros(n, device=device))
        self.register_buffer("values", torch.empty((n, top_k if self._sparse else n_classes), dtype=dtype, device=device))
        for rows in torch.split(torch.arange(n, device=device), _ROWS_AT_ONCE):
            dense = prior(targets[rows], n_classes, prior_strength=prior_strength, epsilon=epsilon, dtype=torch.float32)
            self.write(rows, dense, key=("prior", int(rows[0])))

    @property
    def n_bytes(self) -> int:
        """Bytes of the table."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())

    def read(self, rows: Tensor) -> Tensor:
        """(B,) int64 -> (B, K) float32 parameters."""
        values = self.values[rows].float()
        if self.classes is None or self.rest is None:
            return values
        others = self.n_classes - values.shape[1]
        share = self.rest[rows, None] / max(1, others)
        return share.expand(-1, self.n_classes).scatter(1, self.classes[rows].long(), values)

    def write(self, rows: Tensor, alpha: Tensor, *, key: tuple[object, ...]) -> None:
        """Replace the parameters of `rows` (B,) by `alpha` (B, K) float32; `key` names this write among all of a training."""
        if self.values.dtype == torch.float32:
            self.values[rows] = alpha
            return
        self._generator.manual_seed(derive_seed(self._seed, "rounding", *key))
        if self.classes is None or self.rest is None:
            self.values[rows] = round_stochastically(alpha, self._generator)
            return
        largest, classes = alpha.topk(self.values.shape[1], dim=1)
        self.rest[rows] = (alpha.sum(1) - largest.sum(1)).clamp_min(0.0)
        self.values[rows] = round_stochastically(largest, self._generator)
        self.classes[rows] = classes.to(torch.int16)

    def most_probable(self) -> Tensor:
        """(N,) int64, the class with the largest parameter in each row."""
        best = self.values.argmax(1)
        return best if self.classes is None else self.classes.gather(1, best[:, None])[:, 0].long()
