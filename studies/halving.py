"""Early stopping with two objectives: asynchronous successive halving by non-dominated rank, inside one arm.

A training is looked at after a few of its epochs, its rungs. There it is ranked by error and NLL among all trials of its arm that came so
far, and goes on if it stands among the best one of `reduction`. Nobody waits for anybody, and who went on is never called back.

Calibration is no objective of a rung: a network that has learned nothing is unsure and right to be, so early on the worst trainings have
the least ECE. NLL has calibration in it, but only together with accuracy.

As in asynchronous successive halving (Li et al., MLSys 2020), stopping type. Different: two objectives, ordered by non-dominated rank and
then by crowding distance (Deb et al., NSGA-II, 2002; the wider, the better); a rung decides only once `reduction` trials have reached it;
what is not finite stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import moocore
import numpy as np
import numpy.typing as npt

from bsd_core.seeds import derive_seed
from studies.pareto import crowding_distance
from studies.rungs import Rungs
from studies.spec import StudySpec

Points = npt.NDArray[np.float64]  # (T, 2) error and NLL, both down


def n_better(points: Points, index: int) -> int:
    """How many points stand before point `index`: those of lower non-dominated rank, and the less crowded ones of its own front.

    Equals do not stand before each other.

    Args:
        points: (T, M) finite; objectives go down.
        index: in [0, T).
    """
    rank = moocore.pareto_rank(points)
    front = np.flatnonzero(rank == rank[index])
    crowding = crowding_distance(points[front])
    own = crowding[front == index]
    return int((rank < rank[index]).sum() + (crowding > own).sum())


class Decision(NamedTuple):
    """What becomes of a training after an epoch.

    Attributes:
        stop: it has fallen behind: it ends here.
        audited: but in truth it runs to its end, to see what was lost; it decides nothing any more.
    """

    stop: bool
    audited: bool


GO_ON: Final = Decision(stop=False, audited=False)


@dataclass
class ParetoHalving:
    """Decides who goes on, for all arms of a study, each by itself.

    The state is a function of the decisions asked for, in their order, so it can be rebuilt from a ledger. A question that was answered
    before gets the same answer: a trial that was interrupted and runs again is not ranked twice.

    Args:
        rungs: when.
        audit: share of the stopped trials that are run to their end.
        seed: root; which trials are audited depends on it, the arm and the number alone.
    """

    rungs: Rungs = field(default_factory=Rungs)
    audit: float = 0.1
    seed: int = 0
    _reached: dict[tuple[str, int], dict[int, tuple[float, float]]] = field(default_factory=dict, init=False)  # by arm and rung, by number
    _stopped: dict[tuple[str, int], int] = field(default_factory=dict, init=False)  # by arm and number: the epoch

    @classmethod
    def of(cls, spec: StudySpec) -> ParetoHalving | None:
        """As the study wants it; None where nothing is stopped."""
        rungs = spec.stopping.rungs
        return None if rungs is None else cls(rungs, audit=spec.stopping.audit, seed=spec.seed)

    def decide(self, arm: str, number: int, *, epoch: int, total: int, error: float, nll: float) -> Decision:
        """What becomes of trial `number` after `epoch` of `total` epochs; between rungs it goes on.

        Args:
            error: share of validation images that are classified wrongly.
            nll: on the same images; one that is not finite, as any such error, stops the trial.
        """
        if (arm, number) in self._stopped:
            return self._fallen(arm, number) if self._stopped[arm, number] == epoch else GO_ON
        rungs = self.rungs.epochs(total)
        if epoch not in rungs:
            return GO_ON
        reached = self._reached.setdefault((arm, rungs.index(epoch)), {})  # not by epoch: a budget of images can vary the total
        if number in reached:
            return GO_ON
        if not np.isfinite([error, nll]).all():
            self._stopped[arm, number] = epoch
            return self._fallen(arm, number)
        reached[number] = (error, nll)
        n, reduction = len(reached), self.rungs.reduction
        if n < reduction or n_better(np.array(list(reached.values())), n - 1) < -(-n // reduction):
            return GO_ON
        self._stopped[arm, number] = epoch
        return self._fallen(arm, number)

    def stopped_at(self, arm: str, number: int) -> int | None:
        """The epoch at which a trial fell behind, if it did."""
        return self._stopped.get((arm, number))

    def judge(self, arm: str, number: int, row: Mapping[str, Any]) -> Decision:
        """`decide` on a row of a ledger's `epochs`."""
        return self.decide(arm, number, epoch=row["epoch"], total=row["epochs"], error=1 - row["val_accuracy"], nll=row["val_nll"])

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in the ledger of an earlier process: the epochs of its search, in the order in which they came."""
        trials: dict[str, tuple[str, int]] = {}
        for event in events:
            if event["event"] == "suggest" and event["phase"] == "search":
                trials[event["trial_id"]] = (event["arm"], event["trial_number"])
            elif event["event"] == "epochs" and event["trial_id"] in trials:
                for row in event["rows"]:
                    self.judge(*trials[event["trial_id"]], row)

    def _fallen(self, arm: str, number: int) -> Decision:
        share = derive_seed(self.seed, "audit", arm, number) / 2**63
        return Decision(stop=True, audited=share < self.audit)
