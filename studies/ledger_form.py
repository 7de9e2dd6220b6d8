"""What an event of a ledger must be, so that everything that reads one can rely on it, whoever wrote the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from studies.ledger_rows import RowForm, allowed_types
from studies.schemas import EPOCHS, EVALUATIONS, RELIABILITY, TRIALS

_SHIFT: Final = ("split", "shift", "name", "severity")
ROW_FORMS: Final = {  # by the name that rows have in an event
    "rows": RowForm(EPOCHS, "epoch"),
    "evaluations": RowForm(EVALUATIONS, *_SHIFT),
    "reliability": RowForm(RELIABILITY, *_SHIFT, "bin"),
}
_TRIAL: Final = allowed_types(TRIALS)
_TRIAL_ID: Final = re.compile(r"(?!\.)[\w.+-]{1,200}", re.ASCII)  # it becomes the name of a file
_WHOLE: Final = {name for name in TRIALS.names if int in _TRIAL[name] and float not in _TRIAL[name]}
_NEEDED: Final = {  # and not null
    "suggest": ("phase", "arm", "method", "condition", "noise_kind", "trial_id", "trial_number", "seed"),
    "epochs": ("trial_id",),
    "end": ("trial_id", "state"),
}
_WORDS: Final = {"phase": ("search", "confirm"), "state": ("complete", "failed", "stopped")}
_OF_FINISHED: Final = ("accuracy", "ece", "nll")
_SCALARS: Final = (str, int, float, bool, type(None))


def is_whole(event: Mapping[str, Any]) -> bool:
    """Whether a JSON object is an event with all that its kind must have, of the right types; of kinds unknown here, nothing is asked."""
    kind = event.get("event")
    if not isinstance(kind, str):
        return False
    if kind in _NEEDED and not (_has_cells(event, _NEEDED[kind]) and _TRIAL_ID.fullmatch(event["trial_id"])):
        return False
    return _FORMS[kind](event) if kind in _FORMS else True


def _has_cells(values: Mapping[str, Any], needed: Iterable[str] = ()) -> bool:
    """Whether values that go to table `trials` fit its columns."""
    if any(values.get(name) is None for name in needed):
        return False
    return all(_fits_cell(name, value) for name, value in values.items() if name in _TRIAL)


def _fits_cell(name: str, value: Any) -> bool:
    if type(value) not in _TRIAL[name] or (name in _WORDS and value not in _WORDS[name]):
        return False
    limit = 2**63 if name in _WHOLE else 2**53  # so far, floats hold all whole numbers
    return type(value) is not int or -limit <= value < limit


def _is_suggest(event: Mapping[str, Any]) -> bool:
    params = event.get("params")
    if not isinstance(params, dict) or "noise_rate" not in event:
        return False
    return all(isinstance(value, str) or (_fits_cell("val_ece", value) and value is not None) for value in params.values())


def _is_epochs(event: Mapping[str, Any]) -> bool:
    return ROW_FORMS["rows"].holds(event.get("rows"))


def _is_end(event: Mapping[str, Any]) -> bool:
    metrics = event.get("metrics")
    if not isinstance(metrics, dict) or not _has_cells(metrics) or not all(type(value) in _SCALARS for value in metrics.values()):
        return False
    if not all(ROW_FORMS[name].holds(event.get(name)) for name in ("evaluations", "reliability")):
        return False
    if event["state"] == "stopped" and event.get("stopped_at") is None:
        return False
    if type(event.get("total_epochs")) not in (int, type(None)) or not _fits_cell("noise_rate", event.get("wrong_label_share")):
        return False
    return event["state"] != "complete" or any(
        all(metrics.get(f"{split}_{name}") is not None for name in _OF_FINISHED) for split in ("val", "test")
    )


def _is_confirm(event: Mapping[str, Any]) -> bool:
    chosen = event.get("chosen")
    if not all(isinstance(event.get(name), str) for name in ("opened", "test_fingerprint")) or not isinstance(chosen, dict):
        return False
    return all(isinstance(roles, list) and all(isinstance(role, str) for role in roles) for roles in chosen.values())


_FORMS: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "suggest": _is_suggest,
    "epochs": _is_epochs,
    "end": _is_end,
    "confirm": _is_confirm,
}
