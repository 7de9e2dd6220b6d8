"""Every column of every table of a run, as Markdown: docs/columns.md is made from it."""

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
# Files with rows an image, which have no room for words: name, lead and (column, type, meaning).
_IMAGES: Final = (
    (
        "tables/predictions/<trial_id>.parquet",
        "A row an image and shift, of a training of the confirm phase; a row group a shift.",
        (
            ("split", "text", "as in table evaluations"),
            ("shift", "text", "as in table evaluations"),
            ("name", "text", "as in table evaluations"),
            ("severity", "whole number", "as in table evaluations"),
            ("row", "whole number", "the image's place in its split, from 0"),
            ("target", "whole number", "the label that judges"),
            ("predicted", "whole number", "the class of the largest logit"),
            ("logits", "list of numbers", "one a class, less the row's largest, in two bytes each"),
        ),
    ),
    (
        "tables/features/<trial_id>.parquet",
        "A row an image, the same images in every file, of the first training of each confirmed setting.",
        (
            ("row", "whole number", "the image's place in the test split, from 0"),
            ("target", "whole number", "its true label"),
            ("features", "list of numbers", "of the layer before the last, over `scale` of the file's metadata, in two bytes each"),
        ),
    ),
    (
        "labels/<condition>.parquet",
        "A row an image of the search's training and validation splits; how the labels were made is `label_noise` in the file's metadata.",
        (
            ("split", "text", "train or val"),
            ("row", "whole number", "the image's place in its split, from 0"),
            ("true_label", "whole number", "the data set's"),
            ("given_label", "whole number", "what a training is told"),
        ),
    ),
)


def columns_page() -> str:
    """A Markdown page with each column's name, type and meaning."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every column"
    yield ""
    yield "`python -m studies columns` prints this page. Of the first four tables, the same words stand in the metadata of the fields."
    for name, (schema, lead) in _TABLES.items():
        yield from ("", f"## tables/{name}.parquet", "", lead, "", "| column | type | meaning |", "|---|---|---|")
        yield from (f"| `{field.name}` | {_type(field.type)} | {_meaning(field)} |" for field in schema)
    for name, lead, columns in _IMAGES:
        yield from ("", f"## {name.replace('<', '&lt;')}", "", lead, "", "| column | type | meaning |", "|---|---|---|")
        yield from (f"| `{column}` | {kind} | {meaning} |" for column, kind, meaning in columns)


def _type(kind: pa.DataType) -> str:
    return {"string": "text", "int64": "whole number", "double": "number", "bool": "true or false"}[str(kind)]


def _meaning(field: pa.Field) -> str:
    return str(field.metadata[b"description"].decode()).replace("|", "\\|").replace("<", "&lt;")
