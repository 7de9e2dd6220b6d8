from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest

from studies.report.charts.front import front_charts
from studies.report.figures.front import draw_front
from studies.report.infos.front import collect_plane
from studies.report.source import ReportSource
from tests.studies._dummies import make_choice, make_confirmation, make_end, make_events, make_spec, make_suggest
from tests.studies.report._sources import Confirmed, Trial, confirmed_source, make_source

TRIALS: list[Trial] = [
    ("cross_entropy/none", 0, 0.9, 0.2),
    ("cross_entropy/none", 1, 0.8, 0.1),
    ("cross_entropy/none", 2, 0.75, 0.15),
    ("bsd/none", 0, 0.85, 0.05),
    ("bsd/none", 1, 0.80, 0.06),
    ("bsd/none", 2, 0.84, 0.07),
]
CHOSEN: Confirmed = {
    ("cross_entropy/none", 0): ("best_accuracy", [(0.70, 0.30), (0.72, 0.32)]),
    ("cross_entropy/none", 1): ("best_ece, knee", [(0.80, 0.10), (0.82, 0.12)]),
    ("bsd/none", 0): ("best_accuracy, knee, best_ece", [(0.84, 0.05), (0.86, 0.07)]),
}


def make_plane_source() -> ReportSource:
    return confirmed_source(TRIALS, CHOSEN, make_spec(trials=3, confirm={"seeds": 2}))


def only_variant(source: ReportSource) -> dict[str, Any]:
    """The drawing of the only condition, checked by Plotly and in JSON's types."""
    (chart,) = front_charts(collect_plane(source), source.styles)
    (drawing,) = chart.variants.values()
    go.Figure(drawing)
    assert json.loads(json.dumps(drawing, allow_nan=False)) == drawing
    return dict(drawing)


