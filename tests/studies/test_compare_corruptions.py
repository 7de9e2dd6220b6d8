from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch

from bsd_core.robustness.corruptions import CORRUPTIONS, corrupt
from bsd_core.robustness.corruptions.severities import SEVERITIES
from bsd_core.robustness.official import OfficialCorruptions
from studies.compare_corruptions import DETERMINISTIC, Comparison, Pair, as_arrow, as_table, comparisons
from tests._dummies import UInt8, make_images, make_png, make_targets
from tests.studies._command_line import main as run_command
from tests.studies._dummies import render

Screen = pytest.CaptureFixture[str]
N = 24
CLEAN = make_images(N, seed=3)
TARGETS = make_targets(N, 10).numpy()


def released(name: str, *, seed: int, change: Callable[[UInt8], UInt8] = lambda pixels: pixels) -> UInt8:
    """A file made with `seed`: (5 N, 32, 32, 3)."""
    indices = torch.arange(N)
    blocks = [corrupt(torch.from_numpy(CLEAN), name, severity, seed=seed, indices=indices).numpy() for severity in SEVERITIES]
    return change(np.concatenate(blocks).transpose(0, 2, 3, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "CIFAR-10-C"
    path.mkdir()
    np.save(path / "labels.npy", np.tile(TARGETS, 5))
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """The clean images as a data set."""
    root = tmp_path / "cifar"
    root.mkdir()
    table = pa.table(
        {
            "img": pa.array([make_png(image.transpose(1, 2, 0)) for image in CLEAN], pa.binary()),
            "label": pa.array(TARGETS.tolist(), pa.int64()),
        }
    )
    for split in ("train", "test"):
        pq.write_table(table, root / f"{split}.parquet")
    return f"parquet:{root}"


def compared(folder: Path, *names: str, seed: int = 0) -> list[Comparison]:
    official = OfficialCorruptions.open(folder, TARGETS, clean=CLEAN)
    return list(comparisons(torch.from_numpy(CLEAN), official, torch.arange(N), names, seed=seed))


def compared_rows(folder: Path, *names: str, seed: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = as_arrow(compared(folder, *names, seed=seed)).to_pylist()
    return rows


# --- computing


def test_a_pair_counts_in_standard_errors_of_the_paired_difference() -> None:
    ours, theirs = torch.tensor([1.0, 2.0, 6.0]).double(), torch.tensor([0.0, 2.0, 4.0]).double()
    # differences 1, 0, 2: mean 1, standard deviation 1, standard error 1 / sqrt(3)
    found = Pair.of(ours, theirs)
    assert (found.ours, found.theirs) == (3.0, 2.0)
    assert found.standard_errors == pytest.approx(math.sqrt(3))


def test_a_pair_of_equals_is_no_standard_error_apart_and_a_constant_shift_is_infinitely_many() -> None:
    x = torch.tensor([1.0, 2.0]).double()
    assert Pair.of(x, x).standard_errors == 0
    assert Pair.of(x, x + 1).standard_errors == -math.inf


def test_the_same_pixels_are_no_difference(folder: Path) -> None:
    np.save(folder / "brightness.npy", released("brightness", seed=0))
    for row in compared_rows(folder, "brightness"):
        assert (row["n"], row["largest"], row["differing"], row["beyond_one"]) == (N, 0, 0, 0)
        assert row["mean_standard_errors"] == row["spread_standard_errors"] == row["changed_standard_errors"] == 0
        assert row["mean_ours"] == row["mean_theirs"] > 0
        assert row["random"] is False


def test_differences_are_counted_by_value(folder: Path) -> None:
    def change(pixels: UInt8) -> UInt8:
        pixels = pixels.copy()
        block = pixels[2 * N : 3 * N]  # severity 3
        block[0, 0, 0] = np.where(block[0, 0, 0] < 128, block[0, 0, 0] + 1, block[0, 0, 0] - 1)  # three values by 1
        block[1, 5, 6, 2] ^= 16  # one value by 16
        return pixels

    np.save(folder / "contrast.npy", released("contrast", seed=0, change=change))
    rows = {row["severity"]: row for row in compared_rows(folder, "contrast")}
    n_values = N * 3 * 32 * 32
    assert [rows[severity]["largest"] for severity in SEVERITIES] == [0, 0, 16, 0, 0]
    assert rows[3]["differing"] == 4 / n_values
    assert rows[3]["beyond_one"] == 1 / n_values


def test_another_seed_differs_by_value_and_agrees_in_distribution(folder: Path) -> None:
    np.save(folder / "gaussian_noise.npy", released("gaussian_noise", seed=1))
    for row in compared_rows(folder, "gaussian_noise", seed=2):
        assert row["differing"] > 0.5
        for part in ("mean", "spread", "changed"):
            assert 0 < abs(row[f"{part}_standard_errors"]) < 4


def test_another_distribution_is_many_standard_errors_away(folder: Path) -> None:
    blocks = np.split(released("gaussian_noise", seed=1), 5)
    np.save(folder / "gaussian_noise.npy", np.concatenate([blocks[1], *blocks[1:]]))  # severity 1 is really severity 2
    rows = compared_rows(folder, "gaussian_noise")
    assert rows[0]["spread_ours"] < rows[0]["spread_theirs"]
    assert rows[0]["spread_standard_errors"] < -20


def test_statistics_are_of_an_images_own_difference(folder: Path) -> None:
    np.save(folder / "gaussian_noise.npy", released("gaussian_noise", seed=1))
    row = compared_rows(folder, "gaussian_noise")[4]
    theirs = released("gaussian_noise", seed=1)[4 * N :].transpose(0, 3, 1, 2).astype(float) - CLEAN
    assert row["mean_theirs"] == pytest.approx(theirs.mean(), rel=1e-5)
    assert row["spread_theirs"] == pytest.approx(np.mean([image.std() for image in theirs]), rel=1e-5)
    assert row["changed_theirs"] == pytest.approx((theirs != 0).mean(), rel=1e-5)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_called_deterministic_is(name: str) -> None:
    images, indices = torch.from_numpy(CLEAN), torch.arange(N)
    first, second = (corrupt(images, name, 5, seed=seed, indices=indices) for seed in (0, 1))
    assert torch.equal(first, second) == (name in DETERMINISTIC)


# --- shown


def test_the_tables_fit_a_narrow_terminal(folder: Path) -> None:
    for name in ("brightness", "gaussian_noise"):
        np.save(folder / f"{name}.npy", released(name, seed=1))
    lines = render(as_table(compared(folder, "brightness", "gaussian_noise")), width=80)
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert sum(line.startswith("brightness ") for line in lines) == 5
    noise = [line.split() for line in lines if line.startswith("gaussian_noise ")]
    assert [cells[1] for cells in noise] == ["1", "2", "3", "4", "5"]
    assert {len(cells) for cells in noise} == {11}


# --- the command


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("COLUMNS", "80")
    return run_command(monkeypatch, "compare-corruptions", *arguments)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_command_prints_and_writes(
    kind: str, folder: Path, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    for name in ("contrast", "gaussian_noise"):
        np.save(folder / f"{name}.npy", released(name, seed=0))
    out = tmp_path / "new" / f"comparison.{kind}"
    options = ["--dataset", dataset, "--folder", str(folder), "--data-dir", str(tmp_path), "--images", "6", "--out", str(out)]
    assert main(monkeypatch, *options) == 0
    printed = capsys.readouterr().out
    assert f"6 of {N} test images" in printed
    table = pyarrow.csv.read_csv(out) if kind == "csv" else pq.read_table(out)
    rows = table.to_pylist()
    assert [(row["name"], row["severity"]) for row in rows] == [
        (name, severity) for name in ("gaussian_noise", "contrast") for severity in SEVERITIES
    ]
    assert {row["n"] for row in rows} == {6}
    assert {row["largest"] for row in rows} == {0}  # also of the noise: the same seed and the images' own indices


def test_the_command_compares_what_is_named(folder: Path, dataset: str, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    np.save(folder / "contrast.npy", released("contrast", seed=0))
    np.save(folder / "brightness.npy", released("brightness", seed=0)[:3])  # broken, and not asked for
    assert main(monkeypatch, "--dataset", dataset, "--folder", str(folder), "--names", "contrast") == 0
    assert "brightness" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--names", "contrats"], "Unknown corruption 'contrats'."),
        (["--names", "pixelate"], "No 'pixelate.npy' in"),
        ([], "No file of a corruption in"),
        (["--images", "1"], "at least 2 images, but got 1"),
        (["--images", "25"], "has 24 test images, but got 25"),
        (["--out", "table.xlsx"], "ends in .csv, .parquet, but got 'table.xlsx'"),
        (["--out", "/proc/none/table.csv"], "Cannot write '/proc/none/table.csv'"),
        (["--folder", "nowhere"], "No folder"),
        (["--dataset", "digits"], "the data set's test images are (359, 1, 8, 8)"),
    ],
)
def test_the_command_refuses_in_one_line(
    options: list[str],
    message: str,
    folder: Path,
    dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Screen,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(monkeypatch, "--dataset", dataset, "--folder", str(folder), *options) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
    assert message in errors


def test_a_data_set_without_released_files_needs_a_folder(monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, "--dataset", "digits") == 2
    assert "known of cifar10 and cifar100" in capsys.readouterr().err


def test_the_folder_lies_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, "--dataset", "cifar100", "--data-dir", str(tmp_path)) == 2  # before anything is fetched
    assert f"No folder '{tmp_path}/CIFAR-100-C'" in capsys.readouterr().err
