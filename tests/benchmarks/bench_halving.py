"""What early stopping saves: searches replayed on recorded trainings, so that a search of hundreds of trainings costs seconds.

The recorded trainings of an arm are all there is to find, and a search hands out each at most once. At random, the order is a
permutation; a TPE's suggestion becomes the nearest training not yet used, by settings scaled to [0, 1], and the sampler is told that one's
settings, so this is a tabular surrogate and no real search. Every search begins with the published settings. A stopped training costs the
epochs it ran; audits are off, for their epochs are overhead.

A search has found what there is when the trainings it finished reach 95 % of the hypervolume of all recorded ones, seen from the corner of
their median accuracy and median ECE, which is what one gets without searching. That is a strict measure: it asks for nearly the best
training in 150. Beside it stands what a search has after the epochs of 20 full trainings.

`Rungs` were tuned on the arm of BSD alone; the others check them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from optuna.distributions import BaseDistribution, FloatDistribution

from bsd_core.seeds import numpy_stream
from studies.halving import ParetoHalving
from studies.outcome import Outcome
from studies.pareto import hypervolume, non_dominated
from studies.rungs import Rungs
from studies.search import ArmSearch
from studies.study_file import check_spec
from tests.benchmarks.record_trainings import STUDY

RECORDED: Final = Path(__file__).resolve().parent / "recorded" / "digits.parquet"
FOUND: Final = 0.95  # of the pool's hypervolume
BUDGET: Final = 20  # full trainings
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """One recorded training.

    Attributes:
        params: its settings.
        rows: of its epochs, as in a study's ledger.
        total: epochs it should have had; fewer rows are a training that diverged.
    """

    params: dict[str, float]
    rows: list[dict[str, Any]]
    total: int

    @property
    def values(self) -> tuple[float, float] | None:
        """(accuracy, ECE) at the end; None if it diverged."""
        last = self.rows[-1] if self.rows else {}
        return (last["val_accuracy"], last["val_ece"]) if len(self.rows) == self.total else None


@dataclass(frozen=True)
class Pool:
    """All recorded trainings of one arm, those with published settings first.

    Attributes:
        corner: (accuracy, ECE) from which hypervolumes are seen.
    """

    arm: str
    trainings: list[Training]
    corner: tuple[float, float]

    def area(self, numbers: Iterable[int]) -> float:
        """Hypervolume of these trainings."""
        values = [self.trainings[number].values or (np.nan, np.nan) for number in numbers]
        return hypervolume([accuracy for accuracy, _ in values], [ece for _, ece in values], reference=self.corner)

    def front(self) -> list[int]:
        """Numbers of the trainings that none beats."""
        values = np.array([training.values or (np.nan, np.nan) for training in self.trainings])
        return [int(number) for number in np.flatnonzero(non_dominated(values[:, 0], values[:, 1]))]


def load_pools(path: Path = RECORDED) -> list[Pool]:
    """The pools of a file that `record_trainings` wrote, one an arm."""
    arms: dict[str, dict[int, Training]] = {}
    for row in pq.read_table(path).to_pylist():
        params = {name.removeprefix("param_"): value for name, value in row.items() if name.startswith("param_") and value is not None}
        arms.setdefault(row["arm"], {}).setdefault(row["number"], Training(params, [], row["epochs"])).rows.append(row)
    pools = []
    for arm, trainings in arms.items():
        finished = np.array([training.values for training in trainings.values() if training.values is not None])
        accuracy, ece = np.median(finished, axis=0)
        pools.append(Pool(arm, [trainings[number] for number in sorted(trainings)], (float(accuracy), float(ece))))
    return pools


# --- which training comes next


class RandomOrder:
    """Published settings, then any."""

    def __init__(self, pool: Pool, seed: int) -> None:
        n, first = len(pool.trainings), len(arm_search(pool, seed).space.published)
        self._order = iter([*range(first), *(first + numpy_stream(seed, "replay", pool.arm).permutation(n - first))])

    def next(self) -> int:
        """A training that was not handed out yet."""
        return int(next(self._order))

    def tell(self, number: int, outcome: Outcome) -> None:
        """Nothing to learn."""


class Suggested:
    """What a study's search of this arm suggests, as the nearest training that was not handed out yet."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool, self._search = pool, arm_search(pool, seed)
        self._points = np.array([self._scaled(training.params) for training in pool.trainings])
        self._free = np.ones(len(self._points), dtype=bool)

    def next(self) -> int:
        """A training that was not handed out yet."""
        suggestion = self._search.ask()
        self._search.tell(suggestion.number, Outcome(values=None))  # it was not trained; Optuna leaves failed trials out
        distance = ((self._points - self._scaled(suggestion.params)) ** 2).sum(axis=1)
        number = int(np.where(self._free, distance, np.inf).argmin())
        self._free[number] = False
        return number

    def tell(self, number: int, outcome: Outcome) -> None:
        """How a training ended, by its own settings."""
        self._search.replay(self._search.issued - 1, self._pool.trainings[number].params, outcome)

    def _scaled(self, params: Mapping[str, Any]) -> Floats:
        return np.array([_scaled(params[name], values) for name, values in self._search.space.searched.items()])


