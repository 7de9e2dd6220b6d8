"""Small studies, ledgers and run folders that tests share; nothing here trains or starts Ray."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console, RenderableType

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.evaluate import EvaluationPlan
from studies.ledger import Event, Ledger
from studies.outcome import Outcome
from studies.predictions import Prediction, write_predictions
from studies.run_folder import RunFolder, create_run
from studies.search import StudySearch, Suggestion
from studies.spec import StudySpec
from studies.study_file import check_spec
from studies.tables import Tables, build_tables
from studies.trial_data import SearchData, TrialSettings, TrialTask
from tests._dummies import make_png, make_toy_images

CONSTANTS = {
    "study": "mine",
    "run_id": "20250101T000000Z-abc123",
    "dataset": "digits",
    "model": "resnet8",
    "validation_labels": "clean",
    "objectives": "val_accuracy, val_ece",
}


def make_document(**changes: Any) -> dict[str, Any]:
    """A valid study file as parsed YAML; a change of None leaves the field out."""
    document = {
        "question": "Does it work?",
        "methods": ["cross_entropy", "bsd"],
        "conditions": ["none"],
        "trials": 2,
        "epochs": 2,
        "width": 4,
        "batch_size": 64,
        "validation_labels": "clean",
        "evaluate": {"corruptions": "none"},
        "confirm": "none",
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def make_spec(**changes: Any) -> StudySpec:
    """A small study on digits, changed as said."""
    return check_spec(make_document(**changes), where="mine.yaml")


def write_study(folder: Path, *, name: str = "mine", **changes: Any) -> Path:
    """A study file of `make_document`."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(make_document(**changes)), encoding="utf-8")
    return path


def make_suggest(arm: str, number: int, *, params: dict[str, float] | None = None, seed: int = 5, phase: str = "search") -> Event:
    """A `suggest` event; a condition `symmetric_40` has rate 0.4."""
    method, _, condition = arm.partition("/")
    kind, _, percent = condition.partition("_")
    return {
        "event": "suggest",
        "phase": phase,
        "arm": arm,
        "method": method,
        "condition": condition,
        "noise_kind": kind,
        "noise_rate": float(percent or 0) / 100,
        "trial_id": trial_id(arm, number),
        "trial_number": number,
        "seed": seed,
        "params": {"learning_rate": 0.1, "weight_decay": 5e-4} if params is None else params,
    }


def trial_id(arm: str, number: int) -> str:
    """As the search makes them."""
    return f"{arm.replace('/', '-')}-{number:04d}"


def make_epoch(epoch: int, **changes: Any) -> Event:
    """One row of an `epochs` event."""
    return {
        "epoch": epoch,
        "train_loss": 2.0 / epoch,
        "train_accuracy": 0.5,
        "learning_rate": 0.1,
        "label_recovery": None,
        "memorised": None,
        "images_seen": 100,
        "seconds": 0.25,
        "val_accuracy": 0.5,
        "val_ece": 0.1,
        "val_nll": 1.5,
        **changes,
    }


def make_epochs(arm: str, number: int, *rows: Event) -> Event:
    """An `epochs` event."""
    return {"event": "epochs", "trial_id": trial_id(arm, number), "rows": list(rows)}


def make_end(arm: str, number: int, accuracy: float | None, ece: float = 0.1, **metrics: float) -> Event:
    """An `end` event: complete with these objectives, or failed where accuracy is None."""
    end: Event = {
        "event": "end",
        "trial_id": trial_id(arm, number),
        "node": "here",
        "device": "cpu",
        "epochs": 2,
        "train_seconds": 1.5,
        "images_seen": 200,
        "images_per_second": 400.0,
        "n_parameters": 77,
    }
    if accuracy is None:
        return end | {"state": "failed", "error": "diverged: loss nan", "metrics": {}, "evaluations": [], "reliability": []}
    key = {"split": "val", "shift": "clean", "name": "clean", "severity": 0}
    measured = {
        "val_accuracy": accuracy,
        "val_ece": ece,
        "val_nll": 0.7,
        "val_brier": 0.3,
        "val_accuracy_clean_labels": accuracy,
        "val_ece_clean_labels": ece,
        "val_accuracy_noisy_labels": accuracy / 2,
        "val_ece_noisy_labels": ece / 2,
        **metrics,
    }
    evaluation = {**key, "n": 100, "accuracy": accuracy, "ece": ece, "nll": 0.7, "brier": 0.3, "temperature": 1.5}
    bins = [
        {**key, "bin": 0, "count": 0, "mean_confidence": None, "accuracy": None},
        {**key, "bin": 14, "count": 100, "mean_confidence": 0.97, "accuracy": accuracy},
    ]
    done = {"state": "complete", "error": None, "evaluate_seconds": 0.5, "metrics": measured}
    return end | done | {"evaluations": [evaluation], "reliability": bins}


