"""A study on a data set too large for memory: the same numbers as in memory, from a file that every process maps."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bsd_core.data.images import MappedImages
from studies import own_copy as own_copy_module
from studies.prepare import PreparedStudy, prepare
from studies.trial import trial_events
from tests._dummies import make_toy_images
from tests.studies._dummies import make_settings, make_spec, make_task

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """90 PNG files of 8x8 pixels in three class folders."""
    images, targets = make_toy_images(90, channels=3)
    for index, (image, target) in enumerate(zip(images, targets.tolist(), strict=True)):
        path = tmp_path / "images" / f"class_{target}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(path)
    return tmp_path / "images"


def prepared(folder: Path) -> PreparedStudy:
    return prepare(make_spec(dataset=f"folder:{folder}", data_dir=str(folder.parent), batch_size=16))


def metrics(study: PreparedStudy) -> dict[str, Any]:
    own_copy_module._copies.clear()
    events = list(trial_events(make_task(), make_settings(), study.data, CPU))
    own_copy_module._copies.clear()
    assert events[-1]["state"] == "complete", events[-1]["traceback"]
    found: dict[str, Any] = events[-1]["metrics"]
    return found


def test_a_trial_on_mapped_images_gives_the_numbers_of_one_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = prepared(folder)
    monkeypatch.setattr("bsd_core.data.sources.large.IN_MEMORY_BYTES", 0)
    mapped = prepared(folder)
    assert not isinstance(in_memory.data.train_images, MappedImages)
    assert isinstance(mapped.data.train_images, MappedImages)
    assert isinstance(mapped.data.val_images, MappedImages)
    assert metrics(mapped) == metrics(in_memory)


def test_the_data_of_a_mapped_study_travel_without_their_pixels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsd_core.data.sources.large.IN_MEMORY_BYTES", 0)
    data = prepared(folder).data
    assert data.train_images.nbytes == 8 * len(data.train_images)  # what Ray's object store is sized for
    assert len(pickle.dumps(data)) < 90 * 3 * 8 * 8
    assert prepared(folder).data.fingerprint == data.fingerprint
