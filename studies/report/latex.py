"""Tables of the report in LaTeX, with booktabs: texts of studies are data, whatever they hold."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from studies.report.data_table import Column, DataTable

# All that TeX takes for something else, in the old encoding OT1 or in T1; then signs that no 8-bit TeX has, as commands that all have.
_ESCAPED: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # babel's languages make shorthands of the sign itself
    "`": r"\textasciigrave{}",
    "–": "--",
    "—": "---",
    "−": r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "·": r"\ensuremath{\cdot}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "≈": r"\ensuremath{\approx}",
    "≠": r"\ensuremath{\neq}",
    "→": r"\ensuremath{\rightarrow}",
    "←": r"\ensuremath{\leftarrow}",
    "∞": r"\ensuremath{\infty}",
    "α": r"\ensuremath{\alpha}",
    "β": r"\ensuremath{\beta}",
    "γ": r"\ensuremath{\gamma}",
    "λ": r"\ensuremath{\lambda}",
    "μ": r"\ensuremath{\mu}",
    "µ": r"\ensuremath{\mu}",
    "σ": r"\ensuremath{\sigma}",
    "τ": r"\ensuremath{\tau}",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "°": r"\textdegree{}",
    "…": r"\ldots{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "\ufffd": "?",
}
_HYPHEN: Final = re.compile(r"(?<![\w.])-(?=\d)")
_WIDE: Final = 95  # characters of a row in \footnotesize that a text of two columns has room for
_FOLDED: Final = 28  # characters from which texts are set in lines of that length
_PARAGRAPH: Final = r">{\raggedright\arraybackslash}p{13em}"  # of about as many
_NARROW: Final = 44  # the same of one column


def escape_latex(text: str) -> str:
    """Any text as LaTeX that is set as just this text; white space and control characters become single spaces.

    Letters outside of Latin stay as they are: LuaLaTeX and XeLaTeX set them, pdfLaTeX does not (see `needs_unicode_tex`).
    """
    composed = unicodedata.normalize("NFC", text)
    plain = " ".join("".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in composed).split())
    written = ""
    for sign in plain:
        escaped = _ESCAPED.get(sign, sign)
        joined = escaped[0] in "-',`" and written.endswith(("!", "?", "`") if escaped[0] == "`" else escaped[0])  # by fonts, into one sign
        written += "{}" + escaped if joined else escaped
    return written


def needs_unicode_tex(text: str) -> bool:
    """Whether a text has letters that pdfLaTeX cannot set."""
    return any(ord(sign) > 0x17F and sign not in _ESCAPED for sign in text)


def latex_table(table: DataTable, caption: str) -> str:
    """A `table` of booktabs, ready to be pasted; commands to be copied are left out.

    Args:
        table: with at least one column.
        caption: plain text.

    Returns:
        Lines, the last with its newline. Long texts are folded (array), a wide table spans both columns of the page, a very wide one is
        made smaller (graphicx).
    """
    columns = paper_columns(table)
    head = [column.title for column in columns]
    body = paper_rows(table)
    longest = [max(map(len, cells)) for cells in zip(head, *body, strict=True)]
    folded = [column.kind == "text" and length > _FOLDED for column, length in zip(columns, longest, strict=True)]
    width = sum((_FOLDED if fold else length) + 2 for fold, length in zip(folded, longest, strict=True))
    starred = "*" if width > _NARROW else ""
    alignment = "".join(_PARAGRAPH if fold else "l" if column.kind == "text" else "r" for column, fold in zip(columns, folded, strict=True))
    rows = [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", _row(head), r"\midrule", *map(_row, body), r"\bottomrule", r"\end{tabular}"]
    if width > _WIDE:
        rows = [r"\resizebox{\linewidth}{!}{%", *rows, "}"]
    packages = ["booktabs", *(["array"] if any(folded) else []), *(["graphicx"] if width > _WIDE else [])]
    comments = [f"% \\usepackage{{{','.join(packages)}}}"]
    if needs_unicode_tex("".join([caption, *head, *(cell for cells in body for cell in cells)])):
        comments.append("% for LuaLaTeX or XeLaTeX and a font that has all of its letters")
    title = rf"\caption{{{escape_latex(caption)}}}"
    begin, end = rf"\begin{{table{starred}}}", rf"\end{{table{starred}}}"
    return "\n".join([*comments, begin, r"\centering", r"\footnotesize", title, rf"\label{{tab:{table.key}}}", *rows, end, ""])


def latex_figure(key: str, caption: str, *, wide: bool) -> str:
    """A `figure` of <key>.pdf, ready to be pasted; `wide`: across both columns of the text."""
    environment = "figure*" if wide else "figure"
    lines = ["% \\usepackage{graphicx}"]
    if needs_unicode_tex(caption):
        lines.append("% for LuaLaTeX or XeLaTeX and a font that has all of its letters")
    lines += [rf"\begin{{{environment}}}", r"\centering", rf"\includegraphics[width=\linewidth]{{{key}.pdf}}"]
    return "\n".join([*lines, rf"\caption{{{escape_latex(caption)}}}", rf"\label{{fig:{key}}}", rf"\end{{{environment}}}", ""])


def paper_columns(table: DataTable) -> list[Column]:
    """What a printed table shows: all but commands, which are to be copied."""
    return [column for column in table.shown if column.kind != "command"]


def paper_rows(table: DataTable) -> list[list[str]]:
    """What it shows in the columns of `paper_columns`, with true minus signs before numbers."""
    cells = [[(table.text(row, column), column.kind) for column in paper_columns(table)] for row in table.rows]
    return [[text if kind == "text" else _HYPHEN.sub("−", text) for text, kind in row] for row in cells]


def _row(cells: list[str]) -> str:
    r"""A line of a tabular; after the `\\` before it, TeX would take a bracket or a star for its argument."""
    line = " & ".join(map(escape_latex, cells))
    return ("{}" if line.lstrip().startswith(("[", "*")) else "") + line + r" \\"
