from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bsd_core.config import RECIPES, TrainConfig, recipe_config
from bsd_core.errors import ConfigError
from studies.recipe import SEARCHED, RecipeFields
from studies.search import ArmSpace
from studies.study_file import find_study, load_spec
from tests.studies._dummies import make_spec


def test_every_field_of_the_training_is_a_field_of_the_study_with_the_same_default() -> None:
    fields: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    ours = {name: info.default for name, info in RecipeFields.model_fields.items() if name != "recipe"}
    assert set(ours) == set(fields) - set(SEARCHED)
    for name in set(ours) - {"epochs"}:
        assert ours[name] == (list(fields[name]) if isinstance(fields[name], tuple) else fields[name])


def test_the_fields_of_a_study_reach_the_training() -> None:
    fields: dict[str, Any] = {
        "epochs": 9,
        "budget": "images",
        "batch_size": 32,
        "optimizer": "adamw",
        "momentum": 0.8,
        "schedule": "multi_step",
        "milestones": [0.3, 0.6],
        "drop": 0.2,
        "warmup_epochs": 2.0,
        "gradient_clip": 1.5,
        "ema_decay": 0.99,
        "precision": "bfloat16",
        "compile": "off",
    }
    config = make_spec(**fields).train_config(learning_rate=0.3, weight_decay=0.0)
    assert config == TrainConfig(**{**fields, "milestones": (0.3, 0.6)}, learning_rate=0.3, weight_decay=0.0)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_named_recipe_fills_what_the_study_leaves_open(name: str) -> None:
    config = recipe_config(name)
    spec = make_spec(recipe=name, epochs=40, batch_size=config.batch_size, warmup_epochs=config.warmup_epochs)
    assert spec.train_config(**spec.recipe_rates) == dataclasses.replace(config, epochs=40)


def test_what_the_study_says_beats_the_recipe() -> None:
    spec = make_spec(recipe="ps_kd", nesterov=False, milestones=[0.9])
    assert (spec.schedule, spec.nesterov, spec.milestones) == ("multi_step", False, [0.9])


def test_with_method_only_the_recipe_also_gives_the_rates_of_every_method() -> None:
    methods = ["cross_entropy", "cs_kd", "elr", "bsd"]
    for name, weight_decay in (("cs_kd", 1e-4), ("ps_kd", 5e-4)):
        spec = make_spec(methods=methods, recipe=name, search_space="method_only")
        for method in methods:
            constant = ArmSpace.of(spec, method).constant
            assert (constant["learning_rate"], constant["weight_decay"]) == (0.1, weight_decay)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Unknown recipe 'pskd'\. Did you mean 'ps_kd'\? Known: cs_kd, focal_calibration, ps_kd\."):
        make_spec(recipe="pskd")


@pytest.mark.parametrize(("text", "value"), [("on", "on"), ("off", "off"), ("auto", "auto"), ('"on"', "on")])
def test_compile_is_read_as_it_is_written(text: str, value: str) -> None:
    assert load_spec(find_study("quick")[1], [f"compile={text}"]).compile == value


def test_files_of_weights_are_found_from_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = load_spec(find_study("quick")[1], ["pretrained=w.pt", "methods=kd", "fixed.kd.teacher=t.pt"])
    assert (spec.pretrained, spec.fixed["kd"]["teacher"]) == (str(tmp_path / "w.pt"), str(tmp_path / "t.pt"))


def test_adamw_searches_rates_of_its_own() -> None:
    space = ArmSpace.of(make_spec(optimizer="adamw"), "bsd")
    rate = space.searched["learning_rate"]
    assert (rate.low, rate.high) == (1e-4, 1e-2)  # type: ignore[attr-defined]
    assert {point["learning_rate"] for point in space.published} == {1e-3}


def test_published_repeats_the_first_published_settings() -> None:
    space = ArmSpace.of(make_spec(methods=["bsd"], search_space="published"), "bsd")
    assert (space.searched, space.published) == ({}, ())
    assert space.constant == {"prior_strength": 10.0, "discount": 0.9, "temperature": 1.0, "learning_rate": 0.1, "weight_decay": 5e-4}


def test_settings_are_searched_on_demand_and_start_at_their_defaults() -> None:
    space = ArmSpace.of(make_spec(epochs=15, search_also={"bsd": ["warmup_epochs", "evidence"]}), "bsd")
    assert space.searched["warmup_epochs"].high == 5  # type: ignore[attr-defined]  # a third of the training
    assert {"warmup_epochs", "evidence"} < set(space.searched)
    assert [(point["warmup_epochs"], point["evidence"]) for point in space.published] == [(0, "train")] * 2


@pytest.mark.parametrize(
    ("search_also", "message"),
    [
        ({"bds": ["evidence"]}, r"Unknown method in `search_also` 'bds'"),
        (
            {"bsd": ["evidense"]},
            r"Unknown setting in `search_also\.bsd` 'evidense'\. Did you mean 'evidence'\? Known: evidence, warmup_epochs\.",
        ),
        ({"bsd": ["evidence", "evidence"]}, r"The setting in `search_also` 'evidence' is listed twice"),
        ({"cross_entropy": ["evidence"]}, r"Unknown setting in `search_also\.cross_entropy`"),
    ],
)
def test_what_cannot_be_searched_on_demand_is_refused(search_also: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_spec(search_also=search_also)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"search_space": "published"}, r"search_space: published searches nothing, but `search_also` names settings"),
        ({"fixed": {"bsd": {"evidence": "clean"}}}, r"`search_also\.bsd` searches evidence, but `fixed\.bsd` fixes it"),
    ],
)
def test_a_setting_is_searched_or_not(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_spec(search_also={"bsd": ["evidence"]}, **more)


def test_settings_that_no_space_searches_can_be_fixed() -> None:
    spec = make_spec(fixed={"bsd": {"memory": "bfloat16", "warmup_epochs": 3, "evidence": "clean"}})
    constant = ArmSpace.of(spec, "bsd").constant
    assert (constant["memory"], constant["warmup_epochs"], constant["evidence"]) == ("bfloat16", 3, "clean")
