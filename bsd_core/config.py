"""How one network is trained: frozen, typed, checked when built."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from bsd_core.errors import ConfigError, require, unknown_name

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("constant", "cosine", "multi_step", "one_cycle")
BUDGETS = ("epochs", "images")
PRECISIONS = ("auto", "bfloat16", "float32")
COMPILE = ("auto", "off", "on")

# Published recipes, by `recipe_config(name)`. The drops of CS-KD's own code come one epoch late (its rate is set after an epoch, so from
# zero-based epoch 101 and 151); ours come where its paper says, at 100 and 150.
RECIPES: dict[str, dict[str, Any]] = {
    # Yun et al., CVPR 2020: alinlab/cs-kd, train.py
    "cs_kd": {"epochs": 200, "weight_decay": 1e-4, "schedule": "multi_step", "warmup_epochs": 0.0},
    # Mukhoti et al., NeurIPS 2020: torrvision/focal_calibration, train.py
    "focal_calibration": {"epochs": 350, "schedule": "multi_step", "milestones": (150 / 350, 250 / 350), "warmup_epochs": 0.0},
    # Kim et al., ICCV 2021: lgcnsai/PS-KD-Pytorch, main.py
    "ps_kd": {"epochs": 300, "nesterov": True, "schedule": "multi_step", "warmup_epochs": 0.0},
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The recipe shared by every method: by default SGD with momentum, linear warm-up, then a cosine to zero, set every step."""

    epochs: int  # passes over the training split; >= 1
    batch_size: int = 128  # primaries a step (CS-KD's partners come on top); >= 2, batch normalisation needs a spread
    learning_rate: float = 0.1  # peak; > 0
    weight_decay: float = 5e-4  # on all parameters, as in the references: L2 with sgd, decoupled with adamw; >= 0
    momentum: float = 0.9  # in [0, 1); the first beta of adamw, whose second is 0.999
    nesterov: bool = False  # CS-KD trains without, PS-KD and DLB with; sgd only
    warmup_epochs: float = 1.0  # linear from 0 to the peak; >= 0 and at most `epochs`; not used by one_cycle, which climbs by itself
    optimizer: str = "sgd"  # of `OPTIMIZERS`
    schedule: str = "cosine"  # of `SCHEDULES`
    milestones: tuple[float, ...] = (0.5, 0.75)  # of multi_step: shares of the training at which the rate drops; ascending in (0, 1)
    drop: float = 0.1  # of multi_step: what the rate is multiplied by at each milestone; in (0, 1]
    gradient_clip: float | None = None  # largest L2 norm of all gradients together; > 0, None is off
    ema_decay: float | None = None  # of an exponential average of the weights; in [0, 1), None is off
    budget: str = "epochs"  # of `BUDGETS`; images: as many images through networks as one pass of each epoch, whatever the method
    precision: str = "auto"  # of `PRECISIONS`; auto is bfloat16 on a GPU (features in mixed precision), float32 on a CPU
    compile: str = "auto"  # of `COMPILE`; auto is on for long trainings on a GPU

    def __post_init__(self) -> None:
        listed = self.milestones if isinstance(self.milestones, list | tuple) else (self.milestones,)
        object.__setattr__(self, "milestones", tuple(listed))  # a list where the recipe was read from a file, one number on a command line
        self._check_types()
        require(self.epochs >= 1, "epochs is a whole number >= 1", epochs=self.epochs)
        require(self.batch_size >= 2, "batch_size is a whole number >= 2", batch_size=self.batch_size)
        require(0 < self.learning_rate < math.inf, "0 < learning_rate < inf", learning_rate=self.learning_rate)
        require(0 <= self.weight_decay < math.inf, "0 <= weight_decay < inf", weight_decay=self.weight_decay)
        require(0 <= self.momentum < 1, "0 <= momentum < 1", momentum=self.momentum)
        require(not self.nesterov or self.momentum > 0, "momentum > 0 with nesterov", momentum=self.momentum)
        warmup, epochs = self.warmup_epochs, self.epochs
        require(0 <= warmup <= epochs, "0 <= warmup_epochs <= epochs", warmup_epochs=warmup, epochs=epochs)
        if self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, OPTIMIZERS)
        require(not self.nesterov or self.optimizer == "sgd", "optimizer is 'sgd' with nesterov", optimizer=self.optimizer)
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)
        for name, known in (("budget", BUDGETS), ("precision", PRECISIONS), ("compile", COMPILE)):
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        bounded = all(0 < share < 1 for share in self.milestones)
        ascending = list(self.milestones) == sorted(set(self.milestones))
        require(bounded and ascending, "milestones ascend within (0, 1)", milestones=self.milestones)
        require(0 < self.drop <= 1, "0 < drop <= 1", drop=self.drop)
        clip, decay = self.gradient_clip, self.ema_decay
        require(clip is None or 0 < clip < math.inf, "gradient_clip is null or 0 < gradient_clip < inf", gradient_clip=clip)
        require(decay is None or 0 <= decay < 1, "ema_decay is null or 0 <= ema_decay < 1", ema_decay=decay)

    def _check_types(self) -> None:
        """Numbers are numbers, whole ones whole, texts texts: a comparison with anything else would not say what is wrong."""
        kinds = {"int": "a whole number", "bool": "true or false", "str": "a text"}
        for field in fields(self):
            value, kind = getattr(self, field.name), str(field.type)
            if kind == "int":
                right = isinstance(value, int) and not isinstance(value, bool)
            elif kind == "bool":
                right = isinstance(value, bool)
            elif kind == "str":
                right = isinstance(value, str)
            else:
                right = all(map(_is_number, value)) if isinstance(value, tuple) else _is_number(value) or (value is None and "None" in kind)
            if not right:
                raise ConfigError(f"`{field.name} is {kinds.get(kind, 'a number')}` must hold, but got {field.name}={value!r}.")

    def learning_rate_at(self, step: int, *, total_steps: int) -> float:
        """Rate of zero-based `step` of a training of `total_steps`; past its end, the rate the schedule ends at.

        With peak = `learning_rate`, s = `step`, T = `total_steps` and W = T * `warmup_epochs` / `epochs`:

            s < W        peak * (s + 1) / (ceil(W) + 1), a linear warm-up that reaches the peak at the first step after it; then
            constant     peak
            cosine       peak * (1 + cos(pi * p)) / 2, p = min(1, (s - W) / max(1, T - W)): 0 would come one step after the last
            multi_step   peak * `drop`^k, k = number of `milestones` m with s >= round(m * T)
            one_cycle    no warm-up of W steps; instead half a cosine up from peak / 25 to the peak at s = 0.3 T - 1,
                         then half a cosine down to peak / 25e4 at s = T - 1

        Args:
            step: >= 0, counted from the start of the training, not of the epoch.
            total_steps: of the whole training, or of a stage with a schedule of its own, >= 1. Where that is less than all epochs (a
                budget of images, a teacher trained first) the warm-up is shorter in proportion.

        References:
            cosine and multi_step without warm-up are torch's CosineAnnealingLR and MultiStepLR stepped after every batch; one_cycle is
            its OneCycleLR (Smith & Topin 2019) with `cycle_momentum=False`.
        """
        if self.schedule == "one_cycle":
            return self.learning_rate * _one_cycle(step, total_steps)
        warmup = self.warmup_epochs * total_steps / self.epochs
        if step < warmup:
            return self.learning_rate * (step + 1) / (math.ceil(warmup) + 1)
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "multi_step":
            return self.learning_rate * self.drop ** sum(step >= round(share * total_steps) for share in self.milestones)
        progress = (step - warmup) / max(1.0, total_steps - warmup)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and (isinstance(value, float) or abs(value) <= 2**53)


