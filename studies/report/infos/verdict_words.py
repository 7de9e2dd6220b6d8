"""Verdicts as clauses of a sentence, short also where many methods and conditions are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from studies.report.compared import format_p
from studies.report.infos.leaders import Lead

_NAMED: Final = 4  # methods or conditions named one by one
_BETTER: Final = {"test_accuracy": "more accurate", "test_ece": "better calibrated"}
_SHORT: Final = {"test_accuracy": "accuracy", "test_ece": "ECE"}


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def under(condition: str) -> str:
    """`without label noise`, `with symmetric_40`."""
    return "without label noise" if condition == "none" else f"with {condition}"


def within_condition(accuracy: Lead, ece: Lead) -> str:
    """What is told apart in one condition, in both metrics.

    Args:
        accuracy, ece: of the same condition, at least one with a pair that is told apart.
    """
    where = under(accuracy.condition)
    if ece.clear and not accuracy.n_told:
        text = f"{where} {ece.method} is {_better_than(ece)}"
        rivals = [accuracy.means[name] for name in ece.beaten if name in accuracy.means]
        if ece.method in accuracy.means and rivals:
            own = f"{100 * accuracy.means[ece.method]:.1f} % against {_range(rivals)}"
            return f"{text} at an accuracy that is not distinguishable from theirs ({own})"
        return text
    if accuracy.clear and ece.clear and accuracy.method == ece.method:
        return f"{where} {accuracy.method} is {_better_than(accuracy)} and {_better_than(ece)}"
    return f"{where} {_clause(accuracy)}, and {_clause(ece)}"


def several_conditions(pairs: Sequence[tuple[Lead, Lead]]) -> str:
    """In how many conditions methods are told apart, by metric, and who has the best mean there."""
    return "; ".join(_counted(metric) for metric in zip(*pairs, strict=True))


def _counted(found: Sequence[Lead]) -> str:
    metric = _SHORT[found[0].metric]
    told = [lead for lead in found if lead.n_told]
    if not told:
        return f"{metric} tells no two methods apart in any of {len(found)} conditions"
    clear = [lead for lead in told if lead.clear]
    leaders: dict[str, list[str]] = {}
    for lead in clear:
        leaders.setdefault(lead.method, []).append(lead.condition)
    if len(clear) <= _NAMED:
        best = [f"{method} {listed([under(name) for name in conditions])}" for method, conditions in leaders.items()]
    else:
        ordered = sorted(leaders, key=lambda method: -len(leaders[method]))
        best = [f"{method} in {len(leaders[method])}" for method in ordered[:_NAMED]]
        best += [f"{len(ordered) - _NAMED} other methods in the others"] if len(ordered) > _NAMED else []
    named = f" (where the best mean stands out: {', '.join(best)})" if best else ""
    return f"{metric} tells methods apart in {len(told)} of {len(found)} conditions{named}"


def _clause(lead: Lead) -> str:
    if lead.clear:
        return f"{lead.method} is {_better_than(lead)}"
    if lead.n_told:
        return f"{lead.n_told} of {lead.n_pairs} pairs are distinguishable in {_SHORT[lead.metric]}, though none from the best mean"
    return f"no two methods are distinguishable in {_SHORT[lead.metric]}"


def _better_than(lead: Lead) -> str:
    """`better calibrated than a and b, but not distinguishable from c (ECE 2.0 % against 3.0 to 5.0 %, p 0.012)`."""
    rivals = [lead.means[name] for name in lead.beaten if name in lead.means]
    values = f"{_SHORT[lead.metric]} {100 * lead.means[lead.method]:.1f} % against {_range(rivals)}"
    tied = f", but not distinguishable from {_names(lead.tied, lead.beaten)}" if lead.tied else ""
    return f"{_BETTER[lead.metric]} than {_names(lead.beaten, lead.tied)}{tied} ({values}, {_p(lead)})"


def _names(names: Sequence[str], others: Sequence[str]) -> str:
    """The methods, or of many how many of all."""
    if len(names) <= _NAMED:
        return listed(names)
    return f"all {len(names)} others" if not others else f"{len(names)} of {len(names) + len(others)} others"


def _p(lead: Lead) -> str:
    assert lead.p is not None
    text = format_p(lead.p)
    return text if len(lead.beaten) == 1 or "<" in text else text.replace("p ", "p at most ", 1)


def _range(values: Sequence[float]) -> str:
    low, high = f"{100 * min(values):.1f}", f"{100 * max(values):.1f}"
    return f"{low} %" if low == high else f"{low} to {high} %"
