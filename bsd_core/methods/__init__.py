"""The methods under study: one file each, registered by hand."""

from __future__ import annotations

from typing import Any, Final

from bsd_core.errors import unknown_name
from bsd_core.methods.base import Method, MethodConfig, Step, Training, build_config
from bsd_core.methods.bsd import BayesianSelfDistillation
from bsd_core.methods.cross_entropy import CrossEntropy
from bsd_core.methods.cs_kd import ClassWiseSelfDistillation
from bsd_core.methods.label_smoothing import LabelSmoothing

__all__ = ["METHODS", "Method", "MethodConfig", "Step", "Training", "build_method", "get_method", "method_config"]

METHODS: Final[dict[str, type[Method]]] = {
    "bsd": BayesianSelfDistillation,
    "cross_entropy": CrossEntropy,
    "cs_kd": ClassWiseSelfDistillation,
    "label_smoothing": LabelSmoothing,
}


def get_method(name: str) -> type[Method]:
    """The method class `name`; an unknown name says what exists."""
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]


def method_config(name: str, settings: dict[str, Any]) -> MethodConfig:
    """The checked settings of method `name`: what it needs and what a step costs, before anything is built.

    Raises:
        ConfigError: unknown method or setting, or a value that breaks the setting's rule.
    """
    return build_config(get_method(name).Config, name, settings)


def build_method(name: str, settings: dict[str, Any], training: Training) -> Method:
    """The method `name` with `settings`, its state initialised for `training`, on the device of its labels.

    Raises:
        ConfigError: unknown method or setting, or a value that breaks the setting's rule.
    """
    return get_method(name)(method_config(name, settings), training).to(training.targets.device)
