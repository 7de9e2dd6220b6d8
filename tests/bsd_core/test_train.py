from __future__ import annotations

import dataclasses

import pytest
import torch

from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.data.label_noise import spoil_labels
from bsd_core.errors import ConfigError, DivergedError
from bsd_core.evaluate import predict
from bsd_core.train import Recipe, Trainer
from tests._dummies import make_recipe, make_targets, make_toy_images, make_trainer


def test_a_record_counts_epochs_images_and_the_rate_of_the_last_step() -> None:
    recipe = make_recipe(epochs=3, batch_size=16, learning_rate=0.2)
    trainer = make_trainer(recipe, n=50)  # 4 steps an epoch: 16, 16, 16, 2
    records = [trainer.run_epoch() for _ in range(3)]
    assert [record.epoch for record in records] == [1, 2, 3]
    assert [record.images_seen for record in records] == [50, 50, 50]
    rates = [recipe.train.learning_rate_at(step, total_steps=12) for step in (3, 7, 11)]
    assert [record.learning_rate for record in records] == rates
    assert trainer.epoch == 3
    assert all(record.seconds > 0 for record in records)


def test_the_first_loss_is_the_mean_over_images_whatever_the_batches() -> None:
    # A learning rate of almost nothing leaves the network as it was; on copies of one image every batch looks alike to batch
    # normalisation, so all batches have the logits of the first and the mean over images is log-sum-exp arithmetic.
    images = torch.full((10, 1, 8, 8), 100, dtype=torch.uint8)
    targets = torch.tensor([0] * 7 + [1] * 3)
    recipe = make_recipe(batch_size=4, learning_rate=1e-12, augment=AugmentConfig())
    trainer = Trainer(recipe, images, targets, true=None, n_classes=2)
    trainer.model.train()
    log_probs = trainer.model(trainer.normaliser(images)).detach().log_softmax(1)
    record = trainer.run_epoch()
    assert record.train_loss == pytest.approx(float(-log_probs.gather(1, targets[:, None]).mean()), rel=1e-5)


def test_training_learns_images_that_are_easy_to_tell_apart_also_unseen_ones() -> None:
    trainer = make_trainer(make_recipe(epochs=8, augment=AugmentConfig()), n=120)
    records = [trainer.run_epoch() for _ in range(8)]
    assert records[-1].train_accuracy > 0.95
    assert records[-1].train_loss < 0.5 * records[0].train_loss
    images, targets = make_toy_images(60, seed=9)
    predicted = predict(trainer.model, images, trainer.normaliser).argmax(1)
    assert float((predicted == targets).double().mean()) > 0.95


def test_without_wrong_labels_there_is_nothing_to_recover() -> None:
    _, targets = make_toy_images(50)
    for true in (None, targets):
        record = make_trainer(make_recipe(), true=true).run_epoch()
        assert record.label_recovery is None
        assert record.memorised is None


def test_recovery_and_memorisation_are_shares_of_the_wrong_labels() -> None:
    _, true = make_toy_images(120)
    given = spoil_labels(true, "symmetric", 0.2, n_classes=3, seed=0)
    trainer = make_trainer(make_recipe(epochs=8, augment=AugmentConfig()), n=120, given=given, true=true)
    records = [trainer.run_epoch() for _ in range(8)]
    for record in records:
        assert record.label_recovery is not None
        assert record.memorised is not None
        # Of three classes one is the true one, one the given one: both shares are of 24 images, and they exclude each other.
        assert record.label_recovery * 24 == pytest.approx(round(record.label_recovery * 24))
        assert record.label_recovery + record.memorised <= 1
    assert records[-1].label_recovery is not None
    assert records[-1].label_recovery > 0.6  # the pattern is learnt before the noise


def test_bsd_recovers_labels_by_its_posterior() -> None:
    _, true = make_toy_images(120)
    given = spoil_labels(true, "symmetric", 0.2, n_classes=3, seed=0)
    recipe = make_recipe("bsd", settings={"prior_strength": 2.0, "discount": 0.7}, epochs=8, augment=AugmentConfig())
    trainer = make_trainer(recipe, n=120, given=given, true=true)
    first = trainer.run_epoch()
    for _ in range(7):
        last = trainer.run_epoch()
    wrong = given != true
    estimates = trainer.method.label_estimates()
    assert estimates is not None
    # One update leaves 1.4 pseudo-counts at the given label against at most 1 elsewhere: nothing can be recovered yet.
    assert first.label_recovery == 0
    assert last.label_recovery == pytest.approx(float((estimates == true)[wrong].double().mean()))
    assert last.label_recovery is not None
    assert last.label_recovery > 0.6


