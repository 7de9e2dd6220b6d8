"""What every registered method must do, whatever it is."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from bsd_core.config import AugmentConfig
from bsd_core.data.batches import BATCH_PARTS, Batch
from bsd_core.data.label_noise import spoil_labels
from bsd_core.errors import ConfigError
from bsd_core.evaluate import predict
from bsd_core.methods import METHODS, method_config
from bsd_core.methods.base import build_config
from bsd_core.models import Network
from bsd_core.train import EpochRecord, Trainer
from tests._dummies import (
    assert_equal_states,
    make_batch,
    make_method,
    make_network,
    make_recipe,
    make_targets,
    make_toy_images,
    make_trainer,
)

pytestmark = pytest.mark.parametrize("name", METHODS)

N_CLASSES = 3
# Methods whose loss compares or mixes the images of a batch, so that it is no mean of losses of single images.
MIXES_ITS_BATCH: frozenset[str] = frozenset({"bsd_contrastive", "ddgsd", "mixup", "mixup_cs_kd"})
LAST_STEP = 7  # of `make_training`: a method that trains a teacher first is then at its student


def needs_of(name: str) -> frozenset[str]:
    return method_config(name, {}).needs


def row_of(batch: Batch, row: int) -> Batch:
    """The batch of one image of `batch`."""

    def cut(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(cut(part) for part in value)
        return value[row : row + 1] if isinstance(value, Tensor) else value

    return Batch(**{field.name: cut(getattr(batch, field.name)) for field in dataclasses.fields(Batch)})


class FixedLogits:
    """Answers every call with the same rows, over and over, for as many images as it is shown.

    Its features are the logits, and zeros up to the length that a network's have.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.n_features = make_network().n_features

    def __call__(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        rows = self.logits.repeat(len(images) // len(self.logits), 1)
        return functional.pad(rows, (0, self.n_features - N_CLASSES))

    def classifier(self, features: Tensor) -> Tensor:
        return features[:, :N_CLASSES]


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses what would make the host wait for a GPU: values read back, and shapes that depend on values."""

    WAITING = frozenset({"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2"})

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name.startswith(("index", "_index")) and any(
            isinstance(index, Tensor) and index.dtype in {torch.bool, torch.uint8}
            for index in (args[1] if isinstance(args[1], list | tuple) else ())
        )
        assert name not in self.WAITING, f"{name} waits for the device"
        assert not masks, f"{name} by a mask waits for the device"
        return func(*args, **(kwargs or {}))


def numbers(record: EpochRecord) -> dict[str, Any]:
    """All of a record but the wall time."""
    return {key: value for key, value in dataclasses.asdict(record).items() if key != "seconds"}


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """`state` as a checkpoint would bring it back, read without unpickling code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


@pytest.mark.parametrize("number", [0, LAST_STEP])
@pytest.mark.parametrize("n", [1, 8])
def test_loss_and_gradients_are_finite_in_batches_of_one_and_more(name: str, n: int, number: int) -> None:
    targets = make_targets(n, N_CLASSES)
    model, method = make_network(), make_method(name, targets)
    step = method.step(model, make_batch(targets, needs=needs_of(name), step=number))
    step.terms["total"].backward()  # type: ignore[no-untyped-call]
    assert step.logits.shape == (n, N_CLASSES)
    for term in step.terms.values():
        assert term.shape == ()
        assert math.isfinite(float(term.detach()))
    gradients = [parameter.grad for parameter in method.trained_network(model).parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients if gradient is not None)


def test_gradients_stay_finite_at_extreme_logits(name: str) -> None:
    targets = torch.tensor([0, 1])
    method = make_method(name, targets)
    logits = torch.tensor([[-200.0, 200.0, 0.0], [200.0, -200.0, 0.0]], requires_grad=True)
    total = method.step(FixedLogits(logits), make_batch(targets, needs=needs_of(name), step=LAST_STEP)).terms["total"]
    (gradient,) = torch.autograd.grad(total, logits)
    assert math.isfinite(float(total.detach()))
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize(("number", "epoch"), [(0, 0), (LAST_STEP, 1)])
def test_a_step_does_not_wait_for_the_device(name: str, number: int, epoch: int) -> None:
    targets = make_targets(6, N_CLASSES)
    model, method = make_network(), make_method(name, targets)
    batch = make_batch(targets, needs=needs_of(name), step=number, epoch=epoch)
    with NoWaiting():  # type: ignore[no-untyped-call]
        method.step(model, batch).terms["total"].backward()  # type: ignore[no-untyped-call]
        method.after_backward()


def test_the_loss_is_a_mean_over_the_batch_unless_its_images_meet_in_it(name: str) -> None:
    targets = make_targets(6, N_CLASSES)
    model = make_network().eval()  # so that images do not see each other through batch normalisation
    batch = make_batch(targets, needs=needs_of(name), step=LAST_STEP)
    whole = float(make_method(name, targets).step(model, batch).terms["total"].detach())
    alone = [float(make_method(name, targets).step(model, row_of(batch, i)).terms["total"].detach()) for i in range(6)]
    assert (whole == pytest.approx(sum(alone) / 6, rel=1e-5)) == (name not in MIXES_ITS_BATCH)


def test_the_defaults_rebuild_from_their_fields(name: str) -> None:
    config = METHODS[name].Config()
    assert build_config(METHODS[name].Config, name, dataclasses.asdict(config)) == config
    assert build_config(METHODS[name].Config, name, {}) == config


def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no_such_setting"):
        method_config(name, {"no_such_setting": 1.0})


def test_equal_seeds_give_equal_numbers_and_others_do_not(name: str) -> None:
    first, again, other = (make_trainer(make_recipe(name, seed=seed)) for seed in (1, 1, 2))
    records = [[numbers(trainer.run_epoch()) for _ in range(2)] for trainer in (first, again, other)]
    assert records[0] == records[1]
    assert records[0] != records[2]
    assert_equal_states(first.state_dict(), again.state_dict())


def test_a_training_leaves_the_global_random_state_alone(name: str) -> None:
    before = torch.get_rng_state()
    make_trainer(make_recipe(name)).run_epoch()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_of_a_method_makes_a_round_trip(name: str) -> None:
    targets = make_targets(8, N_CLASSES)
    model, method = make_network(), make_method(name, targets)
    method.step(model, make_batch(targets, needs=needs_of(name)))
    twin = make_method(name, targets)
    twin.load_state_dict(through_a_file(method.state_dict()))
    assert_equal_states(twin.state_dict(), method.state_dict())
    batch = make_batch(targets, needs=needs_of(name), seed=1)
    model.eval()
    totals = [float(one.step(model, batch).terms["total"].detach()) for one in (method, twin)]
    assert totals[0] == totals[1]


@pytest.mark.parametrize("epochs_before", [1, 2])
def test_a_training_continues_exactly_where_it_was_saved(name: str, epochs_before: int) -> None:
    recipe = make_recipe(name, epochs=4)
    _, true = make_toy_images(50)
    given = spoil_labels(true, "symmetric", 0.3, n_classes=N_CLASSES, seed=0)
    straight = make_trainer(recipe, given=given, true=true)
    for _ in range(epochs_before):
        straight.run_epoch()
    saved = through_a_file(straight.state_dict())
    expected = [numbers(straight.run_epoch()) for _ in range(4 - epochs_before)]
    resumed = make_trainer(recipe, given=given, true=true)
    resumed.load_state_dict(saved)
    assert resumed.epoch == epochs_before
    assert_equal_states(resumed.state_dict(), saved)
    assert [numbers(resumed.run_epoch()) for _ in range(4 - epochs_before)] == expected
    assert_equal_states(resumed.state_dict(), straight.state_dict())


def test_the_true_labels_change_the_record_and_nothing_else(name: str) -> None:
    images, true = make_toy_images(50)
    given = spoil_labels(true, "symmetric", 0.3, n_classes=N_CLASSES, seed=0)
    recipe = make_recipe(name)
    informed = Trainer(recipe, images, given, true=true, n_classes=N_CLASSES)
    blind = Trainer(recipe, images, given, true=None, n_classes=N_CLASSES)
    with_truth, without = numbers(informed.run_epoch()), numbers(blind.run_epoch())
    assert with_truth.pop("label_recovery") is not None
    assert with_truth.pop("memorised") is not None
    assert without.pop("label_recovery") is None
    assert without.pop("memorised") is None
    assert with_truth == without
    assert_equal_states(informed.state_dict(), blind.state_dict())


@pytest.mark.parametrize("part", ["partner_images", "second_images", "strong_images", "previous_images"])
def test_a_part_of_the_batch_is_used_where_it_is_asked_for_and_nowhere_else(name: str, part: str) -> None:
    targets = make_targets(6, N_CLASSES)
    method = make_method(name, targets)
    method.step(make_network(), make_batch(targets, needs=needs_of(name), step=0))  # what needs a step before has it
    state = through_a_file(method.state_dict())
    losses = []
    for seed in (1, 2):
        twin = make_method(name, targets)
        twin.load_state_dict(state)
        other = make_batch(targets, needs=BATCH_PARTS, seed=seed)
        batch = dataclasses.replace(make_batch(targets, needs=BATCH_PARTS, step=LAST_STEP), **{part: getattr(other, part)})
        losses.append(float(twin.step(make_network(), batch).terms["total"].detach()))
    needed = {"partner_images": "partner", "second_images": "second_view", "strong_images": "strong_views", "previous_images": "previous"}
    assert (losses[0] != losses[1]) == (needed[part] in needs_of(name))


def test_a_method_sees_labels_through_the_batch_or_through_its_own_state(name: str) -> None:
    targets = make_targets(8, N_CLASSES)
    changed = (targets + 1) % N_CLASSES

    def total(of_training: Tensor, of_batch: Tensor) -> float:
        batch = dataclasses.replace(make_batch(targets, needs=needs_of(name)), targets=of_batch)
        return float(make_method(name, of_training).step(make_network(), batch).terms["total"].detach())

    same, by_batch, by_training = total(targets, targets), total(targets, changed), total(changed, targets)
    assert same == total(targets, targets)
    assert (same != by_batch) != (same != by_training)


def test_a_method_counts_the_images_it_shows_the_network(name: str) -> None:
    shown: list[int] = []
    trainer = make_trainer(make_recipe(name), n=50)
    for network in (trainer.model, *trainer.method.modules()):
        if isinstance(network, Network):
            features = network.features
            network.features = lambda images, features=features: shown.append(len(images)) or features(images)  # type: ignore
    seen = [trainer.run_epoch().images_seen for _ in range(2)]
    assert sum(seen) == sum(shown)


def test_the_images_of_a_training_are_those_its_configuration_announces(name: str) -> None:
    trainer = make_trainer(make_recipe(name, epochs=4), n=48)
    seen = sum(trainer.run_epoch().images_seen for _ in range(4))
    announced = method_config(name, {}).images_per_sample * 4 * 48
    assert announced - 16 <= seen <= announced  # a method on the batch before has one step without it


@pytest.mark.parametrize("n", [48, 50, 66])
@pytest.mark.parametrize("epochs", [2, 4])
def test_a_budget_of_images_is_kept_and_used_up_by_every_method(name: str, n: int, epochs: int) -> None:
    check_budget(name, {}, n, epochs)


def check_budget(name: str, settings: dict[str, Any], n: int, epochs: int) -> None:
    recipe = make_recipe(name, settings=settings, epochs=epochs)
    trainer = make_trainer(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, budget="images")), n=n)
    seen = sum(record.images_seen for record in trainer.records())
    # What is left over is less than one more step, and its clean pass, would have cost; dlb saves a batch in its first step.
    dearest = 16 * (method_config(name, settings).images_per_sample + 1.5) + (n if settings.get("evidence") == "clean" else 0)
    assert epochs * n - dearest < seen <= epochs * n


