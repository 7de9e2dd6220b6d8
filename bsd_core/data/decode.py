"""Large images, once: decoded and cropped by worker processes into one file, which every later load only maps.

Nothing here imports torch: a worker is an interpreter, NumPy, Pillow and one photograph. Memory therefore does not grow with the pixels of
a data set, only, by some 300 bytes a file, with its list of names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import threading
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from PIL import Image

from bsd_core.data.images import ImageSet, Int64, MappedImages, UInt8, UInt64
from bsd_core.errors import DataError, MissingDataError, StorageError, one_line

_CHUNK: Final = 64  # images of one message to a worker
_AHEAD: Final = 3  # chunks a worker that are handed out at a time: none waits, and few are left to wait for when one fails
_FORMAT: Final = 1  # of the cache; another number makes every cache anew


@dataclass(frozen=True)
class ImageFiles:
    """Image files and their labels, in the order of the data set.

    Attributes:
        root: folder of all names.
        names: N paths relative to `root`.
        targets: (N,) int64.
    """

    root: Path
    names: list[str]
    targets: Int64

    def __len__(self) -> int:
        return len(self.names)


def decode_folder(files: ImageFiles, *, n_classes: int, image_size: int, cache_dir: Path, n_workers: int | None = None) -> ImageSet:
    """The images of `files` as one mapped file, made now unless it is there already.

    The cache is <cache_dir>/<key>.npy, (N, 3, H, W) uint8, and <key>.npz with `targets` and `digests` (a hash of each image). The key is a
    hash of names, labels, sizes, times of change, and the image size. The file takes its name when it is whole; what a killed process
    leaves ends in .partial. All of it can be deleted at any time.

    Args:
        files: what to decode.
        n_classes: K.
        image_size: H and W in pixels; see `load_image`.
        cache_dir: made where missing.
        n_workers: processes; as many as there are cores where None. A handful of images is decoded in this process.

    Raises:
        MissingDataError: a listed file is not there.
        DataError: a broken image; the message names it.
        StorageError: the cache cannot be written.
    """
    path = cache_dir / f"{_cache_key(files, image_size)}.npy"
    if not (path.is_file() and path.with_suffix(".npz").is_file()):
        try:
            _write_cache(path, files, image_size, n_workers or _usable_cores())
        except BrokenProcessPool as error:
            raise DataError(
                f"A process that decodes images of {str(files.root)!r} ended: perhaps memory ran out, or a script loads the data set "
                'outside `if __name__ == "__main__":`.'
            ) from error
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"Cannot write the image cache in {str(cache_dir)!r} ({one_line(error, limit=120)}).") from error
    try:
        with np.load(path.with_suffix(".npz")) as beside:
            targets: Int64 = beside["targets"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path.with_suffix('.npz')}: not a readable image cache ({one_line(error, limit=120)}). Delete it, and it is made again."
        ) from error
    return ImageSet(MappedImages.open(path), targets, n_classes)


def load_image(path: str | Path, image_size: int) -> UInt8:
    """One file as (3, image_size, image_size) uint8, RGB.

    An image of exactly this size is taken as it is. Any other is resized so that its shorter side is round(8/7 image_size), bilinear with
    antialiasing, and cropped at the centre: 256 and 224 for ImageNet, as torchvision's `Resize` and `CenterCrop` do.

    Raises:
        DataError: not a readable image of 8 bits a channel, or one of more than 89 million pixels (Pillow's limit).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF tags and palettes, which many published photographs have
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                if file.mode.startswith(("I", "F")):
                    raise ValueError(f"mode {file.mode}: not 8 bits a channel")
                image = file.convert("RGB")
    except Exception as error:
        raise DataError(f"{path}: broken image ({one_line(error, limit=120)}).") from error
    if image.size != (image_size, image_size):
        width, height = image.size
        shorter = min(width, height)
        # A long strip would grow in proportion; what lies far from the centre is cropped anyway.
        image = _centre_crop(image, min(width, 4 * shorter), min(height, 4 * shorter))
        width, height = image.size
        target = round(image_size * 8 / 7)
        image = image.resize((target * width // shorter, target * height // shorter), Image.Resampling.BILINEAR)
        image = _centre_crop(image, image_size, image_size)
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def _centre_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _cache_key(files: ImageFiles, image_size: int) -> str:
    digest = hashlib.blake2b(f"{_FORMAT} {image_size}".encode(), digest_size=12)
    for name, label in zip(files.names, files.targets.tolist(), strict=True):
        try:
            found = os.stat(files.root / name)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MissingDataError(f"{str(files.root / name)!r} is listed, but cannot be read ({reason}). Is the data set whole?") from None
        digest.update(f"\0{name}\0{label} {found.st_size} {found.st_mtime_ns}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class _Chunk:
    """One message to a worker: decode these files to the rows of `target` that begin at byte `offset`."""

    root: Path
    names: list[str]
    image_size: int
    target: Path
    offset: int


def _decode_chunk(chunk: _Chunk) -> UInt64:
    """Write the pixels of a chunk; the hash of each image. At any time one image is in memory."""
    digests = np.empty(len(chunk.names), dtype=np.uint64)
    with chunk.target.open("r+b") as target:
        target.seek(chunk.offset)
        for row, name in enumerate(chunk.names):
            pixels = load_image(chunk.root / name, chunk.image_size).tobytes()
            target.write(pixels)
            digests[row] = int.from_bytes(hashlib.blake2b(pixels, digest_size=8).digest(), "little")
    return digests


def _write_cache(path: Path, files: ImageFiles, image_size: int, n_workers: int) -> None:
    image_bytes = 3 * image_size**2
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = len(files) * image_bytes, shutil.disk_usage(path.parent).free
    if needed > free:
        raise StorageError(
            f"The image cache of {str(files.root)!r} needs {needed / 2**30:.1f} GiB, but only {free / 2**30:.1f} GiB are free in "
            f"{str(path.parent)!r}. Set data_dir to a larger disk, or choose a smaller image_size."
        )
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            offset = _write_header(file, (len(files), 3, image_size, image_size))
            file.truncate(offset + needed)
        chunks = [
            _Chunk(files.root, files.names[start : start + _CHUNK], image_size, partial, offset + start * image_bytes)
            for start in range(0, len(files), _CHUNK)
        ]
        digests = np.concatenate([np.empty(0, dtype=np.uint64), *_shown(_decode_chunks(chunks, n_workers), len(files))])
        beside = partial.with_suffix(".partial.npz")
        np.savez(beside, targets=files.targets, digests=digests)
        beside.replace(path.with_suffix(".npz"))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    """The head of an .npy file of uint8; the byte where the pixels begin."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()


def _decode_chunks(chunks: list[_Chunk], n_workers: int) -> Iterator[UInt64]:
    """The hashes of every chunk, in order; few chunks are on their way at a time, so an error is soon known."""
    n_workers = min(n_workers, len(chunks))
    if n_workers <= 1:
        yield from map(_decode_chunk, chunks)
        return
    # Fresh processes: a fork of one in which torch has threads may hang.
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"), initializer=_stay_with_parent) as pool:
        waiting: deque[Future[UInt64]] = deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_decode_chunk, chunk))
                if len(waiting) >= _AHEAD * n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _stay_with_parent() -> None:
    """In a worker: Ctrl-C is the parent's to answer, and when the parent dies, however it dies, so does the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None, "an initializer runs in a child"

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _shown(digests: Iterator[UInt64], total: int) -> Iterator[UInt64]:
    """The same, with a count on a terminal: ImageNet takes an hour."""
    done = 0
    for part in digests:
        done += len(part)
        if sys.stderr.isatty():
            print(f"\rdecoded {done:,} of {total:,} images", end="\n" if done == total else "", file=sys.stderr, flush=True)
        yield part
