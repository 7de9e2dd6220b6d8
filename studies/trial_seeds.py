"""The seeds that trainings are given: functions of the study alone, the same in every arm, so that arms are compared on equal chances."""

from __future__ import annotations

from bsd_core.seeds import derive_seed
from studies.condition import Condition
from studies.spec import StudySpec


def search_seed(root: int, number: int) -> int:
    """Of the training of every arm's trial `number` in the search of a study with seed `root`."""
    return derive_seed(root, "trial", number)


def confirm_seed(root: int, replicate: int) -> int:
    """Of the training of every chosen setting with fresh seed `replicate`."""
    return derive_seed(root, "confirm", "trial", replicate)


def noise_seed(spec: StudySpec, condition: Condition, replicate: int) -> int | None:
    """Of the wrong labels that a fresh seed trains on; None where its condition has none to draw, or where the search's are kept."""
    if spec.confirm is None or spec.confirm.noise_seeds == "same" or condition.kind in ("none", "human", "saved"):
        return None
    return derive_seed(spec.seed, "confirm", "noise", replicate)
