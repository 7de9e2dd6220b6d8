from __future__ import annotations

from typing import Any, Literal

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from bsd_core.config import TrainConfig
from bsd_core.errors import ConfigError
from bsd_core.methods import METHODS, get_method
from bsd_core.methods.base import build_config
from search_spaces import SEARCH_SPACES, SHARED, SHARED_BY_OPTIMIZER, SearchSpace, get_search_space

SPACES = [pytest.param(space, id=name) for name, space in SEARCH_SPACES.items()]


def test_every_method_has_a_search_space_of_its_name() -> None:
    assert list(SEARCH_SPACES) == sorted(METHODS)
    assert all(space.method == name for name, space in SEARCH_SPACES.items())


def test_an_unknown_search_space_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown search space 'cskd'\. Did you mean 'cs_kd'\? Known: bsd,"):
        get_search_space("cskd")


def test_a_known_search_space_is_handed_out() -> None:
    assert get_search_space("bsd") is SEARCH_SPACES["bsd"]


@pytest.mark.parametrize("space", SPACES)
def test_published_settings_are_complete_and_lie_in_the_space(space: SearchSpace) -> None:
    assert len(space.published) >= 1
    for point in space.published:
        assert set(point) == set(space.distributions())
        for name, value in point.items():
            distribution = space.distributions()[name]
            if isinstance(distribution, CategoricalDistribution):
                assert value in distribution.choices
            else:
                assert isinstance(distribution, FloatDistribution | IntDistribution)
                assert not isinstance(value, str)
                assert distribution.low <= value <= distribution.high


@pytest.mark.parametrize("space", SPACES)
def test_published_settings_do_not_repeat(space: SearchSpace) -> None:
    assert len({tuple(sorted(point.items())) for point in space.published}) == len(space.published)


def end_of(distribution: BaseDistribution, side: Literal["low", "high"]) -> Any:
    """The lowest or the highest value, the first or the last choice."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0 if side == "low" else -1]
    return getattr(distribution, side)


@pytest.mark.parametrize("space", SPACES)
def test_every_corner_of_a_space_is_a_valid_setting_of_its_method(space: SearchSpace) -> None:
    sides: tuple[Literal["low", "high"], ...] = ("low", "high")
    for side in sides:
        corner = {name: end_of(distribution, side) for name, distribution in space.distributions().items()}
        shared = {name: corner.pop(name) for name in SHARED}
        assert build_config(get_method(space.method).Config, space.method, corner) is not None
        assert TrainConfig(epochs=1, **shared).learning_rate == shared["learning_rate"]


@pytest.mark.parametrize("space", SPACES)
def test_the_recipe_is_searched_for_every_method_alike(space: SearchSpace) -> None:
    assert list(space.distributions())[-2:] == ["learning_rate", "weight_decay"]
    assert {name: space.distributions()[name] for name in SHARED} == SHARED


@pytest.mark.parametrize("space", SPACES)
def test_adamw_has_rates_of_its_own(space: SearchSpace) -> None:
    shared = SHARED_BY_OPTIMIZER["adamw"]
    assert {name: space.distributions("adamw")[name] for name in SHARED} == shared
    for point, published in zip(space.starts("adamw"), space.published, strict=True):
        assert {name: value for name, value in point.items() if name not in SHARED} == {
            name: value for name, value in published.items() if name not in SHARED
        }
        assert all(shared[name].low <= point[name] <= shared[name].high for name in SHARED)  # type: ignore[attr-defined]


def test_settings_that_are_searched_on_demand_are_valid_and_not_searched_otherwise() -> None:
    assert set(SEARCH_SPACES["bsd"].extra) == {"warmup_epochs", "evidence"}
    for name, space in SEARCH_SPACES.items():
        assert set(space.extra).isdisjoint(space.distributions())
        for side in ("low", "high"):
            corner = {key: end_of(distribution, side) for key, distribution in space.extra.items()}
            assert build_config(get_method(name).Config, name, corner) is not None


def test_scales_are_searched_on_a_logarithmic_scale() -> None:
    linear = {
        f"{name}.{key}" for name, space in SEARCH_SPACES.items() for key, values in space.own.items() if not getattr(values, "log", True)
    }
    shares = {
        "bsd.discount",
        "bsd_contrastive.discount",
        "kd.distill_share",
        "kd_cs_kd.distill_share",
        "elr.beta",
        "gce.exponent",
        "ps_kd.history_weight",
        "temporal_ensembling.decay",
        "tf_kd.distill_weight",
    }
    assert linear == shares | {"dual_focal.gamma", "focal.gamma"}
    assert all(values.log for values in SHARED.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("bsd", {"prior_strength", "discount", "temperature"}),
        ("cs_kd", {"temperature", "distill_weight"}),
        ("label_smoothing", {"smoothing"}),
        ("cross_entropy", set()),
    ],
)
def test_the_settings_that_are_searched(method: str, names: set[str]) -> None:
    assert set(SEARCH_SPACES[method].own) == names


def test_bsd_searches_sharper_evidence_and_the_papers() -> None:
    temperature = SEARCH_SPACES["bsd"].own["temperature"]
    assert isinstance(temperature, FloatDistribution)
    assert (temperature.low, temperature.high, temperature.log) == (0.1, 2.0, True)
    assert SEARCH_SPACES["bsd"].published[0]["temperature"] == 1.0
