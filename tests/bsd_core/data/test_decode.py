from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from bsd_core.data import decode
from bsd_core.data.decode import ImageFiles, decode_folder, load_image
from bsd_core.data.images import MappedImages
from bsd_core.errors import DataError, MissingDataError, StorageError
from tests._dummies import UInt8, make_images, make_png


def pixels_of(height: int, width: int, *, seed: int = 0) -> UInt8:
    """(H, W, 3), as Pillow wants it."""
    return np.ascontiguousarray(make_images(1, 3, height, width, seed=seed)[0].transpose(1, 2, 0))


def make_files(root: Path, n: int, *, size: int = 12) -> ImageFiles:
    """PNG files, each of its own colour, of `size` by `size`."""
    root.mkdir(parents=True, exist_ok=True)
    for index in range(n):
        Image.new("RGB", (size, size), (index % 256, index // 256, 7)).save(root / f"{index}.png")
    return ImageFiles(root, [f"{index}.png" for index in range(n)], np.arange(n) % 3)


def decoded(files: ImageFiles, cache: Path, *, image_size: int = 12, n_workers: int | None = None) -> UInt8:
    return decode_folder(files, n_classes=3, image_size=image_size, cache_dir=cache, n_workers=n_workers).array


# ---------------------------------------------------------------- one image


@pytest.mark.parametrize(("width", "height"), [(40, 30), (31, 57), (28, 28), (200, 51), (9, 13)])
def test_resizing_and_cropping_are_those_of_torchvision(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(make_png(pixels_of(height, width)))
    with Image.open(path) as image:
        expected = functional.center_crop(functional.resize(image, 32), [28, 28])
    assert np.array_equal(load_image(path, 28), np.asarray(expected).transpose(2, 0, 1)) or (width, height) == (28, 28)


def test_an_image_of_the_wanted_size_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = pixels_of(28, 28)
    (tmp_path / "image.png").write_bytes(make_png(pixels))
    assert np.array_equal(load_image(tmp_path / "image.png", 28), pixels.transpose(2, 0, 1))


def test_a_long_strip_keeps_its_centre_without_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strip = np.zeros((2, 4000, 3), np.uint8)
    strip[:, 1990:2010] = 255
    (tmp_path / "strip.png").write_bytes(make_png(strip))
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watched(image: Image.Image, size: tuple[int, int], resample: int) -> Image.Image:
        sizes.append(size)
        return resize(image, size, resample)

    monkeypatch.setattr(Image.Image, "resize", watched)
    assert (load_image(tmp_path / "strip.png", 28) == 255).all()
    assert sizes == [(4 * 32, 32)]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_mode_of_8_bits_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.new("RGB", (28, 28), (255, 255, 255)).convert(mode).save(path)
    image = load_image(path, 28)
    assert image.shape == (3, 28, 28)
    assert int(image.min()) >= 254


def test_deep_and_torn_and_huge_images_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("I;16", (8, 8)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: broken image \(mode I;16: not 8 bits a channel\)"):
        load_image(tmp_path / "deep.png", 28)
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(60, 60)).save(buffer, "JPEG")
    (tmp_path / "torn.jpg").write_bytes(buffer.getvalue()[:-300])
    with pytest.raises(DataError, match=r"torn\.jpg: broken image \(image file is truncated"):
        load_image(tmp_path / "torn.jpg", 28)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"torn\.jpg: broken image \(Image size \(3600 pixels\) exceeds limit"):
        load_image(tmp_path / "torn.jpg", 28)


# ---------------------------------------------------------------- the cache


def test_worker_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    files = make_files(tmp_path / "images", 200)  # four chunks
    alone = decoded(files, tmp_path / "alone", n_workers=1)
    assert alone[:, :2, 0, 0].tolist() == [[index % 256, index // 256] for index in range(200)]
    assert np.array_equal(decoded(files, tmp_path / "together", n_workers=2), alone)
    assert sorted(path.suffix for path in (tmp_path / "together").iterdir()) == [".npy", ".npz"]


def test_images_are_mapped_and_labels_lie_beside_them(tmp_path: Path) -> None:
    images = decode_folder(make_files(tmp_path / "images", 5), n_classes=3, image_size=12, cache_dir=tmp_path / "cache")
    assert isinstance(images.images, MappedImages)
    assert images.targets.tolist() == [0, 1, 2, 0, 1]
    assert np.array_equal(np.load(images.images.path), images.array)
    with np.load(images.images.path.with_suffix(".npz")) as beside:
        assert beside["targets"].tolist() == [0, 1, 2, 0, 1]
        assert len(set(beside["digests"].tolist())) == 5


def test_equal_pixels_have_equal_fingerprints_wherever_they_come_from(tmp_path: Path) -> None:
    first, second = (make_files(tmp_path / name, 5) for name in ("first", "second"))
    os.utime(second.root / "0.png", ns=(1, 1))  # another key of the cache
    one, two = (decode_folder(files, n_classes=3, image_size=12, cache_dir=tmp_path / "cache") for files in (first, second))
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2
    assert one.fingerprint() == two.fingerprint()
    assert one.select(np.array([1, 0])).fingerprint() != one.select(np.array([0, 1])).fingerprint()


@pytest.mark.parametrize("change", ["time", "size", "name", "label", "image_size", "order"])
def test_whatever_changes_makes_another_cache(tmp_path: Path, change: str) -> None:
    files, cache, image_size = make_files(tmp_path / "images", 3), tmp_path / "cache", 12
    decoded(files, cache)
    if change == "time":
        os.utime(files.root / "1.png", ns=(5, 5))
    elif change == "size":
        kept = os.stat(files.root / "1.png").st_mtime_ns
        Image.new("RGB", (12, 12), (200, 0, 0)).save(files.root / "1.png", compress_level=0)
        os.utime(files.root / "1.png", ns=(kept, kept))
    elif change == "name":
        (files.root / "1.png").rename(files.root / "one.png")
        files = ImageFiles(files.root, ["0.png", "one.png", "2.png"], files.targets)
    elif change == "label":
        files = ImageFiles(files.root, files.names, np.array([0, 0, 2]))
    elif change == "order":
        files = ImageFiles(files.root, files.names[::-1], files.targets)
    else:
        image_size = 10
    decoded(files, cache, image_size=image_size)
    assert len(list(cache.glob("*.npy"))) == 2


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_broken_file_names_itself_and_leaves_nothing_behind(tmp_path: Path, n_workers: int) -> None:
    files = make_files(tmp_path / "images", 150)
    (files.root / "99.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match=r"images/99\.png: broken image \(cannot identify image file") as caught:
        decoded(files, tmp_path / "cache", n_workers=n_workers)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []
    Image.new("RGB", (12, 12)).save(files.root / "99.png")
    assert len(decoded(files, tmp_path / "cache", n_workers=n_workers)) == 150


def test_an_absent_file_names_itself(tmp_path: Path) -> None:
    files = make_files(tmp_path / "images", 3)
    (files.root / "1.png").unlink()
    with pytest.raises(MissingDataError, match=r"images/1\.png' is listed, but cannot be read \(No such file or directory\)"):
        decoded(files, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make_files(tmp_path / "images", 3)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match=r"Cannot write the image cache in '.*cache'"):
        decoded(files, tmp_path / "cache")
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("bsd_core.data.decode.shutil.disk_usage", lambda path: full)
    with pytest.raises(StorageError, match=r"needs 0\.0 GiB, but only 0\.0 GiB are free in '.*other'\. Set data_dir to a larger disk"):
        decoded(files, tmp_path / "other")


def test_a_damaged_cache_says_what_to_do(tmp_path: Path) -> None:
    files = make_files(tmp_path / "images", 3)
    decoded(files, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.npy")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"\.npy: not a readable image cache .*Delete it, and it is made again"):
        decoded(files, tmp_path / "cache")


# ---------------------------------------------------------------- workers


def test_a_worker_loads_neither_torch_nor_the_data_sets() -> None:
    code = "import sys, bsd_core.data.decode; print([name for name in ('torch', 'sklearn', 'pyarrow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    # The parent hands out nothing after its first chunk, so its workers wait; then it is killed.
    code = (
        "import os, sys, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from bsd_core.data.decode import _stay_with_parent\n"
        "pool = ProcessPoolExecutor(1, mp_context=get_context('spawn'), initializer=_stay_with_parent)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 10
        while _runs(worker) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _runs(worker)


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    files = make_files(tmp_path / "images", 100)
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from bsd_core.data.decode import ImageFiles, decode_folder\n"
        f"files = ImageFiles(Path({str(files.root)!r}), {files.names!r}, np.zeros(100, dtype=np.int64))\n"
        f"decode_folder(files, n_classes=2, image_size=12, cache_dir=Path({str(tmp_path / 'cache')!r}), n_workers=2)\n"
    )
    (tmp_path / "script.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(decode.__file__).parents[2])}
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert 'or a script loads the data set outside `if __name__ == "__main__":`.' in done.stderr


def _runs(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_terminal_is_shown_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(decode, "_CHUNK", 2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    decoded(make_files(tmp_path / "images", 3), tmp_path / "cache", n_workers=1)
    assert capsys.readouterr().err == "\rdecoded 2 of 3 images\rdecoded 3 of 3 images\n"


def test_reading_a_batch_gives_the_rows_asked_for(tmp_path: Path) -> None:
    images = decode_folder(make_files(tmp_path / "images", 9), n_classes=3, image_size=12, cache_dir=tmp_path / "cache").images
    assert images[torch.tensor([8, 0, 8]).numpy()][:, 0, 0, 0].tolist() == [8, 0, 8]