def test_the_train_accuracy_is_against_the_given_labels() -> None:
    _, true = make_toy_images(120)
    given = (true + 1) % 3
    trainer = make_trainer(make_recipe(epochs=8, augment=AugmentConfig()), n=120, given=given, true=true)
    record = [trainer.run_epoch() for _ in range(8)][-1]
    assert record.train_accuracy > 0.9
    assert record.memorised == pytest.approx(record.train_accuracy)
    assert record.label_recovery is not None
    assert record.label_recovery < 0.1


def test_the_weights_depend_on_the_seed_and_not_on_the_method() -> None:
    weights = [make_trainer(make_recipe(method, seed=seed)).model.state_dict() for method, seed in (("bsd", 0), ("cs_kd", 0), ("bsd", 1))]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert any(not torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_label_smoothing_of_zero_trains_exactly_like_cross_entropy() -> None:
    plain, smoothed = make_trainer(make_recipe("cross_entropy")), make_trainer(make_recipe("label_smoothing", settings={"smoothing": 0.0}))
    plain.run_epoch()
    smoothed.run_epoch()
    ours, theirs = plain.model.state_dict(), smoothed.model.state_dict()
    assert all(torch.allclose(ours[key], theirs[key], rtol=1e-4, atol=1e-6) for key in ours)


@pytest.mark.parametrize("method", ["cross_entropy", "bsd", "cs_kd"])
def test_a_training_that_diverges_says_so(method: str) -> None:
    trainer = make_trainer(make_recipe(method, learning_rate=1e30))
    with pytest.raises(DivergedError, match=r"The training loss was (nan|inf) in epoch 1"):
        trainer.run_epoch()


def test_fewer_images_than_one_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"has 15 images, fewer than one batch \(16\)\. Lower batch_size or use more images"):
        make_trainer(make_recipe(batch_size=16), n=15)


def test_exactly_one_batch_is_enough() -> None:
    assert make_trainer(make_recipe(batch_size=16), n=16).run_epoch().images_seen == 16


@pytest.mark.parametrize(
    ("change", "message"), [({"method": "bds"}, r"Unknown method 'bds'"), ({"model": "resnet7"}, r"Unknown model 'resnet7'")]
)
def test_unknown_names_are_refused_before_anything_is_trained(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trainer(dataclasses.replace(make_recipe(), **change))  # type: ignore[arg-type]


def test_one_step_is_sgd_with_weight_decay_and_momentum() -> None:
    images, targets = make_toy_images(16)
    config = TrainConfig(epochs=2, batch_size=16, learning_rate=0.1, weight_decay=0.01, momentum=0.5, warmup_epochs=0)
    recipe = Recipe(method="cross_entropy", settings={}, model="resnet8", width=2, train=config, augment=AugmentConfig(), seed=0)
    trainer = Trainer(recipe, images, targets, true=None, n_classes=3)
    parameters = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    velocity = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for step in range(2):
        # One batch holds all images, so the gradient is that of the whole set, whatever the order.
        trainer.model.train()
        trainer.model.zero_grad()
        state = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        loss = torch.nn.functional.cross_entropy(trainer.model(trainer.normaliser(images)), targets)
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(trainer.model.parameters())), strict=True))
        trainer.model.load_state_dict(state)
        rate = config.learning_rate_at(step, total_steps=2)
        for name, value in parameters.items():
            velocity[name] = 0.5 * velocity[name] + gradients[name] + 0.01 * value
        expected = {name: value - rate * velocity[name] for name, value in parameters.items()}
        trainer.run_epoch()
        for name, value in trainer.model.named_parameters():
            assert torch.allclose(value, expected[name], rtol=1e-4, atol=1e-6)
            parameters[name] = value.detach().clone()


def test_labels_are_not_modified_by_training() -> None:
    given = make_targets(50, 3)
    before = given.clone()
    trainer = make_trainer(make_recipe("bsd"), given=given, true=(given + 1) % 3)
    trainer.run_epoch()
    assert torch.equal(given, before)
