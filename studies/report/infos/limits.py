"""What an answer rests on and what limits it, as clauses of a sentence."""

from __future__ import annotations

from studies.report.compared import HERE
from studies.report.infos.leaders import Numbers
from studies.report.standings import ROLE_TITLES


def basis(document: Numbers, role: str | None = None) -> str:
    """Seeds, images and searches that all rests on, and by which role a setting stands for its method, if by one."""
    finished = sorted({point["n_finished"] for point in document["confirmed"] if point["n_finished"]})
    n = f"{finished[0]}" if len(finished) == 1 else f"{finished[0]} to {finished[-1]}"
    seeds = "fresh seed" if n == "1" else "fresh seeds"
    images = document["setup"]["n_test"]
    trials = sorted({arm["n_finished"] for arm in document["budgets"]["arms"] if arm["n_confirmed"]})
    searched = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]} to {trials[-1]}" if trials else "no"
    kinds = "trial" if searched == "1" else "trials"
    each = "" if role is None else f", each method by its {ROLE_TITLES[role]} setting"
    return f"this rests on {n} {seeds} of each setting, {images} test images and one search of {searched} {kinds} an arm{each}"


def after_temperature(document: Numbers, role: str) -> list[str]:
    """How many of the pairs that differ in ECE temperature scaling leaves apart; nothing where it was not measured or none differs."""
    before, after = (
        {
            (pair["condition"], pair["method"], pair["other"]): pair["verdict"] if pair["p_value"] is not None else None
            for pair in document["comparisons"]
            if (pair["role"], pair["metric"]) == (role, metric)
        }
        for metric in ("test_ece", "test_ece_temperature_scaled")
    )
    told = {names: verdict for names, verdict in before.items() if verdict in ("better", "worse")}
    if not told or not after:
        return []
    kept = sum(after.get(names) == verdict for names, verdict in told.items())
    turned = sum(after.get(names) in ("better", "worse") for names in told) - kept
    untested = sum(after.get(names) is None for names in told)
    if len(told) == 1:
        is_so = (
            "is still told apart"
            if kept
            else "is told apart the other way round"
            if turned
            else "could not be tested"
            if untested
            else "is no longer told apart"
        )
        return [f"after temperature scaling the pair that differs in ECE {is_so}"]
    if untested == len(told):
        return [f"after temperature scaling none of the {untested} pairs that differ in ECE could be tested"]
    more = (f" the same way, and {turned} the other way round" if turned else "") + (
        f", and {untested} could not be tested" if untested else ""
    )
    if not kept:
        return [f"after temperature scaling none of the {len(told)} pairs that differ in ECE is still told apart{more}"]
    share = "all" if kept == len(told) else f"{kept} of the"
    return [f"after temperature scaling {share} {len(told)} pairs that differ in ECE are still told apart{more}"]


def judged(document: Numbers, role: str) -> list[Numbers]:
    """Comparisons in accuracy and ECE."""
    return [pair for pair in document["comparisons"] if pair["role"] == role and pair["metric"] in ("test_accuracy", "test_ece")]


def cautions(document: Numbers, role: str) -> list[str]:
    """What else a reader must know."""
    pairs = judged(document, role)
    found = []
    if any(pair["over"] == "seeds" for pair in pairs):
        found.append(f"verdicts hold {HERE} alone, since predictions were not kept")
    if n_failed := sum(point["n_failed"] for point in document["confirmed"]):
        are = "trainings failed and are" if n_failed > 1 else "training failed and is"
        found.append(f"{n_failed} confirming {are} left out, which flatters")
    if any(pair["p_value"] is None for pair in pairs):
        found.append("some pairs could not be tested")
    return found
