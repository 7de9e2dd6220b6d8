"""Ray: a local one sized to the machine, or the cluster that RAY_ADDRESS names; checked before it is used, and quiet."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import ConfigError, one_line
from studies.cluster_probe import FoundCluster
from studies.loopback import LOOPBACK, on_loopback
from studies.node_packages import check_packages, differing_packages
from studies.nodes import Node, check_writes, inspect_here, inspect_nodes, our_folders
from studies.process_groups import in_groups_of_their_own
from studies.remote_folder import RemoteFolder
from studies.remote_nodes import check_store_writes
from studies.spec import StudySpec

# Read by Ray when it is imported. The measured reasons: the default 2 s for a stopped trial's thread can hang a study with reused
# actors; snapshots of Tune's own state are not needed, since the ledger is the truth.
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


_QUIET: Final[Mapping[str, Any]] = {"logging_level": logging.CRITICAL, "log_to_driver": False}


def quiet_environment() -> None:
    """Settle what Ray reads from the environment; call before Ray is imported. What the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def local_node() -> Node:
    """This machine, as far as this process may use it."""
    import torch

    return Node(cpus=min(len(os.sched_getaffinity(0)), _container_cpus()), gpus=torch.cuda.device_count())


def _container_cpus() -> int:
    """Whole CPUs that a container's quota leaves, at least 1; no quota: as many as there may be."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return 1 << 20


def ray_address() -> str | None:
    """The cluster to use, or None for a local Ray."""
    address = os.environ.get("RAY_ADDRESS")
    return None if address in (None, "", "local") else address


def count_slots(spec: StudySpec, nodes: Sequence[Node], *, where: str) -> int:
    """Trials that can run at once.

    Raises:
        ConfigError: not even one fits; says what there is.
    """
    slots = sum(_fits(spec, node) for node in nodes)
    if slots:
        return slots
    cpus, gpus = (max((getattr(node, kind) for node in nodes), default=0) for kind in ("cpus", "gpus"))
    on_one = " on its largest node" if len(nodes) > 1 else ""
    raise ConfigError(
        f"A trial asks for {spec.cpus_per_trial:g} CPUs and {spec.gpus_per_trial:g} GPUs, but {where} has {cpus:g} CPUs and "
        f"{gpus:g} GPUs{on_one}. Lower cpus_per_trial or gpus_per_trial."
    )


def _fits(spec: StudySpec, node: Node) -> int:
    by_cpu = int(node.cpus / spec.cpus_per_trial + 1e-9)
    if not spec.gpus_per_trial:
        return by_cpu
    # A trial has its share of one GPU, or whole GPUs.
    share = spec.gpus_per_trial
    by_gpu = int(node.gpus) * int(1 / share + 1e-9) if share < 1 else int(node.gpus / share + 1e-9)
    return min(by_cpu, by_gpu)


def connect(
    found: FoundCluster | None, *, data_bytes: int, spec: StudySpec | None = None, tell: Callable[[str], object] = print
) -> list[Node]:
    """Start or join Ray; the nodes it has.

    Args:
        found: a cluster, or None to start Ray here.
        data_bytes: what will be put into the object store; a local store is sized for it.
        spec: of a study whose trials the nodes of a cluster must be able to run; they are asked. Code that one lacks is sent along.
        tell: is given a line for the user.

    Raises:
        ConfigError: the cluster cannot be joined, or one of its nodes could not run a trial.
    """
    quiet_environment()
    import ray

    for name in ("ray", "ray.tune", "ray.air", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if found is None:
        _start(data_bytes)
        return _nodes()
    _join(found, code=[])
    if spec is not None and (names := _without_our_code(spec, tell)):
        ray.shutdown()
        _join(found, code=[str(folder) for folder in our_folders()])
        tell(f"{_listed(names)} without this version of the code, so it is sent along.")
        if names := _without_our_code(spec, tell):
            raise ConfigError(
                f"{_listed(names)} with other code than this machine, although it was sent along. Install this version there."
            )
    return _nodes()


def check_nodes_write(folder: Path | RemoteFolder, spec: StudySpec, nodes: Sequence[Node]) -> None:
    """Refuse a results folder that not all nodes share; see `nodes.check_writes` and, of an object store, `remote_nodes`.

    Args:
        folder: absolute; need not exist.
        spec: of the study. Nodes without room for one of its trials need not write.
        nodes: of the cluster that was joined.

    Raises:
        ConfigError: names the nodes, and the way out.
        StorageError: this machine cannot write there.
    """
    if isinstance(folder, Path):
        check_writes(folder, _with_room(spec, nodes))
    else:
        check_store_writes(folder, _with_room(spec, nodes))


def _with_room(spec: StudySpec, nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if _fits(spec, node)]


def _without_our_code(spec: StudySpec, tell: Callable[[str], object]) -> list[str]:
    """Names of the nodes that have none of our code, or another version; all have been found able to run a trial otherwise."""
    here, there = inspect_here(), inspect_nodes(_with_room(spec, _nodes()))
    check_packages(here, there)
    names = [node.name for node, inspection in there.items() if inspection.code != here.code]
    if not names and (difference := differing_packages(here, there)):  # once: with names left, the nodes are asked again
        tell(difference)
    return names


def _listed(names: Sequence[str]) -> str:
    return f"Node {names[0]} is" if len(names) == 1 else f"{len(names)} nodes ({', '.join(names[:5])}{', …' * (len(names) > 5)}) are"


def _start(data_bytes: int) -> None:
    import ray

    store = max(128 << 20, 2 * data_bytes)
    cpus = int(local_node().cpus)
    with on_loopback(), in_groups_of_their_own():
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=store, _node_ip_address=LOOPBACK, **_QUIET)


def _join(found: FoundCluster, *, code: list[str]) -> None:
    import ray

    if found.needs_token:
        os.environ["RAY_AUTH_MODE"] = "token"
        ray._raylet.Config.initialize("")  # reads it again
    runtime_env: dict[str, Any] = {"env_vars": dict(_ENVIRONMENT), **({"py_modules": code} if code else {})}
    with on_loopback() if found.local else nullcontext():
        try:
            ray.init(address=found.address, runtime_env=runtime_env, **_QUIET)
        except Exception as error:
            raise ConfigError(
                f"The Ray cluster at {found.address} cannot be joined ({one_line(error, limit=160)}). Look after it, "
                "or unset RAY_ADDRESS to run on this machine."
            ) from error


def _nodes() -> list[Node]:
    import ray

    return [_node(row) for row in ray.nodes() if row["Alive"]]


def _node(row: Mapping[str, Any]) -> Node:
    name, address = row["NodeName"], row["NodeManagerAddress"]
    named = name if name != address else f"{row['NodeManagerHostname']} ({address})"
    return Node(row["Resources"].get("CPU", 0.0), row["Resources"].get("GPU", 0.0), row["NodeID"], named)


def disconnect() -> None:
    """Leave Ray; a local one ends."""
    import ray

    ray.shutdown()
