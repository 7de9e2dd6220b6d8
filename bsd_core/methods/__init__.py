"""The methods under study: one file each, registered by hand."""

from __future__ import annotations

from typing import Any, Final

from bsd_core.errors import unknown_name
from bsd_core.methods.base import Method, MethodConfig, Step, Training, build_config
from bsd_core.methods.bsd import BayesianSelfDistillation
from bsd_core.methods.bsd_contrastive import ContrastiveBayesianSelfDistillation
from bsd_core.methods.confidence_penalty import ConfidencePenalty
from bsd_core.methods.cross_entropy import CrossEntropy
from bsd_core.methods.cs_kd import ClassWiseSelfDistillation
from bsd_core.methods.cs_kd_e import ClassAndViewSelfDistillation
from bsd_core.methods.ddgsd import DataDistortionSelfDistillation
from bsd_core.methods.dlb import LastBatchSelfDistillation
from bsd_core.methods.dual_focal import DualFocal
from bsd_core.methods.elr import EarlyLearningRegularization
from bsd_core.methods.focal import Focal
from bsd_core.methods.gce import GeneralizedCrossEntropy
from bsd_core.methods.kd import KnowledgeDistillation
from bsd_core.methods.kd_cs_kd import TeacherAndClassWiseDistillation
from bsd_core.methods.label_smoothing import LabelSmoothing
from bsd_core.methods.mixup import Mixup
from bsd_core.methods.mixup_cs_kd import MixupClassWiseSelfDistillation
from bsd_core.methods.ps_kd import ProgressiveSelfDistillation
from bsd_core.methods.sop import SparseOverparameterization
from bsd_core.methods.temporal_ensembling import TemporalEnsembling
from bsd_core.methods.tf_kd import TeacherFreeDistillation

__all__ = ["METHODS", "Method", "MethodConfig", "Step", "Training", "build_method", "get_method", "method_config"]

METHODS: Final[dict[str, type[Method]]] = {
    "bsd": BayesianSelfDistillation,
    "bsd_contrastive": ContrastiveBayesianSelfDistillation,
    "confidence_penalty": ConfidencePenalty,
    "cross_entropy": CrossEntropy,
    "cs_kd": ClassWiseSelfDistillation,
    "cs_kd_e": ClassAndViewSelfDistillation,
    "ddgsd": DataDistortionSelfDistillation,
    "dlb": LastBatchSelfDistillation,
    "dual_focal": DualFocal,
    "elr": EarlyLearningRegularization,
    "focal": Focal,
    "gce": GeneralizedCrossEntropy,
    "kd": KnowledgeDistillation,
    "kd_cs_kd": TeacherAndClassWiseDistillation,
    "label_smoothing": LabelSmoothing,
    "mixup": Mixup,
    "mixup_cs_kd": MixupClassWiseSelfDistillation,
    "ps_kd": ProgressiveSelfDistillation,
    "sop": SparseOverparameterization,
    "temporal_ensembling": TemporalEnsembling,
    "tf_kd": TeacherFreeDistillation,
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
