from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from search_spaces import SEARCH_SPACES
from studies.report.infos.answer import collect_answer
from studies.report.source import ReportSource
from tests.studies._dummies import make_end, make_events, make_spec, make_suggest
from tests.studies.report._sources import confirmed_source, make_source

METHODS = ("cross_entropy", "bsd", "cs_kd")
CLOSE = {"cross_entropy": (0.70, 0.75, 0.72), "bsd": (0.71, 0.74, 0.725), "cs_kd": (0.705, 0.745, 0.72)}
CALM = {"cross_entropy": (0.30, 0.31, 0.32), "bsd": (0.10, 0.11, 0.105), "cs_kd": (0.30, 0.32, 0.31)}
ALIKE = {"cross_entropy": (0.10, 0.12, 0.14), "bsd": (0.11, 0.12, 0.135), "cs_kd": (0.12, 0.11, 0.14)}
Values = Mapping[str, Sequence[float | None]]


def make_confirmed(
    accuracies: Values, eces: Values, *, conditions: Sequence[str] = ("none",), other: Values | None = None, **changes: object
) -> ReportSource:
    """Every method's one setting confirmed with these values by seed; `other` are the ECEs in all conditions but the first."""
    seeds = len(next(iter(accuracies.values())))
    spec = make_spec(**{"methods": list(accuracies), "conditions": list(conditions), "trials": 1, "confirm": {"seeds": seeds}, **changes})
    chosen = {}
    for arm in spec.compared_arms:
        method, _, condition = arm.name.partition("/")
        of_arm = eces if other is None or condition == conditions[0] else other
        values = [(accuracy, ece) for accuracy, ece in zip(accuracies[method], of_arm[method], strict=True) if ece is not None]
        chosen[arm.name, 0] = ("best_accuracy, knee, best_ece", values)
    return confirmed_source([(arm.name, 0, 0.75, 0.1) for arm in spec.compared_arms], chosen, spec)


def sentences(source: ReportSource) -> list[str]:
    found = collect_answer(source).sentences
    assert all(sentence.endswith(".") and sentence[0].isupper() and "  " not in sentence for sentence in found)
    return found


def test_a_better_calibrated_method_of_equal_accuracy_is_named_with_its_numbers() -> None:
    first, second = sentences(make_confirmed(CLOSE, CALM, conditions=["symmetric_40"]))
    # means of ECE 0.105 against 0.31 and 0.31; of accuracy 0.725 against 0.72333 and 0.72333
    assert first.startswith(
        "On test, with symmetric_40 bsd is better calibrated than cross_entropy and cs_kd (ECE 10.5 % against 31.0 %, p "
    )
    assert "at an accuracy that is not distinguishable from theirs (72.5 % against 72.3 %)" in first
    assert first.endswith("(p-values after Holm's correction).")
    assert "3 fresh seeds of each setting, 100 test images and one search of 1 trial an arm" in second
    assert "no proof of being equal" in second


def test_the_p_value_is_the_largest_of_those_that_are_claimed() -> None:
    source = make_confirmed(CLOSE, CALM)
    claimed = [
        pair["holm_p"]
        for pair in source.document["comparisons"]
        if (pair["role"], pair["metric"]) == ("best_accuracy", "test_ece") and "bsd" in (pair["method"], pair["other"])
    ]
    assert len(claimed) == 2
    assert f"p at most {max(claimed):.3f}" in sentences(source)[0]


def test_where_nothing_is_told_apart_that_is_the_answer() -> None:
    first, _ = sentences(make_confirmed(CLOSE, ALIKE))
    assert first.startswith(
        "On test, without label noise no two methods are distinguishable in accuracy or ECE (3 pairs, Holm's correction)"
    )
    assert "accuracy 72.5 % of bsd and ECE 12.0 % of cross_entropy" in first
    for word in ("better", "worse"):
        assert word not in first


def test_conditions_without_a_difference_are_named_beside_those_with_one() -> None:
    first, _ = sentences(make_confirmed(CLOSE, CALM, conditions=["symmetric_40", "none"], other=ALIKE))
    assert "with symmetric_40 bsd is better calibrated" in first
    assert "; without label noise no two methods are distinguishable in either" in first


def test_many_conditions_are_counted_and_their_leaders_named() -> None:
    conditions = ["symmetric_40", "symmetric_20", "none", "asymmetric_20"]
    first, _ = sentences(make_confirmed(CLOSE, CALM, conditions=conditions))
    assert "accuracy tells no two methods apart in any of 4 conditions" in first
    assert "ECE tells methods apart in 4 of 4 conditions" in first
    assert "(where the best mean stands out: bsd with symmetric_40, with symmetric_20, without label noise and with asymmetric_20" in first


