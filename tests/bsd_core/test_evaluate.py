from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from bsd_core.data.augment import Normaliser
from bsd_core.errors import ConfigError, DataError, DivergedError
from bsd_core.evaluate import EvaluationPlan, as_stored, evaluate, headline, measure, predict, reliability, steadiness, summarise
from bsd_core.metrics.calibration import expected_calibration_error, fit_temperature
from bsd_core.metrics.robustness import rank_distance
from bsd_core.models import build_model
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.official import OfficialCorruptions
from bsd_core.robustness.perturbations import frames
from tests._dummies import make_images, make_logits, make_targets

IDENTITY = Normaliser(mean=torch.zeros(1), std=torch.ones(1))
CALIBRATION = {"ece", "adaptive_ece", "classwise_ece", "ece_temperature_scaled", "temperature"}
CALIBRATION |= {"maximum_calibration_error", "rms_calibration_error", "debiased_calibration_error"}
MEASURES = CALIBRATION | {"n", "accuracy", "top5_accuracy", "nll", "brier", "aurc", "excess_aurc"}


class MeanColour(nn.Module):
    """Logits are 20 times the mean of each channel: small, fixed, and sensitive to corruption."""

    def forward(self, x: Tensor) -> Tensor:
        return 20 * x.mean((2, 3))


def make_case(n: int = 40) -> tuple[nn.Module, Tensor, Tensor]:
    images = torch.from_numpy(make_images(n, 3, 8, 8))
    targets = MeanColour()(IDENTITY(images)).argmax(1)
    targets[::4] = make_targets(len(targets[::4]), 3)
    return MeanColour(), images, targets


def test_predictions_are_the_logits_of_the_network_in_evaluation_mode() -> None:
    images = torch.from_numpy(make_images(10, 3, 8, 8))
    normaliser = Normaliser.fit(images)
    model = build_model("resnet8", in_channels=3, n_classes=4, width=4, seed=0).train()
    logits = predict(model, images, normaliser)
    assert not model.training
    assert logits.dtype == torch.float64
    assert not logits.requires_grad
    with torch.no_grad():
        assert torch.equal(logits, model(normaliser(images)).double())


def test_predicting_changes_neither_weights_nor_statistics() -> None:
    images = torch.from_numpy(make_images(10, 3, 8, 8))
    model = build_model("resnet8", in_channels=3, n_classes=4, width=4, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict(model, images, Normaliser.fit(images))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_predictions_do_not_depend_on_the_batch_size() -> None:
    images = torch.from_numpy(make_images(11, 3, 8, 8))
    model, normaliser = build_model("resnet8", in_channels=3, n_classes=4, width=4, seed=0), Normaliser.fit(images)
    whole = predict(model, images, normaliser)
    assert torch.allclose(predict(model, images, normaliser, batch_size=4), whole, rtol=1e-4, atol=1e-5)


def test_logits_may_be_used_outside_inference_mode() -> None:
    model, images, targets = make_case()
    logits = predict(model, images, IDENTITY).requires_grad_()
    nn.functional.cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None


def test_a_network_with_nan_outputs_has_diverged() -> None:
    model = build_model("resnet8", in_channels=3, n_classes=4, width=4, seed=0)
    next(model.parameters()).data.fill_(math.nan)
    images = torch.from_numpy(make_images(4, 3, 8, 8))
    with pytest.raises(DivergedError, match=r"The network's outputs are NaN or infinite"):
        predict(model, images, Normaliser.fit(images))


def test_the_headline_by_hand() -> None:
    logits = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64).log()
    row = headline(logits, torch.tensor([0, 0]))
    assert row == pytest.approx(
        {"accuracy": 1 / 2, "ece": abs(1 / 2 - 0.75), "nll": -math.log(0.75 * 0.25) / 2, "brier": (2 * 0.25**2 + 2 * 0.75**2) / 2}
    )


