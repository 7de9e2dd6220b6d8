"""What table `trials` must say by the study alone, and its rows of each other: names, seeds, labels, settings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

from studies.arm_space import constant_settings
from studies.spec import StudySpec
from studies.tables import trial_order
from studies.tally import DifferenceError, Tally, check_rows, row_name
from studies.trial_seeds import confirm_seed, noise_seed, search_seed
from studies.verify_form import KEYS

Row = dict[str, Any]
_CONFIRM_ONLY: Final = ("confirms", "replicate", "noise_seed")
_INTERVALS: Final = ("test_accuracy_low", "test_accuracy_high", "test_ece_low", "test_ece_high")
_OF_FINISHED: Final = (  # what a trial that came to its end knows, if the program that trained it knew such a column
    *("n_wrong_labels", "noise_rate", "noise_fingerprint", "train_seconds", "evaluate_seconds", "images_per_second", "images_seen"),
    *("n_parameters", "node", "device", *_INTERVALS),
)


def check_trials(trials: Sequence[Row], spec: StudySpec, constants: Mapping[str, str], tally: Tally) -> None:
    """Compare all that follows from the study or from other rows of the table.

    Args:
        trials: of checked form.
        spec: the study.
        constants: columns that are the same in all rows.
        tally: counts.

    Raises:
        DifferenceError: at the first value that is not what it should be.
    """
    ids = [(row["trial_id"],) for row in trials]
    check_rows("trials", ids, [(row["trial_id"],) for row in sorted(trials, key=trial_order)], KEYS["trials"])
    arms = {arm.name: arm for arm in spec.arms}
    for row in trials:
        arm = arms[row["arm"]]
        expected: Row = {**constants, "noise_kind": arm.condition.kind}
        expected |= {"noise_rate": arm.condition.rate} if arm.condition.exact else {}
        if row["phase"] == "search":
            expected |= dict.fromkeys((*_CONFIRM_ONLY, *_INTERVALS))
            expected |= {"trial_id": f"{row['arm'].replace('/', '-')}-{row['trial_number']:04d}"}
            expected |= {"seed": search_seed(spec.seed, row["trial_number"])}
        else:
            replicate = row["replicate"]
            expected |= {"trial_id": f"{row['confirms']}-confirm-{replicate}"}
            expected |= {"seed": confirm_seed(spec.seed, replicate), "noise_seed": noise_seed(spec, arm.condition, replicate)}
        tally.check_fields(row, expected, *_where(row))
        _check_stop(row, spec, tally)
    _check_confirmations(trials, tally)
    _check_settings(trials, spec, tally)
    _check_labels(trials, spec, tally)
    finished = [row for row in trials if row["error"] is None]
    check_nulls("trials", finished, _OF_FINISHED, lambda row: (row["phase"], row["state"], row["audited"]), tally)
    for row in trials:
        if row["error"] is not None or (row["state"] == "stopped" and not row["audited"]):
            tally.check_fields(row, dict.fromkeys((*_INTERVALS, "evaluate_seconds")), *_where(row))


def _check_stop(row: Row, spec: StudySpec, tally: Tally) -> None:
    """A trial that was stopped ended there; an audited one was decided against at a rung of the training that it finished."""
    if row["state"] != "stopped" or row["error"] is not None:
        return
    if not row["audited"]:
        tally.check(row["stopped_at"], row["epochs"], *_where(row), "column stopped_at")
    elif spec.stopping.rungs is None or row["stopped_at"] not in spec.stopping.rungs.epochs(row["epochs"]):
        raise DifferenceError(
            f"{', '.join(_where(row))}, column stopped_at: {row['stopped_at']} in the file, which is no rung of the study"
        )


def check_nulls(table: str, rows: Iterable[Row], columns: Iterable[str], kind: Callable[[Row], Hashable], tally: Tally) -> None:
    """Columns that depend on the data set, or on the version that measured, are null in all rows of a kind or in none.

    Raises:
        DifferenceError: at the first row that is not like the most.
    """
    kinds: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[kind(row)].append(row)
    for members in kinds.values():
        for column in columns:
            usual = most([row[column] is None for row in members])
            for row in members:
                if (row[column] is None) != usual:
                    stored, right = ("a value", "null") if usual else ("null", "a value")
                    place = ", ".join(row_name(row, KEYS[table]))
                    raise DifferenceError(f"table {table}, {place}, column {column}: {stored} in the file, {right} recomputed")
            tally.add(len(members))


def most(values: Iterable[Any]) -> Any:
    """The value that is there most often, of several the first: what the others must be, if one of them was edited."""
    return Counter(values).most_common(1)[0][0]


def _check_confirmations(trials: Sequence[Row], tally: Tally) -> None:
    """Settings are those of the trial that is confirmed; numbers count the trainings of an arm, the fresh seeds outermost."""
    searched = {row["trial_id"]: row for row in trials if row["phase"] == "search"}
    n_chosen = Counter(row["arm"] for row in searched.values() if row["chosen_as"] is not None)
    places: dict[tuple[str, int], str] = {}
    for row in trials:
        if row["phase"] != "confirm":
            continue
        confirmed = searched[row["confirms"]]
        settings = [name for name in row if name.startswith("param_")]
        tally.check_fields(row, {name: confirmed[name] for name in ("arm", *settings)}, *_where(row))
        place = row["trial_number"] - row["replicate"] * n_chosen[row["arm"]]
        owner = places.setdefault((row["arm"], place), row["confirms"])
        if not 0 <= place < n_chosen[row["arm"]] or owner != row["confirms"]:
            number = row["trial_number"]
            raise DifferenceError(
                f"{', '.join(_where(row))}, column trial_number: {number} in the file, which is another training's number"
            )


def _check_settings(trials: Sequence[Row], spec: StudySpec, tally: Tally) -> None:
    """All trials of a method have the same settings, and those that are not searched have the same values."""
    for method in spec.methods:
        rows = [row for row in trials if row["method"] == method]
        settings = [name for row in rows[:1] for name in row if name.startswith("param_")]
        check_nulls("trials", rows, settings, lambda row: 0, tally)
        for name in constant_settings(spec, method):
            if f"param_{name}" in settings:
                _check_alike(rows, f"param_{name}", tally)
        _check_alike([row for row in rows if row["n_parameters"] is not None], "n_parameters", tally)


def _check_labels(trials: Sequence[Row], spec: StudySpec, tally: Tally) -> None:
    """Trials of one draw of noise have one set of labels; one that failed may have failed before it saw them."""
    draws: dict[Hashable, list[Row]] = defaultdict(list)
    for row in trials:
        kept = row["noise_seed"] is None and spec.confirm is not None and spec.confirm.train_on == "train"
        draws[row["condition"], None if kept or row["phase"] == "search" else row["replicate"]].append(row)
    for members in draws.values():
        for column in ("noise_rate", "n_wrong_labels", "noise_fingerprint"):
            _check_alike([row for row in members if row["error"] is None or row[column] is not None], column, tally)
        for row in members:
            if row["noise_kind"] == "none" and row["n_wrong_labels"] is not None:
                tally.check(row["n_wrong_labels"], 0, *_where(row), "column n_wrong_labels")


def _check_alike(rows: Sequence[Row], column: str, tally: Tally) -> None:
    usual = most(row[column] for row in rows) if rows else None
    for row in rows:
        tally.check(row[column], usual, *_where(row), f"column {column}")


def _where(row: Row) -> tuple[str, ...]:
    return ("table trials", *row_name(row, ("trial_id",)))