def make_events(*trials: tuple[str, int, float | None, float], params: dict[str, float] | None = None) -> list[Event]:
    """A ledger of finished trials, each (arm, number, accuracy or None if it failed, ece), each with settings of its own unless given."""
    events = []
    for arm, number, accuracy, ece in trials:
        settings = {"learning_rate": 0.1, "weight_decay": 5e-4 * (number + 1)} if params is None else params
        events += [
            make_suggest(arm, number, params=settings),
            make_epochs(arm, number, make_epoch(1), make_epoch(2)),
            make_end(arm, number, accuracy, ece),
        ]
    return events


def make_choice(chosen: Mapping[tuple[str, int], str]) -> Event:
    """The event that these search trials, by (arm, number), are chosen as said and that the test split is opened."""
    roles = {trial_id(*trial): role.split(", ") for trial, role in chosen.items()}
    return {"event": "confirm", "chosen": roles, "opened": "2025-01-02T03:04:05+00:00", "test_fingerprint": "abc"}


def make_confirmation(
    arm: str,
    number: int,
    replicate: int,
    accuracy: float | None,
    ece: float = 0.1,
    *,
    corrupted: Mapping[str, Sequence[float]] | None = None,
) -> list[Event]:
    """The events of one training of the confirm phase, complete, or failed where accuracy is None.

    Validation values are the test values; the images' intervals reach 0.02 to both sides. `corrupted`: accuracies by severity.
    """
    name = f"{trial_id(arm, number)}-confirm-{replicate}"
    fresh = {"trial_id": name, "confirms": trial_id(arm, number), "replicate": replicate, "seed": 100 + replicate}
    suggest = make_suggest(arm, number, phase="confirm") | fresh
    measured: dict[str, float] = {}
    if accuracy is not None:
        values = {"accuracy": accuracy, "ece": ece}
        measured = {f"test_{metric}": value for metric, value in values.items()} | {"test_nll": 0.5, "test_ece_temperature_scaled": ece / 2}
        measured |= {f"test_{metric}_low": value - 0.02 for metric, value in values.items()}
        measured |= {f"test_{metric}_high": value + 0.02 for metric, value in values.items()}
    end = make_end(arm, number, accuracy, ece, **measured) | {"trial_id": name}
    if accuracy is not None:
        clean = {"split": "test", "shift": "clean", "name": "clean", "severity": 0, "n": 100, "accuracy": accuracy, "ece": ece}
        shifted = [
            clean | {"shift": "corruption", "name": name, "severity": severity, "accuracy": value}
            for name, values in (corrupted or {}).items()
            for severity, value in enumerate(values, start=1)
        ]
        end["evaluations"] += [clean, *shifted]
    return [suggest, make_epochs(arm, number, make_epoch(1)) | {"trial_id": name}, end]


def write_clean_predictions(folder: Path, name: str, confidence: npt.ArrayLike, hit: npt.ArrayLike) -> None:
    """What a trial of two classes said of test images, as it keeps it: (N,) confidences and whether it was right, rounded as logits are."""
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(hit, dtype=bool)
    rows = np.arange(len(sure))
    targets = rows % 2
    logits = np.zeros((len(sure), 2))
    logits[rows, np.where(right, 1 - targets, targets)] = np.log((1 - sure) / sure)
    folder.mkdir(parents=True, exist_ok=True)
    kept = Prediction(split="test", shift="clean", name="clean", severity=0, rows=rows, targets=targets, logits=logits.astype(np.float16))
    write_predictions(folder / f"{name}.parquet", [kept])


