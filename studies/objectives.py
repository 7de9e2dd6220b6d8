"""What a search looks for: an accuracy, up, and a calibration error, down, both on validation images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bsd_core.errors import ConfigError, DataError, unknown_name

ACCURACIES: Final = ("val_accuracy", "val_corrupted_accuracy")
CALIBRATION_ERRORS: Final = ("val_ece", "val_corrupted_ece")
DIRECTIONS: Final = ("maximize", "minimize")


class Objectives(NamedTuple):
    """The columns of table `trials` that choose."""

    accuracy: str = ACCURACIES[0]
    ece: str = CALIBRATION_ERRORS[0]

    @classmethod
    def parse(cls, names: list[str]) -> Objectives:
        """One of `ACCURACIES`, then one of `CALIBRATION_ERRORS`.

        Raises:
            ConfigError: another number of names, or an unknown one.
        """
        for name in names:
            if name not in ACCURACIES + CALIBRATION_ERRORS:
                raise unknown_name("objective", name, ACCURACIES + CALIBRATION_ERRORS)
        if len(names) != 2 or names[0] not in ACCURACIES or names[1] not in CALIBRATION_ERRORS:
            raise ConfigError(f"Objectives are first an accuracy, then a calibration error, e.g. [val_accuracy, val_ece], but got {names}.")
        return cls(*names)

    @property
    def on_corrupted(self) -> bool:
        """Whether one of them is measured on corrupted images."""
        return any("corrupted" in name for name in self)

    def values(self, row: Mapping[str, Any], *, where: str) -> tuple[float, float]:
        """(accuracy, calibration error) of a finished trial.

        Args:
            row: its metrics, or its row of table `trials`.
            where: names the trial in the error.

        Raises:
            DataError: one of them is missing.
        """
        for name in self:
            if not isinstance(row.get(name), int | float):
                raise DataError(f"{where} has no {name}, which this study's search is about: was study.yaml changed? Start a new run.")
        return row[self.accuracy], row[self.ece]


def objective_titles(objectives: tuple[str, str]) -> list[str]:
    """The two columns in words; where one is of corrupted images, both say of which."""
    names = {"accuracy": "accuracy", "ece": "expected calibration error"}
    titles = [names[column.rpartition("_")[2]] for column in objectives]
    if not any("corrupted" in column for column in objectives):
        return titles
    shown = ["corrupted" if "corrupted" in column else "clean" for column in objectives]
    return [f"{title} on {kind} images" for title, kind in zip(titles, shown, strict=True)]


def short_titles(objectives: tuple[str, str]) -> list[str]:
    """The two columns in words short enough for the head of a table."""
    return [title.replace("expected calibration error", "ECE") for title in objective_titles(objectives)]


def shortest_titles(objectives: tuple[str, str]) -> str:
    """Both for a line of a live view: `acc/ECE`, `acc/corr. ECE`."""
    return "/".join(f"{'corr. ' if 'corrupted' in column else ''}{name}" for column, name in zip(objectives, ("acc", "ECE"), strict=True))
