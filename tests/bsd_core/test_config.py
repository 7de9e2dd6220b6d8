from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.errors import ConfigError


def test_warm_up_is_linear_and_the_cosine_halves_midway() -> None:
    config = TrainConfig(epochs=3, learning_rate=0.8, warmup_epochs=1)
    rates = [config.learning_rate_at(step, steps_per_epoch=4) for step in range(12)]
    # 4 steps of warm-up climb in fifths, step 4 is the peak, then 8 steps of half a cosine: step 8 is its middle.
    assert rates[:5] == pytest.approx([0.8 * 1 / 5, 0.8 * 2 / 5, 0.8 * 3 / 5, 0.8 * 4 / 5, 0.8])
    assert rates[8] == pytest.approx(0.8 / 2)
    assert rates[11] == pytest.approx(0.8 * (1 + math.cos(math.pi * 7 / 8)) / 2)


def test_the_rate_would_reach_zero_one_step_after_the_last() -> None:
    config = TrainConfig(epochs=2, learning_rate=0.5)
    assert config.learning_rate_at(20, steps_per_epoch=10) == pytest.approx(0, abs=1e-15)
    assert config.learning_rate_at(19, steps_per_epoch=10) > 0


def test_without_warm_up_the_first_step_is_the_peak() -> None:
    assert TrainConfig(epochs=2, learning_rate=0.3, warmup_epochs=0).learning_rate_at(0, steps_per_epoch=5) == 0.3


def test_a_fraction_of_an_epoch_warms_up_too() -> None:
    config = TrainConfig(epochs=2, learning_rate=1.0, warmup_epochs=0.5)
    assert [config.learning_rate_at(step, steps_per_epoch=4) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_all_epochs_may_be_warm_up() -> None:
    config = TrainConfig(epochs=1, learning_rate=1.0, warmup_epochs=1)
    assert [config.learning_rate_at(step, steps_per_epoch=3) for step in range(3)] == pytest.approx([1 / 4, 2 / 4, 3 / 4])


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
    ],
)
def test_a_recipe_that_breaks_a_rule_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{"epochs": 5, **settings})


def test_the_limits_themselves_are_allowed() -> None:
    config = TrainConfig(epochs=1, batch_size=2, weight_decay=0, momentum=0, warmup_epochs=1)
    assert (config.epochs, config.batch_size, config.weight_decay, config.momentum) == (1, 2, 0, 0)


def test_negative_padding_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`crop_padding >= 0` must hold, but got crop_padding=-1"):
        AugmentConfig(crop_padding=-1)


@pytest.mark.parametrize("config", [TrainConfig(epochs=2), AugmentConfig(crop_padding=1)])
def test_configurations_are_frozen_and_rebuild_from_their_fields(config: Any) -> None:
    assert type(config)(**dataclasses.asdict(config)) == config
    name = dataclasses.fields(config)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError, match=name):
        setattr(config, name, 7)
