"""One node of a Ray cluster on this machine: a real `ray start`, listening on loopback, as a session of processes of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from bsd_core.errors import ConfigError, one_line
from studies.loopback import LOOPBACK
from studies.sessions import kill_sessions

_START_SECONDS: Final = 90  # on a busy machine
_TOO_LATE: Final = "timed out during startup"  # what ray start says of a node that has not joined after 30 s


class JoinTimeoutError(ConfigError):
    """Ray gave up waiting for a node to join: where the machine is merely busy, it can succeed the next time."""


@dataclass(frozen=True)
class StartingNode:
    """A `ray start` at work."""

    number: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def session(self) -> int:
        """Of all processes of the node."""
        return self.process.pid

    def wait(self) -> None:
        """Return when the node has joined.

        Raises:
            JoinTimeoutError: it has not in the time that Ray gives it; what there is of it lives on until `end`.
            ConfigError: it has not for another reason; likewise.
        """
        try:
            code = self.process.wait(timeout=_START_SECONDS)
            what = f"ended with code {code}"
        except subprocess.TimeoutExpired:
            code, what = None, f"took more than {_START_SECONDS} s"
        if code == 0:
            self.log.close()
            return
        self.log.seek(0)
        said = [line for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
        last = one_line(ValueError(said[-1] if said else "it said nothing"), limit=200)
        kind = JoinTimeoutError if any(_TOO_LATE in line for line in said) else ConfigError
        raise kind(f"Node {self.number} did not start: ray start {what} ({last}).")

    def end(self) -> None:
        """End what there is of it."""
        kill_sessions([self.session])
        self.process.wait()
        self.log.close()


def start_node(
    number: int,
    address: str,
    folder: str,
    *,
    cpus: int,
    store_bytes: int = 128 << 20,
    environment: Mapping[str, str] | None = None,
    inside: Sequence[str] = (),
) -> StartingNode:
    """Begin to start a node.

    Args:
        number: its name; 0 is the head.
        address: host:port of the head.
        folder: for Ray's temporary files, which stands in the command lines of its processes, too.
        cpus: that Ray counts with.
        store_bytes: of its object store.
        environment: of its processes; this process's own unless given.
        inside: a command in front, which must become `ray start` by exec.

    Raises:
        ConfigError: the machine lets us start no process.
    """
    port = address.rpartition(":")[2]
    place = [f"--address={address}"] if number else ["--head", f"--port={port}", "--include-dashboard=false"]
    common = [
        f"--temp-dir={folder}/{number}",  # of its own: two that start at once would take the same names for their sockets
        f"--node-ip-address={LOOPBACK}",
        f"--node-name=node-{number}",
        f"--num-cpus={cpus}",
        f"--object-store-memory={max(store_bytes, 80 << 20)}",
        "--min-worker-port=0",  # any: the nodes share one machine's ports
        "--max-worker-port=0",
        "--disable-usage-stats",
    ]
    command = [sys.executable, "-m", "studies.loopback", "start", *place, *common]
    try:
        log = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            [*inside, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=None if environment is None else dict(environment),
        )
    except OSError as error:
        raise ConfigError(f"Node {number} did not start: {one_line(error, limit=200)}.") from error
    return StartingNode(number, process, log)
