"""What Ray 2.60 says of dead processes, each as recorded from a real death, and what of it the user is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from studies.tune import ArmsSearcher, DeathNotes, LedgerStopper, death_cause

KILLED = """The actor died unexpectedly before finishing this task.
	class_name: ImplicitFunc
	actor_id: ec8d501536350e1d3581b40801000000
	pid: 16557
	namespace: 11f3a7cb-9e89-4dca-8744-24784176539a
	ip: 127.0.0.1
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a \
connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage, \
(2) ray stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another unexpected error. If the process was \
killed by the kernel OOM killer (verifiable by checking for OOM in dmesg of the OOMing node), consider enabling resource isolation via \
--enable-resource-isolation to prevent node deaths by resource contention and significant loss of progress by uninformed kernel OOM killing.
"""
MEMORY_MONITOR = """1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 127.0.0.1, ID: fb2b309623ce90) \
was 3.49GB used / 23.54GB limit (0.148047)
OOM kill reason: Memory usage 3776823296B exceeded threshold of 3773781504B (14.9% of 25276502016B limit)
Ray killed 1 worker(s) based on the killing policy
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/en/latest/ray-observability/. Consider \
provisioning more memory on this node or reducing task parallelism by requesting more CPUs per task.
"""
NODE_GONE = """The actor 0a084af4f068f3a424680efa01000000 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: \
Socket closed rpc_code: 14. The task may or may not have been executed on the actor.
"""
NODE_DEAD = """The actor died unexpectedly before finishing this task.
	class_name: ImplicitFunc
	actor_id: fc304dc21f68d70cc0bdab1701000000
	pid: 32756
	namespace: 866582a3-c6ef-4871-bf37-6adc23c7369e
	ip: 192.0.2.2
The actor died because its node has died. Node Id: d1b42258417bbdecba4cbfc85e522391f18df5d78defc77789d8b3f0
	the actor's node was terminated unexpectedly: health check failed due to missing too many heartbeats
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (KILLED, "killed, or crashed"),
        (MEMORY_MONITOR, "its node ran out of memory"),
        (NODE_GONE, "its node cannot be reached"),
        (NODE_DEAD, "its node died"),
        ("", ""),
        ("Something\nnew", "Something new"),
    ],
)
def test_a_cause_is_a_few_words(text: str, cause: str) -> None:
    assert death_cause(text) == cause


class Heard:
    """In the driver's place."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def died(self, tune_id: str, cause: str, *, details: str) -> None:
        self.calls.append(("died", tune_id, cause, details))

    def complete(self, tune_id: str, *, died: bool) -> None:
        self.calls.append(("complete", tune_id, died))

    def receive(self, tune_id: str, message: str, kept: Any, *, sync: bool) -> bool:
        self.calls.append(("receive", tune_id, message, sync))
        return False


def test_of_a_trial_that_lost_several_processes_the_last_cause_counts(tmp_path: Path) -> None:
    error_file = tmp_path / "error.txt"
    error_file.write_text(f"Failure # 1 (occurred at 12:00)\n{MEMORY_MONITOR}\nFailure # 2 (occurred at 12:01)\n{KILLED}", encoding="utf-8")
    driver: Any = Heard()
    DeathNotes(driver).on_trial_error(None, SimpleNamespace(trial_id="t0", error_file=str(error_file)))
    ((_, tune_id, cause, details),) = driver.calls
    assert (tune_id, cause) == ("t0", "killed, or crashed")
    assert "worker process has died" in details
    assert "low on memory" not in details


@pytest.mark.parametrize("error_file", [None, "/nonexistent/error.txt"])
def test_a_death_without_words_has_no_cause(error_file: str | None) -> None:
    driver: Any = Heard()
    DeathNotes(driver).on_trial_error(None, SimpleNamespace(trial_id="t0", error_file=error_file))
    assert driver.calls == [("died", "t0", "", "")]


def test_a_trial_that_has_ended_is_not_held_any_more() -> None:
    """A handle would keep its process, and 5,000 trials would add up."""
    driver: Any = Heard()
    actors: dict[str, Any] = {}
    stopper, searcher = LedgerStopper(driver, actors), ArmsSearcher(driver, actors)
    assert not stopper("t0", {"events": "[]", "actor": "a handle", "sync": True})
    assert not stopper("t0", {"done": True})
    assert actors == {"t0": "a handle"}
    searcher.on_trial_complete("t0", error=True)
    assert actors == {}
    assert driver.calls == [("receive", "t0", "[]", True), ("complete", "t0", True)]
