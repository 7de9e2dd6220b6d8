from __future__ import annotations

import pyarrow as pa
import pytest

from studies.front import UNEQUAL, ArmFront, FrontInfo, Point, collect_front, format_settings, render_front
from studies.ledger import Event
from studies.tables import build_tables
from tests.studies._dummies import CONSTANTS, make_end, make_suggest, make_tables, render

TRIALS: list[tuple[str, int, float | None, float]] = [
    ("bsd/none", 0, 0.90, 0.30),
    ("bsd/none", 1, 0.80, 0.10),
    ("bsd/none", 2, 0.70, 0.20),  # beaten by 1
    ("bsd/none", 3, None, 0.0),
    ("cs_kd/none", 0, 0.95, 0.20),  # beats bsd's 0
    ("bsd/symmetric_40", 0, 0.60, 0.05),
    ("cs_kd/symmetric_40", 0, None, 0.0),
]
ARMS = ["cs_kd/none", "bsd/none", "cs_kd/symmetric_40", "bsd/symmetric_40"]


def make_info(*trials: tuple[str, int, float | None, float], arms: list[str] | None = None, **constants: str) -> FrontInfo:
    tables = make_tables(*trials, **constants)
    return collect_front(tables.trials, tables.evaluations, arms=arms)


def make_point(**changes: object) -> Point:
    plain: dict[str, object] = {
        "trial_id": "t",
        "accuracy": 0.9,
        "ece": 0.1,
        "nll": 0.5,
        "accuracy_other": 0.8,
        "ece_other": 0.2,
        "corrupted_accuracy": 0.7,
        "corrupted_ece": 0.3,
        "on_front": True,
        "on_condition_front": False,
        "settings": {"learning_rate": 0.1},
    }
    point = {**plain, **changes}
    return Point(**{"chosen_by": (point["accuracy"], point["ece"]), **point})  # type: ignore[arg-type]


def make_front(*arms: ArmFront, condition: str = "none", study: str = "mine") -> FrontInfo:
    return FrontInfo(
        study=study,
        dataset="digits",
        model="resnet8",
        validation_labels="noisy",
        objectives=("val_accuracy", "val_ece"),
        n_val=100,
        n_shifted=25,
        n_corruptions=95,
        conditions={condition: list(arms)},
    )


# --- what is shown


def test_arms_stand_by_condition_in_the_order_of_the_study() -> None:
    info = make_info(*TRIALS, arms=ARMS)
    assert {condition: [arm.method for arm in arms] for condition, arms in info.conditions.items()} == {
        "none": ["cs_kd", "bsd"],
        "symmetric_40": ["cs_kd", "bsd"],
    }


def test_a_front_by_hand() -> None:
    cs_kd, bsd = make_info(*TRIALS, arms=ARMS).conditions["none"]
    assert [point.trial_id for point in bsd.front] == ["bsd-none-0000", "bsd-none-0001"]
    assert len(bsd.points) == 3
    assert (bsd.n_failed, cs_kd.n_failed) == (1, 0)
    # Two boxes less their overlap, as seen from accuracy 0 and ECE 1.
    assert bsd.hypervolume == pytest.approx(0.9 * 0.7 + 0.8 * 0.9 - 0.8 * 0.7)
    assert cs_kd.hypervolume == pytest.approx(0.95 * 0.8)


def test_the_front_of_a_condition_is_taken_over_all_methods() -> None:
    cs_kd, bsd = make_info(*TRIALS, arms=ARMS).conditions["none"]
    marked = {point.trial_id for arm in (cs_kd, bsd) for point in arm.points if point.on_condition_front}
    assert marked == {"cs_kd-none-0000", "bsd-none-0001"}


def test_trials_are_counted_over_all_arms() -> None:
    info = make_info(*TRIALS, arms=ARMS)
    assert (info.n_points, info.n_failed, info.n_val) == (5, 2, 100)


def test_the_study_is_named() -> None:
    info = make_info(*TRIALS)
    assert (info.study, info.dataset, info.model, info.validation_labels) == ("mine", "digits", "resnet8", "clean")


def test_a_front_is_listed_from_the_most_accurate() -> None:
    info = make_info(("bsd/none", 0, 0.5, 0.1), ("bsd/none", 1, 0.9, 0.3), ("bsd/none", 2, 0.7, 0.2))
    assert [point.accuracy for point in info.conditions["none"][0].front] == [0.9, 0.7, 0.5]


def test_metrics_by_the_other_labels_are_those_that_did_not_choose() -> None:
    chosen_clean = make_info(("bsd/none", 0, 0.8, 0.1)).conditions["none"][0].points[0]
    chosen_noisy = make_info(("bsd/none", 0, 0.8, 0.1), validation_labels="noisy").conditions["none"][0].points[0]
    assert (chosen_clean.accuracy_other, chosen_clean.ece_other) == (0.4, 0.05)  # the noisy ones
    assert (chosen_noisy.accuracy_other, chosen_noisy.ece_other) == (0.8, 0.1)  # the true ones


