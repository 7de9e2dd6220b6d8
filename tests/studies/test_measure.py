from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bsd_core.data.augment import Normaliser
from bsd_core.evaluate import EvaluationPlan, as_stored, evaluate, headline, predict
from bsd_core.metrics.calibration import expected_calibration_error, fit_temperature
from bsd_core.metrics.classification import accuracy
from bsd_core.metrics.intervals import bootstrap_interval
from bsd_core.seeds import derive_seed
from bsd_core.train import Recipe, Trainer
from studies import measure, trial_data
from studies.measure import Measured, image_intervals, measure_test, measure_val
from tests.studies._dummies import make_search_data, make_settings

CPU = torch.device("cpu")
N_TEST = 20
PLAN = EvaluationPlan(corruptions=("contrast",), severities=(1, 3), seed=5)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """A network after one epoch on toy images."""
    data, settings = make_search_data(), make_settings(epochs=1)
    recipe = Recipe(method="cross_entropy", settings={}, model="resnet8", width=4, train=settings.train, augment=settings.augment, seed=3)
    images, targets = torch.tensor(np.asarray(data.train_images)), torch.tensor(data.train_targets)
    trained = Trainer(recipe, images, targets, true=targets, n_classes=3)
    trained.run_epoch()
    return trained


@pytest.fixture
def val() -> tuple[torch.Tensor, torch.Tensor]:
    data = make_search_data()
    return torch.tensor(np.asarray(data.val_images)), torch.tensor(data.val_targets)


@pytest.fixture
def split() -> trial_data.TestData:
    data = make_search_data(n_val=N_TEST)
    rows = np.array([1, 4, 9])
    return trial_data.TestData(
        images=data.val_images, targets=data.val_targets, shifted_rows=rows, official_folder=None, fingerprint="test"
    )


def measured_test(trainer: Trainer, split: trial_data.TestData, *, keep: str = "clean", plan: EvaluationPlan = PLAN) -> Measured:
    measured = Measured()
    measure_test(trainer, split, measured, plan=plan, temperature=2.0, seed=11, device=CPU, keep=keep)
    return measured


# --- validation


def test_nothing_is_measured_before_it_is_measured() -> None:
    measured = Measured()
    assert (measured.metrics, measured.evaluations, measured.reliability, measured.predictions) == ({}, [], [], [])
    assert measured.temperature is None


