from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

import bsd_core.methods
from bsd_core.errors import ConfigError
from bsd_core.methods import METHODS, Method, MethodConfig, get_method, method_config
from tests._dummies import make_network, make_training

ALL = [
    "bsd",
    "bsd_contrastive",
    "confidence_penalty",
    "cross_entropy",
    "cs_kd",
    "cs_kd_e",
    "ddgsd",
    "dlb",
    "dual_focal",
    "elr",
    "focal",
    "gce",
    "kd",
    "kd_cs_kd",
    "label_smoothing",
    "mixup",
    "mixup_cs_kd",
    "ps_kd",
    "sop",
    "temporal_ensembling",
    "tf_kd",
]


def test_the_registry_is_alphabetical_and_holds_every_method() -> None:
    assert list(METHODS) == ALL


@pytest.mark.parametrize("name", ALL)
def test_every_method_is_described(name: str) -> None:
    text = " ".join(str(importlib.import_module(METHODS[name].__module__).__doc__).split())
    assert any(word in text for word in ("Same as", "Different from", "no reference", "No official code", "Our reading", "readable"))
    page = (Path(bsd_core.__file__).parents[1] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in page


def test_the_public_names_are_those_of_all() -> None:
    names = bsd_core.methods.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(bsd_core.methods, name) for name in names)


def test_an_unknown_method_says_what_exists() -> None:
    with pytest.raises(ConfigError, match=r"Unknown method 'cskd'\. Did you mean 'cs_kd'\? Known: bsd, .*cross_entropy, cs_kd,"):
        get_method("cskd")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("bsd", {"prior_strenght": 3.0}, r"Unknown bsd setting 'prior_strenght'\. Did you mean 'prior_strength'\? Known:"),
        ("cross_entropy", {"temperature": 3.0}, r"Method 'cross_entropy' has no settings, but got temperature=3\.0"),
        ("cs_kd", {"temperature": "4"}, r"Setting 'temperature' of 'cs_kd' must be a number, but got '4'"),
        ("cs_kd", {"temperature": True}, r"must be a number, but got True"),
        ("label_smoothing", {"smoothing": None}, r"must be a number, but got None"),
        ("label_smoothing", {"smoothing": 2}, r"`0 <= smoothing < 1` must hold, but got smoothing=2"),
        ("nothing", {}, r"Unknown method 'nothing'"),
    ],
)
def test_wrong_names_and_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        method_config(name, settings)


def test_a_method_without_a_step_says_so() -> None:
    method = Method(MethodConfig(), make_training(torch.tensor([0, 1])))
    with pytest.raises(TypeError, match=r"Method does not define step\(\)"):
        method.step(make_network(), None)  # type: ignore[arg-type]
    assert method.label_estimates() is None
