"""The released corruptions of CIFAR, where a user has them: `CIFAR-10-C/<name>.npy`, `CIFAR-100-C/<name>.npy` and `labels.npy`.

Each file is (5 N, 32, 32, 3) uint8 with severity s in rows (s - 1) N to s N - 1, N the number of test images (10,000); `labels.npy` repeats
the test labels five times. Files are mapped, not read; each is checked when it is first used. Nothing in them is ever unpickled.

No hash of the released files is known to us. A list of hashes in the folder (`MD5SUMS`, `SHA256SUMS`; lines "hash  name.npy") is binding
for every file that it names; `fingerprint` says for the record which bytes were used.

Source: Hendrycks & Dietterich, ICLR 2019.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bsd_core.data.images import Int64, Pixels, UInt8
from bsd_core.errors import ConfigError, DataError, MissingDataError, one_line, shown, unknown_name
from bsd_core.robustness.arguments import check_severity
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from bsd_core.robustness.names import EXTRA, MAIN

OFFICIAL_FOLDERS: Final = {"cifar10": "CIFAR-10-C", "cifar100": "CIFAR-100-C"}
_IMAGE_SHAPE: Final = (32, 32, 3)
_SUMS: Final = re.compile(r"(md5|sha1|sha256|sha512)sums?(\.txt)?", re.IGNORECASE)
_SUM_LINE: Final = re.compile(r"([0-9a-fA-F]{32,128}) [ *](\S.*)")
_N_SAMPLE: Final = 128  # images a severity that the check of the order looks at


def official_folder(dataset: str, data_dir: str | Path) -> Path:
    """Where the released files of a data set lie unless a folder is given: `<data_dir>/CIFAR-10-C`, `<data_dir>/CIFAR-100-C`.

    Raises:
        ConfigError: a data set of which none were released under that name.
    """
    if dataset not in OFFICIAL_FOLDERS:
        known = " and ".join(OFFICIAL_FOLDERS)
        raise ConfigError(f"Released corruptions are known of {known}, but the data set is {shown(dataset)}. Name their folder.")
    return Path(os.path.expanduser(data_dir)) / OFFICIAL_FOLDERS[dataset]


def check_folder(folder: str | Path) -> Path:
    """The folder as an absolute path; worth asking before a data set is loaded.

    Raises:
        MissingDataError: there is none.
    """
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    if not os.path.isdir(path):
        raise MissingDataError(
            f"No folder {str(path)!r} of released corruptions. Unpack CIFAR-10-C.tar or CIFAR-100-C.tar there, or give its folder."
        )
    return path


class OfficialCorruptions:
    """The released files of one folder, opened as they are asked for. Pickles as a path, labels and the sample of clean images.

    Attributes:
        folder: absolute.
        n_images: N, test images.
    """

    def __init__(self, folder: Path, n_images: int, sums: dict[str, str], algorithm: str, sample: tuple[Int64, UInt8] | None) -> None:
        self.folder, self.n_images = folder, n_images
        self._sums, self._algorithm, self._sample = sums, algorithm, sample
        self._files: dict[str, UInt8] = {}

    @classmethod
    def open(cls, folder: str | Path, targets: Int64, *, clean: Pixels | None = None) -> OfficialCorruptions:
        """Open a folder and check its labels.

        Args:
            folder: with `labels.npy` and a file a corruption.
            targets: (N,) int64, true labels of the data set's test images, in its order.
            clean: (N, 3, 32, 32) uint8, those images; with them the order of the corrupted images is checked, too.

        Raises:
            MissingDataError: no such folder, or no `labels.npy` in it.
            DataError: labels that are not `targets` five times over, another hash than the folder's list says, or an unreadable list.
        """
        folder = check_folder(folder)
        opened = cls(folder, len(targets), *_read_sums(folder), None if clean is None else _sample(clean, len(targets)))
        labels = opened._load("labels.npy", (len(SEVERITIES) * len(targets),), "integers")
        expected = np.tile(targets, len(SEVERITIES))
        wrong = np.flatnonzero(labels != expected)
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{folder / 'labels.npy'}: expected the {len(targets)} test labels of the data set five times over, but {len(wrong)} "
                f"differ (row {row} has {labels[row]}, not {expected[row]}). Use the files of this data set, and its test images in the "
                f"original order."
            )
        return opened

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions whose files are there, the main set first."""
        return tuple(name for name in (*MAIN, *EXTRA) if (self.folder / f"{name}.npy").is_file())

    def images(self, name: str, severity: int, rows: Int64 | slice | None = None) -> Tensor:
        """Corrupted test images, read from the file.

        Args:
            name: one of the 19 corruptions.
            severity: 1 to 5.
            rows: which of the N images, in which order: a slice or (n,) integers in [0, N); None: all.

        Returns:
            (n, 3, 32, 32) uint8 on the CPU.

        Raises:
            ConfigError: unknown name, severity outside 1 to 5.
            MissingDataError: no file of that corruption.
            DataError: a file of another shape, type, hash or order of images, checked once a file; or rows out of range.
        """
        if name not in (*MAIN, *EXTRA):
            raise unknown_name("corruption", name, (*MAIN, *EXTRA))
        severity = check_severity(severity)
        if name not in self._files:
            pixels = self._load(f"{name}.npy", (len(SEVERITIES) * self.n_images, *_IMAGE_SHAPE), "uint8")
            if self._sample is not None:
                _check_order(self.folder / f"{name}.npy", pixels, *self._sample, self.n_images)
            self._files[name] = pixels
        if rows is not None and not isinstance(rows, slice) and len(rows) and not 0 <= np.min(rows) <= np.max(rows) < self.n_images:
            raise DataError(f"Rows are of 0 to {self.n_images - 1}, the test images, but run from {np.min(rows)} to {np.max(rows)}.")
        block = self._files[name][(severity - 1) * self.n_images : severity * self.n_images]
        chosen = block[slice(None) if rows is None else rows].transpose(0, 3, 1, 2)
        return torch.from_numpy(np.array(chosen, order="C"))

    def fingerprint(self, name: str) -> str:
        """Hash of the bytes of a corruption's file (BLAKE2b, 8 bytes), for provenance; reads all of it.

        Raises:
            MissingDataError: no such file.
        """
        return _digest(self._path(f"{name}.npy"), hashlib.blake2b(digest_size=8))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # a mapped array would travel with all of its pixels

    def _path(self, file: str) -> Path:
        path = self.folder / file
        if not os.path.isfile(path):
            have = f"There are {', '.join(self.names)}." if self.names else "There are no files of corruptions."
            raise MissingDataError(f"No {file!r} in {str(self.folder)!r}. {have} Unpack the released archive there, or leave it out.")
        return path

    def _load(self, file: str, shape: tuple[int, ...], kind: Literal["integers", "uint8"]) -> npt.NDArray[Any]:
        """A mapped array of the folder whose shape, type and hash are right."""
        path = self._path(file)
        try:
            array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # .npy only; object arrays, which are pickles, are refused
        except (OSError, ValueError, EOFError, OverflowError) as error:
            raise DataError(f"{path}: not a readable .npy file of numbers ({one_line(error, limit=100)}). Unpack it again.") from error
        if array.shape != shape or not np.issubdtype(array.dtype, np.integer if kind == "integers" else np.uint8):
            raise DataError(
                f"{path}: expected {kind} of shape {shape}, 5 severities of {self.n_images} test images, but found "
                f"{array.dtype} {array.shape}. Use the released files of this data set."
            )
        if path.name in self._sums:
            self._check_hash(path)
        return array

    def _check_hash(self, path: Path) -> None:
        expected = self._sums[path.name]
        found = _digest(path, hashlib.new(self._algorithm, usedforsecurity=False))
        if found != expected:
            raise DataError(f"{path}: expected {self._algorithm} {expected}, but found {found}. Fetch and unpack the file again.")


