"""One trial: a training of one arm with one set of settings, as a stream of events; and the Ray Tune trainable around it.

`trial_events` knows nothing of Ray, so a trial can be run again outside it and give the same numbers.
"""

from __future__ import annotations

import json
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, TypeVar

import torch

from bsd_core.accelerate import keep_freed_memory
from bsd_core.errors import DivergedError, one_line
from bsd_core.evaluate import EvaluationPlan, headline, predict
from bsd_core.models import n_parameters
from bsd_core.train import Recipe, Trainer
from studies.kept import Kept
from studies.measure import Measured, measure_test, measure_val, ran_out_of_memory
from studies.own_copy import own_copy
from studies.trial_checkpoints import TrialCheckpoints, checkpoints_of
from studies.trial_data import SearchData, TestData, TrialSettings, TrialTask, fingerprint

Event = dict[str, Any]


def reset_process_state(settings: TrialSettings) -> None:
    """Undo what an earlier trial may have left in this process: actors are reused, and these settings outlive a trial."""
    keep_freed_memory()
    torch.set_num_threads(max(1, int(settings.cpus)))
    torch.use_deterministic_algorithms(False)
    if settings.train.compile == "on" or settings.use_gpu:
        torch.compiler.reset()  # graphs are counted by process; beyond a limit a later trial would silently run uncompiled
    torch.manual_seed(0)  # no trial draws from the global stream; a method that did would at least repeat


def trial_events(
    task: TrialTask,
    settings: TrialSettings,
    data: SearchData,
    device: torch.device,
    test: TestData | None = None,
    *,
    on_trainer: Callable[[Trainer], object] | None = None,
    checkpoints: TrialCheckpoints | None = None,
) -> Iterator[Event]:
    """Train, report every epoch, evaluate on validation images and, where `test` is given, on test images.

    Args:
        task, settings, data, test: see there.
        device: to train on.
        on_trainer: is shown the training before its first epoch.
        checkpoints: where it goes on if it was begun before; without them it begins.

    Yields:
        one `epoch` event an epoch, at a rung with what an `end` event would say `so_far`; then one `end` event: state `complete` with
        metrics, evaluations, reliability bins and what is `kept`, or state `failed` with the reason. Expected and unexpected errors alike
        end in a `failed` event, so the process lives on.
    """
    started = time.perf_counter()
    facts = {"trial_id": task.trial_id, "node": socket.gethostname(), "pid": os.getpid(), "device": _device_name(device)}
    spent: dict[str, Any] = {"epochs": 0, "train_seconds": 0.0, "images_seen": 0, "images_per_second": None, "n_parameters": None}
    try:
        yield from _train_and_evaluate(task, settings, data, device, test, facts, spent, on_trainer, checkpoints)
    except Exception as error:
        reason = f"{kind}: {error}" if (kind := _expected(error)) else f"{type(error).__name__}: {error}"
        details = None if isinstance(error, DivergedError) else traceback.format_exc()
        spent["train_seconds"] = spent["train_seconds"] or time.perf_counter() - started
        end = {"event": "end", "state": "failed", "error": one_line(ValueError(reason)), "traceback": details}
        yield {**facts, **spent, **end, "metrics": {}, "evaluations": [], "reliability": []}


def _train_and_evaluate(
    task: TrialTask,
    settings: TrialSettings,
    data: SearchData,
    device: torch.device,
    test: TestData | None,
    facts: Event,
    spent: dict[str, Any],
    on_trainer: Callable[[Trainer], object] | None,
    checkpoints: TrialCheckpoints | None,
) -> Iterator[Event]:
    tensors = own_copy(data, device)
    train_given, val_noisy = tensors.given[task.labels]
    wrong = train_given != tensors.train_targets
    spent |= {"n_wrong_labels": int(wrong.sum()), "wrong_label_share": float(wrong.double().mean())}
    spent["noise_fingerprint"] = fingerprint(*data.given[task.labels])
    val_labels = {"clean": tensors.val_targets, "noisy": val_noisy}
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
    trainer = Trainer(recipe, tensors.train_images, train_given, true=tensors.train_targets, n_classes=data.n_classes)
    if on_trainer is not None:
        on_trainer(trainer)
    spent |= {"n_parameters": n_parameters(trainer.model), "total_epochs": trainer.epochs}
    rungs = () if settings.rungs is None else settings.rungs.epochs(trainer.epochs)
    clock = {"training_seconds": 0.0}  # without validation
    if checkpoints is not None:
        saved = checkpoints.load(trainer)
        spent |= _counted(saved.get("spent"), ("epochs", "train_seconds", "images_seen", "images_per_second"))
        clock |= _counted(saved.get("clock"), clock)

    def on_step() -> None:
        if checkpoints is not None and checkpoints.due:
            checkpoints.save(trainer, {"spent": spent, "clock": clock})

    while trainer.epoch < trainer.epochs:
        record = trainer.run_epoch(on_step)
        trained = time.perf_counter()
        val: dict[str, Any] = dict.fromkeys(("accuracy", "ece", "nll"))
        if len(val_noisy):
            val = headline(predict(trainer.network, tensors.val_images, trainer.normaliser), val_labels[chosen])
        seconds = record.seconds + time.perf_counter() - trained
        clock["training_seconds"] += record.seconds
        spent["epochs"] = record.epoch
        spent["train_seconds"] += seconds
        spent["images_seen"] += record.images_seen
        spent["images_per_second"] = spent["images_seen"] / clock["training_seconds"]
        row = asdict(record) | {
            "epochs": trainer.epochs,
            "seconds": seconds,
            "val_accuracy": val["accuracy"],
            "val_ece": val["ece"],
            "val_nll": val["nll"],
        }
        event = {"event": "epoch", "trial_id": task.trial_id, **row}
        yield event | {"so_far": {**facts, **spent}} if record.epoch in rungs else event

    if checkpoints is not None and checkpoints.worth_it(clock["training_seconds"]):
        checkpoints.save(trainer, {"spent": spent, "clock": clock})  # the evaluation can be long
    started = time.perf_counter()
    measured = Measured()
    if len(val_noisy):
        other = "clean" if chosen == "noisy" else "noisy"
        measure_val(
            trainer,
            tensors.val_images,
            {"val": val_labels[chosen], f"val_{other}_labels": val_labels[other]},
            measured,
            plan=settings.evaluation if test is None else EvaluationPlan(),
            shifted_rows=tensors.shifted_rows,
            keep=settings.predictions,
        )
    if test is not None:
        temperature = task.temperature if measured.temperature is None else measured.temperature
        assert temperature is not None  # the confirm phase passes one on where no validation image is left
        measure_test(
            trainer,
            test,
            measured,
            plan=settings.evaluation,
            temperature=temperature,
            seed=task.seed,
            device=device,
            keep=settings.predictions,
            keep_features=task.replicate == 0,
        )
    tensors.check_unchanged()
    yield {
        **facts,
        **spent,
        "event": "end",
        "state": "complete",
        "error": None,
        "evaluate_seconds": time.perf_counter() - started,
        "temperature": measured.temperature,
        "metrics": measured.metrics,
        "evaluations": measured.evaluations,
        "reliability": measured.reliability,
        "kept": Kept(measured.predictions, measured.features),
    }


