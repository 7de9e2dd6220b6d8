"""The answer to the study's question, in two sentences made from its numbers.

The first says what the confirmed comparisons tell apart on test images, the second what limits that. Nothing here decides anything: every
verdict is one of the statistics document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from studies.objectives import short_titles
from studies.report.compared import SAME, first_role
from studies.report.infos.leaders import Lead, Numbers, leads
from studies.report.infos.limits import after_temperature, basis, cautions, judged
from studies.report.infos.verdict_words import listed, several_conditions, under, where_tested, within_condition
from studies.report.source import ReportSource
from studies.report.standings import collect_standings
from studies.screen import percent

_FULL: Final = 2  # conditions whose verdicts are spelled out; of more they are counted


@dataclass(frozen=True)
class AnswerInfo:
    """What the study says.

    Attributes:
        sentences: two where there is a result, else one or two that say why there is none.
    """

    sentences: list[str]


def collect_answer(source: ReportSource) -> AnswerInfo:
    """From the statistics document; of a study without confirmed trainings, from the validation values of its search."""
    document = source.document
    if not source.trials:
        return AnswerInfo(["No training has ended yet, so there is no answer."])
    if not any(row["state"] == "complete" for row in source.trials):
        return AnswerInfo([_none_finished(source)])
    if not any(_measured(point) for point in document["confirmed"]):
        return AnswerInfo(_searched(source))
    if not document["comparisons"]:
        return AnswerInfo(_alone(source))
    if not document["budgets"]["equal"]:
        return AnswerInfo(_unequal(source))
    return AnswerInfo(_compared(source))


def _measured(point: Numbers) -> bool:
    """Whether a confirmed setting has a test value of both."""
    return all(point["metrics"][metric]["mean"] is not None for metric in ("test_accuracy", "test_ece"))


def _none_finished(source: ReportSource) -> str:
    n_failed = sum(row["state"] == "failed" for row in source.trials)
    n = len(source.trials)
    if n_failed == n:
        return f"{'The only training' if n == 1 else f'All {n} trainings'} failed, so there is no answer; the reasons are under Failures."
    return f"None of {n} trainings has come to its end ({n_failed} failed, the others were stopped early), so there is no answer."


def _searched(source: ReportSource) -> list[str]:
    """The best validation values, and that they are no more than that."""
    accuracy, ece = source.spec.targets
    finished = [row for row in source.searched if row["state"] == "complete"]
    chosen = source.document["confirmed"]
    if chosen:
        trainings = source.confirming
        n_failed = sum(row["state"] == "failed" for row in trainings)
        why = f"{len(chosen)} settings were chosen to be confirmed, but none of their trainings has come to its end ({n_failed} failed)"
    elif source.spec.confirm is None:
        why = "nothing was confirmed on test images, since the study does not ask for it (`confirm: none`)"
    else:
        why = "nothing has been confirmed on test images yet"
    if not finished:
        return [f"No trial of the search came to its end, and {why}."]
    titles = short_titles(source.spec.targets)
    parts: list[str] = []
    for condition in source.conditions:
        members = [row for row in finished if row["condition"] == condition]
        if members and len(parts) < _FULL:
            best = max(members, key=lambda row: (row[accuracy], -row[ece]))
            calm = min(members, key=lambda row: (row[ece], -row[accuracy]))
            shown = {id(row): f"({titles[0]} {_percent(row[accuracy])}, {titles[1]} {_percent(row[ece])})" for row in (best, calm)}
            parts.append(
                f"{under(condition)} the most accurate and best calibrated trial is one of {best['method']} {shown[id(best)]}"
                if best is calm
                else f"{under(condition)} the most accurate trial is one of {best['method']} {shown[id(best)]} and the best calibrated one "
                f"of {calm['method']} {shown[id(calm)]}"
            )
    others = len({row["condition"] for row in finished}) - len(parts)
    more = _more(others)
    unequal = " and the searches had unequal budgets" if not source.document["budgets"]["search_equal"] else ""
    return [
        f"By validation values of the search alone, {'; '.join(parts)}{more}.",
        f"That answers nothing yet: {why}{unequal}; the best of many trials looks better than it is.",
    ]


def _alone(source: ReportSource) -> list[str]:
    """Confirmed values without a pair to compare."""
    document = source.document
    role = collect_standings(source).role
    finished = [point for point in document["confirmed"] if _measured(point)]
    by_role = {point["condition"]: point for point in reversed(finished) if role in point["roles"]}
    shown = []
    for condition in dict.fromkeys(point["condition"] for point in finished):
        point = by_role.get(condition) or next(point for point in finished if point["condition"] == condition)
        values = point["metrics"]
        shown.append(
            f"{under(condition)} {point['method']} reaches an accuracy of {_interval(values['test_accuracy'])} "
            f"and an ECE of {_interval(values['test_ece'])}"
        )
    more = _more(len(shown) - _FULL)
    n_methods = len({point["method"] for point in finished})
    why = (
        "one method alone was confirmed, so there is nothing to compare it with"
        if n_methods == 1
        else "no two methods were confirmed in the same condition, so nothing is compared"
    )
    return [
        f"On test, {'; '.join(shown[:_FULL])}{more}.",
        f"{why[0].upper()}{why[1:]}; {basis(document, role if len(by_role) == len(shown) else None)}.",
    ]


def _unequal(source: ReportSource) -> list[str]:
    """That no verdict can be given, and what was measured."""
    document = source.document
    reasons = "; ".join(reason.rstrip(".") for reason in document["budgets"]["reasons"])
    means = {
        metric: [point["metrics"][metric]["mean"] for point in document["confirmed"] if point["metrics"][metric]["mean"] is not None]
        for metric in ("test_accuracy", "test_ece")
    }
    (low, high), (calm, loud) = ((min(values), max(values)) for values in means.values())
    return [
        f"No method is called better than another, because budgets are unequal: {reasons}.",
        f"On test the confirmed settings reach accuracies of {_span(low, high)} and ECEs of {_span(calm, loud)}, but a difference may be "
        f"one of budgets; {basis(document)}.",
    ]


def _compared(source: ReportSource) -> list[str]:
    """The verdicts, then their limits."""
    document = source.document
    role = first_role(document)
    assert role is not None
    accuracy = leads(document, role, "test_accuracy", higher_is_better=True)
    ece = {lead.condition: lead for lead in leads(document, role, "test_ece", higher_is_better=False)}
    both = [(lead, ece[lead.condition]) for lead in accuracy if lead.condition in ece]
    if not both:
        return ["No two methods have a finished training on test in common, so nothing is compared.", f"{basis(document)}."]
    if not any(lead.n_tested for pair in both for lead in pair):
        reasons = "; ".join(dict.fromkeys(pair["reason"].rstrip(".") for pair in judged(document, role) if pair["reason"]))
        best = f" (the best means are {_best_means(both[0])})" if len(both) == 1 else ""
        return [f"On test, no difference between methods could be tested{best}: {reasons}.", f"{_capital(basis(document))}."]
    told = [pair for pair in both if any(lead.n_told for lead in pair)]
    quiet = [pair for pair in both if pair not in told]
    if not told:
        n = sum(lead.n_pairs for lead, _ in both)
        where = listed([under(lead.condition) for lead, _ in both]) if len(both) <= _FULL else f"in none of {len(both)} conditions"
        limit = where_tested(both)
        pairs = f"{n} pair{'s' if n > 1 else ''}, Holm's correction" if not limit else "Holm's correction"
        best = f"; the best means are {_best_means(both[0])}" if len(both) == 1 else ""
        verb = "are any two methods" if len(both) > _FULL else "no two methods are"
        first = f"On test, {where} {verb} distinguishable in accuracy or ECE{limit} ({pairs}){best}"
    elif len(told) <= _FULL:
        parts = [within_condition(*pair) for pair in told]
        if quiet:
            where = listed([under(lead.condition) for lead, _ in quiet]) if len(quiet) <= _FULL else f"in {len(quiet)} other conditions"
            parts.append(f"{where} no two methods are distinguishable in either{where_tested(quiet)}")
        first = f"On test, {'; '.join(parts)} (p-values after Holm's correction)"
    else:
        first = f"On test, {several_conditions(both)} (after Holm's correction)"
    limits = [basis(document, role), *after_temperature(document, role), *cautions(document, role)]
    if quiet or any(lead.tied for pair in both for lead in pair):
        limits.append(f'"{SAME}" is within noise, which is no proof of being equal')
    return [f"{first}.", f"{_capital('; '.join(limits))}."]


def _best_means(pair: tuple[Lead, Lead]) -> str:
    accuracy, ece = pair
    return " and ".join(
        f"{name} {_percent(lead.means[lead.method])} of {lead.method}" for name, lead in (("accuracy", accuracy), ("ECE", ece))
    )


def _more(n_conditions: int) -> str:
    return "" if n_conditions <= 0 else f"; {n_conditions} more condition{'s are' if n_conditions > 1 else ' is'} below"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _percent(fraction: float) -> str:
    return f"{percent(fraction)} %"


def _span(low: float, high: float) -> str:
    return _percent(low) if f"{low:.3f}" == f"{high:.3f}" else f"{100 * low:.1f} to {_percent(high)}"


def _interval(summary: Numbers) -> str:
    if summary["low"] is None:
        return _percent(summary["mean"])
    return f"{_percent(summary['mean'])} [{100 * summary['low']:.1f}, {100 * summary['high']:.1f}]"
