from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.__main__ import main
from bsd_core.config import AugmentConfig, TrainConfig
from bsd_core.errors import ConfigError, DataError
from bsd_core.evaluate import predict
from bsd_core.final_evaluation import FinalEvaluation, add_options
from bsd_core.metrics.calibration import fit_temperature
from bsd_core.robustness.corruptions import CORRUPTIONS
from bsd_core.robustness.perturbations import MAIN_PERTURBATIONS
from bsd_core.train import Recipe, Trainer
from tests._dummies import make_image_set

QUICK = ["--width", "4", "--epochs", "1", "--train-images", "150", "--batch-size", "50", "--threads", "1"]


def parse(*arguments: str) -> FinalEvaluation:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return FinalEvaluation.parse(parser.parse_args(list(arguments)))


def test_all_corruptions_at_severity_3_on_validation_images_unless_told_otherwise() -> None:
    final = parse()
    assert (final.split, final.official, final.plan.corruptions, final.plan.severities) == ("val", None, CORRUPTIONS, (3,))
    assert final.plan.perturbations == ()


def test_what_is_measured_can_be_chosen() -> None:
    final = parse("--split", "test", "--corruptions", "fog, snow", "--severities", "1,5", "--perturbations", "main")
    assert (final.split, final.plan.corruptions, final.plan.severities) == ("test", ("fog", "snow"), (1, 5))
    assert final.plan.perturbations == MAIN_PERTURBATIONS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corruptions", "official"], r"--corruptions official needs --split test"),
        (["--split", "test", "--corruptions", "official", "--frost-folder", "x"], r"--frost-folder is for our corruptions"),
        (["--official-folder", "x"], r"--official-folder needs --corruptions official"),
        (["--corruptions", "fog", "--frost-folder", "x"], r"Pictures of frost are for the corruption frost"),
        (["--perturbations", "official"], r"Unknown perturbation 'official'"),
        (["--corruptions", "smog"], r"Unknown corruption 'smog'"),
        (["--corruptions", "all,fog"], r"`all` stands alone"),
        (["--severities", "6"], r"--severities are of 1 to 5, with commas, but got '6'"),
        (["--severities", "low"], r"--severities are of 1 to 5"),
        (["--perturbations", "titl"], r"Did you mean 'tilt'\?"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(*arguments)


def test_the_test_split_is_measured_and_sequences_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main([*QUICK, "--split", "test", "--corruptions", "fog", "--severities", "1,5", "--perturbations", "translate"])
    out = capsys.readouterr().out
    assert "(n = 359 test images, true labels)" in out
    assert "fog severity 5" in out
    assert "mean of the corrupted" in out
    assert "predictions flip at" in out


def test_label_noise_is_told_with_its_count(capsys: pytest.CaptureFixture[str]) -> None:
    main([*QUICK, "--corruptions", "none", "--noise", "pairflip", "--noise-rate", "0.25"])
    assert "label noise pairflip: 30 of 120 training labels are wrong (25.0%)" in capsys.readouterr().out
    main([*QUICK, "--corruptions", "none"])
    assert "label noise" not in capsys.readouterr().out


def test_without_corruptions_only_clean_images_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main([*QUICK, "--corruptions", "none"])
    out = capsys.readouterr().out
    assert "clean" in out
    assert "mean of the corrupted" not in out


def test_released_corruptions_of_digits_do_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"Released corruptions are known of cifar10 and cifar100"):
        main([*QUICK, "--split", "test", "--corruptions", "official"])


def test_missing_pictures_of_frost_are_noticed_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"frost folder"):
        main([*QUICK, "--frost-folder", str(tmp_path)])
    assert "epoch" not in capsys.readouterr().out


def test_the_temperature_of_the_test_split_comes_from_validation_images() -> None:
    train, val, test = (make_image_set(30, seed=seed) for seed in range(3))
    config = TrainConfig(epochs=1, batch_size=15)
    recipe = Recipe(
        method="cross_entropy",
        settings={},
        model="resnet8",
        width=4,
        train=config,
        augment=AugmentConfig(),
        seed=0,
    )
    trainer = Trainer(recipe, torch.from_numpy(np.asarray(train.images)), torch.from_numpy(train.targets), true=None, n_classes=3)
    trainer.run_epoch()
    final = parse("--split", "test", "--corruptions", "none")
    (row,) = final.run(trainer, torch.device("cpu"), val=val, test=test, official=None)
    logits = predict(trainer.network, torch.from_numpy(np.asarray(val.images)), trainer.normaliser)
    assert row["temperature"] == pytest.approx(fit_temperature(logits, torch.from_numpy(val.targets)))
