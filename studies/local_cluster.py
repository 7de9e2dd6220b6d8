"""A Ray cluster of several nodes on this machine, on the loopback interface alone: `python -m studies.local_cluster start | stop | status`.

Every node is a session of its own (in the sense of setsid), in which its raylet, its agents and the trials' processes all stay: what must
be stopped is known without looking for names, and other Rays on this machine are left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, NoReturn

from bsd_core.errors import BSDError, ConfigError, StorageError, one_line, printable, shown
from bsd_core.one_line_parser import OneLineParser
from bsd_core.whole_file import write_whole
from studies.commands import command
from studies.interrupts import INTERRUPTED, TERMINATED
from studies.loopback import LOOPBACK
from studies.memory import machine_memory
from studies.ray_node import JoinTimeoutError, StartingNode, start_node
from studies.ray_token import with_token
from studies.sessions import command_line, kill_sessions, members
from studies.uninterrupted import uninterrupted

_STORE_SHARE: Final = 0.3  # of the memory, for the object stores of all nodes together, as Ray takes for one


@dataclass(frozen=True)
class LocalCluster:
    """What was started.

    Attributes:
        address: host:port of the head.
        folder: of Ray's own temporary files; stands in the command lines of its processes.
        sessions: ids, the head's first.
    """

    address: str
    folder: str
    sessions: tuple[int, ...]


def default_state() -> Path:
    """The folder that remembers the cluster of this user.

    Raises:
        ConfigError: the user has no home.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(cache).expanduser() / "bsd-study" / "cluster"
    except RuntimeError as error:
        raise ConfigError(
            f"{shown(cache)} is nowhere ({one_line(error)}). Set XDG_CACHE_HOME to a folder that you can write to."
        ) from error


