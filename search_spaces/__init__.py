"""What is searched: one file a method, with SPACE (Optuna distributions) and PUBLISHED (settings tried first)."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from bsd_core.errors import unknown_name
from search_spaces import (
    bsd,
    bsd_contrastive,
    confidence_penalty,
    cross_entropy,
    cs_kd,
    cs_kd_e,
    ddgsd,
    dlb,
    dual_focal,
    elr,
    focal,
    gce,
    kd,
    kd_cs_kd,
    label_smoothing,
    mixup,
    mixup_cs_kd,
    ps_kd,
    sop,
    temporal_ensembling,
    tf_kd,
)
from search_spaces.base import SHARED, SHARED_BY_OPTIMIZER, SearchSpace, Settings

__all__ = ["SEARCH_SPACES", "SHARED", "SHARED_BY_OPTIMIZER", "SearchSpace", "Settings", "get_search_space"]


def _space(method: str, module: ModuleType) -> SearchSpace:
    return SearchSpace(method=method, own=module.SPACE, extra=getattr(module, "EXTRA", {}), published=tuple(module.PUBLISHED))


SEARCH_SPACES: Final[dict[str, SearchSpace]] = {
    "bsd": _space("bsd", bsd),
    "bsd_contrastive": _space("bsd_contrastive", bsd_contrastive),
    "confidence_penalty": _space("confidence_penalty", confidence_penalty),
    "cross_entropy": _space("cross_entropy", cross_entropy),
    "cs_kd": _space("cs_kd", cs_kd),
    "cs_kd_e": _space("cs_kd_e", cs_kd_e),
    "ddgsd": _space("ddgsd", ddgsd),
    "dlb": _space("dlb", dlb),
    "dual_focal": _space("dual_focal", dual_focal),
    "elr": _space("elr", elr),
    "focal": _space("focal", focal),
    "gce": _space("gce", gce),
    "kd": _space("kd", kd),
    "kd_cs_kd": _space("kd_cs_kd", kd_cs_kd),
    "label_smoothing": _space("label_smoothing", label_smoothing),
    "mixup": _space("mixup", mixup),
    "mixup_cs_kd": _space("mixup_cs_kd", mixup_cs_kd),
    "ps_kd": _space("ps_kd", ps_kd),
    "sop": _space("sop", sop),
    "temporal_ensembling": _space("temporal_ensembling", temporal_ensembling),
    "tf_kd": _space("tf_kd", tf_kd),
}


def get_search_space(method: str) -> SearchSpace:
    """The search space of `method`; an unknown name says what exists."""
    if method not in SEARCH_SPACES:
        raise unknown_name("search space", method, SEARCH_SPACES)
    return SEARCH_SPACES[method]
