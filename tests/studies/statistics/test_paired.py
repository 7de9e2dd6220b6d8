from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from studies.statistics.multiple import holm
from studies.statistics.paired import Comparison, compare, compare_means, pooled_seed_variance, verdict
from studies.statistics.resampling import Replicates, Resampler
from tests.studies.statistics._dummies import make_difficulty, make_replicates


def compare_made(
    *, seed: int, n_images: int = 400, n_resamples: int = 100, shift: float = 0.0, **noise: Any
) -> tuple[Comparison, Comparison]:
    """Accuracy and ECE of two made methods, the first better by `shift`."""
    difficulty = make_difficulty(n_images, seed=seed)
    resampler = Resampler(n_images, n_resamples=n_resamples, seed=seed)
    a, b = (
        resampler.apply(make_replicates(difficulty, seed=10_000 * (1 + method) + seed, shift=shift * (1 - method), **noise))
        for method in range(2)
    )
    return compare(a.accuracy, b.accuracy), compare(a.ece, b.ece)


NOISE = [
    pytest.param({}, id="seeds and images"),
    pytest.param({"seed_noise": 0.2}, id="mostly seeds"),
    pytest.param({"seed_noise": 0.0, "image_noise": 0.5}, id="mostly images"),
]


@pytest.mark.parametrize("noise", NOISE)
def test_of_equal_methods_at_most_one_in_twenty_is_called_different(noise: Any) -> None:
    found = [compare_made(seed=seed, **noise) for seed in range(200)]
    for metric in range(2):
        rate = np.mean([pair[metric].p_value < 0.05 for pair in found])  # type: ignore[operator]
        assert rate <= 0.085  # 200 of a chance of 5 % exceed that once in a hundred times
        held = np.mean([pair[metric].low <= 0 <= pair[metric].high for pair in found])  # type: ignore[operator]
        assert held == pytest.approx(1 - rate)


def smallest_of_family(seed: int, *, n_methods: int, n_replicates: int, n_conditions: int = 2, **noise: Any) -> tuple[float, float]:
    """The smallest p-value after Holm's correction, in accuracy and in ECE, of all pairs of equal methods in some conditions."""
    p_values: tuple[list[float | None], list[float | None]] = ([], [])
    resampler = Resampler(359, n_resamples=100, seed=seed)
    for condition in range(n_conditions):
        difficulty = make_difficulty(359, seed=[seed, condition])
        made = [
            resampler.apply(make_replicates(difficulty, seed=[seed, condition, method], n_replicates=n_replicates, **noise))
            for method in range(n_methods)
        ]
        for metric, found in enumerate(p_values):
            of_methods = [(methods.accuracy, methods.ece)[metric] for methods in made]
            seeds = pooled_seed_variance([dict(enumerate(method.values)) for method in of_methods])
            found += [compare(a, b, seeds=seeds).p_value for a, b in itertools.combinations(of_methods, 2)]
    accuracy, ece = (min(p for p in holm(found) if p is not None) for found in p_values)
    return accuracy, ece


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(("n_methods", "n_replicates"), [(2, 3), (4, 3), (4, 5)])
def test_of_families_of_equal_methods_at_most_one_in_twenty_holds_a_difference(n_methods: int, n_replicates: int, noise: Any) -> None:
    found = [smallest_of_family(seed, n_methods=n_methods, n_replicates=n_replicates, **noise) for seed in range(120)]
    for of_metric in zip(*found, strict=True):
        assert np.mean([p < 0.05 for p in of_metric]) <= 0.09  # 120 of a chance of 5 % exceed that three times in a hundred


def test_a_real_difference_is_found() -> None:
    found = [compare_made(seed=seed, n_images=1000, shift=0.25)[0] for seed in range(20)]
    assert sum(comparison.p_value < 0.05 for comparison in found) >= 18  # type: ignore[operator]
    assert all(comparison.difference > 0 for comparison in found)  # type: ignore[operator]


