"""How methods compare, from the statistics document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from studies.report.confirmed import plain_table
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

_SHOWN: Final = ("test_accuracy", "test_ece")
_AT_MOST: Final = 12  # pairs named in a line


def first_role(document: Numbers) -> str | None:
    """The role whose comparisons are shown: the first there is; None without comparisons."""
    return next((pair["role"] for pair in document["comparisons"]), None)


def _pairs(document: Numbers) -> dict[str, dict[tuple[str, str], dict[str, Numbers]]]:
    """By condition, by (method, other), by metric: the comparisons of the first role."""
    role = first_role(document)
    found: dict[str, dict[tuple[str, str], dict[str, Numbers]]] = {}
    for pair in document["comparisons"]:
        if pair["role"] == role:
            found.setdefault(pair["condition"], {}).setdefault((pair["method"], pair["other"]), {})[pair["metric"]] = pair
    return found


def render_comparisons(document: Numbers) -> RenderableType:
    """Accuracy and ECE of each method less those of another, at 80 columns: all pairs with plain training, and what else differs."""
    parts: list[RenderableType] = [Text(f"methods compared on test, each by its {first_role(document)} setting", style="bold")]
    for condition, pairs in _pairs(document).items():
        differing = {names for names, pair in pairs.items() if any(pair[metric]["verdict"] != SAME for metric in _SHOWN)}
        if not differing:
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
            table.add_row(Text(" - ".join(names)), *(Text(_cell(pairs[names][metric])) for metric in _SHOWN))
        parts.append(table)
        if alike := [" - ".join(names) for names in pairs if names not in shown]:
            named = ", ".join(alike) if len(alike) <= _AT_MOST else f"{len(alike)} other pairs"
            parts.append(Text(f"{SAME} in both: {named}"))
    parts += [Text(), Text(_caption(document), style="dim")]
    return Group(*parts)


def _cell(pair: Numbers) -> str:
    if pair["difference"] is None:
        return "no shared seed"
    change = f"{100 * pair['difference']:+.1f}"
    if pair["low"] is not None:
        change += f" [{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}]"
    p = f" ({format_p(pair['holm_p'])})" if pair["verdict"] != SAME else ""
    return f"{change}\n{pair['verdict']}{p}"


def format_p(p: float) -> str:
    """`p 0.003`, `p < 0.001`."""
    return f"p {p:.3f}" if p >= 0.0005 else "p < 0.001"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _caption(document: Numbers) -> str:
    shown = [pair for pair in document["comparisons"] if pair["role"] == first_role(document) and pair["metric"] in _SHOWN]
    both = all(pair["over"] == "seeds and images" for pair in shown)
    over = "fresh seeds and other images" if both else "fresh seeds alone: no predictions were kept, so nothing is said of other images"
    replicates = sorted({pair["n_replicates"] for pair in shown})
    n = f"{replicates[0]}" if len(replicates) == 1 else f"{replicates[0]} to {replicates[-1]}"
    lines = [
        f"[ ]: 95 % interval of each difference by itself, over {over}; paired by seed, wrong labels and image; n = {n} seeds.",
        f"Verdicts: p < {document['level']:g} after Holm's correction for all pairs and conditions. {SAME}: within noise, which is no "
        "proof of being equal.",
    ]
    lines += [f"No interval: {reason}" for reason in dict.fromkeys(pair["reason"] for pair in shown) if reason]
    if not document["budgets"]["equal"]:
        lines.append("Budgets are NOT equal, so a difference may be one of budgets: " + "; ".join(document["budgets"]["reasons"]) + ".")
    return "\n".join(lines)


def render_verdicts(document: Numbers) -> RenderableType:
    """In which metrics a method is better or worse than another; pairs that no metric tells apart are counted."""
    measured = [metric for metric in METRIC_NAMES if any(pair["metric"] == metric for pair in document["comparisons"])]
    parts: list[RenderableType] = [Text("verdicts in all metrics (=: not distinguishable)", style="bold")]
    for condition, pairs in _pairs(document).items():
        told = {names: pair for names, pair in pairs.items() if any(pair[metric]["verdict"] != SAME for metric in measured)}
        if told:
            table = plain_table()
            table.add_column(f"condition\n{condition}", ratio=1, overflow="fold")
            for metric in measured:
                table.add_column(METRIC_NAMES[metric].replace(" ", "\n", 1), no_wrap=True)
            table.add_column("P(more\nacc.)", justify="right", no_wrap=True)
            for names, pair in told.items():
                chance = pair["test_accuracy"]["improvement"]["probability"]
                verdicts = [_word(pair[metric]["verdict"]) for metric in measured]
                table.add_row(Text(" - ".join(names)), *verdicts, "-" if chance is None else f"{chance:.2f}")
            parts.append(table)
        if alike := len(pairs) - len(told):
            parts.append(Text(f"condition {condition}: {_counted(alike, 'pair')} not distinguishable in any metric"))
    parts.append(Text("P(more acc.): chance that a training of the first is more accurate than one of the second.", style="dim"))
    return Group(*parts)


def _word(verdict: str) -> str:
    return "=" if verdict == SAME else verdict


def render_ranking(document: Numbers) -> RenderableType:
    """The methods in order of accuracy and of ECE, or why they are not ranked."""
    parts: list[RenderableType] = [Text("ranking", style="bold")]
    if document["ranking"] is None:
        reasons = "; ".join(document["not_ranked_because"])
        return Group(*parts, Text(f"Not ranked: {reasons}."))
    for condition, metrics in document["ranking"].get(first_role(document), {}).items():
        for metric in _SHOWN:
            parts.append(Text(f"{condition}, {METRIC_NAMES[metric]}: {_ranked(metrics[metric])}"))
    parts.append(Text("In the order of the means, %; those before `behind` are not distinguishable from the first.", style="dim"))
    return Group(*parts)


def _ranked(methods: Sequence[Numbers]) -> str:
    def named(tied: bool | None) -> Iterable[str]:
        for entry in methods:
            if entry["tied_with_best"] is tied:
                yield entry["method"] if entry["mean"] is None else f"{entry['method']} {100 * entry['mean']:.1f}"

    groups = [", ".join(named(True)), "behind: " + ", ".join(named(False)), "no finished training: " + ", ".join(named(None))]
    return "; ".join(group for group in groups if not group.endswith(": "))
