from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bsd_core.errors import ConfigError
from studies.describe import describe
from studies.study_file import find_study, load_spec, study_names
from tests.studies._dummies import make_spec, render


def text_of(**changes: Any) -> str:
    """The description on one line, so that folding does not matter."""
    return " ".join(" ".join(render(describe("mine", make_spec(**changes)))).split())


def test_arms_trials_and_images_are_counted() -> None:
    """cs_kd pushes two images a sample: 1,150 images x 2 epochs x 3 trials x (1 + 2) x 2 conditions."""
    text = text_of(methods=["bsd", "cs_kd"], conditions=["none", "symmetric:0.4"], trials=3)
    assert "arms 4 = 2 methods x 2 conditions" in text
    assert "trials 12 = 3 in every arm, 2 epochs each, batches of 64" in text
    assert f"about {1150 * 2 * 3 * (1 + 2) * 2:,} pushed through networks" in text
    assert "conditions none, symmetric_40" in text


def test_data_network_and_objectives_are_said() -> None:
    text = text_of()
    assert "digits: 1150 train, 288 validation, 359 test (not used by the search), 1x8x8, 10 classes" in text
    assert "resnet8, width 4, " in text
    assert "val_accuracy up, val_ece down" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": None}, "resnet8, width 16, "),
        ({"model": "resnet18", "width": None}, "resnet18, 11,"),
        ({"width": 2, "stem": "published"}, "resnet8, width 2, published stem, "),
    ],
)
def test_the_network_is_said_as_it_will_be_built(changes: dict[str, Any], words: str) -> None:
    assert f"network {words}" in text_of(**changes)


@pytest.mark.parametrize(
    ("labels", "words"), [("clean", "clean: the true labels choose"), ("noisy", "noisy: they carry the condition's noise")]
)
def test_the_validation_labels_are_explained(labels: str, words: str) -> None:
    assert f"validation labels {words}" in text_of(validation_labels=labels)


def test_corruptions_are_listed() -> None:
    text = text_of(evaluate={"corruptions": ["contrast", "pixelate"], "severities": [1, 5], "images": 50})
    assert "2 corruptions (contrast, pixelate), severities 1, 5, on 50 validation images = 200 predictions" in text
    assert "corrupted none" in text_of()


def test_the_search_space_shows_what_is_searched_and_what_is_fixed() -> None:
    text = text_of(methods=["bsd"], fixed={"bsd": {"temperature": 0.5}})
    assert "temperature = 0.5" in text
    assert "temperature 0.1 to 2 (log)" not in text
    assert "discount 0.5 to 1 " in text
    assert "prior_strength 0.5 to 100 (log)" in text


def test_published_settings_are_counted_within_the_budget() -> None:
    rows = [line for line in render(describe("mine", make_spec(methods=["cs_kd"], trials=1))) if "cs_kd" in line and "temperature" in line]
    assert [line.split()[-2] for line in rows] == ["1"]


@pytest.mark.parametrize("name", sorted(study_names()))
def test_every_shipped_study_can_be_described_in_eighty_columns(name: str) -> None:
    lines = render(describe(name, load_spec(find_study(name)[1], [])))
    assert lines[0].strip() == name
    assert max(map(len, lines)) <= 80


def test_data_that_are_not_at_hand_are_not_fetched(tmp_path: Path) -> None:
    text = text_of(dataset="cifar10", data_dir=str(tmp_path / "data"), download=True)
    assert "The data are not at hand yet: No cifar10 files in" in text
    assert "unknown until the data are at hand" in text
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_cannot_run_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fewer than one batch \(batch_size=5000\)"):
        describe("mine", make_spec(batch_size=5000))


def test_brackets_in_the_question_are_shown_as_they_are() -> None:
    assert "question [red]Why?[/red]" in text_of(question="[red]Why?[/red]")


def test_what_conditions_and_files_come_to_is_said(tmp_path: Path) -> None:
    Image.new("RGB", (400, 400)).save(tmp_path / "ice.png")
    text = text_of(conditions=["none", "instance:0.3"], evaluate={"corruptions": ["frost"], "frost_folder": str(tmp_path)})
    assert re.search(r"none, instance_30 \(\d+\.\d % of the training labels wrong\)", text)
    assert f"pictures in {tmp_path}".replace(" ", "") in text.replace(" ", "")
