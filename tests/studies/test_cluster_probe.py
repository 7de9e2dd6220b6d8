from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bsd_core.errors import ConfigError
from studies import cluster_probe
from studies.cluster_probe import FoundCluster, find_cluster
from studies.local_cluster import LocalCluster
from tests.studies._clusters import TOKEN, Cluster, cluster
from tests.studies._processes import alive, command_line, descendants, wait_for


@pytest.fixture(scope="module")
def one() -> Iterator[Cluster]:
    with cluster(n_nodes=1) as there:
        yield there


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://10.0.0.5:10001", r"is of Ray Client.*RAY_ADDRESS=10\.0\.0\.5:6379, or as a job"),
        ("http://127.0.0.1:8265", r"takes auto or host:port, but got 'http://"),
        ("127.0.0.1", r"takes auto or host:port, e\.g\. 10\.0\.0\.5:6379, but got '127\.0\.0\.1'"),
        ("127.0.0.1:99999", r"takes auto or host:port"),
        ("host:port", r"takes auto or host:port"),
        ("me:secret@host:6379", r"takes auto or host:port, without a user; after the @ stands 'host:6379'"),
        ("a b:6379\n", r"takes auto or host:port.*'a b:6379\\n'"),
    ],
)
def test_an_address_of_another_form_is_refused_with_the_way_out(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        find_cluster(address)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.faults
def test_something_that_listens_but_is_no_ray_is_refused_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(ConfigError, match=r"did not answer as a Ray cluster does within 15 s\. If something else .* port of the head"):
            find_cluster(f"127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - started < 20


_ASK = "import sys; from studies.cluster_probe import find_cluster; find_cluster(sys.argv[1])"


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_who_asks_can_be_ended_and_leaves_nobody_asking(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with subprocess.Popen([sys.executable, "-c", _ASK, address], stderr=subprocess.DEVNULL) as parent:
            (child,) = wait_for(lambda: [pid for pid in descendants(parent.pid) if address in command_line(pid)], what="the question")
            server.accept()[0].close()  # it has come so far as to ask
            parent.send_signal(number)
        wait_for(lambda: not alive([child]), seconds=1 if number == signal.SIGINT else 25, what="its end")


def test_a_host_that_drops_packets_is_refused_in_time() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # the queue is full: the kernel drops what comes
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        started = time.monotonic()
        with pytest.raises(ConfigError, match=r"Nothing answers at .*timed out"):
            find_cluster(f"127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - started < 20


def test_auto_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    monkeypatch.setattr(services, "find_gcs_addresses", set)
    monkeypatch.setattr(cluster_probe, "running_cluster", lambda: None)
    with pytest.raises(ConfigError, match=r"'auto' asks for a cluster of this machine, but none runs\. Start one \(make cluster"):
        cluster_probe._search("auto")


def test_auto_is_ours_or_the_only_one_that_is_not_private(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    def ask(address: str, where: str) -> tuple[FoundCluster, bool]:
        if address == "10.0.0.9:1":
            raise ConfigError("refused")
        return FoundCluster(address, 1, False), address == "10.0.0.2:1"

    there = {"10.0.0.1:1", "10.0.0.2:1", "10.0.0.9:1"}
    monkeypatch.setattr(cluster_probe, "_ask", ask)
    monkeypatch.setattr(cluster_probe, "running_cluster", lambda: None)
    monkeypatch.setattr(services, "find_gcs_addresses", lambda: there)
    assert cluster_probe._search("auto").address == "10.0.0.1:1"
    there.add("10.0.0.3:1")
    with pytest.raises(ConfigError, match=r"in 2 Ray clusters, 10\.0\.0\.1:1, 10\.0\.0\.3:1, so RAY_ADDRESS='auto' is not clear"):
        cluster_probe._search("auto")
    monkeypatch.setattr(cluster_probe, "running_cluster", lambda: LocalCluster("10.0.0.4:1", "/nowhere", ()))
    assert cluster_probe._search("auto").address == "10.0.0.4:1"
    there -= {"10.0.0.1:1", "10.0.0.3:1"}
    monkeypatch.setattr(cluster_probe, "running_cluster", lambda: None)
    with pytest.raises(ConfigError, match=r"^refused$"):
        cluster_probe._search("auto")


@pytest.mark.slow
@pytest.mark.faults
def test_a_cluster_is_found_by_who_has_its_token(one: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert find_cluster(one.address) == FoundCluster(one.address, 1, needs_token=True)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    with pytest.raises(
        ConfigError, match=r"asks for its token, but the one here is another\. Copy the head's ~/\.ray/auth_token"
    ) as caught:
        find_cluster(one.address)
    assert "f" * 8 not in str(caught.value)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ConfigError, match="asks for its token, but RAY_AUTH_MODE=disabled keeps it back"):
        find_cluster(one.address)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    for mode in ("token", ""):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        with pytest.raises(ConfigError, match="asks for its token, but there is none here"):
            find_cluster(one.address)


_OUTSIDE = """
import sys
from ray._private import services
services.find_node_ids = set
from studies.cluster_probe import _main
_main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.faults
def test_a_machine_outside_the_cluster_is_told_where_to_start(one: Cluster) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _OUTSIDE, one.address], env=one.environment(), capture_output=True, text=True, check=True
    )
    assert "This machine is no node of the cluster at RAY_ADDRESS=" in answer.stdout
    assert f"ray start --address={one.address}" in answer.stdout


_ANOTHER_VERSION = """
import json, sys
from ray._raylet import GcsClient
metadata = {"ray_version": "2.55.0", "python_version": "3.12.1", "ray_init_cluster": False}
GcsClient(address=sys.argv[1]).internal_kv_put(b"CLUSTER_METADATA", json.dumps(metadata).encode(), True, namespace=b"cluster")
"""


@pytest.mark.slow
@pytest.mark.faults
def test_a_cluster_of_other_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(n_nodes=1) as other:
        environment = other.environment(RAY_AUTH_MODE="token")
        subprocess.run([sys.executable, "-c", _ANOTHER_VERSION, other.address], env=environment, timeout=60, check=True)
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        with pytest.raises(ConfigError, match=r"runs Ray 2\.55\.0 on Python 3\.12\.1, this machine Ray .*Use the same versions"):
            find_cluster(other.address)
