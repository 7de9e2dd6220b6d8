"""What every registered method must do, whatever it is."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bsd_core.config import AugmentConfig
from bsd_core.data.batches import Batch
from bsd_core.data.label_noise import spoil_labels
from bsd_core.errors import ConfigError
from bsd_core.methods import METHODS, Method, build_method
from bsd_core.methods.base import build_config
from bsd_core.models import build_model
from bsd_core.train import EpochRecord, Trainer
from tests._dummies import make_batch, make_recipe, make_targets, make_toy_images, make_trainer

pytestmark = pytest.mark.parametrize("name", METHODS)

N_CLASSES = 3


def make_method(name: str, targets: Tensor) -> Method:
    return build_method(name, {}, targets=targets, n_classes=N_CLASSES)


def make_model() -> torch.nn.Module:
    return build_model("resnet8", in_channels=1, n_classes=N_CLASSES, width=4, seed=0).train()


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


def assert_equal_states(left: Any, right: Any) -> None:
    """Nested dicts, lists and tensors are equal to the last bit."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal_states(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_equal_states(one, other)
    elif isinstance(left, Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


@pytest.mark.parametrize("n", [1, 8])
def test_loss_and_gradients_are_finite_in_batches_of_one_and_more(name: str, n: int) -> None:
    targets = make_targets(n, N_CLASSES)
    model, method = make_model(), make_method(name, targets)
    step = method.step(model, make_batch(targets, partner="partner" in method.needs))
    step.terms["total"].backward()  # type: ignore[no-untyped-call]
    assert step.logits.shape == (n, N_CLASSES)
    for term in step.terms.values():
        assert term.shape == ()
        assert math.isfinite(float(term.detach()))
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients if gradient is not None)


def test_gradients_stay_finite_at_extreme_logits(name: str) -> None:
    targets = torch.tensor([0, 1])
    method = make_method(name, targets)
    logits = torch.tensor([[-200.0, 200.0, 0.0], [200.0, -200.0, 0.0]], requires_grad=True)
    model = torch.nn.Module()
    model.forward = lambda images: logits
    total = method.step(model, make_batch(targets, partner="partner" in method.needs)).terms["total"]
    (gradient,) = torch.autograd.grad(total, logits)
    assert math.isfinite(float(total.detach()))
    assert bool(torch.isfinite(gradient).all())


def test_the_loss_is_a_mean_over_the_batch(name: str) -> None:
    targets = make_targets(6, N_CLASSES)
    model = make_model().eval()  # so that images do not see each other through batch normalisation
    batch = make_batch(targets, partner=True)
    whole = float(make_method(name, targets).step(model, batch).terms["total"].detach())
    assert batch.partner_images is not None
    alone = [
        float(
            make_method(name, targets)
            .step(
                model,
                Batch(
                    batch.images[i : i + 1],
                    targets[i : i + 1],
                    batch.indices[i : i + 1],
                    batch.partner_images[i : i + 1],
                ),
            )
            .terms["total"]
            .detach()
        )
        for i in range(6)
    ]
    assert whole == pytest.approx(sum(alone) / 6, rel=1e-5)


def test_the_defaults_rebuild_from_their_fields(name: str) -> None:
    config = METHODS[name].Config()
    assert build_config(METHODS[name].Config, name, dataclasses.asdict(config)) == config
    assert build_config(METHODS[name].Config, name, {}) == config


def test_an_unknown_setting_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"no_such_setting"):
        build_method(name, {"no_such_setting": 1.0}, targets=torch.tensor([0, 1]), n_classes=N_CLASSES)


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
    model, method = make_model(), make_method(name, targets)
    method.step(model, make_batch(targets, partner=True))
    twin = make_method(name, targets)
    twin.load_state_dict(through_a_file(method.state_dict()))
    assert_equal_states(twin.state_dict(), method.state_dict())
    batch = make_batch(targets, partner=True, seed=1)
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


def test_partner_images_are_used_where_they_are_needed_and_nowhere_else(name: str) -> None:
    targets = make_targets(6, N_CLASSES)
    losses = []
    for seed in (1, 2):
        batch = dataclasses.replace(make_batch(targets), partner_images=make_batch(targets, seed=seed).images)
        losses.append(float(make_method(name, targets).step(make_model(), batch).terms["total"].detach()))
    assert (losses[0] != losses[1]) == ("partner" in METHODS[name].needs)


def test_bsd_sees_labels_through_the_prior_alone_and_the_others_through_the_batch(name: str) -> None:
    targets = make_targets(8, N_CLASSES)
    totals, states = [], []
    for batch_targets in (targets, (targets + 1) % N_CLASSES):
        model, method = make_model(), make_method(name, targets)
        batches = [dataclasses.replace(make_batch(targets, partner=True, seed=seed), targets=batch_targets) for seed in range(3)]
        totals.append([float(method.step(model, batch).terms["total"].detach()) for batch in batches])
        states.append(method.state_dict())
    assert (totals[0] == totals[1]) == (name == "bsd")
    assert_equal_states(states[0], states[1])


def test_the_prior_is_the_way_in_for_labels_of_methods_with_state(name: str) -> None:
    targets = make_targets(8, N_CLASSES)
    states = [make_method(name, given).state_dict() for given in (targets, (targets + 1) % N_CLASSES)]
    if states[0]:
        assert any(not torch.equal(states[0][key], states[1][key]) for key in states[0])
    else:
        assert states[1] == {}


def test_a_method_counts_the_images_it_shows_the_network(name: str) -> None:
    shown: list[int] = []
    trainer = make_trainer(make_recipe(name), n=50)
    trainer.model.register_forward_pre_hook(lambda _, inputs: shown.append(len(inputs[0])))
    assert trainer.run_epoch().images_seen == sum(shown)


def test_a_method_learns_images_that_are_easy_to_tell_apart(name: str) -> None:
    trainer = make_trainer(make_recipe(name, epochs=10, augment=AugmentConfig()), n=120)
    records = [trainer.run_epoch() for _ in range(10)]
    assert records[-1].train_accuracy > 0.9
    assert records[-1].train_loss < records[0].train_loss
