from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.data.label_noise import HUMAN_SETS, human_labels
from bsd_core.errors import ConfigError, DataError
from tests._dummies import Int64, load_shared_golden

N = 40
TRUE: Int64 = np.arange(N, dtype=np.int64) * 7 % 10


def make_content(**changes: Any) -> dict[str, Any]:
    """What CIFAR-10_human.pt holds, of 40 images; `random_label2` is off by 2, and so on."""
    names = ["aggre_label", "random_label1", "random_label2", "random_label3", "worse_label"]
    return {"clean_label": TRUE, **{name: (TRUE + shift) % 10 for shift, name in enumerate(names)}, **changes}


def write(path: Path, content: Any, **how: Any) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **content)
    else:
        torch.save(content, path, **how)
    return path


@pytest.mark.parametrize("name", ["h.pt", "h.npz"])
def test_every_set_is_read_under_its_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, make_content())
    for shift, key in enumerate(["aggre", "random1", "random2", "random3", "worse"]):
        given = human_labels(path, key, targets=TRUE, n_classes=10)
        assert given.dtype == np.int64
        assert np.array_equal(given, (TRUE + shift) % 10)


def test_the_rows_of_a_subset_are_those_of_the_official_training_set(tmp_path: Path) -> None:
    path = write(tmp_path / "h.pt", make_content())
    rows = np.array([33, 2, 7])
    assert human_labels(path, "worse", targets=TRUE, n_classes=10, rows=rows).tolist() == ((TRUE[rows] + 4) % 10).tolist()


@pytest.mark.parametrize("zipped", [True, False])
def test_the_form_of_old_and_new_torch_is_read(zipped: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "h.pt", make_content(), _use_new_zipfile_serialization=zipped)
    assert np.array_equal(human_labels(path, "aggre", targets=TRUE, n_classes=10), TRUE)


def test_the_form_of_old_numpy_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "h.pt", make_content(), _use_new_zipfile_serialization=False)
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    content = path.read_bytes()
    assert new in content
    path.write_bytes(content.replace(new, old))
    assert np.array_equal(human_labels(path, "aggre", targets=TRUE, n_classes=10), TRUE)


