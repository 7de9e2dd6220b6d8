"""The numbers behind the charts as files: those of this report, and none of an earlier one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bsd_core.errors import StorageError
from studies.report.data_table import Column, DataTable
from studies.report.section import Section
from studies.report.write import write_data


def make_section(key: str, *, missing: str | None = None) -> tuple[Section, Any]:
    """A section with one table of one row."""
    table = DataTable(key, key, [Column("method", "method")], [{"method": "bsd"}])
    return Section(key, key, key, lambda source: None), SimpleNamespace(missing=missing, tables=lambda: [table])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_numbers_of_sections_without_any_are_removed(tmp_path: Path) -> None:
    write_data([make_section("front"), make_section("features"), make_section("importance")], tmp_path)
    assert names(tmp_path) == {f"{key}.{kind}" for key in ("front", "features", "importance") for kind in ("csv", "parquet")}
    none = [make_section(key, missing="None are stored.") for key in ("features", "importance")]
    write_data([make_section("front"), *none], tmp_path)
    assert names(tmp_path) == {"front.csv", "front.parquet"}
    write_data([make_section("front", missing="No trial has ended."), *none], tmp_path)
    assert names(tmp_path) == set()


def test_only_files_that_a_report_had_are_removed(tmp_path: Path) -> None:
    folder, victim = tmp_path / "data", tmp_path / "victim.csv"
    (folder / "folder.csv").mkdir(parents=True)
    (folder / "folder.csv" / "inner.csv").write_text("a", encoding="utf-8")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    victim.write_text("precious", encoding="utf-8")
    (folder / "link.csv").symlink_to(victim)
    (folder / "mine.csv").write_text("mine", encoding="utf-8")
    (folder / "old.csv").write_text("old", encoding="utf-8")
    gone = [make_section(key, missing="None.") for key in ("folder", "link", "old", "notes")]
    write_data([make_section("front"), *gone], folder)
    assert names(folder) == {"folder.csv", "notes.txt", "link.csv", "mine.csv", "front.csv", "front.parquet"}
    assert (folder / "folder.csv" / "inner.csv").exists()
    assert victim.read_text(encoding="utf-8") == "precious"


def test_a_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.csv").write_text("a", encoding="utf-8")
    (tmp_path / "data").symlink_to(elsewhere)
    write_data([make_section("precious", missing="None.")], tmp_path / "data")
    assert names(elsewhere) == {"precious.csv"}


def test_a_report_without_numbers_makes_no_folder(tmp_path: Path) -> None:
    write_data([make_section("front", missing="No trial has ended.")], tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.csv").write_text("old", encoding="utf-8")

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.unlink", refuse)
    with pytest.raises(StorageError, match=r"Cannot remove earlier numbers in '.*': .*Permission denied"):
        write_data([make_section("old", missing="None.")], tmp_path)
