"""What made a run: versions, fingerprints, seeds, machine and the state of the code. No environment, no tokens."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from studies.prepare import PreparedStudy
from studies.spec import StudySpec

_PACKAGES: Final = ("bsd-study", "ray", "torch", "torchvision", "optuna", "pyarrow", "numpy", "scikit-learn", "moocore", "pydantic")


def collect_provenance(study: str, spec: StudySpec, prepared: PreparedStudy) -> dict[str, Any]:
    """Everything that a reader needs to judge or repeat a run, as JSON values."""
    return {
        "study": study,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": {"node": platform.node(), "processor": processor()},
        "code": _git_state(),
        "study_hash": hashlib.blake2b(spec.model_dump_json().encode(), digest_size=8).hexdigest(),
        "seed": spec.seed,
        "data": {
            "dataset": spec.dataset,
            "fingerprint": prepared.data_fingerprint,
            "noise_fingerprints": prepared.noise_fingerprints,
            "frost_fingerprint": prepared.frost_fingerprint,
            "n_train": len(prepared.data.train_images),
            "n_val": len(prepared.data.val_images),
            "n_test": prepared.n_test,
        },
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name as the kernel gives it, or the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.machine()


def _git_state() -> dict[str, Any] | None:
    """Commit and whether files differ from it, where the code is a git checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None
