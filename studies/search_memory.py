"""What a sampler is shown of a long search: TPE's cost grows with the trials it looks at, and old ones teach it little."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.pareto import non_dominated

NEWEST: Final = 500
OLDER: Final = 50
_TOLD: Final = (TrialState.COMPLETE, TrialState.PRUNED)  # that TPE learns from


class SearchMemory(optuna.storages.InMemoryStorage):
    """The trials of one arm, of which `asking` leaves out those of `forgotten`."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out: frozenset[int] = frozenset()

    @contextmanager
    def asking(self, study: optuna.Study) -> Iterator[None]:
        """While a suggestion is made.

        Args:
            study: the arm's, with its trials kept here.
        """
        self._left_out = forgotten(study.get_trials(deepcopy=False))
        try:
            yield
        finally:
            self._left_out = frozenset()

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """As Optuna asks for them."""
        trials: list[FrozenTrial] = super().get_all_trials(study_id, deepcopy, states)
        return [trial for trial in trials if trial.number not in self._left_out] if self._left_out else trials


def forgotten(trials: Sequence[FrozenTrial]) -> frozenset[int]:
    """Numbers of the trials that a sampler is not shown: none of up to `NEWEST` that ended, else all older ones but for a few.

    Kept are the `OLDER` newest of those that no trial beats. Failed trials do not count, since nothing is learnt from them.

    Args:
        trials: of one arm, in the order of suggestion.
    """
    if len(trials) <= NEWEST:
        return frozenset()
    told = [trial for trial in trials if trial.state in _TOLD]
    complete = [trial for trial in told if trial.state is TrialState.COMPLETE]
    values = np.array([trial.values for trial in complete]).reshape(-1, 2)
    front = {trial.number for trial, on in zip(complete, non_dominated(*values.T), strict=True) if on}
    older = [trial.number for trial in told[:-NEWEST]]
    kept = [number for number in older if number in front][-OLDER:]
    return frozenset(older).difference(kept)