def traces_of(drawing: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [trace for trace in drawing["data"] if trace["legendgroup"] == method]


def test_search_is_faint_fronts_are_steps_and_confirmed_points_are_large() -> None:
    behind, front, confirmed = traces_of(only_variant(make_plane_source()), "cross_entropy")
    assert (behind["mode"], front["mode"], confirmed["mode"]) == ("markers", "lines+markers", "markers")
    assert behind["opacity"] < front["opacity"] < 1
    assert "opacity" not in confirmed
    assert front["line"]["shape"] == "hv"
    assert (front["x"], front["y"]) == (pytest.approx([10, 20]), pytest.approx([80, 90]))
    assert confirmed["marker"]["size"] > front["marker"]["size"] > behind["marker"]["size"]


def test_confirmed_points_have_intervals_in_both_directions() -> None:
    confirmed = traces_of(only_variant(make_plane_source()), "bsd")[-1]
    assert confirmed["x"] == pytest.approx([6.0])
    assert confirmed["y"] == pytest.approx([85.0])
    # 12.7062 (t, 1 degree of freedom) * 1.41421 / sqrt(2), in points
    for bars in (confirmed["error_x"], confirmed["error_y"]):
        assert bars["array"] == pytest.approx([12.7062], abs=1e-3)
        assert bars["arrayminus"] == pytest.approx([12.7062], abs=1e-3)


def test_a_confirmed_point_that_left_the_front_is_hollow() -> None:
    confirmed = traces_of(only_variant(make_plane_source()), "cross_entropy")[-1]
    assert confirmed["marker"]["symbol"] == ["triangle-up-open", "triangle-up"]


def test_every_point_carries_its_own_retrain_command() -> None:
    data = only_variant(make_plane_source())["data"]
    for trace in data:
        assert len(trace["customdata"]) == len(trace["x"]) == len(trace["hovertext"])
        for command, text in zip(trace["customdata"], trace["hovertext"], strict=True):
            trial_id = command.rpartition(" ")[2]
            assert text.startswith(f"<b>{trial_id}</b><br>")
            assert " -m studies retrain " in command
    assert len({command for trace in data for command in trace["customdata"]}) == len(TRIALS)


def test_hover_tells_settings_values_split_and_seeds() -> None:
    _, front, confirmed = traces_of(only_variant(make_plane_source()), "cross_entropy")
    assert (
        "by validation values of 1 training<br>accuracy 80.0 %, ECE 10.0 %, NLL 0.700<br>learning_rate 0.1, weight_decay 0.001"
        in (front["hovertext"][0])
    )
    assert (
        "confirmed as best_accuracy, by test values over 2 fresh seeds<br>accuracy 71.0 % [58.3, 83.7], ECE 31.0 % [18.3, 43.7], NLL 0.500"
        in (confirmed["hovertext"][0])
    )


def test_each_method_stands_in_the_legend_once_with_or_without_confirmed_points() -> None:
    for source in (make_plane_source(), make_source(make_events(*TRIALS), make_spec(trials=3))):
        shown = [trace["name"] for trace in only_variant(source)["data"] if trace.get("showlegend", True)]
        assert sorted(shown) == ["bsd", "cross_entropy"]


def test_texts_of_studies_are_no_markup() -> None:
    spec = make_spec(methods=["bsd"], trials=1)
    source = make_source(make_events(("bsd/none", 0, 0.9, 0.1), params={"learning_rate": 0.1, "weight_decay": 5e-4}), spec)
    info = collect_plane(source)
    (method,) = info.conditions["none"]
    method.searched[0].settings["<b>x</b>"] = "<a href='javascript:1'>&"  # as a stranger's table could have it
    (chart,) = front_charts(info, source.styles)
    text = chart.variants["none"]["data"][0]["hovertext"][0]
    assert "&lt;a href='javascript:1'&gt;&amp;" in text
    assert "<a" not in text


def test_each_condition_is_a_variant_with_its_own_axes() -> None:
    trials: list[Trial] = [("bsd/none", 0, 0.9, 0.1), ("bsd/symmetric_40", 0, 0.5, 0.3)]
    source = make_source(make_events(*trials), make_spec(methods=["bsd"], trials=1, conditions=["none", "symmetric_40", "symmetric_20"]))
    (chart,) = front_charts(collect_plane(source), source.styles)
    assert list(chart.variants) == ["none", "symmetric_40"]  # nothing has ended with symmetric_20 yet
    low, high = chart.variants["symmetric_40"]["layout"]["yaxis"]["range"]
    assert low < 50 < high


def test_the_figure_draws_confirmed_points_with_intervals_too() -> None:
    source = make_plane_source()
    figure = draw_front(collect_plane(source), source.styles)
    (panel,) = [axis for axis in figure.axes if axis.get_visible()]
    bars = panel.containers
    assert len(bars) == 3
    assert sorted(bar.lines[0].get_markerfacecolor() == "none" for bar in bars) == [False, False, True]
    assert all(len(bar.lines[2]) == 2 for bar in bars)  # a bar in each direction
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cross_entropy", "bsd"]
    figure.draw_without_rendering()


def test_one_seed_is_drawn_without_an_interval() -> None:
    one: Confirmed = {trial: (roles, values[:1]) for trial, (roles, values) in CHOSEN.items()}
    source = confirmed_source(TRIALS, one, make_spec(trials=3, confirm={"seeds": 1}))
    confirmed = traces_of(only_variant(source), "bsd")[-1]
    assert confirmed["error_x"]["array"] == [0.0]
    assert "over 1 fresh seed<br>accuracy 84.0 %, ECE 5.0 %" in confirmed["hovertext"][0]
    info = collect_plane(source)
    assert "One seed has no interval" in info.caption
    draw_front(info, source.styles).draw_without_rendering()


def test_confirmed_values_of_corrupted_images_are_called_so() -> None:
    objectives = ["val_corrupted_accuracy", "val_corrupted_ece"]
    spec = make_spec(methods=["bsd"], trials=1, objectives=objectives, evaluate={"corruptions": "main"}, confirm={"seeds": 1})
    found = make_end("bsd/none", 0, 0.95, 0.02, val_corrupted_accuracy=0.40, val_corrupted_ece=0.30)
    suggest, epochs, end = make_confirmation("bsd/none", 0, 0, 0.95, 0.02)
    end["metrics"] |= {"test_corrupted_accuracy": 0.41, "test_corrupted_ece": 0.31}
    events = [make_suggest("bsd/none", 0), found, make_choice({("bsd/none", 0): "best_accuracy"}), suggest, epochs, end]
    confirmed = only_variant(make_source(events, spec))["data"][-1]
    assert "over 1 fresh seed<br>accuracy on corrupted images 41.0 %, ECE on corrupted images 31.0 %" in confirmed["hovertext"][0]
