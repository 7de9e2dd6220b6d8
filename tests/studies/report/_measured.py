"""Runs with all that a training measures besides accuracy and ECE: epochs on wrong labels, corrupted images, bins of confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studies.ledger import Event
from studies.report.source import ReportSource
from tests.studies._dummies import make_choice, make_confirmation, make_epoch, make_events, make_spec
from tests.studies.report._sources import make_source

METHODS = ("cross_entropy", "bsd")
CONDITIONS = ("none", "symmetric_20", "symmetric_40")
CORRUPTED = {"fog": (0.8, 0.6), "snow": (0.7, 0.5)}


def measured_source(
    methods: Sequence[str] = METHODS,
    conditions: Sequence[str] = CONDITIONS,
    *,
    accuracies: Sequence[float | None] = (0.8, 0.9),
    corrupted: Mapping[str, Sequence[float]] | None = CORRUPTED,
) -> ReportSource:
    """A run in which each arm has one trial and one confirmed setting, with these test accuracies by seed (None if one failed).

    Training `replicate` recovers 0.5 and then 0.6 + 0.1 replicate of the labels and has learnt 0.1 and then 0.2 of the wrong ones by heart.
    Its 100 test images lie in bins 9 and 14: 20 images, 10 + 2 replicate of them right, and 80, of which 76 are.
    """
    spec = make_spec(methods=list(methods), conditions=list(conditions), trials=1, confirm={"seeds": len(accuracies)})
    arms = [arm.name for arm in spec.compared_arms]
    events = make_events(*((arm, 0, 0.75, 0.1) for arm in arms))
    events.append(make_choice({(arm, 0): "best_accuracy, knee, best_ece" for arm in arms}))
    for arm in arms:
        for replicate, accuracy in enumerate(accuracies):
            events += confirmation(arm, replicate, accuracy, corrupted)
    return make_source(events, spec)


def confirmation(arm: str, replicate: int, accuracy: float | None, corrupted: Mapping[str, Sequence[float]] | None) -> list[Event]:
    """The events of training `replicate` as `measured_source` describes it; failed where accuracy is None."""
    suggest, epochs, end = make_confirmation(arm, 0, replicate, accuracy, corrupted=corrupted)
    wrong = not arm.endswith("/none")
    shares = ((0.5, 0.1), (0.6 + 0.1 * replicate, 0.2))
    epochs["rows"] = [
        make_epoch(number, label_recovery=recovery if wrong else None, memorised=memorised if wrong else None)
        for number, (recovery, memorised) in enumerate(shares, start=1)
    ]
    if accuracy is not None:
        key = {"split": "test", "shift": "clean", "name": "clean", "severity": 0}
        bins = {9: (20, 0.65, (10 + 2 * replicate) / 20), 14: (80, 0.97, 0.95)}
        for number in range(15):
            count, confidence, right = bins.get(number, (0, None, None))
            end["reliability"].append({**key, "bin": number, "count": count, "mean_confidence": confidence, "accuracy": right})
    return [suggest, epochs, end]


def searched_source(*trials: tuple[str, int, float | None, float], methods: Sequence[str] = METHODS, **changes: object) -> ReportSource:
    """A run without a confirm phase; its conditions are those of the trials unless given."""
    conditions = list(dict.fromkeys(arm.partition("/")[2] for arm, *_ in trials)) or ["none"]
    spec = make_spec(**{"methods": list(methods), "conditions": conditions, **changes})
    return make_source(make_events(*trials), spec)
