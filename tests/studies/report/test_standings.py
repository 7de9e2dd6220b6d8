from __future__ import annotations

import pytest

from studies.report.standings import collect_standings
from tests.studies._dummies import make_choice, make_confirmation, make_events, make_spec
from tests.studies.report._measured import measured_source, searched_source
from tests.studies.report._sources import confirmed_source, make_source


def test_the_most_accurate_confirmed_setting_stands_for_a_method_in_the_order_of_the_study() -> None:
    standings = collect_standings(measured_source())
    assert standings.confirmed
    assert standings.role == "best_accuracy"
    assert standings.split == "test"
    assert list(standings.by_arm) == [
        (condition, method) for condition in ("none", "symmetric_20", "symmetric_40") for method in ("cross_entropy", "bsd")
    ]
    standing = standings.by_arm["none", "bsd"]
    assert [row["test_accuracy"] for row in standing.trainings] == [0.8, 0.9]
    assert standing.over_seeds("test_accuracy").mean == pytest.approx(0.85)
    assert "n = 2 fresh seeds, each with wrong labels of its own, on train" in standings.about
    assert "100 test images, judged by their true labels" in standings.about


def test_of_several_confirmed_settings_the_most_accurate_one_stands() -> None:
    spec = make_spec(methods=["bsd"], trials=2, confirm={"seeds": 1})
    chosen = {("bsd/none", 0): ("best_ece", [(0.7, 0.01)]), ("bsd/none", 1): ("best_accuracy", [(0.8, 0.2)])}
    source = confirmed_source([("bsd/none", 0, 0.7, 0.01), ("bsd/none", 1, 0.8, 0.2)], chosen, spec)
    assert collect_standings(source).by_arm["none", "bsd"].trial_id == "bsd-none-0001"


def test_where_only_knees_are_confirmed_these_stand() -> None:
    spec = make_spec(methods=["bsd", "cs_kd"], trials=1, confirm={"seeds": 1, "points": "knee"})
    chosen = {("bsd/none", 0): ("best_accuracy, knee", [(0.7, 0.1)]), ("cs_kd/none", 0): ("knee", [(0.8, 0.1)])}
    standings = collect_standings(confirmed_source([("bsd/none", 0, 0.7, 0.1), ("cs_kd/none", 0, 0.8, 0.1)], chosen, spec))
    assert standings.role == "knee"
    assert [standing.method for standing in standings.of("none")] == ["bsd", "cs_kd"]
    assert "its knee setting" in standings.about


def test_failed_trainings_are_counted_and_said() -> None:
    standings = collect_standings(measured_source(accuracies=(0.8, None, 0.9), conditions=["none"]))
    standing = standings.by_arm["none", "bsd"]
    assert (len(standing.trainings), standing.n_failed) == (2, 1)
    assert standing.over_seeds("test_accuracy").n_missing == 1
    assert "n = 2 of 3 fresh seeds" in standings.about
    assert "2 of these trainings failed and are left out, which flatters" in standings.about


def test_without_a_confirm_phase_each_methods_most_accurate_trial_stands_of_equals_the_better_calibrated() -> None:
    source = searched_source(("bsd/none", 0, 0.8, 0.2), ("bsd/none", 1, 0.9, 0.3), ("bsd/none", 2, 0.9, 0.1), ("bsd/none", 3, None, 0.1))
    standings = collect_standings(source)
    assert not standings.confirmed
    assert standings.split == "val"
    assert standings.by_arm["none", "bsd"].trial_id == "bsd-none-0002"
    assert list(standings.by_arm) == [("none", "bsd")]  # nothing of cross_entropy has ended
    assert standings.about.startswith("Nothing is confirmed: each method by its most accurate trial of the search by clean validation")
    assert "100 validation images" in standings.about


def test_where_all_confirming_trainings_failed_the_search_is_shown() -> None:
    spec = make_spec(methods=["bsd"], trials=1, confirm={"seeds": 1})
    events = [*make_events(("bsd/none", 0, 0.8, 0.1)), make_choice({("bsd/none", 0): "best_accuracy"})]
    standings = collect_standings(make_source([*events, *make_confirmation("bsd/none", 0, 0, None)], spec))
    assert not standings.confirmed
    assert standings.by_arm["none", "bsd"].trial_id == "bsd-none-0000"


@pytest.mark.parametrize("trials", [[], [("bsd/none", 0, None, 0.1)]])
def test_where_nothing_came_to_its_end_nobody_stands(trials: list[tuple[str, int, float | None, float]]) -> None:
    assert collect_standings(searched_source(*trials)).by_arm == {}


def test_temperatures_are_those_of_the_trainings() -> None:
    standing = collect_standings(measured_source(conditions=["none"])).by_arm["none", "bsd"]
    assert standing.temperatures == {"bsd-none-0000-confirm-0": 1.5, "bsd-none-0000-confirm-1": 1.5}


def test_temperatures_of_trainings_on_all_images_are_those_of_the_search() -> None:
    spec = make_spec(methods=["bsd"], trials=1, confirm={"seeds": 1, "train_on": "train+val"})
    source = confirmed_source([("bsd/none", 0, 0.7, 0.1)], {("bsd/none", 0): ("best_accuracy", [(0.7, 0.1)])}, spec)
    assert collect_standings(source).fitted_on == "validation images by the search's training of the setting"


def test_the_sections_of_one_report_share_them() -> None:
    source = measured_source(conditions=["none"])
    assert collect_standings(source) is collect_standings(source)
    assert collect_standings(measured_source(conditions=["none"])) is not collect_standings(source)
