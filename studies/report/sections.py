"""The sections of the report, in order."""

from __future__ import annotations

from typing import Final

from studies.report.charts.front import front_charts
from studies.report.figures.front import draw_front
from studies.report.infos.budgets import collect_budgets_info
from studies.report.infos.failures import collect_failures
from studies.report.infos.front import collect_plane
from studies.report.infos.provenance import collect_provenance_info
from studies.report.section import Section

SECTIONS: Final = (
    Section(
        "front",
        "Accuracy against calibration error",
        "Up and to the left is better. Trust the large points: they were trained again with fresh seeds and judged on test images.",
        collect_plane,
        front_charts,
        draw_front,
    ),
    # 1 operating_points
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
