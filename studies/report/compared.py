"""How methods compare, from the statistics document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from studies.report.confirmed import of_wanted, plain_table
from studies.robustness import BASE_METHOD

Numbers = Mapping[str, Any]  # parts of the document

METRIC_NAMES: Final = {
    "test_accuracy": "accuracy",
    "test_ece": "ECE",
    "test_nll": "NLL",
    "test_ece_temperature_scaled": "ECE after T",
    "test_corrupted_accuracy": "corr. accuracy",
    "test_corrupted_ece": "corr. ECE",
}
SAME: Final = "not distinguishable"
HERE: Final = "on these images"  # what a verdict over seeds alone is restricted to

_SHOWN: Final = ("test_accuracy", "test_ece")
_AT_MOST: Final = 12  # pairs named in a line


def roles(document: Numbers) -> list[str]:
    """The roles by which methods are compared."""
    return list(dict.fromkeys(pair["role"] for pair in document["comparisons"]))


def first_role(document: Numbers) -> str | None:
    """The role whose comparisons a run ends with; None without comparisons."""
    return next(iter(roles(document)), None)


def roles_of_other_settings(document: Numbers) -> list[str]:
    """The further roles by which other trials are compared than by the first one."""
    compared: dict[str, set[tuple[str, str, str]]] = {}
    for pair in document["comparisons"]:
        compared.setdefault(pair["role"], set()).add((pair["condition"], pair["trial_id"], pair["other_trial_id"]))
    first = compared.get(first_role(document) or "", set())
    return [role for role, pairs in compared.items() if not pairs <= first]


def _pairs(document: Numbers, role: str | None) -> dict[str, dict[tuple[str, str], dict[str, Numbers]]]:
    """By condition, by (method, other), by metric: the comparisons by one role."""
    found: dict[str, dict[tuple[str, str], dict[str, Numbers]]] = {}
    for pair in document["comparisons"]:
        if pair["role"] == role:
            found.setdefault(pair["condition"], {}).setdefault((pair["method"], pair["other"]), {})[pair["metric"]] = pair
    return found


def _told_apart(pair: Mapping[str, Numbers], metrics: Iterable[str]) -> bool:
    return any(pair[metric]["verdict"] in ("better", "worse") for metric in metrics)


def render_comparisons(document: Numbers, role: str | None = None) -> RenderableType:
    """Accuracy and ECE of each method less those of another, at 80 columns: all pairs with plain training, and what else differs.

    Args:
        document: with comparisons.
        role: which setting stands for a method; by default the first role there is.
    """
    role = role or first_role(document)
    parts: list[RenderableType] = [Text(f"methods compared on test, each by its {role} setting", style="bold")]
    judged, wanted = document["budgets"]["equal"], document["setup"]["seeds"]
    for condition, pairs in _pairs(document, role).items():
        differing = {names for names, pair in pairs.items() if _told_apart(pair, _SHOWN)}
        if judged and not differing:
            parts.append(
                Text(f"condition {condition}: no two methods are distinguishable in accuracy or ECE ({_counted(len(pairs), 'pair')}).")
            )
            continue
        table = plain_table()
        table.add_column(f"condition\n{condition}", ratio=1, overflow="fold")
        for title in ("accuracy,\npoints", "ECE,\npoints"):
            table.add_column(title, no_wrap=True)
        shown = [names for names in pairs if names in differing or names[1] == BASE_METHOD]
        for names in shown:
            table.add_row(_named(names, pairs[names], wanted), *(Text(_cell(pairs[names][metric])) for metric in _SHOWN))
        parts.append(table)
        if others := [" - ".join(names) for names in pairs if names not in shown]:
            named = ", ".join(others) if len(others) <= _AT_MOST else f"{len(others)} other pairs"
            parts.append(Text(f"{SAME} in both: {named}" if judged else f"in report/statistics.json: {named}"))
    parts += [Text(), Text(_caption(document, role), style="dim")]
    return Group(*parts)


def _named(names: tuple[str, str], pair: Mapping[str, Numbers], wanted: int) -> Text:
    """A pair, and on how many seeds it rests where trainings failed or are still to come."""
    n = pair["test_accuracy"]["n_replicates"]
    return Text(" - ".join(names) + ("" if n == wanted else f"\n  {of_wanted(n, wanted)} seeds"))


def _cell(pair: Numbers) -> str:
    if pair["difference"] is None:
        return "no shared seed"
    change = f"{100 * pair['difference']:+.1f}"
    if pair["low"] is not None:
        change += f" [{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}]"
    if pair["verdict"] is None:
        return change
    if pair["verdict"] == SAME:
        return f"{change}\n{SAME}"
    here = "" if pair["over"] == "seeds and images" else f"\n{HERE}"
    return f"{change}\n{pair['verdict']} ({format_p(pair['holm_p'])}){here}"


def format_p(p: float) -> str:
    """`p 0.003`, `p < 0.001`."""
    return f"p {p:.3f}" if p >= 0.0005 else "p < 0.001"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _caption(document: Numbers, role: str | None) -> str:
    shown = [pair for pair in document["comparisons"] if pair["role"] == role and pair["metric"] in _SHOWN]
    if not any(pair["n_replicates"] for pair in shown):
        return "No two methods finished a training with the same fresh seed, so nothing is compared."
    both = all(pair["over"] == "seeds and images" for pair in shown)
    over = "fresh seeds and other images" if both else "fresh seeds alone, for these images: predictions were not kept"
    replicates = sorted({pair["n_replicates"] for pair in shown})
    n = f"{replicates[0]}" if len(replicates) == 1 else f"{replicates[0]} to {replicates[-1]}"
    lines = [f"[ ]: 95 % interval of each difference by itself, over {over}; paired by seed, wrong labels and image; n = {n} seeds."]
    if document["budgets"]["equal"]:
        lines.append(
            f"Verdicts: p < {document['level']:g} after Holm's correction for all pairs and conditions. {SAME}: within noise, which is no "
            "proof of being equal."
        )
    else:
        lines.append(_no_verdict(document))
    if any(pair["n_replicates"] < document["setup"]["seeds"] for pair in shown):
        lines.append("Seeds on which a training failed or is still to come are left out of a difference, which may flatter.")
    lines += [f"No interval: {reason}" for reason in dict.fromkeys(pair["reason"] for pair in shown) if reason]
    lines.append(
        f"Compared are the settings that one search of {_trials(document)} an arm chose; another search could choose others, which "
        "no interval here covers."
    )
    return "\n".join(lines)


def _trials(document: Numbers) -> str:
    n = sorted({arm["n_finished"] for arm in document["budgets"]["arms"] if arm["n_confirmed"]})
    return _counted(n[0], "trial") if len(n) == 1 else f"{n[0]} to {n[-1]} trials"


def _no_verdict(document: Numbers) -> str:
    reasons = "; ".join(document["budgets"]["reasons"])
    return f"No verdict: budgets are NOT equal, so a difference may be one of budgets: {reasons}."


def render_verdicts(document: Numbers) -> RenderableType:
    """In which metrics a method is better or worse than another; pairs that no metric tells apart are counted.

    Where budgets are unequal, the differences with plain training instead.
    """
    judged, wanted = document["budgets"]["equal"], document["setup"]["seeds"]
    measured = [metric for metric in METRIC_NAMES if any(pair["metric"] == metric for pair in document["comparisons"])]
    title = (
        f"verdicts in all metrics by {first_role(document)} settings (=: {SAME})"
        if judged
        else "no verdicts: differences in all metrics (points, but NLL in nats)"
    )
    parts: list[RenderableType] = [Text(title, style="bold")]
    alone: set[str] = set()
    for condition, pairs in _pairs(document, first_role(document)).items():
        alone |= {metric for pair in pairs.values() for metric in measured if pair[metric]["over"] == "seeds"}
        shown = {names: pair for names, pair in pairs.items() if (_told_apart(pair, measured) if judged else names[1] == BASE_METHOD)}
        if shown:
            table = plain_table()
            table.add_column(f"condition\n{condition}", ratio=1, overflow="fold")
            for metric in measured:
                table.add_column(METRIC_NAMES[metric].replace(" ", "\n", 1), no_wrap=True)
            table.add_column("P(more\nacc.)", justify="right", no_wrap=True)
            for names, pair in shown.items():
                chance = pair["test_accuracy"]["improvement"]["probability"]
                words = [_word(pair[metric]) for metric in measured]
                table.add_row(_named(names, pair, wanted), *words, "-" if chance is None else f"{chance:.2f}")
            parts.append(table)
        if others := len(pairs) - len(shown):
            where = f"{SAME} in any metric" if judged else "in report/statistics.json"
            parts.append(Text(f"condition {condition}: {_counted(others, 'pair')} {where}"))
    lines = [] if judged else [_no_verdict(document)]
    if alone:
        named = ", ".join(METRIC_NAMES[metric] for metric in measured if metric in alone)
        lines.append(f"{named}: over seeds alone, for these images; nothing is said of others.")
    lines.append("P(more acc.): chance that a training of the first is more accurate than one of the second; one that failed loses.")
    return Group(*parts, Text("\n".join(lines), style="dim"))


def _word(pair: Numbers) -> str:
    """A verdict, or the difference where there is none to be."""
    if pair["verdict"] is None:
        nats = pair["metric"].endswith("nll")
        return "-" if pair["difference"] is None else f"{pair['difference']:+.3f}" if nats else f"{100 * pair['difference']:+.1f}"
    if pair["verdict"] == SAME:
        return "="
    return f"{pair['verdict']}" if pair["over"] == "seeds and images" else f"{pair['verdict']}\non these\nimages"


def render_ranking(document: Numbers) -> RenderableType:
    """The methods in order of accuracy and of ECE, or why they are not ranked."""
    parts: list[RenderableType] = [Text("ranking", style="bold")]
    if document["ranking"] is None:
        reasons = "; ".join(document["not_ranked_because"])
        return Group(*parts, Text(f"Not ranked: {reasons}."))
    for condition, metrics in document["ranking"].get(first_role(document), {}).items():
        for metric in _SHOWN:
            parts.append(Text(f"{condition}, {METRIC_NAMES[metric]}: {_ranked(metrics[metric])}"))
    alone = any(pair["over"] == "seeds" for pair in document["comparisons"] if pair["metric"] in _SHOWN)
    here = f", {HERE}" if alone else ""
    parts.append(Text(f"In the order of the means, %; those before `behind` are not distinguishable from the first{here}.", style="dim"))
    return Group(*parts)


def _ranked(methods: Sequence[Numbers]) -> str:
    def named(tied: bool | None) -> Iterable[str]:
        for entry in methods:
            if entry["tied_with_best"] is tied:
                yield entry["method"] if entry["mean"] is None else f"{entry['method']} {100 * entry['mean']:.1f}"

    groups = [", ".join(named(True)), "behind: " + ", ".join(named(False)), "not measured: " + ", ".join(named(None))]
    return "; ".join(group for group in groups if not group.endswith(": "))
