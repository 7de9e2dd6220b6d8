"""Maps of features: whose they are, and where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from bsd_core.errors import DataError
from studies.features import Features, write_features
from studies.report import feature_maps
from studies.report.charts.features import features_charts
from studies.report.figures.features import draw_features
from studies.report.infos import features as module
from studies.report.infos.features import FeatureMap, FeaturesInfo, collect_features, evenly_by_class
from studies.report.palette import styles
from studies.report.source import ReportSource
from studies.statistics.document import collect_statistics
from tests.studies._dummies import make_spec, trial_id
from tests.studies.report._sources import Confirmed, Trial, confirmed_source, make_source

METHODS = ("cross_entropy", "bsd")


def make_features(n: int = 12, n_classes: int = 3) -> Features:
    """Directions by class: nearest others are of the same class."""
    rng = np.random.default_rng(0)
    targets = np.arange(n) % n_classes
    return Features.of(np.arange(n), targets, np.eye(n_classes)[targets] + 0.05 * rng.random((n, n_classes)))


def stored_source(path: Path, *, methods: Sequence[str] = METHODS, conditions: Sequence[str] = ("none",)) -> ReportSource:
    """Both methods are confirmed; features of `methods` are stored."""
    spec = make_spec(trials=2, conditions=list(conditions), confirm={"seeds": 2})
    trials: list[Trial] = []
    chosen: Confirmed = {}
    for condition in conditions:
        for method in METHODS:
            arm = f"{method}/{condition}"
            trials += [(arm, 0, 0.8, 0.1), (arm, 1, 0.7, 0.05)]
            chosen = {**chosen, (arm, 0): ("best_accuracy", [(0.8, 0.1)] * 2), (arm, 1): ("best_ece", [(0.7, 0.1)] * 2)}
            if method in methods:
                write_features(path / "tables" / "features" / f"{trial_id(arm, 0)}-confirm-0.parquet", make_features())
    source = confirmed_source(trials, chosen, spec)
    document = collect_statistics(source.tables, spec, path / "tables" / "predictions")
    return replace(source, document=document, path=path)


def made_map(name: str, n_classes: int = 3) -> FeatureMap:
    targets = np.arange(24) % n_classes
    return FeatureMap(name, name, name, 24, 3, 0.5, 0.25, np.arange(24), targets, np.ones((24, 2), dtype=np.float32) * targets[:, None])


def test_maps_are_of_the_most_accurate_confirmed_setting(tmp_path: Path) -> None:
    source = stored_source(tmp_path, conditions=("none", "symmetric_40"))
    info = collect_features(source)
    assert info.missing is None
    assert [(one.condition, one.method) for one in info.maps] == [(c, m) for c in ("none", "symmetric_40") for m in METHODS]
    first = info.maps[0]
    assert first.trial_id == "cross_entropy-none-0000-confirm-0"
    assert (first.n_images, first.n_features, first.recall_at_1) == (12, 3, 1.0)
    assert first.intra_class_variation == source.document["features"]["cross_entropy-none-0000"]["intra_class_variation"]
    assert first.places.shape == (12, 2)
    assert (tmp_path / "report" / "feature_maps.parquet").is_file()
    numbers, points = info.tables()
    assert (len(numbers.rows), len(points.rows)) == (4, 48)
    assert [points.rows[15][name] for name in ("condition", "method", "row", "target")] == ["none", "bsd", 3, 0]
    assert (points.rows[15]["x"], points.rows[15]["y"]) == pytest.approx(info.maps[1].places[3].tolist(), abs=0.051)
    assert "n = 12 test images" in info.caption
    assert "mean little" in info.caption
    assert "no interval over seeds" in info.caption


def test_what_is_not_stored_is_named(tmp_path: Path) -> None:
    info = collect_features(stored_source(tmp_path, methods=("bsd",)))
    assert [one.method for one in info.maps] == ["bsd"]
    assert "No features are stored of cross_entropy in none." in info.caption


def test_where_only_knees_are_confirmed_maps_are_of_these(tmp_path: Path) -> None:
    spec = make_spec(methods=["bsd"], trials=1, confirm={"seeds": 1, "points": "knee"})
    source = confirmed_source([("bsd/none", 0, 0.8, 0.1)], {("bsd/none", 0): ("knee", [(0.8, 0.1)])}, spec)
    write_features(tmp_path / "tables" / "features" / f"{trial_id('bsd/none', 0)}-confirm-0.parquet", make_features())
    document = collect_statistics(source.tables, spec, tmp_path / "tables" / "predictions")
    info = collect_features(replace(source, document=document, path=tmp_path))
    assert info.missing is None
    assert [one.trial_id for one in info.maps] == ["bsd-none-0000-confirm-0"]
    assert "the setting confirmed as knee" in info.caption


def test_without_features_it_says_why(tmp_path: Path) -> None:
    older = collect_features(stored_source(tmp_path, methods=()))
    assert older.missing is not None
    assert "No features are stored" in older.missing
    assert not (tmp_path / "report").exists()
    trials: list[Trial] = [("bsd/none", 0, 0.8, 0.1)]
    declined = confirmed_source(trials, {("bsd/none", 0): ("knee", [(0.8, 0.1)])}, make_spec(confirm={"features": False}))
    assert collect_features(declined).missing == "The study keeps no features (confirm.features: false)."
    searched = collect_features(make_source([], make_spec()))
    assert searched.missing is not None
    assert "Nothing was confirmed" in searched.missing
    failed = confirmed_source(trials, {("bsd/none", 0): ("best_accuracy", [(None, 0.1)])}, make_spec(confirm={"seeds": 1}))
    assert collect_features(failed).missing == older.missing


def test_a_statistics_document_of_an_older_version_has_no_features(tmp_path: Path) -> None:
    source = stored_source(tmp_path)
    document = {name: value for name, value in source.document.items() if name != "features"}
    assert collect_features(replace(source, document=document)).missing is not None


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    source = stored_source(tmp_path)
    (tmp_path / "tables" / "features" / "bsd-none-0000-confirm-0.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="not a file of features"):
        collect_features(source)


def test_many_maps_share_a_number_of_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PLACES", 20)
    info = collect_features(stored_source(tmp_path))
    assert [len(one.rows) for one in info.maps] == [10, 10]
    assert "n = 12 test images (of these 10 on each map)" in info.caption
    monkeypatch.setattr(module, "AT_MOST", 1)
    info = collect_features(stored_source(tmp_path))
    assert [one.method for one in info.maps] == ["cross_entropy"]
    assert "The first 1 maps of 2 are drawn." in info.caption


def test_maps_that_are_made_stay_when_one_more_arm_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PLACES", 20)
    collect_features(stored_source(tmp_path, methods=["bsd"]))
    monkeypatch.setattr(feature_maps, "map_features", lambda values, *, seed: pytest.fail("it was made again"))
    assert [one.method for one in collect_features(stored_source(tmp_path)).maps] == ["cross_entropy", "bsd"]  # of equal features


def test_a_part_has_as_many_images_of_each_class() -> None:
    stored = make_features(30)
    some = evenly_by_class(stored, 9)
    assert np.bincount(stored.targets[some]).tolist() == [3, 3, 3]
    assert (np.diff(some) > 0).all()
    assert evenly_by_class(stored, 30).tolist() == list(range(30))


def test_a_panel_a_method_and_a_trace_a_class(tmp_path: Path) -> None:
    source = stored_source(tmp_path)
    (chart,) = features_charts(collect_features(source), source.styles)
    drawing = chart.variants["none"]
    assert [(trace["xaxis"], trace["name"]) for trace in drawing["data"]] == [(x, str(c)) for x in ("x", "x2") for c in range(3)]
    assert len({trace["marker"]["color"] for trace in drawing["data"]}) == 3
    assert [trace["showlegend"] for trace in drawing["data"]] == [True] * 3 + [False] * 3
    titles = [title["text"] for title in drawing["layout"]["annotations"]]
    assert titles[1].startswith("bsd<br>Recall@1 100.0 %<br>variation 0.0")
    assert "matches" not in str(drawing["layout"])
    go.Figure(drawing)


def test_above_ten_classes_colours_turn_and_the_hover_tells() -> None:
    info = FeaturesInfo([made_map("a", 12)], [], 0, None, "best_accuracy")
    (chart,) = features_charts(info, styles(["a"]))
    drawing = chart.variants["a"]
    assert len(drawing["data"]) == 10
    assert set(drawing["data"][0]["text"]) == {0, 10}
    assert "%{text}" in drawing["data"][0]["hovertemplate"]
    assert drawing["layout"]["showlegend"] is False
    figure = draw_features(info, styles(["a"]))
    figure.draw_without_rendering()
    assert figure.legends == []


def test_names_are_text() -> None:
    name = "<b>$_$"
    info = FeaturesInfo([made_map(name)], [], 0, None, "best_accuracy")
    (chart,) = features_charts(info, styles([name]))
    assert "<b>" not in str(chart.variants[name])
    figure = draw_features(info, styles([name]))
    figure.draw_without_rendering()
    assert figure.axes[0].get_title(loc="left").splitlines()[0] == name
    assert len(figure.legends[0].get_texts()) == 3