@pytest.mark.parametrize("n", [48, 50])
@pytest.mark.parametrize("epochs", [2, 3, 7])
def test_a_budget_holds_clean_passes_and_second_views_too(name: str, n: int, epochs: int) -> None:
    if name == "bsd":
        check_budget(name, {"evidence": "clean"}, n, epochs)
    if name == "sop":
        check_budget(name, {"consistency_weight": 0.9}, n, epochs)
    if name not in ("bsd", "sop"):
        assert method_config(name, {}).images_per_epoch == method_config(name, {}).images_per_sample


def test_mixed_precision_reaches_every_network_and_leaves_all_state_as_it_is(name: str) -> None:
    recipe = make_recipe(name, epochs=2)
    precise, mixed = (
        make_trainer(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, precision=precision)), n=48)
        for precision in ("float32", "bfloat16")
    )
    losses = [[record.train_loss for record in trainer.records()] for trainer in (precise, mixed)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.25)
    dtypes = [[state.dtype for state in (*method.parameters(), *method.buffers())] for method in (precise.method, mixed.method)]
    assert dtypes[0] == dtypes[1]


def test_a_method_learns_images_that_are_easy_to_tell_apart(name: str) -> None:
    trainer = make_trainer(make_recipe(name, epochs=10, augment=AugmentConfig()), n=120)
    records = [trainer.run_epoch() for _ in range(10)]
    last_stage = trainer.method.stages(trainer.total_steps)[-1]
    first = (trainer.total_steps - last_stage) // len(trainer.batches)  # a teacher's loss is another one
    assert records[-1].train_loss < records[first].train_loss
    images, targets = make_toy_images(120)  # as they are, since a method may train on mixed ones
    predicted = predict(trainer.network, images, trainer.normaliser).argmax(1)
    assert float((predicted == targets).double().mean()) > 0.9