def test_measure_gives_every_column_and_scales_by_the_given_temperature() -> None:
    logits, targets = make_logits(50, 4), make_targets(50, 4)
    row = measure(logits, targets, temperature=2.5)
    assert row.keys() == MEASURES
    assert (row["n"], row["temperature"]) == (50, 2.5)
    assert row["ece_temperature_scaled"] == float(expected_calibration_error((logits / 2.5).softmax(1), targets))
    assert {key: row[key] for key in ("accuracy", "ece", "nll", "brier")} == headline(logits, targets)
    assert row["top5_accuracy"] is None
    assert row["ece"] <= row["rms_calibration_error"] <= row["maximum_calibration_error"]
    assert 0 <= row["excess_aurc"] < row["aurc"]


def test_the_five_most_probable_classes_count_where_there_are_more() -> None:
    logits, targets = make_logits(50, 8), make_targets(50, 8)
    hits = [int(target) in logits[row].topk(5).indices.tolist() for row, target in enumerate(targets)]
    assert measure(logits, targets, temperature=1.0)["top5_accuracy"] == sum(hits) / 50


def test_reliability_rows_make_up_the_ece_and_empty_bins_say_nothing() -> None:
    logits, targets = make_logits(80, 3), make_targets(80, 3)
    rows = reliability(logits, targets)
    assert [row["bin"] for row in rows] == list(range(15))
    assert sum(row["count"] for row in rows) == 80
    ece = sum(row["count"] / 80 * abs(row["accuracy"] - row["mean_confidence"]) for row in rows if row["count"])
    assert ece == pytest.approx(headline(logits, targets)["ece"])
    empty = [row for row in rows if not row["count"]]
    assert empty  # no confidence of three classes is below 1/3
    assert all(row["accuracy"] is None and row["mean_confidence"] is None for row in empty)


def test_an_evaluation_has_clean_rows_for_all_labels_and_corrupted_ones_for_the_first() -> None:
    model, images, targets = make_case()
    plan = EvaluationPlan(corruptions=("contrast", "gaussian_noise"), severities=(1, 5))
    labels = {"val": targets, "val_noisy": (targets + 1) % 3}
    rows, bins = evaluate(model, IDENTITY, images, labels, plan=plan)
    keys = [(row["split"], row["shift"], row["name"], row["severity"]) for row in rows]
    assert keys == [
        ("val", "clean", "clean", 0),
        ("val_noisy", "clean", "clean", 0),
        ("val", "corruption", "contrast", 1),
        ("val", "corruption", "contrast", 5),
        ("val", "corruption", "gaussian_noise", 1),
        ("val", "corruption", "gaussian_noise", 5),
    ]
    assert len(rows) == 2 + plan.n_shifts
    assert all(row.keys() == MEASURES | {"split", "shift", "name", "severity"} for row in rows)
    assert [(row["split"], row["shift"], row["name"], row["severity"], row["bin"]) for row in bins] == [
        (*key, b) for key in keys for b in range(15)
    ]


def test_every_row_is_scaled_by_the_temperature_of_the_clean_images_and_first_labels() -> None:
    model, images, targets = make_case()
    rows, _ = evaluate(
        model,
        IDENTITY,
        images,
        {"val": targets, "other": (targets + 1) % 3},
        plan=EvaluationPlan(corruptions=("contrast",), severities=(3,)),
    )
    temperature = fit_temperature(predict(model, images, IDENTITY), targets)
    assert {row["temperature"] for row in rows} == {temperature}


def test_other_labels_judge_the_same_clean_predictions() -> None:
    model, images, targets = make_case()
    other = (targets + 1) % 3
    rows, bins = evaluate(model, IDENTITY, images, {"val": targets, "val_noisy": other}, plan=EvaluationPlan())
    logits = predict(model, images, IDENTITY)
    for row, labels in zip(rows, (targets, other), strict=True):
        expected = headline(logits, labels)
        assert {key: row[key] for key in expected} == expected
    noisy_bins = [{key: row[key] for key in ("bin", "count", "mean_confidence", "accuracy")} for row in bins[15:]]
    assert noisy_bins == reliability(logits, other)


