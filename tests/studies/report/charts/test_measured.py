"""Charts of what trainings measure, and the figures of the same numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

from studies.report.charts.corruptions import corruptions_charts
from studies.report.charts.memorisation import memorisation_charts
from studies.report.charts.noise_rate import noise_rate_charts
from studies.report.charts.reliability import reliability_charts
from studies.report.figures.corruptions import draw_corruptions
from studies.report.figures.memorisation import draw_memorisation
from studies.report.figures.noise_rate import draw_noise_rate
from studies.report.figures.reliability import draw_reliability
from studies.report.infos.conditions import collect_conditions
from studies.report.infos.corruptions import collect_corruptions
from studies.report.infos.memorisation import collect_memorisation
from studies.report.infos.noise_rate import collect_noise_rate
from studies.report.infos.reliability import collect_reliability
from studies.report.palette import styles
from studies.report.section import Chart
from studies.report.source import ReportSource
from tests.studies._dummies import write_clean_predictions
from tests.studies.report._measured import measured_source, searched_source

Parts = tuple[Callable[[ReportSource], Any], Callable[..., list[Chart]], Callable[..., Any]]
SECTIONS: dict[str, Parts] = {
    "reliability": (collect_reliability, reliability_charts, draw_reliability),
    "corruptions": (collect_corruptions, corruptions_charts, draw_corruptions),
    "noise_rate": (collect_noise_rate, noise_rate_charts, draw_noise_rate),
    "memorisation": (collect_memorisation, memorisation_charts, draw_memorisation),
}
HOSTILE = "<b onclick=x>$y_"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ReportSource:
    folder = tmp_path_factory.mktemp("run")
    found = replace(measured_source(), path=folder)
    for row in found.confirming:
        write_clean_predictions(folder / "tables" / "predictions", row["trial_id"], [0.95, 0.9, 0.7, 0.6], [True, True, True, False])
    return found


def check(charts: list[Chart]) -> list[dict[str, Any]]:
    """The drawings, each of which Plotly takes and JSON can hold."""
    drawings = [dict(drawing) for chart in charts for drawing in chart.variants.values()]
    for drawing in drawings:
        json.dumps(drawing, allow_nan=False)
        go.Figure(drawing)
        assert {trace["type"] for trace in drawing["data"]} <= {"scatter", "bar", "heatmap"}  # none needs WebGL
    return drawings


@pytest.mark.parametrize("key", SECTIONS)
def test_charts_and_figures_of_a_finished_run(key: str, source: ReportSource, tmp_path: Path) -> None:
    collect, charts_of, draw = SECTIONS[key]
    info = collect(source)
    assert info.missing is None
    assert check(charts_of(info, source.styles))
    figure = draw(info, source.styles)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "figure.svg")


@pytest.mark.parametrize("key", SECTIONS)
@pytest.mark.parametrize(
    "trials",
    [
        [],
        [("bsd/symmetric_40", 0, None, 0.1)],
        [("bsd/symmetric_40", 0, 0.8, 0.1)],
        [("bsd/none", 0, 0.8, 0.1), ("bsd/symmetric_40", 0, 0.7, 0.1)],
    ],
    ids=["empty", "all failed", "one point", "no confirm phase"],
)
def test_runs_with_little_to_show_are_drawn_or_say_why_not(key: str, trials: list[Any]) -> None:
    collect, charts_of, draw = SECTIONS[key]
    source = searched_source(*trials)
    info = collect(source)
    if info.missing is not None:
        assert info.missing.endswith(".")
        return
    assert info.caption
    assert all(table.rows for table in info.tables())
    assert check(charts_of(info, source.styles))
    draw(info, source.styles).draw_without_rendering()


def test_reliability_is_drawn_before_and_after_over_the_share_of_images(source: ReportSource) -> None:
    [chart] = reliability_charts(collect_reliability(source), source.styles)
    assert list(chart.variants) == ["none", "symmetric_20", "symmetric_40"]
    traces = chart.variants["none"]["data"]
    assert [trace["name"] for trace in traces] == ["share of images", "before temperature scaling", "after temperature scaling"] * 2
    assert [trace["showlegend"] for trace in traces] == [True] * 3 + [False] * 3
    assert traces[0]["y"] == [20, 80]
    assert traces[1]["y"] == [55, 95]
    assert len(chart.variants["none"]["layout"]["shapes"]) == 2  # a diagonal a panel


def test_heat_maps_share_one_scale_and_brighter_is_better_in_both(source: ReportSource) -> None:
    accuracy, ece = corruptions_charts(collect_corruptions(source), source.styles)
    scales = [drawing["layout"]["coloraxis"] for drawing in accuracy.variants.values()]
    assert {(scale["cmin"], scale["cmax"], scale["reversescale"]) for scale in scales} == {(50, 80, False)}
    assert ece.variants["none"]["layout"]["coloraxis"]["reversescale"] is True
    assert accuracy.variants["none"]["data"][0]["z"] == [[80, 60], [70, 50]]


def test_noise_rates_have_a_panel_a_kind_and_each_method_once_in_the_legend() -> None:
    source = measured_source(conditions=["none", "symmetric_40", "pairflip_20"])
    accuracy, _ = noise_rate_charts(collect_noise_rate(source), source.styles)
    traces = accuracy.variants["all"]["data"]
    assert [(trace["name"], trace["xaxis"], trace["showlegend"]) for trace in traces] == [
        ("cross_entropy", "x", True),
        ("bsd", "x", True),
        ("cross_entropy", "x2", False),
        ("bsd", "x2", False),
    ]


def test_memorisation_names_its_condition_since_the_switch_may_say_another(source: ReportSource) -> None:
    memorised, recovered = memorisation_charts(collect_memorisation(source), source.styles)
    assert list(memorised.variants) == ["symmetric_20", "symmetric_40"]
    assert recovered.variants["symmetric_40"]["layout"]["xaxis"]["title"]["text"] == "epoch, condition symmetric_40"
    band, line = memorised.variants["symmetric_40"]["data"][:2]
    assert band["x"] == [1, 2, 2, 1]
    assert line["y"] == [10, 20]


def test_texts_of_studies_are_no_markup(source: ReportSource, tmp_path: Path) -> None:
    reliability = collect_reliability(source)
    curves = collect_memorisation(source)
    corruptions = collect_corruptions(source)
    rates = collect_noise_rate(source)
    hostile = {
        "reliability": replace(reliability, conditions={HOSTILE: [replace(reliability.conditions["none"][0], method=HOSTILE)]}),
        "memorisation": replace(curves, conditions={HOSTILE: [replace(curves.conditions["symmetric_40"][0], method=HOSTILE)]}),
        "corruptions": replace(
            corruptions, corruptions=[HOSTILE, "x"], conditions={HOSTILE: [replace(corruptions.conditions["none"][0], method=HOSTILE)]}
        ),
        "noise_rate": replace(
            rates,
            points=[replace(point, method=HOSTILE, condition=HOSTILE, kind=HOSTILE) for point in rates.points if point.method == "bsd"],
        ),
    }
    for key, info in hostile.items():
        _, charts_of, draw = SECTIONS[key]
        for drawing in check(charts_of(info, styles([HOSTILE]))):
            assert "<b onclick" not in json.dumps(drawing), key
        draw(info, styles([HOSTILE])).savefig(tmp_path / "figure.svg")


def test_numbers_of_a_large_run_are_collected_in_no_time() -> None:
    trials = [(f"bsd/{condition}", number, 0.5 + number / 1000, 0.1) for condition in ("none", "symmetric_40") for number in range(250)]
    source = searched_source(*trials)
    source.trials  # noqa: B018  # read once for all sections
    start = time.perf_counter()
    for collect in (collect_conditions, *(parts[0] for parts in SECTIONS.values())):
        collect(source)
    assert time.perf_counter() - start < 5
