"""The sections of the report, in order."""

from __future__ import annotations

from typing import Final

from studies.report.infos.budgets import collect_budgets_info
from studies.report.infos.failures import collect_failures
from studies.report.infos.provenance import collect_provenance_info
from studies.report.section import Section

SECTIONS: Final = (
    # 1 front, operating_points
    # 2 conditions
    # 3 attainment, anytime
    # 4 reliability, corruptions, noise_rate, memorisation
    # 5 features
    # 6 importance, parallel, winners_curse
    Section(
        "budgets",
        "Budgets",
        "Methods are compared only where every arm had as many finished trainings and as much training.",
        collect_budgets_info,
    ),
    Section(
        "failures",
        "Failures",
        "Trainings that ended without a result.",
        collect_failures,
    ),
    Section(
        "provenance",
        "Provenance",
        "What made these numbers.",
        collect_provenance_info,
    ),
)
