"""Two runs side by side: what differs in their studies and in what made them, and how the arms that both have did.

Trainings of two runs have seeds of their own, so Welch's interval speaks of their difference; where both runs trained with the very same
seeds on the same labels, they are paired. Nothing is judged where the runs were not measured on the same images, or had unequal budgets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from bsd_core.errors import ConfigError
from studies.pareto import hypervolume
from studies.results import choices, full_provenance, original_run_id
from studies.run_budgets import unequal_budgets
from studies.run_folder import RunFolder
from studies.spec import StudySpec
from studies.statistics.comparisons import COMPARED_ROLES, LEVEL
from studies.statistics.confirmed import ConfirmedPoint, confirmed_points
from studies.statistics.independent import compare_independent
from studies.statistics.multiple import holm
from studies.statistics.paired import Comparison, Verdict, compare_means, verdict
from studies.statistics.seeds import SeedSummary, summarise
from studies.tables import read_tables
from studies.verify_form import require_form

Row = Mapping[str, Any]  # of table trials

ROLE: Final = COMPARED_ROLES[0]  # which confirmed setting stands for an arm
METRICS: Final = {"test_accuracy": True, "test_ece": False}  # whether higher is better
_MISSING: Final = "-"
_SPLIT: Final = ("dataset", "image_size", "train_images", "val_fraction", "seed")  # what training and validation images follow from


@dataclass(frozen=True)
class Difference:
    """Something that is not the same in both.

    Attributes:
        name: of the field, e.g. `evaluate.severities`.
        a, b: its values, as text; `-` where there is none.
    """

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class RunSide:
    """One of the two runs.

    Attributes:
        study, run_id, place: which it is.
        seeds: trainings wanted of each confirmed setting; None without a confirm phase.
        n_test: test images; None where none were looked at.
    """

    study: str
    run_id: str
    place: str
    seeds: int | None
    n_test: int | None


@dataclass(frozen=True)
class SearchSummary:
    """The search of one arm.

    Attributes:
        n_finished: trials.
        accuracy, ece: the best of each objective, of two trials as a rule; None without a finished trial.
        hypervolume: of the front, as seen from accuracy 0 and ECE 1.
    """

    n_finished: int
    accuracy: float | None
    ece: float | None
    hypervolume: float


@dataclass(frozen=True)
class ConfirmedDifference:
    """A metric of the setting that stands for an arm, in both runs.

    Attributes:
        a, b: over fresh seeds.
        n_failed: trainings of the two that failed, and are left out.
        paired: whether all trainings share seeds and labels, one by one.
        comparison: b minus a.
        holm_p: corrected for all arms with this metric.
        verdict: of b; None where it is not to be judged.
    """

    a: SeedSummary
    b: SeedSummary
    n_failed: int
    paired: bool
    comparison: Comparison
    holm_p: float | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class ArmPair:
    """One arm that both runs have.

    Attributes:
        arm: its name.
        search: in a, and in b.
        confirmed: by column of `METRICS`; empty where not both runs confirmed it.
    """

    arm: str
    search: tuple[SearchSummary, SearchSummary]
    confirmed: dict[str, ConfirmedDifference]


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side.

    Attributes:
        a, b: the runs.
        fields: of their studies that differ.
        made_by: packages, code and machines that differ.
        not_comparable: why the numbers are not of the same images; nothing is judged then.
        unequal_budgets: why arms are not judged although they are of the same images; empty where nothing was confirmed in both.
        searches_alike: whether the searches looked for the same objectives by the same labels on the same validation images.
        arms: those that both have, in the order of a.
        only: names of arms that only a has, and only b.
    """

    a: RunSide
    b: RunSide
    fields: list[Difference]
    made_by: list[Difference]
    not_comparable: list[str]
    unequal_budgets: list[str]
    searches_alike: bool
    arms: list[ArmPair]
    only: tuple[list[str], list[str]]

    @property
    def pairing(self) -> Literal["paired", "independent", "mixed"] | None:
        """How the confirmed trainings stand to each other; None without any."""
        kinds = {pair.paired for arm in self.arms for pair in arm.confirmed.values()}
        return None if not kinds else "mixed" if len(kinds) == 2 else "paired" if True in kinds else "independent"


