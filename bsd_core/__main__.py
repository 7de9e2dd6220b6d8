"""Train one network and print its metrics: `python -m bsd_core --dataset digits --method bsd`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any, Final

import torch

from bsd_core.accelerate import keep_freed_memory
from bsd_core.checkpoint import check_writable, deterministic, resume, save_checkpoint, save_weights
from bsd_core.config import RECIPES, TrainConfig, recipe_config
from bsd_core.data.host_images import to_device
from bsd_core.data.label_noise import Split, SplitLabels, given_labels, save_labels
from bsd_core.data.sources import SOURCES, load_source
from bsd_core.data.splits import split_rows, subset_rows
from bsd_core.errors import BSDError, ConfigError, DivergedError, StorageError, require, unknown_name
from bsd_core.evaluate import headline, predict
from bsd_core.final_evaluation import FinalEvaluation, add_options
from bsd_core.methods import METHODS, method_config
from bsd_core.models import MODELS, STEMS
from bsd_core.noise_options import add_noise_options, complete_noise, parse_noise
from bsd_core.one_line_parser import OneLineParser
from bsd_core.seeds import derive_seed
from bsd_core.train import Recipe, Trainer

_WORDS: Final = {"null": None, "none": None, "true": True, "false": False}


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m bsd_core",
        description="Train one network on one data set with one method, and print its metrics on the validation split. "
        "`python -m bsd_core bench --help`: how fast this machine does it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--dataset", default="digits", help=f"{', '.join(SOURCES)}, folder:<path> or parquet:<path>")
    parser.add_argument("--data-dir", default="data", help="where data sets lie; its folder `cache` keeps decoded images")
    parser.add_argument("--image-size", type=int, help="side in pixels to which folders of images are resized and cropped")
    parser.add_argument("--train-images", type=int, help="use a stratified subset of the training images")
    parser.add_argument("--method", default="bsd", help=", ".join(METHODS))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the method, e.g. prior_strength=30")
    parser.add_argument("--model", default="resnet8", help=", ".join(MODELS))
    parser.add_argument("--width", type=int, help="channels of the first stage, or the widening factor, of networks that have one")
    parser.add_argument("--stem", default="auto", choices=STEMS, help="for small images, or as published for 224 px")
    parser.add_argument("--pretrained", metavar="FILE", help="weights to start from")
    add_noise_options(parser)
    parser.add_argument("--recipe", help=f"a published recipe instead of ours: {', '.join(RECIPES)}")
    parser.add_argument("--epochs", type=int, help="15, or the recipe's")
    parser.add_argument("--batch-size", type=int, help="64, or the recipe's")
    parser.add_argument("--learning-rate", "--lr", type=float, help="0.1, or the recipe's")
    parser.add_argument("--weight-decay", type=float, help="5e-4, or the recipe's")
    parser.add_argument("--train", nargs="*", default=[], metavar="NAME=VALUE", help="other fields of the recipe, e.g. schedule=one_cycle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads; 1 is fastest for small networks on a busy machine")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--deterministic", action="store_true", help="on a GPU: kernels that give the same bits at every run")
    parser.add_argument("--checkpoint", metavar="DIR", help="keep checkpoints here, and resume from the newest one")
    parser.add_argument("--checkpoint-every", type=int, default=0, metavar="STEPS", help="besides the end of each epoch; 0: not")
    parser.add_argument("--save-labels", metavar="FILE", help="write the noisy labels as Parquet, for --noise saved and for studies")
    parser.add_argument("--save", metavar="FILE", help="write the trained weights, e.g. for kd's teacher=FILE")
    add_options(parser)
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


def _value(text: str) -> Any:
    """A command line value as what it looks like: null, true, a whole number, a number, numbers with commas, or a text."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    parts = [_value(part) for part in text.split(",")] if "," in text else []
    return tuple(parts) if parts and all(isinstance(part, int | float) for part in parts) else text  # a path may hold a comma


