from __future__ import annotations

import re
import shutil
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.report.data_table import Column, DataTable
from studies.report.latex import escape_latex, latex_figure, latex_table, needs_unicode_tex

# What LaTeX sets for what we write, from its own documentation: usrguide, encguide (OT1, T1), symbols-a4.
SET_AS = {
    "textbackslash": "\\",
    "textasciicircum": "^",
    "textasciitilde": "~",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textasciigrave": "`",
    "textdegree": "°",
    "textdagger": "†",
    "textdaggerdbl": "‡",
    "ldots": "…",
    "char34": '"',
}
MATHS = {"-": "−", r"\pm": "±", r"\times": "×", r"\cdot": "·", r"\leq": "≤", r"\geq": "≥", r"\tau": "τ", r"\rightarrow": "→"}
LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”", "'": "’", "`": "‘", ",,": "„", "!`": "¡", "?`": "¿"}
TOKEN = re.compile(
    r"\\ensuremath\{(?P<maths>[^{}]*)\}|\\textsuperscript\{(?P<raised>\d)\}|\\(?P<command>[a-zA-Z]+|char34)(?P<ended>\{\})?"
    r"|\\(?P<sign>[{}$&#%_])|(?P<nothing>\{\})|(?P<ligature>---|--|``|''|,,|!`|\?`|['`])|(?P<plain>.)",
)
ACTIVE = set("\\{}$&#%_^~")  # what may not stand by itself


def as_set(source: str) -> str:
    """What is printed for a piece of LaTeX, by reading it from left to right as TeX does."""
    printed = ""
    for token in TOKEN.finditer(source.replace(r"\char34", r"\charquote")):
        if token["maths"] is not None:
            printed += MATHS[token["maths"]]
        elif token["raised"] is not None:
            printed += {"2": "²", "3": "³"}[token["raised"]]
        elif token["command"] is not None:
            assert token["ended"] is not None, "a command would swallow what follows"
            printed += SET_AS["char34" if token["command"] == "charquote" else token["command"]]
        elif token["sign"] is not None:
            printed += token["sign"]
        elif token["ligature"] is not None:
            printed += LIGATURES[token["ligature"]]
        elif token["plain"] is not None:
            assert token["plain"] not in ACTIVE
            printed += token["plain"]
    return printed


def shown(text: str) -> str:
    """The text as a reader expects it: one space for white space, an apostrophe for a straight quote."""
    return " ".join(text.split()).replace("'", "’")


HOSTILE = [
    r"\input{/etc/passwd}",
    r"100 % of $x_1$ & #2 ~ y^2 {a}",
    "<script>alert(1)</script>",
    "a--b---c ,,d,, ''e'' ``f``",
    "?`!` `",
    'say "5" and "a"',
    "−0.5 ± 0.1 – 2 × 3 ≤ 4 … τ²",
    "-–- ’‘“”",
    "line\nbreak\ttab\x07bell",
    "naïve café Ångström Łódź",
    "^^M \\end{document}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_set_as_they_are(text: str) -> None:
    assert as_set(escape_latex(text)) == shown(text.replace("\x07", " "))


@given(st.text(alphabet=string.printable + "–—−±×≤≥·…→‘’“”²³°†‡éßÅł", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_set_as_it_is(text: str) -> None:
    assert as_set(escape_latex(text)) == shown(re.sub(r"[\x00-\x1f]", " ", text))


def test_letters_that_pdflatex_lacks_are_said() -> None:
    assert not needs_unicode_tex("naïve − ± 95 % …")
    assert needs_unicode_tex("噪声")
    table = DataTable("one", "x", [Column("a", "a")], [{"a": "噪声"}])
    assert "LuaLaTeX" in latex_table(table, "x")
    assert "LuaLaTeX" not in latex_table(DataTable("one", "x", [Column("a", "a")], [{"a": "noise"}]), "x")


TABLE = DataTable(
    "accuracy_table",
    "Accuracy",
    [
        Column("method", "method"),
        Column("accuracy", "accuracy, %", "percent", low="low", high="high"),
        Column("low", ""),
        Column("high", ""),
        Column("again", "train again", "command"),
    ],
    [
        {"method": "cs_kd", "accuracy": 0.954, "low": 0.939, "high": 0.969, "again": "python -m studies retrain x"},
        {"method": "[*]", "accuracy": None},
        {"method": "* & \\\\", "accuracy": -0.5},
    ],
)


def test_a_table_is_booktabs_with_caption_and_label() -> None:
    assert latex_table(TABLE, "Accuracy. n = 100 test images, 3 seeds; 95 % intervals.") == "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            r"\footnotesize",
            r"\caption{Accuracy. n = 100 test images, 3 seeds; 95 \% intervals.}",
            r"\label{tab:accuracy_table}",
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"method & accuracy, \% \\",
            r"\midrule",
            r"cs\_kd & 95.4 [93.9, 96.9] \\",
            r"{}[*] & -- \\",
            r"{}* \& \textbackslash{}\textbackslash{} & \ensuremath{-}50.0 \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


@pytest.mark.parametrize(("n_columns", "environment", "scaled"), [(1, "table", False), (3, "table*", False), (5, "table*", True)])
def test_wide_tables_take_both_columns_and_very_wide_ones_are_made_smaller(n_columns: int, environment: str, scaled: bool) -> None:
    names = "abcde"[:n_columns]
    text = latex_table(DataTable("wide", "x", [Column(name, name) for name in names], [dict.fromkeys(names, "x" * 20)]), "x")
    assert rf"\begin{{{environment}}}" in text
    assert rf"\end{{{environment}}}" in text
    assert (r"\resizebox{\linewidth}" in text) == scaled == ("graphicx" in text)


def test_long_texts_are_folded_and_numbers_never() -> None:
    columns = [Column("why", "why"), Column("n", "a title that is longer than numbers", "whole")]
    text = latex_table(DataTable("long", "x", columns, [{"why": "because " * 20, "n": 3}]), "x")
    assert text.splitlines()[0] == r"% \usepackage{booktabs,array}"
    assert r"\begin{tabular}{>{\raggedright\arraybackslash}p{13em}r}" in text
    assert "resizebox" not in text


def test_a_figure_includes_its_pdf_below_its_caption() -> None:
    lines = latex_figure("front", "Front: 40 % wrong", wide=True).splitlines()
    assert lines[1:] == [
        r"\begin{figure*}",
        r"\centering",
        r"\includegraphics[width=\linewidth]{front.pdf}",
        r"\caption{Front: 40 \% wrong}",
        r"\label{fig:front}",
        r"\end{figure*}",
    ]
    assert r"\begin{figure}" in latex_figure("front", "x", wide=False)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("encoding", ["OT1", "T1"])
def test_it_compiles(tmp_path: Path, encoding: str) -> None:
    rows = [{"a": text} for text in HOSTILE if not needs_unicode_tex(text)]
    table = latex_table(DataTable("hostile", "x", [Column("a", "a")], rows), " ".join(row["a"] for row in rows))
    packages = rf"\usepackage[{encoding}]{{fontenc}}\usepackage{{booktabs,array,graphicx}}"
    (tmp_path / "x.tex").write_text(
        rf"\documentclass{{article}}{packages}\begin{{document}}" + "\n" + table + r"\end{document}", encoding="utf-8"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "x.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
