"""A page stays below 8 MB, whatever a study compares; no trainings and no browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bsd_core.methods import METHODS
from studies.report.charts.memorisation import MOST_POINTS, memorisation_charts
from studies.report.data_table import Column, DataTable
from studies.report.infos.corruptions import CorruptedMethod, CorruptionsInfo
from studies.report.infos.memorisation import MEASURES, MemorisationInfo, MethodCurves, mean_band
from studies.report.page.build import build_page, plotly_script, script_json
from studies.report.page.limits import MOST_BYTES, fair_share, room, rounded, that_fit
from studies.report.palette import styles
from studies.report.section import Section
from studies.report.sections import SECTIONS
from studies.report.source import ReportSource
from studies.report.standings import Standings
from studies.statistics.seeds import summarise
from tests.studies._dummies import make_spec
from tests.studies.report._sources import make_source

CONDITIONS = ["none", *(f"{kind}:{rate / 100}" for kind in ("symmetric", "asymmetric", "pairflip") for rate in range(5, 40, 5))]
STANDINGS = Standings(
    confirmed=True, role="best_accuracy", by_arm={}, conditions=[], trainings="Trainings.", images="Images.", fitted_on="Fitted."
)


def memorisation(methods: list[str], conditions: list[str], epochs: int) -> MemorisationInfo:
    rng = np.random.default_rng(0)
    return MemorisationInfo(
        STANDINGS,
        9,
        {
            condition: [
                MethodCurves(method, 5, {measure: mean_band(rng.random((5, epochs))) for measure in MEASURES}) for method in methods
            ]
            for condition in conditions
        },
    )


def corrupted(methods: list[str], conditions: list[str]) -> CorruptionsInfo:
    rng = np.random.default_rng(0)
    mean = summarise([0.123456789, 0.23456789])
    members = {
        condition: [
            CorruptedMethod(
                method, 5, {metric: rng.random((19, 5)) for metric in ("accuracy", "ece")}, dict.fromkeys(("accuracy", "ece"), [mean] * 19)
            )
            for method in methods
        ]
        for condition in conditions
    }
    return CorruptionsInfo(STANDINGS, [f"corruption_{number}" for number in range(19)], [1, 2, 3, 4, 5], 100, members)


@dataclass(frozen=True)
class Texts:
    """A section of one table of long texts."""

    n: int

    missing = None
    caption = "Texts."

    def tables(self) -> list[DataTable]:
        columns = [Column("text", "text"), Column("again", "again", "command")]
        return [DataTable("texts", "Texts", columns, [{"text": "&" * 9_000, "again": "<" * 900} for _ in range(self.n)])]


def page_of(source: ReportSource, infos: Mapping[str, Any]) -> str:
    known = {section.key: section for section in SECTIONS}
    texts = Section("texts", "Texts", "Read.", lambda _: None)
    return build_page(source, ["Yes."], [(known.get(key, texts), info) for key, info in infos.items()])


@pytest.fixture(scope="module")
def source() -> ReportSource:
    return make_source([], make_spec(methods=list(METHODS), conditions=CONDITIONS))


def links(page: str) -> Iterator[str]:
    return (match[1] for match in re.finditer(r'<a href="([^"]{1,60})[^"]*" download', page))


def test_a_page_of_all_methods_in_22_conditions_is_below_8_mb(source: ReportSource) -> None:
    methods, conditions = source.methods, source.conditions
    assert (len(methods), len(conditions)) == (21, 22)
    infos = {"memorisation": memorisation(methods, conditions, 300), "corruptions": corrupted(methods, conditions), "texts": Texts(400)}
    page = page_of(source, infos)
    assert len(page.encode()) < MOST_BYTES
    assert page.count("Left out, so that this page stays below 8 MB: ") >= 1
    assert re.search(r"[1-9]\d+ more rows are in the files", page)
    assert list(links(page)) == ["data/memorisation.csv", "data/corruptions.csv", "data/texts.csv"]


def test_a_small_page_has_everything_in_it(source: ReportSource) -> None:
    page = page_of(source, {"memorisation": memorisation(source.methods[:2], source.conditions[:2], 5), "texts": Texts(2)})
    assert "Left out" not in page
    assert "more rows" not in page
    assert all(link.startswith("data:text/csv;base64,") for link in links(page))
    assert len(list(links(page))) == 2


def test_the_largest_are_left_out_first() -> None:
    assert that_fit({"a": 5, "b": 1, "c": 3}, 9) == {"a", "b", "c"}
    assert that_fit({"a": 5, "b": 1, "c": 3}, 8) == {"b", "c"}
    assert that_fit({"a": 5}, 4) == set()
    assert room(len(plotly_script().encode())) > 2_000_000


def test_small_tables_leave_others_what_they_do_not_need() -> None:
    assert fair_share([10, 20, 70], 100) == 100
    assert fair_share([10, 20, 80], 100) == 70
    assert fair_share([10, 80, 80], 100) == 45
    assert fair_share([], 100) == 100


def test_numbers_of_charts_are_rounded_and_nothing_else() -> None:
    value = {"a": [0.123456789, 1234567, None, True, "0.123456789"], "b": (1e-9 / 3, -98765.4321)}
    assert json.loads(script_json(value)) == {"a": [0.12346, 1234567, None, True, "0.123456789"], "b": [3.3333e-10, -98765.0]}
    with pytest.raises(ValueError, match="JSON"):
        script_json(rounded(float("nan")))


def test_long_trainings_have_a_thinner_line_with_both_ends() -> None:
    (first, *_) = memorisation_charts(memorisation(["bsd"], ["a"], 1001), styles(["bsd"]))
    area, line = first.variants["a"]["data"]
    assert len(line["x"]) == len(line["y"]) == MOST_POINTS
    assert (line["x"][0], line["x"][-1]) == (1, 1001)
    assert len(area["x"]) == 2 * MOST_POINTS
    (first, *_) = memorisation_charts(memorisation(["bsd"], ["a"], 30), styles(["bsd"]))
    assert first.variants["a"]["data"][1]["x"] == list(range(1, 31))
