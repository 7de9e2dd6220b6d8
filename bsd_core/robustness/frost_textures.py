"""Pictures of frost for the corruption of that name: made by formula, or the user's own.

The reference lays one of five photographs over an image. We ship no photographs, so by default the pictures are made here: see
`FrostTextures.procedural` for what agrees with the photographs and what does not.
"""

from __future__ import annotations

import functools
import hashlib
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from bsd_core.errors import DataError, one_line
from bsd_core.robustness.colour import LUMA
from bsd_core.robustness.random_fields import RandomField

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

_SUFFIXES: Final = (".png", ".jpg", ".jpeg")

# The procedural pictures. The numbers of the last two lines are tuned: see `FrostTextures.procedural`.
_SIDE: Final = 1000
_CRYSTAL_SLOPE: Final = 1.8  # amplitude ~ frequency**-slope
_NEEDLE_SLOPE: Final = 1.15
_NEEDLE_STRETCH: Final = 6.0
_LIGHT_SLOPE: Final = 1.3
_LIGHT: Final = 0.4  # spread of the uneven light, as a share of the needles'
_BRIGHTNESS: Final = (96.0, 140.0, 172.0, 194.0, 208.0)  # mean grey levels of the five
_SPREAD: Final = 33.5  # grey levels


class FrostTextures:
    """Pictures of which random crops are taken.

    Args:
        pictures: (H, W, 3) uint8, RGB, of any sizes.
        repeat: whether opposite borders fit together, so that a picture smaller than an image may be repeated.

    Raises:
        ValueError: no pictures, or pictures of another type or shape.
    """

    def __init__(self, pictures: Sequence[UInt8], *, repeat: bool = False) -> None:
        for picture in pictures:
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(f"Expected pictures of frost as uint8 (H, W, 3), but got {picture.dtype} {picture.shape}.")
        if not pictures:
            raise ValueError("Expected at least one picture of frost, but got none.")
        self._pictures = tuple(pictures)
        self._repeat = repeat
        self._resized: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def fingerprint(self) -> str:
        """Hash of the pictures' sizes and pixels."""
        digest = hashlib.blake2b(digest_size=8)
        for picture in self._pictures:
            digest.update(f"{picture.shape}".encode())
            digest.update(np.ascontiguousarray(picture).data)
        return digest.hexdigest()

    @staticmethod
    @functools.cache
    def procedural() -> FrostTextures:
        """Five pictures of 1000 x 1000 pixels, always the same: needles of ice in crystals of several directions, under uneven light.

        Brightness and spread are tuned on the 200 photographs of CIFAR-10 for which the reference's numbers are known: mean, spread, mean
        size and share of changed values of its frost agree within three standard errors at every severity, and the spread of the mean
        between images, which tells how much of the variance lies at low frequencies, within 15 % (ours is the wider one).

        Not known, so not matched: the correlation of neighbouring pixels (ours fall off like a natural photograph's, amplitude about
        1 / frequency; 0.8 between neighbours at a scale of 0.2), the colours (ours are a bluish grey) and the shapes. No picture is the
        counterpart of one photograph. At 64 and 224 pixels nothing has been compared.
        """
        return FrostTextures([_procedural_picture(k, brightness) for k, brightness in enumerate(_BRIGHTNESS)], repeat=True)

    @staticmethod
    def from_folder(folder: str | Path) -> FrostTextures:
        """The PNG and JPEG files of a folder, in the order of their names.

        They are resized as OpenCV does it, so with the five photographs that the reference draws from, frost is the reference's but for
        the random numbers. The reference never draws its sixth: in a folder of frost1 to frost6 and nothing else, frost6 is left out.

        Raises:
            DataError: no such folder, no pictures in it, or one that cannot be read.
        """
        folder = Path(folder)
        try:
            paths = _drawn_by_the_reference(sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES))
        except OSError as error:
            raise DataError(f"Cannot read the frost folder {str(folder)!r} ({error.strerror or type(error).__name__}).") from error
        if not paths:
            raise DataError(f"No pictures ({', '.join(_SUFFIXES)}) in the frost folder {str(folder)!r}.")
        return FrostTextures([_read_picture(path) for path in paths])

    def crops(self, field: RandomField, images: Tensor, scale: float) -> Tensor:
        """A random crop of a random picture for each image.

        Args:
            field: of the images; three of its uniform numbers are used.
            images: (N, C, H, W), for their shape and device; C = 1 gives grey crops.
            scale: pictures are resized to this share of their size first.

        Returns:
            (N, C, H, W) uint8.

        Raises:
            DataError: a picture is smaller than the images.
        """
        channels, height, width = images.shape[1:]
        pictures, room = self._stack(scale, channels, height, width, images.device)
        uniform = field.uniform(3).to(torch.float64)  # float32 might round up to the next integer
        which = (uniform[:, 0] * len(self)).long()
        corner = (uniform[:, 1:] * room[which]).long()
        windows = pictures.unfold(2, height, 1).unfold(3, width, 1)
        return windows[which, :, corner[:, 0], corner[:, 1]]

    def _stack(self, scale: float, channels: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(K, C, H', W') uint8, the pictures in one corner of each plane, and (K, 2), how many rows and columns a crop may start at."""
        key = scale, channels, height, width, device
        if key not in self._resized:
            pictures = [_resize(picture, scale) for picture in self._pictures]
            if channels == 1:
                pictures = [np.rint(picture @ np.array(LUMA)).astype(np.uint8)[:, :, None] for picture in pictures]
            if self._repeat:
                pictures = [np.tile(picture, (-(-height // len(picture)), -(-width // picture.shape[1]), 1)) for picture in pictures]
            sizes = np.array([picture.shape[:2] for picture in pictures])
            smallest = sizes.min(0)
            if smallest[0] < height or smallest[1] < width:
                raise DataError(
                    f"A picture of frost has {smallest[0]} x {smallest[1]} pixels at scale {scale:g}, but the images have "
                    f"{height} x {width}. Use larger pictures."
                )
            stack = np.zeros((len(sizes), channels, *sizes.max(0)), np.uint8)
            for plane, picture in zip(stack, pictures, strict=True):
                plane[:, : picture.shape[0], : picture.shape[1]] = picture.transpose(2, 0, 1)
            # The last place is never used, as in the reference, unless it is the only one.
            room = np.maximum(sizes - (height, width), 1)
            self._resized[key] = torch.from_numpy(stack).to(device), torch.from_numpy(room).to(device)
        return self._resized[key]


def _drawn_by_the_reference(paths: list[Path]) -> list[Path]:
    """Without its frost6, where a folder holds the reference's six photographs and nothing else."""
    stems = [path.stem for path in paths]
    return paths[:5] if stems == [f"frost{k}" for k in range(1, 7)] else paths


def _read_picture(path: Path) -> UInt8:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF tags and palettes
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                return np.asarray(file.convert("RGB"))
    except Exception as error:
        raise DataError(f"{path}: broken image ({one_line(error, limit=120)}).") from error


def _resize(picture: UInt8, scale: float) -> UInt8:
    """(H, W, 3) uint8 to round(scale * H) x round(scale * W), bilinear without antialiasing, as OpenCV's `resize` (within 1)."""

    def taps(size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        position = np.clip((np.arange(max(1, round(scale * size))) + 0.5) / scale - 0.5, 0, size - 1)
        low = np.floor(position).astype(np.int64)
        return low, np.minimum(low + 1, size - 1), position - low

    if scale == 1:
        return picture
    top, bottom, down = taps(picture.shape[0])
    left, right, across = taps(picture.shape[1])
    rows = picture[top] * (1 - down[:, None, None]) + picture[bottom] * down[:, None, None]
    out: UInt8 = np.rint(rows[:, left] * (1 - across[:, None]) + rows[:, right] * across[:, None]).astype(np.uint8)
    return out


def _procedural_picture(number: int, brightness: float) -> UInt8:
    """(_SIDE, _SIDE, 3) uint8."""
    rng = np.random.default_rng(number)
    y = np.fft.fftfreq(_SIDE).astype(np.float32)[:, None]
    x = np.fft.rfftfreq(_SIDE).astype(np.float32)[None, :]

    def noise(slope: float, angle: float = 0.0, stretch: float = 1.0) -> Float32:
        """Gaussian noise, mean 0 and spread 1, amplitude ~ frequency**-slope, drawn out along `angle` (radians)."""
        along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        squared = (stretch * along) ** 2 + across**2
        squared[0, 0] = np.inf
        spectrum = rng.standard_normal((_SIDE, 2 * x.size), dtype=np.float32).view(np.complex64)
        field: Float32 = np.fft.irfft2(spectrum * squared ** (-slope / 2), s=(_SIDE, _SIDE)).astype(np.float32)
        field /= field.std()
        return field

    # Three crystals meet where two smooth fields are 0; each has its own direction of needles.
    first, second = noise(_CRYSTAL_SLOPE), noise(_CRYSTAL_SLOPE)
    crystals = np.argmax([first, -0.5 * first + 0.9 * second, -0.5 * first - 0.9 * second], axis=0)
    angles = rng.uniform(0, math.pi) + math.pi / 3 * np.arange(3)
    needles = np.choose(crystals, [noise(_NEEDLE_SLOPE, angle, _NEEDLE_STRETCH) for angle in angles])
    light = _LIGHT * noise(_LIGHT_SLOPE) + needles
    grey = brightness + _SPREAD / light.std() * (light - light.mean())
    # The darker, the bluer: shadows on ice are lit by the sky.
    tint = (255 - grey)[:, :, None] * np.array([-0.08, 0.0, 0.10], np.float32)
    out: UInt8 = np.rint(np.clip(grey[:, :, None] + tint, 8, 255)).astype(np.uint8)
    return out