def _expected(error: Exception) -> str | None:
    """What can happen to any training, in words that tables can be searched for."""
    if isinstance(error, DivergedError):
        return "diverged"
    return "out of memory" if ran_out_of_memory(error) else None


def _counted(saved: Any, names: Iterable[str]) -> dict[str, float]:
    """Numbers that lay beside a checkpoint, and nothing else that may lie there."""
    found = saved if isinstance(saved, dict) else {}
    return {name: found[name] for name in names if isinstance(found.get(name), int | float)}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def run_trial(config: dict[str, Any], *, data: SearchData, settings: TrialSettings, test: TestData | None = None) -> None:
    """Ray Tune's trainable: `trial_events`, sent to the driver as JSON in a few messages; what is kept travels beside the last.

    Args:
        config: {"task": the fields of a TrialTask}.
        data: shared by all trials through Ray's object store.
        settings: the run's.
        test: in the confirm phase, the test split.
    """
    reset_process_state(settings)
    device = torch.device("cuda" if settings.use_gpu else "cpu")
    task = TrialTask(**config["task"])
    sender = _Sender(task.trial_id, every=settings.report_seconds, timed=settings.timed)
    checkpoints = None
    if settings.checkpoints is not None:
        checkpoints = checkpoints_of(settings.checkpoints, task.trial_id, tell=sender.note, before_save=sender.flush)
    for event in trial_events(task, settings, fetched(data), device, None if test is None else fetched(test), checkpoints=checkpoints):
        sender.send(event)
    if checkpoints is not None:
        checkpoints.forget()


Shared = TypeVar("Shared", SearchData, TestData)


def fetched(data: Shared) -> Shared:
    """The same with arrays in place of references into Ray's object store: views of memory that all processes of a machine share."""
    import ray

    references = {name: value for name, value in vars(data).items() if isinstance(value, ray.ObjectRef)}
    return replace(data, **{name: ray.get(reference) for name, reference in references.items()})


class _Sender:
    """Events on their way to the driver: short epochs travel together, an end takes its predictions and features along.

    Args:
        trial_id: of the trial.
        every: seconds between two messages, but that a rung and an end are told at once.
        timed: whether to say that it begins, and how to end it from outside.
    """

    def __init__(self, trial_id: str, *, every: float, timed: bool) -> None:
        self._trial_id, self._every, self._waiting, self._last_sent = trial_id, every, list[Event](), time.perf_counter()
        self._synced = True  # whether all that was sent will outlive the driver
        if timed:
            import ray

            self._waiting.append({"event": "begin", "trial_id": trial_id})
            self._report(actor=ray.get_runtime_context().current_actor)

    def note(self, text: str, *, of_run: bool = False) -> None:
        """Something that the user should read; it travels with the next event."""
        self._waiting.append({"event": "note", "trial_id": self._trial_id, "text": text, "of_run": of_run})

    def send(self, event: Event) -> None:
        """Pass an event on, now or soon."""
        kept = event.pop("kept", None)
        self._waiting.append(event)
        if event["event"] == "end" or "so_far" in event or time.perf_counter() - self._last_sent > self._every:
            self._report(kept=kept)

    def flush(self) -> None:
        """Before a checkpoint: a training that goes on from there does not tell again of the epochs before it."""
        if self._waiting or not self._synced:
            self._report(sync=True)

    def _report(self, *, sync: bool = False, **beside: Any) -> None:
        from ray import tune

        # Returns when the driver has taken it in; a trial that is to stop ends here, by SystemExit.
        tune.report({"events": json.dumps(self._waiting, allow_nan=False), "sync": sync, **beside})
        self._waiting, self._last_sent, self._synced = [], time.perf_counter(), sync
