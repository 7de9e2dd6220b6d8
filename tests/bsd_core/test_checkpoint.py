from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from bsd_core.checkpoint import KEEP, check_writable, load_checkpoint, resume, save_checkpoint, save_weights
from bsd_core.errors import ConfigError, StorageError
from bsd_core.models import build_model
from bsd_core.train import Trainer
from tests._dummies import assert_equal_states, make_recipe, make_toy_images, make_trainer


def saved_at(folder: Path, *steps: int) -> Trainer:
    """A trainer that has saved itself after each of `steps`."""
    trainer = make_trainer(make_recipe("bsd"))

    def on_step() -> None:
        if trainer.step in steps:
            save_checkpoint(folder, trainer)

    for _ in range(3):
        trainer.run_epoch(on_step)
    return trainer


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_checkpoints_are_kept_under_the_number_of_their_step(tmp_path: Path) -> None:
    saved_at(tmp_path, 1, 3, 6)
    assert KEEP == 2
    assert files(tmp_path) == ["step-0000000003.pt", "step-0000000006.pt"]


@pytest.mark.parametrize("step", [1, 4, 6, 12])
def test_a_training_goes_on_from_any_step_as_if_nothing_had_happened(tmp_path: Path, step: int) -> None:
    straight = saved_at(tmp_path, step)
    resumed = make_trainer(make_recipe("bsd"))
    found = resume(resumed, tmp_path)
    assert found.path == tmp_path / f"step-{step:010d}.pt"
    assert found.broken == ()
    assert (resumed.step, resumed.epoch) == (step, (step - 1) // 4)
    records = list(resumed.records())
    assert_equal_states(resumed.state_dict(), straight.state_dict())
    assert [record.epoch for record in records] == list(range((step - 1) // 4 + 1, 4))
    assert all(record.images_seen == 50 for record in records)


def test_an_empty_or_missing_folder_starts_from_the_beginning(tmp_path: Path) -> None:
    trainer = make_trainer(make_recipe())
    for folder in (tmp_path, tmp_path / "none"):
        assert resume(trainer, folder) == load_checkpoint(folder, identity=trainer.identity)
        assert load_checkpoint(folder, identity=trainer.identity).state is None
    assert trainer.step == 0


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    """In the middle, where the archive's own structure does not show it: only the check sum does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def forge(path: Path) -> None:
    """A pickle that would run code."""

    class Bomb:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(path.parent / "executed"),))

    torch.save({"version": 1, "identity": Bomb(), "state": {}}, path)


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, empty, forge])
def test_a_broken_checkpoint_is_reported_and_the_one_before_it_used(tmp_path: Path, damage: Any) -> None:
    straight = saved_at(tmp_path, 5, 9)
    damage(tmp_path / "step-0000000009.pt")
    resumed = make_trainer(make_recipe("bsd"))
    found = resume(resumed, tmp_path)
    assert found.path == tmp_path / "step-0000000005.pt"
    assert len(found.broken) == 1
    assert "step-0000000009.pt: " in found.broken[0]
    assert "\n" not in found.broken[0]
    assert resumed.step == 5
    list(resumed.records())
    assert_equal_states(resumed.state_dict(), straight.state_dict())
    assert not (tmp_path / "executed").exists()


def test_where_all_are_broken_the_training_starts_again_and_says_so(tmp_path: Path) -> None:
    saved_at(tmp_path, 5, 9)
    for path in tmp_path.iterdir():
        cut_short(path)
    trainer = make_trainer(make_recipe("bsd"))
    assert len(resume(trainer, tmp_path).broken) == 2
    assert trainer.step == 0
    trainer.run_epoch()
    assert save_checkpoint(tmp_path, trainer).is_file()
    assert files(tmp_path) == ["step-0000000004.pt"]  # the broken ones, of later steps, do not push it out
    assert resume(make_trainer(make_recipe("bsd")), tmp_path).path == tmp_path / "step-0000000004.pt"


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    saved_at(tmp_path, 5)
    other = dataclasses.replace(make_recipe("bsd"), seed=7)
    with pytest.raises(ConfigError, match=r"step-0000000005\.pt is of another training \(seed is 0 there and 7 here\)"):
        resume(make_trainer(other), tmp_path)
    with pytest.raises(ConfigError, match=r"labels is"):
        resume(make_trainer(make_recipe("bsd"), given=torch.zeros(50, dtype=torch.int64)), tmp_path)


def test_half_written_files_of_a_killed_process_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "step-0000000099.pt.123.tmp").write_bytes(b"half")
    trainer = make_trainer(make_recipe())
    assert resume(trainer, tmp_path).broken == ()
    assert trainer.step == 0
    assert files(tmp_path) == []  # and swept up


def test_settings_that_are_written_differently_are_the_same_training(tmp_path: Path) -> None:
    default = make_trainer(make_recipe("bsd"))
    for settings in ({"prior_strength": 10}, {"prior_strength": 10.0}, {"discount": 0.9}):
        assert make_trainer(make_recipe("bsd", settings=settings)).identity == default.identity
    assert make_trainer(make_recipe("bsd", settings={"prior_strength": 11})).identity != default.identity
    assert make_trainer(make_recipe("bsd"), data_seed=1, given=make_toy_images(50)[1]).identity != default.identity  # other images


def test_a_file_that_may_not_be_read_is_not_taken_for_a_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved_at(tmp_path, 5)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("zipfile.ZipFile", refuse)
    with pytest.raises(PermissionError):
        resume(make_trainer(make_recipe("bsd")), tmp_path)


def test_where_nothing_can_be_written_is_said_before_the_training(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "weights.pt")
    assert list(tmp_path.iterdir()) == [tmp_path / "new"]
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "weights.pt", Path("/proc/no/such")):
        with pytest.raises(ConfigError, match=r"^Cannot write '.*': .*\.$"):
            check_writable(path)


def test_a_disk_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"^Cannot write '.*step-0000000000\.pt': .*\.$"):
        save_checkpoint(tmp_path / "file", make_trainer(make_recipe()))


def test_a_full_disk_leaves_the_older_checkpoints_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = saved_at(tmp_path, 5, 9)
    before = files(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        save_checkpoint(tmp_path, trainer)
    assert files(tmp_path) == before


def test_saved_weights_can_be_started_from(tmp_path: Path) -> None:
    trainer = saved_at(tmp_path / "checkpoints", 1)
    save_weights(tmp_path / "weights.pt", trainer.network)
    model = build_model("resnet8", in_channels=1, n_classes=3, width=4, pretrained=tmp_path / "weights.pt", seed=5)
    assert_equal_states(model.state_dict(), trainer.model.state_dict())


def test_a_checkpoint_is_read_without_unpickling_code(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make_trainer(make_recipe("bsd")))
    assert torch.load(path, weights_only=True)["version"] == 1
    forge(path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