def test_the_file_of_cifar100_with_its_lists_of_superclasses_is_read(tmp_path: Path) -> None:
    fine = np.arange(N, dtype=np.int64) * 3 % 100
    coarse = {"clean_coarse_label": (fine // 5).tolist(), "noisy_coarse_label": list(fine // 5)}  # of int, and of np.int64
    path = write(tmp_path / "CIFAR-100_human.pt", {"clean_label": fine, "noisy_label": fine[::-1].copy(), **coarse})
    assert np.array_equal(human_labels(path, "noisy", targets=fine, n_classes=100), fine[::-1])


@pytest.mark.parametrize("name", ["h.PT", "h.NPZ"])
def test_endings_may_be_in_capitals(name: str, tmp_path: Path) -> None:
    write(tmp_path / name.lower(), make_content()).rename(tmp_path / name)
    assert np.array_equal(human_labels(tmp_path / name, "aggre", targets=TRUE, n_classes=10), TRUE)


@pytest.mark.parametrize("worse", [torch.from_numpy(TRUE), torch.from_numpy(TRUE).to(torch.uint8), TRUE.astype(">i8"), TRUE.astype(">u2")])
def test_tensors_and_integers_of_any_byte_order_are_read(worse: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "h.pt", make_content(worse_label=worse))
    given = human_labels(path, "worse", targets=TRUE, n_classes=10)
    assert given.dtype == np.int64
    assert np.array_equal(given, TRUE)


@pytest.mark.parametrize("name", ["h.pt", "h.npz"])
def test_what_is_not_needed_is_not_looked_at(name: str, tmp_path: Path) -> None:
    others = {"confidence": np.full(N, 0.5), "names": np.array(["cat", "dog"]), "random_label1": np.arange(3.0)}
    path = write(tmp_path / name, make_content(**others))
    assert np.array_equal(human_labels(path, "worse", targets=TRUE, n_classes=10), (TRUE + 4) % 10)


def test_an_npz_file_that_promises_many_labels_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    np.savez(path, clean_label=TRUE)
    with zipfile.ZipFile(path, "a") as archive, archive.open("worse_label.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(DataError, match=r"'worse_label' has 1000000000000 labels, but 'clean_label' has 40"):
        human_labels(path, "worse", targets=TRUE, n_classes=10)


def test_an_npz_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    np.savez(path, clean_label=TRUE)
    with zipfile.ZipFile(path, "a") as archive, archive.open("worse_label.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (N,)})
    with pytest.raises(DataError, match=r"refused, and nothing in it was executed: EOF: reading array data"):
        human_labels(path, "worse", targets=TRUE, n_classes=10)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"refused, and nothing in it was executed: File is not a zip file\.$"):
        human_labels(path, "worse", targets=TRUE, n_classes=10)


def test_targets_and_rows_may_be_tensors_or_lists(tmp_path: Path) -> None:
    path = write(tmp_path / "h.pt", make_content())
    for rows in (torch.tensor([33, 2, 7]), [33, 2, 7]):
        given = human_labels(path, "worse", targets=torch.from_numpy(TRUE), n_classes=10, rows=rows)
        assert given.tolist() == ((TRUE[[33, 2, 7]] + 4) % 10).tolist()
    assert human_labels(path, "worse", targets=TRUE.tolist(), n_classes=10, rows=[]).shape == (0,)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, N], r"Rows of the official training set must lie in \[0, 40\), but run from 0 to 40"),
        ([-1], r"must lie in \[0, 40\), but run from -1 to -1"),
        (np.ones(N, bool), r"Expected integer rows of the official training set of shape \(N,\), but got bool \(40,\)"),
    ],
)
def test_rows_that_are_none_are_refused(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        human_labels(write(tmp_path / "h.pt", make_content()), "worse", targets=TRUE, n_classes=10, rows=rows)


def test_the_counts_of_the_released_files_come_back(tmp_path: Path) -> None:
    golden = load_shared_golden("noise")
    for name in ("aggre", "worse", "random1", "random2", "random3"):
        counts = golden[f"cifar10n_{HUMAN_SETS[name]}_counts"]
        true, given = (np.repeat(which.ravel(), counts.ravel()) for which in np.indices((10, 10)))
        path = write(tmp_path / "CIFAR-10_human.pt", {"clean_label": true, HUMAN_SETS[name]: given})
        read = human_labels(path, name, targets=true, n_classes=10)
        assert np.array_equal(np.histogram2d(true, read, bins=10, range=[[0, 10], [0, 10]])[0], counts)
        wrong = {"aggre": 0.0901, "worse": 0.40208, "random1": 0.17234, "random2": 0.18122, "random3": 0.1764}
        assert float((read != true).mean()) == pytest.approx(wrong[name], abs=5e-5)


class Malicious:
    """A pickle that writes a file when it is loaded in the ordinary way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_code_in_it_is_refused_and_the_code_is_not_run(zipped: bool, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    path = write(tmp_path / "h.pt", make_content(extra=Malicious(mark)), _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"h\.pt: refused, and nothing in it was executed: it asks for 'getattr', which"):
        human_labels(path, "aggre", targets=TRUE, n_classes=10)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the file is harmless, so this test shows nothing"


def test_a_plain_pickle_with_code_in_it_is_refused_too(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    (tmp_path / "h.pt").write_bytes(pickle.dumps(Malicious(mark)))
    with pytest.raises(DataError, match=r"refused, and nothing in it was executed"):
        human_labels(tmp_path / "h.pt", "aggre", targets=TRUE, n_classes=10)
    np.savez(tmp_path / "h.npz", clean_label=np.array([Malicious(mark)], dtype=object))
    with pytest.raises(DataError, match=r"expected 'clean_label' as an integer array of shape \(M,\), but it is object \(1,\)"):
        human_labels(tmp_path / "h.npz", "aggre", targets=TRUE, n_classes=10)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (make_content(clean_label=TRUE[:-1]), r"human labels of 39 images, but the official training set here has 40\. Is it of another"),
        (make_content(clean_label=(TRUE + (np.arange(N) > 36)) % 10), r"differs .* at 3 of 40 images; the first is row 37, 0 in .* 9 here"),
        (make_content(worse_label=TRUE[:-1]), r"'worse_label' has 39 labels, but 'clean_label' has 40"),
        (make_content(worse_label=TRUE + 1), r"Labels must lie in \[0, 10\), but run from 1 to 10"),
        (make_content(worse_label=TRUE - 1), r"Labels must lie in \[0, 10\), but run from -1 to 8"),
        (make_content(worse_label=TRUE.tolist()), r"expected 'worse_label' as an integer array of shape \(M,\), but it is a list"),
        (make_content(worse_label=TRUE[None]), r"'worse_label' .* but it is int64 \(1, 40\)"),
        ({"labels": TRUE}, r"has no 'clean_label', so it is no CIFAR-N file\. It has: 'labels'"),
        (
            make_content(worse_label=TRUE.astype(float)),
            r"expected 'worse_label' as an integer array of shape \(M,\), but it is float64 \(40,\)",
        ),
        (make_content(worse_label=torch.ones(N)), r"'worse_label' .* but it is torch\.float32 \(40,\)"),
        (make_content(clean_label=TRUE[:0]), r"human labels of 0 images, but the official training set here has 40"),
        (make_content(worse_label=TRUE[:0]), r"'worse_label' has 0 labels, but 'clean_label' has 40"),
        (make_content(worse_label=torch.tensor(1).expand(10**12)), r"'worse_label' has 1000000000000 labels"),
        (make_content(worse_label=TRUE.astype(np.uint64) + 2**63), r"must lie in \[0, 10\), but run from 9223372036854775808 to"),
        (make_content(clean_label=TRUE.astype(np.uint64) + 2**63), r"differs .* at 40 of 40 images; .* 9223372036854775808 in the file"),
        ([TRUE], r"refused, and nothing in it was executed: expected a dictionary of arrays, but it holds a list\."),
        ({}, r"has no 'clean_label', so it is no CIFAR-N file\. It has: nothing\."),
    ],
)
def test_a_file_of_another_data_set_or_form_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        human_labels(write(tmp_path / "h.pt", content), "worse", targets=TRUE, n_classes=10)


def test_a_set_that_is_unknown_or_not_in_the_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "h.pt", make_content())
    with pytest.raises(ConfigError, match=r"Unknown set of human labels 'random'\. Did you mean 'random\d'\?"):
        human_labels(path, "random", targets=TRUE, n_classes=10)
    with pytest.raises(ConfigError, match=r"has no human labels 'noisy'\. It has: aggre, random1, random2, random3, worse"):
        human_labels(path, "noisy", targets=TRUE, n_classes=10)


def test_a_file_that_is_missing_damaged_or_of_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file: '.*h\.pt'"):
        human_labels(tmp_path / "h.pt", "worse", targets=TRUE, n_classes=10)
    path = write(tmp_path / "h.pt", make_content())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"refused, and nothing in it was executed: damaged, or not written by torch\.save\.$"):
        human_labels(path, "worse", targets=TRUE, n_classes=10)
    path.rename(tmp_path / "h.npy")
    with pytest.raises(DataError, match=r"Human labels are read from \.pt and \.npz files, but got '.*h\.npy'"):
        human_labels(tmp_path / "h.npy", "worse", targets=TRUE, n_classes=10)
