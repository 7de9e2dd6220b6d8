from __future__ import annotations

import itertools

import pytest

from studies.report.compared import first_role, format_p, render_comparisons, render_ranking, render_verdicts
from tests.studies._dummies import make_events, render
from tests.studies.report._documents import make_statistics


def text_of(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


ALIKE = {"cross_entropy": (0.70, 0.71, 0.72), "bsd": (0.71, 0.70, 0.72)}


def test_a_difference_is_shown_with_its_interval_and_its_verdict() -> None:
    lines = render(render_comparisons(make_statistics()))
    start = next(index for index, line in enumerate(lines) if line.startswith("bsd - cross_entropy"))
    # Differences 0.100, 0.100, 0.105: mean 0.10167, standard error 0.0016667, t of 2 degrees of freedom 4.3027: half 0.00717.
    assert lines[start].split()[3:] == ["+10.2", "[+9.4,", "+10.9]", "+0.0", "[+0.0,", "+0.0]"]
    assert lines[start + 1].split() == ["better", "(p", "0.001)", "not", "distinguishable"]
    assert lines[start + 2].split() == ["on", "these", "images"]  # no predictions were kept


def test_a_verdict_over_other_images_too_needs_no_word_of_these() -> None:
    document = make_statistics()
    document["comparisons"] = [{**pair, "over": "seeds and images"} for pair in document["comparisons"]]
    for rendered in (render_comparisons(document), render_verdicts(document), render_ranking(document)):
        assert "these images" not in text_of(render(rendered))


def test_pairs_with_plain_training_are_shown_and_other_ties_named_together() -> None:
    values = {"cross_entropy": (0.70, 0.71, 0.72), "bsd": (0.80, 0.81, 0.825), "cs_kd": (0.802, 0.81, 0.82)}
    text = text_of(render(render_comparisons(make_statistics(values))))
    assert "cs_kd - cross_entropy +10.1" in text
    assert "not distinguishable in both: cs_kd - bsd" in text


def test_a_condition_without_a_difference_takes_one_line() -> None:
    lines = render(render_comparisons(make_statistics(ALIKE)))
    assert lines[1] == "condition none: no two methods are distinguishable in accuracy or ECE (1 pair)."


def test_the_caption_says_what_the_interval_is_over_and_how_many_seeds() -> None:
    text = text_of(render(render_comparisons(make_statistics())))
    assert "each by its best_accuracy setting" in text
    assert "fresh seeds alone, for these images: predictions were not kept" in text
    assert "n = 3 seeds" in text
    assert "p < 0.05 after Holm's correction" in text
    assert "settings that one search of 1 trial an arm chose; another search could choose others, which no interval here covers" in text
    assert "flatter" not in text
    document = make_statistics()
    document["comparisons"] = [{**pair, "over": "seeds and images"} for pair in document["comparisons"]]
    assert "over fresh seeds and other images" in text_of(render(render_comparisons(document)))


def test_one_seed_and_none_give_their_reason() -> None:
    one = text_of(render(render_comparisons(make_statistics({"cross_entropy": (0.7,), "bsd": (0.8,)}))))
    assert "No interval: One replicate has no spread over seeds: confirm with 2 seeds or more." in one
    failed = text_of(
        render(render_comparisons(make_statistics({"cross_entropy": (0.7, 0.71), "bsd": (None, None), "cs_kd": (0.9, 0.911)})))
    )
    assert "bsd - cross_entropy no shared seed" in failed


def test_a_pair_in_which_a_training_failed_says_on_how_many_seeds_it_rests() -> None:
    values = {"cross_entropy": (0.70, 0.71, 0.72), "bsd": (0.80, None, 0.821), "cs_kd": (0.3, 0.31, 0.325)}
    for rendered in (render_comparisons(make_statistics(values)), render_verdicts(make_statistics(values))):
        lines = render(rendered)
        following = {line.split("  ")[0].strip(): after.split()[:4] for line, after in itertools.pairwise(lines) if " - " in line}
        assert following["bsd - cross_entropy"] == ["2", "of", "3", "seeds"]
        assert following["cs_kd - cross_entropy"][1:2] != ["of"]
    text = text_of(render(render_comparisons(make_statistics(values))))
    assert "n = 2 to 3 seeds. " in text
    assert "Seeds on which a training failed or is still to come are left out of a difference, which may flatter." in text


def test_on_unequal_budgets_differences_have_no_verdict_and_say_why() -> None:
    document = make_statistics(more=make_events(("bsd/none", 1, 0.5, 0.5)))
    why = "No verdict: budgets are NOT equal, so a difference may be one of budgets: finished trials: 1, but bsd/none 2."
    text, full = (text_of(render(rendered)) for rendered in (render_comparisons(document), render_verdicts(document)))
    for shown in (text, full):
        assert why in shown
        assert not {"better", "worse"} & set(shown.split())
        assert "distinguishable" not in shown
    assert "bsd - cross_entropy +10.2 [+9.4, +10.9] +0.0 [+0.0, +0.0] cs_kd" in text
    assert "in report/statistics.json: cs_kd - bsd" in text
    assert "differences in all metrics (points, but NLL in nats)" in full
    assert "bsd - cross_entropy +10.2 +0.0 +0.000 +0.0 1.00" in full
    assert "condition none: 1 pair in report/statistics.json" in full


def test_verdicts_of_all_metrics_stand_in_one_table() -> None:
    lines = render(render_verdicts(make_statistics()))
    (row,) = [line.split() for line in lines if line.startswith("bsd - cross_entropy")]
    assert row[3:] == ["better", "=", "=", "=", "1.00"]  # accuracy, ECE, NLL, ECE after T; every training is more accurate
    start = next(index for index, line in enumerate(lines) if line.startswith("bsd - cross_entropy"))
    assert [line.split() for line in lines[start + 1 : start + 3]] == [["on", "these"], ["images"]]
    assert "accuracy, ECE, NLL, ECE after T: over seeds alone, for these images; nothing is said of others." in text_of(lines)
    assert "condition none: 1 pair not distinguishable in any metric" in lines


def test_a_ranking_names_what_is_tied_with_the_best_and_what_is_behind() -> None:
    lines = render(render_ranking(make_statistics()))
    assert "none, accuracy: bsd 81.2; behind: cs_kd 71.2, cross_entropy 71.0" in lines
    assert "none, ECE: cross_entropy 11.0, bsd 11.0, cs_kd 11.0" in lines


def test_a_ranking_is_refused_with_its_reason() -> None:
    document = make_statistics(more=make_events(("bsd/none", 1, 0.5, 0.5)))
    assert "Not ranked: finished trials: 1, but bsd/none 2." in render(render_ranking(document))


def test_methods_with_failed_trainings_are_not_ranked() -> None:
    document = make_statistics({"cross_entropy": (0.95, 0.951, 0.949), "bsd": (None, None, 0.97)})
    assert "Not ranked: bsd finished 1 of 3 trainings in condition none." in render(render_ranking(document))


@pytest.mark.parametrize(("p", "text"), [(0.0321, "p 0.032"), (0.0005, "p 0.001"), (0.0004999, "p < 0.001"), (0.0, "p < 0.001")])
def test_small_p_values_are_bounds(p: float, text: str) -> None:
    assert format_p(p) == text


def test_the_first_role_there_is_is_shown() -> None:
    document = make_statistics()
    assert first_role(document) == "best_accuracy"
    document["comparisons"] = [pair for pair in document["comparisons"] if pair["role"] == "best_ece"]
    assert first_role(document) == "best_ece"
    assert "each by its best_ece setting" in text_of(render(render_comparisons(document)))
