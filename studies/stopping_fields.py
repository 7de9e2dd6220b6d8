"""The field `stopping` of a study file: whether trainings that fall behind are ended early."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from bsd_core.errors import ConfigError
from studies.field_types import known
from studies.recipe import Count, Strict
from studies.rungs import Rungs

STOPPING: Final = ("none", "pareto_halving")


class Stopping(Strict):
    """Early stopping inside an arm; short form: its kind alone."""

    kind: Annotated[str, known("kind of stopping", STOPPING)] = Field(
        default="none",
        description="none: every trial trains to its end; pareto_halving: only the best 1/reduction by (error, NLL) go on past a rung; "
        "`trials` is then each arm's budget in full trainings, so arms are equal in epochs",
    )
    reduction: Annotated[int, Field(ge=2, le=64)] = Field(default=3, description="one of so many goes on past each rung")
    first_rung: Count | None = Field(
        default=None,
        description="epochs before a trial can be stopped; further rungs after `reduction` times as many, up to two thirds of a training; "
        "null: a seventh of it",
    )
    audit: float = Field(default=0.1, ge=0, le=1, description="share of the stopped trials that run to their end, to see what was lost")

    @model_validator(mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _of_some_stopping(self) -> Stopping:
        changed = [name for name in ("reduction", "first_rung", "audit") if getattr(self, name) != type(self).model_fields[name].default]
        if self.kind == "none" and changed:
            raise ConfigError(f"`{changed[0]}` is set, but nothing stops early: say stopping: {{kind: pareto_halving, ...}}.")
        return self

    @property
    def rungs(self) -> Rungs | None:
        """When trainings are compared; None where nothing is stopped."""
        return None if self.kind == "none" else Rungs(self.reduction, self.first_rung)
