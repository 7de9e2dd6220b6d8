from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bsd_core.errors import ConfigError, StorageError
from studies.commands import command
from studies.remote_folder import RemoteFolder
from studies.report.status import render_status
from studies.run_folder import RunFolder, create_run
from studies.run_names import results_root
from studies.status import RunStatus, collect_status
from tests.studies._command_line import main
from tests.studies._dummies import make_choice, make_confirmation, make_events, make_run, make_spec, make_suggest, render
from tests.studies._leases import elsewhere, leave_behind, read_only
from tests.studies._s3 import Store

ALL = [("cross_entropy/none", 0, 0.7, 0.2), ("cross_entropy/none", 1, 0.8, 0.1), ("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.05)]
NOW = datetime(2025, 1, 5, tzinfo=UTC)


def dated(run: RunFolder, day: int) -> RunFolder:
    """The same, begun on that day of January 2025."""
    path = run.path.with_name(f"202501{day:02d}T000000Z-abc123")
    run.path.rename(path)
    return RunFolder(run.study, path)


def words(runs: list[RunStatus]) -> list[list[str]]:
    lines = render(render_status(runs, now=NOW))
    assert max(map(len, lines)) <= 80
    return [line.split() for line in lines[2 : 2 + len(runs)]]


def test_runs_are_listed_newest_first_with_their_states(tmp_path: Path) -> None:
    dated(make_run(tmp_path, make_events(*ALL), study="done"), 1)
    dated(make_run(tmp_path, make_events(*ALL[:3]), study="half"), 2)
    dated(make_run(tmp_path, make_events(*ALL[:2], ("bsd/none", 0, None, 0.0), ("bsd/none", 1, None, 0.0)), study="user/lost"), 3)
    working = dated(make_run(tmp_path, make_events(*ALL[:3]), study="working"), 4)
    (working.path / "provenance.json").write_text(json.dumps({"slots": 2}), encoding="utf-8")
    with working.lock():
        runs = collect_status(tmp_path)
    assert [(run.study, run.state) for run in runs] == [
        ("working", "running"),
        ("user/lost", "failed"),
        ("half", "interrupted"),
        ("done", "finished"),
    ]
    assert words(runs) == [
        ["working", "20250104T000000Z-abc123", "running", "3/4", "-", "1", "d", "ago", "0:01"],  # one trial of 2 s is left for two slots
        ["user/lost", "20250103T000000Z-abc123", "failed", "2/4", "-", "2", "d", "ago"],
        ["half", "20250102T000000Z-abc123", "interrupted", "3/4", "-", "3", "d", "ago"],
        ["done", "20250101T000000Z-abc123", "finished", "4/4", "-", "4", "d", "ago"],
    ]
    text = " ".join(" ".join(render(render_status(runs, now=NOW))).split())
    assert "user/lost 20250103T000000Z-abc123: bsd/none gave up" in text
    assert "resume STUDY" in text
    assert "watch STUDY" in text


def test_commands_name_results_that_are_not_where_they_would_be_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dated(make_run(tmp_path / "results", make_events(*ALL[:3])), 1)
    runs = collect_status(tmp_path / "results")
    usual, other = (" ".join(" ".join(render(render_status(runs, results=tmp_path / name))).split()) for name in ("results", "other"))
    assert f"{command('resume', 'STUDY')};" in usual
    assert f"{command('resume', 'STUDY', '--results', 'other')};" in other


def test_the_time_left_says_when_it_is_of_the_search_alone(tmp_path: Path) -> None:
    confirm = {"confirm": {"seeds": 2}}
    searching = make_run(tmp_path, make_events(*ALL[:3]), study="a", **confirm)
    chosen = [*make_events(*ALL), make_choice({("bsd/none", 0): "knee"})]
    confirming = make_run(tmp_path, chosen, study="b", **confirm)
    alone = make_run(tmp_path, make_events(*ALL[:3]), study="c")
    with searching.lock(), confirming.lock(), alone.lock():
        runs = {run.study: run for run in collect_status(tmp_path)}
    assert [words([runs[study]])[0][-1] for study in "abc"] == ["0:02+", "0:04", "0:02"]
    text = " ".join(" ".join(render(render_status([runs["a"]], now=NOW))).split())
    assert "with +, of the search alone" in text


def test_the_confirm_phase_is_counted(tmp_path: Path) -> None:
    confirm = {"confirm": {"seeds": 2}}
    dated(make_run(tmp_path, make_events(*ALL), study="a", **confirm), 1)
    choice = make_choice({("bsd/none", 0): "knee"})
    dated(make_run(tmp_path, [*make_events(*ALL), choice, *make_confirmation("bsd/none", 0, 0, 0.9)], study="b", **confirm), 2)
    failed = [(arm, number, None, 0.0) for arm in ("cross_entropy/none", "bsd/none") for number in (0, 1)]
    dated(make_run(tmp_path, make_events(*failed), study="c", **confirm), 3)
    assert [row[2:-3] for row in words(collect_status(tmp_path))] == [
        ["failed", "0/4", "none"],
        ["interrupted", "4/4", "1/2"],
        ["interrupted", "4/4", "to", "come"],
    ]


def test_a_run_that_has_only_begun_is_running(tmp_path: Path) -> None:
    make_run(tmp_path)
    (run,) = collect_status(tmp_path)
    assert (run.state, run.seconds_left) == ("running", None)
    assert words([run])[0][2:] == ["running", "0/4", "-", "just", "now"]


def test_what_cannot_be_read_is_listed_with_its_reason_and_hides_no_other(tmp_path: Path) -> None:
    broken = dated(make_run(tmp_path, study="broken"), 1)
    (broken.path / "study.yaml").write_text("methods: [bsd", encoding="utf-8")
    linked = dated(make_run(tmp_path, study="linked"), 2)
    (linked.path / "tables").symlink_to("/etc")
    odd = dated(make_run(tmp_path, [make_suggest("bsd/none", 0)], study="odd"), 3)
    odd.ledger.write_bytes(b'{"event":"suggest"}\n[1,2\n\xff\xfe\n')
    dated(make_run(tmp_path, make_events(*ALL), study="fine"), 4)
    (tmp_path / "fine" / "notes.txt").write_text("mine", encoding="utf-8")
    runs = collect_status(tmp_path)
    assert [(run.study, run.state) for run in runs] == [
        ("fine", "finished"),
        ("odd", "interrupted"),
        ("linked", "unreadable"),
        ("broken", "unreadable"),
    ]
    assert "is a link to" in str(runs[2].reason)
    assert words(runs)[2][2:5] == ["unreadable", "-", "-"]


def test_a_long_name_of_a_study_does_not_break_the_table(tmp_path: Path) -> None:
    dated(make_run(tmp_path, make_events(*ALL), study="a-study-of-a-very-long-name-that-nobody-would-type"), 1)
    lines = render(render_status(collect_status(tmp_path), now=NOW + timedelta(hours=1)))
    assert max(map(len, lines)) <= 80
    assert any("finished" in line and "4/4" in line for line in lines)


def test_results_without_runs_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert collect_status(tmp_path / "nowhere") == []
    assert main(monkeypatch, "status") == 0
    assert capsys.readouterr().out == "There is no folder results yet; start a study with: make study STUDY=label_noise\n"
    (tmp_path / "results").mkdir()
    assert main(monkeypatch, "status") == 0
    assert capsys.readouterr().out == "There are no runs in results yet; start a study with: make study STUDY=label_noise\n"
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="is no folder"):
        collect_status(tmp_path / "file")
    assert main(monkeypatch, "status", "--results", "file") == 2


def test_runs_of_an_object_store_are_listed_by_their_leases(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = results_root(store.uri("status"))
    run = create_run(root, "mine", make_spec())
    with run.lock():
        ledger = run.open_ledger()
        for event in make_events(*ALL[:3]):
            ledger.append(event)
        ledger.sync()
        ledger.close()
        run.push()
        (status,) = collect_status(root)
        assert (status.study, status.run_id, status.state) == ("mine", run.run_id, "running")
        assert status.progress is not None
        assert status.progress.n_trials == 3
    (status,) = collect_status(root)
    assert status.state == "interrupted"


def test_a_run_of_an_object_store_that_cannot_be_read_hides_no_other(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = results_root(store.uri("status-broken"))
    assert isinstance(root, RemoteFolder)
    run = create_run(root, "mine", make_spec())
    for run_id in ("20269999T999999Z-abcdef", "20250101T000000Z-abc123", "20250102T000000Z-abc123", "20250103T000000Z-abc123"):
        (root / "mine" / run_id).put("study.yaml", b"methods: [bsd")
    get = RemoteFolder.get

    def get_some(self: RemoteFolder, name: str) -> bytes | None:
        if (self.name, name) in (("20250102T000000Z-abc123", "lease.json"), ("20250103T000000Z-abc123", "study.yaml")):
            raise StorageError(f"Cannot read {name}.")
        return get(self, name)

    monkeypatch.setattr(RemoteFolder, "get", get_some)
    runs = {status.run_id: status for status in collect_status(root)}
    assert runs.pop(run.run_id).state == "interrupted"
    assert {status.state for status in runs.values()} == {"unreadable"}
    assert [runs[f"2025010{day}T000000Z-abc123"].reason for day in (2, 3)] == ["Cannot read lease.json.", "Cannot read study.yaml."]
    assert (runs["20269999T999999Z-abcdef"].started, runs["20250101T000000Z-abc123"].started) == (None, datetime(2025, 1, 1, tzinfo=UTC))
    assert words(list(runs.values()))


def test_runs_of_an_object_store_are_listed_with_keys_that_may_only_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = results_root(store.uri("status-read-only"))
    assert isinstance(root, RemoteFolder)
    run = create_run(root, "mine", make_spec())
    leave_behind(root / "mine" / run.run_id, elsewhere())
    with read_only():
        (status,) = collect_status(root)
    assert status.state == "running"
