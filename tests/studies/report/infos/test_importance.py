"""Shares by arm and objective as they are shown."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from studies.report.charts.importance import importance_charts
from studies.report.figures.importance import draw_importance
from studies.report.infos.importance import ArmImportance, ImportanceInfo, Share, collect_importance
from studies.report.palette import styles
from studies.report.source import ReportSource
from tests.studies._dummies import make_end, make_epoch, make_epochs, make_events, make_spec, make_suggest
from tests.studies.report._sources import make_source


def searched_source(n: int = 8, **changes: Any) -> ReportSource:
    """Accuracy follows the learning rate alone, of one arm; the other arm has one trial."""
    events = []
    for number in range(n):
        params = {"learning_rate": 0.01 * 1.5**number, "weight_decay": 1e-4 * (1 + number * 7 % 5)}
        events.append(make_suggest("cross_entropy/none", number, params=params))
        events.append(make_epochs("cross_entropy/none", number, make_epoch(1)))
        events.append(make_end("cross_entropy/none", number, 0.5 + 0.02 * number, 0.3 - 0.01 * (number * 7 % 5)))
    events += make_events(("bsd/none", 0, 0.7, 0.1))
    return make_source(events, make_spec(trials=n, **changes))


def made_info(name: str) -> ImportanceInfo:
    shares: dict[str, list[Share] | None] = {"accuracy": [Share(name, 0.75, 0.5, 1.0), Share("b", 0.25, None, None)], "ece": None}
    return ImportanceInfo([ArmImportance(name, name, 30, shares)], ("val_accuracy", "val_ece"), "clean")


def test_shares_are_those_of_the_statistics_largest_first() -> None:
    source = searched_source()
    info = collect_importance(source)
    assert info.missing is None
    stored = source.document["importance"]["cross_entropy/none"]["val_accuracy"]
    ((arm, shares),) = info.members("none", "accuracy")
    assert (arm.method, arm.n_trials) == ("cross_entropy", 8)
    assert [share.setting for share in shares] == ["learning_rate", "weight_decay"]
    assert {share.setting: share.value for share in shares} == {name: share["value"] for name, share in stored.items()}
    (table,) = info.tables()
    assert len(table.rows) == 4  # two settings, two objectives
    for objective in ("accuracy", "ECE"):
        assert sum(float(row["share"] or 0) for row in table.rows if row["objective"] == objective) == pytest.approx(1)


def test_the_caption_says_how_little_shares_promise() -> None:
    caption = collect_importance(searched_source()).caption
    assert "n = 8 finished trials an arm, one seed each, by clean validation labels" in caption
    assert "80 % bootstrap intervals over trials, which are too narrow" in caption
    assert "not distinguishable" in caption
    assert "a hint only" in caption
    assert "Nothing can be said of bsd in none" in caption
    assert "a hint only" not in made_info("a").caption


def test_a_chart_an_objective_with_a_bar_a_setting() -> None:
    info = made_info("a")
    accuracy, ece = importance_charts(info, styles(["a"]))
    (trace,) = accuracy.variants["a"]["data"]
    assert trace["x"] == [75, 25]
    assert (trace["error_x"]["array"], trace["error_x"]["arrayminus"]) == ([25, 0], [25, 0])
    axis = accuracy.variants["a"]["layout"]["yaxis"]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True)) == {0: "a: a", 1: "a: b"}
    assert ece.variants["a"]["data"] == []  # another arm of the condition may have one
    for chart in (accuracy, ece):
        go.Figure(chart.variants["a"])


def test_names_are_text() -> None:
    name = "<i>$\\frac$</i>"
    info = made_info(name)
    accuracy, _ = importance_charts(info, styles([name]))
    (trace,) = accuracy.variants[name]["data"]
    assert "<i>" not in "".join([trace["name"], *trace["hovertext"], *accuracy.variants[name]["layout"]["yaxis"]["ticktext"]])
    figure = draw_importance(info, styles([name]))
    figure.draw_without_rendering()
    assert f"{name}: {name}" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_too_few_trials_are_missing() -> None:
    few = collect_importance(searched_source(3))
    assert few.missing is not None
    assert "at least 4 finished trials" in few.missing
    empty = collect_importance(make_source([], make_spec()))
    assert empty.missing == few.missing
    assert empty.tables()[0].rows == []
    failed = make_source(make_events(*(("bsd/none", number, None, 0.1) for number in range(5))), make_spec(trials=5))
    assert collect_importance(failed).missing == few.missing
