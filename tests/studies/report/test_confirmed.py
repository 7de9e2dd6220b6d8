from __future__ import annotations

import pytest

from studies.report.confirmed import render_confirmed, with_interval
from studies.statistics.document import as_json
from studies.statistics.seeds import summarise
from tests.studies._dummies import render
from tests.studies.report._documents import make_statistics


def text_of(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def test_a_mean_is_shown_with_half_of_its_interval() -> None:
    # sd of 0.7, 0.8 is 0.0707; / sqrt(2) is 0.05; times t of one degree of freedom, 12.706.
    assert with_interval(as_json(summarise([0.7, 0.8]))) == "75.0 ±63.5"
    assert with_interval(as_json(summarise([0.7]))) == "70.0"
    assert with_interval(as_json(summarise([None]))) == with_interval(None) == "-"
    assert with_interval(as_json(summarise([0.5, 0.5])), scale=1, digits=3) == "0.500 ±0.000"


def test_each_condition_has_a_table_with_a_row_for_each_setting() -> None:
    lines = render(render_confirmed(make_statistics(conditions=["none", "symmetric:0.4"])))
    assert [line for line in lines if line.startswith("confirmed on test")] == [
        "confirmed on test, condition none",
        "confirmed on test, condition symmetric_40",
    ]
    rows = [line.split() for line in lines if line.startswith("cross_entropy:")]
    assert [row[-6:] for row in rows] == [["±2.5", "11.0", "±2.5", "0.500", "5.5", "3"]] * 2
    assert text_of(lines).count("learning_rate 0.1, weight_decay 0.0005") == 6
    assert sum(line.startswith("cs_kd: best_accuracy, knee,") for line in lines) == 2


def test_failed_trainings_are_counted_and_said() -> None:
    lines = render(render_confirmed(make_statistics({"cross_entropy": (0.7, None, 0.72), "bsd": (None, None, None)})))
    assert any(line.rstrip().endswith("2 of 3") for line in lines)
    assert any(line.split()[-5:] == ["-", "-", "0", "of", "3"] for line in lines)
    assert "4 of these trainings failed and are left out of the means, which therefore flatter" in text_of(lines)


def test_trainings_that_are_still_to_come_are_counted_too() -> None:
    lines = render(render_confirmed(make_statistics({"cross_entropy": (0.7, 0.71), "bsd": (0.8,)}, confirm={"seeds": 3})))
    assert [line.split()[-3:] for line in lines if "of 3" in line] == [["2", "of", "3"], ["1", "of", "3"]]
    assert "failed" not in text_of(lines)


def test_the_caption_says_when_the_split_was_opened_and_what_n_and_the_intervals_are() -> None:
    text = text_of(render(render_confirmed(make_statistics(), opened="2025-01-02T03:04:05+00:00")))
    assert "Test split: opened once, at 2025-01-02T03:04:05+00:00" in text
    assert "trainings of the setting with fresh seeds, on train. 100 test images, judged by their true labels." in text
    assert "95 % interval (Student's t) of the mean over fresh seeds" in text
    assert "about ±2.0 in accuracy and ±2.0 in ECE" in text  # the images' intervals of the dummies


@pytest.mark.parametrize(
    ("noise_seeds", "words"), [("fresh", "each with wrong labels of its own"), ("same", "on the search's wrong labels")]
)
def test_the_caption_says_which_wrong_labels_were_trained_on(noise_seeds: str, words: str) -> None:
    confirm = {"seeds": 3, "noise_seeds": noise_seeds}
    assert words in text_of(render(render_confirmed(make_statistics(conditions=["symmetric:0.4"], confirm=confirm))))
    assert words not in text_of(render(render_confirmed(make_statistics(conditions=["none"], confirm=confirm))))


def test_one_seed_is_said_to_have_no_interval() -> None:
    text = text_of(render(render_confirmed(make_statistics({"cross_entropy": (0.7,), "bsd": (0.8,)}))))
    assert "No interval over seeds. Confirm with two or more: confirm.seeds=5." in text
    assert "70.0 10.0" in text
