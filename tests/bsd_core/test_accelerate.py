from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch

from bsd_core.accelerate import Runner, keep_freed_memory
from bsd_core.config import TrainConfig
from tests._dummies import make_network, make_recipe, make_trainer

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def config(**changes: str) -> TrainConfig:
    return TrainConfig(epochs=1, **changes)  # type: ignore[arg-type]


def test_on_a_cpu_a_network_is_called_as_it_is() -> None:
    network = make_network()
    assert Runner.of(network, config(), CPU, 10**9) is network
    assert Runner.of(network, config(compile="off", precision="float32"), CPU, 1) is network


def test_mixed_precision_is_of_the_features_alone() -> None:
    network = make_network().eval()
    runner = Runner.of(network, config(precision="bfloat16"), CPU, 1)
    images = torch.randn(8, 1, 8, 8)
    features, logits = runner.features(images), runner(images)
    assert features.dtype == logits.dtype == torch.float32
    assert torch.equal(logits, network.classifier(features))
    assert not torch.equal(features, network.features(images))
    assert torch.allclose(features, network.features(images), rtol=0.05, atol=0.05)


def test_a_network_in_mixed_precision_keeps_its_weights_in_float32_and_learns() -> None:
    recipe = make_recipe(epochs=8)
    trainer = make_trainer(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, precision="bfloat16")), n=120)
    records = list(trainer.records())
    assert all(parameter.dtype == torch.float32 for parameter in trainer.model.parameters())
    assert records[-1].train_loss < 0.7 * records[0].train_loss


@pytest.mark.parametrize(("n_steps", "compiled"), [(100, False), (10_000, True)])
def test_long_trainings_on_a_gpu_are_compiled(n_steps: int, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def record(function: object, **options: object) -> object:
        asked.append(options)
        return function

    monkeypatch.setattr(torch, "compile", record)
    runner = Runner.of(make_network(), config(), GPU, n_steps)
    assert isinstance(runner, Runner)
    assert asked == ([{"mode": "reduce-overhead", "dynamic": False}] if compiled else [])


def test_compiling_can_be_asked_for_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    network = make_network()
    assert isinstance(Runner.of(network, config(compile="on"), CPU, 1), Runner)
    assert Runner.of(network, config(compile="off", precision="float32"), GPU, 10**9) is network


def test_memory_that_a_step_frees_is_kept_for_the_next() -> None:
    program = """
import resource, sys, torch
from bsd_core.accelerate import keep_freed_memory
if sys.argv[1] == "kept": assert keep_freed_memory()
def work():
    for _ in range(20): torch.ones(4 << 20)  # 16 MiB each, freed at once
    blocks = [torch.ones(2 << 20) for _ in range(16)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    if not keep_freed_memory():
        pytest.skip("not glibc")
    faults = {}
    for how in ("given back", "kept"):
        done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["kept"] < 0.1 * faults["given back"]
