"""A study from its file to its tables: `run_study` starts one, `resume_study` finishes one that was interrupted."""

from __future__ import annotations

import errno
import json
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from bsd_core.errors import BSDError, StorageError, one_line
from bsd_core.whole_file import remove_leftovers
from studies import cluster
from studies.budgets import few_trials
from studies.cluster_probe import FoundCluster, find_cluster
from studies.commands import command
from studies.confirm import ConfirmPhase, already_chosen, choose_trials, chosen_event
from studies.driver import StudyDriver, TrialSource
from studies.halving import ParetoHalving
from studies.interrupts import INTERRUPTED, TERMINATED, Termination, termination_as_interrupt
from studies.ledger import MEASURED, Event, Ledger, LedgerReader, read_ledger
from studies.objectives import shortest_titles
from studies.prepare import PreparedStudy, prepare, save_noise
from studies.prepare_confirm import prepare_confirm
from studies.progress import StudyProgress, make_view
from studies.provenance import check_same_data, collect_provenance
from studies.remote_folder import RemoteFolder
from studies.results import write_results
from studies.run_folder import RunFolder, check_writable, create_run, write_atomically
from studies.screen import log, only_our_console, our_console, say, short_path
from studies.search import StudySearch
from studies.shown import count_trials, show_front
from studies.spec import StudySpec
from studies.tensorboard import EventFiles, FollowedLedger
from studies.trial_checkpoints import CheckpointPlan, remove_all_checkpoints, remove_checkpoints
from studies.trial_data import SearchData, TestData, TrialSettings
from studies.tune_state import clear_tune_state

DONE, FAILED = 0, 1


def run_study(study: str, spec: StudySpec, results: Path | RemoteFolder) -> int:
    """Run a study in a new folder; the exit code.

    Raises:
        BSDError: the input is wrong; nothing was started and nothing was written.
    """
    run: RunFolder | None = None
    with termination_as_interrupt(lambda: _last_words(run)) as termination:
        try:
            check_writable(results)
            prepared, found = _prepared(spec)
            provenance = collect_provenance(study, spec, prepared)
            with _joined_ray(found, spec, prepared, results, termination) as slots:
                run = create_run(results, study, spec)
                provenance |= {"run_id": run.run_id, "slots": slots}
                write_atomically(run.path / "provenance.json", json.dumps(provenance, indent=2).encode())
                save_noise(run.labels, spec, prepared)
                with run.lock():
                    return _train(run, spec, prepared, slots, earlier=[])
        except StorageError as error:
            if run is None:
                raise
            return _say_failed(our_console(), run, error)
        except KeyboardInterrupt:
            return _say_interrupted(run, termination)


def resume_study(run: RunFolder) -> int:
    """Finish a run that was interrupted; the exit code. A finished run only gets its tables built again.

    Raises:
        BSDError: the run is at work elsewhere, or its data are no longer the same.
    """
    spec = run.checked_spec()
    with termination_as_interrupt(lambda: _last_words(run)) as termination:
        try:
            with run.lock():
                return _resume(run, spec, termination)
        except KeyboardInterrupt:
            return _say_interrupted(run, termination)


def _resume(run: RunFolder, spec: StudySpec, termination: Termination) -> int:
    contents = read_ledger(run.ledger, without=MEASURED)
    console = our_console()
    if contents.broken_lines:
        say(console, f"{_lines(contents.broken_lines)} in the ledger could not be read and left out; all others are used.")
    remove_leftovers(run.path)
    if broken := clear_tune_state(run.ray):
        say(console, f"Ray's own state {broken} is broken; it is not needed: the ledger says what is finished.")
    finished = StudySearch(spec, slots=1)
    finished.replay(contents.events)
    confirm = _replayed_confirm(spec, contents.events) if finished.done else None
    if finished.done and (spec.confirm is None or (confirm is not None and confirm.done)):
        say(console, "All trials of this run are finished; its tables are built again.")
        if spec.tensorboard and (problem := EventFiles.of(run).problem) is not None:
            say(console, problem)
        return _conclude(run, finished, confirm, console)
    prepared, found = _prepared(spec)
    check_same_data(run.provenance(), contents.events, prepared)
    save_noise(run.labels, spec, prepared)  # an earlier process may have died before it did
    with _joined_ray(found, spec, prepared, run.place, termination) as slots:
        return _train(run, spec, prepared, slots, earlier=_with_epochs(run))


def _with_epochs(run: RunFolder) -> LedgerReader:
    """What the driver takes in of the ledger: an event at a time, since its epochs may be too many to be held at once."""
    return LedgerReader(run.ledger, without=("evaluations", "reliability"))


def _prepared(spec: StudySpec) -> tuple[PreparedStudy, FoundCluster | None]:
    """The data, and the cluster to use; refused here, before data are loaded, where none answers, or no trial can ever fit."""
    address = cluster.ray_address()
    found = None
    if address is None:
        cluster.count_slots(spec, [cluster.local_node()], where="this machine")
    else:
        with _status(f"looking for Ray at {address.rpartition('@')[2]}"):
            found = find_cluster(address)
    with _status(f"loading {spec.dataset}"):
        return prepare(spec), found


