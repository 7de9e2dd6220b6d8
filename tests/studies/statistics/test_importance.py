from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from studies.statistics.importance import MIN_TRIALS, Importance, importances

OBJECTIVES = ("val_accuracy", "val_ece")
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.01, 1.0, log=True),
    "temperature": FloatDistribution(0.0, 1.0),
    "warmup_epochs": IntDistribution(0, 4),
    "evidence": CategoricalDistribution(("train", "clean")),
}


def make_rows(n: int, *, seed: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Trials whose accuracy depends on the learning rate alone and whose ECE on the temperature alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        scaled, temperature = rng.random(2).tolist()
        settings = {"learning_rate": 0.01 * 100**scaled, "temperature": temperature}
        whole = {"warmup_epochs": float(rng.integers(5)), "evidence": str(rng.choice(["train", "clean"]))}
        values = {"state": "complete", "val_accuracy": 0.9 - 0.5 * scaled, "val_ece": 0.2 * temperature}
        rows.append(values | {f"param_{name}": value for name, value in (settings | whole).items()} | changes)
    return rows


def test_each_objective_names_the_setting_that_it_depends_on() -> None:
    found = importances(make_rows(60), SPACE, OBJECTIVES, n_bootstrap=5, seed=1)
    for objective, setting in zip(OBJECTIVES, ("learning_rate", "temperature"), strict=True):
        shares = found[objective]
        assert shares is not None
        assert list(shares) == list(SPACE)
        assert sum(share.value for share in shares.values()) == pytest.approx(1)
        assert shares[setting].value > 0.8
        for share in shares.values():
            assert share.low is not None
            assert share.high is not None
            assert 0 <= share.low <= share.value <= share.high <= 1


def test_accuracy_is_up_and_ece_is_down() -> None:
    # The better half of either objective is found where x is below 0.05. Were a direction turned round, it would be the spread-out half.
    low = [{"param_x": 0.01 * number, "val_accuracy": 0.9 + 0.001 * number, "val_ece": 0.1 - 0.001 * number} for number in range(5)]
    high = [{"param_x": 0.2 * number, "val_accuracy": 0.5 + 0.001 * number, "val_ece": 0.4 - 0.001 * number} for number in range(6)]
    rows: list[dict[str, Any]] = [{"state": "complete", "param_y": index % 4 / 4, **row} for index, row in enumerate(low + high)]
    turned = [row | {"val_accuracy": -row["val_accuracy"], "val_ece": -row["val_ece"]} for row in rows]
    unit = FloatDistribution(0.0, 1.0)
    right, wrong = (importances(given, {"x": unit, "y": unit}, OBJECTIVES, n_bootstrap=0, seed=0) for given in (rows, turned))
    for objective in OBJECTIVES:
        shares, other = right[objective], wrong[objective]
        assert shares is not None
        assert other is not None
        assert shares["x"].value > other["x"].value


def test_values_are_those_of_optuna_with_the_better_half() -> None:
    rows = make_rows(12)
    study = optuna.create_study(direction="maximize")
    for row in rows:
        params = {name: row[f"param_{name}"] for name in SPACE} | {"warmup_epochs": int(row["param_warmup_epochs"])}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, value=row["val_accuracy"]))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5)
    expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    shares = importances(rows, SPACE, OBJECTIVES, n_bootstrap=0, seed=0)["val_accuracy"]
    assert shares is not None
    assert {name: share.value for name, share in shares.items()} == pytest.approx(expected)
    assert all((share.low, share.high) == (None, None) for share in shares.values())


def test_the_seed_decides_the_interval_and_nothing_else() -> None:
    first, again, other = (importances(make_rows(10), SPACE, OBJECTIVES, n_bootstrap=4, seed=seed)["val_ece"] for seed in (1, 1, 2))
    assert first is not None
    assert other is not None
    assert first == again
    assert first != other
    assert [share.value for share in first.values()] == [share.value for share in other.values()]


def test_only_finished_trials_count() -> None:
    rows = make_rows(8)
    unfinished = make_rows(5, seed=3, state="stopped") + make_rows(2, seed=4, state="failed", val_accuracy=None, val_ece=None)
    expected = importances(rows, SPACE, OBJECTIVES, n_bootstrap=3, seed=0)
    assert importances([*unfinished, *rows], SPACE, OBJECTIVES, n_bootstrap=3, seed=0) == expected


@pytest.mark.parametrize("n", [0, MIN_TRIALS - 1])
def test_too_few_trials_explain_nothing(n: int) -> None:
    assert importances(make_rows(n), SPACE, OBJECTIVES, seed=0) == {"val_accuracy": None, "val_ece": None}


def test_the_fewest_trials_that_can_be_judged_are_judged() -> None:
    shares = importances(make_rows(MIN_TRIALS), SPACE, OBJECTIVES, n_bootstrap=4, seed=0)["val_accuracy"]
    assert shares is not None
    assert sum(share.value for share in shares.values()) == pytest.approx(1)


def test_an_objective_in_which_no_trial_is_worse_than_the_better_half_explains_nothing() -> None:
    rows = make_rows(8, val_accuracy=0.5)
    rows[0]["val_accuracy"] = 0.6  # the other seven are equal
    found = importances(rows, SPACE, OBJECTIVES, n_bootstrap=2, seed=0)
    assert found["val_accuracy"] is None
    assert found["val_ece"] is not None


def test_a_setting_that_a_trial_lacks_is_left_out() -> None:
    rows = make_rows(6)
    rows[2]["param_temperature"] = None
    shares = importances(rows, SPACE, OBJECTIVES, n_bootstrap=0, seed=0)["val_accuracy"]
    assert shares is not None
    assert list(shares) == ["learning_rate", "warmup_epochs", "evidence"]


def test_a_search_of_one_setting_gives_it_all() -> None:
    one = {"learning_rate": SPACE["learning_rate"]}
    assert importances(make_rows(6), one, OBJECTIVES, n_bootstrap=3, seed=0)["val_accuracy"] == {"learning_rate": Importance(1.0, 1.0, 1.0)}
    assert importances(make_rows(6), {}, OBJECTIVES, seed=0) == {"val_accuracy": None, "val_ece": None}


def test_optuna_says_nothing_and_its_verbosity_stays(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        importances(make_rows(5), SPACE, OBJECTIVES, n_bootstrap=1, seed=0)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")


def test_a_report_can_be_imported_without_optuna() -> None:
    code = "import sys, studies.statistics.importance; sys.exit('optuna' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
