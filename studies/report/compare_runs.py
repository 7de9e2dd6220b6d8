"""Two runs side by side on the terminal, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from studies.compare_runs import METRICS, ROLE, ArmPair, ConfirmedDifference, Difference, RunComparison, RunSide
from studies.report.compared import METRIC_NAMES, SAME, format_p
from studies.report.confirmed import plain_table, with_interval
from studies.screen import percent
from studies.statistics.comparisons import LEVEL

_LONGEST: Final = 100  # characters of a value that is shown


def render_run_comparison(info: RunComparison) -> RenderableType:
    """What differs, then the searches, then what was confirmed.

    Args:
        info: of `compare_runs`.
    """
    parts: list[RenderableType] = [Text("two runs side by side", style="bold"), _named("A", info.a), _named("B", info.b), Text()]
    parts += _differing("studies", info.fields, "The studies are the same.")
    parts += _differing("made by", info.made_by, "Packages, code and machines are the same.")
    if info.not_comparable:
        parts += [Text(f"NOT comparable: {'; '.join(info.not_comparable)}. Nothing is judged.", style="bold"), Text()]
    for side, names in zip("AB", info.only, strict=True):
        if names:
            parts += [Text(f"only in {side}: {', '.join(names)}"), Text()]
    if not info.arms:
        return Group(*parts, Text("No method and condition is in both runs, so there is nothing to set side by side."))
    parts += [_searches(info.arms), Text(_search_caption(info), style="dim"), Text()]
    confirmed = [arm for arm in info.arms if arm.confirmed]
    if not confirmed:
        return Group(*parts, Text("No arm was confirmed in both runs, so nothing is compared on test images."))
    parts += [_confirmed(confirmed, metric) for metric in METRICS]
    return Group(*parts, Text(_caption(info, confirmed), style="dim"))


def _named(letter: str, side: RunSide) -> Text:
    return Text(f"{letter}: {side.study} {side.run_id}\n   {side.place}")


def _differing(what: str, found: Sequence[Difference], same: str) -> list[RenderableType]:
    if not found:
        return [Text(same), Text()]
    table = plain_table()
    table.add_column(f"{what}: what differs", overflow="fold", ratio=2)
    for side in "AB":
        table.add_column(side, overflow="fold", ratio=2)
    for difference in found:
        table.add_row(Text(difference.name), Text(_short(difference.a)), Text(_short(difference.b)))
    return [table, Text()]


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"


def _searches(arms: Sequence[ArmPair]) -> Table:
    table = plain_table()
    table.add_column("search: arm", overflow="fold", ratio=1)
    for title in ("trials", "best\nacc %", "best\nECE %", "hyper-\nvolume"):
        for side in "AB":
            table.add_column(f"{title}\n{side}" if "\n" in title else f"{title}\n\n{side}", justify="right", no_wrap=True)
    for arm in arms:
        a, b = arm.search
        cells = [f"{a.n_finished}", f"{b.n_finished}", percent(a.accuracy), percent(b.accuracy), percent(a.ece), percent(b.ece)]
        table.add_row(Text(arm.arm), *cells, f"{a.hypervolume:.3f}", f"{b.hypervolume:.3f}")
    return table


def _search_caption(info: RunComparison) -> str:
    lines = ["One search each, by validation values that chose: differences between two searches have no interval here."]
    if not info.searches_alike:
        lines.append("The searches judged by other objectives, labels or validation images, so their values are not to be set against.")
    return "\n".join(lines)


def _confirmed(arms: Sequence[ArmPair], metric: str) -> Table:
    table = plain_table()
    table.add_column(f"{METRIC_NAMES[metric]} on test: arm", overflow="fold", ratio=1)
    for title in ("A %", "B %"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("B - A, points", no_wrap=True)
    for arm in arms:
        pair = arm.confirmed[metric]
        table.add_row(Text(arm.arm), with_interval(asdict(pair.a)), with_interval(asdict(pair.b)), Text(_difference(pair)))
    return table


def _difference(pair: ConfirmedDifference) -> str:
    found = pair.comparison
    if found.difference is None:
        return "-"
    change = f"{100 * found.difference:+.1f}"
    if found.low is not None and found.high is not None:
        change += f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    if pair.verdict is None:
        return change
    return f"{change}\n{SAME}" if pair.verdict == SAME or pair.holm_p is None else f"{change}\nB {pair.verdict} ({format_p(pair.holm_p)})"


def _caption(info: RunComparison, arms: Sequence[ArmPair]) -> str:
    pairs = [pair for arm in arms for pair in arm.confirmed.values()]
    test = {side.n_test for side in (info.a, info.b) if side.n_test is not None}
    images = f"{test.pop()} test images" if len(test) == 1 else "test images"
    lines = [f"Each arm by its {ROLE} setting, mean over fresh seeds (A: {info.a.seeds}, B: {info.b.seeds}) on {images}, by true labels."]
    lines.append("±: half of the 95 % interval of a mean (Student's t).")
    how = {
        "paired": "paired over the seeds, which are the same in both, on the same labels",
        "independent": "Welch's, since not all trainings of the two had the same seeds and labels",
        "mixed": "paired where all trainings of both had the same seeds and labels, else Welch's",
    }
    if info.pairing is not None:
        lines.append(f"[ ]: 95 % interval of each difference by itself, {how[info.pairing]}; over seeds alone, for these images.")
    if info.unequal_budgets:
        reasons = "; ".join(info.unequal_budgets)
        lines.append(f"No verdict: budgets are NOT equal, so a difference may be one of budgets: {reasons}.")
    elif not info.not_comparable:
        lines.append(
            f"Verdicts: p < {LEVEL:g} after Holm's correction for all arms. {SAME}: within noise, which is no proof of being equal."
        )
    if failed := max(sum(arm.confirmed[metric].n_failed for arm in arms) for metric in METRICS):
        lines.append(f"{failed} of these trainings failed and are left out, which may flatter.")
    lines += [f"No interval: {reason}" for reason in dict.fromkeys(pair.comparison.reason for pair in pairs) if reason]
    lines.append("The settings are those that one search chose in each run; what another search would choose, no interval here covers.")
    return "\n".join(lines)