def _lines(n: int) -> str:
    return "A line" if n == 1 else f"{n} lines"


def _status(text: str) -> AbstractContextManager[object]:
    """A spinner with `text` on a terminal, nothing elsewhere."""
    console = our_console()
    return console.status(Text(text)) if console.is_terminal else nullcontext()


@contextmanager
def _joined_ray(
    found: FoundCluster | None, spec: StudySpec, prepared: PreparedStudy, place: Path | RemoteFolder, termination: Termination
) -> Iterator[int]:
    """Ray, for as long as the context lasts; the trials that can run at once, whose checkpoints go below `place`."""
    sys.stdout.flush()
    abandoned = False
    try:
        with _status("starting Ray" if found is None else f"joining Ray at {found.address}"), termination.kept_from_ray():
            nodes = cluster.connect(found, data_bytes=2 * prepared.n_bytes, spec=spec)  # search and confirm phase
            if found is not None and spec.checkpoint_seconds is not None:
                cluster.check_nodes_write(place, spec, nodes)
        yield cluster.count_slots(spec, nodes, where="the cluster" if found else "this machine")
    except KeyboardInterrupt:
        # Nobody waits for Ray, which may have been ended, too, and would be waited for; a local one ends with this process anyway.
        abandoned = True
        raise
    finally:
        if not abandoned:
            cluster.disconnect()


def _train(run: RunFolder, spec: StudySpec, prepared: PreparedStudy, slots: int, *, earlier: Iterable[Event]) -> int:
    """Search, confirm, conclude; the exit code.

    Raises:
        KeyboardInterrupt: once what there is has been saved.
    """
    search = StudySearch(spec, slots)
    confirm: ConfirmPhase | None = None
    problem: Exception | None = None
    interruption: KeyboardInterrupt | None = None
    ledger = run.open_ledger()
    with only_our_console(run.log) as console:
        followers = EventFiles.of(run) if spec.tensorboard else None
        ledger = ledger if followers is None else FollowedLedger(ledger, followers)
        trainings = _Trainings(run, spec, ledger, slots, console)
        try:
            trainings.search(search, prepared, earlier)
            if search.done and spec.confirm is not None:
                confirm = trainings.confirm(prepared)
        except KeyboardInterrupt as stop:
            interruption = stop
            run.hurry()
        except Exception as error:
            problem = error
            log(traceback.format_exc())
        finally:
            ledger.close()
        if followers is not None and followers.problem is not None:
            say(console, followers.problem)
        return _conclude(run, search, confirm, console, problem, interruption)


@dataclass
class _Trainings:
    """The two phases of a run on a Ray that is there."""

    run: RunFolder
    spec: StudySpec
    ledger: Ledger
    slots: int
    console: Console
    sent: dict[int, Any] = field(default_factory=dict)  # what is in Ray's object store

    def search(self, search: StudySearch, prepared: PreparedStudy, earlier: Iterable[Event]) -> None:
        """Run all trials of the search that an earlier process has not finished."""
        wanted = dict.fromkeys(search.arms, self.spec.trials)
        phase = "search" if self.spec.confirm is not None else ""
        progress = StudyProgress(
            self.run.study, wanted, epochs=self.spec.epochs, slots=self.slots, values=shortest_titles(self.spec.targets), phase=phase
        )
        notes = []
        if not search.repeatable:
            timing = "suggestions depend on timing, so this run will not repeat exactly."
            notes.append(f"{self.slots} slots for {len(search.arms)} arms: {timing}")
        if self.spec.stopping.rungs is not None:
            notes.append(f"Early stopping: every arm may spend the epochs of {self.spec.trials} full trainings; arms end equal within one.")
        self._run(search, progress, earlier, data=prepared.data, settings=prepared.settings, notes=notes)

    def confirm(self, prepared: PreparedStudy) -> ConfirmPhase:
        """Choose, write the choice down, open the test split, and train what was chosen."""
        earlier = read_ledger(self.run.ledger, without=MEASURED).events
        chosen = already_chosen(self.spec, earlier)
        new = chosen is None
        if chosen is None:
            chosen = choose_trials(self.spec, earlier)
        phase = ConfirmPhase(self.spec, chosen)
        if not chosen:  # then the test split stays closed
            return phase
        ready = prepare_confirm(self.spec, prepared)
        if new:
            self.ledger.append(chosen_event(chosen, test_fingerprint=ready.test.fingerprint), sync=True)
        title = f"{self.run.study}, confirmed on test"
        progress = StudyProgress(title, phase.wanted, epochs=self.spec.epochs, slots=self.slots, points="test")
        notes = _few_points(self.spec, earlier)
        self._run(phase, progress, _with_epochs(self.run), data=ready.data, settings=ready.settings, test=ready.test, notes=notes)
        return phase

    def _run(
        self,
        source: TrialSource,
        progress: StudyProgress,
        earlier: Iterable[Event],
        *,
        data: SearchData,
        settings: TrialSettings,
        test: TestData | None = None,
        notes: list[str],
    ) -> None:
        from studies.tune import run_trials

        view = make_view(progress, self.console)
        place, every, timeout = str(self.run.place / self.run.checkpoints.name), self.spec.checkpoint_seconds, self.spec.trial_timeout
        driver = StudyDriver(
            source,
            self.ledger,
            progress,
            view,
            predictions=self.run.predictions,
            halving=ParetoHalving.of(self.spec) if test is None else None,
            timeout=timeout,
            forget=lambda trial_id: remove_checkpoints(place, trial_id),
        )
        driver.replay(earlier)
        if source.done:
            return
        checkpoints = None if every is None else CheckpointPlan(place=place, seconds=every)
        settings = replace(settings, checkpoints=checkpoints, report_seconds=report_seconds(self.slots), timed=timeout is not None)
        view.start()
        for note in notes:
            view.note(note)
        try:
            gpus, slots = self.spec.gpus_per_trial, self.slots
            run_trials(driver, data=data, settings=settings, gpus=gpus, slots=slots, folder=self.run.ray, test=test, sent=self.sent)
        finally:
            view.stop()
        if driver.problem is not None:
            raise driver.problem
        if driver.source.done:
            remove_all_checkpoints(place)  # also of trials that ended in an earlier process just before they could be removed


