"""Real processes, killed at random steps and started again: they end with the weights of one that was left in peace, bit for bit."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import torch

from bsd_core.checkpoint import resume, save_checkpoint
from bsd_core.data.label_noise import spoil_labels
from bsd_core.methods import METHODS
from bsd_core.train import Trainer
from tests._dummies import assert_equal_states, make_recipe, make_toy_images, make_trainer

KILLS = 3
EPOCHS = 4
SAVE_EVERY = 2


def make(method: str, settings: dict[str, object]) -> Trainer:
    _, true = make_toy_images(70)
    given = spoil_labels(true, "symmetric", 0.3, n_classes=3, seed=0)
    return make_trainer(make_recipe(method, settings=settings, epochs=EPOCHS, batch_size=8), n=70, given=given, true=true)


def work(method: str, settings: dict[str, object], folder: str) -> None:
    """What the process that is killed does."""
    torch.set_num_threads(1)
    trainer = make(method, settings)
    resume(trainer, Path(folder))

    def on_step() -> None:
        if trainer.step % SAVE_EVERY == 0:
            save_checkpoint(Path(folder), trainer)

    for _ in trainer.records(on_step):
        save_checkpoint(Path(folder), trainer)


def steps_done(folder: Path) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.pt")), default=0)


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Processes that need not import torch each time, nor what its optimisers import at their first use."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.bsd_core.test_killed", "torch._dynamo"])
    return server


def run_and_kill(context: ForkServerContext, method: str, settings: dict[str, object], folder: Path, *, after: int) -> None:
    """Start a process and kill it as soon as it has saved step `after` or a later one; it is then in the midst of another step."""
    process = context.Process(target=work, args=(method, settings, str(folder)))
    process.start()
    deadline = time.monotonic() + 60
    while steps_done(folder) < after and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it was meant to die in the middle of its work"


CASES = [
    *((name, {}) for name in METHODS),
    ("bsd", {"evidence": "clean", "warmup_epochs": 1}),
    ("bsd", {"memory": "bfloat16"}),
    ("bsd", {"memory": "top_k", "top_k": 2}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "settings"), CASES, ids=lambda value: value if isinstance(value, str) else ",".join(map(str, value.values()))
)
def test_a_killed_training_ends_as_if_it_had_been_left_in_peace(
    context: ForkServerContext, method: str, settings: dict[str, object], tmp_path: Path
) -> None:
    undisturbed = make(method, settings)
    list(undisturbed.records())
    last = undisturbed.total_steps - 2 * SAVE_EVERY
    rng = random.Random(method)
    for after in sorted(rng.sample(range(1, last), KILLS)):
        run_and_kill(context, method, settings, tmp_path, after=after)
    assert 0 < steps_done(tmp_path) < undisturbed.total_steps
    process = context.Process(target=work, args=(method, settings, str(tmp_path)))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    ended = make(method, settings)
    assert resume(ended, tmp_path).broken == ()
    assert ended.step == undisturbed.total_steps
    assert_equal_states(ended.state_dict(), undisturbed.state_dict())
