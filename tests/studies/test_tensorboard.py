from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event as Shown
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from studies import tensorboard as module
from studies.ledger import Event, Ledger, LedgerReader
from studies.run import resume_study
from studies.run_folder import RunFolder
from studies.tables import read_tables
from studies.tensorboard import EventFiles, FollowedLedger
from tests.studies._dummies import (
    make_choice,
    make_confirmation,
    make_end,
    make_epoch,
    make_epochs,
    make_run,
    make_suggest,
)
from tests.studies._played_runs import play_run, played_here

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what tensorboardX imports
ARMS = ("bsd/none", "bsd/none/random")


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC bit by bit (RFC 3720, B.4), masked as TFRecord files have it."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    value = register ^ 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: Path) -> Iterator[Any]:
    """The events of a file, each with both of its sums checked."""
    content = path.read_bytes()
    while content:
        length, length_sum = struct.unpack_from("<QI", content)
        assert crc32c(content[:8]) == length_sum
        data, (data_sum,) = content[12 : 12 + length], struct.unpack_from("<I", content, 12 + length)
        assert crc32c(data) == data_sum
        yield Shown.FromString(data)
        content = content[16 + length :]


def scalars(folder: Path) -> list[tuple[int, str, float]]:
    """(step, tag, value) of a trial, in order."""
    (path,) = folder.iterdir()
    version, *rest = records(path)
    assert version.file_version == "brain.Event:2"
    return [
        (event.step, value.tag, value.simple_value) for event in rest for value in event.summary.value if not value.HasField("metadata")
    ]


def epochs_of(folder: Path, tag: str = "val_accuracy") -> list[tuple[int, float]]:
    return [(step, value) for step, name, value in scalars(folder) if name == tag]


def make_files(folder: Path, events: Sequence[Event] = (), *, arms: Sequence[str] = ARMS) -> EventFiles:
    files = EventFiles(folder, arms, started=1000.0)
    for event in events:
        files.take(event)
    assert files.problem is None
    return files


def test_epochs_are_scalars_over_the_seconds_of_training(tmp_path: Path) -> None:
    rows = [make_epoch(epoch, val_accuracy=epoch / 8, seconds=0.5) for epoch in (1, 2, 3)]
    make_files(tmp_path, [make_suggest("bsd/none", 0), make_epochs("bsd/none", 0, *rows[:1]), make_epochs("bsd/none", 0, *rows[1:])])
    folder = tmp_path / "bsd" / "none" / "0000"
    assert epochs_of(folder) == [(1, 0.125), (2, 0.25), (3, 0.375)]
    assert epochs_of(folder, "memorised") == []  # null in these epochs
    (path,) = folder.iterdir()
    assert [event.wall_time for event in records(path)] == [1000.0, 1000.5, 1001.0, 1001.5]


def test_the_end_has_metrics_and_settings(tmp_path: Path) -> None:
    params = {"learning_rate": 0.25, "evidence": "softplus"}
    ended = make_end("bsd/none", 1, 0.75, 0.125)
    make_files(tmp_path, [make_suggest("bsd/none", 1, params=params), make_epochs("bsd/none", 1, make_epoch(1)), ended])  # type: ignore[arg-type]
    folder = tmp_path / "bsd" / "none" / "0001"
    assert epochs_of(folder, "final/val_accuracy") == [(1, 0.75)]
    assert epochs_of(folder, "final/val_ece") == [(1, 0.125)]
    (path,) = folder.iterdir()
    plugins = [value.metadata.plugin_data for event in records(path) for value in event.summary.value if value.HasField("metadata")]
    assert {plugin.plugin_name for plugin in plugins} == {"hparams"}
    contents = [HParamsPluginData.FromString(plugin.content) for plugin in plugins]
    (session,) = [content.session_start_info for content in contents if content.HasField("session_start_info")]
    assert {name: value.WhichOneof("kind") and (value.number_value or value.string_value) for name, value in session.hparams.items()} == {
        "learning_rate": 0.25,
        "evidence": "softplus",
        "method": "bsd",
        "condition": "none",
        "phase": "search",
    }
    (experiment,) = [content.experiment for content in contents if content.HasField("experiment")]
    assert "final/val_accuracy" in {metric.name.tag for metric in experiment.metric_infos}


def test_a_trial_that_failed_has_its_epochs_alone(tmp_path: Path) -> None:
    make_files(tmp_path, [make_suggest("bsd/none", 0), make_epochs("bsd/none", 0, make_epoch(1)), make_end("bsd/none", 0, None)])
    assert {tag.partition("/")[0] for _, tag, _ in scalars(tmp_path / "bsd" / "none" / "0000")}.isdisjoint({"final"})


def test_a_trial_that_starts_again_is_not_written_twice(tmp_path: Path) -> None:
    suggest, first = make_suggest("bsd/none", 0), make_epochs("bsd/none", 0, make_epoch(1), make_epoch(2))
    again = make_epochs("bsd/none", 0, make_epoch(1), make_epoch(2), make_epoch(3))
    make_files(tmp_path, [suggest, first, suggest, again])
    assert [step for step, _ in epochs_of(tmp_path / "bsd" / "none" / "0000")] == [1, 2, 3]


def test_twins_and_confirming_trainings_have_places_of_their_own(tmp_path: Path) -> None:
    events = [make_suggest("bsd/none", 0), make_suggest("bsd/none/random", 0) | {"trial_id": "twin"}]
    ends = [make_end("bsd/none", 0, 0.5), make_end("bsd/none", 0, 0.5) | {"trial_id": "twin"}]
    make_files(tmp_path, [*events, *ends, make_choice({("bsd/none", 0): "knee"}), *make_confirmation("bsd/none", 0, 0, 0.75)])
    found = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("events*")}
    assert found == {"bsd/none/0000", "bsd/none/random/0000", "bsd/none/confirm-0000"}


