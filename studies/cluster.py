"""Ray: a local one sized to the machine, or the cluster that RAY_ADDRESS names; checked before it is used, and quiet."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bsd_core.errors import ConfigError, one_line
from studies.spec import StudySpec

# Read by Ray when it is imported. The measured reasons: the default 2 s for a stopped trial's thread can hang a study with reused
# actors; snapshots of Tune's own state are not needed, since the ledger is the truth.
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Node:
    """One machine's resources."""

    cpus: float
    gpus: float


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
    return os.environ.get("RAY_ADDRESS") or None


def count_slots(spec: StudySpec, nodes: list[Node], *, where: str) -> int:
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


def connect(address: str | None, *, data_bytes: int) -> list[Node]:
    """Start or join Ray; the nodes it has.

    Args:
        address: of a cluster, "auto", or None to start Ray here.
        data_bytes: what will be put into the object store; a local store is sized for it.

    Raises:
        ConfigError: the cluster does not answer.
    """
    quiet_environment()
    import ray

    for name in ("ray", "ray.tune", "ray.air", "ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    common: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address is None:
        store = max(128 << 20, 2 * data_bytes)
        ray.init(address="local", num_cpus=int(local_node().cpus), include_dashboard=False, object_store_memory=store, **common)
    else:
        _check_answers(address)
        try:
            ray.init(address=address, runtime_env={"env_vars": dict(_ENVIRONMENT)}, **common)
        except Exception as error:
            raise ConfigError(
                f"No Ray cluster answers at RAY_ADDRESS={address!r} ({one_line(error, limit=120)}). Start one (ray start --head), "
                "or unset RAY_ADDRESS to run on this machine."
            ) from error
    return [Node(node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)) for node in ray.nodes() if node.get("Alive")]


def _check_answers(address: str) -> None:
    """Refuse a host:port where nothing listens, at once; Ray itself would wait for long."""
    match = re.fullmatch(r"(?:ray://)?(\[[^\]]+\]|[^:/]+):(\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=5).close()
    except OSError as error:
        raise ConfigError(
            f"Nothing answers at RAY_ADDRESS={address!r} ({one_line(error, limit=80)}). Start the cluster, correct the address, "
            "or unset RAY_ADDRESS to run on this machine."
        ) from error


def disconnect() -> None:
    """Leave Ray; a local one ends."""
    import ray

    ray.shutdown()
