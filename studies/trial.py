"""One trial: a training of one arm with one set of settings, as a stream of events; and the Ray Tune trainable around it.

`trial_events` knows nothing of Ray, so a trial can be run again outside it and give the same numbers.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import torch

from bsd_core.accelerate import keep_freed_memory
from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.host_images import to_device
from bsd_core.data.images import Int64, Pixels
from bsd_core.errors import DivergedError, one_line
from bsd_core.evaluate import EvaluationPlan, evaluate, headline, predict, summarise
from bsd_core.models import n_parameters
from bsd_core.train import Recipe, Trainer

Event = dict[str, Any]
REPORT_SECONDS: Final = 0.25  # epochs that end within this time travel together: the driver's cost is by message


@dataclass(frozen=True, kw_only=True)
class SearchData:
    """All that trials of the search phase can see, sent once; there is no test split in it.

    Attributes:
        train_images, val_images: (N, C, H, W) uint8, in memory or mapped; a mapped file must be there on every machine.
        train_targets, val_targets: (N,) int64, true labels: for the record, never for a method.
        given: by condition, the labels of train and val as the condition spoils them.
        shifted_rows: rows of the validation split that are corrupted and perturbed for evaluation.
        n_classes: K.
        fingerprint: of the whole; names the copy that a process keeps.
    """

    train_images: Pixels
    train_targets: Int64
    val_images: Pixels
    val_targets: Int64
    given: dict[str, tuple[Int64, Int64]]
    shifted_rows: Int64
    n_classes: int
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What all trials of a run share."""

    model: str
    width: int | None
    stem: str = "auto"
    pretrained: str | None = None  # an absolute path, the same on every node
    train: TrainConfig  # each trial sets its own learning_rate and weight_decay
    augment: AugmentConfig
    evaluation: EvaluationPlan
    validation_labels: str
    cpus: float
    use_gpu: bool


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """What one trial is told besides."""

    trial_id: str
    method: str
    condition: str
    settings: dict[str, float | int | str]  # of the method
    learning_rate: float
    weight_decay: float
    seed: int


def reset_process_state(settings: TrialSettings) -> None:
    """Undo what an earlier trial may have left in this process: actors are reused, and these settings outlive a trial."""
    keep_freed_memory()
    torch.set_num_threads(max(1, int(settings.cpus)))
    torch.use_deterministic_algorithms(False)
    if settings.train.compile == "on" or settings.use_gpu:
        torch.compiler.reset()  # graphs are counted by process; beyond a limit a later trial would silently run uncompiled
    torch.manual_seed(0)  # no trial draws from the global stream; a method that did would at least repeat


_on_device: dict[tuple[str, str], dict[str, Any]] = {}


def _tensors(data: SearchData, device: torch.device) -> dict[str, Any]:
    """This process's own copy of the data, made once.

    A copy, because writing to a tensor made from Ray's shared memory would silently change the data for every other process. Mapped
    images stay in their file, which nobody can write to.
    """
    key = (data.fingerprint, str(device))
    if key not in _on_device:
        _on_device.clear()

        def own(array: Int64) -> torch.Tensor:
            return torch.tensor(array, device=device)

        _on_device[key] = {
            "train_images": to_device(data.train_images, device),
            "train_targets": own(data.train_targets),
            "val_images": to_device(data.val_images, device),
            "val_targets": own(data.val_targets),
            "given": {name: (own(train), own(val)) for name, (train, val) in data.given.items()},
            "shifted_rows": own(data.shifted_rows),
        }
    return _on_device[key]


def trial_events(task: TrialTask, settings: TrialSettings, data: SearchData, device: torch.device) -> Iterator[Event]:
    """Train, report every epoch, evaluate on validation images.

    Yields:
        one `epoch` event an epoch, then one `end` event: state `complete` with metrics, evaluations and reliability bins, or state
        `failed` with the reason. Expected and unexpected errors alike end in a `failed` event, so the process lives on.
    """
    started = time.perf_counter()
    facts = {"trial_id": task.trial_id, "node": socket.gethostname(), "pid": os.getpid(), "device": _device_name(device)}
    spent: dict[str, Any] = {"epochs": 0, "train_seconds": 0.0, "images_seen": 0, "images_per_second": None, "n_parameters": None}
    try:
        yield from _train_and_evaluate(task, settings, data, device, facts, spent)
    except Exception as error:
        reason = f"diverged: {error}" if isinstance(error, DivergedError) else f"{type(error).__name__}: {error}"
        details = None if isinstance(error, DivergedError) else traceback.format_exc()
        spent["train_seconds"] = spent["train_seconds"] or time.perf_counter() - started
        end = {"event": "end", "state": "failed", "error": one_line(ValueError(reason)), "traceback": details}
        yield {**facts, **spent, **end, "metrics": {}, "evaluations": [], "reliability": []}