def test_many_methods_and_conditions_stay_short() -> None:
    methods = list(SEARCH_SPACES)[:21]
    seeds = 5
    accuracies = {
        method: [0.6 + 0.01 * index + 0.001 * ((seed * (index + 3)) % 7) for seed in range(seeds)] for index, method in enumerate(methods)
    }
    eces = {
        method: [0.3 - 0.01 * index + 0.001 * ((seed * (index + 2)) % 5) for seed in range(seeds)] for index, method in enumerate(methods)
    }
    conditions = ["none", "symmetric_20", "symmetric_40", "asymmetric_20", "pairflip_20"]
    found = sentences(make_confirmed(accuracies, eces, conditions=conditions))
    assert len(found) == 2
    assert max(map(len, found)) < 500
    alone = sentences(make_confirmed(accuracies, eces, conditions=["none"]))
    assert len(alone) == 2
    assert max(map(len, alone)) < 500
    assert "others" in alone[0]


def test_both_metrics_of_one_leader_are_one_clause() -> None:
    better = {"cross_entropy": (0.70, 0.71, 0.72), "bsd": (0.80, 0.81, 0.825), "cs_kd": (0.70, 0.715, 0.72)}
    first, second = sentences(make_confirmed(better, CALM))
    assert first.startswith(
        "On test, without label noise bsd is more accurate than cross_entropy and cs_kd (accuracy 81.2 % against 71.0 to 71.2 %"
    )
    assert ") and better calibrated than cross_entropy and cs_kd (ECE 10.5 % against 31.0 %" in first
    assert "no proof" not in second


def test_what_temperature_scaling_repairs_is_counted() -> None:
    _, kept = sentences(make_confirmed(CLOSE, CALM))  # after scaling every ECE is half, so are the differences and their spread
    assert "after temperature scaling all 2 pairs that differ in ECE are still told apart" in kept
    source = make_confirmed(CLOSE, CALM)
    for pair in source.document["comparisons"]:
        if pair["metric"] == "test_ece_temperature_scaled":
            pair["verdict"] = "not distinguishable"
    assert "after temperature scaling none of the 2 pairs that differ in ECE is still told apart" in sentences(source)[1]


def test_unequal_budgets_give_no_verdict() -> None:
    spec = make_spec(methods=["cross_entropy", "bsd"], trials=1, confirm={"seeds": 3})
    trials = [("cross_entropy/none", 0, 0.7, 0.1), ("bsd/none", 0, 0.8, 0.1), ("bsd/none", 1, 0.7, 0.2)]
    roles = "best_accuracy, knee, best_ece"
    values = {"cross_entropy/none": [(0.70, 0.3), (0.71, 0.31), (0.72, 0.32)], "bsd/none": [(0.90, 0.1), (0.91, 0.11), (0.92, 0.12)]}
    first, second = sentences(confirmed_source(trials, {(arm, 0): (roles, found) for arm, found in values.items()}, spec))
    assert first.startswith("No method is called better than another, because budgets are unequal: ")
    assert "accuracies of 71.0 to 91.0 % and ECEs of 11.0 to 31.0 %" in second
    for word in ("more accurate", "better calibrated"):
        assert word not in first + second


def test_one_seed_tests_nothing_and_says_so() -> None:
    one = {method: values[:1] for method, values in CLOSE.items()}
    first, second = sentences(make_confirmed(one, {method: values[:1] for method, values in CALM.items()}))
    assert first.startswith("On test, no difference between methods could be tested")
    assert "confirm with 2 seeds or more" in first
    assert "1 fresh seed of each setting" in second


def test_failed_confirming_trainings_are_told() -> None:
    accuracies: Values = {**CLOSE, "bsd": (0.71, None, 0.725)}
    _, second = sentences(make_confirmed(accuracies, CALM))
    assert "1 confirming training failed and is left out, which flatters" in second
    assert "2 to 3 fresh seeds" in second


def test_one_method_alone_is_reported_without_a_comparison() -> None:
    first, second = sentences(make_confirmed({"bsd": (0.70, 0.71, 0.72)}, {"bsd": (0.1, 0.1, 0.1)}))
    # t of 2 degrees of freedom at 95 %: 4.3027; half width 4.3027 * 0.01 / sqrt(3) = 0.0248
    assert first == "On test, without label noise bsd reaches an accuracy of 71.0 % [68.5, 73.5] and an ECE of 10.0 % [10.0, 10.0]."
    assert "nothing to compare it with" in second


def test_without_confirm_phase_only_the_search_is_spoken_of() -> None:
    events = make_events(("cross_entropy/none", 0, 0.8, 0.05), ("bsd/none", 0, 0.9, 0.1))
    first, second = sentences(make_source(events, make_spec()))
    assert first == (
        "By validation values of the search alone, without label noise the most accurate trial is one of bsd (accuracy 90.0 %, ECE 10.0 %) "
        "and the best calibrated one of cross_entropy (accuracy 80.0 %, ECE 5.0 %)."
    )
    assert "nothing was confirmed on test images, since the study does not ask for it" in second


def test_a_search_that_is_to_be_confirmed_says_that_it_is_not_yet() -> None:
    _, second = sentences(make_source(make_events(("bsd/none", 0, 0.9, 0.1)), make_spec(confirm={})))
    assert "nothing has been confirmed on test images yet and the searches had unequal budgets" in second


