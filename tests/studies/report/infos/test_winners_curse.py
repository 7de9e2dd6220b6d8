"""The search's promise against fresh seeds: by hand, and where nothing can be compared."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import pytest

from studies.report.charts.winners_curse import winners_curse_charts
from studies.report.figures.winners_curse import draw_winners_curse
from studies.report.infos.winners_curse import CurseInfo, collect_winners_curse_info
from studies.report.palette import styles
from studies.report.source import ReportSource
from tests.studies._dummies import make_choice, make_events, make_spec
from tests.studies.report._sources import Trial, confirmed_source, make_source

TRIALS: list[Trial] = [("cross_entropy/none", 0, 0.60, 0.20), ("bsd/none", 0, 0.75, 0.10)]


def confirmed(**changes: Any) -> ReportSource:
    """Shrinkage of bsd: 4 points of accuracy, 3 of ECE; of cross_entropy: -1 and -2."""
    spec = make_spec(trials=1, confirm={"seeds": 2}, **changes)
    chosen = {
        ("cross_entropy/none", 0): ("best_accuracy", [(0.61, 0.18), (0.61, 0.18)]),
        ("bsd/none", 0): ("best_accuracy, knee", [(0.70, 0.12), (0.72, 0.14)]),
    }
    return confirmed_source(TRIALS, chosen, spec)


def hostile(name: str) -> CurseInfo:
    """One setting whose every text is `name`."""
    gap = {"searched": 0.5, "confirmed": 0.4, "shrinkage": 0.1}
    gaps = dict.fromkeys(("val_accuracy", "val_ece", "test_accuracy", "test_ece"), gap)
    point = {"trial_id": name, "arm": f"{name}/{name}", "roles": name, "n_replicates": 1, "gaps": gaps}
    mean = {"n": 1, "mean": 0.1, "low": None, "high": None}
    curse = {"points": [point], "mean_shrinkage": dict.fromkeys(gaps, mean)}
    setup = {"n_test": 10, "seeds": 1, "noise_seeds": "fresh", "train_on": "train"}
    return CurseInfo(curse, ("val_accuracy", "val_ece"), "clean", setup)


def test_means_and_settings_by_hand() -> None:
    info = collect_winners_curse_info(confirmed())
    assert info.missing is None
    means, settings = info.tables()
    found = {(row["objective"], row["images"]): (row["shrinkage"], row["n"]) for row in means.rows}
    for images in ("same images", "test images"):
        assert found["accuracy", images] == pytest.approx((0.015, 2))
        assert found["ECE", images] == pytest.approx((0.005, 2))
    by_method = {row["method"]: row for row in settings.rows}
    assert by_method["bsd"]["test_accuracy_confirmed"] == pytest.approx(0.71)
    assert by_method["bsd"]["test_accuracy_shrinkage"] == pytest.approx(0.04)
    assert by_method["bsd"]["test_ece_shrinkage"] == pytest.approx(0.03)
    assert by_method["cross_entropy"]["val_accuracy_shrinkage"] == pytest.approx(-0.01)
    assert (by_method["bsd"]["roles"], by_method["bsd"]["n_seeds"]) == ("best_accuracy, knee", 2)


def test_a_mean_within_its_noise_is_not_distinguishable() -> None:
    caption = collect_winners_curse_info(confirmed()).caption
    # Of two settings: 1.5 points, and 12.706 x 2.5 points to both sides.
    assert "The mean shrinkage in accuracy on test images, +1.5 points [-30.3, +33.3], is not distinguishable from none." in caption
    assert "2 chosen settings" in caption
    assert "mean of 2 fresh seeds" in caption
    assert "100 test images" in caption
    assert "clean validation labels" in caption


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.01, 0.03, "The search was too optimistic by +2.0 points [+1.0, +3.0] in accuracy on test images."),
        (-0.05, -0.01, "The search was too pessimistic in accuracy on test images: shrinkage +2.0 points [-5.0, -1.0]."),
        (None, None, "The search was too optimistic by +2.0 points in accuracy on test images, of one setting alone: no interval."),
    ],
)
def test_verdicts_follow_the_interval(low: float | None, high: float | None, says: str) -> None:
    info = hostile("a")
    mean = {"n": 3, "mean": 0.02, "low": low, "high": high}
    curse = {"points": info.points, "mean_shrinkage": dict.fromkeys(info.curse["mean_shrinkage"], mean)}
    assert says in CurseInfo(curse, info.objectives, "clean", info.setup).caption


def test_trainings_on_validation_images_leave_only_test_images() -> None:
    source = confirmed()
    document = dict(source.document)
    curse = document["winners_curse"]
    for point in curse["points"]:
        for metric in ("val_accuracy", "val_ece"):
            point["gaps"][metric] |= {"confirmed": None, "shrinkage": None}
    info = CurseInfo(curse, source.spec.targets, "noisy", document["setup"] | {"train_on": "train+val"})
    assert "also saw the validation images" in info.caption
    assert "by true labels, which did not choose" in info.caption
    accuracy, _ = winners_curse_charts(info, source.styles)
    assert [trace["name"] for trace in accuracy.variants["none"]["data"][1:]] == ["cross_entropy, test images", "bsd, test images"]


def test_the_chart_has_search_across_and_fresh_seeds_up() -> None:
    source = confirmed()
    accuracy, ece = winners_curse_charts(collect_winners_curse_info(source), source.styles)
    assert (accuracy.key, ece.key) == ("winners_curse_accuracy", "winners_curse_ece")
    traces = {trace["name"]: trace for trace in accuracy.variants["none"]["data"] if "name" in trace}
    assert (traces["bsd, test images"]["x"], traces["bsd, test images"]["y"]) == ([75.0], [pytest.approx(71)])
    assert traces["bsd, same images"]["marker"]["symbol"].endswith("-open")
    diagonal = accuracy.variants["none"]["data"][0]
    assert diagonal["x"] == diagonal["y"] == [60.0, 75.0]
    assert "too optimistic by +4.0 points" in traces["bsd, test images"]["hovertext"][0]
    for chart in (accuracy, ece):
        go.Figure(chart.variants["none"])


def test_names_of_a_study_are_text() -> None:
    name = "<b>$x$"
    info = hostile(name)
    (accuracy, _) = winners_curse_charts(info, styles([name]))
    (_, *traces) = accuracy.variants[name]["data"]
    assert all("<b>" not in trace["name"] + trace["hovertext"][0] for trace in traces)
    figure = draw_winners_curse(info, styles([name]))
    figure.draw_without_rendering()
    assert f"{name}, test images" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_without_a_confirm_phase_it_says_so() -> None:
    info = collect_winners_curse_info(make_source(make_events(*TRIALS), make_spec()))
    assert info.missing is not None
    assert "Nothing was chosen" in info.missing
    empty = collect_winners_curse_info(make_source([], make_spec()))
    assert empty.missing == info.missing


def test_chosen_settings_without_a_finished_training_are_missing() -> None:
    events = [*make_events(*TRIALS), make_choice({("bsd/none", 0): "knee"})]
    source = make_source(events, make_spec(confirm={"seeds": 2}))
    missing = collect_winners_curse_info(source).missing
    assert missing is not None
    assert "No chosen setting has a finished training" in missing
    failed = confirmed_source(TRIALS, {("bsd/none", 0): ("knee", [(None, 0.1)])}, make_spec(confirm={"seeds": 1}))
    assert collect_winners_curse_info(failed).missing == missing