def report_seconds(slots: int) -> float:
    """How long a trial gathers epochs before it tells of them: all trials together send the driver at most 25 messages a second."""
    return max(0.25, slots / 25)


def _few_points(spec: StudySpec, events: list[Event]) -> list[str]:
    """What to say where arms cannot give as many settings as are wanted because too few of their trials finished."""
    arm_of = {event["trial_id"]: event["arm"] for event in events if event["event"] == "suggest" and event["phase"] == "search"}
    complete = {event["trial_id"] for event in events if event["event"] == "end" and event["state"] == "complete"}
    n_finished = Counter(arm for trial_id, arm in arm_of.items() if trial_id in complete)
    note = few_trials(spec, {arm.name: n_finished[arm.name] for arm in spec.compared_arms})
    return [note] if note else []


def _replayed_confirm(spec: StudySpec, events: list[Event]) -> ConfirmPhase | None:
    """The confirm phase as an earlier process left it; None if it is still to begin."""
    if spec.confirm is None:
        return None
    chosen = already_chosen(spec, events)
    if chosen is None and choose_trials(spec, events):
        return None
    chosen = chosen or []
    phase = ConfirmPhase(spec, chosen)
    phase.replay(events)
    return phase


def _conclude(
    run: RunFolder,
    search: StudySearch,
    confirm: ConfirmPhase | None,
    console: Console,
    problem: Exception | None = None,
    interruption: KeyboardInterrupt | None = None,
) -> int:
    """Write what there is, show it if it is all, and say how the run ended.

    Raises:
        KeyboardInterrupt: `interruption`, or one that came meanwhile.
    """
    finished = search.done and (search.spec.confirm is None or (confirm is not None and confirm.done))
    try:
        tables = write_results(run, search if interruption is None else None)  # the export for Optuna can wait
        if finished and tables is not None:
            show_front(run, tables, console, page=True)
        elif tables is not None:  # the last line is what matters now; `front` shows the rest
            say(console, f"{count_trials(tables.trials)}, in {short_path(run.place)}")
        run.push()
    except (BSDError, OSError) as error:
        problem = problem or error
    if interruption is not None:
        raise interruption
    if problem is not None:
        if not run.ledger.is_file():
            say(console, f"The run failed, and its folder is no longer there: {one_line(problem)}")
            return FAILED
        return _say_failed(console, run, problem)
    if not finished:
        raise KeyboardInterrupt
    short = [arm.arm.name for arm in search.arms.values() if arm.gave_up]
    if short:
        gave_up = f"{', '.join(short)} gave up after {search.spec.trials} failed trials"
        say(console, f"Budgets are NOT equal: {gave_up}. See `error` in trials.parquet.")
    without = confirm.without_result if confirm is not None else []
    if without:
        say(console, f"No training of {', '.join(without)} came through with a fresh seed: see `error` in trials.parquet.")
    if confirm is not None and not confirm.wanted:
        say(console, "Nothing could be confirmed, since no trial finished; the test split stayed closed.")
    return FAILED if short or without else DONE


def _say_failed(console: Console, run: RunFolder, problem: Exception) -> int:
    """The last line, and the exit code."""
    how = "Make space, then finish it with" if _disk_is_full(problem) else f"See {run.log}. Finish it with"
    say(console, f"The run failed: {one_line(problem).rstrip('.')}. {how}: {_resume_command(run)}")
    return FAILED


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether that is behind an error, however it is wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _resume_command(run: RunFolder) -> str:
    return command("resume", run.place)


def _last_words(run: RunFolder | None) -> str:
    """Of a run that was ended from outside."""
    if run is None:
        return "Interrupted before the study began; nothing was written."
    return f"Interrupted; finished trials are kept. Finish the run with: {_resume_command(run)}"


def _say_interrupted(run: RunFolder | None, termination: Termination) -> int:
    """The last line, and the exit code."""
    say(our_console(), _last_words(run))
    return TERMINATED if termination.came else INTERRUPTED
