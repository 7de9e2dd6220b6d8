from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from bsd_core.errors import ConfigError
from studies import cluster
from studies import run as run_module
from studies.cluster import connect, count_slots, local_node, quiet_environment, ray_address
from studies.cluster_probe import find_cluster
from studies.nodes import Node
from tests.studies._dummies import make_spec
from tests.studies._processes import command_line, descendants
from tests.studies._sockets import listening


def slots(nodes: list[Node], **changes: Any) -> int:
    return count_slots(make_spec(**changes), nodes, where="this machine")


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "expected"),
    [
        ([Node(2, 0)], 1, 0, 2),
        ([Node(2, 0)], 0.5, 0, 4),
        ([Node(2, 0)], 1.5, 0, 1),
        ([Node(1, 0)], 0.1, 0, 10),  # 1 / 0.1 is a little less than 10 on some machines
        ([Node(2, 0), Node(3, 0)], 2, 0, 2),  # a trial does not span nodes
        ([Node(1, 0), Node(8, 0)], 4, 0, 2),
        ([Node(8, 1)], 1, 1, 1),
        ([Node(8, 2)], 1, 0.5, 4),
        ([Node(8, 1)], 1, 0.3, 3),
        ([Node(8, 2)], 1, 0.6, 2),  # one trial on each: a share is of one GPU
        ([Node(8, 4)], 1, 2, 2),
        ([Node(3, 4)], 1, 0.25, 3),  # CPUs are what is short
        ([Node(8, 0), Node(2, 1)], 1, 1, 1),
    ],
)
def test_slots_are_what_fits_on_each_node(nodes: list[Node], cpus: float, gpus: float, expected: int) -> None:
    assert slots(nodes, cpus_per_trial=cpus, gpus_per_trial=gpus) == expected


@pytest.mark.parametrize(
    ("nodes", "changes", "message"),
    [
        ([Node(2, 0)], {"cpus_per_trial": 64}, r"A trial asks for 64 CPUs and 0 GPUs, but this machine has 2 CPUs and 0 GPUs"),
        ([Node(2, 0)], {"gpus_per_trial": 1}, r"A trial asks for 1 CPUs and 1 GPUs, but this machine has 2 CPUs and 0 GPUs"),
        ([Node(2, 0)], {"gpus_per_trial": 0.1}, r"A trial asks for 1 CPUs and 0\.1 GPUs"),
        ([Node(2, 1), Node(4, 0)], {"cpus_per_trial": 3, "gpus_per_trial": 1}, r"has 4 CPUs and 1 GPUs on its largest node"),
        ([], {}, r"has 0 CPUs and 0 GPUs\. Lower cpus_per_trial or gpus_per_trial\."),
    ],
)
def test_a_trial_that_fits_nowhere_is_refused_with_what_there_is(nodes: list[Node], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        slots(nodes, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["cpus_per_trial", "gpus_per_trial"])
@pytest.mark.parametrize("share", [1e-300, 5e-324])
def test_a_share_too_small_to_be_meant_is_refused(field: str, share: float) -> None:
    with pytest.raises(ConfigError, match=field):
        slots([Node(2, 1)], **{field: share})


def test_this_machine_has_the_processors_this_process_may_use() -> None:
    assert local_node().cpus == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("value", "address"), [(None, None), ("", None), ("local", None), ("auto", "auto"), ("host:6379", "host:6379")])
def test_the_address_is_that_of_the_environment(value: str | None, address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if value is not None:
        monkeypatch.setenv("RAY_ADDRESS", value)
    assert ray_address() == address


def test_what_the_user_has_set_for_ray_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_DEDUP_LOGS": "1"})
    quiet_environment()
    assert os.environ["RAY_DEDUP_LOGS"] == "1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1", "no-such-host.invalid:6379"])
def test_an_address_where_nothing_answers_is_refused_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"Nothing answers at RAY_ADDRESS='.*unset RAY_ADDRESS to run on this machine") as caught:
        find_cluster(ray_address() or "")
    assert time.monotonic() - started < 20
    assert repr(address) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_local_ray_is_sized_to_machine_and_data_and_opens_no_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    asked: dict[str, Any] = {}
    node = {"NodeName": "10.0.0.5", "NodeManagerAddress": "10.0.0.5", "NodeManagerHostname": "here", "NodeID": "ab"}
    rows = [node | {"Alive": True, "Resources": {"CPU": 3.0}}, node | {"Alive": False, "Resources": {"CPU": 9.0}}]
    monkeypatch.setattr(ray, "init", lambda **settings: asked.update(settings))
    monkeypatch.setattr(ray, "nodes", lambda: rows)
    assert connect(None, data_bytes=10**9) == [Node(3.0, 0.0, "ab", "here (10.0.0.5)")]
    assert (asked["address"], asked["include_dashboard"], asked["num_cpus"]) == ("local", False, int(cluster.local_node().cpus))
    assert asked["object_store_memory"] >= 2 * 10**9


_LOCAL_RAY = """
import sys
from studies.cluster_probe import find_cluster
from studies.cluster import connect
connect(None, data_bytes=1)
import ray
print(ray.get([ray.remote(lambda: 1).remote() for _ in range(2)]), ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_local_ray_listens_on_loopback_alone_and_is_nobody_elses() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen([sys.executable, "-c", _LOCAL_RAY], stdin=PIPE, stdout=PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        _, _, address = driver.stdout.readline().split()
        servers = listening([driver.pid, *descendants(driver.pid)])
        names = {command_line(pid).split()[0].rpartition("/")[2] for pid in servers.values()}
        beside = [pid for pid in descendants(driver.pid) if os.getpgid(pid) == os.getpgid(driver.pid)]
        private = subprocess.run([sys.executable, "-c", _IS_PRIVATE, address], capture_output=True, text=True, timeout=60, check=True)
        driver.communicate("", timeout=60)
    assert {host for host, _ in servers} == {"127.0.0.1"}
    assert driver.pid in servers.values()
    assert {"gcs_server", "raylet"} <= names
    assert any(name.startswith("ray::") for name in names)
    assert private.stdout == "True\n"
    assert beside == []  # else who ends the driver's group ends its Ray under it
    assert driver.returncode == 0


_IS_PRIVATE = """
import sys
from studies.cluster_probe import _ask
from studies.loopback import on_loopback
with on_loopback():
    print(_ask(sys.argv[1], "there")[1])
"""


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://head:10001"])
def test_a_wrong_address_is_told_before_any_data_are_loaded(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("data were loaded")

    monkeypatch.setattr(run_module, "prepare", load)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match="RAY_ADDRESS"):
        run_module.run_study("mine", make_spec(), tmp_path)
    assert list(tmp_path.iterdir()) == []
