"""A study file, typed and checked: one YAML file is one question.

Unknown fields, wrong types and impossible values are refused before anything starts, with the rule, the value and the nearest spelling.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bsd_core.config import AugmentConfig
from bsd_core.data.source_names import check_name
from bsd_core.errors import ConfigError, unknown_name
from bsd_core.network_names import WIDTHS, check_width
from search_spaces import SEARCH_SPACES, SHARED
from studies.condition import Condition
from studies.confirm_fields import Confirm, none_means_null
from studies.field_types import Setting, Text, known, listed, unique
from studies.objectives import Objectives
from studies.recipe import Count, RecipeFields, Strict
from studies.shifts import Evaluate
from studies.stopping_fields import Stopping

SEARCH_VARIANTS: Final = ("full", "method_only", "published")
# Context of a validation: the study of a run, to be read. It was checked when the run began; what torch must be loaded for is not checked
# again, and that is whether the methods have, and take, the settings in `fixed`.
RECORDED: Final = {"recorded": True}


class Augment(Strict):
    """Random augmentation of training images."""

    crop_padding: Annotated[int, Field(ge=0, le=256)] = Field(default=0, description="zero pixels around the image before a random crop")
    flip: bool = Field(default=False, description="horizontal flip with probability 1/2")
    cutout: Annotated[int, Field(ge=0, le=4096)] = Field(
        default=0, description="side in pixels of a square at a random place filled with the training mean; 0: off"
    )
    rand_augment: Annotated[int, Field(ge=0, le=10)] = Field(
        default=0, description="magnitude of two random operations an image, colour or geometry (RandAugment-lite); 0: off"
    )
    resized_crop: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="least share of the area kept by a random crop that is resized back, instead of crop_padding; 0: off"
    )

    @model_validator(mode="after")
    def _check(self) -> Augment:
        AugmentConfig(**self.model_dump())
        return self


class Arm(NamedTuple):
    """Method x condition: what has a search of its own, by Optuna's sampler or, as a baseline, at random."""

    method: str
    condition: Condition
    sampler: Literal["tpe", "random"] = "tpe"

    @property
    def name(self) -> str:
        """`<method>/<condition>`, and `/random` for a baseline."""
        return f"{self.method}/{self.condition.name}{'/random' if self.sampler == 'random' else ''}"