def test_the_standard_error_of_accuracy_is_that_of_the_analysis_of_variance() -> None:
    difficulty = make_difficulty(600, seed=0)
    a, b = make_replicates(difficulty, seed=1, seed_noise=0.2), make_replicates(difficulty, seed=2, seed_noise=0.2)
    hits = np.asarray(a.hit, dtype=float) - np.asarray(b.hit, dtype=float)  # (5, 600)
    rows, columns, n, m = hits.mean(1), hits.mean(0), 5, 600
    mean_square = ((hits - rows[:, None] - columns + hits.mean()) ** 2).sum() / ((n - 1) * (m - 1))
    of_rows, of_columns = m * rows.var(ddof=1), n * columns.var(ddof=1)
    assert min(of_rows, of_columns) > mean_square  # so that no part is cut at 0
    resampler = Resampler(600, n_resamples=4000, seed=0)
    found = compare(resampler.apply(a).accuracy, resampler.apply(b).accuracy)
    assert found.difference == pytest.approx(hits.mean())
    assert found.standard_error == pytest.approx(math.sqrt((of_rows + of_columns - mean_square) / (n * m)), rel=0.04)
    assert found.degrees_of_freedom == 4
    # ... and its interval adds the half-widths of seeds and images in quadrature
    of_seeds, of_images = of_rows / (n * m), (of_columns - mean_square) / (n * m)
    half = math.sqrt(stats.t.isf(0.025, 4) ** 2 * of_seeds + stats.t.isf(0.025, 599) ** 2 * of_images)
    assert found.high is not None
    assert found.low is not None
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.04)


def test_the_p_value_is_the_level_at_which_the_interval_reaches_0() -> None:
    found = compare_made(seed=0, shift=0.2)[0]
    assert found.p_value is not None
    assert 1e-6 < found.p_value < 0.2
    difficulty = make_difficulty(400, seed=0)
    resampler = Resampler(400, n_resamples=100, seed=0)
    a, b = (
        resampler.apply(make_replicates(difficulty, seed=10_000 * (1 + method), shift=0.2 * (1 - method))).accuracy for method in range(2)
    )
    assert compare(a, b, confidence_level=1 - found.p_value).low == pytest.approx(0, abs=1e-9)


def test_the_seeds_of_all_methods_speak_together() -> None:
    # Two-way table of methods x replicates, all there: the residual mean square by its textbook formula.
    values = np.array([[0.50, 0.53, 0.49], [0.62, 0.66, 0.65], [0.71, 0.70, 0.75], [0.40, 0.44, 0.41]])
    residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    found = pooled_seed_variance([dict(enumerate(row)) for row in values])
    assert found == pytest.approx((2 * (residuals**2).sum() / 6, 6))
    pairs = [(a - b).var(ddof=1) for a, b in itertools.combinations(values, 2)]
    assert found == pytest.approx((np.mean(pairs), 6))


def test_replicates_that_failed_are_left_out_of_what_all_say() -> None:
    whole = [{0: 0.50, 1: 0.53, 2: 0.49}, {0: 0.62, 1: 0.66, 2: 0.65}]
    assert pooled_seed_variance([*whole, {0: 0.9}]) == pytest.approx(pooled_seed_variance(whole))  # one replicate has no spread
    assert pooled_seed_variance([{**whole[0], 7: 0.1}, {**whole[1], 3: None, 4: math.nan}]) == pytest.approx(pooled_seed_variance(whole))
    # a: 0.1, 0.3 on replicates 0, 1; b: 0.2, 0.6 on 1, 2; c: 0.5, 0.5 on 0, 2. Six values, three methods and two free replicates: one
    # degree of freedom, the sum around the ring, (0.3 - 0.1) + (0.6 - 0.2) + (0.5 - 0.5) = 0.6, of six values: 0.6^2 / 6.
    ring = [{0: 0.1, 1: 0.3}, {1: 0.2, 2: 0.6}, {0: 0.5, 2: 0.5}]
    assert pooled_seed_variance(ring) == pytest.approx((2 * 0.6**2 / 6, 1))
    assert pooled_seed_variance([{0: 0.1}, {0: 0.2}]) is None
    assert pooled_seed_variance([]) is None


