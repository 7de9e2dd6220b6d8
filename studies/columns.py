"""Every column of the four tables, as Markdown: docs/columns.md is made from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from studies.schemas import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS

_TABLES: Final = {
    "trials": (
        TRIALS,
        "A row a training: of the search, and of the confirm phase. Settings are columns `param_<name>`, null where a method has none.",
    ),
    "epochs": (EPOCHS, "A row an epoch of a training."),
    "evaluations": (EVALUATIONS, "A row a trained network and a set of images: clean, corrupted or a sequence of perturbations."),
    "reliability": (RELIABILITY, "A row a bin of a reliability diagram."),
}


def columns_page() -> str:
    """A Markdown page with each column's name, type and meaning."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every column"
    yield ""
    yield "`python -m studies columns` prints this page. The same words stand in the metadata of each Parquet file's fields."
    for name, (schema, lead) in _TABLES.items():
        yield from ("", f"## tables/{name}.parquet", "", lead, "", "| column | type | meaning |", "|---|---|---|")
        yield from (f"| `{field.name}` | {_type(field.type)} | {_meaning(field)} |" for field in schema)


def _type(kind: pa.DataType) -> str:
    return {"string": "text", "int64": "whole number", "double": "number", "bool": "true or false"}[str(kind)]


def _meaning(field: pa.Field) -> str:
    return str(field.metadata[b"description"].decode()).replace("|", "\\|").replace("<", "&lt;")
