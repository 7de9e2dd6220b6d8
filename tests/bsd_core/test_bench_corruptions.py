from __future__ import annotations

import pytest
import torch

from bsd_core.bench_corruptions import CELLS, SuiteTimes, measure_suite, patterned_images, peak_growth
from bsd_core.errors import ConfigError
from bsd_core.robustness.corruptions import CORRUPTIONS
from bsd_core.robustness.corruptions.severities import SEVERITIES


def make_times(n_images: int = 5000) -> SuiteTimes:
    """Every cell takes 2, 1 and 3 s, but the last, which takes ten times as long."""
    return SuiteTimes(n_images, {cell: [20.0, 10.0, 30.0] if cell == CELLS[-1] else [2.0, 1.0, 3.0] for cell in CELLS})


def test_the_suite_is_every_corruption_at_every_severity() -> None:
    assert len(CELLS) == len(CORRUPTIONS) * len(SEVERITIES) == len(set(CELLS))


def test_every_cell_is_timed_in_every_round() -> None:
    found = measure_suite(patterned_images(3, 8), rounds=2)
    assert tuple(found.seconds) == CELLS
    assert {len(seconds) for seconds in found.seconds.values()} == {2}
    assert min(min(seconds) for seconds in found.seconds.values()) > 0


def test_totals_are_summed_round_by_round() -> None:
    times = make_times()
    n = len(CELLS)
    assert times.total() == [2 * n + 18, n + 9, 3 * n + 27]
    assert times.total(["fog"], [1, 3]) == [4, 2, 6]
    assert times.slowest == CELLS[-1]


def test_lines_are_scaled_to_ten_thousand_images() -> None:
    lines = list(make_times().lines())
    assert len(lines) == 1 + len(CORRUPTIONS) + 3
    fog = next(line for line in lines if line.startswith("fog "))
    assert fog.split() == ["fog", *["400.00"] * 6]  # 2 s for 5,000 images
    assert f"10,000 images, scaled from 5,000: {2 * (2 * len(CELLS) + 18):.2f} s (n = 3 rounds)" in lines[-3]
    assert lines[-1].endswith(f"slowest: {CELLS[-1][0]} at severity 5, 40.00 s")


def test_patterned_images_have_like_neighbours_and_many_levels() -> None:
    images = patterned_images(20, 32)
    assert (images.dtype, images.shape) == (torch.uint8, (20, 3, 32, 32))
    x = images.double()
    assert float((x[..., 1:] - x[..., :-1]).abs().mean()) < 0.3 * float(x.std())
    assert len(set(images.flatten().tolist())) > 250


def test_memory_grows_by_less_than_a_gigabyte() -> None:
    growth = peak_growth(patterned_images(1000, 32), [("gaussian_noise", 5), ("fog", 5)])
    assert growth is None or 0 <= growth < 1e9  # 0 where the process had freed as much before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--rounds", "1"], "rounds >= 2"), (["--images", "0"], "images >= 1"), (["--image-size", "0"], "image_size >= 1")],
)
def test_impossible_measurements_are_refused(arguments: list[str], message: str) -> None:
    from bsd_core.bench import main

    with pytest.raises(ConfigError, match=message):
        main(["--corruptions", "--device", "cpu", *arguments])


def test_the_command_prints_the_suite(capsys: pytest.CaptureFixture[str]) -> None:
    from bsd_core.bench import main

    threads = torch.get_num_threads()
    try:
        main(["--corruptions", "--device", "cpu", "--images", "2", "--image-size", "8", "--rounds", "2"])
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert "2 patterned images of 3x8x8" in printed
    assert f"whole suite, {len(CELLS)} cells, 10,000 images, scaled from 2:" in printed
