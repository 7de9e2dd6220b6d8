from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bsd_core.data.label_noise import HUMAN_SETS, NOISE_KINDS
from bsd_core.errors import ConfigError
from studies.condition import Condition
from studies.study_file import check_spec
from tests.studies._dummies import make_document, make_spec


def condition_of(value: object) -> Condition:
    (condition,) = make_spec(conditions=[value]).conditions
    return condition


@pytest.mark.parametrize("kind", [kind for kind, facts in NOISE_KINDS.items() if "rate" in facts.needs])
def test_kinds_with_a_rate_have_two_short_forms(kind: str) -> None:
    for value in (f"{kind}:0.25", f"{kind}_25"):
        condition = condition_of(value)
        assert (condition.kind, condition.rate, condition.name) == (kind, 0.25, f"{kind}_25")
        assert condition.exact == NOISE_KINDS[kind].exact


@pytest.mark.parametrize("name", HUMAN_SETS)
def test_human_labels_by_their_set(name: str) -> None:
    condition = condition_of(f"human:{name}")
    assert (condition.kind, condition.labels, condition.file, condition.rate) == ("human", name, None, 0)
    assert condition.name == f"human_{name}"
    assert not condition.exact


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("confusion:some/My matrix-2.csv", "confusion_my_matrix_2"),
        ("saved:results/x/labels/symmetric_40.parquet", "saved_symmetric_40"),
        ({"kind": "confusion", "file": "m.npy"}, "confusion_m"),
    ],
)
def test_conditions_from_a_file_are_named_after_it_and_find_it_from_anywhere(value: Any, name: str) -> None:
    condition = condition_of(value)
    assert condition.name == name
    assert condition.file is not None
    assert os.path.isabs(condition.file)
    assert not condition.exact


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("human", r"Condition 'human' needs which labels, e\.g\. human:worse; there are aggre, "),
        ("human:worst", r"Unknown set of human labels 'worst'\. .*Did you mean 'worse'\?"),
        ("human_40", r"Condition 'human' takes no rate, which its file says, but got rate=0\.4"),
        ("confusion", r"Condition 'confusion' needs its file, e\.g\. confusion:my_file\.csv"),
        ("saved:", r"Condition 'saved' needs its file, e\.g\. saved:my_file\.parquet"),
        ({"kind": "confusion", "file": "m.csv", "rate": 0.2}, r"Condition 'confusion' takes no rate"),
        ({"kind": "pairflip", "rate": 0.2, "file": "m.csv"}, r"Only human and confusion and saved noise takes `file`"),
        ({"kind": "confusion", "file": "m.csv", "labels": "worse"}, r"Only human noise takes `labels`, but condition 'confusion' has one"),
        ("pairflop:0.2", r"Unknown condition 'pairflop'\. .*Did you mean 'pairflip'\?"),
        ("instance", r"Condition 'instance' needs a rate above 0, e\.g\. instance:0\.4"),
    ],
)
def test_conditions_that_cannot_be_are_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_spec(make_document(conditions=[value]), where="mine.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_by_way_of_a_link_is_noted_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "m.csv").touch()
    (tmp_path / "latest").symlink_to("first")
    assert condition_of(f"confusion:{tmp_path}/latest/m.csv").file == os.path.realpath(tmp_path / "first" / "m.csv")


def test_two_files_of_one_name_cannot_be_told_apart() -> None:
    with pytest.raises(ConfigError, match=r"Two different conditions are both called 'confusion_m'; give their files different names"):
        check_spec(make_document(conditions=["confusion:a/m.csv", "confusion:b/m.csv"]), where="mine.yaml")
