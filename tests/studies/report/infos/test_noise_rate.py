from __future__ import annotations

import pytest

from studies.report.infos.noise_rate import collect_noise_rate
from tests.studies._dummies import make_choice, make_confirmation, make_events, make_spec
from tests.studies.report._measured import measured_source, searched_source
from tests.studies.report._sources import make_source


def test_lines_go_from_no_noise_through_the_rates_of_one_kind() -> None:
    info = collect_noise_rate(measured_source(conditions=["symmetric_40", "none", "pairflip_20", "symmetric_20"]))
    assert info.kinds == ["symmetric", "pairflip"]
    assert [(point.condition, point.rate) for point in info.line("symmetric", "bsd")] == [
        ("none", 0),
        ("symmetric_20", 0.2),
        ("symmetric_40", 0.4),
    ]
    assert [point.condition for point in info.line("pairflip", "bsd")] == ["none", "pairflip_20"]
    assert info.missing is None
    assert info.points[0].accuracy.mean == pytest.approx(0.85)


def test_methods_are_drawn_beside_each_other_around_the_rate() -> None:
    info = collect_noise_rate(measured_source())
    assert info.shift("cross_entropy") == -info.shift("bsd")
    assert 0 < info.shift("bsd") < 0.01


def test_one_rate_makes_no_line() -> None:
    missing = collect_noise_rate(measured_source(conditions=["symmetric_40"])).missing
    assert missing is not None
    assert "the same share of wrong labels" in missing


def test_a_share_left_to_chance_is_one_rate_though_a_seed_of_one_method_failed() -> None:
    arms = ("cross_entropy/instance_20", "bsd/instance_20")
    events = [*make_events(*((arm, 0, 0.7, 0.1) for arm in arms)), make_choice({(arm, 0): "best_accuracy, knee, best_ece" for arm in arms})]
    for arm in arms:
        for replicate, share in enumerate((0.19, 0.20, 0.24)):
            failed = replicate == 2 and arm == arms[1]
            suggest, epochs, end = make_confirmation(arm, 0, replicate, None if failed else 0.8)
            events += [suggest | {"noise_rate": None}, epochs, end if failed else end | {"wrong_label_share": share}]
    spec = make_spec(trials=1, conditions=["instance:0.2"], confirm={"seeds": 3})
    info = collect_noise_rate(make_source(events, spec))
    assert info.methods == ["cross_entropy", "bsd"]
    assert [point.rate for point in info.points] == pytest.approx([0.21, 0.21])
    assert info.missing is not None
    assert "the same share of wrong labels" in info.missing


def test_nothing_finished_is_said() -> None:
    assert collect_noise_rate(searched_source()).missing == "No training has come to its end yet."


def test_without_a_confirm_phase_validation_values_stand_without_intervals() -> None:
    info = collect_noise_rate(searched_source(("bsd/none", 0, 0.9, 0.1), ("bsd/symmetric_40", 0, 0.7, 0.2)))
    assert [(point.rate, point.accuracy.mean, point.accuracy.low) for point in info.line("symmetric", "bsd")] == [
        (0, 0.9, None),
        (0.4, 0.7, None),
    ]
    assert "Bars" not in info.caption
