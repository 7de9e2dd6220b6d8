"""What a trial is charged with: an audited one ran on although it had been stopped, which is no expense of its arm's search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]  # of table trials


def audit_epochs(row: Row) -> int:
    """Epochs that a trial trained beyond its stop: of an audited one, or of one whose audit failed."""
    return 0 if row["stopped_at"] is None else max(0, (row["epochs"] or 0) - row["stopped_at"])


def charged_epochs(row: Row) -> int:
    """Epochs without those of an audit."""
    return (row["epochs"] or 0) - audit_epochs(row)


def charged(row: Row, column: str) -> float:
    """What a trial spent in `column` (images, seconds) until it was stopped, in proportion to its epochs; 0 where nothing is known."""
    spent = row[column] or 0
    return spent * charged_epochs(row) / row["epochs"] if audit_epochs(row) else spent
