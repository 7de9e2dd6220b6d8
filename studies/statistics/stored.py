"""What the stored logits of confirmed settings say image by image, resampled over images alike for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from studies.predictions import Prediction, read_predictions
from studies.statistics.confirmed import ConfirmedPoint, Row
from studies.statistics.resampling import Float64, Replicates, ResampledMetrics, Resampler

_BLOCK = 2**22  # logits held as float64 at once: 32 MiB
_MOST_NATS: Final = -float(np.log(np.finfo(np.float64).tiny))  # as the metrics count a probability of 0


class StoredPredictions:
    """Clean test predictions of confirmed points, resampled alike for all of them; each point is read once.

    Args:
        folder: tables/predictions of a run; it need not exist.
        seed: of the resamples.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._first: Prediction | None = None
        self._resampler: Resampler | None = None
        self._known: dict[str, ResampledMetrics | None] = {}

    def resampled(self, point: ConfirmedPoint) -> ResampledMetrics | None:
        """Metrics of a point's finished trainings, or None where one kept no predictions, or of other images.

        ECE after temperature scaling takes each training's temperature as given: what other validation images would make of it is not
        resampled. It is None where a training has none.

        Raises:
            DataError: a file is broken.
        """
        if point.trial_id not in self._known:
            self._known[point.trial_id] = self._resample(point)
        return self._known[point.trial_id]

    def _resample(self, point: ConfirmedPoint) -> ResampledMetrics | None:
        found = [self._read(row["trial_id"]) for row in point.finished]
        kept = [prediction for prediction in found if prediction is not None]
        if not kept or len(kept) < len(found) or len(kept[0].rows) < 2:
            return None
        self._first = first = self._first or kept[0]
        if not all(np.array_equal(first.rows, other.rows) and np.array_equal(first.targets, other.targets) for other in kept):
            return None
        self._resampler = self._resampler or Resampler(len(first.rows), seed=self._seed)
        images = [judge_images(prediction.logits, prediction.targets) for prediction in kept]
        temperatures = [temperature_of(row, point) for row in point.finished]
        scaled = [
            judge_images(prediction.logits, prediction.targets, temperature=temperature).confidence
            for prediction, temperature in zip(kept, temperatures, strict=True)
            if temperature is not None
        ]
        replicates = Replicates(
            np.stack([image.confidence for image in images]),
            np.stack([image.hit for image in images]),
            numbers=tuple(row["replicate"] for row in point.finished),
            nll=np.stack([image.nll for image in images]),
            scaled_confidence=np.stack(scaled) if len(scaled) == len(kept) else None,
        )
        return self._resampler.apply(replicates)

    def _read(self, trial_id: str) -> Prediction | None:
        path = self._folder / f"{trial_id}.parquet"
        if not path.is_file():
            return None
        clean = read_predictions(path, only=("test", "clean"))
        return clean[0] if clean else None


def temperature_of(training: Row, point: ConfirmedPoint) -> float | None:
    """What scaled a training's predictions: its own temperature, or that of the search trial if it trained on all images."""
    own: float | None = training["temperature"]
    return point.temperature if own is None else own


class Judged(NamedTuple):
    """A network's predictions judged image by image.

    Attributes:
        confidence: (N,) probability of the predicted class.
        hit: (N,) whether that is the label.
        nll: (N,) minus the log of the label's probability, in nats; a probability of 0 counts as the smallest normal number.
    """

    confidence: Float64
    hit: npt.NDArray[np.bool_]
    nll: Float64


def judge_images(logits: Any, targets: npt.NDArray[np.int64], *, temperature: float = 1.0) -> Judged:
    """Softmax of (N, K) logits of any precision, divided by a temperature > 0, judged by (N,) labels."""
    n, n_classes = logits.shape
    rows = max(1, _BLOCK // n_classes)
    confidence, nll = np.empty(n), np.empty(n)
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        block = np.asarray(logits[part], dtype=np.float64)
        block = (block - block.max(axis=1, keepdims=True)) / temperature
        total = np.exp(block).sum(axis=1)
        confidence[part] = 1 / total
        nll[part] = np.log(total) - np.take_along_axis(block, targets[part, None], axis=1)[:, 0]
    return Judged(confidence, logits.argmax(axis=1) == targets, np.minimum(nll, _MOST_NATS))
