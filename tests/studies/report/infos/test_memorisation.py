from __future__ import annotations

import numpy as np
import pytest

from studies.report.infos.memorisation import by_epoch, collect_memorisation, mean_band
from studies.statistics.seeds import summarise
from tests.studies._dummies import make_end, make_epoch, make_epochs, make_spec, make_suggest
from tests.studies.report._measured import measured_source, searched_source
from tests.studies.report._sources import make_source


def test_a_band_is_the_summary_over_seeds_of_each_epoch() -> None:
    values = np.array([[0.1, 0.4, np.nan], [0.2, 0.9, np.nan], [0.6, np.nan, np.nan]])
    band = mean_band(values)
    assert band.n.tolist() == [3, 2, 0]
    for column, expected in enumerate(summarise(epoch) for epoch in values.T.tolist()):
        found = [band.mean[column], band.low[column], band.high[column]]
        wanted = [np.nan if value is None else value for value in (expected.mean, expected.low, expected.high)]
        assert found == pytest.approx(wanted, nan_ok=True)


def test_one_training_has_no_band() -> None:
    band = mean_band(np.array([[0.1, 0.2]]))
    assert band.mean.tolist() == [0.1, 0.2]
    assert np.isnan(band.low).all()
    assert np.isnan(band.high).all()


def test_curves_are_means_over_the_confirming_trainings_of_conditions_with_wrong_labels() -> None:
    info = collect_memorisation(measured_source())
    assert list(info.conditions) == ["symmetric_20", "symmetric_40"]
    curves = info.conditions["symmetric_40"][1]
    assert (curves.method, curves.n) == ("bsd", 2)
    assert curves.bands["label_recovery"].mean.tolist() == pytest.approx([0.5, 0.65])
    assert curves.bands["memorised"].mean.tolist() == pytest.approx([0.1, 0.2])
    assert "means over the fresh seeds" in info.caption
    [table] = info.tables()
    assert [(row["epoch"], row["n"]) for row in table.rows[:2]] == [(1, 2), (2, 2)]


def test_without_a_confirm_phase_all_finished_trials_of_the_search_are_averaged() -> None:
    arm = "bsd/symmetric_40"
    spec = make_spec(methods=["bsd"], conditions=["symmetric_40"])
    events = []
    for number, (accuracy, shares) in enumerate([(0.8, (0.1, 0.3)), (0.7, (0.3,)), (None, (0.9, 0.9))]):
        rows = [make_epoch(epoch, memorised=share, label_recovery=1 - share) for epoch, share in enumerate(shares, start=1)]
        events += [make_suggest(arm, number), make_epochs(arm, number, *rows), make_end(arm, number, accuracy)]
    info = collect_memorisation(make_source(events, spec))
    [curves] = info.conditions["symmetric_40"]
    assert curves.n == 2  # not the one that failed
    assert curves.bands["memorised"].mean.tolist() == pytest.approx([0.2, 0.3])
    assert curves.bands["memorised"].n.tolist() == [2, 1]
    assert "all n = 2 finished trials" in info.caption
    assert "not over seeds" in info.caption


def test_values_come_by_trial_and_epoch() -> None:
    source = measured_source(["bsd"], ["symmetric_40"])
    values = by_epoch(source.tables.epochs, "label_recovery", ["bsd-symmetric_40-0000-confirm-1", "unknown"])
    assert values[0].tolist() == pytest.approx([0.5, 0.7])
    assert np.isnan(values[1]).all()


def test_without_wrong_labels_and_without_trainings_it_says_which() -> None:
    clean = collect_memorisation(measured_source(conditions=["none"])).missing
    assert clean is not None
    assert "No finished training had wrong labels" in clean
    assert collect_memorisation(searched_source()).missing == "No training has come to its end yet."
