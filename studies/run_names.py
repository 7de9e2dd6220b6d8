"""What names mean that a user gives: the results folder, and a study's newest run or a run; and what to say of one that means none."""

from __future__ import annotations

import os
from pathlib import Path

from bsd_core.errors import ConfigError, enumerated, nearest, shown
from studies.mirror import Mirror, working_copy
from studies.own_files import check_no_links
from studies.remote_folder import RemoteFolder
from studies.remote_runs import RUN_ID, known_studies, named_run, newest_run
from studies.remote_uri import is_uri, open_remote
from studies.run_folder import RunFolder
from studies.study_file import STUDY_NAME


def results_root(text: str) -> Path | RemoteFolder:
    """Where results go, from what a user wrote: a folder or a URI.

    Raises:
        ConfigError: neither.
        StorageError: an object store cannot be opened.
    """
    if is_uri(text):
        return open_remote(text)
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise ConfigError(f"No home folder for {shown(text)}. Write the results folder out, or ./~name for a folder of that name.")
    return Path(os.path.abspath(expanded))


def find_run(results: Path | RemoteFolder, name: str) -> RunFolder:
    """The run that a name means; one in an object store is brought to its working copy.

    Args:
        results: where studies have their runs.
        name: a study, for its newest run; or a run's folder, URI, <run_id> or <study>/<run_id>; or a study's folder.

    Raises:
        ConfigError: there is none, or links in it lead elsewhere.
        StorageError: an object store cannot be read.
    """
    run = _find_run(results, name)
    check_no_links(run.path)
    return run


def _find_run(results: Path | RemoteFolder, name: str) -> RunFolder:
    if is_uri(name):
        return _pulled(named_run(open_remote(name)), None)
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path / "study.yaml"):
        path = path.resolve()
        return RunFolder(_study_of(path), path)
    if name.endswith((".yaml", ".yml")):  # a study of the user's own, named as it was started
        name = path.stem
    if STUDY_NAME.fullmatch(name):
        if isinstance(results, RemoteFolder):
            remote = newest_run(results / name)
            if remote is not None:
                return _pulled(remote, name)
        else:
            folder = results / name
            latest = folder / "latest"
            if os.path.isfile(latest / "study.yaml"):
                return RunFolder(name, latest.resolve())
            runs = sorted(run for run in folder.glob("*") if RUN_ID.fullmatch(run.name)) if os.path.isdir(folder) else []
            if runs:
                return RunFolder(name, runs[-1])
    if isinstance(results, Path) and (found := _run_by_part(results, path)) is not None:
        return RunFolder(_study_of(found), found)
    raise _no_run(results, name, path)


def _run_by_part(results: Path, path: Path) -> Path | None:
    """The run of a study's folder, of <run_id> or of <study>/<run_id>; None where that is none, or more than one."""
    if RUN_ID.fullmatch(path.name) and not path.is_absolute():  # as `status` lists it
        folders = [results] if len(path.parts) > 1 else [*results.glob("*"), *results.glob("*/*")]
        places = [folder / path for folder in folders]
    else:
        places = [path / "latest"]
    found = [place.resolve() for place in places if os.path.isfile(place / "study.yaml")]
    return found[0] if len(found) == 1 else None


def _no_run(results: Path | RemoteFolder, name: str, path: Path) -> ConfigError:
    """What to say of a name, as a path `path`, that is neither a study with a run in `results` nor a run."""
    if isinstance(results, Path) and os.path.lexists(results) and not os.path.isdir(results):
        way_out = "Name the results folder by RESULTS=folder (--results FOLDER)."
        return ConfigError(f"No run of {shown(name)} in {str(results)!r}, which is no folder. {way_out}")
    known = known_studies(results) if isinstance(results, RemoteFolder) else _known_studies(results)
    if os.path.isdir(path) and (RUN_ID.fullmatch(path.name) or any(os.path.lexists(path / part) for part in ("ledger.jsonl", "tables"))):
        return ConfigError(f"{str(path)!r} has no study.yaml, so it is no run that can be read. Copy the whole folder of the run again.")
    have = f"There are runs of {enumerated(known)}." if known else "There are no runs yet; start one with: make study STUDY=label_noise."
    beside = sorted(run.name for run in path.parent.glob("*") if RUN_ID.fullmatch(run.name)) if os.path.isdir(path.parent) else []
    near = nearest(name, known)
    if (run_id := nearest(path.name, beside)) is not None:
        near = str(path.parent / run_id)
    if near is None and isinstance(results, Path) and not os.path.lexists(results):
        way_out = "Name another by RESULTS=folder (--results FOLDER), or start a study: make study STUDY=label_noise."
        return ConfigError(f"No run of {shown(name)}: there is no folder {str(results)!r}. {way_out}")
    hint = "" if near is None else f"Did you mean {near!r}? "
    return ConfigError(f"No run of {shown(name)} in {str(results)!r}. {hint}{have}")


def _known_studies(results: Path) -> list[str]:
    links = [*results.glob("*/latest"), *results.glob("*/*/latest")] if os.path.isdir(results) else []
    return sorted({link.parent.relative_to(results).as_posix() for link in links})


def _pulled(remote: RemoteFolder, study: str | None) -> RunFolder:
    path = working_copy(remote)
    mirror = Mirror(remote, path)
    mirror.pull()
    return RunFolder(study or _study_of(path), path, mirror)


def _study_of(path: Path) -> str:
    """The study a run folder belongs to: what its provenance says, else its parent's name."""
    study = RunFolder("", path).provenance().get("study")
    return study if isinstance(study, str) and STUDY_NAME.fullmatch(study) else path.parent.name
