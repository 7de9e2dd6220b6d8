from __future__ import annotations

import os
import time
from typing import Any

import pytest

from bsd_core.errors import ConfigError
from studies import cluster
from studies.cluster import Node, connect, count_slots, local_node, quiet_environment, ray_address
from tests.studies._dummies import make_spec


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


@pytest.mark.parametrize(("value", "address"), [(None, None), ("", None), ("auto", "auto"), ("host:6379", "host:6379")])
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


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "localhost:1", "[::1]:1", "no-such-host.invalid:6379"])
def test_an_address_where_nothing_answers_is_refused_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=r"Nothing answers at RAY_ADDRESS='.*unset RAY_ADDRESS to run on this machine") as caught:
        connect(ray_address(), data_bytes=1)
    assert time.monotonic() - started < 20
    assert repr(address) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_that_ray_cannot_use_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**settings: Any) -> None:
        raise ConnectionError("first line\nsecond line")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConfigError, match=r"No Ray cluster answers at RAY_ADDRESS='auto' \(first line second line\)"):
        connect("auto", data_bytes=1)


def test_a_local_ray_is_sized_to_machine_and_data_and_opens_no_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    asked: dict[str, Any] = {}
    monkeypatch.setattr(ray, "init", lambda **settings: asked.update(settings))
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 3.0}}, {"Alive": False, "Resources": {"CPU": 9.0}}])
    assert connect(None, data_bytes=10**9) == [Node(3.0, 0.0)]
    assert (asked["address"], asked["include_dashboard"], asked["num_cpus"]) == ("local", False, int(cluster.local_node().cpus))
    assert asked["object_store_memory"] >= 2 * 10**9
