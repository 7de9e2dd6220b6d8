"""Train one network and print its metrics: `python -m bsd_core --dataset digits --method bsd`."""

from __future__ import annotations

import argparse
import sys

import torch

from bsd_core.config import TrainConfig
from bsd_core.data.label_noise import NOISE_KINDS, spoil_labels
from bsd_core.data.sources import load_source
from bsd_core.data.splits import split_train_val, subset
from bsd_core.errors import BSDError, ConfigError, DivergedError, require
from bsd_core.evaluate import EvaluationPlan, evaluate, headline, predict
from bsd_core.robustness.corruptions import CORRUPTIONS
from bsd_core.seeds import derive_seed
from bsd_core.train import Recipe, Trainer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bsd_core",
        description="Train one network on one data set with one method, and print its metrics on the validation split.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--dataset", default="digits", help="digits, cifar10, cifar100, fashion_mnist, mnist or parquet:<path>")
    parser.add_argument("--data-dir", default="data", help="where torchvision keeps its files")
    parser.add_argument("--train-images", type=int, help="use a stratified subset of the training images")
    parser.add_argument("--method", default="bsd", help="cross_entropy, label_smoothing, cs_kd or bsd")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the method, e.g. prior_strength=30")
    parser.add_argument("--model", default="resnet8", help="resnet8, resnet20 or resnet18")
    parser.add_argument("--width", type=int, help="channels of the first stage (resnet8, resnet20)")
    parser.add_argument("--noise", default="none", choices=NOISE_KINDS, help="kind of label noise on the training labels")
    parser.add_argument("--noise-rate", type=float, default=0.0, help="share of training labels that are wrong")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", "--lr", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads; 1 is fastest for small networks on a busy machine")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    return parser


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        ConfigError: another name, or a device this machine has not.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"`device` is auto, cpu or cuda, but got {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda, but this machine has no GPU that torch can use. Use auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _settings(pairs: list[str]) -> dict[str, float]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        try:
            settings[name] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"--set takes NAME=NUMBER, but got {pair!r}.")
    return settings


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    device = choose_device(options.device)
    if options.threads is not None:
        require(options.threads >= 1, "threads >= 1", threads=options.threads)
        torch.set_num_threads(options.threads)
    recipe_config = TrainConfig(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_epochs=min(1, options.epochs),
    )
    if (options.noise == "none") != (options.noise_rate == 0):
        raise ConfigError(f"Give --noise and --noise-rate together, but got --noise {options.noise} --noise-rate {options.noise_rate:g}.")
    source = load_source(options.dataset, data_dir=options.data_dir)
    images = subset(source.train, options.train_images, seed=derive_seed(options.seed, "subset"))
    train, val = split_train_val(images, 0.2, seed=derive_seed(options.seed, "val"))
    given = spoil_labels(
        train.targets,
        options.noise,
        options.noise_rate,
        n_classes=train.n_classes,
        seed=derive_seed(options.seed, "noise"),
        mapping=source.asymmetric_map,
    )
    recipe = Recipe(
        method=options.method,
        settings=_settings(options.set),
        model=options.model,
        width=options.width,
        train=recipe_config,
        augment=source.augment,
        seed=options.seed,
    )

    def on_device(array: object) -> torch.Tensor:
        return torch.as_tensor(array).to(device)

    trainer = Trainer(recipe, on_device(train.images), on_device(given), true=on_device(train.targets), n_classes=train.n_classes)
    print(f"{options.method} on {source.name}: {len(train)} training and {len(val)} validation images, {options.model} on {device}")
    val_images, val_targets = on_device(val.images), on_device(val.targets)
    for _ in range(options.epochs):
        epoch = trainer.run_epoch()
        metrics = headline(predict(trainer.model, val_images, trainer.normaliser), val_targets)
        print(
            f"epoch {epoch.epoch:3d}  loss {epoch.train_loss:7.4f}  val accuracy {metrics['accuracy']:7.2%}  "
            f"val ECE {metrics['ece']:6.2%}  {epoch.images_seen / epoch.seconds:8,.0f} images/s"
        )
    plan = EvaluationPlan(corruptions=CORRUPTIONS, severities=(3,))
    rows, _ = evaluate(trainer.model, trainer.normaliser, val_images, {"val": val_targets}, plan=plan)
    print(f"\n{'':24}{'accuracy':>9}{'ECE':>8}{'NLL':>8}{'Brier':>8}   (n = {len(val)}, validation, true labels)")
    for row in rows:
        name = row["name"] if row["shift"] == "clean" else f"{row['name']} severity {row['severity']}"
        print(f"{name:26}{row['accuracy']:7.2%}{row['ece']:8.2%}{row['nll']:8.3f}{row['brier']:8.3f}")


if __name__ == "__main__":
    try:
        main()
    except DivergedError as error:
        print(f"failed: {error} Lower the learning rate.", file=sys.stderr)
        sys.exit(1)
    except BSDError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
