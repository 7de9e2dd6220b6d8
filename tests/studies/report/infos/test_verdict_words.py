"""Leads and the words for them: told apart, not told apart, and not tested are three things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from studies.report.infos.leaders import Lead, leads
from studies.report.infos.limits import after_temperature
from studies.report.infos.verdict_words import several_conditions, where_tested, within_condition

ACCURACY, ECE = "test_accuracy", "test_ece"
SAME = "not distinguishable"
Pair = tuple[str, str, str, float | None]  # method, other, verdict, p-value


def make_document(metric: str, means: dict[str, float], pairs: Sequence[Pair], condition: str = "c") -> dict[str, Any]:
    return {
        "confirmed": [
            {"condition": condition, "method": method, "roles": ["knee"], "metrics": {metric: {"mean": mean}}}
            for method, mean in means.items()
        ],
        "comparisons": [
            {
                "role": "knee",
                "metric": metric,
                "condition": condition,
                "method": method,
                "other": other,
                "verdict": verdict,
                "p_value": p,
                "holm_p": p,
            }
            for method, other, verdict, p in pairs
        ],
    }


def make_lead(metric: str, means: dict[str, float], *pairs: Pair, condition: str = "c") -> Lead:
    document = make_document(metric, means, pairs, condition)
    (lead,) = leads(document, "knee", metric, higher_is_better=metric == ACCURACY)
    return lead


def test_the_best_mean_may_be_worse_than_another_on_shared_seeds() -> None:
    means = {"a": 0.91, "b": 0.90, "c": 0.85, "d": 0.84, "z": 0.5}
    pairs: list[Pair] = [("b", "a", "better", 0.01), ("a", "z", "better", 0.001), ("c", "a", SAME, 0.3), ("d", "a", SAME, None)]
    lead = make_lead(ACCURACY, means, *pairs)
    assert (lead.beaten, lead.beaten_by, lead.tied, lead.untested) == (("z",), ("b",), ("c",), ("d",))
    text = within_condition(lead, make_lead(ECE, means, ("b", "a", SAME, 0.5)))
    assert text.startswith(
        "with c a is more accurate than z, but less accurate than b on the seeds that both finished, not distinguishable from c and not "
        "tested against d (accuracy 91.0 % against 50.0 %, p 0.001)"
    )


def test_a_best_mean_that_is_worse_than_another_and_better_than_none_is_not_called_tied() -> None:
    lead = make_lead(ECE, {"a": 0.1, "b": 0.2}, ("a", "b", "worse", 0.01))
    assert not lead.clear
    text = within_condition(make_lead(ACCURACY, {"a": 0.9, "b": 0.8}, ("a", "b", SAME, 0.5)), lead)
    assert "1 of 1 pairs are distinguishable in ECE, though a with the best mean is less well calibrated than b on the seeds" in text


@pytest.mark.parametrize(
    ("p_values", "words"),
    [
        ((0.5, 0.5), "at an accuracy that is not distinguishable from theirs (80.0 % against 90.0 %)"),
        ((0.5, None), "at an accuracy that is not distinguishable from theirs where that could be tested (80.0 % against 90.0 %)"),
        ((None, None), "at an accuracy that could not be tested against theirs (80.0 % against 90.0 %)"),
    ],
)
def test_an_accuracy_that_was_not_tested_is_not_called_indistinguishable(p_values: tuple[float | None, float | None], words: str) -> None:
    ece = make_lead(ECE, {"a": 0.3, "b": 0.1, "c": 0.3}, ("b", "a", "better", 0.01), ("c", "b", "worse", 0.01))
    accuracy = make_lead(ACCURACY, {"a": 0.9, "b": 0.8, "c": 0.9}, *((name, "b", SAME, p) for name, p in zip("ac", p_values, strict=True)))
    assert within_condition(accuracy, ece).endswith(words)


@pytest.mark.parametrize(
    ("p_values", "words"),
    [
        ((0.5, 0.5), "and no two methods are distinguishable in ECE"),
        ((0.5, None), "and no two methods are distinguishable in ECE where that could be tested (1 of 2 pairs)"),
        ((None, None), "and no difference in ECE could be tested"),
    ],
)
def test_an_ece_that_was_not_tested_is_not_called_indistinguishable(p_values: tuple[float | None, float | None], words: str) -> None:
    accuracy = make_lead(ACCURACY, {"a": 0.9, "b": 0.8}, ("a", "b", "better", 0.01))
    ece = make_lead(ECE, {"a": 0.1, "b": 0.2, "c": 0.3}, *((name, "a", SAME, p) for name, p in zip("bc", p_values, strict=True)))
    assert within_condition(accuracy, ece).endswith(words)


def test_how_far_two_metrics_were_tested_is_said_where_it_was_in_part() -> None:
    tested = make_lead(ECE, {"a": 0.1, "b": 0.2}, ("a", "b", SAME, 0.5))
    assert where_tested([(make_lead(ACCURACY, {"a": 0.9}, ("a", "b", SAME, 0.5)), tested)]) == ""
    untested = make_lead(ACCURACY, {"a": 0.9}, ("a", "b", SAME, None))
    assert where_tested([(untested, tested)]) == " where that could be tested: 0 of 1 pair in accuracy, 1 of 1 in ECE"


def test_a_best_mean_stands_out_only_from_all_others() -> None:
    means = {"a": 0.9, "b": 0.8, "c": 0.7}
    alone: list[Pair] = [("b", "a", "worse", 0.01), ("c", "a", "worse", 0.01)]
    partly: list[Pair] = [("b", "a", SAME, 0.2), ("c", "a", "worse", 0.01)]
    untested: list[Pair] = [("b", "a", SAME, None), ("c", "a", "worse", 0.01)]
    names = {"x": alone, "y": partly, "z": untested}
    accuracy = [make_lead(ACCURACY, means, *pairs, condition=name) for name, pairs in names.items()]
    ece = [make_lead(ECE, means, ("a", "c", SAME, None), condition=name) for name in names]
    assert [lead.stands_out for lead in accuracy] == [True, False, False]
    assert several_conditions(list(zip(accuracy, ece, strict=True))) == (
        "accuracy tells methods apart in 3 of 3 conditions (where the best mean stands out: a with x; where it is told apart from some "
        "methods, but not from all: a with y and with z); no difference in ECE could be tested in any of 3 conditions"
    )


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ([("a", "b", "better", 0.01)], "the pair that differs in ECE is still told apart"),
        ([("a", "b", SAME, 0.5)], "the pair that differs in ECE is no longer told apart"),
        ([("a", "b", "worse", 0.01)], "the pair that differs in ECE is told apart the other way round"),
        ([("a", "b", SAME, None)], "the pair that differs in ECE could not be tested"),
        ([("a", "b", SAME, None), ("a", "c", SAME, None)], "none of the 2 pairs that differ in ECE could be tested"),
        (
            [("a", "b", SAME, 0.5), ("a", "c", SAME, None)],
            "none of the 2 pairs that differ in ECE is still told apart, and 1 could not be tested",
        ),
        (
            [("a", "b", "better", 0.01), ("a", "c", "worse", 0.01)],
            "1 of the 2 pairs that differ in ECE are still told apart the same way, and 1 the other way round",
        ),
    ],
)
def test_what_could_not_be_tested_after_scaling_is_not_called_repaired(after: list[Pair], words: str) -> None:
    before: list[Pair] = [(method, other, "better", 0.01) for method, other, *_ in after]
    document = make_document(ECE, {}, before)
    document["comparisons"] += make_document("test_ece_temperature_scaled", {}, after)["comparisons"]
    assert after_temperature(document, "knee") == [f"after temperature scaling {words}"]