@pytest.mark.parametrize("arm", ["../../outside", "{tmp_path}/outside", "bsd/other"])
def test_nothing_is_written_for_arms_that_the_study_has_not(arm: str, tmp_path: Path) -> None:
    suggest = make_suggest("bsd/none", 0) | {"arm": arm.format(tmp_path=tmp_path)}
    make_files(tmp_path / "in", [suggest, make_epochs("bsd/none", 0, make_epoch(1))])
    assert list(tmp_path.rglob("*")) == []


def test_a_process_that_goes_on_makes_all_again_and_then_follows(tmp_path: Path) -> None:
    begun = [make_suggest("bsd/none", 0), make_epochs("bsd/none", 0, make_epoch(1), make_epoch(2))]
    run = make_run(tmp_path, begun)
    stale = run.path / "tensorboard" / "bsd" / "none" / "0000" / "events.out.tfevents.1.bsd"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half a rec")
    files = EventFiles.of(run)
    ledger = FollowedLedger(Ledger(run.ledger), files)
    ledger.append(make_epochs("bsd/none", 0, make_epoch(2), make_epoch(3)))
    ledger.append(make_end("bsd/none", 0, 0.75), sync=True)
    ledger.close()
    folder = stale.parent
    followed = list(records(next(folder.iterdir())))
    assert [step for step, _ in epochs_of(folder)] == [1, 2, 3]
    assert EventFiles.of(run).problem is None
    assert list(records(next(folder.iterdir()))) == followed  # following and making again give the same


def test_a_disk_that_is_full_costs_the_events_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path)
    (run.path / "tensorboard").mkdir()
    files = EventFiles(run.path / "tensorboard", ARMS, started=0)
    (run.path / "tensorboard" / "bsd").write_text("in the way", encoding="utf-8")
    ledger = FollowedLedger(Ledger(run.ledger), files)
    for event in (make_suggest("bsd/none", 0), make_epochs("bsd/none", 0, make_epoch(1)), make_end("bsd/none", 0, 0.5)):
        ledger.append(event, sync=True)
    ledger.close()
    assert files.problem is not None
    assert "resume makes all of them from the ledger" in files.problem
    assert capfd.readouterr().out.count("no longer written") == 1
    assert [event["event"] for event in LedgerReader(run.ledger)] == ["suggest", "epochs", "end"]
    assert EventFiles.of(run).problem is None  # what was in the way was below our folder
    assert epochs_of(run.path / "tensorboard" / "bsd" / "none" / "0000", "final/val_accuracy") == [(1, 0.5)]


def test_a_ledger_is_written_before_it_is_followed(tmp_path: Path) -> None:
    seen: list[int] = []
    path = tmp_path / "ledger.jsonl"

    class Watching(EventFiles):
        def take(self, event: Event) -> None:
            seen.append(len(path.read_bytes().splitlines()))

    ledger = FollowedLedger(Ledger(path), Watching(tmp_path, ARMS, started=0))
    for number in range(3):
        ledger.append(make_suggest("bsd/none", number))
    ledger.close()
    assert seen == [1, 2, 3]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A small run with events and confirm phase."""
    return play_run(tmp_path_factory.mktemp("played"), methods=["cross_entropy"], trials=1, confirm={"seeds": 1}, tensorboard=True)


def test_a_run_that_asks_for_them_has_what_its_tables_have(played: RunFolder) -> None:
    tables = read_tables(played)
    folders = {"cross_entropy-none-0000": "0000", "cross_entropy-none-0000-confirm-0": "confirm-0000"}
    assert {row["trial_id"] for row in tables.trials.to_pylist()} == set(folders)
    for row in tables.trials.to_pylist():
        folder = played.path / "tensorboard" / "cross_entropy" / "none" / folders[row["trial_id"]]
        expected = [epoch["train_loss"] for epoch in tables.epochs.to_pylist() if epoch["trial_id"] == row["trial_id"]]
        assert [value for _, value in epochs_of(folder, "train_loss")] == pytest.approx(expected)
        metric = "val_accuracy" if row["phase"] == "search" else "test_accuracy"
        ((step, value),) = epochs_of(folder, f"final/{metric}")
        assert step == row["epochs"]
        assert value == pytest.approx(row[metric])


def test_resume_of_a_finished_run_makes_lost_events_again(played: RunFolder) -> None:
    before = {path: list(records(path)) for path in played.path.rglob("events.out.*")}
    assert len(before) == 2
    next(iter(before)).unlink()
    with played_here():
        assert resume_study(played) == 0
    assert {path: list(records(path)) for path in played.path.rglob("events.out.*")} == before


def test_a_run_that_does_not_ask_has_none_and_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.EventFiles, "of", lambda run: pytest.fail("not asked for"))
    run = play_run(tmp_path, methods=["cross_entropy"], trials=1)
    assert not (run.path / "tensorboard").exists()


def test_ids_of_trials_play_no_part_in_paths(tmp_path: Path) -> None:
    suggest = make_suggest("bsd/none", 3) | {"trial_id": "../../../x"}
    make_files(tmp_path / "in", [suggest, make_epochs("bsd/none", 3, make_epoch(1)) | {"trial_id": "../../../x"}])
    assert [path.parent.name for path in tmp_path.rglob("events*")] == ["0003"]