def _read_sums(folder: Path) -> tuple[dict[str, str], str]:
    """({file name: hash}, algorithm) of the folder's list of hashes; ({}, "") where there is none. Of several, the longest hashes count."""
    lists = [(path, match[1].lower()) for path in sorted(folder.iterdir()) if (match := _SUMS.fullmatch(path.name))]
    if not lists:
        return {}, ""
    path, algorithm = max(lists, key=lambda pair: hashlib.new(pair[1], usedforsecurity=False).digest_size)
    n_digits = 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable list of hashes ({one_line(error, limit=100)}). Mend it, or remove it.") from error
    sums = {}
    for number, line in enumerate(lines, start=1):
        match = _SUM_LINE.fullmatch(line.rstrip())
        if match is not None and len(match[1]) == n_digits:
            sums[Path(match[2]).name] = match[1].lower()
        elif line.strip() and not line.startswith("#"):
            raise DataError(
                f"{path}, line {number}: expected {n_digits} hexadecimal digits, two spaces and a file name, but found {shown(line)}. "
                f"Mend the list, or remove it."
            )
    return sums, algorithm


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return str(digest.hexdigest())


def _sample(clean: Pixels, n_images: int) -> tuple[Int64, UInt8]:
    """Evenly spaced rows and their clean images in the layout of the files, (n, 32, 32, 3)."""
    height, width, channels = _IMAGE_SHAPE
    expected = (n_images, channels, height, width)
    if clean.shape != expected:
        raise DataError(f"Released corruptions are of images of shape {expected}, but the data set's test images are {clean.shape}.")
    n = min(n_images, _N_SAMPLE)
    rows = np.arange(n) * n_images // max(1, n)
    return rows, np.ascontiguousarray(clean[rows].transpose(0, 2, 3, 1))


