"""How far our corruptions are from the released ones: `python -m studies compare-corruptions`.

Both corrupt the same clean test images. What has no randomness is compared value by value; what has, by three numbers an image, paired by
image: the mean and the standard deviation of (corrupted - clean) over its values, and the share of values that changed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from bsd_core.data.sources import load_source
from bsd_core.errors import ConfigError, MissingDataError, shown, unknown_name
from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from bsd_core.robustness.official import OfficialCorruptions, check_folder, official_folder
from studies.output_file import check_output
from studies.run_folder import write_atomically

DETERMINISTIC: Final = frozenset(
    {"brightness", "contrast", "defocus_blur", "gaussian_blur", "jpeg_compression", "pixelate", "saturate", "zoom_blur"}
)
_AT_ONCE: Final = 1000  # images: 3 MB of each kind
_SUFFIXES: Final = (".csv", ".parquet")


@dataclass(frozen=True)
class Pair:
    """A statistic, mean over images, of our images and of the released ones.

    Attributes:
        standard_errors: (ours - theirs) / standard error of that difference, images paired; 0 where both are equal for every image,
            infinite where they differ by the same for every image.
    """

    ours: float
    theirs: float
    standard_errors: float

    @classmethod
    def of(cls, ours: Tensor, theirs: Tensor) -> Pair:
        """From (n,) floats each, one an image, n >= 2."""
        difference = ours - theirs
        mean, error = float(difference.mean()), float(difference.std()) / math.sqrt(len(difference))
        if error == 0:
            return cls(float(ours.mean()), float(theirs.mean()), math.copysign(math.inf, mean) if mean else 0.0)
        return cls(float(ours.mean()), float(theirs.mean()), mean / error)


@dataclass(frozen=True)
class Comparison:
    """One corruption at one severity.

    Attributes:
        n: images.
        largest: difference between our value and the released one, in grey levels.
        differing, beyond_one: share of values that differ at all, and by more than one grey level.
        mean, spread: of (corrupted - clean) over an image's values, in grey levels.
        changed: share of an image's values that the corruption changed.
    """

    name: str
    severity: int
    n: int
    largest: int
    differing: float
    beyond_one: float
    mean: Pair
    spread: Pair
    changed: Pair

    @property
    def random(self) -> bool:
        """Whether the corruption draws random numbers, so that only its distribution can agree."""
        return self.name not in DETERMINISTIC


def compare(clean: Tensor, official: OfficialCorruptions, rows: Tensor, name: str, severity: int, *, seed: int) -> Comparison:
    """Compare on some test images.

    Args:
        clean: (n, 3, 32, 32) uint8.
        official: the released files.
        rows: (n,) int64, which test images `clean` are, n >= 2; our random numbers are keyed by them.
        name: of `CORRUPTIONS`, with a file of its own.
        severity: 1 to 5.
        seed: of our random numbers.
    """
    largest = differing = beyond_one = 0
    statistics: list[Tensor] = []  # each (2, 3, images of the chunk): ours and theirs, three numbers an image
    for images, some in zip(torch.split(clean, _AT_ONCE), torch.split(rows, _AT_ONCE), strict=True):
        ours = corrupt(images, name, severity, seed=seed, indices=some)
        theirs = official.images(name, severity, some.numpy())
        gap = (ours.to(torch.int16) - theirs).abs_()
        largest = max(largest, int(gap.max()))
        differing += int((gap > 0).sum())
        beyond_one += int((gap > 1).sum())
        statistics.append(torch.stack([_statistics(images, ours), _statistics(images, theirs)]))
    pairs = [Pair.of(ours, theirs) for ours, theirs in torch.cat(statistics, dim=2).unbind(1)]
    return Comparison(name, severity, len(clean), largest, differing / clean.numel(), beyond_one / clean.numel(), *pairs)


def _statistics(clean: Tensor, corrupted: Tensor) -> Tensor:
    """(3, N) float64: mean and standard deviation of the difference, and the share of values that changed, of each image."""
    difference = (corrupted.to(torch.int16) - clean).flatten(1)
    variance, mean = torch.var_mean(difference.float(), 1, correction=0)
    return torch.stack([mean, variance.sqrt(), (difference != 0).float().mean(1)]).double()


# ---------------------------------------------------------------- shown and written


def as_table(comparisons: Iterable[Comparison]) -> RenderableType:
    """Two tables of at most 80 columns: what has no randomness, then what has."""
    exact = Table(box=None, padding=(0, 2, 0, 0), title="without randomness: value by value", title_justify="left", title_style="")
    for title in ("corruption", "severity", "largest", "differ %", "by 2 or more %"):
        exact.add_column(title, justify="left" if title == "corruption" else "right", no_wrap=True)
    random = Table(box=None, padding=(0, 1, 0, 0), title="random: mean over images of an image's ...", title_justify="left", title_style="")
    random.add_column("\ncorruption", no_wrap=True)
    for title in ("\nsev", "mean\nours", "\ntheirs", "\nSE", "spread\nours", "\ntheirs", "\nSE", "change%\nours", "\ntheirs", "\nSE"):
        random.add_column(title, justify="right", no_wrap=True)
    for row in comparisons:
        key = [row.name, str(row.severity)]
        if row.random:
            random.add_row(*key, *_cells(row.mean, 1, 2), *_cells(row.spread, 1, 2), *_cells(row.changed, 100, 1))
        else:
            exact.add_row(*key, str(row.largest), f"{100 * row.differing:.3f}", f"{100 * row.beyond_one:.3f}")
    note = Text("spread: standard deviation of (corrupted - clean); both in grey levels. SE: (ours - theirs) in standard errors, paired.")
    parts: list[RenderableType] = [exact] if exact.row_count else []
    if random.row_count:
        parts += [Text(), random, note] if parts else [random, note]
    return Group(*parts)


def _cells(pair: Pair, scale: float, digits: int) -> list[str]:
    errors = "far" if abs(pair.standard_errors) >= 100 else f"{pair.standard_errors:.1f}"
    return [f"{scale * pair.ours:.{digits}f}", f"{scale * pair.theirs:.{digits}f}", errors]


def as_arrow(comparisons: Sequence[Comparison]) -> pa.Table:
    """A row a comparison; the three pairs spread out into mean_ours, mean_theirs, mean_standard_errors, spread_ours, ..."""
    rows = []
    for comparison in comparisons:
        row: dict[str, Any] = {}
        for field in fields(comparison):
            value = getattr(comparison, field.name)
            row |= (
                {f"{field.name}_{part}": each for part, each in asdict(value).items()} if isinstance(value, Pair) else {field.name: value}
            )
        rows.append({**row, "random": comparison.random})
    return pa.Table.from_pylist(rows)


def write_comparisons(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write `as_arrow` as CSV or Parquet, by the suffix.

    Raises:
        StorageError: it cannot be written.
    """
    sink = io.BytesIO()
    if path.suffix.lower() == ".csv":
        pyarrow.csv.write_csv(as_arrow(comparisons), sink)
    else:
        pyarrow.parquet.write_table(as_arrow(comparisons), sink)
    write_atomically(path, sink.getvalue())