def test_a_pair_whose_seeds_show_too_little_takes_the_variance_of_all() -> None:
    # Both methods are right on as many images with every seed: alone, their seeds seem not to matter at all.
    hits = np.array([np.roll(np.arange(100) < 80, replicate) for replicate in range(3)])
    a, b = (Replicates(np.full((3, 100), 0.9), right) for right in (hits, np.roll(hits, 7, axis=1)))
    resampler = Resampler(100, n_resamples=50, seed=0)
    a_found, b_found = (resampler.apply(method).accuracy for method in (a, b))
    noisy = {0: 0.5, 1: 0.8, 2: 0.65}
    seeds = pooled_seed_variance([dict(enumerate(a_found.values)), dict(enumerate(b_found.values)), noisy])
    assert seeds is not None
    alone, pooled = compare(a_found, b_found), compare(a_found, b_found, seeds=seeds)
    assert alone.standard_error is not None
    assert pooled.standard_error is not None
    assert pooled.standard_error**2 > alone.standard_error**2
    assert pooled.standard_error**2 >= seeds.variance / 3
    assert (alone.degrees_of_freedom, pooled.degrees_of_freedom) == (2, 4)


def test_which_images_were_drawn_counts_beside_the_seeds() -> None:
    # Replicate s of a is right on the first n_s of 100 images, and b always on the first 60: the seeds hardly differ ...
    n_right = np.array([70, 72, 68, 75, 71])
    a = Replicates(np.full((5, 100), 0.7), np.arange(100) < n_right[:, None])
    b = Replicates(np.full((5, 100), 0.7), np.tile(np.arange(100) < 60, (5, 1)))
    resampler = Resampler(100, n_resamples=500, seed=0)
    ours = compare(resampler.apply(a).accuracy, resampler.apply(b).accuracy)
    alone = compare_means(resampler.apply(a).accuracy.values.tolist(), resampler.apply(b).accuracy.values.tolist())
    expected = stats.ttest_rel(n_right / 100, np.full(5, 0.6))
    assert alone.p_value == pytest.approx(expected.pvalue)
    # ... but how many such images are drawn is chance too, a binomial share of 0.112, which the t test over seeds does not count.
    assert ours.standard_error is not None
    assert alone.standard_error is not None
    assert ours.standard_error > 2 * alone.standard_error
    assert ours.standard_error == pytest.approx(math.sqrt(0.112 * 0.888 / 100), rel=0.1)


def test_identical_models_do_not_differ() -> None:
    resampler = Resampler(50, n_resamples=20, seed=0)
    model = resampler.apply(make_replicates(make_difficulty(50, seed=0), seed=1))
    for metric in (model.accuracy, model.ece):
        found = compare(metric, metric)
        assert (found.difference, found.standard_error, found.low, found.high, found.p_value) == (0, 0, 0, 0, 1)
        assert found.reason is None


def test_only_replicates_of_both_are_compared_and_paired_by_their_number() -> None:
    difficulty = make_difficulty(60, seed=0)
    resampler = Resampler(60, n_resamples=50, seed=0)
    a, b = make_replicates(difficulty, seed=1), make_replicates(difficulty, seed=2)
    whole = compare(
        resampler.apply(replace(a, confidence=a.confidence[:4], hit=a.hit[:4], numbers=())).ece,
        resampler.apply(replace(b, confidence=b.confidence[:4], hit=b.hit[:4], numbers=())).ece,
    )
    turned = Replicates(b.confidence[[3, 1, 0, 2]], b.hit[[3, 1, 0, 2]], numbers=(3, 1, 0, 2))
    assert vars(compare(resampler.apply(a).ece, resampler.apply(turned).ece)) == pytest.approx(vars(whole))
    assert whole.n_replicates == 4


