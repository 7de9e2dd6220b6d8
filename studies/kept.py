"""What a trial of the confirm phase hands over beside its end, and where it goes: a file of predictions and one of features."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from studies.features import Features, features_folder, write_features
from studies.predictions import Prediction, write_predictions


class Kept(NamedTuple):
    """What is kept of one trial; much of it nothing, as the study says.

    Attributes:
        predictions: logits of sets of images.
        features: penultimate ones of some test images.
    """

    predictions: list[Prediction]
    features: Features | None


def write_kept(predictions: Path, trial_id: str, kept: Kept) -> None:
    """Write what is there.

    Args:
        predictions: the run's folder for these.
        trial_id: of the trial.
        kept: of its end.

    Raises:
        StorageError: it cannot be written.
    """
    name = f"{trial_id}.parquet"
    if kept.predictions:
        write_predictions(predictions / name, kept.predictions)
    if kept.features is not None:
        write_features(features_folder(predictions) / name, kept.features)
