from __future__ import annotations

import re

import pytest

from studies.report.data_table import Column, DataTable
from studies.report.markdown import escape_markdown, markdown_table


def as_read(source: str) -> str:
    """CommonMark, 2.4: a backslash before ASCII punctuation leaves that sign."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", source)


@pytest.mark.parametrize(
    "text", ["a|b", "<script>alert(1)</script>", "*a* _b_ `c` ~~d~~", "[x](http://y)", "C:\\d", "\\|", "$x$ &amp; #1", "![i](j) {k}"]
)
def test_texts_are_read_as_they_are(text: str) -> None:
    escaped = escape_markdown(text)
    assert as_read(escaped) == text
    assert re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>|~$#&]", escaped) is None


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("see https://example.org/a", r"see https\://example.org/a"),
        ("FTP://a.b", r"FTP\://a.b"),
        ("mailto:x", r"mailto\:x"),
        ("www.example.org, WWW.a.b", r"www\.example.org, WWW\.a.b"),
        ("by @name, a@b.org", r"by \@name, a\@b.org"),
        ("Lines: means. 1:2", "Lines: means. 1:2"),
    ],
)
def test_addresses_and_names_are_no_links(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
    assert as_read(escaped) == text


def test_a_line_break_does_not_end_a_row() -> None:
    table = DataTable("a", "x", [Column("name", "a name"), Column("n", "n", "whole")], [{"name": "a\nb|c", "n": 1200}, {"name": None}])
    assert markdown_table(table, "What\nit is.").splitlines() == [
        "What it is.",
        "",
        "| a name | n |",
        "|:---|---:|",
        r"| a b\|c | 1,200 |",
        "| – | – |",
    ]


def test_intervals_stand_beside_values_and_commands_are_left_out() -> None:
    columns = [Column("a", "a", "percent", low="b", high="c"), Column("b", ""), Column("c", ""), Column("d", "again", "command")]
    table = DataTable("a", "x", columns, [{"a": 0.5, "b": 0.25, "c": 0.75, "d": "rm -r"}])
    assert markdown_table(table, "x").splitlines()[-1] == r"| 50.0 \[25.0, 75.0\] |"