def _one_cycle(step: int, total_steps: int) -> float:
    """Share of the peak at `step`; where 0.3 `total_steps` < 1 there is no room to climb and the peak lies before the first step."""
    first, last, peak_step = 1 / 25, 1 / 25e4, 0.3 * total_steps - 1
    if step <= peak_step:
        return 1.0 + (first - 1.0) * 0.5 * (1.0 + math.cos(math.pi * step / peak_step))
    progress = (step - peak_step) / (total_steps - 1 - peak_step)
    return last + (1.0 - last) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def recipe_config(name: str, **changes: Any) -> TrainConfig:
    """The published recipe `name`, with `changes` to its fields: `recipe_config("cs_kd", epochs=30)`.

    Raises:
        ConfigError: `name` is not in `RECIPES`, or a change breaks a rule.
        TypeError: a change is to no field of TrainConfig.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return TrainConfig(**{**RECIPES[name], **changes})


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random augmentation of training images; evaluation images are never augmented."""

    crop_padding: int = 0  # zero pixels added on every side before a random crop of the old size; >= 0, 0 is off
    flip: bool = False  # horizontal flip with probability 1/2
    cutout: int = 0  # side in pixels of a square filled with the training mean; >= 0, 0 is off
    rand_augment: int = 0  # magnitude of two random operations an image, 0 to 10; 0 is off
    resized_crop: float = 0.0  # least share of the area a random crop keeps before it is resized back; in [0, 1), 0 is off

    def __post_init__(self) -> None:
        require(self.crop_padding >= 0, "crop_padding >= 0", crop_padding=self.crop_padding)
        require(self.cutout >= 0, "cutout >= 0", cutout=self.cutout)
        whole = isinstance(self.rand_augment, int)
        require(whole and 0 <= self.rand_augment <= 10, "rand_augment is a whole number from 0 to 10", rand_augment=self.rand_augment)
        require(0 <= self.resized_crop < 1, "0 <= resized_crop < 1", resized_crop=self.resized_crop)
        one_crop = not (self.crop_padding and self.resized_crop)
        require(one_crop, "crop_padding is 0 with resized_crop", crop_padding=self.crop_padding, resized_crop=self.resized_crop)
