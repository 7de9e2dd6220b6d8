"""When a training that may be stopped early is compared with others."""

from __future__ import annotations

from dataclasses import dataclass

from bsd_core.errors import require


@dataclass(frozen=True)
class Rungs:
    """When trainings are compared: after `first` epochs, and then after `reduction` times as many, again and again.

    Attributes:
        reduction: one of so many goes on past each rung; at least 2.
        first: epochs before a training can be stopped; None: a seventh of them. With `reduction` 3 that makes two rungs, at 1/7 and 3/7:
            chosen on recorded trainings, where the more usual 1/9 and 1/3 lost what was to be found (`make bench` shows both).
    """

    reduction: int = 3
    first: int | None = None

    def __post_init__(self) -> None:
        require(self.reduction >= 2, "reduction >= 2", reduction=self.reduction)
        require(self.first is None or self.first >= 1, "first >= 1", first=self.first)

    def epochs(self, total: int) -> tuple[int, ...]:
        """The rungs of a training of `total` epochs, all in its first two thirds: later there is too little left to save."""
        rungs = []
        rung = self.first if self.first is not None else -(-total // 7)
        while 3 * rung <= 2 * total:
            rungs.append(rung)
            rung *= self.reduction
        return tuple(rungs)
