"""What made the run, and whether its numbers were computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from studies.commands import command
from studies.report.data_table import Column, DataTable
from studies.report.source import ReportSource
from studies.verified import Verified, read_verified

_COLUMNS = (Column("what", "what"), Column("value", "value"))


@dataclass(frozen=True)
class ProvenanceInfo:
    """What made a run.

    Attributes:
        facts: by name, as text.
        verified: what `verify` found of these very files; None if it was not asked.
        command: that verifies the run.
    """

    facts: Mapping[str, str]
    verified: Verified | None
    command: str

    @property
    def missing(self) -> str | None:
        """Where a run never got that far."""
        return None if self.facts else "The run has no provenance.json."

    @property
    def caption(self) -> str:
        """What `verify` said."""
        if self.verified is None:
            return f"Not verified as its files are now: {self.command} computes every number again."
        verdict = "every number that can be computed again agrees" if self.verified.agree else "DIFFERENT"
        return "\n".join([f"Verified {self.verified.when}: {verdict}.", *self.verified.lines])

    def tables(self) -> list[DataTable]:
        """A row a fact."""
        return [
            DataTable("provenance", "What made this run", _COLUMNS, [{"what": name, "value": text} for name, text in self.facts.items()])
        ]


def collect_provenance_info(source: ReportSource) -> ProvenanceInfo:
    """From provenance.json and what `verify` left."""
    return ProvenanceInfo(dict(_facts(source.provenance)), read_verified(source.path), command("verify", source.place))


def _facts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of nested mappings, by their path."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _facts(entry, f"{name} {key}".strip())
    elif isinstance(value, list):
        yield name, ", ".join(str(entry) for entry in value)
    elif value is not None:
        yield name, str(value)