def matched_share(corrupted: UInt8, clean: UInt8) -> float:
    """The share of corrupted images that resemble their own clean image more than any other: twice (n, H, W, C) -> fraction.

    Resemblance is the correlation of the values less each channel's mean, so brightness, tint and contrast play no part.
    """

    def standardised(images: UInt8) -> npt.NDArray[np.float32]:
        x = images.astype(np.float32)
        x = (x - x.mean((1, 2), keepdims=True)).reshape(len(x), -1)
        scaled: npt.NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)
        return scaled

    correlation = standardised(corrupted) @ standardised(clean).T
    own = np.diag(correlation)
    return float(((own >= correlation.max(1)) & (own > 0)).mean())  # a plain image resembles none


def _check_order(path: Path, pixels: UInt8, rows: Int64, clean: UInt8, n_images: int) -> None:
    """Whether rows of every severity show the test images of the same numbers, and severities change them as much as ours do."""
    sample = torch.from_numpy(clean.transpose(0, 3, 1, 2).copy())
    theirs, ours = [], []
    for severity in SEVERITIES:
        shown = pixels[(severity - 1) * n_images + rows]
        share = matched_share(shown, clean)
        if share < 0.5:
            raise DataError(
                f"{path}: expected the test images of the data set in their order, but at severity {severity} only {share:.0%} of "
                f"{len(rows)} images resemble the test image of the same number most. Use the released files, and the test images in the "
                f"original order."
            )
        own = corrupt(sample, path.stem, severity, seed=0, indices=torch.from_numpy(rows))
        theirs.append(np.abs(shown.astype(np.int16) - clean).mean())
        ours.append(float((own.int() - sample.int()).abs().double().mean()))
    if np.std(theirs) > 0 and np.corrcoef(theirs, ours)[0][1] < 0.5:
        raise DataError(
            f"{path}: expected severities 1 to 5 one after the other, but they change the images by "
            f"{', '.join(f'{change:.1f}' for change in theirs)} grey levels in the mean, ours by "
            f"{', '.join(f'{change:.1f}' for change in ours)}. Use the released files."
        )
