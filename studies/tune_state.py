"""Ray Tune's own snapshots of a run: nothing is read back from them, so a broken one costs nothing; but it is said, and none piles up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def clear_tune_state(folder: Path) -> str | None:
    """Remove what an earlier process left; the file name of the newest snapshot if it cannot be read, as after a full disk."""
    snapshots = sorted(folder.glob("*/experiment_state-*.json"), key=lambda path: path.lstat().st_mtime)
    broken = snapshots[-1].name if snapshots and not _is_whole(snapshots[-1]) else None
    shutil.rmtree(folder, ignore_errors=True)
    return broken


def _is_whole(snapshot: Path) -> bool:
    try:
        json.loads(snapshot.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True
