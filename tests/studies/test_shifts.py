from __future__ import annotations

import os
from typing import Any

import pytest

from bsd_core.errors import ConfigError
from bsd_core.robustness.corruptions import CORRUPTIONS
from bsd_core.robustness.names import MAIN, MAIN_PERTURBATIONS, PERTURBATIONS
from studies.study_file import check_spec
from studies.yaml_strict import dump_yaml, parse_yaml
from tests.studies._dummies import make_document, make_spec


@pytest.mark.parametrize(("given", "meaning"), [("all", CORRUPTIONS), ("main", MAIN), ("none", ()), (["fog", "snow"], ("fog", "snow"))])
def test_groups_of_corruptions(given: Any, meaning: tuple[str, ...]) -> None:
    assert make_spec(evaluate={"corruptions": given}).evaluate.corruptions == list(meaning)


@pytest.mark.parametrize(
    ("given", "meaning"), [("all", PERTURBATIONS), ("main", MAIN_PERTURBATIONS), ("none", ()), ("tilt", ("tilt",)), ([], ())]
)
def test_groups_of_perturbations(given: Any, meaning: tuple[str, ...]) -> None:
    assert make_spec(evaluate={"perturbations": given}).evaluate.perturbations == list(meaning)


def test_nothing_is_perturbed_unless_asked_for() -> None:
    assert make_spec(evaluate={"severities": 3}).evaluate.perturbations == []


@pytest.mark.parametrize("fields", [{}, {"official": None}])
@pytest.mark.parametrize("given", ["official", ["official"]])
def test_official_means_all_corruptions_and_the_released_files(given: Any, fields: dict[str, Any]) -> None:
    evaluate = make_spec(evaluate={"corruptions": given, **fields}).evaluate
    assert evaluate.official == "auto"
    assert evaluate.corruptions == list(CORRUPTIONS)


def test_some_corruptions_can_be_official_and_lie_elsewhere() -> None:
    evaluate = make_spec(evaluate={"corruptions": ["fog"], "official": "CIFAR-10-C"}).evaluate
    assert (evaluate.official, evaluate.corruptions) == (os.path.abspath("CIFAR-10-C"), ["fog"])
    both = make_spec(evaluate={"corruptions": "official", "official": "here"}).evaluate
    assert (both.official, both.corruptions) == (os.path.abspath("here"), list(CORRUPTIONS))


def test_a_written_study_is_read_back_as_it_was() -> None:
    spec = make_spec(evaluate={"corruptions": "official", "perturbations": "main", "frost_folder": "frost", "images": 7})
    assert check_spec(parse_yaml(dump_yaml(spec.model_dump()), where="x"), where="x") == spec


def test_a_frost_folder_is_found_from_anywhere() -> None:
    folder = make_spec(evaluate={"frost_folder": "~/frost"}).evaluate.frost_folder
    assert folder == os.path.expanduser("~/frost")
    named_auto = make_spec(evaluate={"frost_folder": "auto"}).evaluate.frost_folder
    assert named_auto == os.path.abspath("auto")
    relative = make_spec(evaluate={"frost_folder": "frost"}).evaluate.frost_folder
    assert relative == os.path.abspath("frost")


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        ({"corruptions": ["official", "fog"]}, r"`official` stands alone, but the list also names other corruptions"),
        ({"corruptions": ["main", "fog"]}, r"`main` stands alone"),
        ({"perturbations": ["all", "tilt"]}, r"`all` stands alone, but the list also names other perturbations"),
        ({"perturbations": ["titl"]}, r"Unknown perturbation 'titl'\. .*Did you mean 'tilt'\?"),
        ({"perturbations": ["tilt", "tilt"]}, r"The perturbation 'tilt' is listed twice"),
        (
            {"corruptions": ["fog"], "frost_folder": "pictures"},
            r"`frost_folder` is for the corruption frost, which no `corruptions` name",
        ),
        ({"corruptions": "none", "official": "auto"}, r"`official` files are corrupted images, but `corruptions` is none"),
    ],
)
def test_what_cannot_be_shown_is_refused(evaluate: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_spec(make_document(evaluate=evaluate), where="mine.yaml")
