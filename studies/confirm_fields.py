"""The field `confirm` of a study file: which settings are trained again with fresh seeds and looked at on the test split."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from bsd_core.errors import ConfigError
from studies.choose import POINTS
from studies.field_types import known, listed
from studies.recipe import Count, Strict
from studies.shifts import check_severities, corruption_names, perturbation_names


class Confirm(Strict):
    """What happens after the search: chosen settings, fresh seeds, and the first look at the test split."""

    points: Annotated[str, known("choice of points", POINTS)] = Field(
        default="front",
        description="settings chosen in each arm by validation values: best_accuracy, best_ece, knee, or front (these three, then its "
        "least crowded members)",
    )
    at_most: Count = Field(default=3, description="chosen settings in each arm")
    operating_points: bool = Field(
        default=True,
        description="also confirm the study's operating points, at most three settings a condition",
    )
    seeds: int = Field(default=5, le=10_000, description="trainings of each chosen setting, each with a fresh seed, the same in every arm")
    noise_seeds: Literal["fresh", "same"] = Field(
        default="fresh", description="fresh: each seed draws its own wrong labels, where the kind of noise draws any; same: the search's"
    )
    train_on: Literal["train", "train+val"] = Field(
        default="train", description="train+val: also on the images that chose; their temperature is then that of the search's training"
    )
    corruptions: Annotated[list[str], BeforeValidator(listed)] = Field(
        default=["all"], validate_default=True, description="of the test images: names, `main` (15), `all` (19) or `none`"
    )
    severities: Annotated[list[int], BeforeValidator(listed), Field(min_length=1)] = Field(default=[1, 2, 3, 4, 5], description="of 1 to 5")
    perturbations: Annotated[list[str], BeforeValidator(listed)] | None = Field(
        default=None, description="of the test images; null: those of `evaluate`"
    )
    images: Count | None = Field(default=None, description="corrupt and perturb a stratified subset of this many test images; null: all")
    predictions: Literal["clean", "all", "none"] = Field(
        default="clean",
        description="logits kept in tables/predictions, two bytes each: of clean images, of corrupted ones too, or none; intervals over "
        "images and paired comparisons need the clean ones",
    )
    features: bool = Field(
        default=True,
        description="keep penultimate features of up to 2,000 test images in tables/features, two bytes each, of the first training of "
        "each chosen setting; the report's feature maps are of them",
    )
    max_ece: float = Field(default=0.05, gt=0, le=1, description="the operating point accurate_and_calibrated has no larger ECE than this")

    @field_validator("seeds")
    @classmethod
    def _some_seeds(cls, seeds: int) -> int:
        if seeds < 1:
            raise ConfigError(f"`seeds >= 1` must hold, but got seeds={seeds}. To leave the confirm phase out, say confirm: none.")
        return seeds

    @field_validator("corruptions")
    @classmethod
    def _known_corruptions(cls, names: list[str]) -> list[str]:
        return corruption_names(names)

    @field_validator("perturbations")
    @classmethod
    def _known_perturbations(cls, names: list[str] | None) -> list[str] | None:
        return None if names is None else perturbation_names(names)

    @field_validator("severities")
    @classmethod
    def _range(cls, severities: list[int]) -> list[int]:
        return check_severities(severities)


def none_means_null(value: Any) -> Any:
    """`confirm: none` reads better than null; YAML takes `no` and `off` for a truth value."""
    return None if value is False or value == "none" else value
