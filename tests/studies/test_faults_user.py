"""What a user's hands do to a study: Ctrl-C and SIGTERM at any moment, two studies of one name, two resumes of one run, files removed."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from studies.ledger import read_ledger
from studies.run_folder import RunFolder
from tests.studies._clusters import cluster
from tests.studies._command_line import main
from tests.studies._faults import (
    N_CONFIRM,
    N_SEARCH,
    NAME,
    Driver,
    check_finished,
    ledger_events,
    newest,
    undisturbed_run,
    write_study,
)
from tests.studies._played_runs import copy_run
from tests.studies._processes import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.faults]
SECONDS = 10  # from the signal to the end of the driver


class Interruption(NamedTuple):
    """A signal to a driver.

    Attributes:
        when: what the driver is doing.
        reached: whether it does, by the driver and the run.
        signal: that is sent.
        group: as a terminal does, to the driver's whole process group, Ray's processes among them; else to the driver alone.
        times: so often in a row.
    """

    when: str
    reached: Callable[[Driver, RunFolder | None, int], bool]
    signal: signal.Signals
    group: bool
    times: int = 1

    @property
    def code(self) -> int:
        """The exit code that must follow."""
        return {signal.SIGINT: 130, signal.SIGTERM: 143}[self.signal]


def trains(phase: str) -> Callable[[Driver, RunFolder | None, int], bool]:
    """Whether the driver has written an epoch of this phase."""

    def reached(driver: Driver, run: RunFolder | None, n_before: int) -> bool:
        return any(event["event"] == "epochs" and phase in event["trial_id"] for event in ledger_events(run)[n_before:])

    return reached


def prepares(driver: Driver, run: RunFolder | None, n_before: int) -> bool:
    """Whether data are about to be loaded."""
    return driver.uses("sklearn")


def starts_ray(driver: Driver, run: RunFolder | None, n_before: int) -> bool:
    """Whether Ray is half there."""
    return driver.has_started("raylet")


BEFORE_THE_STUDY = (
    Interruption("data are prepared", prepares, signal.SIGINT, group=True),
    Interruption("Ray starts", starts_ray, signal.SIGTERM, group=True),
)
IN_THE_STUDY = (
    Interruption("search", trains("symmetric"), signal.SIGINT, group=True),
    Interruption("Ray starts again", starts_ray, signal.SIGINT, group=False, times=2),
    Interruption("search", trains("symmetric"), signal.SIGTERM, group=True, times=2),
    Interruption("confirm", trains("confirm"), signal.SIGTERM, group=False),
    Interruption("confirm", trains("confirm"), signal.SIGINT, group=True, times=2),
)


def interrupted(interruption: Interruption, driver: Driver, results: Path) -> str:
    """The last line of a driver that is interrupted so."""
    n_before = len(ledger_events(newest(results)))

    def reached() -> bool:
        assert driver.process.poll() is None, driver.process.communicate()[0]
        return interruption.reached(driver, newest(results), n_before)

    wait_for(reached, seconds=600, what=interruption.when)
    code, screen, seconds = driver.end_by(interruption.signal, group=interruption.group, times=interruption.times)
    assert code == interruption.code, (interruption.when, screen)
    assert seconds < SECONDS, interruption.when
    assert "Traceback" not in screen, screen
    driver.wait_gone(seconds=30)  # a Ray whose agents are left looks for itself for a minute
    return screen.splitlines()[-1]


def test_a_study_interrupted_at_any_moment_says_how_to_go_on_and_goes_on(tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    begin = ("run", str(study), "--results", str(results))
    for interruption in BEFORE_THE_STUDY:
        assert interrupted(interruption, Driver(begin), results) == "Interrupted before the study began; nothing was written."
        assert not results.exists()
    arguments: tuple[str, ...] = begin
    for interruption in IN_THE_STUDY:
        last = interrupted(interruption, Driver(arguments), results)
        said, _, command = last.partition(": ")
        assert said == "Interrupted; finished trials are kept. Finish the run with"
        python, dash_m, studies, *rest = shlex.split(command)
        assert (Path(python).absolute(), dash_m, studies) == (Path(sys.executable), "-m", "studies")
        arguments = tuple(rest)
    code, screen = Driver(arguments).finish()
    assert code == 0, screen
    run = newest(results)
    assert run is not None
    check_finished(run)
    assert list(results.glob("*/2*")) == [run.path]


def refused(*arguments: str) -> str:
    """The one line with which a command is refused, at once."""
    driver = Driver(arguments)
    code, screen = driver.finish()
    assert code == 2, screen
    (line,) = screen.splitlines()
    return line


def test_two_studies_started_together_are_two_runs_and_a_run_at_work_is_left_alone(tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    with cluster(1, cpus=2) as there:
        both = [Driver(("run", str(study), "--results", str(results)), there.environment()) for _ in range(2)]

        def at_work() -> list[RunFolder]:
            for driver in both:
                assert driver.process.poll() is None, driver.process.communicate()[0]
            runs = [RunFolder(NAME, path) for path in results.glob(f"{NAME}/2*")]
            return runs if len(runs) == 2 and all(run.ledger.exists() for run in runs) else []

        runs = wait_for(at_work, seconds=600, what="both runs")
        latest = (results / NAME / "latest").resolve()
        assert latest in [run.path for run in runs]
        busy = "is still at work in another process; wait for it."
        assert busy in refused("resume", str(runs[0].path))
        assert busy in refused("resume", NAME, "--results", str(results))
        for driver in both:
            code, screen = driver.finish()
            assert code == 0, screen
    for run in runs:
        check_finished(run)
        assert run.provenance()["run_id"] == run.run_id


def test_a_running_study_can_be_looked_at_and_not_resumed(tmp_path: Path) -> None:
    study, results = write_study(tmp_path), tmp_path / "results"
    with cluster(1, cpus=2) as there:
        driver = Driver(("run", str(study), "--results", str(results)), there.environment())
        wait_for(lambda: any(event["event"] == "end" for event in ledger_events(newest(results))), seconds=600, what="a trial to end")
        named = (NAME, "--results", str(results))
        assert "no table" in refused("report", *named).lower()
        code, screen = Driver(("front", *named)).finish()
        assert code == 0, screen
        assert "finished trials" in screen
        for command in ("report", "verify"):  # of the trials that had ended by then
            code, screen = Driver((command, *named)).finish()
            assert (code, "Traceback" in screen) in {(0, False), (1, False)}, screen
        code, screen = driver.finish()
        assert code == 0, screen
    run = newest(results)
    assert run is not None
    check_finished(run)


@pytest.mark.parametrize(
    ("name", "text"),
    [("study.yaml", None), ("study.yaml", "question: [unfinished"), ("study.yaml", "methods: [no_such_method]"), ("study.yaml", "")],
)
def test_a_run_without_a_study_that_can_be_read_is_refused_in_one_line(
    name: str, text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(undisturbed_run(), tmp_path)
    (run.path / name).unlink()
    if text is not None:
        (run.path / name).write_text(text, encoding="utf-8")
    for command in ("resume", "front", "verify"):
        assert main(monkeypatch, command, str(run.path)) == 2
        printed, errors = capsys.readouterr()
        assert (printed, len(errors.splitlines())) == ("", 1)
        assert errors.startswith("error: ")


def test_a_run_without_its_ledger_has_nothing_to_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(undisturbed_run(), tmp_path)
    shutil.rmtree(run.tables)
    run.ledger.unlink()
    assert main(monkeypatch, "front", str(run.path)) == 2
    assert "No trial of" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_tables_and_provenance_are_made_again_as_far_as_they_can(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_run(undisturbed_run(), tmp_path)
    for path in (run.path / "provenance.json", run.tables / "trials.parquet", run.tables / "epochs.parquet", run.journal):
        path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:100])
    assert main(monkeypatch, "resume", str(run.path)) == 0
    assert "All trials of this run are finished; its tables are built again." in capsys.readouterr().out
    check_finished(run)
    phases = Counter(event["phase"] for event in read_ledger(run.ledger).events if event["event"] == "suggest")
    assert phases == {"search": N_SEARCH, "confirm": N_CONFIRM}
