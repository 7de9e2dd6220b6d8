"""A study whose driver is killed again and again, at random moments of all of its phases: nothing finished is lost or counted twice."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from studies.ledger import Event
from studies.run_folder import RunFolder
from tests.studies._clusters import cluster
from tests.studies._faults import (
    N_SEARCH,
    NAME,
    Driver,
    check_finished,
    check_tables_are_whole,
    in_evaluation,
    ledger_events,
    newest,
    write_study,
)
from tests.studies._processes import command_line, wait_for
from tests.studies._real_runs import environment

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@dataclass(frozen=True)
class Now:
    """How far a driver has come.

    Attributes:
        driver: that is at work.
        run: None while there is none.
        events: of the ledger.
        new: those that this driver wrote.
    """

    driver: Driver
    run: RunFolder | None
    events: Sequence[Event]
    new: Sequence[Event]

    def has(self, kind: str, phase: str = "") -> bool:
        """Whether this driver wrote such an event."""
        return any(event["event"] == kind and phase in event.get("trial_id", "") for event in self.new)

    @property
    def n_ended(self) -> int:
        """Trials."""
        return sum(event["event"] == "end" for event in self.events)

    @property
    def writes_tables(self) -> bool:
        """Whether there is one, or half of one."""
        return self.run is not None and any(self.run.tables.glob("*.parquet*"))


class Life(NamedTuple):
    """A driver from its start until it is killed.

    Attributes:
        until: what it has come to then.
        reached: whether it has.
        spread: seconds; it is killed up to so much later.
        own_ray: whether it starts Ray itself.
    """

    until: str
    reached: Callable[[Now], bool]
    spread: float
    own_ray: bool = False


LIVES = (
    Life("Ray starts", lambda now: now.driver.has_started("gcs_server"), 2.0, own_ray=True),
    Life("a trial is handed out", lambda now: now.has("suggest"), 1.0, own_ray=True),
    Life("search", lambda now: now.has("epochs"), 0.5, own_ray=True),
    Life("search", lambda now: now.has("epochs"), 0.5),
    Life("evaluation", lambda now: bool(in_evaluation(now.events)), 0.02),
    Life("a resume begins", lambda now: now.driver.uses("libtorch"), 2.0),
    Life("the choice", lambda now: now.n_ended >= N_SEARCH, 0.5),
    Life("confirm", lambda now: now.has("epochs", "confirm"), 0.3),
    Life("confirm", lambda now: now.has("end", "confirm"), 0.3),
    Life("tables", lambda now: now.writes_tables, 0.02),
)


def begin(study: Path, results: Path, settings: dict[str, str]) -> Driver:
    """A driver for the run that there is, or for a new one."""
    what = ("run", str(study)) if newest(results) is None else ("resume", NAME)
    return Driver((*what, "--results", str(results)), settings)


def live(life: Life, driver: Driver, results: Path, delay: float) -> None:
    """Until it is killed."""
    n_before = len(ledger_events(newest(results)))

    def reached() -> bool:
        assert driver.process.poll() is None, f"ended before {life.until}: {driver.process.communicate()[0]}"
        events = ledger_events(newest(results))
        return life.reached(Now(driver, newest(results), events, events[n_before:]))

    wait_for(reached, seconds=600, what=life.until)
    time.sleep(delay)
    screen = driver.kill()
    assert driver.process.returncode == -9, f"ended before it was killed: {screen}"


def damage(run: RunFolder) -> None:
    """What a crash of the whole machine can leave."""
    with run.ledger.open("ab") as file:
        file.write(b'{"event":"end","trial_id":"bsd-symm')
    state = max(run.ray.glob("*/experiment_state-*.json"), key=lambda path: path.stat().st_mtime)
    state.write_bytes(state.read_bytes()[:-100])


def test_a_driver_killed_ten_times_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"random moments of seed {seed}")
    rng = random.Random(seed)
    study, results = write_study(tmp_path), tmp_path / "results"
    drivers: list[Driver] = []
    was_in_evaluation = False
    with cluster(1, cpus=2) as there:
        for life in LIVES:
            drivers.append(begin(study, results, environment() if life.own_ray else there.environment()))
            live(life, drivers[-1], results, rng.uniform(0, life.spread))
            run = newest(results)
            if run is not None:
                check_tables_are_whole(run)
                was_in_evaluation |= bool(in_evaluation(ledger_events(run)))
        assert run is not None
        assert was_in_evaluation
        damage(run)
        last = begin(study, results, there.environment())
        code, screen = last.finish()
        assert code == 0, screen
        assert "A line in the ledger could not be read and left out; all others are used." in screen
        assert "Ray's own state experiment_state-" in screen
        wait_for(lambda: not trials_of(there.processes(0)), seconds=120, what="the trials' processes of all drivers to end")
    for driver in [*drivers, last]:
        driver.wait_gone()
    check_finished(run)
    notes = [event["text"] for event in ledger_events(run) if event["event"] == "note"]
    assert any("it goes on from its checkpoint, in epoch" in note for note in notes), notes
    assert list(results.glob("*/2*")) == [run.path]


def trials_of(pids: Sequence[int]) -> list[str]:
    """Those among some processes that are trials'; Ray names them after what they run."""
    return [line for line in map(command_line, pids) if line.startswith("ray::ImplicitFunc")]
