from __future__ import annotations

import errno
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from bsd_core.errors import ConfigError, DataError
from studies.dashboard import LOOPBACK, dashboard_application, only_for_this_machine, open_server, run_journal
from studies.run_folder import RunFolder
from studies.search import StudySearch, export_journal
from tests.studies._command_line import main
from tests.studies._dummies import make_end, make_run, make_suggest, play
from tests.studies._sockets import listening

ARMS = ["cross_entropy/none", "bsd/none"]


def make_played(tmp_path: Path, *, n_ended: int = 4) -> RunFolder:
    """A run whose search has really suggested its trials, of which some ended."""
    run = make_run(tmp_path, methods=["cross_entropy", "bsd"])
    events = []
    for index, suggestion in enumerate(play(StudySearch(run.spec(), slots=1))):
        events.append(make_suggest(suggestion.arm.name, suggestion.number, params=suggestion.params, seed=suggestion.seed))
        if index < n_ended:
            events.append(make_end(suggestion.arm.name, suggestion.number, 0.9 - 0.1 * index, 0.1))
    run.ledger.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return run


def get(port: int, path: str, *, host: str | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection(LOOPBACK, port, timeout=20)
    headers = {"Accept-Encoding": "identity"} | ({} if host is None else {"Host": host})
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(application: Any, port: int) -> Iterator[int]:
    with open_server(application, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.filterwarnings("ignore")  # of what optuna-dashboard imports
def test_the_dashboard_shows_the_studies_and_changes_nothing(tmp_path: Path) -> None:
    run = make_played(tmp_path)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with served(only_for_this_machine(dashboard_application(run_journal(run))), a_free_port()) as port:
        status, page = get(port, "/dashboard")
        assert status == 200
        assert b"Optuna Dashboard" in page
        assert len(get(port, "/static/bundle.js")[1]) > 10_000
        studies = json.loads(get(port, "/api/studies")[1])["study_summaries"]
        assert [study["study_name"] for study in studies] == ARMS
        found = json.loads(get(port, f"/api/studies/{studies[1]['study_id']}")[1])
        assert [trial["state"] for trial in found["trials"]] == ["Complete", "Complete"]
        assert found["trials"][0]["values"] == [pytest.approx(0.8), 0.1]
        assert found["objective_names"] == ["val_accuracy", "val_ece"]
        connection = HTTPConnection(LOOPBACK, port, timeout=20)
        connection.request("DELETE", f"/api/studies/{studies[0]['study_id']}")
        assert connection.getresponse().status == 204
        connection.close()
        assert len(json.loads(get(port, "/api/studies")[1])["study_summaries"]) == 1
        with socket.create_connection((LOOPBACK, port)):  # says nothing, as browsers do
            assert get(port, "/dashboard")[0] == 200
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_requests_for_other_hosts_are_refused() -> None:
    def hello(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"hello"]

    with served(only_for_this_machine(hello), a_free_port()) as port:
        assert get(port, "/") == (200, b"hello")
        assert get(port, "/", host="localhost") == (200, b"hello")
        assert get(port, "/", host=f"evil.example:{port}")[0] == 403
        assert get(port, "/", host=f"{LOOPBACK}.evil.example")[0] == 403


def test_the_next_port_is_taken_where_one_is_not_free() -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with open_server(lambda environ, start: [], taken) as server:
            assert taken < server.server_port < taken + 50
            assert server.server_address[0] == LOOPBACK


def test_without_a_free_port_the_way_out_is_said() -> None:
    with socket.socket() as holder:
        try:
            holder.bind((LOOPBACK, 65535))
        except OSError:
            pytest.skip("port 65535 is taken")
        holder.listen()
        with pytest.raises(ConfigError, match=r"^Port 65535 is taken\. Give another PORT=number \(--port NUMBER\)"):
            open_server(lambda environ, start: [], 65535)


def test_ports_that_are_not_for_everyone_are_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("studies.dashboard.make_server", refuse)
    with pytest.raises(ConfigError, match=r"^Ports 80 to 129 are all taken or not for this user\. Give another PORT=number"):
        open_server(lambda environ, start: [], 80)


def test_that_another_port_is_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupt(server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("studies.dashboard._Server.serve_forever", interrupt)
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert main(monkeypatch, "dashboard", str(make_played(tmp_path).path), "--port", str(taken)) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first.startswith(f"Port {taken} cannot be had, so another is used.")
    assert f"http://{LOOPBACK}:{taken}" not in second


def test_a_running_study_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    storage = run_journal(make_played(tmp_path, n_ended=1)).storage()
    assert {study.study_name: storage.get_n_trials(study._study_id) for study in storage.get_all_studies()} == {ARMS[0]: 1, ARMS[1]: 0}


def test_without_a_ledger_the_export_is_shown(tmp_path: Path) -> None:
    run = make_played(tmp_path)
    search = StudySearch(run.spec(), slots=1)
    play(search)
    export_journal(search, run.journal)
    run.ledger.unlink()
    assert [study.study_name for study in run_journal(run).storage().get_all_studies()] == ARMS
    run.journal.write_text('{"op_code": 99}\nnonsense', encoding="utf-8")
    with pytest.raises(DataError, match="not a readable Optuna journal"):
        run_journal(run)
    run.journal.unlink()
    with pytest.raises(DataError, match=r"neither a ledger nor an optuna\.journal"):
        run_journal(run)


def test_of_a_run_in_which_nothing_ended_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_played(tmp_path, n_ended=0)
    assert main(monkeypatch, "dashboard", str(run.path)) == 2
    assert "has ended" in capfd.readouterr().err


@pytest.mark.slow
def test_the_command_listens_on_this_machine_alone_until_it_is_interrupted(tmp_path: Path) -> None:
    run, port = make_played(tmp_path), a_free_port()
    command = [sys.executable, "-m", "studies", "dashboard", str(run.path), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert f"http://{LOOPBACK}:{port}" in line
            assert {address for address, _ in listening([process.pid])} == {LOOPBACK}
            assert get(port, "/dashboard")[0] == 200
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()  # a test that fails must not wait for it
    assert time.monotonic() - began < 10
    assert process.returncode == 0
    assert "Traceback" not in errors
