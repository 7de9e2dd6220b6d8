"""KD, knowledge distillation from a teacher of the same architecture (Hinton et al., 2015).

    L = (1 - a) mean_i CE(z_i, y_i) + a T^2 mean_i KL( softmax(t_i / T) || softmax(z_i / T) ),   a = distill_share

t_i are the logits of a frozen teacher for the same augmented image. The teacher is read from a file, or trained first within the same
budget: cross-entropy for `teacher_share` of the steps, then the student for the rest, each with a learning rate schedule of its own.

Source: the objective of Teacher-free KD's self-distillation (Yuan et al., CVPR 2020; yuanli2333/Teacher-free-Knowledge-Distillation).
Same as the reference:
- the teacher is an instance of the student's architecture, in evaluation mode and without gradient.
Different from the reference:
- the divergence is summed over classes and divided by B. The reference divides by B * K and multiplies by m: its a = 0.95, T = 6, m = 50
  at K = 100 is, up to a factor 0.525 of the whole loss, a = 0.905, T = 6 here;
- Hinton et al. distil a large teacher, or several, into a small student.
The teacher that is trained first starts from fresh weights, also where the student starts from pretrained ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.data.batches import Batch
from bsd_core.errors import ConfigError, DataError, require
from bsd_core.methods.base import Method, MethodConfig, Model, Step, Training
from bsd_core.methods.distillation import distillation_loss
from bsd_core.models import Network
from bsd_core.models.pretrained import load_pretrained
from bsd_core.seeds import derive_seed


def kd_loss(logits: Tensor, teacher_logits: Tensor, targets: Tensor, *, temperature: float, distill_share: float) -> dict[str, Tensor]:
    """The student's objective, as in the module's formula.

    Args:
        logits: (B, K) of the student.
        teacher_logits: (B, K); no gradient reaches them.
        targets: (B,) int64, given labels.
        temperature: T > 0, softens both distributions.
        distill_share: a in [0, 1]; 0 is cross-entropy, 1 leaves the labels out.

    Returns:
        Scalars "cross_entropy", "distillation" (with T^2, without a) and "total".

    Raises:
        ConfigError: temperature or share out of range.
    """
    require(temperature > 0, "temperature > 0", temperature=temperature)
    require(0 <= distill_share <= 1, "0 <= distill_share <= 1", distill_share=distill_share)
    cross_entropy = functional.cross_entropy(logits, targets)
    distillation = distillation_loss(logits, teacher_logits, temperature=temperature)
    return {
        "cross_entropy": cross_entropy,
        "distillation": distillation,
        "total": (1 - distill_share) * cross_entropy + distill_share * distillation,
    }


def load_teacher(network: Network, path: str) -> None:
    """Replace the weights of `network` by those of a local file, which must be of the same architecture and number of classes.

    The file is a state dict or a checkpoint with one under "model", read without executing anything in it.

    Raises:
        ConfigError: no such file, not such a file, or weights of another network.
    """
    fresh = network.classifier.weight.detach().clone()
    try:
        load_pretrained(network, path)
    except (ConfigError, DataError) as error:
        raise ConfigError(f"The teacher cannot be loaded: {error}") from error
    if torch.equal(network.classifier.weight, fresh):  # left out: `load_pretrained` takes weights for other classes, a teacher cannot
        raise ConfigError(
            f"The teacher in '{path}' does not tell {len(fresh)} classes apart, or is an untrained copy of the one it is for."
        )


@dataclass(frozen=True, kw_only=True)
class KDConfig(MethodConfig):
    """Settings of KD."""

    temperature: float = 4.0  # softens teacher and student; > 0
    distill_share: float = 0.9  # a, share of the divergence in the loss, the rest is cross-entropy; in [0, 1]
    teacher: str = ""  # local file of weights, best an absolute path; "": trained first
    teacher_share: float = 0.5  # of the steps, for a teacher that is trained first; in (0, 1)

    student_passes: ClassVar[int] = 2  # the student's own and the teacher's

    def __post_init__(self) -> None:
        require(0 < self.temperature < math.inf, "0 < temperature < inf", temperature=self.temperature)
        require(0 <= self.distill_share <= 1, "0 <= distill_share <= 1", distill_share=self.distill_share)
        require(0 < self.teacher_share < 1, "0 < teacher_share < 1", teacher_share=self.teacher_share)

    @property
    def first_share(self) -> float:
        """Share of the steps that train a teacher."""
        return 0.0 if self.teacher else self.teacher_share

    def teacher_steps(self, n_steps: int) -> int:
        """Steps that train a teacher: rounded up, but at least one step is the student's."""
        return min(math.ceil(self.first_share * n_steps), n_steps - 1)

    @property
    def images_per_sample(self) -> float:
        """One pass for a step of the teacher's training, `student_passes` for one of the student's."""
        return self.first_share + self.student_passes * (1 - self.first_share)

    def images_seen(self, n_steps: int, primaries: Callable[[int], int]) -> float:
        """The teacher's steps come first."""
        by_teacher = primaries(self.teacher_steps(n_steps))
        return by_teacher + self.student_passes * (primaries(n_steps) - by_teacher)


class KnowledgeDistillation(Method):
    """Learns from a teacher's softened predictions besides the labels.

    Attributes:
        teacher: the network that is trained first, or read from a file; frozen, in evaluation mode, while the student learns.
    """

    Config = KDConfig
    config: KDConfig

    def __init__(self, config: KDConfig, training: Training) -> None:
        super().__init__(config, training)
        self.teacher = training.new_network(derive_seed(training.seed, "teacher"))
        if config.teacher:
            load_teacher(self.teacher, config.teacher)
            self.teacher.requires_grad_(False)
        if config.first_share and training.total_steps < 2:
            raise ConfigError("A teacher that is trained first needs a step of its own, but the training has one step. Train longer.")
        self._n_teacher_steps = config.teacher_steps(training.total_steps)
        self._call_teacher = training.runner(self.teacher).__call__  # a runner may be the network itself, which is registered once
        self._teaching = self._n_teacher_steps > 0

    def stages(self, total_steps: int) -> tuple[int, ...]:
        """The teacher's steps, then the student's."""
        return (self._n_teacher_steps, total_steps - self._n_teacher_steps)

    def trained_network(self, network: Network) -> Network:
        """The teacher until the student's first step is done."""
        return self.teacher if self._teaching else network

    def step(self, model: Model, batch: Batch) -> Step:
        """A step of the teacher's training, or of the student's."""
        self._teaching = batch.step < self._n_teacher_steps
        if self.teacher.training != self._teaching:
            self.teacher.train(self._teaching)
        return self._train_teacher(batch) if self._teaching else self._train_student(model, batch)

    def _train_teacher(self, batch: Batch) -> Step:
        logits = self._call_teacher(batch.images)
        return Step(logits, {"total": functional.cross_entropy(logits, batch.targets)}, len(batch.images))

    def _train_student(self, model: Model, batch: Batch) -> Step:
        """A trained pass of the student and a pass without gradient of the teacher, over the same images."""
        logits = model(batch.images)
        with torch.no_grad():
            teacher_logits = self._call_teacher(batch.images)
        settings = self.config
        terms = kd_loss(logits, teacher_logits, batch.targets, temperature=settings.temperature, distill_share=settings.distill_share)
        return Step(logits, terms, 2 * len(batch.images))

    def get_extra_state(self) -> dict[str, Any]:
        """Who was trained in the latest step."""
        return {"teaching": int(self._teaching)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_extra_state()`."""
        self._teaching = bool(state["teaching"])