def _train_and_evaluate(
    task: TrialTask, settings: TrialSettings, data: SearchData, device: torch.device, facts: Event, spent: dict[str, Any]
) -> Iterator[Event]:
    tensors = _tensors(data, device)
    train_given, val_noisy = tensors["given"][task.condition]
    wrong = train_given != tensors["train_targets"]
    spent |= {"n_wrong_labels": int(wrong.sum()), "wrong_label_share": float(wrong.double().mean())}
    val_labels = {"clean": tensors["val_targets"], "noisy": val_noisy}
    chosen = settings.validation_labels
    recipe = Recipe(
        method=task.method,
        settings=task.settings,
        model=settings.model,
        width=settings.width,
        stem=settings.stem,
        pretrained=settings.pretrained,
        train=replace(settings.train, learning_rate=task.learning_rate, weight_decay=task.weight_decay),
        augment=settings.augment,
        seed=task.seed,
    )
    trainer = Trainer(recipe, tensors["train_images"], train_given, true=tensors["train_targets"], n_classes=data.n_classes)
    spent["n_parameters"] = n_parameters(trainer.model)
    training_seconds = 0.0
    while trainer.epoch < trainer.epochs:
        started = time.perf_counter()
        record = trainer.run_epoch()
        val = headline(predict(trainer.network, tensors["val_images"], trainer.normaliser), val_labels[chosen])
        seconds = time.perf_counter() - started
        training_seconds += record.seconds
        spent["epochs"] = record.epoch
        spent["train_seconds"] += seconds
        spent["images_seen"] += record.images_seen
        spent["images_per_second"] = spent["images_seen"] / training_seconds
        row = asdict(record) | {
            "epochs": trainer.epochs,
            "seconds": seconds,
            "val_accuracy": val["accuracy"],
            "val_ece": val["ece"],
            "val_nll": val["nll"],
        }
        yield {"event": "epoch", "trial_id": task.trial_id, **row}

    started = time.perf_counter()
    other = "clean" if chosen == "noisy" else "noisy"
    evaluations, reliability = evaluate(
        trainer.network,
        trainer.normaliser,
        tensors["val_images"],
        {"val": val_labels[chosen], f"val_{other}_labels": val_labels[other]},
        plan=settings.evaluation,
        shifted_rows=tensors["shifted_rows"],
    )
    yield {
        **facts,
        **spent,
        "event": "end",
        "state": "complete",
        "error": None,
        "evaluate_seconds": time.perf_counter() - started,
        "metrics": _trial_metrics(evaluations, chosen, other),
        "evaluations": evaluations,
        "reliability": reliability,
    }


def _trial_metrics(evaluations: list[Event], chosen: str, other: str) -> Event:
    """The trial's own columns, from its evaluation rows."""
    clean, by_other, *shifted = evaluations
    metrics = {f"val_{name}": clean[name] for name in ("accuracy", "ece", "nll", "brier")}
    for labels, row in ((chosen, clean), (other, by_other)):
        metrics |= {f"val_accuracy_{labels}_labels": row["accuracy"], f"val_ece_{labels}_labels": row["ece"]}
    return metrics | {f"val_{name}": value for name, value in summarise(shifted).items()}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def run_trial(config: dict[str, Any], *, data: SearchData, settings: TrialSettings) -> None:
    """Ray Tune's trainable: `trial_events`, sent to the driver as JSON in a few messages.

    Args:
        config: {"task": the fields of a TrialTask}.
        data: shared by all trials through Ray's object store.
        settings: the run's.
    """
    from ray import tune

    reset_process_state(settings)
    device = torch.device("cuda" if settings.use_gpu else "cpu")
    waiting: list[Event] = []
    last_sent = time.perf_counter()
    for event in trial_events(TrialTask(**config["task"]), settings, data, device):
        waiting.append(event)
        if event["event"] == "end" or time.perf_counter() - last_sent > REPORT_SECONDS:
            tune.report({"events": json.dumps(waiting, allow_nan=False)})
            waiting, last_sent = [], time.perf_counter()