def test_swapping_the_methods_turns_the_sign() -> None:
    difficulty = make_difficulty(60, seed=0)
    resampler = Resampler(60, n_resamples=50, seed=0)
    a, b = (resampler.apply(make_replicates(difficulty, seed=seed)).ece for seed in (1, 2))
    there, back = compare(a, b), compare(b, a)
    assert there.difference == pytest.approx(-back.difference)  # type: ignore[operator]
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))  # type: ignore[operator]
    assert there.p_value == pytest.approx(back.p_value)


def test_one_shared_replicate_is_no_comparison() -> None:
    difficulty = make_difficulty(30, seed=0)
    resampler = Resampler(30, n_resamples=10, seed=0)
    one, other = (resampler.apply(make_replicates(difficulty, seed=seed, n_replicates=1)).accuracy for seed in (1, 2))
    found = compare(one, other)
    assert found.difference == pytest.approx(one.value - other.value)
    assert (found.standard_error, found.low, found.high, found.p_value, found.n_replicates) == (None, None, None, None, 1)
    assert found.reason == "One replicate has no spread over seeds: confirm with 2 seeds or more."
    assert compare(replace(one, numbers=(7,)), other).reason == "The methods share no replicate."


def test_resamples_of_different_images_are_refused() -> None:
    few, many = (Resampler(n, n_resamples=10, seed=0).apply(make_replicates(make_difficulty(n, seed=0), seed=1)) for n in (20, 30))
    with pytest.raises(ValueError, match=r"Both must come from one `Resampler`, but got 10 resamples of 20 images and 10 of 30"):
        compare(few.ece, many.ece)


def test_means_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 0.1, 6), rng.normal(0.9, 0.1, 6)
    expected = stats.ttest_rel(a, b)
    found = compare_means(a.tolist(), b.tolist(), confidence_level=0.9)
    interval = expected.confidence_interval(0.9)
    assert (found.difference, found.p_value) == pytest.approx(((a - b).mean(), expected.pvalue))
    assert (found.low, found.high, found.degrees_of_freedom) == pytest.approx((interval.low, interval.high, 5))


def test_pairs_with_a_missing_value_are_left_out() -> None:
    found = compare_means([0.5, None, 0.7, 0.9, math.nan], [0.4, 0.6, 0.5, math.inf, 0.1])
    assert vars(found) == vars(compare_means([0.5, 0.7], [0.4, 0.5]))
    assert compare_means([None, 0.5], [0.5, None]).reason == "The methods share no replicate."
    assert compare_means([0.5], [0.4]).difference == pytest.approx(0.1)


def test_equal_differences_have_no_error_to_judge_by() -> None:
    found = compare_means([0.3, 0.8, 1.1], [0.2, 0.7, 1.0])  # 0.1 each, but for rounding
    assert found.difference == pytest.approx(0.1)
    assert (found.p_value, found.low) == (None, None)
    assert found.reason == "All 3 replicates differ by the same amount, so its error cannot be told."
    assert compare_means([0.3, 0.8], [0.3, 0.8]).p_value == 1


def test_lengths_that_differ_and_levels_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"values of the same replicates, but got 1 and 2"):
        compare_means([0.1], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"`0 < confidence_level < 1` must hold, but got confidence_level=1"):
        compare_means([0.1, 0.3], [0.1, 0.2], confidence_level=1)


def test_the_verdict_needs_a_small_p_value_and_knows_the_direction() -> None:
    found = compare_means([0.91, 0.93, 0.92], [0.81, 0.82, 0.83])
    assert verdict(found, 0.01, higher_is_better=True) == "better"
    assert verdict(found, 0.01, higher_is_better=False) == "worse"
    assert verdict(replace(found, difference=-0.1), 0.01, higher_is_better=True) == "worse"
    assert verdict(found, 0.05, higher_is_better=True) == "not distinguishable"
    assert verdict(found, 0.05, higher_is_better=True, level=0.1) == "better"
    assert verdict(found, None, higher_is_better=True) == "not distinguishable"
