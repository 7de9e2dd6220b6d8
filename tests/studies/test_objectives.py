from __future__ import annotations

import pytest

from bsd_core.errors import ConfigError, DataError
from studies.objectives import ACCURACIES, CALIBRATION_ERRORS, Objectives, objective_titles, short_titles, shortest_titles
from studies.study_file import check_spec
from tests.studies._dummies import make_document, make_spec


def test_a_study_looks_for_clean_accuracy_and_calibration_unless_told_otherwise() -> None:
    assert make_spec().targets == ("val_accuracy", "val_ece")
    assert not make_spec().targets.on_corrupted


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("ece", CALIBRATION_ERRORS)
def test_every_pair_of_an_accuracy_and_a_calibration_error_is_an_aim(accuracy: str, ece: str) -> None:
    targets = make_spec(objectives=[accuracy, ece], evaluate={"corruptions": "contrast"}).targets
    assert targets == (accuracy, ece)
    assert targets.on_corrupted == ("corrupted" in accuracy + ece)


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (["val_acuracy", "val_ece"], r"Unknown objective 'val_acuracy'\. .*Did you mean 'val_accuracy'\?"),
        (
            ["val_ece", "val_accuracy"],
            r"Objectives are first an accuracy, then a calibration error, .*but got \['val_ece', 'val_accuracy'\]",
        ),
        (["val_accuracy"], r"Objectives are first an accuracy, then a calibration error, .*but got \['val_accuracy'\]"),
        (["val_accuracy", "val_ece", "val_ece"], r"Objectives are first an accuracy, then a calibration error"),
        ("test_accuracy", r"Unknown objective 'test_accuracy'"),
    ],
)
def test_other_aims_are_refused(objectives: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_spec(make_document(objectives=objectives), where="mine.yaml")


def test_an_aim_on_corrupted_images_needs_corruptions() -> None:
    with pytest.raises(ConfigError, match=r"objectives are measured on corrupted images, but `evaluate\.corruptions` is none"):
        check_spec(make_document(objectives=["val_corrupted_accuracy", "val_ece"]), where="mine.yaml")


def test_titles_say_which_images_where_one_is_of_corrupted_ones() -> None:
    assert short_titles(("val_accuracy", "val_ece")) == ["accuracy", "ECE"]
    assert shortest_titles(("val_accuracy", "val_ece")) == "acc/ECE"
    mixed = ("val_accuracy", "val_corrupted_ece")
    assert objective_titles(mixed) == ["accuracy on clean images", "expected calibration error on corrupted images"]
    assert short_titles(mixed) == ["accuracy on clean images", "ECE on corrupted images"]
    assert shortest_titles(mixed) == "acc/corr. ECE"
    assert shortest_titles(("val_corrupted_accuracy", "val_corrupted_ece")) == "corr. acc/corr. ECE"


def test_values_of_a_row_and_what_is_said_of_a_row_without_them() -> None:
    objectives = Objectives("val_corrupted_accuracy", "val_ece")
    row = {"val_accuracy": 0.9, "val_corrupted_accuracy": 0.5, "val_ece": 0.1}
    assert objectives.values(row, where="a") == (0.5, 0.1)
    with pytest.raises(DataError, match=r"trial 7 has no val_corrupted_accuracy"):
        objectives.values({"val_accuracy": 0.9, "val_ece": 0.1}, where="trial 7")
