"""Every number of golden/metrics.npz that one of our metrics gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bsd_core.metrics import calibration, classification, detection, features, robustness
from tests._dummies import load_golden

Metric = Callable[..., Any]
Golden = dict[str, Tensor]

OF_PROBS: dict[str, Metric] = {
    "acc": classification.accuracy,
    "nll": classification.negative_log_likelihood,
    "brier": classification.brier_score,
    "aurc": classification.area_under_risk_coverage,
    "aurc_expected_over_ties": classification.expected_area_under_risk_coverage,
    "eaurc": classification.excess_area_under_risk_coverage,
    "ece15": calibration.expected_calibration_error,
    "ece10": partial(calibration.expected_calibration_error, n_bins=10),
    "mce15": calibration.maximum_calibration_error,
    "rmsce15": calibration.root_mean_square_calibration_error,
    "adaece15_split": calibration.adaptive_calibration_error,
    "cwece15": calibration.classwise_calibration_error,
}
ON_THE_EDGES = ["ece15", "mce15", "rmsce15", "adaece15_split"]


def scaled(golden: Golden) -> Tensor:
    temperature = calibration.fit_temperature(golden["random_logits"], golden["random_labels"])
    return (golden["random_logits"] / temperature).softmax(1)


def of_probs(name: str, case: str) -> Callable[[Golden], Any]:
    return lambda golden: OF_PROBS[name](golden[f"{case}_probs"], golden[f"{case}_labels"])


def relative_errors(golden: Golden) -> Tensor:
    clean, base_clean = float(golden["mce_clean"]), float(golden["mce_base_clean"])
    return robustness.relative_corruption_errors(golden["mce_err"], golden["mce_base"], clean_error=clean, base_clean_error=base_clean)


FOUND: dict[str, Callable[[Golden], Any]] = {
    **{f"random_{name}": of_probs(name, "random") for name in OF_PROBS},
    **{f"edges_{name}": of_probs(name, "edges") for name in ON_THE_EDGES},
    "ts_T": lambda golden: calibration.fit_temperature(golden["random_logits"], golden["random_labels"]),
    "ts_nll": lambda golden: classification.negative_log_likelihood(scaled(golden), golden["random_labels"]),
    "ts_ece15": lambda golden: calibration.expected_calibration_error(scaled(golden), golden["random_labels"]),
    "ood_auroc": lambda golden: detection.auroc(golden["ood_id_score"], golden["ood_ood_score"]),
    "ood_fpr95_id_positive": lambda golden: detection.fpr_at_95(golden["ood_id_score"], golden["ood_ood_score"], positive="in"),
    "ood_fpr95_ood_positive": lambda golden: detection.fpr_at_95(golden["ood_id_score"], golden["ood_ood_score"], positive="out"),
    "recall1_euclid": lambda golden: features.recall_at_1(golden["recall_features"], golden["recall_labels"]),
    "recall1_cosine": lambda golden: features.recall_at_1(golden["recall_features"], golden["recall_labels"], metric="cosine"),
    "mce_CE": lambda golden: robustness.corruption_errors(golden["mce_err"], golden["mce_base"]),
    "mce_mCE": lambda golden: robustness.mean_corruption_error(golden["mce_err"], golden["mce_base"]),
    "mce_relCE": relative_errors,
    "mce_rel_mCE": lambda golden: relative_errors(golden).mean(),
    "mce_unnormalised": lambda golden: robustness.mean_corruption_error(golden["mce_err"]),
    "flip_prob_temporal": lambda golden: robustness.flip_probability(golden["flip_preds"]),
    "flip_prob_noise": lambda golden: robustness.flip_probability(golden["flip_preds"], noise=True),
    "rankdist_top5": lambda golden: robustness.rank_distance(golden["rankdist_logits"], kind="top5"),
    "rankdist_zipf": lambda golden: robustness.rank_distance(golden["rankdist_logits"], kind="zipf"),
}
# T and what follows from it: the recorded T was found by a minimiser that is exact to 2e-8 only.
LOOSE = {"ts_T": 1e-7, "ts_ece15": 1e-6}
BINS = {"random_bins15", "edges_bins15"}  # of the test below
INPUTS = {"random_probs", "random_labels", "random_logits", "edges_probs", "edges_labels", "edges_conf", "edges_correct", "edges_edges"} | {
    *("ood_id_score", "ood_ood_score", "recall_features", "recall_labels", "flip_preds", "rankdist_logits"),
    *("mce_err", "mce_base", "mce_clean", "mce_base_clean"),
}
# What other rules and other libraries give: [low, high) bins, edges in float32, interpolated edges, a stopped LBFGS.
OTHERS = {
    *("random_adaece15_interp", "random_adaece15_interp_firstclosed", "edges_adaece15_interp", "random_torchmetrics_l1"),
    *("edges_ece15_leftclosed", "edges_ece15_leftclosed_extra_bin_at_1", "edges_torchmetrics_fn_float64_edges"),
    *("edges_torchmetrics_class", "edges_gpleiss_float32edges", "ts_T_lbfgs_lr0.01_iter200"),
}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return {name: torch.from_numpy(np.asarray(array)) for name, array in load_golden("metrics").items()}


@pytest.mark.parametrize("name", FOUND)
def test_metrics_equal_the_golden_numbers(name: str, golden: Golden) -> None:
    found = torch.as_tensor(FOUND[name](golden), dtype=torch.float64)
    assert found.shape == golden[name].shape
    assert found.numpy() == pytest.approx(golden[name].numpy(), rel=LOOSE.get(name, 1e-12))


@pytest.mark.parametrize("case", ["random", "edges"])
def test_bins_equal_the_golden_numbers(case: str, golden: Golden) -> None:
    bins = calibration.reliability_bins(golden[f"{case}_probs"], golden[f"{case}_labels"])
    count, confidence, accuracy = golden[f"{case}_bins15"].T
    filled = count > 0
    assert torch.equal(bins.count, count)
    assert bins.mean_confidence[filled].numpy() == pytest.approx(confidence[filled].numpy(), rel=1e-12)
    assert bins.accuracy[filled].numpy() == pytest.approx(accuracy[filled].numpy(), rel=1e-12)


def test_no_golden_number_is_left_out(golden: Golden) -> None:
    assert FOUND.keys() | BINS | INPUTS | OTHERS == golden.keys()


def test_the_other_rules_for_edges_give_other_numbers(golden: Golden) -> None:
    found = float(calibration.expected_calibration_error(golden["edges_probs"], golden["edges_labels"]))
    assert all(abs(found - float(golden[name])) > 1e-3 for name in OTHERS if name.startswith("edges_") and "adaece" not in name)
