"""The fields of a study that say how its networks are trained: a `TrainConfig`, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bsd_core.config import RECIPES, TrainConfig
from bsd_core.errors import unknown_name

Count = Annotated[int, Field(ge=1, le=1_000_000)]
SEARCHED: Final = ("learning_rate", "weight_decay")  # each trial has its own


class Strict(BaseModel):
    """No unknown fields, no silent conversions, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _on_or_off(value: Any) -> Any:
    """YAML reads a bare `on` or `off` as a truth value."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class RecipeFields(Strict):
    """How every network of the study is trained; learning rate and weight decay are searched, or come from `recipe`."""

    recipe: str | None = Field(
        default=None,
        description=f"a published recipe ({', '.join(sorted(RECIPES))}) for the fields below that are left out; with "
        "search_space: method_only also for learning rate and weight decay",
    )
    epochs: Count = Field(description="epochs of every trial")
    budget: Literal["epochs", "images"] = Field(
        default="epochs",
        description="epochs: every method trains as many steps; images: every method pushes at most epochs x training images through "
        "networks, so methods that push more a step train fewer steps",
    )
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = Field(default=128, description="images a step; CS-KD adds as many partners")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="adamw has search ranges of its own")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD; the first beta of adamw")
    nesterov: bool = Field(default=False, description="Nesterov's form of momentum; sgd only")
    schedule: Literal["constant", "cosine", "multi_step", "one_cycle"] = Field(default="cosine", description="of the learning rate")
    milestones: list[float] = Field(default=[0.5, 0.75], description="of multi_step: shares of the training at which the rate drops")
    drop: float = Field(default=0.1, gt=0, le=1, description="of multi_step: what the rate is multiplied by at each milestone")
    warmup_epochs: float = Field(default=1.0, ge=0, description="linear warm-up before the schedule; one_cycle has its own")
    gradient_clip: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="largest norm of all gradients together; null: off"
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, description="evaluate an exponential average of the weights with this decay; null: the last weights"
    )
    precision: Literal["auto", "bfloat16", "float32"] = Field(default="auto", description="auto: bfloat16 on a GPU, float32 on a CPU")
    compile: Annotated[Literal["auto", "off", "on"], BeforeValidator(_on_or_off)] = Field(
        default="auto", description="compile the network; auto: long trainings on a GPU"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_recipe(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("recipe"), str):
            return data
        if data["recipe"] not in RECIPES:
            raise unknown_name("recipe", data["recipe"], RECIPES)
        preset = {name: list(value) if isinstance(value, tuple) else value for name, value in RECIPES[data["recipe"]].items()}
        return {name: value for name, value in preset.items() if name not in SEARCHED} | data

    @property
    def recipe_rates(self) -> dict[str, float]:
        """Learning rate and weight decay of the named recipe; empty without one."""
        if self.recipe is None:
            return {}
        config = TrainConfig(**RECIPES[self.recipe])
        return {name: getattr(config, name) for name in SEARCHED}

    def train_config(self, **rates: float) -> TrainConfig:
        """What trainings are told, with a trial's own `rates`.

        Raises:
            ConfigError: fields that do not go together.
        """
        fields = {name: getattr(self, name) for name in RecipeFields.model_fields if name != "recipe"}
        return TrainConfig(**{**fields, "milestones": tuple(self.milestones), **rates})
