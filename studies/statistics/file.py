"""report/statistics.json: writing the document of a run's statistics, and reading one that this version of the program wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bsd_core.errors import DataError, one_line, shown
from studies.commands import command
from studies.run_folder import RunFolder, write_atomically

DOCUMENT_VERSION: Final = "1"  # its `schema_version`: another one whenever keys, their meaning or how numbers are computed change


def write_statistics(run: RunFolder, document: Mapping[str, Any]) -> None:
    """Write report/statistics.json, whole or not at all, equal documents as equal bytes.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    write_atomically(run.statistics, f"{text}\n".encode())


def read_statistics(run: RunFolder) -> dict[str, Any]:
    """What is stored in report/statistics.json; nothing but its version is checked.

    Raises:
        DataError: it is missing or no JSON, or another version of this program wrote it.
    """
    try:
        document: Any = json.loads(run.statistics.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{run.statistics}: not readable ({one_line(error, limit=100)}).") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(document, dict) or version != DOCUMENT_VERSION:
        name = run.statistics.relative_to(run.path)
        raise DataError(
            f"{name} was written by another version of this program: schema version {'none' if version is None else shown(version)}, but "
            f"this program reads version {DOCUMENT_VERSION}. Write it again with: {command('report', run.place)}"
        )
    return document
