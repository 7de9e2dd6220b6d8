"""What `python -m bsd_core` measures and prints when a training is over."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import torch

from bsd_core.data.host_images import to_device
from bsd_core.data.images import ImageSet
from bsd_core.data.sources import Source
from bsd_core.errors import ConfigError
from bsd_core.evaluate import EvaluationPlan, Row, evaluate, predict, summarise
from bsd_core.metrics.calibration import fit_temperature
from bsd_core.robustness.choice import chosen_names
from bsd_core.robustness.names import CORRUPTIONS, MAIN, MAIN_PERTURBATIONS, PERTURBATIONS
from bsd_core.robustness.official import OfficialCorruptions, official_folder
from bsd_core.train import Trainer


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is measured."""
    parser.add_argument("--split", default="val", choices=("val", "test"), help="images that the metrics at the end are of")
    parser.add_argument("--corruptions", default="all", help="all, main, none, official (with --split test), or names with commas")
    parser.add_argument("--severities", default="3", help="of 1 to 5, with commas")
    parser.add_argument("--official-folder", metavar="DIR", help="released corruptions, if not in the data dir under their own name")
    parser.add_argument("--frost-folder", metavar="DIR", help="photographs of frost of your own, instead of generated textures")
    parser.add_argument("--perturbations", default="none", help="all, main, none, or names with commas")


@dataclass(frozen=True, kw_only=True)
class FinalEvaluation:
    """What is measured, on which split."""

    split: str
    plan: EvaluationPlan
    official: str | None  # the folder of released corrupted images, or `auto`; None for ours

    @classmethod
    def parse(cls, options: argparse.Namespace) -> FinalEvaluation:
        """From the options of `add_options`.

        Raises:
            ConfigError: unknown names or severities, or released images asked for another split than test.
        """
        official = (options.official_folder or "auto") if options.corruptions == "official" else None
        if official is not None and options.split != "test":
            raise ConfigError("The released corruptions are of test images: --corruptions official needs --split test.")
        if official is not None and options.frost_folder is not None:
            raise ConfigError("--frost-folder is for our corruptions, but --corruptions official takes the released ones.")
        if official is None and options.official_folder is not None:
            raise ConfigError("--official-folder needs --corruptions official.")
        severities = options.severities.split(",")
        if not all(text.strip() in ("1", "2", "3", "4", "5") for text in severities):
            raise ConfigError(f"--severities are of 1 to 5, with commas, but got {options.severities!r}.")
        plan = EvaluationPlan(
            corruptions=_names("corruption", "all" if official is not None else options.corruptions, {"all": CORRUPTIONS, "main": MAIN}),
            severities=tuple(dict.fromkeys(int(text) for text in severities)),
            frost_folder=options.frost_folder,
            perturbations=_names("perturbation", options.perturbations, {"all": PERTURBATIONS, "main": MAIN_PERTURBATIONS}),
        )
        return cls(split=options.split, plan=plan, official=official)

    def open_files(self, source: Source, data_dir: str) -> OfficialCorruptions | None:
        """The released images, if they are asked for; every file that will be read later is checked now.

        Raises:
            ConfigError, DataError: none are released of this data set, or the files are not what they should be.
        """
        self.plan.check(channels=source.test.channels, image_size=source.test.image_size)
        if self.official is None:
            return None
        folder = official_folder(source.name, data_dir) if self.official == "auto" else self.official
        found = OfficialCorruptions.open(folder, source.test.targets, clean=source.test.images)
        for name in self.plan.corruptions:
            found.images(name, self.plan.severities[0], slice(0, 1))
        return found

    def run(
        self, trainer: Trainer, device: torch.device, *, val: ImageSet, test: ImageSet, official: OfficialCorruptions | None
    ) -> list[Row]:
        """Rows of metrics by true labels; the temperature is fitted on validation images."""
        images = val if self.split == "val" else test
        temperature = None
        if self.split == "test":
            logits = predict(trainer.network, to_device(val.images, device), trainer.normaliser)
            temperature = fit_temperature(logits, torch.as_tensor(val.targets).to(device))
        rows, _ = evaluate(
            trainer.network,
            trainer.normaliser,
            to_device(images.images, device),
            {self.split: torch.as_tensor(images.targets).to(device)},
            plan=self.plan,
            temperature=temperature,
            official=official,
        )
        return rows

    def render(self, rows: list[Row]) -> str:
        """A table and a summary as lines of text."""
        what = "validation images" if self.split == "val" else "test images"
        lines = ["", f"{'':28}{'accuracy':>9}{'ECE':>8}{'NLL':>8}{'Brier':>8}   (n = {rows[0]['n']} {what}, true labels)"]
        for row in rows:
            if row["shift"] == "perturbation":
                lines.append(f"{row['name']:28}predictions flip at {row['flip_probability']:.2%} of the frames (n = {row['n']})")
                continue
            name = row["name"] if row["shift"] == "clean" else f"{row['name']} severity {row['severity']}"
            lines.append(f"{name:30}{row['accuracy']:7.2%}{row['ece']:8.2%}{row['nll']:8.3f}{row['brier']:8.3f}")
        summary = summarise(rows)
        if self.plan.corruptions:
            kind = "our" if self.official is None else "released"
            lines.append(
                f"{'mean of the corrupted':30}{summary['corrupted_accuracy']:7.2%}{summary['corrupted_ece']:8.2%}"
                f"{summary['corrupted_nll']:8.3f}           ({kind} corruptions; worst: {summary['worst_corruption']})"
            )
        if self.plan.perturbations:
            lines.append(f"{'mean flip probability':28}{summary['flip_probability']:.2%}")
        return "\n".join(lines)


def _names(kind: str, text: str, groups: dict[str, Any]) -> tuple[str, ...]:
    return tuple(chosen_names(kind, [part.strip() for part in text.split(",")], groups))