def test_a_corrupted_row_is_measured_on_corrupted_images() -> None:
    model, images, targets = make_case()
    plan = EvaluationPlan(corruptions=("gaussian_noise",), severities=(4,), seed=11)
    rows, _ = evaluate(model, IDENTITY, images, {"val": targets}, plan=plan)
    corrupted = corrupt(images, "gaussian_noise", 4, seed=11, indices=torch.arange(len(images)))
    expected = headline(predict(model, corrupted, IDENTITY), targets)
    assert {key: rows[1][key] for key in expected} == expected


def test_shifted_rows_are_corrupted_as_in_the_whole_split() -> None:
    model, images, targets = make_case()
    plan = EvaluationPlan(corruptions=("gaussian_noise",), severities=(4,))
    some = torch.tensor([30, 2, 17])
    rows, _ = evaluate(model, IDENTITY, images, {"val": targets}, plan=plan, shifted_rows=some)
    whole = corrupt(images, "gaussian_noise", 4, seed=0, indices=torch.arange(len(images)))
    expected = headline(predict(model, whole[some], IDENTITY), targets[some])
    assert [row["n"] for row in rows] == [40, 3]
    assert {key: rows[1][key] for key in expected} == expected


def test_without_a_plan_there_is_one_clean_row() -> None:
    model, images, targets = make_case()
    rows, bins = evaluate(model, IDENTITY, images, {"test": targets}, plan=EvaluationPlan())
    assert [(row["split"], row["name"]) for row in rows] == [("test", "clean")]
    assert len(bins) == 15


def test_stored_logits_have_the_probabilities_of_their_logits() -> None:
    logits = make_logits(500, 10, scale=8.0)
    stored = as_stored(logits)
    assert (stored.dtype, float(stored.max())) == (torch.float16, 0.0)
    assert torch.equal(stored.argmax(1), logits.argmax(1))
    torch.testing.assert_close(stored.double().softmax(1), logits.softmax(1), rtol=0.03, atol=1e-4)
    assert torch.equal(as_stored(stored.double()), stored)


def test_stored_logits_are_finite_however_large_they_were() -> None:
    stored = as_stored(torch.tensor([[1e6, 0.0, -1e300]], dtype=torch.float64))
    assert stored.tolist() == [[0.0, -65504.0, -65504.0]]


def test_an_observer_sees_exactly_what_is_measured() -> None:
    model, images, targets = make_case()
    seen: list[tuple[dict[str, Any], Tensor, Tensor, Tensor]] = []
    plan = EvaluationPlan(corruptions=("contrast",), severities=(2,), perturbations=("rotate",))
    rows = torch.tensor([3, 1, 7])
    evaluations, _ = evaluate(
        model,
        IDENTITY,
        images,
        {"test": targets},
        plan=plan,
        shifted_rows=rows,
        observe=lambda key, *what: seen.append((key, *what)),
    )
    assert [key["shift"] for key, *_ in seen] == ["clean", "corruption"]
    for (key, places, labels, logits), row in zip(seen, evaluations, strict=False):
        assert {name: row[name] for name in key} == key
        assert torch.equal(labels, targets[places])
        assert torch.equal(as_stored(logits).double(), logits)
        measured = measure(logits, labels, temperature=row["temperature"])
        assert {name: row[name] for name in measured} == measured
    assert seen[1][1].tolist() == [3, 1, 7]


def test_a_plan_counts_its_shifts() -> None:
    assert EvaluationPlan().n_shifts == 0
    assert EvaluationPlan(corruptions=("contrast", "pixelate")).n_shifts == 10
    assert EvaluationPlan(corruptions=("contrast",), severities=(1, 3)).n_shifts == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corruptions": ("contrst",)}, r"Unknown corruption 'contrst'.*Did you mean 'contrast'\?"),
        ({"corruptions": ("contrast",), "severities": (0,)}, r"`severity is 1, 2, 3, 4 or 5` must hold, but got severity=0"),
    ],
)
def test_a_plan_that_cannot_be_made_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationPlan(**settings)


