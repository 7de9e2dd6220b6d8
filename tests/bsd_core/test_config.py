from __future__ import annotations

import dataclasses
import json
import math
import warnings
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from bsd_core.config import RECIPES, AugmentConfig, TrainConfig, recipe_config
from bsd_core.errors import ConfigError


def rates_of(config: TrainConfig, total_steps: int) -> list[float]:
    return [config.learning_rate_at(step, total_steps=total_steps) for step in range(total_steps)]


def torch_rates(config: TrainConfig, total_steps: int) -> list[float]:
    """The rates of torch's own scheduler, stepped after every batch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    scheduler: lr_scheduler.LRScheduler
    if config.schedule == "one_cycle":
        scheduler = lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total_steps=total_steps, cycle_momentum=False)
    elif config.schedule == "multi_step":
        milestones = [round(share * total_steps) for share in config.milestones]
        scheduler = lr_scheduler.MultiStepLR(optimizer, milestones, gamma=config.drop)
    else:
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, total_steps)
    rates = []
    for step in range(total_steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step + 1 < total_steps:
            scheduler.step()
    return rates


def test_warm_up_is_linear_and_the_cosine_halves_midway() -> None:
    rates = rates_of(TrainConfig(epochs=3, learning_rate=0.8, warmup_epochs=1), 12)
    # 4 steps of warm-up climb in fifths, step 4 is the peak, then 8 steps of half a cosine: step 8 is its middle.
    assert rates[:5] == pytest.approx([0.8 * 1 / 5, 0.8 * 2 / 5, 0.8 * 3 / 5, 0.8 * 4 / 5, 0.8])
    assert rates[8] == pytest.approx(0.8 / 2)
    assert rates[11] == pytest.approx(0.8 * (1 + math.cos(math.pi * 7 / 8)) / 2)


def test_the_rate_would_reach_zero_one_step_after_the_last() -> None:
    config = TrainConfig(epochs=2, learning_rate=0.5)
    assert config.learning_rate_at(20, total_steps=20) == pytest.approx(0, abs=1e-15)
    assert config.learning_rate_at(19, total_steps=20) > 0


def test_without_warm_up_the_first_step_is_the_peak() -> None:
    config = TrainConfig(epochs=2, learning_rate=0.3, warmup_epochs=0)
    assert config.learning_rate_at(0, total_steps=10) == 0.3


def test_a_fraction_of_an_epoch_warms_up_too() -> None:
    rates = rates_of(TrainConfig(epochs=2, learning_rate=1.0, warmup_epochs=0.5), 8)
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])


def test_all_epochs_may_be_warm_up() -> None:
    config = TrainConfig(epochs=1, learning_rate=1.0, warmup_epochs=1)
    assert rates_of(config, 3) == pytest.approx([1 / 4, 2 / 4, 3 / 4])


def test_a_training_cut_by_a_budget_ends_its_cosine_at_its_own_end() -> None:
    config = TrainConfig(epochs=10, learning_rate=1.0, warmup_epochs=1)
    # A tenth of 20 steps is warm-up, as of the 100 that all epochs would have; 18 of cosine.
    rates = rates_of(config, 20)
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[-1] == pytest.approx((1 + math.cos(math.pi * 17 / 18)) / 2)


@pytest.mark.parametrize("schedule", ["cosine", "multi_step", "one_cycle"])
@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 7, 10, 100])
def test_schedules_equal_torchs(schedule: str, total_steps: int) -> None:
    config = TrainConfig(epochs=3, learning_rate=0.4, warmup_epochs=0, schedule=schedule)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of")  # the optimiser of one step has nothing to schedule
        expected = torch_rates(config, total_steps)
    assert rates_of(config, total_steps) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_one_cycle_peaks_at_thirty_percent_and_ends_almost_at_zero() -> None:
    rates = rates_of(TrainConfig(epochs=10, learning_rate=1.0, schedule="one_cycle"), 100)
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[29] == max(rates) == 1
    assert rates[99] == pytest.approx(1 / 25e4)


def test_multi_step_drops_at_its_shares_of_the_training_after_warm_up() -> None:
    config = TrainConfig(epochs=2, learning_rate=1.0, schedule="multi_step", milestones=(0.5, 0.75), drop=0.5, warmup_epochs=0.4)
    # 2 steps of warm-up of 5 an epoch; the peak; half of it from step 5 on; a quarter from round(7.5) = 8 on.
    assert rates_of(config, 10) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])


def test_constant_stays_at_the_peak_after_warm_up() -> None:
    assert rates_of(TrainConfig(epochs=3, schedule="constant"), 6) == pytest.approx([0.1 / 3, 0.2 / 3, *[0.1] * 4])


@pytest.mark.parametrize(("schedule", "last"), [("cosine", 0), ("multi_step", 0.01), ("one_cycle", 1 / 25e4), ("constant", 1)])
def test_past_the_end_the_rate_stays(schedule: str, last: float) -> None:
    config = TrainConfig(epochs=5, learning_rate=1.0, schedule=schedule)
    for step in (10, 500):
        assert config.learning_rate_at(step, total_steps=10) == pytest.approx(last, abs=1e-15)


def test_recipes_are_the_published_ones() -> None:
    cs_kd, ps_kd, focal = (recipe_config(name) for name in ("cs_kd", "ps_kd", "focal_calibration"))
    shared = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "batch_size": 128, "schedule": "multi_step", "warmup_epochs": 0}
    for config in (cs_kd, ps_kd, focal):
        fields = dataclasses.asdict(config)
        assert {name: fields[name] for name in shared} == shared
    assert (cs_kd.epochs, cs_kd.weight_decay, cs_kd.nesterov) == (200, 1e-4, False)
    assert (ps_kd.epochs, ps_kd.weight_decay, ps_kd.nesterov) == (300, 5e-4, True)
    assert (focal.epochs, focal.weight_decay, focal.nesterov) == (350, 5e-4, False)


@pytest.mark.parametrize(("name", "drops"), [("cs_kd", (100, 150)), ("ps_kd", (150, 225)), ("focal_calibration", (150, 250))])
def test_recipes_drop_the_rate_tenfold_at_the_first_step_of_the_published_epochs(name: str, drops: tuple[int, int]) -> None:
    config = recipe_config(name)
    rates = rates_of(config, config.epochs * 391)
    assert [step for step in range(1, len(rates)) if rates[step] != rates[step - 1]] == [391 * epoch for epoch in drops]
    assert sorted(set(rates)) == pytest.approx([0.001, 0.01, 0.1])


def test_a_recipe_may_be_changed_and_an_unknown_one_is_refused() -> None:
    assert recipe_config("cs_kd", epochs=4, nesterov=True) == dataclasses.replace(recipe_config("cs_kd"), epochs=4, nesterov=True)
    with pytest.raises(ConfigError, match=r"Unknown recipe 'cskd'\. Did you mean 'cs_kd'\? Known: cs_kd,"):
        recipe_config("cskd")
    assert sorted(RECIPES) == list(RECIPES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, r"`epochs is a whole number >= 1` must hold, but got epochs=0"),
        ({"batch_size": 0}, r"`batch_size is a whole number >= 2` must hold, but got batch_size=0"),
        ({"learning_rate": 0.0}, r"`0 < learning_rate < inf` must hold, but got learning_rate=0\.0"),
        ({"learning_rate": math.nan}, r"learning_rate=nan"),
        ({"learning_rate": math.inf}, r"learning_rate=inf"),
        ({"weight_decay": -1e-9}, r"`0 <= weight_decay < inf` must hold, but got weight_decay=-1e-09"),
        ({"weight_decay": math.nan}, r"weight_decay=nan"),
        ({"momentum": 1.0}, r"`0 <= momentum < 1` must hold, but got momentum=1\.0"),
        ({"momentum": -0.1}, r"momentum=-0\.1"),
        ({"nesterov": True, "momentum": 0.0}, r"`momentum > 0 with nesterov` must hold, but got momentum=0\.0"),
        ({"warmup_epochs": -1}, r"`0 <= warmup_epochs <= epochs` must hold, but got warmup_epochs=-1"),
        ({"warmup_epochs": 6}, r"warmup_epochs=6"),
        ({"optimizer": "adam"}, r"Unknown optimizer 'adam'\. Did you mean 'adamw'\? Known: adamw, sgd"),
        ({"nesterov": True, "optimizer": "adamw"}, r"`optimizer is 'sgd' with nesterov` must hold, but got optimizer='adamw'"),
        ({"schedule": "onecycle"}, r"Unknown schedule 'onecycle'\. .*Did you mean 'one_cycle'\?"),
        ({"milestones": (0.5, 1.0)}, r"`milestones ascend within \(0, 1\)` must hold, but got milestones=\(0\.5, 1\.0\)"),
        ({"milestones": (0.75, 0.5)}, r"milestones=\(0\.75, 0\.5\)"),
        ({"milestones": (0.5, 0.5)}, r"milestones=\(0\.5, 0\.5\)"),
        ({"drop": 0.0}, r"`0 < drop <= 1` must hold, but got drop=0\.0"),
        ({"drop": 1.5}, r"drop=1\.5"),
        ({"gradient_clip": 0.0}, r"`gradient_clip is null or 0 < gradient_clip < inf` must hold, but got gradient_clip=0\.0"),
        ({"gradient_clip": math.nan}, r"gradient_clip=nan"),
        ({"ema_decay": 1.0}, r"`ema_decay is null or 0 <= ema_decay < 1` must hold, but got ema_decay=1\.0"),
        ({"ema_decay": -0.1}, r"ema_decay=-0\.1"),
    ],
)
def test_a_recipe_that_breaks_a_rule_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{"epochs": 5, **settings})


def test_the_limits_themselves_are_allowed() -> None:
    config = TrainConfig(epochs=1, batch_size=2, weight_decay=0, momentum=0, warmup_epochs=1)
    assert (config.epochs, config.batch_size, config.weight_decay, config.momentum) == (1, 2, 0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_padding": -1}, r"`crop_padding >= 0` must hold, but got crop_padding=-1"),
        ({"cutout": -1}, r"`cutout >= 0` must hold, but got cutout=-1"),
        ({"rand_augment": 11}, r"`rand_augment is a whole number from 0 to 10` must hold, but got rand_augment=11"),
        ({"rand_augment": 0.5}, r"rand_augment=0\.5"),
        ({"resized_crop": 1.0}, r"`0 <= resized_crop < 1` must hold, but got resized_crop=1\.0"),
        ({"resized_crop": 0.5, "crop_padding": 4}, r"`crop_padding is 0 with resized_crop` must hold, but got crop_padding=4, res"),
    ],
)
def test_an_augmentation_that_breaks_a_rule_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**settings)


@pytest.mark.parametrize("config", [TrainConfig(epochs=2), recipe_config("ps_kd"), AugmentConfig(crop_padding=1)])
def test_configurations_are_frozen_and_rebuild_from_their_fields(config: Any) -> None:
    assert type(config)(**dataclasses.asdict(config)) == config
    assert type(config)(**json.loads(json.dumps(dataclasses.asdict(config)))) == config  # milestones come back as a list
    name = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError, match=name):
        setattr(config, name, 7)