@dataclass(frozen=True)
class _Read:
    """What is read of a run."""

    run: RunFolder
    spec: StudySpec
    rows: list[dict[str, Any]]
    provenance: dict[str, Any]
    side: RunSide

    @classmethod
    def of(cls, run: RunFolder) -> _Read:
        spec, tables = run.spec(), read_tables(run)
        require_form(run, tables)
        shown = tables.evaluations.select(["phase", "split", "shift", "n"]).to_pylist()
        clean = {"phase": "confirm", "split": "test", "shift": "clean"}
        n_test = max((row["n"] for row in shown if row.items() >= clean.items()), default=None)
        seeds = None if spec.confirm is None else spec.confirm.seeds
        side = RunSide(run.study, original_run_id(run), str(run.place), seeds, n_test)
        return cls(run, spec, tables.trials.to_pylist(), full_provenance(run, choices(run)), side)

    @property
    def points(self) -> dict[str, ConfirmedPoint]:
        """By arm, the confirmed setting that stands for it."""
        points = confirmed_points(self.rows, arms=self.arms)
        return {point.arm: point for point in points if ROLE in point.roles and point.trainings}

    @property
    def arms(self) -> list[str]:
        return [arm.name for arm in self.spec.compared_arms]

    def search(self, arm: str) -> SearchSummary:
        accuracy, ece = self.spec.targets
        rows = [row for row in self.rows if (row["phase"], row["arm"], row["state"]) == ("search", arm, "complete")]
        accuracies, eces = [row[accuracy] for row in rows], [row[ece] for row in rows]
        return SearchSummary(len(rows), max(accuracies, default=None), min(eces, default=None), hypervolume(accuracies, eces))


def compare_runs(run_a: RunFolder, run_b: RunFolder) -> RunComparison:
    """Compare two runs by their tables, studies and provenance.

    Raises:
        ConfigError: both are the same run, or a study is broken.
        DataError: tables are missing or broken.
    """
    if run_a.path.resolve() == run_b.path.resolve():
        raise ConfigError(f"Both are run {run_a.run_id} of {run_a.study!r}: name two runs, such as two run folders.")
    a, b = _Read.of(run_a), _Read.of(run_b)
    reasons = _not_comparable(a, b)
    common = [arm for arm in a.arms if arm in b.arms]
    points_a, points_b = a.points, b.points
    confirmed = {arm: _confirmed(points_a[arm], points_b[arm]) for arm in common if arm in points_a and arm in points_b}
    unequal = unequal_budgets(a.rows, a.spec, b.rows, b.spec, list(confirmed))
    judged = _judged(confirmed, judge=not reasons and not unequal)
    return RunComparison(
        a=a.side,
        b=b.side,
        fields=differences(_fields(a.spec), _fields(b.spec)),
        made_by=differences(_made_by(a.provenance), _made_by(b.provenance)),
        not_comparable=reasons,
        unequal_budgets=unequal,
        searches_alike=_searches_alike(a, b),
        arms=[ArmPair(arm, (a.search(arm), b.search(arm)), judged.get(arm, {})) for arm in common],
        only=([arm for arm in a.arms if arm not in common], [arm for arm in b.arms if arm not in common]),
    )


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Where two nested mappings differ, by dotted name; lists are compared whole."""
    left, right = dict(_flat(a)), dict(_flat(b))
    names = [*left, *(name for name in right if name not in left)]
    texts = ((name, left.get(name, _MISSING), right.get(name, _MISSING)) for name in names)
    return [Difference(name, of_a, of_b) for name, of_a, of_b in texts if of_a != of_b]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(entry, str | int | float) for entry in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _fields(spec: StudySpec) -> dict[str, Any]:
    """Of a study, with conditions by their names."""
    return spec.model_dump() | {"conditions": [condition.name for condition in spec.conditions]}


def _made_by(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Packages, code and machine; data are compared by themselves."""
    return {name: provenance.get(name) for name in ("python", "packages", "platform", "machine", "code", "slots")}