# --- sequences


def test_steadiness_is_counted_frame_by_frame() -> None:
    model, images, _ = make_case()
    rows = torch.arange(5, 25)
    for name in ("rotate", "gaussian_noise"):
        found = steadiness(model, images, IDENTITY, name, rows=rows, seed=3, batch_size=7)
        predicted = [
            MeanColour()(IDENTITY(frame)).argmax(1).tolist() for frame in frames(images[rows], name, seed=3, indices=rows)
        ]  # by frame, then image
        flips = 0
        for image in range(20):
            for frame in range(1, len(predicted)):
                before = 0 if name == "gaussian_noise" else frame - 1
                flips += predicted[frame][image] != predicted[before][image]
        assert found == {"n": 20, "flip_probability": pytest.approx(flips / (20 * (len(predicted) - 1))), "top5_distance": None}
        assert flips > 0


def test_the_top5_distance_is_of_networks_with_more_classes() -> None:
    class Colours(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x.mean((2, 3)), x.amax((2, 3)), x.amin((2, 3))], dim=1)

    images = torch.from_numpy(make_images(6, 3, 8, 8))
    rows = torch.arange(6)
    logits = torch.stack([Colours()(IDENTITY(frame)) for frame in frames(images, "scale", seed=0, indices=rows)], dim=1)
    found = steadiness(Colours(), images, IDENTITY, "scale", rows=rows, seed=0)
    assert found["top5_distance"] == pytest.approx(float(rank_distance(logits, kind="top5")))
    assert found["top5_distance"] > 0


def test_a_constant_network_never_flips() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 3)

    images = torch.from_numpy(make_images(3, 1, 8, 8))
    assert steadiness(Constant(), images, IDENTITY, "tilt", rows=torch.arange(3), seed=0)["flip_probability"] == 0


def test_a_perturbation_gives_one_row_without_accuracies_and_no_bins() -> None:
    model, images, targets = make_case(12)
    plan = EvaluationPlan(perturbations=("translate",))
    (clean, row), bins = evaluate(model, IDENTITY, images, {"val": targets}, plan=plan, shifted_rows=torch.arange(5))
    assert clean["shift"] == "clean"
    assert (row["split"], row["shift"], row["name"], row["severity"], row["n"]) == ("val", "perturbation", "translate", 1, 5)
    assert 0 <= row["flip_probability"] <= 1
    assert "accuracy" not in row
    assert {entry["shift"] for entry in bins} == {"clean"}
    assert plan.n_frames == 16


def test_sequences_of_no_image_and_diverged_networks_are_refused() -> None:
    model, images, _ = make_case(4)
    with pytest.raises(ValueError, match="n = 0"):
        steadiness(model, images, IDENTITY, "tilt", rows=torch.arange(0), seed=0)

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 3), math.nan)

    with pytest.raises(DivergedError):
        steadiness(Broken(), images, IDENTITY, "tilt", rows=torch.arange(4), seed=0)


def test_unknown_perturbations_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"Unknown perturbation 'titl'\. .*Did you mean 'tilt'\?"):
        EvaluationPlan(perturbations=("titl",))


# --- released images, other temperatures, pictures of frost, summaries


def test_released_images_take_the_place_of_ours(tmp_path: Path) -> None:
    images = torch.from_numpy(make_images(8, 3, 32, 32))
    targets = make_targets(8, 3)
    np.save(tmp_path / "labels.npy", np.tile(targets.numpy(), 5))
    released = torch.cat([255 - images, *[images] * 4])
    np.save(tmp_path / "fog.npy", released.permute(0, 2, 3, 1).numpy())
    official = OfficialCorruptions.open(tmp_path, targets.numpy())
    plan = EvaluationPlan(corruptions=("fog",), severities=(1, 2))
    rows, _ = evaluate(MeanColour(), IDENTITY, images, {"test": targets}, plan=plan, official=official, shifted_rows=torch.tensor([6, 1]))
    clean, first, second = rows
    some = torch.tensor([6, 1])
    inverted = predict(MeanColour(), 255 - images, IDENTITY, rows=some)
    assert first["nll"] == pytest.approx(headline(inverted, targets[some])["nll"])
    assert second["nll"] == pytest.approx(headline(predict(MeanColour(), images, IDENTITY, rows=some), targets[some])["nll"])
    assert clean["n"] == 8


