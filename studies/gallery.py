"""One training image under every corruption and perturbation: `python -m studies gallery`."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.text import Text

from bsd_core.data.images import UInt8
from bsd_core.data.sources import load_source
from bsd_core.errors import ConfigError, require
from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from bsd_core.robustness.perturbations import PERTURBATIONS, frames, n_frames
from studies.output_file import check_output
from studies.run_folder import write_atomically

SUFFIXES: Final = (".png", ".svg", ".pdf")
_FRAMES_SHOWN: Final = 11  # at most, of a sequence
_CELL: Final = 0.62  # side of an image, inches
_GAP: Final = 0.08  # between images, in sides
_LABEL: Final = 2.1  # width of a name, in sides
_BETWEEN: Final = 0.8  # corruptions and sequences, in sides
_COLUMNS: Final = 2  # of corruptions


@dataclass(frozen=True)
class Gallery:
    """What is drawn: images are (H, W, C) uint8.

    Attributes:
        caption: which image this is.
        clean: the image itself.
        severities: of the images of `corruptions`, in order.
        corruptions: by name, an image a severity.
        perturbations: by name, the numbers of the frames that are shown, and those frames.
    """

    caption: str
    clean: UInt8
    severities: tuple[int, ...]
    corruptions: Mapping[str, list[UInt8]]
    perturbations: Mapping[str, tuple[list[int], list[UInt8]]]


def collect_gallery(image: UInt8, *, caption: str, index: int, seed: int, severities: Sequence[int] = SEVERITIES) -> Gallery:
    """Corrupt and perturb one image.

    Args:
        image: (C, H, W) uint8.
        caption: of the drawing.
        index: of the image in its split; with `seed` it decides every random number.
        seed: of the corruptions.
        severities: of 1 to 5.
    """
    batch, indices = torch.from_numpy(image)[None], torch.tensor([index])

    def shown(images: torch.Tensor) -> UInt8:
        pixels: UInt8 = images[0].permute(1, 2, 0).numpy()
        return pixels

    corruptions = {
        name: [shown(corrupt(batch, name, severity, seed=seed, indices=indices)) for severity in severities] for name in CORRUPTIONS
    }
    perturbations = {}
    for name in PERTURBATIONS:
        numbers = shown_frames(n_frames(name))
        sequence = [shown(frame) for number, frame in enumerate(frames(batch, name, seed=seed, indices=indices)) if number in numbers]
        perturbations[name] = (numbers, sequence)
    return Gallery(caption, shown(batch), tuple(severities), corruptions, perturbations)


def shown_frames(n: int) -> list[int]:
    """Evenly spaced frames, the first among them: every second of 16 or 21, every third of 31."""
    return list(range(0, n, math.ceil(n / _FRAMES_SHOWN)))


def draw_gallery(gallery: Gallery) -> Any:
    """Corruptions in columns, a row each; below them the sequences, a row each.

    Returns:
        A matplotlib Figure.
    """
    from matplotlib.figure import Figure

    n_rows = math.ceil(len(gallery.corruptions) / _COLUMNS)
    n_frames_wide = max((len(images) for _, images in gallery.perturbations.values()), default=0)
    block = _LABEL + len(gallery.severities) * (1 + _GAP) + 0.4
    width = max(_COLUMNS * block, _LABEL + n_frames_wide * (1 + _GAP))
    rows = n_rows + len(gallery.perturbations)
    top = 2.0
    height = top + rows * (1 + _GAP) + (_BETWEEN if gallery.perturbations else 0) + 0.15
    figure = Figure(figsize=(_CELL * width, _CELL * height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(-0.15, width)
    axis.set_ylim(height, 0)  # sides of an image from the top left corner
    axis.set_axis_off()
    _draw_image(axis, gallery.clean, 0, 0.2)
    axis.text(1.3, 0.7, textwrap.fill(gallery.caption, int(5 * width)), fontsize=11, va="center", parse_math=False)
    for position, (name, images) in enumerate(gallery.corruptions.items()):
        column, row = divmod(position, n_rows)
        left = column * block
        if row == 0:
            _draw_heading(axis, left, top, "severity", [str(severity) for severity in gallery.severities])
        _draw_row(axis, left, top + row * (1 + _GAP), name, images)
    top += n_rows * (1 + _GAP) + _BETWEEN
    for row, (name, (numbers, images)) in enumerate(gallery.perturbations.items()):
        if row == 0:
            axis.text(0, top - 0.25, "sequences", fontsize=9, weight="bold", va="center")
        _draw_row(axis, 0, top + row * (1 + _GAP), f"{name}\nframes {numbers[0]} to {numbers[-1]}", images)
    return figure


def _draw_heading(axis: Any, left: float, top: float, title: str, labels: list[str]) -> None:
    axis.text(left, top - 0.25, title, fontsize=9, va="center", weight="bold")
    for position, label in enumerate(labels):
        axis.text(left + _LABEL + position * (1 + _GAP) + 0.5, top - 0.25, label, fontsize=9, ha="center", va="center", weight="bold")


def _draw_row(axis: Any, left: float, top: float, name: str, images: list[UInt8]) -> None:
    axis.text(left, top + 0.5, name, fontsize=7.5, va="center", parse_math=False)
    for position, image in enumerate(images):
        _draw_image(axis, image, left + _LABEL + position * (1 + _GAP), top)


def _draw_image(axis: Any, image: UInt8, left: float, top: float) -> None:
    """A grey image has one channel; the longer side fills the cell."""
    height, width = (side / max(image.shape[:2]) for side in image.shape[:2])
    pixels = image[..., 0] if image.shape[2] == 1 else image
    extent = (left, left + width, top + height, top)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=extent, aspect="auto")


def write_gallery(figure: Any, path: Path) -> None:
    """Write the figure in the format of the suffix; the same figure gives the same bytes.

    Raises:
        StorageError: it cannot be written.
    """
    import matplotlib as mpl

    kind = path.suffix.lower()[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    sink = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "gallery", "svg.fonttype": "none"}):
        figure.savefig(sink, format=kind, dpi=150, metadata=undated.get(kind))
    write_atomically(path, sink.getvalue())


def gallery(console: Console, *, dataset: str, out: str, data_dir: str, index: int, seed: int, severities: Sequence[int]) -> None:
    """Draw a training image and say where.

    Args:
        console: where to print.
        dataset: any source.
        out: a .png, .svg or .pdf file to write.
        data_dir: where data sets lie.
        index: row of the training set.
        seed: of the corruptions.
        severities: of 1 to 5, each at most once.

    Raises:
        BSDError: anything of this is not there or not as it should be.
    """
    for severity in severities:
        require(severity in SEVERITIES, "severity is 1, 2, 3, 4 or 5", severity=severity)
    require(len(severities) > 0 and len(set(severities)) == len(severities), "severities are named once", severities=list(severities))
    path = check_output(out, SUFFIXES)
    require(index >= 0, "index >= 0", index=index)
    source = load_source(dataset, data_dir=data_dir)
    if index >= len(source.train):
        raise ConfigError(f"{dataset} has {len(source.train)} training images, numbered from 0, but got index {index}.")
    label = int(source.train.targets[index])
    name = source.class_names[label] if source.class_names else f"class {label}"
    caption = f"{dataset}, training image {index} ({name}), seed {seed}"
    collected = collect_gallery(source.train.images[index], caption=caption, index=index, seed=seed, severities=severities)
    write_gallery(draw_gallery(collected), path)
    console.print(
        Text(f"{len(collected.corruptions)} corruptions and {len(collected.perturbations)} sequences of {caption}"), soft_wrap=True
    )
    console.print(Text(f"written: {path}"), soft_wrap=True)
