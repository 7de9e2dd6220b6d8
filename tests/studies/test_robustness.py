from __future__ import annotations

from typing import Any

import pytest
import torch

from bsd_core.metrics.robustness import mean_corruption_error
from studies.ledger import Event
from studies.robustness import collect_robustness, render_robustness
from studies.tables import Tables, build_tables
from tests.studies._dummies import CONSTANTS, make_end, make_suggest, render

ARMS = ["cross_entropy/none", "bsd/none", "cross_entropy/symmetric_40", "bsd/symmetric_40"]
COLUMN = "val_corruption_error_vs_cross_entropy"


def finished(arm: str, number: int, accuracy: float, errors: list[list[float]], **metrics: Any) -> list[Event]:
    """A trial with the error rates (corruption, severity) given, and what its process sums up of them."""
    end = make_end(arm, number, accuracy)
    for name, row in zip(("fog", "snow", "frost"), errors, strict=False):
        for severity, error in enumerate(row, start=1):
            key = {"split": "val", "shift": "corruption", "name": name, "severity": severity}
            end["evaluations"].append({**key, "n": 100, "accuracy": 1 - error, "ece": 0.1, "nll": 1.0})
    flat = [error for row in errors for error in row]
    if flat:
        mean = sum(flat) / len(flat)
        end["metrics"] |= {"val_corrupted_accuracy": 1 - mean, "val_mean_corruption_error": mean, "val_corrupted_ece": 0.1}
        end["metrics"] |= {"val_corrupted_nll": 1.0, "val_worst_corruption": "elastic_transform", "val_worst_corruption_accuracy": 0.25}
    end["metrics"] |= metrics
    return [make_suggest(arm, number), end]


def tables_of(*trials: list[Event]) -> Tables:
    return build_tables([event for trial in trials for event in trial], CONSTANTS)


BASE = [[0.2, 0.4], [0.1, 0.3]]
OURS = [[0.1, 0.2], [0.2, 0.4]]


def by_trial(tables: Tables) -> dict[str, float | None]:
    return dict(zip(tables.trials["trial_id"].to_pylist(), tables.trials[COLUMN].to_pylist(), strict=True))


def test_errors_are_divided_by_those_of_the_most_accurate_cross_entropy_trial_of_the_condition() -> None:
    found = by_trial(
        tables_of(
            finished("cross_entropy/none", 0, 0.8, [[0.9, 0.9], [0.9, 0.9]]),
            finished("cross_entropy/none", 1, 0.9, BASE),
            finished("bsd/none", 0, 0.9, OURS),
            finished("cross_entropy/symmetric_40", 0, 0.5, OURS),
            finished("bsd/symmetric_40", 0, 0.5, BASE),
        )
    )
    assert found["cross_entropy-none-0001"] == 1
    assert found["bsd-none-0000"] == pytest.approx((0.3 / 0.6 + 0.6 / 0.4) / 2)
    assert found["bsd-none-0000"] == pytest.approx(float(mean_corruption_error(torch.tensor(OURS), torch.tensor(BASE))), rel=1e-6)
    assert found["bsd-symmetric_40-0000"] == pytest.approx((0.6 / 0.3 + 0.4 / 0.6) / 2)


def test_the_base_is_chosen_as_the_study_chooses() -> None:
    """With objectives on corrupted images the trial that is best there is the base, not the most accurate one on clean images."""
    clean, robust = finished("cross_entropy/none", 0, 0.9, [[0.9, 0.9], [0.9, 0.9]]), finished("cross_entropy/none", 1, 0.8, BASE)
    objectives = "val_corrupted_accuracy, val_corrupted_ece"
    tables = build_tables([*clean, *robust], {**CONSTANTS, "objectives": objectives})
    assert by_trial(tables)["cross_entropy-none-0001"] == 1
    (shown,) = collect_robustness(tables.trials, arms=ARMS)["none"]
    assert shown[COLUMN] == 1


def test_of_equally_accurate_bases_the_better_calibrated_one_is_taken() -> None:
    worse, better = finished("cross_entropy/none", 0, 0.9, OURS), finished("cross_entropy/none", 1, 0.9, BASE, val_ece=0.05)
    found = by_trial(tables_of(worse, better))
    assert found["cross_entropy-none-0001"] == 1


@pytest.mark.parametrize(
    "trials",
    [
        [finished("bsd/none", 0, 0.9, OURS)],
        [finished("cross_entropy/none", 0, 0.9, [[0.0, 0.0], [0.0, 0.0]]), finished("bsd/none", 0, 0.9, OURS)],
        [finished("cross_entropy/none", 0, 0.9, []), finished("bsd/none", 0, 0.9, [])],
        [[make_suggest("cross_entropy/none", 0), make_end("cross_entropy/none", 0, None)], finished("bsd/none", 0, 0.9, OURS)],
    ],
    ids=["no such arm", "a base without errors", "no corruptions", "a failed base"],
)
def test_without_a_base_there_is_no_ratio(trials: list[list[Event]]) -> None:
    assert by_trial(tables_of(*trials))["bsd-none-0000"] is None


def test_a_corruption_that_the_base_never_gets_wrong_is_left_out() -> None:
    found = by_trial(tables_of(finished("cross_entropy/none", 0, 0.9, [[0.0, 0.0], [0.1, 0.3]]), finished("bsd/none", 0, 0.9, OURS)))
    assert found["cross_entropy-none-0000"] == 1
    assert found["bsd-none-0000"] == pytest.approx(0.6 / 0.4)


def test_the_summary_shows_the_most_accurate_trial_of_each_front() -> None:
    tables = tables_of(
        finished("cross_entropy/none", 0, 0.9, BASE),
        finished("bsd/none", 0, 0.7, BASE),
        finished("bsd/none", 1, 0.95, OURS, val_flip_probability=0.125),
    )
    info = collect_robustness(tables.trials, arms=ARMS)
    assert {condition: [row["trial_id"] for row in rows] for condition, rows in info.items()} == {
        "none": ["cross_entropy-none-0000", "bsd-none-0001"]
    }
    text = "\n".join(render(render_robustness(info)))
    assert "1.00" in text
    assert "95.0" in text
    assert "22.5" in text  # the mean error of OURS
    assert "12.5" in text  # flips
    assert "divided by those of the condition's cross_entropy trial shown here" in " ".join(text.split())


def test_a_run_without_shifts_has_no_summary() -> None:
    assert collect_robustness(tables_of(finished("bsd/none", 0, 0.9, [])).trials, arms=ARMS) == {}


@pytest.mark.parametrize("width", [80, 60])
def test_the_summary_fits_the_terminal(width: int) -> None:
    tables = tables_of(
        finished("temporal_ensembling/asymmetric_12.5", 0, 0.9, OURS, val_flip_probability=0.5),
        finished("cross_entropy/asymmetric_12.5", 0, 0.9, BASE, val_flip_probability=0.5),
    )
    lines = render(
        render_robustness(collect_robustness(tables.trials, arms=["temporal_ensembling/asymmetric_12.5", "cross_entropy/asymmetric_12.5"])),
        width=width,
    )
    assert max(map(len, lines)) <= width
    if width == 80:
        assert "…" not in "\n".join(lines)
