"""Maps of what confirmed networks make of test images just before their last layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from studies.features import Features, read_features
from studies.report.data_table import Cell, Column, DataTable
from studies.report.feature_maps import FEWEST, MOST_PLACES, FeatureMaps
from studies.report.source import Numbers, ReportSource
from studies.report.standings import collect_standings

AT_MOST: Final = 24  # maps


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """One network's map.

    Attributes:
        condition, method: of the setting.
        trial_id: of the training with the first fresh seed.
        n_images: whose features are stored, and of which the numbers are.
        n_features: length of one.
        recall_at_1: share of images whose nearest other has the same class; None of one image.
        intra_class_variation: in [0, 1].
        rows: (n,) places in the test split of the images on the map.
        targets: (n,) their classes.
        places: (n, 2) on the map.
    """

    condition: str
    method: str
    trial_id: str
    n_images: int
    n_features: int
    recall_at_1: float | None
    intra_class_variation: float
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]

    @property
    def quality(self) -> list[str]:
        """Recall@1 and intra-class variation, each in a few words."""
        recall = [] if self.recall_at_1 is None else [f"Recall@1 {100 * self.recall_at_1:.1f} %"]
        return [*recall, f"variation {self.intra_class_variation:.3f}"]


@dataclass(frozen=True, eq=False)
class FeaturesInfo:
    """Maps of the confirmed setting that stands for each method.

    Attributes:
        maps: by condition, then method, in the order of the study.
        without: methods and conditions that were confirmed and have no stored features.
        beyond: how many more there are features of.
        why: there is no map; None where there is one.
        role: by which a setting stands for its method.
    """

    maps: list[FeatureMap]
    without: list[str]
    beyond: int
    why: str | None
    role: str

    @property
    def missing(self) -> str | None:
        """Where no features are stored."""
        return self.why

    @property
    def conditions(self) -> list[str]:
        """Those with a map."""
        return list(dict.fromkeys(one.condition for one in self.maps))

    @property
    def classes(self) -> list[int]:
        """Those that occur."""
        return sorted({int(target) for one in self.maps for target in np.unique(one.targets)})

    @property
    def caption(self) -> str:
        """Which networks and images, what the numbers are, and what a map does not say."""
        if not self.maps:
            return ""
        counts, drawn = sorted({one.n_images for one in self.maps}), sorted({len(one.rows) for one in self.maps})
        n = _range(counts)
        some = "" if counts == drawn else f" (of these {_range(drawn)} on each map)"
        lines = [
            f"Penultimate features of n = {n} test images{some}, class-stratified and the same for all, by t-SNE of their directions, "
            "coloured by true class.",
            f"One network each: the first fresh seed of the setting confirmed as {self.role}, so no interval over seeds, and small "
            "differences between methods are not distinguishable.",
            "Recall@1: share of images whose nearest other image (cosine) is of the same class. Intra-class variation: mean squared "
            "distance of normalised features to their class mean, in [0, 1].",
            "In a map only who neighbours whom means something: distances between clusters and their sizes mean little.",
        ]
        if self.without:
            lines.append(f"No features are stored of {', '.join(self.without)}.")
        if self.beyond:
            lines.append(f"The first {AT_MOST} maps of {AT_MOST + self.beyond} are drawn.")
        return "\n".join(lines)

    def tables(self) -> list[DataTable]:
        """The numbers, a row a map; and every point."""
        columns = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("trial_id", "training"),
            Column("n_images", "images", "whole"),
            Column("n_features", "features", "whole"),
            Column("recall_at_1", "Recall@1, %", "percent"),
            Column("intra_class_variation", "intra-class variation", "number", digits=3),
        ]
        rows: list[dict[str, Cell]] = [{column.name: getattr(one, column.name) for column in columns} for one in self.maps]
        points = [
            Column("condition", "condition"),
            Column("method", "method"),
            Column("row", "test image", "whole"),
            Column("target", "class", "whole"),
            Column("x", "x", "number"),
            Column("y", "y", "number"),
        ]
        places: list[dict[str, Cell]] = [
            {"condition": one.condition, "method": one.method, "row": row, "target": target, "x": round(x, 1), "y": round(y, 1)}
            for one in self.maps
            for row, target, (x, y) in zip(one.rows.tolist(), one.targets.tolist(), one.places.tolist(), strict=True)
        ]
        return [
            DataTable("features", "How well classes lie apart in the features of confirmed networks", columns, rows),
            DataTable("feature_maps", "Places of test images on the maps, without unit", points, places),
        ]


def collect_features(source: ReportSource) -> FeaturesInfo:
    """From stored features, the statistics and maps that were made before; new maps are kept beside the page.

    Raises:
        DataError: a file of features is broken.
    """
    role = collect_standings(source).role
    found, without = _stored(source, role)
    if not found:
        return FeaturesInfo([], [], 0, _why(source), role)
    shown = found[:AT_MOST]
    # By the study, not by what is confirmed so far: maps that are made stay.
    per_map = MOST_PLACES // min(len(source.spec.compared_arms), AT_MOST)
    maps = FeatureMaps(source.path / "report" / "feature_maps.parquet")
    made = [_map(source, point, trial_id, maps, per_map) for point, trial_id in shown]
    maps.save()
    return FeaturesInfo(made, without, len(found) - len(shown), None, role)


def _stored(source: ReportSource, role: str) -> tuple[list[tuple[Numbers, str]], list[str]]:
    """Confirmed settings with the training whose features are stored, and the names of those without."""
    first = {row["confirms"]: row["trial_id"] for row in source.confirming if row["replicate"] == 0}
    found, without = [], []
    for condition in source.conditions:
        for method in source.methods:
            point = source.confirmed(condition, method, role)
            if point is None or not point["n_finished"]:
                continue
            quality = source.document.get("features", {}).get(point["trial_id"])
            trial_id = first.get(point["trial_id"])
            if quality is None or trial_id is None or quality["n_images"] < FEWEST or not _path(source, trial_id).is_file():
                without.append(f"{method} in {condition}")
            else:
                found.append((point, trial_id))
    return found, without


def _why(source: ReportSource) -> str:
    if not source.document["confirmed"]:
        return "Nothing was confirmed: features are kept of networks that were trained again with fresh seeds and shown test images."
    if source.spec.confirm is not None and not source.spec.confirm.features:
        return "The study keeps no features (confirm.features: false)."
    return (
        "No features are stored: trainings with the first fresh seed have not finished or had no memory left for them, or are of an older "
        "version or a copy in part."
    )


def _path(source: ReportSource, trial_id: str) -> Path:
    return source.path / "tables" / "features" / f"{trial_id}.parquet"


def _map(source: ReportSource, point: Numbers, trial_id: str, maps: FeatureMaps, at_most: int) -> FeatureMap:
    stored = read_features(_path(source, trial_id))
    some = evenly_by_class(stored, at_most)
    quality = source.document["features"][point["trial_id"]]
    return FeatureMap(
        condition=point["condition"],
        method=point["method"],
        trial_id=trial_id,
        n_images=quality["n_images"],
        n_features=quality["n_features"],
        recall_at_1=quality["recall_at_1"],
        intra_class_variation=quality["intra_class_variation"],
        rows=stored.rows[some],
        targets=stored.targets[some],
        places=maps.map(stored.values[some], seed=source.spec.seed),
    )


def evenly_by_class(stored: Features, at_most: int) -> npt.NDArray[np.int64]:
    """Indices of at most so many images, in every class the same share up to one image; in order."""
    n = len(stored.rows)
    if n <= at_most:
        return np.arange(n)
    by_class = np.lexsort((stored.rows, stored.targets))
    some: npt.NDArray[np.int64] = np.sort(by_class[np.arange(at_most) * n // at_most])
    return some


def _range(counts: list[int]) -> str:
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