def _not_comparable(a: _Read, b: _Read) -> list[str]:
    """Why a difference may be one of what was measured on; what a run does not say is not held against it.

    That runs train on other images of one data set because their studies say so is no such reason: it is a difference of the studies.
    """
    reasons = []
    if a.spec.dataset != b.spec.dataset:
        reasons.append(f"the data sets differ ({a.spec.dataset}, {b.spec.dataset})")
    elif _same(a, b, _SPLIT) and _differ(a.provenance, b.provenance, "data", "fingerprint"):
        reasons.append("the data sets' fingerprints differ")
    if _differ(a.provenance, b.provenance, "test", "fingerprint"):
        reasons.append("the test images differ")
    elif None not in (a.side.n_test, b.side.n_test) and a.side.n_test != b.side.n_test:
        reasons.append(f"they were confirmed on {a.side.n_test} and {b.side.n_test} test images")
    return reasons


def _differ(a: Mapping[str, Any], b: Mapping[str, Any], part: str, name: str) -> bool:
    left, right = a.get(part, {}).get(name), b.get(part, {}).get(name)
    return None not in (left, right) and left != right


def _searches_alike(a: _Read, b: _Read) -> bool:
    """Whether the numbers of the searches mean the same."""
    images = ("evaluate",) if a.spec.targets.on_corrupted else ()
    same = _same(a, b, (*_SPLIT, *images, "objectives", "validation_labels"))
    return same and not _differ(a.provenance, b.provenance, "data", "fingerprint")


def _same(a: _Read, b: _Read, fields: Sequence[str]) -> bool:
    return all(getattr(a.spec, field) == getattr(b.spec, field) for field in fields)


def _confirmed(a: ConfirmedPoint, b: ConfirmedPoint) -> dict[str, ConfirmedDifference]:
    """Both metrics of one arm, not yet judged."""
    paired = _share_seeds(a.finished, b.finished)
    n_failed = sum(len(point.trainings) - len(point.finished) for point in (a, b))
    compare = compare_means if paired else compare_independent
    return {
        metric: ConfirmedDifference(
            a=summarise(a.outcomes(metric)),
            b=summarise(b.outcomes(metric)),
            n_failed=n_failed,
            paired=paired,
            comparison=compare(list(b.values(metric).values()), list(a.values(metric).values())),
        )
        for metric in METRICS
    }


def _share_seeds(a: Sequence[Row], b: Sequence[Row]) -> bool:
    """Whether all finished trainings of both are the same replicates, with equal seeds and labels, and there are at least two of them.

    A pair that is some trainings of the two would differ by something else than the means that are shown.
    """
    keys = ("replicate", "seed", "noise_fingerprint")
    seeds = [[tuple(row[key] for key in keys) for row in rows] for rows in (a, b)]
    return len(seeds[0]) >= 2 and seeds[0] == seeds[1] and not any(None in training for training in seeds[0])


def _judged(confirmed: Mapping[str, Mapping[str, ConfirmedDifference]], *, judge: bool) -> dict[str, dict[str, ConfirmedDifference]]:
    """The same with p-values that are corrected over arms, and with verdicts."""
    found: dict[str, dict[str, ConfirmedDifference]] = {arm: {} for arm in confirmed}
    for metric, higher_is_better in METRICS.items():
        pairs = {arm: of_arm[metric] for arm, of_arm in confirmed.items()}
        for (arm, pair), p in zip(pairs.items(), holm([pair.comparison.p_value for pair in pairs.values()]), strict=True):
            word = verdict(pair.comparison, p, higher_is_better=higher_is_better, level=LEVEL) if judge else None
            found[arm][metric] = replace(pair, holm_p=p, verdict=word)
    return found
