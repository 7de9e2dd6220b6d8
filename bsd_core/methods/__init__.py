"""The methods under study: one file each, registered by hand."""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor

from bsd_core.errors import unknown_name
from bsd_core.methods.base import Method, MethodConfig, Step, build_config
from bsd_core.methods.bsd import BayesianSelfDistillation
from bsd_core.methods.cross_entropy import CrossEntropy
from bsd_core.methods.cs_kd import ClassWiseSelfDistillation
from bsd_core.methods.label_smoothing import LabelSmoothing

__all__ = ["METHODS", "Method", "MethodConfig", "Step", "build_method", "get_method"]

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


def build_method(name: str, settings: dict[str, Any], *, targets: Tensor, n_classes: int) -> Method:
    """The method `name` with `settings`, its state initialised from the given labels `targets` (N,) on their device.

    Raises:
        ConfigError: unknown method or setting, or a value that breaks the setting's rule.
    """
    method = get_method(name)
    return method(build_config(method.Config, name, settings), targets, n_classes).to(targets.device)
