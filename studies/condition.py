"""A condition of a study file: how the training labels are spoiled."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, field_validator, model_validator

from bsd_core.data.noise_kinds import HUMAN_SETS, NOISE_KINDS
from bsd_core.errors import ConfigError, unknown_name
from studies.field_types import Text
from studies.recipe import Strict

_FROM_FILES: Final = ("human", "confusion", "saved")  # what follows the colon of their short form is no rate


class Condition(Strict):
    """How the training labels are spoiled.

    Short forms: `none`, `symmetric:0.4` or `symmetric_40`, `human:worse`, `confusion:<file>`, `saved:<file>`.
    """

    kind: str = Field(
        description="none, symmetric, symmetric_inclusive, asymmetric, pairflip, instance, human, confusion, or saved (of another run)"
    )
    rate: float = Field(default=0.0, description="share of ALL labels that are wrong, in [0, 1); symmetric_inclusive: redrawn")
    mapping: Annotated[dict[int, int], Field(min_length=1)] | None = Field(
        default=None, description="asymmetric: wrong label by true label; default: the data set's map"
    )
    labels: str | None = Field(
        default=None, description="human: which of CIFAR-N's labels, aggre, worse, random1, random2, random3, or (CIFAR-100) noisy"
    )
    file: Text | None = Field(
        default=None,
        description="human: CIFAR-N's file, by default data_dir/CIFAR-10_human.pt; confusion: a K x K matrix as .csv, .npy or .json, "
        "true class by row; saved: labels/<condition>.parquet of a run",
    )

    @property
    def name(self) -> str:
        """`none`, kind and percent as in `symmetric_40`, `human_worse`, or kind and file name as in `confusion_mine`."""
        if self.kind == "none":
            return "none"
        if self.kind == "human":
            return f"human_{self.labels}"
        if self.file is not None:
            return f"{self.kind}_{re.sub(r'[^a-z0-9]+', '_', Path(self.file).stem.lower())[:40]}"
        return f"{self.kind}_{self.rate * 100:.10g}"

    @property
    def exact(self) -> bool:
        """Whether the number of wrong labels is exactly round(rate * N), not random or a file's."""
        return self.kind != "saved" and NOISE_KINDS[self.kind].exact

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, separator, rest = value.partition(":")
        if kind in _FROM_FILES and separator:
            return {"kind": kind, "labels" if kind == "human" else "file": rest}
        if not separator and (percent := re.fullmatch(r"([a-z_]+)_(\d+(?:\.\d+)?)", value)):
            return {"kind": percent[1], "rate": float(percent[2]) / 100}
        if not separator:
            return {"kind": kind}
        try:
            return {"kind": kind, "rate": float(rest)}
        except ValueError:
            raise ConfigError(f"The rate of condition {value!r} is not a number; write it like symmetric:0.4.") from None

    @field_validator("file")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        """A path that the user wrote from where they stand, and not by way of `latest`: a run is resumed elsewhere and later."""
        return os.path.realpath(os.path.expanduser(path)) if path else path

    @model_validator(mode="after")
    def _check(self) -> Condition:
        if self.kind not in NOISE_KINDS and self.kind != "saved":
            raise unknown_name("condition", self.kind, [*NOISE_KINDS, "saved"])
        if self.kind in _FROM_FILES:
            if self.rate:
                raise ConfigError(f"Condition {self.kind!r} takes no rate, which its file says, but got rate={self.rate:g}.")
        elif not 0 <= self.rate < 1:
            raise ConfigError(f"`0 <= rate < 1` must hold, but condition {self.kind!r} has rate={self.rate:g}.")
        elif self.kind == "none" and self.rate:
            raise ConfigError(f"Condition 'none' has no rate, but got rate={self.rate:g}.")
        elif self.kind != "none" and not self.rate:
            raise ConfigError(f"Condition {self.kind!r} needs a rate above 0, e.g. {self.kind}:0.4.")
        for field, kinds in (("mapping", ("asymmetric",)), ("labels", ("human",)), ("file", _FROM_FILES)):
            if getattr(self, field) is not None and self.kind not in kinds:
                raise ConfigError(f"Only {' and '.join(kinds)} noise takes `{field}`, but condition {self.kind!r} has one.")
        if self.kind == "human":
            self._check_human()
        elif self.kind in _FROM_FILES and not self.file:
            suffix = "csv" if self.kind == "confusion" else "parquet"
            raise ConfigError(f"Condition {self.kind!r} needs its file, e.g. {self.kind}:my_file.{suffix}.")
        return self

    def _check_human(self) -> None:
        if self.labels is None:
            raise ConfigError(f"Condition 'human' needs which labels, e.g. human:worse; there are {', '.join(HUMAN_SETS)}.")
        if self.labels not in HUMAN_SETS:
            raise unknown_name("set of human labels", self.labels, HUMAN_SETS)
