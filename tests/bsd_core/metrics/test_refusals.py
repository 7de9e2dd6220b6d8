"""Every public function of the metrics refuses N = 0 and NaN."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from bsd_core import metrics
from bsd_core.metrics.classification import accuracy

HELPERS = {"binning", "inputs"}  # modules that hold no metric
FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"{info.name}.{name}": function
    for info in pkgutil.iter_modules(metrics.__path__)
    if info.name not in HELPERS
    for name, function in inspect.getmembers(importlib.import_module(f"bsd_core.metrics.{info.name}"), inspect.isfunction)
    if function.__module__ == f"bsd_core.metrics.{info.name}" and not name.startswith("_")
}

TARGETS = torch.tensor([0, 1, 1, 0])
PROBS = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.8, 0.2], [0.9, 0.1]])
BY_MODULE: dict[str, dict[str, Tensor]] = {
    "calibration": {"probs": PROBS, "targets": TARGETS},
    "classification": {"probs": PROBS, "targets": TARGETS},
    "detection": {"in_scores": PROBS[:, 0], "out_scores": PROBS[:, 1]},
    "features": {"features": PROBS, "labels": TARGETS},
    "intervals": {"probs": PROBS, "targets": TARGETS},
    "label_noise": {"true": TARGETS, "given": 1 - TARGETS},
    "robustness": {"errors": PROBS, "base_errors": PROBS},
}
BY_FUNCTION: dict[str, dict[str, Tensor]] = {
    "calibration.fit_temperature": {"logits": PROBS, "targets": TARGETS},
    "label_noise.label_recovery": {"estimates": TARGETS, **BY_MODULE["label_noise"]},
    "label_noise.memorised_fraction": {"predicted": TARGETS, **BY_MODULE["label_noise"]},
    "robustness.flip_probability": {"predictions": torch.stack([TARGETS, 1 - TARGETS])},
    "robustness.rank_distance": {"logits": PROBS.reshape(2, 2, 2)},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "classification.top_k_accuracy": {"k": 1},
    "detection.fpr_at_95": {"positive": "in"},
    "intervals.accuracy_interval": {"seed": 0, "n_resamples": 5},
    "intervals.bootstrap_interval": {"seed": 0, "n_resamples": 5, "metric": accuracy},
    "intervals.ece_interval": {"seed": 0, "n_resamples": 5},
    "robustness.rank_distance": {"kind": "zipf"},
    "robustness.relative_corruption_errors": {"clean_error": 0.01, "base_clean_error": 0.01},
}


def call(name: str) -> tuple[Callable[..., Any], dict[str, Tensor]]:
    """The function with its options, and tensors that it accepts."""
    tensors = BY_FUNCTION.get(name, BY_MODULE[name.partition(".")[0]])
    return partial(FUNCTIONS[name], **OPTIONS.get(name, {})), tensors


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_is_accepted(name: str) -> None:
    function, tensors = call(name)
    assert function(**tensors) is not None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_samples_are_refused(name: str) -> None:
    function, tensors = call(name)
    with pytest.raises(ValueError, match=r"A metric of no samples is undefined: got N = 0"):
        function(**{key: tensor[:0] for key, tensor in tensors.items()})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_is_refused_wherever_it_stands(name: str) -> None:
    function, tensors = call(name)
    for key, tensor in tensors.items():
        spoiled = tensor.to(torch.float64, copy=True)
        spoiled.view(-1)[-1] = torch.nan
        with pytest.raises(ValueError, match=rf"`{key}` holds NaN or infinity|Expected integer {key}"):
            function(**{**tensors, key: spoiled})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_layout_in_memory_and_a_gradient_change_nothing(name: str) -> None:
    function, tensors = call(name)
    wide = {key: torch.stack([tensor, tensor], -1).double() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    strided = {key: tensor[..., 0].requires_grad_() if tensor.is_floating_point() else tensor for key, tensor in wide.items()}
    assert str(function(**strided)) == str(function(**tensors))


@pytest.mark.parametrize("key", ["clean_error", "base_clean_error"])
def test_a_clean_error_of_nan_is_refused(key: str) -> None:
    function, tensors = call("robustness.relative_corruption_errors")
    with pytest.raises(ValueError, match=r"`clean errors` holds NaN"):
        function(**tensors, **{key: float("nan")})
