"""The sections of the report, in order."""

from __future__ import annotations

from typing import Final

from studies.report.charts.anytime import anytime_charts
from studies.report.charts.attainment import attainment_charts
from studies.report.charts.corruptions import corruptions_charts
from studies.report.charts.features import features_charts
from studies.report.charts.front import front_charts
from studies.report.charts.importance import importance_charts
from studies.report.charts.memorisation import memorisation_charts
from studies.report.charts.noise_rate import noise_rate_charts
from studies.report.charts.parallel import parallel_charts
from studies.report.charts.reliability import reliability_charts
from studies.report.charts.winners_curse import winners_curse_charts
from studies.report.figures.anytime import draw_anytime
from studies.report.figures.attainment import draw_attainment
from studies.report.figures.corruptions import draw_corruptions
from studies.report.figures.features import draw_features
from studies.report.figures.front import draw_front
from studies.report.figures.importance import draw_importance
from studies.report.figures.memorisation import draw_memorisation
from studies.report.figures.noise_rate import draw_noise_rate
from studies.report.figures.parallel import draw_parallel
from studies.report.figures.reliability import draw_reliability
from studies.report.figures.winners_curse import draw_winners_curse
from studies.report.infos.anytime import collect_anytime
from studies.report.infos.attainment import collect_attainment
from studies.report.infos.budgets import collect_budgets_info
from studies.report.infos.conditions import collect_conditions
from studies.report.infos.corruptions import collect_corruptions
from studies.report.infos.failures import collect_failures
from studies.report.infos.features import collect_features
from studies.report.infos.front import collect_plane
from studies.report.infos.importance import collect_importance
from studies.report.infos.memorisation import collect_memorisation
from studies.report.infos.noise_rate import collect_noise_rate
from studies.report.infos.operating_points import collect_operating_points
from studies.report.infos.parallel import collect_parallel
from studies.report.infos.provenance import collect_provenance_info
from studies.report.infos.reliability import collect_reliability
from studies.report.infos.winners_curse import collect_winners_curse_info
from studies.report.section import Section

SECTIONS: Final = (
    Section(
        "front",
        "Accuracy against calibration error",
        "Up and to the left is better. Trust the large points: they were trained again with fresh seeds and judged on test images.",
        collect_plane,
        front_charts,
        draw_front,
        tables=("front_confirmed", "front_search"),
    ),
    Section(
        "operating_points",
        "Operating points",
        "Settings to take home, by what they are for. The command trains one again.",
        collect_operating_points,
    ),
    Section(
        "conditions",
        "Methods in each condition",
        "Compare a method with plain training by its marks, not by the gap of two means.",
        collect_conditions,
    ),
    Section(
        "attainment",
        "What the seeds reach",
        "The median front of each method over fresh seeds. Where the lines of two methods cross, neither is better everywhere.",
        collect_attainment,
        attainment_charts,
        draw_attainment,
        tables=("hypervolume", "attainment"),
    ),
    Section(
        "anytime",
        "How soon the search had it",
        "The earlier a line rises, the fewer trials a method's settings need; a line still rising would have gained from more.",
        collect_anytime,
        anytime_charts,
        draw_anytime,
        tables=("anytime_end", "anytime"),
    ),
    Section(
        "reliability",
        "Reliability diagrams",
        "Where points leave the diagonal, confidence is not what it says; look where the bars are, since few images decide the rest.",
        collect_reliability,
        reliability_charts,
        draw_reliability,
    ),
    Section(
        "corruptions",
        "Corrupted images",
        "Dark cells are where a method breaks; compare the panels row by row.",
        collect_corruptions,
        corruptions_charts,
        draw_corruptions,
    ),
    Section(
        "noise_rate",
        "Accuracy and calibration against the noise rate",
        "How fast a method loses accuracy and calibration as more training labels are wrong.",
        collect_noise_rate,
        noise_rate_charts,
        draw_noise_rate,
    ),
    Section(
        "memorisation",
        "Memorisation of wrong labels",
        "Where the first chart rises late in training, the network learns wrong labels by heart; the second shows what it sees through.",
        collect_memorisation,
        memorisation_charts,
        draw_memorisation,
    ),
    Section(
        "features",
        "What networks make of images",
        "Each point is a test image. Methods differ in how well classes part; trust the two numbers above a map more than its looks.",
        collect_features,
        features_charts,
        draw_features,
        tables=("features", "feature_maps"),
    ),
    Section(
        "importance",
        "Settings that mattered",
        "Where a search could be cut, and where it should look closer. Shares are hints: wide as their intervals are, they are too narrow.",
        collect_importance,
        importance_charts,
        draw_importance,
    ),
    Section(
        "parallel",
        "Where good trials lie",
        "Follow the coloured lines, the fronts, from setting to setting: where they gather, good trials share a value.",
        collect_parallel,
        parallel_charts,
        draw_parallel,
    ),
    Section(
        "winners_curse",
        "Winner's curse",
        "What the search promised of the chosen settings against what fresh seeds gave: on the dotted line it kept its word.",
        collect_winners_curse_info,
        winners_curse_charts,
        draw_winners_curse,
        tables=("winners_curse_means", "winners_curse"),
    ),
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
