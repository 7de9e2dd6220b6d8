"""Where noisy labels come from, so that they can be drawn or read again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bsd_core.errors import ConfigError, DataError, one_line, require


@dataclass(frozen=True, kw_only=True)
class NoiseRecord:
    """Where saved labels come from.

    With the data, and the files that `details` names, it is all that is needed to make the labels again.

    Attributes:
        kind: one of `NOISE_KINDS`.
        rate: as it was asked for, in [0, 1); 0 for kinds whose rate a file says.
        seed: of the noise. A number: the labels of all splits were drawn at once, in the order in which they are saved. By the name of the
            split: each was drawn by itself, in the order in which it is saved. Labels that people gave have none; theirs means nothing.
        n_classes: K.
        data_fingerprint: of the images and true labels; see `ImageSet.fingerprint`.
        details: what else made the labels: {"mapping": {"0": 1, ...}} of asymmetric noise, {"file": ..., "sha256": ...} of a confusion
            matrix (see `file_details`), and with {"labels": "worse"} of human labels. Held as JSON holds it: keys are texts.

    Raises:
        ConfigError: a field of another type, a rate outside [0, 1), or details that JSON cannot hold.
    """

    kind: str
    rate: float
    seed: int | dict[str, int]
    n_classes: int
    data_fingerprint: str
    details: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        seeds = self.seed.values() if isinstance(self.seed, dict) else [self.seed]
        require(isinstance(self.kind, str), "kind is a text", kind=self.kind)
        require(_is_int(self.rate) or isinstance(self.rate, float), "rate is a number", rate=self.rate)
        require(0 <= self.rate < 1, "0 <= rate < 1", rate=self.rate)
        require(all(map(_is_int, seeds)), "seed is a whole number, or one for each split", seed=self.seed)
        require(_is_int(self.n_classes) and self.n_classes >= 1, "n_classes is a whole number >= 1", n_classes=self.n_classes)
        require(isinstance(self.data_fingerprint, str), "data_fingerprint is a text", data_fingerprint=self.data_fingerprint)
        require(isinstance(self.details, dict), "details is a dictionary", details=self.details)
        try:
            as_json = json.loads(json.dumps(self.details, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"`details` of labels must be what JSON can hold ({one_line(error, limit=120)}).") from error
        object.__setattr__(self, "details", as_json)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def file_details(path: Path) -> dict[str, str]:
    """{"file": name without folders, "sha256": of the content}, for `NoiseRecord.details`.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({one_line(error, limit=120)}).") from error
