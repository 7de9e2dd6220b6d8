"""What an answer rests on and what limits it, as clauses of a sentence."""

from __future__ import annotations

from studies.report.compared import HERE
from studies.report.infos.leaders import Numbers


def basis(document: Numbers) -> str:
    """Seeds, images and searches that all rests on."""
    finished = sorted({point["n_finished"] for point in document["confirmed"] if point["n_finished"]})
    n = f"{finished[0]}" if len(finished) == 1 else f"{finished[0]} to {finished[-1]}"
    seeds = "fresh seed" if n == "1" else "fresh seeds"
    images = document["setup"]["n_test"]
    trials = sorted({arm["n_finished"] for arm in document["budgets"]["arms"] if arm["n_confirmed"]})
    searched = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]} to {trials[-1]}" if trials else "no"
    kinds = "trial" if searched == "1" else "trials"
    return f"this rests on {n} {seeds} of each setting, {images} test images and one search of {searched} {kinds} an arm"


def after_temperature(document: Numbers, role: str) -> list[str]:
    """How many of the pairs that differ in ECE temperature scaling leaves apart; nothing where it was not measured or none differs."""
    before, after = (
        {
            (pair["condition"], pair["method"], pair["other"]): pair["verdict"]
            for pair in document["comparisons"]
            if (pair["role"], pair["metric"]) == (role, metric)
        }
        for metric in ("test_ece", "test_ece_temperature_scaled")
    )
    told = {names: verdict for names, verdict in before.items() if verdict in ("better", "worse")}
    if not told or not after:
        return []
    kept = sum(after.get(names) == verdict for names, verdict in told.items())
    if len(told) == 1:
        return [f"after temperature scaling the pair that differs in ECE is {'still' if kept else 'no longer'} told apart"]
    if not kept:
        return [f"after temperature scaling none of the {len(told)} pairs that differ in ECE is still told apart"]
    share = "all" if kept == len(told) else f"{kept} of the"
    return [f"after temperature scaling {share} {len(told)} pairs that differ in ECE are still told apart"]


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