def make_tables(*trials: tuple[str, int, float | None, float], **constants: str) -> Tables:
    """Tables of `make_events`."""
    return build_tables(make_events(*trials), {**CONSTANTS, **constants})


def write_ledger(path: Path, events: Iterable[Event]) -> None:
    """Append `events`."""
    ledger = Ledger(path)
    for event in events:
        ledger.append(event)
    ledger.close()


def make_run(results: Path, events: Sequence[Event] = (), *, study: str = "mine", **changes: Any) -> RunFolder:
    """A run folder of `make_spec` with a ledger."""
    run = create_run(results, study, make_spec(**changes))
    write_ledger(run.ledger, events)
    return run


def render(renderable: RenderableType, *, width: int = 80) -> list[str]:
    """What a console of `width` columns shows, line by line."""
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(renderable, highlight=False)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text).splitlines()


def play(search: StudySearch, *, fail: Iterable[tuple[str, int]] = (), at_most: int = 1000) -> list[Suggestion]:
    """Hand out trials one after the other, each told before the next, until the search is done."""
    failing = set(fail)
    handed_out: list[Suggestion] = []
    while len(handed_out) < at_most and (suggestion := search.next()) is not None:
        handed_out.append(suggestion)
        arm, number = suggestion.arm.name, suggestion.number
        search.tell(arm, number, Outcome(values=None if (arm, number) in failing else objectives(suggestion)))
    return handed_out


def objectives(suggestion: Suggestion) -> tuple[float, float]:
    """(accuracy, ece) as a smooth function of the settings: what a search can learn from."""
    params = suggestion.params
    distance = abs(np.log10(params["learning_rate"]) + 1) + abs(np.log10(params["weight_decay"]) + 3) / 4
    return float(1 / (1 + distance)), float(0.2 * distance / (1 + distance) + 0.01 * sum(params.values()) % 0.05)


def make_search_data(*, n_train: int = 48, n_val: int = 24, conditions: Sequence[str] = ("none",), fingerprint: str = "toy") -> SearchData:
    """Toy images of three classes; every condition but `none` gives the first six training labels wrong."""
    images, targets = (tensor.numpy() for tensor in make_toy_images(n_train + n_val))
    train, val = targets[:n_train], targets[n_train:]
    wrong = train.copy()
    wrong[:6] = (wrong[:6] + 1) % 3
    return SearchData(
        train_images=images[:n_train],
        train_targets=train,
        val_images=images[n_train:],
        val_targets=val,
        given={name: (train if name == "none" else wrong, val) for name in conditions},
        shifted_rows=np.arange(0, n_val, 2),
        n_classes=3,
        fingerprint=fingerprint,
    )


def make_settings(*, epochs: int = 2, **changes: Any) -> TrialSettings:
    """Settings for trainings of a fraction of a second."""
    plain: dict[str, Any] = {
        "model": "resnet8",
        "width": 4,
        "train": TrainConfig(epochs=epochs, batch_size=16),
        "augment": AugmentConfig(crop_padding=1),
        "evaluation": EvaluationPlan(corruptions=("contrast",), severities=(1, 3)),
        "validation_labels": "clean",
        "cpus": 1.0,
        "use_gpu": False,
    }
    return TrialSettings(**{**plain, **changes})


def make_task(method: str = "cross_entropy", **changes: Any) -> TrialTask:
    """One trial on `make_search_data`."""
    plain = {
        "trial_id": f"{method}-none-0000",
        "method": method,
        "condition": "none",
        "settings": {},
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "seed": 3,
    }
    return TrialTask(**{**plain, **changes})


def write_parquet(
    path: Path, *, n: int = 30, n_classes: int = 3, size: int = 8, broken_row: int | None = None, colour: bool = False
) -> Path:
    """PNG images with labels, as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, targets = make_toy_images(max(n, 1), n_classes, size=size)
    encoded = [
        make_png(np.stack([image[0], image[0] // 2, 255 - image[0]], axis=2) if colour else image[0].numpy()) for image in images[:n]
    ]
    if broken_row is not None:
        encoded[broken_row] = b"no image"
    table = pa.table({"img": pa.array(encoded, pa.binary()), "label": pa.array(targets[:n].tolist(), pa.int64())})
    pq.write_table(table, path)
    return path
