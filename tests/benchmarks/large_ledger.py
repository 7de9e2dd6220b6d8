"""Ledgers as large as those of a study on a cluster, without a training: numbers as long as measured ones, and as many."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from bsd_core.robustness.corruptions import CORRUPTIONS
from studies.arm_space import searched_settings
from studies.driver import suggest_event
from studies.ledger import Event
from studies.search import Suggestion
from studies.spec import StudySpec
from tests.studies._dummies import make_spec

N_BINS = 15
METRICS = ("accuracy", "ece", "adaptive_ece", "classwise_ece", "maximum_calibration_error", "rms_calibration_error", "nll", "brier", "aurc")


def large_spec(*, trials: int, arms: int = 1, epochs: int = 100, **changes: Any) -> StudySpec:
    """A study of `trials` trials in all, on `arms` arms (1, or an even number)."""
    methods = ["bsd"] if arms == 1 else ["cross_entropy", "bsd"]
    conditions = ["none"] if arms == 1 else [f"symmetric:{0.01 * number:.2f}" for number in range(1, arms // 2 + 1)]
    return make_spec(methods=methods, conditions=conditions, trials=trials // arms, epochs=epochs, **changes)


def epoch_rows(n: int, rng: random.Random) -> list[Event]:
    """What a training of `n` epochs sends of them."""
    return [
        {
            "epoch": epoch,
            "train_loss": rng.random(),
            "train_accuracy": rng.random(),
            "learning_rate": rng.random(),
            "label_recovery": rng.random(),
            "memorised": rng.random(),
            "images_seen": 1078,
            "epochs": n,
            "seconds": rng.random(),
            "val_accuracy": rng.random(),
            "val_ece": rng.random(),
            "val_nll": rng.random(),
        }
        for epoch in range(1, n + 1)
    ]


@lru_cache(8)
def _measured(n_corruptions: int, severities: tuple[int, ...]) -> tuple[list[Event], list[Event]]:
    """Rows of `evaluations` and `reliability`: clean by both kinds of labels, then corrupted."""
    rng = random.Random(0)
    clean = [("val", "clean", "clean", 0), ("val_noisy_labels", "clean", "clean", 0)]
    corrupted = [("val", "corruption", name, severity) for name in list(CORRUPTIONS)[:n_corruptions] for severity in severities]
    keys = [dict(zip(("split", "shift", "name", "severity"), key, strict=True)) for key in (*clean, *corrupted)]
    evaluations = [{**key, "n": 359, **{name: rng.random() for name in METRICS}, "temperature": 1 + rng.random()} for key in keys]
    bins = [
        {**key, "bin": index, "count": rng.randrange(50), "mean_confidence": rng.random(), "accuracy": rng.random()}
        for key in keys
        for index in range(N_BINS)
    ]
    return evaluations, bins


def end_event(trial_id: str, epochs: int, rng: random.Random, *, corruptions: int = 0, severities: tuple[int, ...] = (3,)) -> Event:
    """A finished trial's `end`, evaluated on some corruptions, too."""
    evaluations, bins = _measured(corruptions, severities)
    accuracy, ece = rng.random(), rng.random()
    metrics = {"val_accuracy": accuracy, "val_ece": ece, "val_nll": rng.random(), "val_brier": rng.random()}
    for labels in ("clean", "noisy"):
        metrics |= {f"val_accuracy_{labels}_labels": accuracy, f"val_ece_{labels}_labels": ece}
    return {
        "event": "end",
        "trial_id": trial_id,
        "node": "node",
        "pid": 1,
        "device": "cpu",
        "epochs": epochs,
        "train_seconds": 50 + rng.random(),
        "images_seen": 1078 * epochs,
        "images_per_second": 1000 * rng.random(),
        "n_parameters": 77_000,
        "n_wrong_labels": 0,
        "wrong_label_share": 0.0,
        "noise_fingerprint": "0" * 16,
        "total_epochs": epochs,
        "state": "complete",
        "error": None,
        "evaluate_seconds": rng.random(),
        "temperature": 1 + rng.random(),
        "metrics": metrics,
        "evaluations": evaluations,
        "reliability": bins,
    }


def _draw(space: BaseDistribution, rng: random.Random) -> Any:
    if isinstance(space, CategoricalDistribution):
        return rng.choice(space.choices)
    assert isinstance(space, FloatDistribution)
    if space.log:
        return math.exp(rng.uniform(math.log(space.low), math.log(space.high)))
    return rng.uniform(space.low, space.high)


def large_events(spec: StudySpec, *, batch: int = 10, corruptions: int = 0, severities: tuple[int, ...] = (3,)) -> Iterator[Event]:
    """The events of a whole search, settings at random, with `batch` epochs a message."""
    rng = random.Random(0)
    for number in range(spec.trials):
        for arm in spec.arms:
            trial_id = f"{arm.name.replace('/', '-')}-{number:04d}"
            params = {name: _draw(space, rng) for name, space in searched_settings(spec, arm.method).items()}
            yield suggest_event(Suggestion(trial_id=trial_id, arm=arm, number=number, params=params, seed=number))
            rows = epoch_rows(spec.epochs, rng)
            yield from (
                {"event": "epochs", "trial_id": of, "rows": rows[start : start + batch]}
                for of, start in zip(repeat(trial_id), range(0, spec.epochs, batch), strict=False)
            )
            yield end_event(trial_id, spec.epochs, rng, corruptions=corruptions, severities=severities)
