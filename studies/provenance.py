"""What made a run: versions, fingerprints, seeds, machine and the state of the code. No environment, no tokens."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_json

from bsd_core.errors import DataError
from studies.ledger import Event
from studies.prepare import PreparedStudy
from studies.spec import StudySpec

_PACKAGES: Final = (
    "bsd-study",
    "ray",
    "torch",
    "torchvision",
    "optuna",
    "pyarrow",
    "numpy",
    "scipy",
    "scikit-learn",
    "moocore",
    "pydantic",
)


def collect_provenance(study: str, spec: StudySpec, prepared: PreparedStudy) -> dict[str, Any]:
    """Everything that a reader needs to judge or repeat a run, as JSON values."""
    return {
        "study": study,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
        "code": _git_state(),
        "study_hash": study_hash(spec.model_dump()),
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


def study_hash(document: Any) -> str:
    """16 hexadecimal digits that name a resolved study, as study.yaml holds it: the same for whoever reads the file later."""
    return hashlib.blake2b(to_json(document), digest_size=8).hexdigest()


def environment() -> dict[str, Any]:
    """Versions and machine of this process: what equal numbers depend on, besides the study."""
    return {
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": {"node": platform.node(), "processor": processor()},
    }


def environment_differences(then: Mapping[str, Any]) -> list[str]:
    """How this process's environment differs from that of a provenance, each as `torch 2.14.0 then, 2.15.0 now`.

    Args:
        then: of the run; what it does not say is passed over.
    """
    now = environment()
    pairs = [("Python", then.get("python"), now["python"])]
    pairs += [(name, version, now["packages"].get(name, _version(name))) for name, version in then.get("packages", {}).items()]
    pairs += [("platform", then.get("platform"), now["platform"])]
    pairs += [("processor", then.get("machine", {}).get("processor"), now["machine"]["processor"])]
    if isinstance(code := then.get("code"), dict):
        pairs.append(("code", code.get("commit"), (_git_state() or {}).get("commit")))
    return [f"{name} {before} then, {after} now" for name, before, after in pairs if before not in (None, after)]


def check_same_data(provenance: Mapping[str, Any], events: Iterable[Event], prepared: PreparedStudy) -> None:
    """Whether the data at hand are those that a run began with, and its test images those that it opened.

    Args:
        provenance: of the run; what it does not say is not checked.
        events: of its ledger.
        prepared: the data at hand.

    Raises:
        DataError: they are others.
    """
    before = provenance.get("data", {})
    opened = [event for event in events if event["event"] == "confirm"]
    if opened and opened[0]["test_fingerprint"] != prepared.source.test.fingerprint():
        raise DataError("The test images are not those this run was confirmed on so far; start a new run.")
    if before.get("fingerprint", prepared.data_fingerprint) != prepared.data_fingerprint:
        raise DataError(f"The data set is not the one this run began with (fingerprint {before['fingerprint']}); start a new run.")
    if before.get("noise_fingerprints", prepared.noise_fingerprints) != prepared.noise_fingerprints:
        raise DataError("The noisy labels are not those this run began with: did a file of labels change? Start a new run.")
    if before.get("frost_fingerprint", prepared.frost_fingerprint) != prepared.frost_fingerprint:
        raise DataError("The pictures in frost_folder are not those this run began with; start a new run.")


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
