"""The report on the terminal: the part that every run ends with, and all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from studies.budgets import render_budgets
from studies.remote_folder import RemoteFolder
from studies.report.compared import render_comparisons, render_ranking, render_verdicts, roles, roles_of_other_settings
from studies.report.confirmed import render_confirmed
from studies.report.recommended import print_operating_points, render_winners_curse
from studies.report.searched import render_audit, render_hypervolumes, render_importance

NOTHING_CONFIRMED = "Nothing was confirmed: what follows rests on validation values of the search alone."


def print_summary(console: Console, document: Mapping[str, Any], run: Path | RemoteFolder, *, opened: str | None = None) -> None:
    """What was confirmed, how the methods compare, and which settings to take.

    Args:
        console: to print on.
        document: of `collect_statistics`.
        run: where its results are, for the commands.
        opened: when the test split was opened, as the provenance has it.
    """
    if document["confirmed"]:
        _print(console, render_confirmed(document, opened=opened))
    if document["comparisons"]:
        _print(console, render_comparisons(document))
        if others := roles_of_other_settings(document):
            _print(console, Text(f"By their {' and '.join(others)} settings they may stand otherwise: `report` compares these, too."))
    print_operating_points(console, document, run)
    console.print()


def print_report(console: Console, document: Mapping[str, Any], run: Path | RemoteFolder, *, opened: str | None = None) -> None:
    """Everything: as `print_summary`, then rankings, shrinkage, budgets, and what the search was worth."""
    if not document["confirmed"]:
        _print(console, Text(NOTHING_CONFIRMED))
    print_summary(console, document, run, opened=opened)
    for role in roles(document)[1:]:
        _print(console, render_comparisons(document, role))
    if document["comparisons"]:
        _print(console, render_verdicts(document))
        _print(console, render_ranking(document))
    if document["confirmed"]:
        _print(console, render_winners_curse(document))
    _print(console, render_budgets(document["budgets"]))
    _print(console, render_hypervolumes(document))
    _print(console, render_importance(document))
    if document["audit"] is not None:
        _print(console, render_audit(document))


def _print(console: Console, part: RenderableType) -> None:
    console.print(part)
    console.print()