def test_settings_are_those_that_the_method_has() -> None:
    assert make_info(*TRIALS).conditions["none"][0].points[0].settings == {"learning_rate": 0.1, "weight_decay": 5e-4}


def test_a_study_of_failures_alone_has_no_points_and_no_area() -> None:
    info = make_info(("bsd/none", 0, None, 0.0), ("bsd/none", 1, None, 0.0))
    (arm,) = info.conditions["none"]
    assert (info.n_points, info.n_failed, arm.front, arm.hypervolume) == (0, 2, [], 0.0)


def test_an_arm_without_any_trial_yet_is_listed_empty() -> None:
    info = make_info(("bsd/none", 0, 0.9, 0.1), arms=["cs_kd/none", "bsd/none"])
    assert [(arm.method, len(arm.points)) for arm in info.conditions["none"]] == [("cs_kd", 0), ("bsd", 1)]


def test_a_table_without_search_trials_is_refused() -> None:
    tables = make_tables(("bsd/none", 0, 0.9, 0.1))
    for trials in (tables.trials.slice(0, 0), tables.trials.set_column(2, "phase", pa.array(["confirm"]))):
        with pytest.raises(ValueError, match="The trials table has no row of phase search"):
            collect_front(trials, tables.evaluations)


def test_confirmed_trials_do_not_mix_with_the_search() -> None:
    tables = make_tables(("bsd/none", 0, 0.5, 0.1), ("bsd/none", 1, 0.9, 0.0))
    phases = pa.array(["confirm" if number else "search" for number in tables.trials["trial_number"].to_pylist()])
    info = collect_front(tables.trials.set_column(2, "phase", phases), tables.evaluations)
    assert [point.accuracy for point in info.conditions["none"][0].points] == [0.5]


# --- how it is shown


def test_settings_are_written_with_three_digits_and_the_shared_ones_last() -> None:
    settings = {"learning_rate": 0.123456, "weight_decay": 1e-5, "temperature": 4.0, "distill_weight": 0.33333}
    assert format_settings(settings) == "temperature 4, distill_weight 0.333, learning_rate 0.123, weight_decay 1e-05"


def test_the_tables_show_percent_and_mark_the_conditions_front() -> None:
    lines = render(render_front(make_info(*TRIALS, arms=ARMS)))
    assert lines[0].strip() == "condition none"
    row = next(line for line in lines if line.startswith("* cs_kd"))
    assert row.split()[2:] == ["95.0", "20.0", "0.700"]
    rows = [line.split() for line in lines if line.startswith(("* bsd", "  bsd"))]
    assert [cells[-3:] for cells in rows[:2]] == [["90.0", "30.0", "0.700"], ["80.0", "10.0", "0.700"]]
    assert [cells[0] for cells in rows[:2]] == ["bsd", "*"]


def test_under_noise_both_kinds_of_labels_are_shown() -> None:
    lines = render(render_front(make_info(*TRIALS, arms=ARMS)))
    noisy = lines[next(index for index, line in enumerate(lines) if "condition symmetric_40" in line) :]
    row = next(line for line in noisy if "bsd" in line)
    assert row.split()[-5:] == ["60.0", "5.0", "0.700", "30.0", "2.5"]
    assert any("cs_kd: no finished trial, 1 failed" in line for line in noisy)


def test_corrupted_accuracy_and_calibration_are_shown_where_it_was_measured() -> None:
    with_it = render(render_front(make_front(ArmFront(method="bsd", points=[make_point()], n_failed=0, hypervolume=0.5))))
    without = render(
        render_front(make_front(ArmFront(method="bsd", points=[make_point(corrupted_accuracy=None)], n_failed=0, hypervolume=0.5)))
    )
    assert any("corr." in line for line in with_it)
    assert any(line.split()[-2:] == ["70.0", "30.0"] for line in with_it)
    assert not any(line.rstrip().endswith("corr.") for line in without)


def test_the_caption_says_how_sure_corrupted_means_are() -> None:
    arm = ArmFront(method="bsd", points=[make_point(corrupted_accuracy=0.5)], n_failed=0, hypervolume=0.5)
    text = " ".join(" ".join(render(render_front(make_front(arm)))).split())
    assert "corr.: means over 95 corrupted copies of 25 of them" in text
    assert "standard error can be up to 10.0 points" in text


def test_with_unequal_budgets_what_sets_methods_side_by_side_says_so() -> None:
    info = make_info(*TRIALS, arms=ARMS)
    text = " ".join(" ".join(render(render_front(info, comparable=False))).split())
    assert f"no method beats in this condition. {UNEQUAL}" in text
    assert text.count(UNEQUAL) == 1 + len(info.conditions)
    assert UNEQUAL not in " ".join(" ".join(render(render_front(info))).split())


