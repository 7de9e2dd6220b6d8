from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from studies.report import paper
from studies.report.data_table import Column, DataTable
from studies.report.figures.paper_style import DOUBLE, SINGLE, draw_for_paper
from studies.report.paper import caption_of, summary, write_paper
from studies.report.section import Section
from studies.report.source import ReportSource
from studies.report.write import report_source
from studies.results import ledger_tables
from studies.statistics.document import collect_statistics
from studies.tables import build_tables
from tests.studies._command_line import main
from tests.studies._dummies import CONSTANTS, make_events, make_run

TRIALS = [("bsd/none", 0, 0.9, 0.1), ("bsd/none", 1, 0.8, 0.05), ("cross_entropy/none", 0, 0.7, 0.2), ("cross_entropy/none", 1, None, 0.0)]
HOSTILE = "<script> & $x_1$ 100 %"


@dataclass(frozen=True)
class _Info:
    """Numbers of a section."""

    missing: str | None = None
    caption: str = f"n = 100 test images\n3 seeds; {HOSTILE}"
    found: list[DataTable] = field(default_factory=list)

    def tables(self) -> list[DataTable]:
        return self.found


def make_source(tmp_path: Path, *trials: tuple[str, int, float | None, float]) -> ReportSource:
    run = make_run(tmp_path, make_events(*trials), methods=["cross_entropy", "bsd"])
    tables = ledger_tables(run, make_events(*trials)) or build_tables([], CONSTANTS)
    return report_source(run, tables, collect_statistics(tables, run.spec(), run.predictions))


def draw(info: Any, styles: Any, *, width: float = 6.0, height: float = 4.0, size: float = 11) -> Figure:
    """A line between labelled axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], label="a line")
    axis.set_title(HOSTILE, fontsize=size, parse_math=False)
    axis.set_xlabel("small", fontsize=5)
    figure.legend(loc="outside lower center")
    return figure


def make_section(key: str, info: _Info, *, figure: bool = True) -> Section:
    return Section(key, f"Title of {key}", "Look.", lambda source: info, figure=draw if figure else None)


def rows(n: int) -> DataTable:
    return DataTable(f"rows_{n}", f"{n} rows", [Column("a", "a", "whole")], [{"a": index} for index in range(n)])


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section with everything, one without a figure, one without rows, one that is missing."""
    made = [
        make_section("drawn", _Info(found=[rows(60), rows(61)])),
        make_section("told", _Info(found=[rows(2)]), figure=False),
        make_section("bare", _Info(found=[rows(0)]), figure=False),
        make_section("absent", _Info(missing="Nothing was confirmed.")),
    ]
    monkeypatch.setattr(paper, "collect_sections", lambda source: [(section, section.collect(source)) for section in made])


@pytest.mark.usefixtures("sections")
def test_figures_and_tables_are_written_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    written = write_paper(make_source(tmp_path, *TRIALS), tmp_path / "report")
    names = {path.relative_to(tmp_path / "report").as_posix() for path in (tmp_path / "report").rglob("*.*")}
    drawn = {f"figures/drawn.{kind}" for kind in ("png", "svg", "pdf", "tex")}
    tables = {f"tables/rows_{n}.{kind}" for n in (60, 2) for kind in ("tex", "md")}
    assert names == drawn | tables | {f"data/rows_{n}.{kind}" for n in (60, 61, 2, 0) for kind in ("csv", "parquet")}
    said = "\n".join(summary(written))
    assert "report/figures/drawn: " in said
    assert "report/tables/{rows_60,rows_2}: " in said
    assert "too long rows_61: 61 rows" in said
    assert "see report/data/rows_61.csv" in said
    assert "missing  absent: Nothing was confirmed." in said


@pytest.mark.usefixtures("sections")
def test_captions_stand_in_figures_and_tables(tmp_path: Path) -> None:
    write_paper(make_source(tmp_path, *TRIALS), tmp_path / "report")
    caption = r"n = 100 test images. 3 seeds; \textless{}script\textgreater{} \& \$x\_1\$ 100 \%."
    assert rf"\caption{{Title of drawn. {caption}}}" in (tmp_path / "report" / "figures" / "drawn.tex").read_text(encoding="utf-8")
    assert rf"\caption{{2 rows. {caption}}}" in (tmp_path / "report" / "tables" / "rows_2.tex").read_text(encoding="utf-8")
    first = (tmp_path / "report" / "tables" / "rows_2.md").read_text(encoding="utf-8").splitlines()[0]
    assert first == r"2 rows. n = 100 test images. 3 seeds; \<script\> \& \$x\_1\$ 100 %."


