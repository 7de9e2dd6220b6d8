from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import studies
from bsd_core.errors import ConfigError
from studies import local_cluster
from studies.ledger import read_ledger
from studies.local_cluster import LocalCluster, default_state, describe, running_cluster, start_cluster, stop_cluster
from studies.ray_node import StartingNode
from studies.sessions import members
from tests.studies._dummies import write_study
from tests.studies._processes import descendants, wait_for
from tests.studies._real_runs import call, command
from tests.studies._sockets import listening

ROOT = Path(__file__).parents[2]


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user without a token, whose cluster is stopped whatever happens."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path
    stop_cluster()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`make ...` with the environment of the tests."""
    ours = ["make", "--no-print-directory", "--old-file=.venv/.ready", *arguments, f"RUN={sys.executable}"]
    return subprocess.run(ours, capture_output=True, text=True, timeout=300, cwd=ROOT, check=False)


@pytest.mark.slow
@pytest.mark.faults
def test_a_study_uses_the_nodes_of_make_cluster_and_nothing_of_it_stays(at_home: Path, tmp_path: Path) -> None:
    started = make("cluster")
    assert started.returncode == 0, started.stderr
    cluster = running_cluster()
    assert cluster is not None
    assert started.stdout.splitlines() == describe(cluster)
    assert started.stdout.startswith(f"A Ray cluster runs on this machine at {cluster.address}: 3 of 3 nodes alive.")
    token = at_home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o077 == 0

    again = make("cluster")
    assert again.returncode != 0
    assert f"error: A cluster of 3 nodes runs already at {cluster.address}. Use it with RAY_ADDRESS=auto, or stop it first" in again.stderr

    study = write_study(tmp_path, methods=["cross_entropy"], trials=8)
    settings = {**os.environ, "RAY_ADDRESS": "auto"}
    run = command("run", str(study), "--results", str(tmp_path / "results"))
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=settings) as driver:
        seen: dict[int, set[int]] = {session: set() for session in cluster.sessions}
        servers: dict[tuple[str, int], int] = {}
        while driver.poll() is None:
            for session, pids in seen.items():
                pids |= set(members(session))
            servers |= listening([driver.pid, *descendants(driver.pid), *members(*cluster.sessions)])
            time.sleep(0.1)
        assert driver.stdout is not None
        screen = driver.stdout.read()
    assert driver.returncode == 0, screen
    assert "sent along" not in screen
    assert {host for host, _ in servers} == {"127.0.0.1"}
    result = studies.load("mine", results=tmp_path / "results")
    assert result.trials.column("state").to_pylist() == ["complete"] * 8
    workers = {event["pid"] for event in read_ledger(result.path / "ledger.jsonl").events if event["event"] == "end"}
    assert sum(bool(workers & pids) for pids in seen.values()) >= 2
    assert workers <= set().union(*seen.values())

    stopped = make("cluster-stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped 3 nodes.\n")
    assert members(*cluster.sessions) == []
    assert not Path(cluster.folder).exists()
    assert running_cluster() is None
    assert make("cluster-stop").stdout == "No cluster of make cluster runs.\n"


@pytest.mark.slow
@pytest.mark.faults
def test_what_did_not_start_whole_is_ended_and_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # and there is none
    monkeypatch.setenv("HOME", str(tmp_path))
    taken: list[tuple[int, ...]] = []
    remember = local_cluster._remember

    def and_look(state: Path, cluster: LocalCluster) -> None:
        taken.append(cluster.sessions)
        remember(state, cluster)

    monkeypatch.setattr(local_cluster, "_remember", and_look)
    with pytest.raises(ConfigError, match=r"Node 0 did not start: ray start ended with code \S+ \(.+\)\.$") as caught:
        start_cluster(tmp_path, n_nodes=1)
    assert "\n" not in str(caught.value)
    assert members(*taken[-1]) == []
    assert running_cluster(tmp_path) is None


def test_only_a_node_that_did_not_join_in_time_is_started_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def start_node(number: int, *_: object, **__: object) -> StartingNode:
        begun.append(number)
        said = "raise Exception('The current node timed out during startup.')" if begun.count(number) == 1 and number < 2 else "0/0"
        log = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen([sys.executable, "-c", said if number else said.replace("0/0", "")], stderr=log, start_new_session=True)
        return StartingNode(number, process, log)

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(local_cluster, "start_node", start_node)
    with pytest.raises(ConfigError, match=r"^Node 1 did not start: ray start ended with code 1 \(ZeroDivisionError: division by zero\)\.$"):
        start_cluster(tmp_path, n_nodes=3)
    assert begun == [0, 0, 1, 2, 1]
    assert running_cluster(tmp_path) is None


def begin(**environment: str) -> subprocess.Popen[str]:
    """`python -m studies.local_cluster start` at work."""
    ours = [sys.executable, "-m", "studies.local_cluster", "start", "--nodes=1"]
    return subprocess.Popen(ours, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_while_a_cluster_starts_leaves_nothing(number: signal.Signals, code: int, at_home: Path) -> None:
    record = default_state() / "cluster.json"
    with begin() as starting:
        wait_for(record.exists, what="a first node")
        content = json.loads(record.read_text(encoding="utf-8"))
        with begin() as second:
            refused = second.communicate(timeout=60)
        starting.send_signal(number)
        said = starting.communicate(timeout=60)
    assert refused == ("", "error: Another make cluster is starting one. Wait for it, or end it: make cluster-stop\n")
    assert second.returncode == 2
    assert said == ("", "Interrupted.\n")
    assert starting.returncode == code
    assert members(*content["sessions"]) == []
    assert not Path(content["folder"]).exists()
    assert not record.exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"XDG_CACHE_HOME": "/proc/nope"}, r"A cluster cannot be remembered in '/proc/nope/bsd-study/cluster' .*\. Set XDG_CACHE_HOME to"),
        ({"XDG_CACHE_HOME": "/dev/null"}, r"A cluster cannot be remembered in '/dev/null/bsd-study/cluster' .*\. Set XDG_CACHE_HOME to"),
        ({"XDG_CACHE_HOME": "~nobody-at-all/x"}, r"'~nobody-at-all/x' is nowhere .*\. Set XDG_CACHE_HOME to"),
        (
            {"HOME": "/proc/nope"},
            r"Ray's token cannot be made in ~/\.ray .*\. Let HOME be a folder that you can write to, or set RAY_AUTH_TOK",
        ),
    ],
)
def test_a_place_that_cannot_be_written_is_one_line(environment: dict[str, str], message: str, at_home: Path) -> None:
    with begin(**{"XDG_CACHE_HOME": str(at_home / "cache"), **environment}) as starting:
        said = starting.communicate(timeout=60)
    assert (starting.returncode, said[0], said[1].count("\n")) == (2, "", 1)
    assert re.match(f"error: {message}", said[1])


@pytest.mark.parametrize("action", ["stop", "status"])
def test_a_cache_that_is_none_remembers_no_cluster(action: str) -> None:
    ours = [sys.executable, "-m", "studies.local_cluster", action]
    done = subprocess.run(ours, env={**os.environ, "XDG_CACHE_HOME": "/dev/null"}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No cluster ")


def test_the_object_stores_together_take_their_share_of_what_memory_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def start_node(*_: object, store_bytes: int, **__: object) -> StartingNode:
        asked.append(store_bytes)
        raise ConfigError("enough")

    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(local_cluster, "start_node", start_node)
    monkeypatch.setattr(local_cluster, "machine_memory", lambda: 20 << 30)  # of a container
    with pytest.raises(ConfigError, match=r"^enough$"):
        start_cluster(tmp_path, n_nodes=3)
    assert asked == [2 << 30]


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"address": 1, "folder": "x", "sessions": ["a"]}'])
def test_a_broken_record_is_none(record: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(record, encoding="utf-8")
    assert running_cluster(tmp_path) is None


def test_processes_that_only_have_an_old_id_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        record = {"address": "127.0.0.1:1", "folder": str(tmp_path / "gone"), "sessions": [stranger.pid]}
        (tmp_path / "cluster.json").write_text(json.dumps(record), encoding="utf-8")
        assert running_cluster(tmp_path) is None
        assert stop_cluster(tmp_path) is None
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("numbers", [(0, 1), (-1, 1), (1, -1)])
def test_impossible_numbers_are_refused(numbers: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A cluster has at least 1 node, of at least 0 CPUs, but got"):
        start_cluster(tmp_path, n_nodes=numbers[0], cpus=numbers[1])


@pytest.mark.parametrize("arguments", [["begin"], [], ["start", "--nodes", "three"], ["start", "--speed", "9"]])
def test_a_wrong_command_line_is_one_line(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "studies.local_cluster", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")


def test_the_record_lies_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_state() == tmp_path / "bsd-study" / "cluster"


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "aws-secret-71f0c2d9",
    "AWS_SESSION_TOKEN": "aws-session-52b8aa31",
    "HF_TOKEN": "hf_secret-90ab12cd",
    "WANDB_API_KEY": "wandb-secret-4411ee",
    "RAY_AUTH_TOKEN": "5ec12e7" * 8,
}


@pytest.mark.slow
@pytest.mark.faults
def test_secrets_of_the_environment_reach_neither_files_nor_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    study = write_study(tmp_path, methods=["cross_entropy"], trials=1)
    done = call("run", str(study), "--results", str(tmp_path / "results"))
    broken = call("run", str(study), "epochs=0", "--results", str(tmp_path / "results"))
    assert (done.returncode, broken.returncode) == (0, 2)
    printed = done.stdout + done.stderr + broken.stderr
    files = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert any(path.name == "run.log" for path in files)
    for value in SECRETS.values():
        assert value not in printed
        assert [path for path, content in files.items() if value.encode() in content] == []
