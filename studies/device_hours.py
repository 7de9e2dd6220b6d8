"""How many device hours a study takes: what its phases do, counted, times what each piece of that costs (see `device_costs`)."""

from __future__ import annotations

from dataclasses import dataclass

from bsd_core.data.sources.sizes import PUBLISHED_SIZES
from bsd_core.methods import method_config
from bsd_core.robustness.perturbations import n_frames
from studies.operating_points import OPERATING_POINTS
from studies.prepare import PreparedStudy, confirm_plan
from studies.search import ArmSpace, split_params
from studies.spec import Arm, StudySpec


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images a study has.

    Attributes:
        n_train, n_val, n_test: in its splits.
        image_shape: (C, H, W).
        n_classes: K.
    """

    n_train: int
    n_val: int
    n_test: int
    image_shape: tuple[int, int, int]
    n_classes: int

    @classmethod
    def of(cls, spec: StudySpec, prepared: PreparedStudy | None) -> Sizes | None:
        """Those of the data, or where these are not at hand, the published ones; None where nobody knows."""
        if prepared is not None:
            data = prepared.data
            _, channels, height, width = data.train_images.shape
            shape = (channels, height, width)
            return cls(
                n_train=len(data.train_images),
                n_val=len(data.val_images),
                n_test=prepared.n_test,
                image_shape=shape,
                n_classes=data.n_classes,
            )
        if spec.dataset not in PUBLISHED_SIZES:
            return None
        size = PUBLISHED_SIZES[spec.dataset]
        n = spec.train_images or size.n_train
        n_val = round(spec.val_fraction * n)
        channels, *published = size.image_shape
        height, width = (spec.image_size, spec.image_size) if spec.image_size else published
        return cls(
            n_train=n - n_val,
            n_val=n_val,
            n_test=size.n_test,
            image_shape=(channels, height, width),
            n_classes=spec.n_classes or size.n_classes,
        )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a phase has its devices do.

    Attributes:
        trainings: networks that are trained.
        trained: images pushed through networks in training steps; partners and second views count as much as what they stand beside.
        predicted: images predicted as they are.
        corrupted, frames: images corrupted, or frames of a sequence made, and then predicted.
        measured: sets of predictions of which all metrics are computed.
    """

    trainings: int
    trained: float
    predicted: int
    corrupted: int
    frames: int
    measured: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of a device.

    Attributes:
        start: to set up one training.
        train, predict, corrupt, frame: an image.
        measure: all metrics of one set of predictions.
        on_gpu: where that was measured.
    """

    start: float
    train: float
    predict: float
    corrupt: float
    frame: float
    measure: float
    on_gpu: bool = False

    def seconds(self, work: Work) -> float:
        """What `work` takes on one device."""
        return (
            self.start * work.trainings
            + self.train * work.trained
            + self.predict * (work.predicted + work.corrupted + work.frames)
            + self.corrupt * work.corrupted
            + self.frame * work.frames
            + self.measure * work.measured
        )


@dataclass(frozen=True)
class DeviceHours:
    """Hours of one device, by phase; `confirm` at most, since there may be fewer points than are asked for."""

    search: float
    confirm: float

    @property
    def total(self) -> float:
        """Of both phases."""
        return self.search + self.confirm


def estimate(costs: Costs, spec: StudySpec, sizes: Sizes) -> DeviceHours:
    """The device hours of a study: its work times the costs. Devices that wait, Ray and the network between machines are left out."""
    return DeviceHours(costs.seconds(search_work(spec, sizes)) / 3600, costs.seconds(confirm_work(spec, sizes)) / 3600)


def search_work(spec: StudySpec, sizes: Sizes) -> Work:
    """Every arm's `trials`, baselines too: train, predict the validation images after every epoch, corrupt and perturb them at the end.

    With `stopping`, `trials` is a budget in full trainings, which are spent on more but shorter ones; what audits cost comes on top and is
    not counted.
    """
    shown = spec.evaluate
    n_shifts, n = len(shown.corruptions) * len(shown.severities), spec.trials * len(spec.arms)
    n_shifted = min(shown.images or sizes.n_val, sizes.n_val)
    return Work(
        trainings=n,
        trained=sum(_trained(spec, arm, sizes.n_train) for arm in spec.arms) * spec.trials,
        predicted=n * sizes.n_val * (spec.epochs + 1),
        corrupted=n * n_shifted * n_shifts,
        frames=n * n_shifted * sum(map(n_frames, shown.perturbations)),
        measured=n * (2 + n_shifts),  # clean images by both kinds of validation labels
    )


def confirm_work(spec: StudySpec, sizes: Sizes) -> Work:
    """As many trainings as there can be: each also predicts the test images, corrupts and perturbs them."""
    if spec.confirm is None:
        return Work(trainings=0, trained=0, predicted=0, corrupted=0, frames=0, measured=0)
    plan, each, more = confirm_plan(spec), n_points(spec) * spec.confirm.seeds, n_operating_points(spec) * spec.confirm.seeds
    n = each * len(spec.compared_arms) + more
    n_val = sizes.n_val if spec.confirm.train_on == "train" else 0
    n_shifted = min(spec.confirm.images or sizes.n_test, sizes.n_test)
    by_arm = [_trained(spec, arm, sizes.n_train + sizes.n_val - n_val) for arm in spec.compared_arms]
    return Work(
        trainings=n,
        trained=sum(by_arm) * each + max(by_arm) * more,
        predicted=n * (n_val * (spec.epochs + 1) + sizes.n_test),
        corrupted=n * n_shifted * plan.n_shifts,
        frames=n * n_shifted * plan.n_frames,
        measured=n * (3 + plan.n_shifts),
    )


def n_points(spec: StudySpec) -> int:
    """Settings that the confirm phase takes from an arm at most."""
    if spec.confirm is None:
        return 0
    wanted = spec.confirm.at_most if spec.confirm.points == "front" else 1
    return min(wanted, spec.trials) if spec.stopping.kind == "none" else wanted


def n_operating_points(spec: StudySpec) -> int:
    """Settings that the operating points of all conditions add to those of the arms at most; usually they name what is there already."""
    if spec.confirm is None or not spec.confirm.operating_points:
        return 0
    left = len(spec.methods) * (spec.trials - n_points(spec)) if spec.stopping.kind == "none" else len(OPERATING_POINTS)
    return len(spec.conditions) * min(left, len(OPERATING_POINTS))


def images_per_sample(spec: StudySpec, method: str) -> tuple[float, float]:
    """The least and the most of the settings that are not searched with any one choice of those that are; the defaults first."""
    space = ArmSpace.of(spec, method)
    _, own = split_params(space.constant)
    tries = [{name: choice} for name, values in space.searched.items() for choice in getattr(values, "choices", ())]
    costs = [method_config(method, {**own, **one}).images_per_epoch for one in ({}, *tries)]
    return min(costs), max(costs)


def _trained(spec: StudySpec, arm: Arm, n_train: int) -> float:
    """Images that one training of an arm pushes through networks in its steps."""
    return spec.epochs * n_train * (1.0 if spec.budget == "images" else images_per_sample(spec, arm.method)[0])