# ---------------------------------------------------------------- the command


def comparisons(clean: Tensor, official: OfficialCorruptions, rows: Tensor, names: Iterable[str], *, seed: int) -> Iterator[Comparison]:
    """Every severity of every name; see `compare`."""
    for name in names:
        for severity in SEVERITIES:
            yield compare(clean, official, rows, name, severity, seed=seed)


def compare_corruptions(
    console: Console,
    *,
    dataset: str,
    data_dir: str,
    folder: str | None,
    n_images: int | None,
    seed: int,
    names: Sequence[str],
    out: str | None,
) -> None:
    """Compare, print, and write if asked to.

    Args:
        console: where to print.
        dataset: `cifar10`, `cifar100`, or another source of their test images in the original order.
        data_dir: where data sets lie.
        folder: of the released files; None: beside the data set.
        n_images: evenly spaced test images; None: all.
        seed: of our random numbers.
        names: of corruptions; empty: all that we make and the folder has.
        out: a .csv or .parquet file to write, or None.

    Raises:
        BSDError: anything of this is not there or not as it should be.
    """
    for name in names:
        if name not in CORRUPTIONS:
            raise unknown_name("corruption", name, CORRUPTIONS)
    if n_images is not None and n_images < 2:
        raise ConfigError(f"A comparison needs at least 2 images, but got {n_images}.")
    path = None if out is None else check_output(out, _SUFFIXES)
    place = check_folder(official_folder(dataset, data_dir) if folder is None else folder)
    test = load_source(dataset, data_dir=data_dir).test
    if n_images is not None and n_images > len(test):
        raise ConfigError(f"The data set has {len(test)} test images, but got {n_images}.")
    official = OfficialCorruptions.open(place, test.targets, clean=test.images)
    chosen = names or [name for name in official.names if name in CORRUPTIONS]
    if not chosen:
        raise MissingDataError(f"No file of a corruption in {shown(place)}, e.g. fog.npy. Unpack the released archive there.")
    n = len(test) if n_images is None else n_images
    rows = torch.arange(n) * len(test) // n
    clean = torch.from_numpy(test.images[rows.numpy()])
    found = []
    with console.status("comparing") as status:
        for row in comparisons(clean, official, rows, chosen, seed=seed):
            status.update(f"comparing: {row.name}, severity {row.severity}")
            found.append(row)
    console.print(Text(f"ours against {place}, {n} of {len(test)} test images of {dataset}, seed {seed}\n"), soft_wrap=True)
    console.print(as_table(found))
    if path is not None:
        write_comparisons(found, path)
        console.print(Text(f"\nwritten: {path}"), soft_wrap=True)