def test_a_given_temperature_scales_all_rows() -> None:
    model, images, targets = make_case()
    rows, _ = evaluate(model, IDENTITY, images, {"test": targets}, plan=EvaluationPlan(corruptions=("fog",)), temperature=3.0)
    assert {row["temperature"] for row in rows} == {3.0}
    logits = predict(model, images, IDENTITY)
    assert rows[0]["ece_temperature_scaled"] == float(expected_calibration_error((logits / 3).softmax(1), targets))


def test_frost_may_be_of_the_users_own_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (400, 400), (200, 30, 30)).save(tmp_path / "red.png")
    model, images, targets = make_case(16)
    own = EvaluationPlan(corruptions=("frost",), severities=(5,), frost_folder=str(tmp_path))
    own.check(channels=3, image_size=(8, 8))
    rows = torch.arange(16)
    reddened = corrupt(images, "frost", 5, seed=0, indices=rows, frost=own.frost)
    assert not torch.equal(reddened, corrupt(images, "frost", 5, seed=0, indices=rows))
    (_, row), _ = evaluate(model, IDENTITY, images, {"val": targets}, plan=own)
    assert row["nll"] == pytest.approx(headline(predict(model, reddened, IDENTITY), targets)["nll"])
    with pytest.raises(DataError, match=r"frost has 400 x 400 pixels .* but the images have 500 x 500"):
        own.check(channels=3, image_size=(500, 500))
    with pytest.raises(DataError, match="frost folder"):
        EvaluationPlan(corruptions=("frost",), frost_folder=str(tmp_path / "none")).check(channels=3, image_size=(8, 8))


def test_a_summary_by_hand() -> None:
    def corrupted(name: str, severity: int, accuracy: float) -> dict[str, Any]:
        return {"shift": "corruption", "name": name, "severity": severity, "accuracy": accuracy, "ece": accuracy / 2, "nll": 1.0}

    clean = {"shift": "clean", "name": "clean", "severity": 0, "accuracy": 0.99, "ece": 0.0, "nll": 0.0}
    flips = [
        {"shift": "perturbation", "name": "tilt", "flip_probability": 0.1, "top5_distance": 1.0},
        {"shift": "perturbation", "name": "scale", "flip_probability": 0.3, "top5_distance": 2.0},
    ]
    rows = [clean, corrupted("fog", 1, 0.8), corrupted("fog", 5, 0.4), corrupted("snow", 1, 0.5), corrupted("snow", 5, 0.5), *flips]
    assert summarise(rows) == pytest.approx(
        {
            "corrupted_accuracy": 0.55,
            "corrupted_ece": 0.275,
            "corrupted_nll": 1.0,
            "mean_corruption_error": 0.45,
            "worst_corruption": "snow",
            "worst_corruption_accuracy": 0.5,
            "flip_probability": 0.2,
            "top5_distance": 1.5,
        }
    )
    assert summarise([clean]) == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"corruptions": ("fog", "fog")}, r"each corruption is named once"),
        ({"perturbations": ("tilt", "tilt")}, r"each perturbation is named once"),
        ({"corruptions": ("fog",), "severities": (1, 1)}, r"each severity is named once"),
        ({"corruptions": ("fog",), "severities": ()}, r"corruptions have a severity"),
        ({"corruptions": ("fog",), "severities": (3.0,)}, r"severity is 1, 2, 3, 4 or 5"),
        ({"corruptions": ("fog",), "severities": (True,)}, r"severity is 1, 2, 3, 4 or 5"),
        ({"corruptions": ("fog",), "frost_folder": "here"}, r"Pictures of frost are for the corruption frost"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused_before_a_training(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationPlan(**fields)