def test_when_every_confirming_training_failed_the_search_alone_speaks() -> None:
    nothing: Values = dict.fromkeys(METHODS, (None, None))
    first, second = sentences(make_confirmed(nothing, dict.fromkeys(METHODS, (0.1, 0.1))))
    assert first.startswith("By validation values of the search alone")
    assert "none of their trainings has come to its end (6 failed)" in second


def test_nothing_and_failures_alone_have_no_answer() -> None:
    assert sentences(make_source([], make_spec())) == ["No training has ended yet, so there is no answer."]
    failed = make_source(make_events(("bsd/none", 0, None, 0.0), ("bsd/none", 1, None, 0.0)), make_spec())
    assert sentences(failed) == ["All 2 trainings failed, so there is no answer; the reasons are under Failures."]
    alone = make_source(make_events(("bsd/none", 0, None, 0.0)), make_spec())
    assert sentences(alone) == ["The only training failed, so there is no answer; the reasons are under Failures."]


@pytest.mark.parametrize("metric", ["accuracy", "ece"])
def test_a_pair_told_apart_behind_the_best_mean_is_counted_not_claimed(metric: str) -> None:
    """The best mean has so wide a spread that it beats nobody, while the two others differ."""
    wide, high, low = (0.70, 0.95, 0.80), (0.80, 0.802, 0.801), (0.70, 0.701, 0.702)
    values: Values = {"cross_entropy": low, "bsd": high, "cs_kd": wide}
    if metric == "ece":
        values = {method: [1 - value for value in found if value is not None] for method, found in values.items()}
    source = make_confirmed(CLOSE, values) if metric == "ece" else make_confirmed(values, ALIKE)
    first, _ = sentences(source)
    assert "1 of 3 pairs are distinguishable in" in first
    assert "though none from the best mean" in first


def test_an_unfinished_confirm_phase_gives_no_verdict() -> None:
    spec = make_spec(methods=["cross_entropy", "bsd"], trials=1, confirm={"seeds": 3})
    roles = "best_accuracy, knee, best_ece"
    values = {"cross_entropy/none": [(0.70, 0.3), (0.71, 0.31), (0.72, 0.32)], "bsd/none": [(0.90, 0.1)]}
    trials = [(arm, 0, 0.75, 0.1) for arm in values]
    first, second = sentences(confirmed_source(trials, {(arm, 0): (roles, found) for arm, found in values.items()}, spec))
    assert "the confirm phase is unfinished: 4 of 6 trainings ended" in first
    assert "1 to 3 fresh seeds" in second
    for word in ("more accurate", "better calibrated"):
        assert word not in first + second


def test_a_verdict_on_shared_seeds_stands_against_the_mean_over_all() -> None:
    """Two lucky seeds, on which the other's trainings failed, make the best mean of the method that is worse on the shared ones."""
    lucky: Values = {
        "cross_entropy": (0.80, 0.81, 0.82, 0.99, 0.99),
        "bsd": (0.85, 0.86, 0.871, None, None),
        "cs_kd": (0.50, 0.51, 0.515, 0.50, 0.51),
    }
    first, _ = sentences(make_confirmed(lucky, dict.fromkeys(METHODS, (0.1,) * 5)))
    assert "cross_entropy is more accurate than cs_kd, but less accurate than bsd on the seeds that both finished (accuracy 88.2 %" in first
    assert "not distinguishable from bsd" not in first


@pytest.mark.parametrize(("role", "title"), [("best_accuracy", "most accurate"), ("knee", "knee")])
def test_it_is_said_which_setting_stands_for_a_method(role: str, title: str) -> None:
    for methods in (METHODS, METHODS[:1]):
        spec = make_spec(methods=list(methods), trials=1, confirm={"seeds": 3, "points": role})
        values = {(f"{method}/none", 0): (role, list(zip(CLOSE[method], CALM[method], strict=True))) for method in methods}
        source = confirmed_source([(arm, 0, 0.75, 0.1) for arm, _ in values], values, spec)
        assert f", each method by its {title} setting" in sentences(source)[-1]


def test_objectives_on_corrupted_images_are_called_so() -> None:
    changes = {"objectives": ["val_corrupted_accuracy", "val_corrupted_ece"], "evaluate": {"corruptions": "main"}}
    end = make_end("bsd/none", 0, 0.95, 0.02, val_corrupted_accuracy=0.40, val_corrupted_ece=0.30)
    first, _ = sentences(make_source([make_suggest("bsd/none", 0), end], make_spec(methods=["bsd"], trials=1, **changes)))
    assert "one of bsd (accuracy on corrupted images 40.0 %, ECE on corrupted images 30.0 %)" in first


def test_where_a_quiet_study_could_not_test_all_pairs_it_says_so() -> None:
    source = make_confirmed(CLOSE, ALIKE)
    untested = next(pair for pair in source.document["comparisons"] if pair["metric"] == "test_ece")
    untested |= {"p_value": None, "holm_p": None}
    first, _ = sentences(source)
    assert "in accuracy or ECE where that could be tested: 3 of 3 pairs in accuracy, 2 of 3 in ECE (Holm's correction)" in first
