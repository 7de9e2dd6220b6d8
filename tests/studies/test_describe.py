from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bsd_core.errors import ConfigError
from studies.describe import describe
from studies.device_hours import Costs
from studies.study_file import find_study, load_spec, study_names
from tests.studies._dummies import make_spec, render

COSTS = Costs(start=0.0, train=1e-3, predict=0.0, corrupt=0.0, frame=0.0, measure=0.0)


@pytest.fixture(autouse=True)
def _no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millisecond a trained image, and nothing else, so that hours can be told beforehand; real costs are timed in their own tests."""
    monkeypatch.setattr("studies.describe.measure_costs", lambda spec, sizes: COSTS)


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
def test_every_shipped_study_can_be_described_without_data_in_eighty_columns(name: str, tmp_path: Path) -> None:
    lines = render(describe(name, load_spec(find_study(name)[1], [f"data_dir={tmp_path / 'data'}"])))
    assert lines[0].strip() == name
    assert max(map(len, lines)) <= 80
    assert re.search(r"device time about [\d.,]+ hours.*: search .*, confirm at most ", " ".join(" ".join(lines).split()))
    assert list(tmp_path.iterdir()) == []


def test_data_that_are_not_at_hand_are_not_fetched(tmp_path: Path) -> None:
    text = " ".join(text_of(dataset="cifar10", data_dir=str(tmp_path / "data"), download=True).split())
    assert "The data are not at hand yet: the study will download cifar10 into" in text
    text = " ".join(text_of(dataset="cifar10", data_dir=str(tmp_path / "data"), download=False).split())
    assert "The data are not at hand yet: No cifar10 files in" in text
    assert list(tmp_path.iterdir()) == []


def test_of_published_data_that_are_not_at_hand_the_size_is_known(tmp_path: Path) -> None:
    """40,000 images x 2 epochs x 2 trials x 2 methods at a millisecond each are 320 s."""
    text = text_of(dataset="cifar10", data_dir=str(tmp_path / "data"))
    assert "cifar10: 40000 train, 10000 validation, 10000 test (not used by the search), 3x32x32, 10 classes" in text
    assert "images about 320,000 pushed through networks in the search" in text
    assert "device time about 0.089 hours (5.3 min): search 5.3 min; measured just now" in text


def test_of_a_folder_that_is_not_there_nothing_is_known(tmp_path: Path) -> None:
    text = text_of(dataset=f"folder:{tmp_path / 'absent'}")
    assert "images unknown until the data are at hand" in text
    assert "device time unknown until the data are at hand" in text


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


# --- the phases


CONFIRM = {"at_most": 2, "seeds": 3, "corruptions": ["contrast", "pixelate"], "severities": [1, 5]}


def test_the_confirm_phase_is_told() -> None:
    """2 arms x 2 points x 3 seeds."""
    text = text_of(confirm=CONFIRM)
    assert "confirm at most 2 of every arm's front x 3 fresh seeds = at most 12 trainings on training images; only then" in text
    assert "the test split opened: clean, 2 corruptions x 2 severities (359 images)" in text
    assert "asked for" not in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"points": "knee"},
            "confirm every arm's knee and at most 2 operating points of the study x 3 fresh seeds = at most 12 trainings",
        ),
        ({"points": "knee", "operating_points": False}, "confirm every arm's knee x 3 fresh seeds = at most 6 trainings"),
        ({"at_most": 3}, "at most 2 of every arm's front (3 asked for, but an arm has only 2 trials: those are used) x 3 fresh seeds"),
        ({"train_on": "train+val"}, "12 trainings on training and validation images; only then"),
        ({"perturbations": ["rotate"], "images": 50}, "clean, 2 corruptions x 2 severities, 1 sequences of 31 frames in all (50 images)"),
        ({"corruptions": "none"}, "is the test split opened: clean resources"),
    ],
)
def test_what_is_confirmed_and_shown_follows_the_study(changes: dict[str, Any], words: str) -> None:
    assert words in text_of(confirm={**CONFIRM, **changes})


def test_fresh_draws_of_wrong_labels_are_told_where_there_are_any() -> None:
    drawn = "each with wrong labels drawn anew"
    assert drawn in text_of(confirm=CONFIRM, conditions=["none", "symmetric:0.4"])
    assert drawn not in text_of(confirm={**CONFIRM, "noise_seeds": "same"}, conditions=["none", "symmetric:0.4"])
    assert drawn not in text_of(confirm=CONFIRM, conditions=["none"])


def test_without_a_confirm_phase_the_test_split_stays_closed() -> None:
    text = text_of(confirm="none")
    assert "confirm none: the test split stays closed" in text
    assert "confirm at most" not in text


def test_a_baseline_is_told_beside_the_arms_it_is_compared_with() -> None:
    text = text_of(baseline="random")
    assert "arms 2 = 2 methods x 1 conditions" in text
    assert "baseline random: 2 more arms, each a twin that searches at random" in text
    assert "trials 8 = 2 in every arm" in text


def test_stopping_is_told_by_its_rungs() -> None:
    """A seventh of 18 epochs, rounded up, and three times as many."""
    text = text_of(stopping="pareto_halving", epochs=18)
    assert "trials as many in every arm as 2 full trainings pay for, 18 epochs each" in text
    assert "stopping pareto_halving: after 3 and 9 epochs the best 1 in 3 by error and NLL go on; 10 % of those stopped" in text
    assert "stopping" not in text_of()


def test_device_time_is_told_by_phase() -> None:
    """1,150 images x 2 epochs at a millisecond are 2.3 s: 4 of them in the search, 12 in the confirm phase."""
    text = text_of(confirm=CONFIRM)
    assert "device time about 0.01 hours (37 s): search 9.2 s, confirm at most 28 s; measured just now on one thread of " in text


def test_a_study_that_wants_a_gpu_says_where_it_was_timed() -> None:
    assert "for want of the GPU that the study asks for, which is many times faster" in text_of(gpus_per_trial=1.0)
    assert "for want of the GPU" not in text_of()
