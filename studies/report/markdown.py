"""Tables of the report in Markdown, as GitHub and Pandoc read it: texts of studies are data, whatever they hold."""

from __future__ import annotations

import re
from typing import Final

from studies.report.data_table import DataTable
from studies.report.latex import paper_columns, paper_rows

_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>|~$#&@])")
_LINKS: Final = re.compile(r"(?i)(?<=www)\.|:(?=//)|(?<=mailto):|(?<=xmpp):")  # where hosts make links of plain text


def escape_markdown(text: str) -> str:
    """Any text as Markdown that is read as just this text, in a line or in a cell; white space becomes single spaces."""
    return _LINKS.sub(r"\\\g<0>", _MARKS.sub(r"\\\1", " ".join(text.split())))


def markdown_table(table: DataTable, caption: str) -> str:
    """A pipe table below its caption; commands to be copied are left out.

    Args:
        table: with at least one column.
        caption: plain text.
    """
    columns = paper_columns(table)
    rows = [[column.title for column in columns], *paper_rows(table)]
    lines = [f"| {' | '.join(map(escape_markdown, cells))} |" for cells in rows]
    rule = "|".join(":---" if column.kind == "text" else "---:" for column in columns)
    return "\n".join([escape_markdown(caption), "", lines[0], f"|{rule}|", *lines[1:], ""])
