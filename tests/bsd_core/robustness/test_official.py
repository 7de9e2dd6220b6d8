from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.errors import ConfigError, DataError, MissingDataError
from bsd_core.robustness.corruptions import corrupt
from bsd_core.robustness.official import OfficialCorruptions, matched_share, official_folder
from tests._dummies import Int64, UInt8, make_images, make_targets

N = 20
CLEAN = make_images(N)
TARGETS = make_targets(N, 10).numpy()


def corrupted(name: str, severity: int) -> UInt8:
    """Ours, (N, 3, 32, 32)."""
    out: UInt8 = corrupt(torch.from_numpy(CLEAN), name, severity, seed=0, indices=torch.arange(N)).numpy()
    return out


def released(name: str) -> UInt8:
    """A file's content: (5 N, 32, 32, 3)."""
    return np.concatenate([corrupted(name, severity).transpose(0, 2, 3, 1) for severity in range(1, 6)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two corruptions of 20 images, as released."""
    for name in ("brightness", "gaussian_noise"):
        np.save(tmp_path / f"{name}.npy", released(name))
    np.save(tmp_path / "labels.npy", np.tile(TARGETS, 5))
    return tmp_path


def write_sums(folder: Path, algorithm: str, file: str, *, line: Callable[[str, str], str] = "{}  {}".format) -> None:
    lines = [line(hashlib.new(algorithm, path.read_bytes()).hexdigest(), path.name) for path in sorted(folder.glob("*.npy"))]
    (folder / file).write_text("\n".join(lines) + "\n")


# --- what is read


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_images_of_a_severity_are_its_rows_with_the_channels_second(folder: Path, severity: int) -> None:
    found = OfficialCorruptions.open(folder, TARGETS, clean=CLEAN).images("brightness", severity)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    np.testing.assert_array_equal(found.numpy(), corrupted("brightness", severity))


@pytest.mark.parametrize("rows", [slice(3, 9), np.array([7, 0, 7, 19])])
def test_some_rows_are_read_in_the_order_asked_for(folder: Path, rows: Int64 | slice) -> None:
    found = OfficialCorruptions.open(folder, TARGETS).images("gaussian_noise", 2, rows)
    np.testing.assert_array_equal(found.numpy(), corrupted("gaussian_noise", 2)[rows])


def test_the_images_may_be_written_to_without_changing_the_file(folder: Path) -> None:
    official = OfficialCorruptions.open(folder, TARGETS)
    official.images("brightness", 1).zero_()
    np.testing.assert_array_equal(official.images("brightness", 1).numpy(), corrupted("brightness", 1))


def test_the_names_are_those_of_the_files_in_the_usual_order(folder: Path) -> None:
    np.save(folder / "unknown.npy", np.zeros(3))
    assert OfficialCorruptions.open(folder, TARGETS).names == ("gaussian_noise", "brightness")


def test_a_pickle_holds_no_corrupted_pixels(folder: Path) -> None:
    official = OfficialCorruptions.open(folder, TARGETS)
    first = official.images("brightness", 5)
    pickled = pickle.dumps(official)
    assert len(pickled) < 2000
    assert torch.equal(pickle.loads(pickled).images("brightness", 5), first)


def test_fingerprints_tell_files_apart(folder: Path) -> None:
    official = OfficialCorruptions.open(folder, TARGETS)
    assert official.fingerprint("brightness") == hashlib.blake2b((folder / "brightness.npy").read_bytes(), digest_size=8).hexdigest()
    assert official.fingerprint("brightness") != official.fingerprint("gaussian_noise")


def test_only_what_is_asked_for_is_checked(folder: Path) -> None:
    (folder / "fog.npy").write_bytes(b"not an array")
    official = OfficialCorruptions.open(folder, TARGETS, clean=CLEAN)
    assert official.images("brightness", 1).shape == (N, 3, 32, 32)


@pytest.mark.parametrize(("dataset", "name"), [("cifar10", "CIFAR-10-C"), ("cifar100", "CIFAR-100-C")])
def test_the_folder_of_a_data_set_lies_beside_it(dataset: str, name: str) -> None:
    assert official_folder(dataset, "data") == Path("data", name)


# --- what is refused


def refused(error: type[DataError], parts: list[str], work: Callable[[], object]) -> None:
    """`work` raises one line that holds all `parts`."""
    with pytest.raises(error, match=re.escape(parts[0])) as caught:
        work()
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


def test_other_data_sets_have_no_folder_of_their_own() -> None:
    with pytest.raises(ConfigError, match=r"known of cifar10 and cifar100, but the data set is 'digits'\. Name their folder"):
        official_folder("digits", "data")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(MissingDataError, ["No folder", "CIFAR-10-C", "Unpack"], lambda: OfficialCorruptions.open(tmp_path / "CIFAR-10-C", TARGETS))


def test_missing_labels_are_refused(folder: Path) -> None:
    (folder / "labels.npy").unlink()
    refused(
        MissingDataError, ["No 'labels.npy' in", "There are gaussian_noise, brightness."], lambda: OfficialCorruptions.open(folder, TARGETS)
    )


def test_a_missing_corruption_is_refused(folder: Path) -> None:
    official = OfficialCorruptions.open(folder, TARGETS)
    refused(MissingDataError, ["No 'fog.npy' in", "Unpack"], lambda: official.images("fog", 1))
    refused(MissingDataError, ["No 'fog.npy' in"], lambda: official.fingerprint("fog"))


def test_an_unknown_name_is_refused_with_a_suggestion(folder: Path) -> None:
    official = OfficialCorruptions.open(folder, TARGETS)
    with pytest.raises(ConfigError, match=r"Unknown corruption 'brigthness'.*Did you mean 'brightness'\?"):
        official.images("brigthness", 1)


@pytest.mark.parametrize("severity", [0, 6, 1.0, True])
def test_other_severities_are_refused(folder: Path, severity: int) -> None:
    official = OfficialCorruptions.open(folder, TARGETS)
    with pytest.raises(ConfigError, match="severity is 1, 2, 3, 4 or 5"):
        official.images("brightness", severity)


def test_labels_in_another_order_are_refused(folder: Path) -> None:
    other = TARGETS.copy()
    first, second = 4, int(np.flatnonzero(other != other[4])[0])
    other[[first, second]] = other[[second, first]]
    row = min(first, second)
    parts = ["labels.npy: expected the 20 test labels", "10 differ", f"row {row} has {TARGETS[row]}, not {other[row]}", "original order"]
    refused(DataError, parts, lambda: OfficialCorruptions.open(folder, other))


def test_labels_of_another_number_of_images_are_refused(folder: Path) -> None:
    parts = ["labels.npy: expected integers of shape (95,)", "found int64 (100,)"]
    refused(DataError, parts, lambda: OfficialCorruptions.open(folder, TARGETS[:-1]))


def test_labels_that_are_not_integers_are_refused(folder: Path) -> None:
    np.save(folder / "labels.npy", np.tile(TARGETS, 5).astype(np.float64))
    refused(DataError, ["expected integers of shape (100,)", "found float64"], lambda: OfficialCorruptions.open(folder, TARGETS))


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.zeros((N, 32, 32, 3), np.uint8), "found uint8 (20, 32, 32, 3)"),
        (np.zeros((5 * N, 3, 32, 32), np.uint8), "found uint8 (100, 3, 32, 32)"),
        (np.zeros((5 * N, 32, 32, 3), np.float32), "found float32"),
        (np.zeros((5 * N, 32, 32, 3), np.int8), "found int8"),
    ],
)
def test_a_file_of_another_shape_or_type_is_refused(folder: Path, pixels: UInt8, found: str) -> None:
    np.save(folder / "fog.npy", pixels)
    official = OfficialCorruptions.open(folder, TARGETS)
    refused(DataError, ["fog.npy: expected uint8 of shape (100, 32, 32, 3)", found], lambda: official.images("fog", 1))


def test_a_broken_file_is_refused(folder: Path) -> None:
    content = (folder / "brightness.npy").read_bytes()
    official = OfficialCorruptions.open(folder, TARGETS)
    for broken in (b"", b"PK\x03\x04 an archive", content[:60], content[:-1]):
        (folder / "brightness.npy").write_bytes(broken)
        refused(DataError, ["brightness.npy: not a readable .npy file", "Unpack it again."], lambda: official.images("brightness", 1))


class _Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickled_file_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    official = OfficialCorruptions.open(folder, TARGETS)
    (folder / "fog.npy").write_bytes(pickle.dumps(_Bomb(trap)))
    refused(DataError, ["fog.npy: not a readable .npy file"], lambda: official.images("fog", 1))
    np.save(folder / "snow.npy", np.array([_Bomb(trap)], dtype=object), allow_pickle=True)
    refused(DataError, ["snow.npy: not a readable .npy file"], lambda: official.images("snow", 1))
    assert not trap.exists()
    pickle.loads((folder / "fog.npy").read_bytes())
    assert trap.exists()  # it would have sprung


def test_images_in_another_order_are_refused(folder: Path) -> None:
    order = np.random.default_rng(0).permutation(N)
    blocks = np.split(released("brightness"), 5)
    np.save(folder / "brightness.npy", np.concatenate([*blocks[:3], blocks[3][order], blocks[4]]))
    parts = ["brightness.npy: expected the test images of the data set in their order, but at severity 4 only", "of 20 images"]
    official = OfficialCorruptions.open(folder, TARGETS, clean=CLEAN)
    refused(DataError, parts, lambda: official.images("brightness", 1))
    assert OfficialCorruptions.open(folder, TARGETS).images("brightness", 1).shape == (N, 3, 32, 32)  # without clean images: not known


@pytest.mark.parametrize("clean", [CLEAN[:, :1], CLEAN[:-1], CLEAN[..., :28]])
def test_clean_images_of_another_shape_are_refused(folder: Path, clean: UInt8) -> None:
    parts = ["images of shape (20, 3, 32, 32)", f"are {clean.shape}"]
    refused(DataError, parts, lambda: OfficialCorruptions.open(folder, TARGETS, clean=clean))


# --- hashes


@pytest.mark.parametrize(
    ("algorithm", "file", "line"),
    [
        ("sha256", "SHA256SUMS", "{}  {}"),
        ("md5", "MD5SUMS", "{} *{}"),
        ("md5", "md5sum.txt", "{}  ./{}"),
        ("sha512", "sha512sums.txt", "# a remark\n\n{}  CIFAR-10-C/{}"),
    ],
)
def test_files_are_checked_against_the_folders_hashes(folder: Path, algorithm: str, file: str, line: str) -> None:
    write_sums(folder, algorithm, file, line=line.format)
    assert OfficialCorruptions.open(folder, TARGETS).images("brightness", 1).shape == (N, 3, 32, 32)
    content = bytearray((folder / "brightness.npy").read_bytes())
    content[-1] ^= 1
    (folder / "brightness.npy").write_bytes(content)
    official = OfficialCorruptions.open(folder, TARGETS)
    refused(DataError, [f"brightness.npy: expected {algorithm} ", "but found", "unpack"], lambda: official.images("brightness", 1))


def test_labels_are_checked_against_the_folders_hashes(folder: Path) -> None:
    write_sums(folder, "md5", "MD5SUMS")
    np.save(folder / "labels.npy", np.tile(TARGETS, 5).astype(np.int32))
    refused(DataError, ["labels.npy: expected md5"], lambda: OfficialCorruptions.open(folder, TARGETS))


def test_of_two_lists_the_longer_hashes_count(folder: Path) -> None:
    write_sums(folder, "sha256", "SHA256SUMS")
    (folder / "MD5SUMS").write_text(f"{'0' * 32}  brightness.npy\n")
    assert OfficialCorruptions.open(folder, TARGETS).images("brightness", 1).shape == (N, 3, 32, 32)


def test_files_that_the_list_leaves_out_are_not_bound_by_it(folder: Path) -> None:
    (folder / "MD5SUMS").write_text(f"{'0' * 32}  CIFAR-10-C.tar\n")
    assert OfficialCorruptions.open(folder, TARGETS).images("brightness", 1).shape == (N, 3, 32, 32)


@pytest.mark.parametrize("rows", [np.array([N]), np.array([-1])])
def test_rows_out_of_range_are_refused(folder: Path, rows: Int64) -> None:
    refused(DataError, [f"Rows are of 0 to {N - 1}"], lambda: OfficialCorruptions.open(folder, TARGETS).images("brightness", 1, rows))


@pytest.mark.parametrize("line", ["brightness.npy", f"{'0' * 32}  brightness.npy", f"{'x' * 64}  brightness.npy"])
def test_a_list_that_cannot_be_read_is_refused(folder: Path, line: str) -> None:
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  fog.npy\n{line}\n")
    parts = ["SHA256SUMS, line 2: expected 64 hexadecimal digits", "Mend the list, or remove it."]
    refused(DataError, parts, lambda: OfficialCorruptions.open(folder, TARGETS))


# --- the order of images

LAST = CLEAN.transpose(0, 2, 3, 1)  # channels last, as in the files


def test_images_resemble_themselves_whatever_their_brightness_tint_and_contrast() -> None:
    assert matched_share(LAST // 3 + np.array([0, 60, 90], np.uint8), LAST) == 1.0


def test_half_of_the_images_in_another_order_halve_the_share() -> None:
    order = np.r_[np.roll(np.arange(N // 2), 1), np.arange(N // 2, N)]
    assert matched_share(LAST[order], LAST) == 0.5


def test_plain_images_resemble_nothing_and_do_not_crash() -> None:
    plain = np.full_like(LAST, 7)
    assert matched_share(plain, LAST) == 0.0


def test_severities_in_another_order_are_noticed(folder: Path) -> None:
    swapped = np.roll(released("brightness").reshape(5, N, 32, 32, 3), 2, axis=0).reshape(5 * N, 32, 32, 3)
    np.save(folder / "brightness.npy", swapped)
    official = OfficialCorruptions.open(folder, TARGETS, clean=CLEAN)
    refused(DataError, ["brightness.npy: expected severities 1 to 5 one after the other"], lambda: official.images("brightness", 1))
