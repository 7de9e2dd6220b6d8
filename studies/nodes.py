"""What every node of a cluster is asked before a study starts there: has it our code, the packages, and a way to write results?

The questions travel by value, so that a node without our code can answer; hence each is a function that imports what it needs itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from bsd_core.errors import ConfigError, StorageError, one_line, shown

T = TypeVar("T")

ANSWER_SECONDS: Final = 60  # a node may have to start a process first
_SEEN_SECONDS: Final = 10  # until a file that a node has written is seen here; a network file system may take a while
OUR_PACKAGES: Final = ("bsd_core", "search_spaces", "studies")
# What a trial imports, and the distribution that has it.
PACKAGES: Final[Mapping[str, str]] = {
    "PIL": "pillow",
    "numpy": "numpy",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torchvision": "torchvision",
}


@dataclass(frozen=True)
class Node:
    """One machine's resources.

    Attributes:
        cpus, gpus: that Ray counts with.
        node_id: Ray's, as hexadecimal digits; empty where it is this machine.
        name: for messages.
    """

    cpus: float
    gpus: float
    node_id: str = ""
    name: str = "this machine"


@dataclass(frozen=True)
class Inspection:
    """What a node says of itself.

    Attributes:
        code: fingerprint of our packages there; None if one is missing.
        versions: of PACKAGES; None if it is missing.
    """

    code: str | None
    versions: Mapping[str, str | None]


def ask(nodes: Sequence[Node], question: Callable[..., T], *arguments: object) -> dict[Node, T]:
    """What `question(*arguments)` gives on each node.

    Args:
        nodes: each has its own process for the answer; none of its CPUs is needed for it, so a busy node answers, too.
        question: a function of this module, sent with everything that it refers to.
        arguments: plain values.

    Raises:
        ConfigError: a node cannot answer, or not within a minute.
    """
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    this_module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(this_module)
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(question)
        answers = {node: task.options(scheduling_strategy=On(node.node_id, soft=False)).remote(*arguments) for node in nodes}
    finally:
        cloudpickle.unregister_pickle_by_value(this_module)
    _, late = ray.wait(list(answers.values()), num_returns=len(answers), timeout=ANSWER_SECONDS) if answers else ([], [])
    for node, answer in answers.items():
        if answer in late:
            raise ConfigError(f"Node {node.name} did not answer within {ANSWER_SECONDS} s. Look after it, or take it out of the cluster.")
    return {node: _answer(node, answer) for node, answer in answers.items()}


def _answer(node: Node, reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        reason = one_line(ValueError(last), limit=200)
        raise ConfigError(
            f"Node {node.name} cannot run what it is sent ({reason}). Look after it, or take it out of the cluster."
        ) from error


def inspect_nodes(nodes: Sequence[Node]) -> dict[Node, Inspection]:
    """What each of `nodes` has.

    Raises:
        ConfigError: one does not answer.
    """
    answers = ask(nodes, _inspect, OUR_PACKAGES, dict(PACKAGES))
    return {node: Inspection(*answer) for node, answer in answers.items()}


def inspect_here() -> Inspection:
    """What this process has."""
    return Inspection(*_inspect(OUR_PACKAGES, dict(PACKAGES)))


def our_folders() -> list[Path]:
    """Where our packages lie on this machine."""
    return [Path(__file__).parents[1] / name for name in OUR_PACKAGES]


def _inspect(ours: tuple[str, ...], packages: dict[str, str]) -> tuple[str | None, dict[str, str | None]]:
    import hashlib
    from importlib import metadata
    from importlib.util import find_spec
    from pathlib import Path

    def version(name: str, distribution: str) -> str | None:
        if find_spec(name) is None:
            return None
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            return "unknown"

    code: str | None = None
    found = [find_spec(name) for name in ours]
    folders = [Path(spec.origin).parent for spec in found if spec is not None and spec.origin is not None]
    if len(folders) == len(ours):
        digest = hashlib.sha256()
        for folder in folders:
            for file in sorted(folder.rglob("*.py")):
                digest.update(f"{folder.name}/{file.relative_to(folder).as_posix()}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        code = digest.hexdigest()
    return code, {name: version(name, distribution) for name, distribution in packages.items()}


def check_writes(folder: Path, nodes: Sequence[Node]) -> None:
    """Let every node write a file into `folder`, and look for it here.

    A folder of the same name that each node has for itself does not pass: a node must see this machine's file, and this machine a node's.
    Nothing of it stays.

    Raises:
        ConfigError: not all nodes write to the same folder; names them and the way out.
        StorageError: this machine cannot write there.
    """
    probe = folder / f".probe-{uuid.uuid4().hex[:12]}"
    made = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        with _written_here(folder):
            probe.mkdir(parents=True)
            (probe / "driver").write_text(probe.name, encoding="utf-8")
        problems = ask(nodes, _write_file, str(probe))
        deadline = time.monotonic() + _SEEN_SECONDS
        waited_for = {node for node, problem in problems.items() if problem is None}
        with _written_here(folder):
            while (missing := {node for node in waited_for if node.node_id not in os.listdir(probe)}) and time.monotonic() < deadline:
                time.sleep(0.1)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
        for path in made:  # innermost first
            _remove_empty(path)
    problems |= dict.fromkeys(missing, UNSEEN)
    refuse_nodes(folder, problems, "Choose a folder that all nodes share (RESULTS=folder), RESULTS=s3://bucket/folder,")


UNSEEN: Final = "what it writes there does not arrive here"


def refuse_nodes(folder: object, problems: Mapping[Node, str | None], way_out: str) -> None:
    """Refuse a place for checkpoints that not all nodes can write to.

    Args:
        folder: the place, as it is shown.
        problems: of each node that was asked; None, or nothing, where there is none.
        way_out: what to do, up to the alternative of having no checkpoints.

    Raises:
        ConfigError: a node has one.
    """
    bad = {node: problem for node, problem in problems.items() if problem}
    if bad:
        node, problem = next(iter(bad.items()))
        others = f", and likewise {', '.join(other.name for other in bad if other != node)}" if len(bad) > 1 else ""
        raise ConfigError(
            f"Node {node.name} cannot write checkpoints to {folder}: {problem}{others}. {way_out} or do without checkpoints "
            "(SET=checkpoint_seconds=none)."
        )


@contextlib.contextmanager
def _written_here(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{shown(folder)}: results cannot be written there ({one_line(error, limit=120)}). Choose another folder (RESULTS=folder)."
        ) from error


def _write_file(probe: str) -> str | None:
    from pathlib import Path

    import ray

    folder = Path(probe)
    try:
        if not (folder / "driver").exists() or (folder / "driver").read_text(encoding="utf-8") != folder.name:
            return "it is not the same folder there"
        (folder / ray.get_runtime_context().get_node_id()).write_text("", encoding="utf-8")
    except OSError as error:
        return " ".join(str(error).split())
    return None


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
