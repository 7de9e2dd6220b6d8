"""Facts about the kinds of label noise, apart from what draws them, so that reading a study needs no torch.

Two conventions of the literature differ in what "40 %" means, so that both have a kind or a reading here:

- "symmetric 40 %" drawn over all classes, the true one included (DivideMix, ELR), spoils only 0.4 (K-1)/K of the labels: that is
  `symmetric_inclusive`. `symmetric` draws among the other classes, and 40 % are wrong.
- "asymmetric 40 %" on CIFAR-10 flips 40 % of five of the ten classes, 20 % of all labels: that is `asymmetric` at rate 0.2 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Need = Literal["rate", "mapping", "features", "matrix", "file"]


@dataclass(frozen=True, kw_only=True)
class NoiseKind:
    """Facts about one kind of label noise.

    Attributes:
        name: as in `NOISE_KINDS`.
        exact: exactly round(rate * N) labels are wrong; otherwise their number is random, or whatever the file holds.
        needs: what must be given besides the labels and a seed. `mapping` has a default for known data sets; `features` are the
            images as vectors; `matrix` may come from a file; `file` is read instead of drawn.
        summary: one sentence.
    """

    name: str
    exact: bool
    needs: tuple[Need, ...]
    summary: str


_KINDS: Final = (
    NoiseKind(name="none", exact=True, needs=(), summary="All labels are true."),
    NoiseKind(name="symmetric", exact=True, needs=("rate",), summary="A wrong label is any of the other K - 1 classes."),
    NoiseKind(
        name="symmetric_inclusive",
        exact=False,
        needs=("rate",),
        summary="round(rate N) labels are drawn anew among all K classes, so about rate (K - 1) / K of all are wrong.",
    ),
    NoiseKind(
        name="asymmetric", exact=True, needs=("rate", "mapping"), summary="A wrong label is the class that its class is mistaken for."
    ),
    NoiseKind(name="pairflip", exact=True, needs=("rate",), summary="A wrong label is the next class by number, after the last the first."),
    NoiseKind(
        name="instance",
        exact=False,
        needs=("rate", "features"),
        summary="Each image has its own probability of being wrong and of each wrong class, by a random projection of its pixels.",
    ),
    NoiseKind(name="human", exact=False, needs=("file",), summary="Labels that people gave (CIFAR-N)."),
    NoiseKind(name="confusion", exact=False, needs=("matrix",), summary="Each label is drawn from its true class's row of a K x K matrix."),
)
NOISE_KINDS: Final[Mapping[str, NoiseKind]] = {kind.name: kind for kind in _KINDS}

# Set of CIFAR-N -> its name in the files, with the share of wrong labels that the authors' files have.
HUMAN_SETS: Final[Mapping[str, str]] = {
    "aggre": "aggre_label",  # CIFAR-10: majority of three, 9.01 % wrong
    "random1": "random_label1",  # CIFAR-10: the first answer, 17.23 %
    "random2": "random_label2",  # 18.12 %
    "random3": "random_label3",  # 17.64 %
    "worse": "worse_label",  # CIFAR-10: a wrong one of the three where there is one, 40.21 %
    "noisy": "noisy_label",  # CIFAR-100: the one answer, 40.20 %
}