def _pairs(option: str, pairs: list[str]) -> dict[str, Any]:
    for pair in pairs:
        if not all(pair.partition("=")):
            raise ConfigError(f"{option} takes NAME=VALUE, but got {pair!r}.")
    return {name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _train_config(options: argparse.Namespace) -> TrainConfig:
    """The named recipe, or our own, with what the command line says otherwise."""
    named = {name: getattr(options, name) for name in ("epochs", "batch_size", "learning_rate", "weight_decay")}
    changes = {name: value for name, value in named.items() if value is not None} | _pairs("--train", options.train)
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    for name in changes:
        if name not in fields:
            raise unknown_name("field of --train", name, fields)
    if options.recipe is not None:
        return recipe_config(options.recipe, **changes)
    return TrainConfig(**{"epochs": 15, "batch_size": 64, **changes})


def _train(trainer: Trainer, options: argparse.Namespace, val_images: torch.Tensor, val_targets: torch.Tensor) -> None:
    """All epochs that are left, with checkpoints where they are wanted."""
    folder = None if options.checkpoint is None else Path(options.checkpoint)

    def on_step() -> None:
        if folder is not None and options.checkpoint_every and trainer.step % options.checkpoint_every == 0:
            save_checkpoint(folder, trainer)

    if folder is not None:
        found = resume(trainer, folder)
        for reason in found.broken:
            print(f"warning: a broken checkpoint was passed over: {reason}", file=sys.stderr)
        if found.path is not None:
            print(f"resumed from {found.path}: {trainer.step} of {trainer.total_steps} steps done")
    while trainer.epoch < trainer.epochs:
        with deterministic(val_images.device) if options.deterministic else contextlib.nullcontext():
            epoch = trainer.run_epoch(on_step)
        if folder is not None:
            save_checkpoint(folder, trainer)
        of_teacher = "" if trainer.method.trained_network(trainer.model) is trainer.model else "  (its teacher)"
        metrics = headline(predict(trainer.network, val_images, trainer.normaliser), val_targets)
        print(
            f"epoch {epoch.epoch:3d}  loss {epoch.train_loss:7.4f}  val accuracy {metrics['accuracy']:7.2%}  "
            f"val ECE {metrics['ece']:6.2%}  {epoch.images_seen / epoch.seconds:8,.0f} images/s{of_teacher}",
            flush=True,
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["bench"]:
        from bsd_core.bench import main as bench

        bench(arguments[1:])
        return
    options = _parser().parse_args(arguments)
    device = choose_device(options.device)
    keep_freed_memory()
    if options.threads is not None:
        require(options.threads >= 1, "threads >= 1", threads=options.threads)
        torch.set_num_threads(options.threads)
    require(options.checkpoint_every >= 0, "checkpoint_every >= 0", checkpoint_every=options.checkpoint_every)
    if options.checkpoint_every and options.checkpoint is None:
        raise ConfigError("--checkpoint-every needs --checkpoint DIR: where to.")
    noise = parse_noise(options)
    config, settings = _train_config(options), _pairs("--set", options.set)
    for file in (options.save, options.save_labels):
        if file is not None:
            check_writable(Path(file))
    if options.checkpoint is not None:
        check_writable(Path(options.checkpoint) / "step")
    method_config(options.method, settings)
    final = FinalEvaluation.parse(options)
    source = load_source(options.dataset, data_dir=options.data_dir, image_size=options.image_size)
    official = final.open_files(source, options.data_dir)
    chosen = subset_rows(source.train.targets, options.train_images, seed=derive_seed(options.seed, "subset"))
    train_part, val_part = split_rows(source.train.targets[chosen], 0.2, seed=derive_seed(options.seed, "val"))
    parts = {"train": chosen[train_part], "val": chosen[val_part]}
    splits = {name: Split(source.train.select(rows), rows) for name, rows in parts.items()}
    train, val = splits["train"].images, splits["val"].images
    labels, record = given_labels(complete_noise(noise, source), splits, official=source.train.targets, seed=options.seed)
    given = labels["train"]
    if options.save_labels is not None:
        saved = {name: SplitLabels(split.rows, split.images.targets, labels[name]) for name, split in splits.items()}
        save_labels(Path(options.save_labels), saved, record)
    recipe = Recipe(
        method=options.method,
        settings=settings,
        model=options.model,
        width=options.width,
        stem=options.stem,
        pretrained=options.pretrained,
        train=config,
        augment=source.augment,
        seed=options.seed,
    )

    def on_device(array: object) -> torch.Tensor:
        return torch.as_tensor(array).to(device)

    trainer = Trainer(recipe, to_device(train.images, device), on_device(given), true=on_device(train.targets), n_classes=train.n_classes)
    print(f"{options.method} on {source.name}: {len(train)} training and {len(val)} validation images, {options.model} on {device}")
    if noise.kind != "none":
        n_wrong = int((given != train.targets).sum())
        print(f"label noise {noise.kind}: {n_wrong} of {len(train)} training labels are wrong ({n_wrong / len(train):.1%})")
    val_images: Any = to_device(val.images, device)
    val_targets = on_device(val.targets)
    _train(trainer, options, val_images, val_targets)
    if options.save is not None:
        save_weights(Path(options.save), trainer.network)
    print(final.render(final.run(trainer, device, val=val, test=source.test, official=official)))


if __name__ == "__main__":
    try:
        main()
    except DivergedError as error:
        print(f"failed: {error} Lower the learning rate.", file=sys.stderr)
        sys.exit(1)
    except StorageError as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
    except BSDError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("Interrupted; with --checkpoint the same command goes on where it was.", file=sys.stderr)
        sys.exit(130)