def test_the_caption_counts_images_and_failures() -> None:
    text = " ".join(" ".join(render(render_front(make_info(*TRIALS, arms=ARMS)))).split())
    assert "n = 100 validation images" in text
    assert "2 trials failed" in text
    assert "Validation labels that chose: clean" in text
    assert "hypervolume: cs_kd 0.760, bsd 0.790" in text


def test_the_caption_gives_the_standard_error_of_the_median_accuracy() -> None:
    """0.9 of 100 images: sqrt(0.9 * 0.1 / 100) = 3 points."""
    text = " ".join(render(render_front(make_info(("bsd/none", 0, 0.9, 0.1)))))
    assert "3.0 points" in text


def test_a_front_of_other_objectives_is_judged_by_them_and_says_so() -> None:
    def finished(number: int, corrupted_accuracy: float, corrupted_ece: float) -> list[Event]:
        end = make_end("bsd/none", number, 0.9, 0.1, val_corrupted_accuracy=corrupted_accuracy, val_corrupted_ece=corrupted_ece)
        return [make_suggest("bsd/none", number), end]

    events = [*finished(0, 0.5, 0.2), *finished(1, 0.7, 0.1), *finished(2, 0.6, 0.05)]
    tables = build_tables(events, {**CONSTANTS, "objectives": "val_corrupted_accuracy, val_corrupted_ece"})
    assert tables.trials["on_front"].to_pylist() == [False, True, True]
    info = collect_front(tables.trials, tables.evaluations)
    (arm,) = info.conditions["none"]
    assert [point.chosen_by for point in arm.front] == [(0.7, 0.1), (0.6, 0.05)]
    assert arm.hypervolume == pytest.approx(0.7 * 0.9 + 0.6 * 0.95 - 0.6 * 0.9)
    text = " ".join(" ".join(render(render_front(info))).split())
    assert "Chosen, and sorted, by accuracy on corrupted images; then expected calibration error on corrupted images." in text


def crowded(condition: str) -> FrontInfo:
    settings = {
        "prior_strength": 99.123,
        "discount": 0.98765,
        "temperature": 0.123456,
        "learning_rate": 0.123456,
        "weight_decay": 1.2345e-05,
    }
    points = [make_point(accuracy=0.5 + 0.01 * index, ece=0.01 * index, settings=settings) for index in range(20)]
    arms = [ArmFront(method="label_smoothing", points=points, n_failed=3, hypervolume=0.123) for _ in range(6)]
    return make_front(*arms, condition=condition)


@pytest.mark.parametrize(
    "info",
    [
        crowded("asymmetric_12.3457"),
        make_info(*TRIALS, arms=ARMS),
        make_info(("label_smoothing/asymmetric_40", 0, None, 0.0)),
        make_front(ArmFront(method="m" * 120, points=[make_point(settings={"s" * 120: 1.0})], n_failed=0, hypervolume=1.0)),
    ],
    ids=["crowded", "usual", "all failed", "long names"],
)
@pytest.mark.parametrize("width", [80, 60])
def test_no_line_is_wider_than_the_terminal(info: FrontInfo, width: int) -> None:
    lines = render(render_front(info), width=width)
    assert max(map(len, lines)) <= width
    assert len(lines) > 3


def test_numbers_are_whole_at_eighty_columns() -> None:
    text = "\n".join(render(render_front(crowded("asymmetric_40"))))
    assert "…" not in text
    assert "69.0" in text


@pytest.mark.parametrize("n_points", [0, 1])
def test_brackets_in_a_name_are_shown_as_they_are(n_points: int) -> None:
    arm = ArmFront(method="[red]m[/red]", points=[make_point(settings={"[bold]s": 1.0})] * n_points, n_failed=1 - n_points, hypervolume=0.5)
    text = "\n".join(render(render_front(make_front(arm, condition="[blue]c"))))
    assert "condition [blue]c" in text
    assert text.count("[red]m[/red]") == 2  # its row and its hypervolume
    assert text.count("[bold]s") == n_points


def test_an_arm_says_whether_its_trials_failed_were_stopped_or_are_to_come() -> None:
    info = make_info(("cs_kd/none", 0, 0.9, 0.1), ("bsd/none", 0, None, 0), arms=["cs_kd/none", "bsd/none", "gce/none"])
    text = "\n".join(render(render_front(info)))
    assert "bsd: no finished trial, 1 failed" in text
    assert "gce: no trial has ended yet" in text
    stopped = ArmFront(method="bsd", points=[], n_failed=0, n_stopped=3, hypervolume=0.0)
    assert stopped.without_front == "no finished trial, 0 failed, 3 stopped early"


def test_an_empty_front_says_so() -> None:
    assert any(
        "no finished trial, 2 failed" in line
        for line in render(render_front(make_info(("bsd/none", 0, None, 0), ("bsd/none", 1, None, 0))))
    )
