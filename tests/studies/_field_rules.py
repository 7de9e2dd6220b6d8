"""What the fields of a study file may hold, written from their meanings and not from the program's code: a second opinion for tests.

A rule says whether a value may stand in a field at all; what fields must have in common is left to the program.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from bsd_core.config import RECIPES
from bsd_core.data.sources import PATH_SOURCES, SOURCES
from bsd_core.methods import METHODS
from bsd_core.models import MODELS
from bsd_core.robustness.corruptions import CORRUPTIONS
from bsd_core.robustness.perturbations import PERTURBATIONS

Rule = Callable[[Any], bool]


def whole(low: int, high: int = 1_000_000) -> Rule:
    """An integer from `low` to `high`."""
    return lambda value: type(value) is int and low <= value <= high


def number(low: float, high: float, *, without: tuple[float, ...] = ()) -> Rule:
    """A finite number from `low` to `high`, less single ones."""
    return lambda value: type(value) in (int, float) and abs(value) <= sys.float_info.max and low <= value <= high and value not in without


def word(*words: str) -> Rule:
    """One of some words."""
    return lambda value: isinstance(value, str) and value in words


def any_text(value: Any) -> bool:
    """What a file can hold."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def null(value: Any) -> bool:
    """Nothing."""
    return value is None


def either(*rules: Rule) -> Rule:
    """At least one of them."""
    return lambda value: any(rule(value) for rule in rules)


def several(rule: Rule) -> Rule:
    """A list of at least one, or one alone."""
    return lambda value: all(map(rule, value)) and value != [] if isinstance(value, list) else rule(value)


def mapping(rules: Mapping[str, Rule]) -> Rule:
    """A mapping of some of these fields."""
    return lambda value: isinstance(value, dict) and all(name in rules and rules[name](inner) for name, inner in value.items())


def by_method(rule: Rule) -> Rule:
    """A mapping from methods, or `shared`."""
    owner = word("shared", *METHODS)
    return lambda value: isinstance(value, dict) and all(owner(name) and rule(inner) for name, inner in value.items())


def settings(value: Any) -> bool:
    """A mapping from names to numbers and texts."""
    return isinstance(value, dict) and all(any_text(name) and (number(-1e308, 1e308)(one) or any_text(one)) for name, one in value.items())


def short_condition(value: Any) -> bool:
    """As `none`, `symmetric:0.4`, `human:worse`."""
    kinds = ("none", "symmetric", "asymmetric", "pairflip", "instance", "human", "confusion", "saved")
    return any_text(value) and value.startswith(kinds)


def dataset(value: Any) -> bool:
    """A name, or a kind and a path."""
    return any_text(value) and (value in SOURCES or value.startswith(tuple(f"{kind}:" for kind in PATH_SOURCES)))


COUNT = whole(1)
SECONDS = number(0, 1e9)
SEVERITIES = several(whole(1, 5))
CORRUPTION_NAMES = either(several(word(*CORRUPTIONS, "main", "all", "none")), lambda value: value == [])
PERTURBATION_NAMES = either(several(word(*PERTURBATIONS, "main", "all", "none")), lambda value: value == [])

NESTED: dict[str, dict[str, Rule]] = {
    "evaluate": {
        "corruptions": either(CORRUPTION_NAMES, several(word("official"))),
        "severities": SEVERITIES,
        "perturbations": PERTURBATION_NAMES,
        "images": either(null, COUNT),
        "official": either(null, any_text),
        "frost_folder": either(null, any_text),
    },
    "augment": {
        "crop_padding": whole(0, 256),
        "flip": flag,
        "cutout": whole(0, 4096),
        "rand_augment": whole(0, 10),
        "resized_crop": number(0, 1, without=(1,)),
    },
    "confirm": {
        "points": word("front", "best_accuracy", "best_ece", "knee"),
        "at_most": COUNT,
        "operating_points": flag,
        "seeds": whole(1, 10_000),
        "noise_seeds": word("fresh", "same"),
        "train_on": word("train", "train+val"),
        "corruptions": CORRUPTION_NAMES,
        "severities": SEVERITIES,
        "perturbations": either(null, PERTURBATION_NAMES),
        "images": either(null, COUNT),
        "predictions": word("clean", "all", "none"),
        "features": flag,
        "max_ece": number(0, 1, without=(0,)),
    },
    "stopping": {
        "kind": word("none", "pareto_halving"),
        "reduction": whole(2, 64),
        "first_rung": either(null, COUNT),
        "audit": number(0, 1),
    },
    "conditions": {
        "kind": word("none", "symmetric", "symmetric_inclusive", "asymmetric", "pairflip", "instance", "human", "confusion", "saved"),
        "rate": number(0, 1, without=(1,)),
        "mapping": either(null, lambda value: isinstance(value, dict)),
        "labels": either(null, word("aggre", "worse", "random1", "random2", "random3", "noisy")),
        "file": either(null, any_text),
    },
}

