from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bsd_core.errors import DataError
from bsd_core.robustness.frost_textures import FrostTextures
from bsd_core.robustness.random_fields import RandomField
from tests._dummies import UInt8
from tests.bsd_core.robustness.readings.weather import resize


def make_pictures(*sizes: tuple[int, int]) -> list[UInt8]:
    """A picture of each size in which every pixel is another one: red counts rows, green columns, blue pictures."""
    pictures = []
    for number, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width]
        pictures.append(np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8))
    return pictures


def crops(textures: FrostTextures, n: int = 400, *, shape: tuple[int, int, int] = (3, 4, 6), scale: float = 1.0) -> UInt8:
    field = RandomField("test", "frost", indices=torch.arange(n))
    out: UInt8 = textures.crops(field, torch.empty((n, *shape), dtype=torch.uint8), scale).numpy()
    return out


def test_a_crop_is_a_part_of_one_picture_and_every_part_occurs() -> None:
    sizes = [(9, 20), (30, 9), (11, 12)]
    found = crops(FrostTextures(make_pictures(*sizes)), 6000)
    tops, lefts, numbers = found[:, 0, 0, 0], found[:, 1, 0, 0], found[:, 2, 0, 0]
    assert np.array_equal(found[:, 0], np.broadcast_to(tops[:, None, None] + np.arange(4)[:, None], found[:, 0].shape))
    assert np.array_equal(found[:, 1], np.broadcast_to(lefts[:, None, None] + np.arange(6), found[:, 1].shape))
    assert np.array_equal(found[:, 2], np.broadcast_to(numbers[:, None, None], found[:, 2].shape))
    for number, (height, width) in enumerate(sizes):
        chosen = numbers == number
        assert chosen.mean() == pytest.approx(1 / 3, abs=5 * np.sqrt(2 / 9 / 6000))
        # As in the reference, the last place of a crop is not used.
        places = (height - 4) * (width - 6)
        assert len(np.unique(tops[chosen].astype(int) * 256 + lefts[chosen])) == places
        assert (tops[chosen].max(), lefts[chosen].max()) == (height - 5, width - 7)


def test_a_picture_of_the_size_of_the_images_has_one_crop() -> None:
    (picture,) = make_pictures((4, 6))
    found = crops(FrostTextures([picture]), 5)
    assert np.array_equal(found, np.broadcast_to(picture.transpose(2, 0, 1), found.shape))


@pytest.mark.parametrize("shape", [(3, 4, 7), (3, 5, 6)])
def test_pictures_smaller_than_the_images_are_refused(shape: tuple[int, int, int]) -> None:
    textures = FrostTextures(make_pictures((40, 60), (8, 12)))
    with pytest.raises(
        DataError, match=rf"picture of frost has 4 x 6 pixels at scale 0\.5, but the images have {shape[1]} x {shape[2]}\. Use la"
    ):
        crops(textures, 2, shape=shape, scale=0.5)


@pytest.mark.parametrize("scale", [0.2, 0.3, 0.37, 1.0])
def test_pictures_are_resized_between_their_pixel_centres(scale: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (101, 150, 3), dtype=np.uint8)
    expected = resize(picture, scale)
    found = crops(FrostTextures([picture]), 1, shape=(3, *expected.shape[:2]), scale=scale)[0].transpose(1, 2, 0)
    assert expected.shape == (round(101 * scale), round(150 * scale), 3)
    # Halfway between two grey levels a last bit decides.
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.005


def test_a_scale_of_one_fifth_takes_every_fifth_pixel() -> None:
    (picture,) = make_pictures((25, 40))
    found = crops(FrostTextures([picture]), 1, shape=(3, 5, 8), scale=0.2)[0].transpose(1, 2, 0)
    assert np.array_equal(found, picture[2::5, 2::5])


def test_grey_images_have_grey_crops() -> None:
    picture = np.zeros((5, 7, 3), np.uint8)
    picture[:] = 200, 100, 50
    found = crops(FrostTextures([picture]), 2, shape=(1, 4, 6))
    assert np.array_equal(found, np.full((2, 1, 4, 6), round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)))


