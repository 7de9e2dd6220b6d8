"""The studies that come with the package: the questions asked, at the size promised, by the recipes published."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from studies.run_folder import create_run
from studies.run_names import find_run
from studies.spec import StudySpec
from studies.study_file import find_study, load_spec, study_names

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ("paper/bsd_cifar100", "paper/cs_kd_cifar100", "paper/label_noise_cifar10")


def shipped(name: str) -> StudySpec:
    return load_spec(study_names()[name], [])


def test_the_studies_of_the_issue_are_there() -> None:
    assert set(study_names()) >= {"label_noise", "corruption", "perturbation", "clean", "calibration", "quick", *PAPERS}


@pytest.mark.parametrize("name", sorted(study_names()))
def test_every_study_is_confirmed_on_test_images(name: str) -> None:
    confirm = shipped(name).confirm
    assert confirm is not None
    assert confirm.seeds >= 2
    assert confirm.corruptions


def test_the_default_study_confirms_with_five_seeds_under_all_corruptions() -> None:
    confirm = shipped("label_noise").confirm
    assert confirm is not None
    assert (confirm.points, confirm.seeds, len(confirm.corruptions), confirm.severities) == ("front", 5, 19, [1, 2, 3, 4, 5])
    assert confirm.noise_seeds == "fresh"


def test_calibration_compares_all_losses_made_for_it() -> None:
    losses = {"label_smoothing", "confidence_penalty", "focal", "dual_focal", "mixup"}
    assert set(shipped("calibration").methods) >= {"cross_entropy", "ps_kd", "cs_kd", "bsd", *losses}


def test_all_methods_are_in_the_study_of_all_methods() -> None:
    from bsd_core.methods import METHODS

    assert set(shipped("all_methods").methods) == set(METHODS)


@pytest.mark.parametrize(
    ("name", "epochs", "learning_rate", "weight_decay", "nesterov", "schedule"),
    [
        ("paper/cs_kd_cifar100", 200, 0.1, 1e-4, False, "multi_step"),
        ("paper/bsd_cifar100", 300, 0.1, 5e-4, True, "multi_step"),
        ("paper/label_noise_cifar10", 300, 0.02, 1e-3, False, "cosine"),
    ],
)
def test_recipes_are_the_published_ones(
    name: str, epochs: int, learning_rate: float, weight_decay: float, nesterov: bool, schedule: str
) -> None:
    from studies.search import ArmSpace

    spec = shipped(name)
    for method in spec.methods:
        space = ArmSpace.of(spec, method)
        assert (space.constant["learning_rate"], space.constant["weight_decay"]) == (learning_rate, weight_decay)
        assert set(space.searched).isdisjoint({"learning_rate", "weight_decay"})
    assert (spec.epochs, spec.nesterov, spec.schedule, spec.warmup_epochs) == (epochs, nesterov, schedule, 0.0)
    assert (spec.model, spec.batch_size, spec.gpus_per_trial) == ("preact_resnet18", 128, 1.0)


def test_a_study_in_a_folder_is_found_by_make_and_keeps_its_results_apart(tmp_path: Path) -> None:
    name = "paper/cs_kd_cifar100"
    assert find_study(name)[0] == name
    planned = subprocess.run(["make", "-n", "study", f"STUDY={name}"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f'-m studies run "{name}"' in planned.stdout
    run = create_run(tmp_path, name, shipped(name))
    assert run.path.parent == tmp_path / "paper" / "cs_kd_cifar100"
    assert find_run(tmp_path, name).path == run.path
    assert find_run(tmp_path, str(run.path)).path == run.path
