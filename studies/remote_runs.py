"""Which runs there are in an object store: as in a folder of results, but that `<study>/latest` holds the newest one's id."""

from __future__ import annotations

import re
from typing import Final

from bsd_core.errors import ConfigError, shown
from studies.remote_folder import RemoteFolder

RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_KNOWN_AT_MOST: Final = 50  # studies to tell of: each may take a request


def newest_run(study: RemoteFolder) -> RemoteFolder | None:
    """The folder of a study's newest run; None if there is none.

    Raises:
        StorageError: the store cannot be read.
    """
    latest = (study.get("latest") or b"").decode("ascii", errors="replace").strip()
    if RUN_ID.fullmatch(latest) and _is_run(study / latest):
        return study / latest
    ids = [name for name in study.folders() if RUN_ID.fullmatch(name)]
    return next((study / run_id for run_id in reversed(ids) if _is_run(study / run_id)), None)


def named_run(folder: RemoteFolder) -> RemoteFolder:
    """The run that a URI names, itself or by `latest`.

    Raises:
        ConfigError: it is none.
        StorageError: the store cannot be read.
    """
    run = newest_run(folder.parent) if folder.name == "latest" else folder
    if run is None or not _is_run(run):
        raise ConfigError(f"No run in {shown(folder.uri, limit=200)}: there is no study.yaml. Name a study, and its results by --results.")
    return run


def known_studies(results: RemoteFolder) -> list[str]:
    """Names of the studies that have runs there, sorted.

    Raises:
        StorageError: the store cannot be read.
    """
    found = []
    for name in results.folders()[:_KNOWN_AT_MOST]:
        below = (results / name).folders()
        if any(RUN_ID.fullmatch(folder) for folder in below):
            found.append(name)
        else:
            found += [f"{name}/{folder}" for folder in below if (results / name / folder).written("latest")]
    return found


def _is_run(folder: RemoteFolder) -> bool:
    return folder.written("study.yaml") is not None