def _scaled(value: float, within: BaseDistribution) -> float:
    """In [0, 1]; on a log scale where it is searched on one."""
    assert isinstance(within, FloatDistribution)
    low, high = within.low, within.high
    return math.log(value / low) / math.log(high / low) if within.log else (value - low) / (high - low)


def arm_search(pool: Pool, seed: int) -> ArmSearch:
    """The search of a study with this seed in which the pool's arm is the only one."""
    spec = check_spec({**STUDY, "methods": [pool.arm.partition("/")[0]], "trials": len(pool.trainings), "seed": seed}, where="replay")
    return ArmSearch(spec.arms[0], spec)


# --- a search, replayed


@dataclass(frozen=True)
class Replay:
    """One search.

    Attributes:
        found_after: full trainings' epochs spent until the finished trainings had 95 % of the pool's hypervolume; infinite if never.
        share_at_budget: of the pool's hypervolume, after as many epochs as `BUDGET` full trainings have.
        lost: share of the pool's front that was stopped.
    """

    found_after: float
    share_at_budget: float
    lost: float


def replay(pool: Pool, order: RandomOrder | Suggested, rungs: Rungs | None) -> Replay:
    """Hand out the pool, one training after the other."""
    whole, total, front = pool.area(range(len(pool.trainings))), pool.trainings[0].total, pool.front()
    halving = None if rungs is None else ParetoHalving(rungs, audit=0)
    finished: list[int] = []
    spent, lost, found_after, share_at_budget = 0, 0, math.inf, 0.0
    for _ in pool.trainings:
        number = order.next()
        training = pool.trainings[number]
        at = None if halving is None else _stopped_at(pool.arm, number, training, halving)
        spent += at or len(training.rows)
        order.tell(number, Outcome(values=training.values) if at is None else Outcome(values=None, stopped=True))
        if at is not None:
            lost += number in front
            continue
        finished.append(number)
        share = pool.area(finished) / whole
        if spent <= BUDGET * total:
            share_at_budget = share
        if share >= FOUND:
            found_after = min(found_after, spent / total)
        if halving is None and found_after < math.inf and spent > BUDGET * total:
            break  # nothing more to learn
    return Replay(found_after, share_at_budget, lost / len(front))


def _stopped_at(arm: str, number: int, training: Training, halving: ParetoHalving) -> int | None:
    for row in training.rows:
        if halving.judge(arm, number, row).stop:
            return int(row["epoch"])
    return None


# --- many searches


USUAL: Final = Rungs(first=3)  # 1/9 and 1/3 of 27 epochs
SEARCHES: Final[dict[str, tuple[type[RandomOrder | Suggested], Rungs | None]]] = {
    "random": (RandomOrder, None),
    "random, halving": (RandomOrder, Rungs()),
    "random, halving at 1/9 and 1/3": (RandomOrder, USUAL),
    "TPE": (Suggested, None),
    "TPE, halving": (Suggested, Rungs()),
}


@dataclass(frozen=True)
class Summary:
    """Many replays of one kind of search; quartiles are (25 %, median, 75 %)."""

    search: str
    found_after: tuple[float, float, float]
    never: int
    share_at_budget: tuple[float, float, float]
    lost: float


def run(pool: Pool, *, repeats: int) -> Iterator[Summary]:
    """Every kind of search on one arm."""
    for name, (order, rungs) in SEARCHES.items():
        replays = [replay(pool, order(pool, seed), rungs) for seed in range(repeats)]
        found = [one.found_after for one in replays]
        yield Summary(
            name,
            _quartiles(found),
            sum(map(math.isinf, found)),
            _quartiles([one.share_at_budget for one in replays]),
            sum(one.lost for one in replays) / repeats,
        )


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    """Of values that may be infinite, so each is one of them."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf")
    return float(low), float(middle), float(high)


def main(*, repeats: int = 10) -> None:
    """Print what was found."""
    pools = load_pools()
    print(f"(h) full trainings' epochs until a search has {FOUND:.0%} of the hypervolume of all recorded trainings, and its share of that")
    print(f"    after {BUDGET} full trainings' epochs; median (quartiles) of {repeats} replayed searches; 'never' of them do not get there")
    print(f"    {'':32}{'epochs / full':>24}{'never':>7}{'/ no halving':>14}{'/ random':>10}{'share':>22}{'front lost':>12}")
    for pool in pools:
        area = f"area {pool.area(range(len(pool.trainings))):.5f} from accuracy {pool.corner[0]:.3f} and ECE {pool.corner[1]:.3f}"
        print(f"    {pool.arm}: {len(pool.trainings)} trainings, {len(pool.front())} on the front, {area}")
        medians: dict[str, float] = {}
        for result in run(pool, repeats=repeats):
            medians[result.search] = result.found_after[1]
            ratios = [_ratio(result.found_after[1], medians[base]) for base in (result.search.partition(",")[0], "random")]
            found, share = _spread(result.found_after, ".0f"), _spread(result.share_at_budget, ".2f")
            row = f"{found:>24}{result.never:>7}{ratios[0]:>14}{ratios[1]:>10}{share:>22}{result.lost:>12.2f}"
            print(f"    {result.search:32}{row}", flush=True)
    print()


def _spread(quartiles: tuple[float, float, float], form: str) -> str:
    low, middle, high = (format(value, form) if value < math.inf else "never" for value in quartiles)
    return f"{middle} ({low} to {high})"


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}" if value < math.inf else "-"
