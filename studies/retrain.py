"""One trial of a run trained again, in this process and without Ray, and compared with what the run recorded of it."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bsd_core.checkpoint import check_writable, save_weights
from bsd_core.errors import ConfigError, DataError, nearest, shown
from bsd_core.train import Trainer
from studies.confirm_fields import Confirm
from studies.driver import stopped_end
from studies.ledger import Event, read_ledger
from studies.operating_points import OPERATING_POINTS, operating_points
from studies.prepare import PreparedStudy, prepare
from studies.prepare_confirm import prepare_confirm
from studies.provenance import check_same_data, environment_differences
from studies.recorded import Recorded, compare, numbers_of, recorded_trial
from studies.results import ledger_tables
from studies.run_folder import RunFolder
from studies.screen import say
from studies.spec import StudySpec
from studies.tables import no_trial_ended
from studies.trial import reset_process_state, trial_events
from studies.trial_data import SearchData, TestData, TrialSettings

SAME, DIFFERENT = 0, 1
_SHOWN: Final = tuple(
    f"{split}_{name}" for split in ("val", "test") for name in ("accuracy", "ece", "nll", "brier", "corrupted_accuracy", "corrupted_ece")
)


def find_trials(run: RunFolder, spec: StudySpec, events: Sequence[Event], name: str) -> list[str]:
    """The trial that `name` is, or those that an operating point of this name recommends, one a condition.

    Raises:
        ConfigError: no trial and no operating point of this name, or one that recommends none.
    """
    known = list(dict.fromkeys(event["trial_id"] for event in events if event["event"] == "suggest"))
    if name in known:
        return [name]
    if name not in OPERATING_POINTS:
        first = ", ".join(known[:8]) + (f" and {len(known) - 8} more, see table trials" if len(known) > 8 else "")
        near = nearest(name, [*known, *OPERATING_POINTS])
        hint = f" Did you mean {near!r}?" if near else ""
        raise ConfigError(f"Unknown trial {shown(name)}.{hint} Operating points: {', '.join(OPERATING_POINTS)}. Trials: {first or 'none'}.")
    tables = ledger_tables(run, events)
    rows = [] if tables is None else tables.trials.to_pylist()
    points = operating_points(rows, objectives=spec.targets, max_ece=(spec.confirm or Confirm()).max_ece)
    points = [point for point in points if point.name == name]
    found = [point.trial_id for point in points if point.trial_id is not None]
    if not found:
        places = [f"in condition {point.condition}" if point.condition else "over all conditions" for point in points]
        reasons = "; ".join(f"{place}, {point.reason}" for place, point in zip(places, points, strict=True))
        raise ConfigError(
            f"This run recommends no trial as {name}: {reasons or 'no trial has finished'}. Name another operating point "
            f"({', '.join(other for other in OPERATING_POINTS if other != name)}) or a trial_id of table trials."
        )
    return list(dict.fromkeys(found))


def retrain(run: RunFolder, name: str, console: Console, *, save: Path | None = None) -> int:
    """Train a trial again, and say whether it gives the same numbers; the exit code: 0, or 1 if any differs.

    A trial that was stopped early is trained to the same epoch; one that failed is expected to fail again for the same reason.

    Args:
        run: a run.
        name: a trial of it, or an operating point.
        console: where to.
        save: file for the trained weights, for `pretrained` and kd's `teacher`.

    Raises:
        ConfigError: no such trial, one that has not ended, or `save` cannot be written or is for several trials.
        DataError: the ledger is missing, or the data are no longer those of the run.
    """
    if not run.ledger.exists() and (run.tables / "trials.parquet").exists():
        raise DataError(f"{run.place} has no ledger.jsonl, which knows the settings of its trials to the last bit.")
    spec, events = run.checked_spec(), read_ledger(run.ledger).events
    if not any(event["event"] == "end" for event in events):
        raise no_trial_ended(run)
    names = find_trials(run, spec, events, name)
    trials = [recorded_trial(events, trial_id, run=run.place) for trial_id in names]
    if save is not None:
        if len(trials) > 1:
            raise ConfigError(f"--save is for one trial, but {name} means {', '.join(names)}. Name one of them.")
        check_writable(save)
    prepared = prepare(spec)
    check_same_data(run.provenance(), events, prepared)
    return max(_retrain(run, spec, prepared, trial, console, save) for trial in trials)


def _phase_data(spec: StudySpec, prepared: PreparedStudy, trial: Recorded) -> tuple[SearchData, TrialSettings, TestData | None]:
    """What the trial was sent in its phase.

    Raises:
        DataError: the study has no such phase, condition or fresh seed.
    """
    data, settings, test = prepared.data, prepared.settings, None
    if trial.suggest["phase"] == "confirm" and spec.confirm is not None:
        ready = prepare_confirm(spec, prepared)
        data, settings, test = ready.data, ready.settings, ready.test
    if trial.task.labels not in data.given:
        raise DataError(f"Trial {trial.trial_id} does not belong to this study: was study.yaml changed?")
    return data, settings, test


def _retrain(run: RunFolder, spec: StudySpec, prepared: PreparedStudy, trial: Recorded, console: Console, save: Path | None) -> int:
    data, settings, test = _phase_data(spec, prepared, trial)
    reset_process_state(settings)
    device = torch.device("cuda" if settings.use_gpu and torch.cuda.is_available() else "cpu")
    say(console, f"{trial.trial_id}  {trial.suggest['method']}, condition {trial.suggest['condition']}, seed {trial.suggest['seed']}")
    say(console, "  " + ", ".join(f"{name} {value}" for name, value in trial.suggest["params"].items()))
    epochs, end, trainer = _train(trial, settings, data, test, device, console)
    if save is not None and trainer is not None:
        save_weights(save, trainer.network)
        say(console, f"  weights in {save}")
    if trial.end.get("error") is not None or end["error"] is not None:
        console.print(Text(f"then  {_how_it_ended(trial.end)}\nnow   {_how_it_ended(end)}"))
        if trial.end.get("error") != end["error"]:
            say(console, "DIFFERENT  It does not end as it did.")
            return _explain(run, trial, end, console)
    else:
        console.print(_table(trial.end["metrics"], end["metrics"]))
    found = compare(numbers_of(trial.epochs, trial.end), numbers_of(epochs, end))
    if not found.different:
        say(console, f"The same numbers: all {found.n:,} that were recorded, to the last bit.")
        return SAME
    place, then, now = found.different[0]
    largest = "" if found.largest is None else f" The largest relative difference of all is {found.largest:.1e}."
    say(console, f"DIFFERENT  {len(found.different):,} of {found.n:,} numbers; the first is {place}: {then} recorded, {now} now.{largest}")
    return _explain(run, trial, end, console)


def _train(
    trial: Recorded, settings: TrialSettings, data: SearchData, test: TestData | None, device: torch.device, console: Console
) -> tuple[list[Event], Event, Trainer | None]:
    """Epochs, the end, and the trainer, as far as the recorded trial went."""
    trainers: list[Trainer] = []
    epochs: list[Event] = []
    events = trial_events(trial.task, settings, data, device, test, on_trainer=trainers.append)
    with console.status(Text("training")) if console.is_terminal else nullcontext() as status:
        end = next(events)
        while end["event"] == "epoch":
            epochs.append(end)
            if status is not None:
                status.update(Text(f"epoch {end['epoch']} of {end['epochs']}"))
            stops_here = trial.cut_short and end["epoch"] == trial.end["epochs"] and "so_far" in end
            end = stopped_end(end) if stops_here else next(events)
    return epochs, end, trainers[0] if trainers else None


def _how_it_ended(end: Event) -> str:
    how = f"failed: {end['error']}" if end.get("error") else str(end["state"])
    return f"{how}, after {end['epochs']} epochs"


def _table(then: Mapping[str, Any], now: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("metric")
    for title in ("recorded", "now"):
        table.add_column(title, justify="right")
    for name in _SHOWN:
        if then.get(name) is not None or now.get(name) is not None:
            table.add_row(name, *("-" if (value := metrics.get(name)) is None else f"{value:.6f}" for metrics in (then, now)))
    return table


def _explain(run: RunFolder, trial: Recorded, end: Event, console: Console) -> int:
    """Say what is not as it was when the trial was trained."""
    changed = environment_differences(run.provenance())
    for name, now in (("node", socket.gethostname()), ("device", end.get("device"))):
        if (then := trial.end.get(name)) not in (None, now):
            changed.append(f"{name} {then} then, {now} now")
    if changed:
        say(console, f"Equal numbers need the same versions and type of machine; here differ: {'; '.join(changed)}.")
    elif end.get("device") not in (None, "cpu"):
        say(console, "Versions and machine are those of the run; on a GPU sums may be added in another order each time.")
    else:
        say(console, "Versions and machine are those of the run: were its files changed, or a file that its methods read?")
    return DIFFERENT
