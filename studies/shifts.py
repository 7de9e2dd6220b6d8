"""The field `evaluate` of a study file: what a trained network is shown besides clean images."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from bsd_core.errors import ConfigError
from bsd_core.robustness.choice import chosen_names
from bsd_core.robustness.names import CORRUPTIONS, MAIN, MAIN_PERTURBATIONS, PERTURBATIONS
from studies.field_types import Text, listed, unique
from studies.recipe import Count, Strict


def corruption_names(names: list[str]) -> list[str]:
    """The corruptions that a list of names, `main`, `all` or `none` means."""
    return chosen_names("corruption", names, {"all": CORRUPTIONS, "main": MAIN})


def perturbation_names(names: list[str]) -> list[str]:
    """The perturbations that a list of names, `main`, `all` or `none` means."""
    return chosen_names("perturbation", names, {"all": PERTURBATIONS, "main": MAIN_PERTURBATIONS})


def check_severities(severities: list[int]) -> list[int]:
    """Each of 1 to 5, once."""
    for severity in severities:
        if severity not in (1, 2, 3, 4, 5):
            raise ConfigError(f"A severity is 1, 2, 3, 4 or 5, but got {severity}.")
    return unique("severity", severities)


class Evaluate(Strict):
    """What a trained network is shown besides clean images."""

    corruptions: Annotated[list[str], BeforeValidator(listed)] = Field(
        default=["all"],
        validate_default=True,
        description="names, `main` (15), `all` (19), `none`, or `official`: all, with the released files of CIFAR-10-C for the test split",
    )
    severities: Annotated[list[int], BeforeValidator(listed), Field(min_length=1)] = Field(default=[1, 2, 3, 4, 5], description="of 1 to 5")
    perturbations: Annotated[list[str], BeforeValidator(listed)] = Field(
        default=["none"],
        validate_default=True,
        description="names, `main` (10), `all` (14), or `none`; sequences of up to 31 frames",
    )
    images: Count | None = Field(
        default=None, description="corrupt and perturb a stratified subset of this many validation images; null: all"
    )
    official: Text | None = Field(
        default=None,
        description="corrupt the test split by released files: their folder, or auto, <data_dir>/CIFAR-10-C or CIFAR-100-C; validation "
        "images are corrupted by us",
    )
    frost_folder: Text | None = Field(
        default=None, description="a folder of frost photographs of your own, which every node must have; null: generated textures"
    )

    @model_validator(mode="before")
    @classmethod
    def _official_means_all(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("corruptions") in ("official", ["official"]):
            return {**value, "corruptions": "all", "official": value.get("official") or "auto"}
        return value

    @field_validator("corruptions")
    @classmethod
    def _known_corruptions(cls, names: list[str]) -> list[str]:
        if "official" in names:
            raise ConfigError("`official` stands alone, but the list also names other corruptions.")
        return corruption_names(names)

    @field_validator("perturbations")
    @classmethod
    def _known_perturbations(cls, names: list[str]) -> list[str]:
        return perturbation_names(names)

    @field_validator("frost_folder", "official")
    @classmethod
    def _absolute_folder(cls, path: str | None, info: ValidationInfo) -> str | None:
        """A path that the user wrote from where they stand; trials stand in other folders."""
        is_path = path is not None and (info.field_name, path) != ("official", "auto")
        return os.path.abspath(os.path.expanduser(path)) if path is not None and is_path else path

    @model_validator(mode="after")
    def _files_are_of_corruptions(self) -> Evaluate:
        if self.official is not None and not self.corruptions:
            raise ConfigError("`official` files are corrupted images, but `corruptions` is none.")
        return self

    @field_validator("severities")
    @classmethod
    def _range(cls, severities: list[int]) -> list[int]:
        return check_severities(severities)
