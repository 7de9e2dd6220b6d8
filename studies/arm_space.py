"""What is searched in an arm and what is not, as far as the study says: no method is looked at, so readers of tables need no Torch."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, IntDistribution

from search_spaces import SHARED, get_search_space
from studies.spec import StudySpec


def searched_settings(spec: StudySpec, method: str) -> dict[str, BaseDistribution]:
    """Distributions of the settings that a method's arms search, after the study's `search_space`, `search_also` and `fixed`."""
    space, constant = get_search_space(method), constant_settings(spec, method)
    wanted = space.distributions(spec.optimizer) | {name: space.extra[name] for name in spec.search_also.get(method, [])}
    within = {name: _within(values, spec) if name == "warmup_epochs" else values for name, values in wanted.items()}
    return {name: values for name, values in within.items() if name not in constant}


def constant_settings(spec: StudySpec, method: str) -> dict[str, float | int | str]:
    """Settings that every trial of a method's arms has."""
    first = get_search_space(method).starts(spec.optimizer)[0]
    constant: dict[str, float | int | str] = {}
    if spec.search_space == "published":
        constant |= first
    if spec.search_space != "full":
        constant |= {name: first[name] for name in SHARED} | spec.recipe_rates
    return constant | spec.fixed.get("shared", {}) | spec.fixed.get(method, {})


def is_within(space: BaseDistribution, value: object) -> bool:
    """Whether a search of this space could have suggested the value."""
    try:
        return value is not None and bool(space._contains(space.to_internal_repr(value)))
    except (TypeError, ValueError):
        return False


def _within(epochs: BaseDistribution, spec: StudySpec) -> BaseDistribution:
    """At most a third of a training waits, also of one that a budget of images cuts in half."""
    assert isinstance(epochs, IntDistribution)
    return IntDistribution(epochs.low, min(epochs.high, spec.epochs // 3))