@pytest.mark.usefixtures("sections")
def test_the_same_run_gives_the_same_bytes_whatever_the_users_own_style(tmp_path: Path) -> None:
    import matplotlib as mpl

    source = make_source(tmp_path, *TRIALS)
    write_paper(source, tmp_path / "a")
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "figure.dpi": 40, "pdf.fonttype": 3, "savefig.bbox": "tight"}):
        write_paper(source, tmp_path / "b")
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


@pytest.mark.usefixtures("sections")
def test_fonts_are_embedded_and_sizes_are_of_paper(tmp_path: Path) -> None:
    write_paper(make_source(tmp_path, *TRIALS), tmp_path)
    pdf = (tmp_path / "figures" / "drawn.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"/CreationDate" not in pdf
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert box is not None
    assert float(box[1]) == pytest.approx(72 * DOUBLE, abs=0.1)
    root = ElementTree.parse(tmp_path / "figures" / "drawn.svg").getroot()
    assert list(root.iter("{http://www.w3.org/2000/svg}text")) == []  # outlines need no font
    assert root.get("width") == f"{72 * DOUBLE:g}pt"
    with Image.open(tmp_path / "figures" / "drawn.png") as image:
        assert image.size[0] == 300 * DOUBLE


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((3.4, 2.5), (SINGLE, 2.5)),
        ((5.0, 4.0), (SINGLE, 4.0 * 3.4 / 5.0)),
        ((6.0, 4.0), (DOUBLE, 4.0 * 7 / 6)),
        ((14.0, 2.2), (DOUBLE, 2.1)),  # axes need some height
        ((7.0, 20.0), (DOUBLE, 9.0)),  # and a page has no more
    ],
)
def test_a_figure_is_as_wide_as_a_column_or_two(size: tuple[float, float], wanted: tuple[float, float]) -> None:
    figure = draw_for_paper(lambda info, styles: draw(info, styles, width=size[0], height=size[1]), None, {})
    assert figure.get_size_inches() == pytest.approx(wanted)


def test_no_text_is_larger_than_8_points_and_smaller_ones_stay() -> None:
    figure = draw_for_paper(draw, None, {})
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
    assert max(sizes) == 8
    assert min(sizes) == 5


def test_a_caption_is_one_paragraph_of_whole_sentences() -> None:
    assert caption_of("Budgets", "Equal:\n  bsd \t needs more\n\nWhy?\n") == "Budgets. Equal: bsd needs more. Why?"


def test_a_figure_that_cannot_be_drawn_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(info: Any, styles: Any) -> Any:
        raise ValueError("yerr must not be negative")

    made = [Section("first", "First", "Look.", lambda source: _Info(), figure=broken), make_section("second", _Info())]
    monkeypatch.setattr(paper, "collect_sections", lambda source: [(section, section.collect(source)) for section in made])
    written = write_paper(make_source(tmp_path, *TRIALS), tmp_path / "report")
    assert written.figures == ["second"]
    assert "BROKEN   first could not be drawn: yerr must not be negative" in "\n".join(summary(written))


def test_a_run_of_failures_and_an_empty_one_can_be_written(tmp_path: Path) -> None:
    for name, trials in (("failed", [("bsd/none", 0, None, 0.0)]), ("empty", [])):
        written = write_paper(make_source(tmp_path / name, *trials), tmp_path / name / "report")
        assert "budgets" in written.tables
        assert (tmp_path / name / "report" / "tables" / "budgets.tex").is_file()


def test_the_command_writes_them_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, make_events(*TRIALS))
    assert main(monkeypatch, "front", str(run.path)) == 0
    capfd.readouterr()
    assert main(monkeypatch, "figures", str(run.path)) == 0
    said = capfd.readouterr().out
    assert "budgets" in said
    assert (run.path / "report" / "tables" / "budgets.tex").read_text(encoding="utf-8").count(r"\begin{table*}") == 1
    assert (run.path / "report" / "tables" / "failures.md").is_file()


def test_the_front_is_the_same_file_whichever_command_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, make_events(*TRIALS))
    assert main(monkeypatch, "front", str(run.path)) == 0
    before = {kind: (run.figures / f"front.{kind}").read_bytes() for kind in ("png", "svg")}
    assert main(monkeypatch, "figures", str(run.path)) == 0
    assert {kind: (run.figures / f"front.{kind}").read_bytes() for kind in before} == before
    assert (run.figures / "front.pdf").is_file()


def test_without_tables_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path, make_events(*TRIALS))
    assert main(monkeypatch, "figures", str(run.path)) == 2
    assert f"python -m studies front {run.path}" in capfd.readouterr().err