@pytest.mark.parametrize(("chosen", "other"), [("clean", "noisy"), ("noisy", "clean")])
def test_validation_columns_are_by_the_labels_that_choose(
    chosen: str, other: str, trainer: Trainer, val: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, targets = val
    wrong, measured = (targets + 1) % 3, Measured()
    measure_val(trainer, images, {"val": targets, f"val_{other}_labels": wrong}, measured, plan=PLAN)
    logits = predict(trainer.network, images, trainer.normaliser)
    right, by_other = headline(logits, targets), headline(logits, wrong)
    metrics = measured.metrics
    assert {name: metrics[f"val_{name}"] for name in right} == right
    assert (metrics[f"val_accuracy_{chosen}_labels"], metrics[f"val_ece_{chosen}_labels"]) == (right["accuracy"], right["ece"])
    assert (metrics[f"val_accuracy_{other}_labels"], metrics[f"val_ece_{other}_labels"]) == (by_other["accuracy"], by_other["ece"])
    corrupted = [row["accuracy"] for row in measured.evaluations if row["shift"] == "corruption"]
    assert len(corrupted) == 2
    assert metrics["val_corrupted_accuracy"] == pytest.approx(sum(corrupted) / 2)
    assert measured.temperature == fit_temperature(logits, targets)
    assert [name for name in metrics if not name.startswith("val_")] == []


def test_predictions_that_are_kept_are_what_was_measured(trainer: Trainer, val: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, targets = val
    measured = Measured()
    measure_val(trainer, images, {"val": targets, "val_noisy_labels": targets}, measured, plan=EvaluationPlan(), keep="clean")
    (kept,) = measured.predictions
    assert kept.key == ("val", "clean", "clean", 0)
    assert (kept.rows.tolist(), kept.targets.tolist()) == (list(range(24)), targets.tolist())
    assert np.array_equal(kept.logits, as_stored(predict(trainer.network, images, trainer.normaliser)).numpy())
    assert headline(torch.tensor(kept.logits).double(), targets)["nll"] == measured.metrics["val_nll"]
    assert fit_temperature(torch.tensor(kept.logits).double(), targets) == measured.temperature


# --- test


def test_test_columns_are_those_of_the_rounded_logits(trainer: Trainer, split: trial_data.TestData) -> None:
    measured = measured_test(trainer, split)
    images, targets = torch.tensor(np.asarray(split.images)), torch.tensor(split.targets)
    logits = as_stored(predict(trainer.network, images, trainer.normaliser)).double()
    assert {name: measured.metrics[f"test_{name}"] for name in ("accuracy", "ece", "nll", "brier")} == headline(logits, targets)
    scaled = (logits / 2.0).softmax(1)
    assert measured.metrics["test_ece_temperature_scaled"] == float(expected_calibration_error(scaled, targets))
    corrupted = [row for row in measured.evaluations if row["shift"] == "corruption"]
    assert [(row["split"], row["n"]) for row in corrupted] == [("test", 3)] * 2
    assert measured.metrics["test_corrupted_ece"] == pytest.approx(sum(row["ece"] for row in corrupted) / 2)
    assert {row["split"] for row in measured.reliability} == {"test"}
    assert [name for name in measured.metrics if not name.startswith("test_")] == []
    assert measured.temperature is None  # none is ever fitted on test images


@pytest.mark.parametrize(("keep", "n_kept"), [("none", 0), ("clean", 1), ("all", 3)])
def test_what_is_kept_changes_no_number(keep: str, n_kept: int, trainer: Trainer, split: trial_data.TestData) -> None:
    measured, clean = measured_test(trainer, split, keep=keep), measured_test(trainer, split)
    assert len(measured.predictions) == n_kept
    assert (measured.metrics, measured.evaluations) == (clean.metrics, clean.evaluations)
    for kept in measured.predictions[1:]:
        assert (kept.shift, kept.rows.tolist(), kept.targets.tolist()) == ("corruption", [1, 4, 9], split.targets[[1, 4, 9]].tolist())


def test_intervals_of_a_trial_are_seeded_by_its_seed(trainer: Trainer, split: trial_data.TestData) -> None:
    measured = measured_test(trainer, split)
    (kept,) = measured.predictions
    probs = torch.tensor(kept.logits).double().softmax(1)
    ends = image_intervals(probs, torch.tensor(kept.targets), seed=derive_seed(11, "intervals"))
    assert {name: measured.metrics[name] for name in ends} == ends
    assert measured.metrics["test_accuracy_low"] <= measured.metrics["test_accuracy"] <= measured.metrics["test_accuracy_high"]


def test_corruptions_of_the_test_split_depend_on_their_seed_alone(trainer: Trainer, split: trial_data.TestData) -> None:
    fog = dataclasses.replace(PLAN, corruptions=("gaussian_noise",))
    first, second = measured_test(trainer, split, plan=fog), measured_test(trainer, split, plan=fog)
    assert first.evaluations == second.evaluations
    other = measured_test(trainer, split, plan=dataclasses.replace(fog, seed=6))
    assert other.evaluations[0] == first.evaluations[0]
    assert other.evaluations[1:] != first.evaluations[1:]


def test_image_intervals_are_those_of_the_plain_bootstrap() -> None:
    """The slow way, metric by metric, on the same resamples."""
    stream = torch.Generator().manual_seed(0)
    probs = torch.rand((60, 4), generator=stream, dtype=torch.float64)
    probs = probs / probs.sum(1, keepdim=True)
    targets = torch.randint(4, (60,), generator=stream)
    plain_accuracy = bootstrap_interval(probs, targets, accuracy, seed=3)
    plain_ece = bootstrap_interval(probs, targets, expected_calibration_error, seed=3, method="centred", bounds=(0.0, 1.0))
    assert image_intervals(probs, targets, seed=3) == pytest.approx(
        {
            "test_accuracy_low": plain_accuracy.low,
            "test_accuracy_high": plain_accuracy.high,
            "test_ece_low": plain_ece.low,
            "test_ece_high": plain_ece.high,
        }
    )


def test_the_search_measures_what_evaluate_measures(trainer: Trainer, val: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Without predictions to keep, logits are not rounded."""
    images, targets = val
    measured = Measured()
    labels = {"val": targets, "val_noisy_labels": targets}
    rows = torch.tensor([0, 2])
    measure_val(trainer, images, labels, measured, plan=PLAN, shifted_rows=rows)
    plain, bins = evaluate(trainer.network, trainer.normaliser, images, labels, plan=PLAN, shifted_rows=rows)
    assert (measured.evaluations, measured.reliability, measured.predictions) == (plain, bins, [])
    assert isinstance(trainer.normaliser, Normaliser)


def test_features_of_the_named_rows_are_kept_where_asked(trainer: Trainer, split: trial_data.TestData) -> None:
    rows = np.array([2, 3, 11])
    named = dataclasses.replace(split, feature_rows=rows)
    assert measured_test(trainer, named).features is None  # not asked
    asked, unnamed = Measured(), Measured()
    for measured, some in ((asked, named), (unnamed, split)):
        measure_test(trainer, some, measured, plan=PLAN, temperature=2.0, seed=11, device=CPU, keep="clean", keep_features=True)
    assert unnamed.features is None
    assert asked.metrics == unnamed.metrics
    kept = asked.features
    assert kept is not None
    assert (kept.rows.tolist(), kept.targets.tolist()) == (rows.tolist(), split.targets[rows].tolist())
    assert kept.values.shape == (3, trainer.network.n_features)
    images = torch.tensor(np.asarray(split.images))
    logits = trainer.network.classifier(torch.tensor(kept.values.astype(np.float32) * np.float32(kept.scale)))
    assert logits.detach().numpy() == pytest.approx(predict(trainer.network, images, trainer.normaliser).numpy()[rows], abs=2e-2)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."),
    ],
)
def test_without_memory_for_features_the_numbers_are_kept(
    error: BaseException, trainer: Trainer, split: trial_data.TestData, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, measured = dataclasses.replace(split, feature_rows=np.array([2, 3])), Measured()

    def exhausted(*images: object, **options: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr(measure, "penultimate", exhausted)
    measure_test(trainer, named, measured, plan=PLAN, temperature=2.0, seed=11, device=CPU, keep="clean", keep_features=True)
    assert measured.features is None
    plain = measured_test(trainer, split)
    assert (measured.metrics, measured.evaluations, measured.reliability) == (plain.metrics, plain.evaluations, plain.reliability)
    assert len(measured.predictions) == 1


def test_another_error_of_features_is_not_hidden(trainer: Trainer, split: trial_data.TestData, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*images: object, **options: object) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(measure, "penultimate", broken)
    named = dataclasses.replace(split, feature_rows=np.array([2, 3]))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        measure_test(trainer, named, Measured(), plan=PLAN, temperature=2.0, seed=11, device=CPU, keep="clean", keep_features=True)
