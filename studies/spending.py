"""What an arm has of its budget and when its search is over: one rule for the search itself and for whoever only reads its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from studies.outcome import Outcome
from studies.spec import StudySpec


@dataclass
class Spending:
    """One arm's budget so far.

    An arm is done when `wanted` trials have completed. A failed trial is replaced, so that arms end with equal numbers of finished trials;
    after `wanted` failures the arm gives up, so that a hopeless setting does not run for ever.

    With early stopping `wanted` full trainings are the arm's budget in epochs. Every epoch counts, those of failed trials too, and a trial
    is only begun if the arm can pay for all of its epochs; so arms end equal within one training. What an audited trial trains beyond its
    stop is not counted.

    Attributes:
        wanted: finished trials, or with early stopping full trainings.
        by_epochs: whether every epoch counts, those of failed trials too.
        completed, failed, stopped: trials that ended.
        spent: of what is wanted.
    """

    wanted: int
    by_epochs: bool
    completed: int = 0
    failed: int = 0
    stopped: int = 0
    spent: Fraction = Fraction(0)

    @classmethod
    def of(cls, spec: StudySpec) -> Spending:
        """That of any arm of a study, before its first trial."""
        return cls(spec.trials, spec.stopping.kind != "none")

    def count(self, outcome: Outcome) -> None:
        """A trial ended."""
        self.completed += outcome.values is not None
        self.failed += outcome.failed
        self.stopped += outcome.stopped
        if self.by_epochs or not outcome.failed:
            self.spent += outcome.share

    def pays_one_more(self, running: int = 0) -> bool:
        """Whether another trial fits into the budget besides those that run; each of them may cost a whole one."""
        return self.spent + running + 1 <= self.wanted

    def begins_one_more(self, running: int = 0) -> bool:
        """Whether another trial is to be begun."""
        return self.pays_one_more(running) and self.failed < self.wanted

    def gave_up(self, running: int = 0) -> bool:
        """Whether the arm ended for its failures, with budget left."""
        return self.pays_one_more(running) and self.failed >= self.wanted
