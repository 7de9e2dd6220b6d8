from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bsd_core.data.sources import load_source
from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.perturbations import PERTURBATIONS, frames, n_frames
from studies import gallery as module
from studies.gallery import Gallery, collect_gallery, draw_gallery, shown_frames, write_gallery
from tests._dummies import UInt8, make_images
from tests.studies._command_line import main as run_command

Screen = pytest.CaptureFixture[str]


def channels_last(images: torch.Tensor) -> UInt8:
    pixels: UInt8 = images[0].permute(1, 2, 0).numpy()
    return pixels


def make_gallery(channels: int = 3, height: int = 8, width: int = 8) -> Gallery:
    """Two corruptions at two severities, one sequence."""
    pictures = [image.transpose(1, 2, 0) for image in make_images(8, channels, height, width)]
    corruptions = {"fog": pictures[1:3], "a_name_with_$_in_it": pictures[3:5]}
    return Gallery("a caption", pictures[0], (1, 5), corruptions, {"tilt": ([0, 3, 6], pictures[5:8])})


# --- computing


def test_everything_is_collected_and_keyed_by_seed_and_index() -> None:
    image = make_images(1)[0]
    found = collect_gallery(image, caption="x", index=7, seed=3, severities=(2, 5))
    batch, indices = torch.from_numpy(image)[None], torch.tensor([7])
    assert tuple(found.corruptions) == CORRUPTIONS
    assert tuple(found.perturbations) == tuple(PERTURBATIONS)
    np.testing.assert_array_equal(found.clean, image.transpose(1, 2, 0))
    for name in ("gaussian_noise", "fog", "contrast"):
        for shown, severity in zip(found.corruptions[name], (2, 5), strict=True):
            np.testing.assert_array_equal(shown, channels_last(corrupt(batch, name, severity, seed=3, indices=indices)))
    for name, (numbers, shown_images) in found.perturbations.items():
        assert numbers == shown_frames(n_frames(name))
        sequence = list(frames(batch, name, seed=3, indices=indices))
        for number, shown in zip(numbers, shown_images, strict=True):
            np.testing.assert_array_equal(shown, channels_last(sequence[number]))


@pytest.mark.parametrize(
    ("n", "first", "last", "count"), [(31, [0, 3, 6], 30, 11), (21, [0, 2, 4], 20, 11), (16, [0, 2, 4], 14, 8), (5, [0, 1, 2], 4, 5)]
)
def test_long_sequences_are_thinned_evenly(n: int, first: list[int], last: int, count: int) -> None:
    numbers = shown_frames(n)
    assert (numbers[:3], numbers[-1], len(numbers)) == (first, last, count)


# --- drawing


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_drawn_as_they_are(channels: int) -> None:
    gallery = make_gallery(channels)
    axis = draw_gallery(gallery).axes[0]
    assert len(axis.images) == 1 + 2 * 2 + 3
    assert {image.get_interpolation() for image in axis.images} == {"nearest"}
    drawn = np.asarray(axis.images[0].get_array())
    np.testing.assert_array_equal(drawn, gallery.clean[..., 0] if channels == 1 else gallery.clean)
    if channels == 1:
        assert {image.get_clim() for image in axis.images} == {(0, 255)}  # black is 0 and white 255 whatever the image holds
        assert {image.get_cmap().name for image in axis.images} == {"gray"}


def test_names_severities_and_the_caption_are_written() -> None:
    texts = [text.get_text() for text in draw_gallery(make_gallery()).axes[0].texts]
    assert texts == [
        "a caption",
        *("severity", "1", "5", "fog"),
        *("severity", "1", "5", "a_name_with_$_in_it"),
        *("sequences", "tilt\nframes 0 to 6"),
    ]


def test_images_neither_overlap_nor_leave_the_figure() -> None:
    axis = draw_gallery(make_gallery(height=8, width=12)).axes[0]
    boxes = [image.get_extent() for image in axis.images]  # left, right, bottom, top; the y axis points down
    for left, right, bottom, top in boxes:
        assert axis.get_xlim()[0] <= left < right <= axis.get_xlim()[1]
        assert axis.get_ylim()[1] <= top < bottom <= axis.get_ylim()[0]
        assert (right - left) / (bottom - top) == pytest.approx(12 / 8)
    apart = [
        one[1] <= other[0] or other[1] <= one[0] or one[2] <= other[3] or other[2] <= one[3]
        for one in boxes
        for other in boxes
        if one != other
    ]
    assert len(apart) == 8 * 7
    assert all(apart)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_gallery_gives_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for path in paths:
        write_gallery(draw_gallery(make_gallery()), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert len(first) > 1000


# --- the command


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return run_command(monkeypatch, "gallery", *arguments)


def test_the_command_draws_a_training_image_of_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    drawn: list[Gallery] = []

    def draw(gallery: Gallery) -> object:
        drawn.append(gallery)
        return draw_gallery(gallery)

    monkeypatch.setattr(module, "draw_gallery", draw)
    out = tmp_path / "new" / "gallery.png"
    assert main(monkeypatch, "--dataset", "digits", "--out", str(out), "--index", "5", "--severities", "1,5") == 0
    train = load_source("digits").train
    np.testing.assert_array_equal(drawn[0].clean[..., 0], train.images[5][0])
    assert drawn[0].caption == f"digits, training image 5 ({train.targets[5]}), seed 0"
    assert {len(images) for images in drawn[0].corruptions.values()} == {2}
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith(f"{len(CORRUPTIONS)} corruptions and {len(PERTURBATIONS)} sequences of digits, training image 5")
    with Image.open(out) as picture:
        assert picture.size[0] > 800


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "gallery.gif"], "ends in .png, .svg, .pdf, but got 'gallery.gif'"),
        (["--out", "gallery"], "ends in .png, .svg, .pdf"),
        (["--out", "/proc/none/gallery.png"], "Cannot write '/proc/none/gallery.png'"),
        (["--index", "-1"], "`index >= 0` must hold"),
        (["--index", "1438"], "digits has 1438 training images, numbered from 0, but got index 1438."),
        (["--severities", "1,6"], "severity is 1, 2, 3, 4 or 5"),
        (["--severities", "1,1"], "severities are named once"),
        (["--severities", "all"], "numbers from 1 to 5 separated by commas, but got 'all'"),
        (["--dataset", "digit"], "Unknown data set 'digit'."),
    ],
)
def test_the_command_refuses_before_it_computes(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    def computed(*args: object, **kwargs: object) -> None:
        raise AssertionError("Something was computed.")

    monkeypatch.setattr(module, "collect_gallery", computed)
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, *(["--out", "gallery.png"] if "--out" not in options else []), *options) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
    assert message in errors
    assert list(tmp_path.iterdir()) == []
