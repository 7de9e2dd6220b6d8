"""Verdicts as clauses of a sentence, short also where many methods and conditions are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from studies.report.compared import format_p
from studies.report.infos.leaders import Lead

_NAMED: Final = 4  # methods or conditions named one by one
_BETTER: Final = {"test_accuracy": "more accurate", "test_ece": "better calibrated"}
_WORSE: Final = {"test_accuracy": "less accurate", "test_ece": "less well calibrated"}
_SHORT: Final = {"test_accuracy": "accuracy", "test_ece": "ECE"}
_SHARED: Final = "on the seeds that both finished"


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
            return f"{text} at an accuracy that {_unlike_theirs(accuracy)} ({own})"
        return text
    if accuracy.clear and ece.clear and accuracy.method == ece.method:
        return f"{where} {accuracy.method} is {_better_than(accuracy)} and {_better_than(ece)}"
    return f"{where} {_clause(accuracy)}, and {_clause(ece)}"


def several_conditions(pairs: Sequence[tuple[Lead, Lead]]) -> str:
    """In how many conditions methods are told apart, by metric, and who has the best mean there."""
    return "; ".join(_counted(metric) for metric in zip(*pairs, strict=True))


def where_tested(pairs: Sequence[tuple[Lead, Lead]]) -> str:
    """How far a statement on all pairs of methods in these conditions, and on both metrics, was tested; nothing where it was in full."""
    n = sum(lead.n_pairs for lead, _ in pairs)
    tested = [sum(lead.n_tested for lead in leads) for leads in zip(*pairs, strict=True)]
    if tested == [n, n]:
        return ""
    return f" where that could be tested: {tested[0]} of {n} pair{'' if n == 1 else 's'} in accuracy, {tested[1]} of {n} in ECE"


def _unlike_theirs(accuracy: Lead) -> str:
    """Of a condition in which no two methods are told apart in accuracy."""
    if not accuracy.n_tested:
        return "could not be tested against theirs"
    where = "" if accuracy.n_tested == accuracy.n_pairs else " where that could be tested"
    return f"is not distinguishable from theirs{where}"


def _counted(found: Sequence[Lead]) -> str:
    metric = _SHORT[found[0].metric]
    told = [lead for lead in found if lead.n_told]
    if not any(lead.n_tested for lead in found):
        return f"no difference in {metric} could be tested in any of {len(found)} conditions"
    if not told:
        return f"{metric} tells no two methods apart in any of {len(found)} conditions"
    groups = {
        "the best mean stands out": [lead for lead in told if lead.stands_out],
        "it is told apart from some methods, but not from all": [lead for lead in told if lead.clear and not lead.stands_out],
    }
    named = "; ".join(f"where {what}: {_leaders(leads)}" for what, leads in groups.items() if leads)
    return f"{metric} tells methods apart in {len(told)} of {len(found)} conditions{f' ({named})' if named else ''}"


def _leaders(leads: Sequence[Lead]) -> str:
    """Methods and where each has the best mean."""
    leaders: dict[str, list[str]] = {}
    for lead in leads:
        leaders.setdefault(lead.method, []).append(lead.condition)
    if len(leads) <= _NAMED:
        best = [f"{method} {listed([under(name) for name in conditions])}" for method, conditions in leaders.items()]
    else:
        ordered = sorted(leaders, key=lambda method: -len(leaders[method]))
        best = [f"{method} in {len(leaders[method])}" for method in ordered[:_NAMED]]
        best += [f"{len(ordered) - _NAMED} other methods in the others"] if len(ordered) > _NAMED else []
    return ", ".join(best)


def _clause(lead: Lead) -> str:
    if lead.clear:
        return f"{lead.method} is {_better_than(lead)}"
    metric = _SHORT[lead.metric]
    if lead.n_told:
        best = f"{lead.method} with the best mean is {_worse_than(lead)}" if lead.beaten_by else "none from the best mean"
        return f"{lead.n_told} of {lead.n_pairs} pairs are distinguishable in {metric}, though {best}"
    if not lead.n_tested:
        return f"no difference in {metric} could be tested"
    where = "" if lead.n_tested == lead.n_pairs else f" where that could be tested ({lead.n_tested} of {lead.n_pairs} pairs)"
    return f"no two methods are distinguishable in {metric}{where}"


def _better_than(lead: Lead) -> str:
    """`better calibrated than a and b, but not distinguishable from c (ECE 2.0 % against 3.0 to 5.0 %, p 0.012)`."""
    limits = [_worse_than(lead)] if lead.beaten_by else []
    limits += [f"not distinguishable from {_names(lead.tied, lead)}"] if lead.tied else []
    limits += [f"not tested against {_names(lead.untested, lead)}"] if lead.untested else []
    rivals = [lead.means[name] for name in lead.beaten if name in lead.means]
    values = f"{_SHORT[lead.metric]} {100 * lead.means[lead.method]:.1f} % against {_range(rivals)}"
    but = f", but {listed(limits)}" if limits else ""
    return f"{_BETTER[lead.metric]} than {_names(lead.beaten, lead)}{but} ({values}, {_p(lead)})"


def _worse_than(lead: Lead) -> str:
    """Of those that beat the best mean: means are over all seeds, verdicts over shared ones, and trainings that failed part the two."""
    return f"{_WORSE[lead.metric]} than {_names(lead.beaten_by, lead)} {_SHARED}"


def _names(names: Sequence[str], lead: Lead) -> str:
    """The methods, or of many how many of all that the best mean has a pair with."""
    if len(names) <= _NAMED:
        return listed(names)
    n = sum(map(len, (lead.beaten, lead.tied, lead.beaten_by, lead.untested)))
    return f"all {n} others" if len(names) == n else f"{len(names)} of {n} others"


def _p(lead: Lead) -> str:
    assert lead.p is not None
    text = format_p(lead.p)
    return text if len(lead.beaten) == 1 or "<" in text else text.replace("p ", "p at most ", 1)


def _range(values: Sequence[float]) -> str:
    low, high = f"{100 * min(values):.1f}", f"{100 * max(values):.1f}"
    return f"{low} %" if low == high else f"{low} to {high} %"
