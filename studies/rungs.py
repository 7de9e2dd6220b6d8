"""When a training that may be stopped early is compared with others."""

from __future__ import annotations

from dataclasses import dataclass

from bsd_core.errors import require


@dataclass(frozen=True)
class Rungs:
    """When trainings are compared.

    Attributes:
        reduction: one of so many goes on past each rung; at least 2.
        first: epochs before a training can be stopped; None: two rungs, so a share of 1 / reduction^2.
    """

    reduction: int = 3
    first: int | None = None

    def __post_init__(self) -> None:
        require(self.reduction >= 2, "reduction >= 2", reduction=self.reduction)
        require(self.first is None or self.first >= 1, "first >= 1", first=self.first)

    def epochs(self, total: int) -> tuple[int, ...]:
        """The rungs of a training of `total` epochs, last one first; empty where it is too short to be stopped.

        total / reduction, total / reduction^2, ..., rounded up, and none before `first`; `first` alone where all would be.
        """
        first = self.first if self.first is not None else -(-total // self.reduction**2)
        rungs = []
        power = self.reduction
        while (rung := -(-total // power)) >= first and rung not in rungs:
            rungs.append(rung)
            power *= self.reduction
        return tuple(rung for rung in rungs or [first] if rung < total)