# ---------------------------------------------------------------- made by formula


def test_procedural_pictures_are_made_once_and_each_has_its_own_brightness() -> None:
    textures = FrostTextures.procedural()
    assert FrostTextures.procedural() is textures
    assert len(textures) == 5
    found = crops(textures, 50, shape=(3, 200, 200), scale=0.2).astype(float)
    means = np.sort(np.unique(found.mean((1, 2, 3)).round(6)))
    # Images of the full size leave one crop a picture: their blue-grey lies a little above the brightness of the green.
    assert means == pytest.approx([96, 140, 172, 194, 208], abs=4)
    assert found[:, 2].mean() > found[:, 1].mean() > found[:, 0].mean()


def test_procedural_pictures_are_rough_at_every_scale_like_a_photograph() -> None:
    found = crops(FrostTextures.procedural(), 300, shape=(1, 32, 32), scale=0.2)[:, 0].astype(float)
    found -= found.mean((1, 2), keepdims=True)

    def correlation(lag: int) -> float:
        rows = (found[:, lag:] * found[:, :-lag]).mean()
        columns = (found[:, :, lag:] * found[:, :, :-lag]).mean()
        return float((rows + columns) / 2 / found.var())

    correlations = [correlation(lag) for lag in (1, 2, 4, 8)]
    assert correlations == sorted(correlations, reverse=True)
    assert 0.6 < correlations[0] < 0.9
    assert 0.1 < correlations[3] < 0.4


def test_procedural_pictures_repeat_under_images_that_are_larger() -> None:
    found = crops(FrostTextures.procedural(), 2, shape=(3, 250, 210), scale=0.2)
    assert found.shape == (2, 3, 250, 210)
    assert np.array_equal(found[:, :, 200:], found[:, :, :50])


# ---------------------------------------------------------------- the user's own


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    pictures = make_pictures((8, 9), (10, 11), (12, 8))
    Image.fromarray(pictures[1]).save(tmp_path / "b.png")
    Image.fromarray(pictures[0]).save(tmp_path / "a.PNG")
    Image.fromarray(pictures[2]).save(tmp_path / "c.jpg", quality=95)
    (tmp_path / "licence.txt").write_text("mine")
    textures = FrostTextures.from_folder(tmp_path)
    assert len(textures) == 3
    assert np.array_equal(crops(textures, 50), crops(FrostTextures([*pictures[:2], np.asarray(Image.open(tmp_path / "c.jpg"))]), 50))


def test_a_grey_picture_is_read_as_colours(tmp_path: Path) -> None:
    Image.fromarray(np.full((6, 8), 77, np.uint8)).save(tmp_path / "grey.png")
    assert np.array_equal(crops(FrostTextures.from_folder(str(tmp_path)), 2), np.full((2, 3, 4, 6), 77))


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"No pictures \(\.png, \.jpg, \.jpeg\) in the frost folder '.*'\."):
        FrostTextures.from_folder(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read the frost folder '.*absent' \(No such file or directory\)\."):
        FrostTextures.from_folder(tmp_path / "absent")


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png: broken image \(cannot identify image file"):
        FrostTextures.from_folder(tmp_path)


@pytest.mark.parametrize("picture", [np.zeros((60, 60), np.uint8), np.zeros((60, 60, 4), np.uint8), np.zeros((60, 60, 3))])
def test_pictures_of_another_form_are_refused(picture: Any) -> None:
    with pytest.raises(ValueError, match=r"Expected pictures of frost as uint8 \(H, W, 3\), but got"):
        FrostTextures([picture])


def test_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one picture"):
        FrostTextures([])


@pytest.mark.parametrize(("names", "n_drawn"), [(range(1, 7), 5), (range(1, 6), 5), (range(2, 8), 6), ((1, 6), 2)])
def test_the_sixth_photograph_of_the_reference_is_never_drawn(tmp_path: Path, names: Any, n_drawn: int) -> None:
    for name in names:
        Image.new("RGB", (64, 64)).save(tmp_path / f"frost{name}.png")
    assert len(FrostTextures.from_folder(tmp_path)) == n_drawn