class StudySpec(RecipeFields):
    """One study. Every field can be set in the YAML file or overridden as key=value."""

    question: Text = Field(description="what the study asks, in a sentence")
    dataset: Text = Field(
        default="digits",
        description="digits, cifar10, cifar100, svhn, fashion_mnist, mnist; folders of images: tiny_imagenet, cub200, stanford_dogs, "
        "mit67, imagenet, folder:<path>; or parquet:<path>",
    )
    image_size: Annotated[int, Field(ge=8, le=4096)] | None = Field(
        default=None, description="side in pixels to which folders of images are resized and cropped; null: 64 for tiny_imagenet, else 224"
    )
    data_dir: Text = Field(default="data", description="where data sets lie; its folder `cache` keeps decoded images")
    download: bool = Field(default=True, description="fetch missing files, of the data sets that are not folders of images")
    train_images: Count | None = Field(default=None, description="use a stratified subset of the official training images; null: all")
    val_fraction: float = Field(default=0.2, gt=0, lt=1, description="share of the training images held out for validation")
    validation_labels: Literal["clean", "noisy"] = Field(
        default="noisy",
        description="which validation labels drive the search; `noisy` carries the condition's noise, as in practice; both are stored",
    )
    model: str = Field(
        default="resnet8",
        description="resnet8, resnet20, resnet56, wide_resnet (WRN-28), preact_resnet18 (CS-KD's), or torchvision's resnet18, resnet34, "
        "resnet50, resnet101, resnext101_32x4d, densenet121, vit_b_16",
    )
    width: Count | None = Field(
        default=None,
        description="channels of the first stage (resnet8, resnet20, resnet56; preact_resnet18), or the widening factor (wide_resnet); "
        "null: as published, 16, 64 or 10",
    )
    stem: Literal["auto", "small", "published"] = Field(
        default="auto",
        description="first layers of the network: small keeps the resolution, published is made for 224 px; auto: small up to 64 px a side",
    )
    pretrained: Text | None = Field(
        default=None,
        description="a local file of weights to start from (torchvision's, or a checkpoint of ours), which every node must have; "
        "null: random weights",
    )
    n_classes: Annotated[int, Field(ge=2, le=1_000_000)] | None = Field(
        default=None, description="outputs of the network; null: as many as the data set has classes"
    )
    methods: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)] = Field(description="methods compared")
    conditions: Annotated[list[Condition], BeforeValidator(listed), Field(min_length=1)] = Field(
        description="label noise they train under; each method x condition is an arm"
    )
    search_space: Annotated[str, known("search space", SEARCH_VARIANTS)] = Field(
        default="full",
        description="full: the method's settings, learning rate and weight decay; method_only: the method's settings alone; published: "
        "nothing, every trial repeats the first published settings with another seed",
    )
    search_also: dict[str, list[str]] = Field(
        default={}, description="by method, settings that are searched only where asked for, e.g. {bsd: [warmup_epochs, evidence]}"
    )
    fixed: dict[str, dict[str, Setting]] = Field(
        default={}, description="settings that are not searched, by method or `shared`, e.g. {bsd: {temperature: 1.0}}"
    )
    objectives: Annotated[list[str], BeforeValidator(listed)] = Field(
        default=list(Objectives()),
        description="what the search looks for: val_accuracy or val_corrupted_accuracy, up, and val_ece or val_corrupted_ece, down",
    )
    trials: Count = Field(description="finished trials in every arm; with `stopping`, its budget in full trainings")
    stopping: Stopping = Field(default_factory=Stopping, description="whether trainings that fall behind end early: none, pareto_halving")
    baseline: Literal["none", "random"] = Field(
        default="none", description="random: every arm gets a twin that searches at random, to see what the search is worth"
    )
    confirm: Annotated[Confirm | None, BeforeValidator(none_means_null)] = Field(
        default_factory=Confirm, description="what is trained again with fresh seeds and looked at on the test split; or none"
    )
    augment: Annotated[
        Annotated[Literal["auto", "none"], Tag("_name")] | Annotated[Augment, Tag("_fields")],
        Discriminator(lambda value: "_fields" if isinstance(value, dict | Augment) else "_name"),
    ] = Field(default="auto", description="auto: what suits the data set; none; or fields")
    evaluate: Evaluate = Field(default_factory=Evaluate, description="what every finished trial is shown besides clean images")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(default=0, description="root of all randomness")
    cpus_per_trial: float = Field(default=1.0, ge=0.01, le=100_000, description="fractions allowed: 0.5 runs two trials a core")
    gpus_per_trial: float = Field(default=0.0, ge=0, le=100_000, description="fractions allowed: 0.25 runs four trials a GPU")
    checkpoint_seconds: Annotated[Annotated[float, Field(ge=0, le=1e9)] | None, BeforeValidator(none_means_null)] = Field(
        default=60.0,
        description="seconds between the checkpoints from which a trial goes on when its process, its node or the driver dies; none: it "
        "starts again",
    )
    tensorboard: bool = Field(
        default=False, description="write TensorBoard events, too: <run>/tensorboard/<arm>/<trial>, with every epoch as it ends"
    )
    trial_timeout: Annotated[Annotated[float, Field(gt=0, le=1e9)] | None, BeforeValidator(none_means_null)] = Field(
        default=None, description="seconds after which a trial that has not ended is ended, recorded as failed and replaced; none: never"
    )

    @property
    def arms(self) -> list[Arm]:
        """Method x condition, conditions outermost; then the baselines."""
        arms = [Arm(method, condition) for condition in self.conditions for method in self.methods]
        return arms + [arm._replace(sampler="random") for arm in arms] * (self.baseline == "random")

    @property
    def compared_arms(self) -> list[Arm]:
        """Without the baselines."""
        return [arm for arm in self.arms if arm.sampler != "random"]

    @property
    def targets(self) -> Objectives:
        """The two columns that choose."""
        return Objectives(*self.objectives)

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, names: list[str]) -> list[str]:
        return list(Objectives.parse(names))

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, methods: list[str]) -> list[str]:
        for method in methods:
            if method not in SEARCH_SPACES:
                raise unknown_name("method", method, SEARCH_SPACES)
        return unique("method", methods)

    @field_validator("conditions")
    @classmethod
    def _unique_conditions(cls, conditions: list[Condition]) -> list[Condition]:
        for first, second in itertools.combinations(conditions, 2):
            if first != second and first.name == second.name:
                raise ConfigError(f"Two different conditions are both called {first.name!r}; give their files different names.")
        unique("condition", [condition.name for condition in conditions])
        return conditions

    @field_validator("fixed")
    @classmethod
    def _absolute_teacher(cls, fixed: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """A path that the user wrote from where they stand; trials stand in other folders."""
        for settings in fixed.values():
            if isinstance(teacher := settings.get("teacher"), str) and teacher:
                settings["teacher"] = os.path.abspath(os.path.expanduser(teacher))
        return fixed

    @field_validator("pretrained")
    @classmethod
    def _absolute_weights(cls, path: str | None) -> str | None:
        """As for a teacher."""
        return None if path is None else os.path.abspath(os.path.expanduser(path))

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        if name not in WIDTHS:
            raise unknown_name("model", name, WIDTHS)
        return name

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        check_name(name)
        return name

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> StudySpec:
        self.train_config()
        check_width(self.model, self.width)
        if 0 < self.gpus_per_trial < 0.01:
            raise ConfigError(f"gpus_per_trial is 0 or at least 0.01, but got {self.gpus_per_trial:g}.")
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise ConfigError(f"gpus_per_trial above 1 is a whole number, but got {self.gpus_per_trial:g}.")
        if self.targets.on_corrupted and not self.evaluate.corruptions:
            raise ConfigError("The objectives are measured on corrupted images, but `evaluate.corruptions` is none.")
        shown = [*self.evaluate.corruptions, *(self.confirm.corruptions if self.confirm else [])]
        if self.evaluate.frost_folder is not None and "frost" not in shown:
            raise ConfigError("`frost_folder` is for the corruption frost, which no `corruptions` name.")
        self._check_fixed(recorded=info.context is RECORDED)
        self._check_search_also()
        return self

    def _check_search_also(self) -> None:
        if self.search_also and self.search_space == "published":
            raise ConfigError("search_space: published searches nothing, but `search_also` names settings to search.")
        for method, names in self.search_also.items():
            if method not in self.methods:
                raise unknown_name("method in `search_also`", method, self.methods)
            extra = SEARCH_SPACES[method].extra
            for name in unique("setting in `search_also`", names):
                if name not in extra:
                    raise unknown_name(f"setting in `search_also.{method}`", name, extra or ["none"])
                if name in self.fixed.get(method, {}):
                    raise ConfigError(f"`search_also.{method}` searches {name}, but `fixed.{method}` fixes it.")

    def _check_fixed(self, *, recorded: bool) -> None:
        for owner, settings in self.fixed.items():
            if owner != "shared" and owner not in self.methods:
                raise unknown_name("method in `fixed`", owner, [*self.methods, "shared"])
            own = {name: value for name, value in settings.items() if name not in SHARED}
            if not recorded or owner == "shared":
                _check_names(owner, own)
            try:
                shared = {name: value for name, value in settings.items() if name in SHARED}
                for name, value in shared.items():
                    if isinstance(value, str):
                        raise ConfigError(f"{name} must be a number, but got {value!r}.")
                self.train_config(**shared)
                if not recorded and owner != "shared":
                    _check_values(owner, own)
            except ConfigError as error:
                raise ConfigError(f"fixed.{owner}: {error}") from None


def _check_names(owner: str, settings: dict[str, Any]) -> None:
    """Refuse a name of none of the settings of a method, or of `shared`."""
    if owner == "shared":
        known = {*SHARED}
    else:
        from bsd_core.methods import get_method  # which needs torch

        known = {*SHARED, *(field.name for field in dataclasses.fields(get_method(owner).Config))}
    for name in settings:
        if name not in known:
            raise unknown_name(f"setting in `fixed.{owner}`", name, known)


def _check_values(method: str, settings: dict[str, Any]) -> None:
    from bsd_core.methods import method_config

    method_config(method, settings)