def running_cluster(state: Path | None = None) -> LocalCluster | None:
    """The cluster that was started and not stopped, if any of its nodes still lives."""
    try:
        record = json.loads(_record(state or default_state()).read_text(encoding="utf-8"))
        cluster = LocalCluster(str(record["address"]), str(record["folder"]), tuple(map(int, record["sessions"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cluster if any(_is_alive(cluster, session) for session in cluster.sessions) else None


def start_cluster(state: Path | None = None, *, n_nodes: int = 3, cpus: int = 1) -> LocalCluster:
    """Start a head and `n_nodes` - 1 further nodes, and wait until all are there.

    Args:
        state: folder that remembers what was started.
        n_nodes: with the head.
        cpus: of each; they are a number that Ray counts with, and may be more than there are.

    Raises:
        ConfigError: one runs or is being started already, a number is impossible, or Ray does not start.
        StorageError: there is no place for what must be remembered.
    """
    if n_nodes < 1 or cpus < 0:
        raise ConfigError(f"A cluster has at least 1 node, of at least 0 CPUs, but got {n_nodes} nodes of {cpus} CPUs.")
    state = state or default_state()
    with _alone(state):
        if (running := running_cluster(state)) is not None:
            raise ConfigError(
                f"A cluster of {_nodes(len(running.sessions))} runs already at {running.address}. Use it with RAY_ADDRESS=auto, "
                "or stop it first: make cluster-stop"
            )
        return _start(state, n_nodes, cpus)


@contextlib.contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Let no other process start a cluster that would be remembered in the same place."""
    with contextlib.ExitStack() as stack:
        try:
            state.mkdir(parents=True, exist_ok=True)
            door = stack.enter_context((state / "lock").open("w", encoding="utf-8"))
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("Another make cluster is starting one. Wait for it, or end it: make cluster-stop") from None
        except OSError as error:
            raise StorageError(
                f"A cluster cannot be remembered in {shown(state)} ({one_line(error, limit=120)}). Set XDG_CACHE_HOME to a folder that you "
                "can write to."
            ) from error
        yield


def _start(state: Path, n_nodes: int, cpus: int) -> LocalCluster:
    store = int(_STORE_SHARE * machine_memory() / n_nodes)
    environment = with_token(os.environ)
    cluster = LocalCluster(f"{LOOPBACK}:{_free_port()}", _new_folder(), ())
    nodes: dict[int, StartingNode] = {}

    def start(number: int) -> None:
        with uninterrupted():  # or there would be a node that nobody knows of
            nodes[number] = start_node(number, cluster.address, cluster.folder, cpus=cpus, store_bytes=store, environment=environment)
            _remember(state, replace(cluster, sessions=tuple(node.session for node in nodes.values())))

    def wait(number: int) -> None:
        try:
            nodes[number].wait()
        except JoinTimeoutError:  # Ray gives a node 30 s, which can be too little on a busy machine: once more
            nodes[number].end()
            start(number)
            nodes[number].wait()

    try:
        start(0)
        wait(0)
        for number in range(1, n_nodes):
            start(number)
        for number in range(1, n_nodes):
            wait(number)
    except BaseException:
        with uninterrupted():
            for node in nodes.values():
                node.end()
            _forget(state, cluster)
        raise
    return replace(cluster, sessions=tuple(node.session for node in nodes.values()))


def stop_cluster(state: Path | None = None) -> LocalCluster | None:
    """Stop the nodes that were started, and nothing else; what was stopped."""
    state = state or default_state()
    cluster = running_cluster(state)
    if cluster is not None:
        kill_nodes(cluster, *range(len(cluster.sessions)))
        _forget(state, cluster)
    return cluster


def kill_nodes(cluster: LocalCluster, *indices: int) -> None:
    """End all processes of these nodes at once, by SIGKILL; the head is number 0."""
    kill_sessions(session for session in map(cluster.sessions.__getitem__, indices) if _is_alive(cluster, session))


def _is_alive(cluster: LocalCluster, session: int) -> bool:
    """Whether the session is still this cluster's: an id may come back for processes of other people."""
    return any(cluster.folder in command_line(pid) for pid in members(session))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _new_folder() -> str:
    try:
        return tempfile.mkdtemp(prefix="bsd-ray-")
    except OSError as error:
        raise StorageError(f"Ray has no place for its temporary files ({one_line(error, limit=120)}). Set TMPDIR to a folder.") from error


def _record(state: Path) -> Path:
    return state / "cluster.json"


def _remember(state: Path, cluster: LocalCluster) -> None:
    write_whole(_record(state), lambda file: file.write(json.dumps(asdict(cluster)).encode()))


def _forget(state: Path, cluster: LocalCluster) -> None:
    """What is left counts for nothing: a record whose nodes are dead is none."""
    shutil.rmtree(cluster.folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        _record(state).unlink()


def _nodes(n: int) -> str:
    return "1 node" if n == 1 else f"{n} nodes"


def describe(cluster: LocalCluster | None) -> list[str]:
    """What to say of it, line by line."""
    if cluster is None:
        return ["No cluster runs. Start one: make cluster"]
    living = sum(_is_alive(cluster, session) for session in cluster.sessions)
    return [
        f"A Ray cluster runs on this machine at {cluster.address}: {living} of {_nodes(len(cluster.sessions))} alive.",
        "Use it:   make study STUDY=quick RAY_ADDRESS=auto",
        "Stop it:  make cluster-stop",
    ]


def main() -> None:
    """Run the command line; a problem is one line on standard error and exit code 2, Ctrl-C 130, SIGTERM 143."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        print("\n".join(_answer(sys.argv[1:])), flush=True)
    except BSDError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(TERMINATED if signal.SIGTERM in interrupt.args else INTERRUPTED)


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(number)


def _answer(arguments: Sequence[str]) -> list[str]:
    """What to say once it is done."""
    parser = OneLineParser(prog=command(module="studies.local_cluster"), description="A Ray cluster of several nodes on this machine.")
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("--nodes", type=int, default=3, help="with the head (default: 3)")
    parser.add_argument("--cpus", type=int, default=1, help="of each node, as Ray counts (default: 1)")
    chosen = parser.parse_args(arguments)
    if chosen.action == "stop":
        stopped = stop_cluster()
        return ["No cluster of make cluster runs."] if stopped is None else [f"Stopped {_nodes(len(stopped.sessions))}."]
    return describe(start_cluster(n_nodes=chosen.nodes, cpus=chosen.cpus) if chosen.action == "start" else running_cluster())


if __name__ == "__main__":
    main()
