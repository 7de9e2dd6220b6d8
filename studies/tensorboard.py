"""TensorBoard events of a run's trainings, for studies that ask for them (`tensorboard: true`): <run>/tensorboard/<arm>/<trial>/.

They follow the ledger: an event is written after it, in this process and without any thread, and whatever goes wrong harms nothing but
them. A process that goes on with a run first makes them again from the ledger, so each epoch stands there once. Times are those of
training: what TensorBoard calls relative is how long a trial has trained, whatever it had to wait for.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bsd_core.errors import one_line
from studies.ledger import Event, Ledger, LedgerReader
from studies.results import original_run_id
from studies.run_folder import RunFolder
from studies.screen import log


@dataclass
class _Trial:
    """A trial that has not ended.

    Attributes:
        file: its events.
        hparams: its settings, and what it trains.
        epoch: the last that is written.
        seconds: that its epochs took.
    """

    file: Path
    hparams: dict[str, Any]
    epoch: int = 0
    seconds: float = 0.0


class EventFiles:
    """The event files of one run.

    Args:
        folder: of all of them.
        arms: of the study; of trials of others, which a stranger's ledger can have, nothing is written.
        started: seconds since 1970, from which times are counted.

    Attributes:
        problem: why nothing is written any more, as a line for the user; None while all is well.
    """

    def __init__(self, folder: Path, arms: Collection[str], *, started: float) -> None:
        self.problem: str | None = None
        self._folder, self._arms, self._started = folder, frozenset(arms), started
        self._trials: dict[str, _Trial] = {}

    @classmethod
    def of(cls, run: RunFolder) -> EventFiles:
        """Those of a run, made again from its ledger."""
        files = cls(run.path / "tensorboard", [arm.name for arm in run.spec().arms], started=_started(original_run_id(run)))
        files.rebuild(LedgerReader(run.ledger, without=("evaluations", "reliability", "note", "confirm")))
        return files

    def rebuild(self, events: Iterable[Event]) -> None:
        """Replace all files by what a ledger says."""
        try:
            if self._folder.exists():
                shutil.rmtree(self._folder)
            for event in events:
                self._take(event)
        except Exception as error:
            self._give_up(error)

    def take(self, event: Event) -> None:
        """One more event of the ledger."""
        if self.problem is None:
            try:
                self._take(event)
            except Exception as error:  # the run is worth more than any picture of it
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.problem = f"TensorBoard events are no longer written ({one_line(error, limit=120)}); resume makes all of them from the ledger."
        log(self.problem)

    def _take(self, event: Event) -> None:
        kind = event["event"]
        if kind == "suggest":
            if event["arm"] in self._arms:
                self._trials.setdefault(event["trial_id"], _Trial(self._file(event), _hparams(event)))
        elif kind in ("epochs", "end") and (trial := self._trials.get(event["trial_id"])) is not None:
            self._write(trial, self._epochs(trial, event["rows"]) if kind == "epochs" else self._end(trial, event))
            if kind == "end":
                del self._trials[event["trial_id"]]

    def _file(self, suggest: Event) -> Path:
        """Named by what no ledger can lead out of the folder with: an arm of the study, and a number."""
        number, confirms = int(suggest["trial_number"]), "confirm-" if suggest["phase"] == "confirm" else ""
        folder: Path = self._folder / suggest["arm"] / f"{confirms}{number:04d}"
        return folder / f"events.out.tfevents.{self._started:.0f}.bsd"

    def _epochs(self, trial: _Trial, rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """Of a trial that started again, epochs that are written already come once more, and are left out."""
        records = []
        for row in rows:
            if row["epoch"] <= trial.epoch:
                continue
            trial.epoch, trial.seconds = row["epoch"], trial.seconds + (row.get("seconds") or 0)
            records.append(self._scalars(trial, {name: value for name, value in row.items() if name != "epoch"}))
        return records

    def _end(self, trial: _Trial, end: Event) -> list[bytes]:
        """The metrics and, for the table of settings, the settings; of a trial that failed, nothing."""
        metrics = {f"final/{name}": value for name, value in end["metrics"].items() if isinstance(value, int | float)}
        if not metrics:
            return []
        from tensorboardX.summary import hparams

        shown = hparams(trial.hparams, metrics)
        return [self._scalars(trial, metrics), *(self._record(trial, summary=summary) for summary in shown)]

    def _scalars(self, trial: _Trial, values: Mapping[str, Any]) -> bytes:
        from tensorboardX.proto.summary_pb2 import Summary

        numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        return self._record(trial, summary=Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]))

    def _record(self, trial: _Trial, **content: Any) -> bytes:
        from tensorboardX.proto.event_pb2 import Event as Shown

        return framed(Shown(wall_time=self._started + trial.seconds, step=trial.epoch, **content).SerializeToString(deterministic=True))

    def _write(self, trial: _Trial, records: list[bytes]) -> None:
        """No file stays open: there can be more trials at once than a process may have of them."""
        if not records:
            return
        if not trial.file.exists():
            trial.file.parent.mkdir(parents=True, exist_ok=True)
            records = [self._record(_Trial(trial.file, {}), file_version="brain.Event:2"), *records]
        with trial.file.open("ab") as file:
            file.write(b"".join(records))


class FollowedLedger(Ledger):
    """A ledger whose events go to `files` once they are written.

    Args:
        ledger: that is written.
        files: that follow it.
    """

    def __init__(self, ledger: Ledger, files: EventFiles) -> None:
        self.path, self._ledger, self._files = ledger.path, ledger, files

    def append(self, event: Event, *, sync: bool = False) -> None:
        """As `Ledger.append`."""
        self._ledger.append(event, sync=sync)
        self._files.take(event)

    def sync(self) -> None:
        """As `Ledger.sync`."""
        self._ledger.sync()

    def close(self) -> None:
        """As `Ledger.close`."""
        self._ledger.close()


def framed(data: bytes) -> bytes:
    """One record of a TFRecord file: its length and itself, each with its masked CRC-32C."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def _hparams(suggest: Event) -> dict[str, Any]:
    return {**{name: suggest[name] for name in ("method", "condition", "phase")}, **suggest["params"]}


def _started(run_id: str) -> float:
    """When a run began, as its id tells; the epoch where it does not."""
    try:
        return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
