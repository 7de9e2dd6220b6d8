from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsd_core.data.label_noise import NoiseRecord, SplitLabels, file_details, load_labels, save_labels, spoil_labels
from bsd_core.errors import ConfigError, DataError
from tests._dummies import Float64, Int64

RECORD = NoiseRecord(kind="symmetric", rate=0.4, seed=3, n_classes=10, data_fingerprint="0123abcd")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": 3}, r"`kind is a text` must hold, but got kind=3"),
        ({"rate": "0.4"}, r"`rate is a number` must hold, but got rate='0\.4'"),
        ({"rate": True}, r"`rate is a number`"),
        ({"rate": float("nan")}, r"`0 <= rate < 1` must hold, but got rate=nan"),
        ({"seed": 0.5}, r"`seed is a whole number, or one for each split` must hold, but got seed=0\.5"),
        ({"seed": {"train": 1, "val": None}}, r"but got seed=\{'train': 1, 'val': None\}"),
        ({"n_classes": True}, r"`n_classes is a whole number >= 1`"),
        ({"data_fingerprint": None}, r"`data_fingerprint is a text`"),
        ({"details": [1]}, r"`details is a dictionary` must hold, but got details=\[1\]"),
        ({"details": {"matrix": np.eye(2)}}, r"`details` of labels must be what JSON can hold \(Object of type ndarray"),
        ({"details": {"rate": float("inf")}}, r"what JSON can hold"),
    ],
)
def test_a_record_of_another_form_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(RECORD, **changes)


def test_details_are_held_as_json_holds_them_so_that_they_come_back_equal() -> None:
    record = dataclasses.replace(RECORD, details={"mapping": {0: 1, 1: 0}, "drawn": ("train", "val")})
    assert record.details == {"mapping": {"0": 1, "1": 0}, "drawn": ["train", "val"]}
    assert NoiseRecord(**json.loads(json.dumps(dataclasses.asdict(record)))) == record
    assert RECORD.details == {}


def test_a_file_is_known_by_its_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"1,0\n0,1\n")
    assert file_details(tmp_path / "m.csv") == {"file": "m.csv", "sha256": hashlib.sha256(b"1,0\n0,1\n").hexdigest()}
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        file_details(tmp_path / "none.csv")


@pytest.mark.parametrize("kind", ["symmetric", "symmetric_inclusive", "asymmetric", "pairflip", "confusion"])
def test_labels_of_each_split_are_drawn_again_from_the_record(kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    true = {"train": random.integers(0, 5, 200), "val": random.integers(0, 5, 50)}
    matrix: Float64 = np.full((5, 5), 0.1) + 0.5 * np.eye(5)
    rate = 0.0 if kind == "confusion" else 0.3
    seeds = {"train": 2**62 + 1, "val": 7}
    mapping = {label: (label + 2) % 5 for label in range(5)}
    record = NoiseRecord(kind=kind, rate=rate, seed=seeds, n_classes=5, data_fingerprint="f", details={"mapping": mapping})

    def drawn(kind: str, rate: float, seeds: dict[str, int], mapping: dict[int, int]) -> dict[str, Int64]:
        return {
            name: spoil_labels(labels, kind, rate, n_classes=5, seed=seeds[name], mapping=mapping, matrix=matrix)
            for name, labels in true.items()
        }

    given = drawn(kind, rate, seeds, mapping)
    rows = {"train": np.arange(200), "val": np.arange(200, 250)}
    save_labels(tmp_path / "l.parquet", {name: SplitLabels(rows[name], true[name], given[name]) for name in true}, record)
    found, saved = load_labels(tmp_path / "l.parquet", {name: (rows[name], true[name]) for name in true}, n_classes=5)
    assert saved == record
    assert isinstance(saved.seed, dict)
    again = drawn(saved.kind, saved.rate, saved.seed, {int(true): wrong for true, wrong in saved.details["mapping"].items()})
    for name, labels in found.items():
        assert (labels != true[name]).any()
        assert np.array_equal(again[name], labels)