FIELDS: dict[str, Rule] = {
    "question": any_text,
    "dataset": dataset,
    "image_size": either(null, whole(8, 4096)),
    "data_dir": any_text,
    "download": flag,
    "tensorboard": flag,
    "train_images": either(null, COUNT),
    "val_fraction": number(0, 1, without=(0, 1)),
    "validation_labels": word("clean", "noisy"),
    "model": word(*MODELS),
    "width": either(null, COUNT),
    "stem": word("auto", "small", "published"),
    "pretrained": either(null, any_text),
    "n_classes": either(null, whole(2)),
    "methods": several(word(*METHODS)),
    "conditions": several(either(short_condition, mapping(NESTED["conditions"]))),
    "search_space": word("full", "method_only", "published"),
    "search_also": by_method(lambda value: isinstance(value, list) and all(map(any_text, value))),
    "fixed": by_method(settings),
    "objectives": several(word("val_accuracy", "val_corrupted_accuracy", "val_ece", "val_corrupted_ece")),
    "trials": COUNT,
    "stopping": either(word("none", "pareto_halving"), mapping(NESTED["stopping"])),
    "baseline": word("none", "random"),
    "confirm": either(null, word("none"), lambda value: value is False, mapping(NESTED["confirm"])),
    "augment": either(word("auto", "none"), mapping(NESTED["augment"])),
    "evaluate": mapping(NESTED["evaluate"]),
    "seed": whole(0, 2**63 - 1),
    "cpus_per_trial": number(0.01, 100_000),
    "gpus_per_trial": number(0, 100_000),
    "checkpoint_seconds": either(null, word("none"), lambda value: value is False, SECONDS),
    "trial_timeout": either(null, word("none"), lambda value: value is False, number(0, 1e9, without=(0,))),
    "recipe": either(null, word(*RECIPES)),
    "epochs": COUNT,
    "budget": word("epochs", "images"),
    "batch_size": whole(2),
    "optimizer": word("sgd", "adamw"),
    "momentum": number(0, 1, without=(1,)),
    "nesterov": flag,
    "schedule": word("constant", "cosine", "multi_step", "one_cycle"),
    "milestones": lambda value: isinstance(value, list) and all(map(number(0, 1), value)),
    "drop": number(0, 1, without=(0,)),
    "warmup_epochs": number(0, math.inf),
    "gradient_clip": either(null, number(0, math.inf, without=(0,))),
    "ema_decay": either(null, number(0, 1, without=(1,))),
    "precision": word("auto", "bfloat16", "float32"),
    "compile": either(flag, word("auto", "off", "on")),
}
REQUIRED = ("question", "methods", "conditions", "trials", "epochs")  # `epochs` unless a recipe says it


def may_be_valid(content: bytes) -> bool:
    """Whether a file is plain YAML of known fields with values that may stand there, none of the required ones missing."""
    try:
        document = yaml.safe_load(content.decode("utf-8"))
    except (ValueError, yaml.YAMLError, RecursionError):
        return False
    if not isinstance(document, dict) or not mapping(FIELDS)(document):
        return False
    return set(REQUIRED) - ({"epochs"} if "recipe" in document else set()) <= set(document)
