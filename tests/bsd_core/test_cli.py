from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bsd_core
from bsd_core.__main__ import choose_device, main
from bsd_core.errors import ConfigError
from bsd_core.methods import METHODS

QUICK = ["--epochs", "1", "--width", "2", "--train-images", "150", "--batch-size", "32", "--device", "cpu"]
PROGRAM = Path(bsd_core.__file__).parent / "__main__.py"


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `python -m bsd_core` with `arguments`, in this process."""
    monkeypatch.setattr(sys, "argv", ["bsd_core", *arguments])
    try:
        runpy.run_path(str(PROGRAM), run_name="__main__")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0


@pytest.mark.parametrize("method", ["cross_entropy", "label_smoothing", "cs_kd", "bsd"])
def test_one_command_trains_a_network_and_prints_its_metrics(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--dataset", "digits", "--method", method, *QUICK])
    out = capsys.readouterr().out
    assert f"{method} on digits: 120 training and 30 validation images, resnet8 on cpu" in out
    assert re.search(r"epoch +1 +loss +\d+\.\d+ +val accuracy +\d+\.\d+% +val ECE +\d+\.\d+%", out)
    assert re.search(r"accuracy +ECE +NLL +Brier +\(n = 30, validation, true labels\)", out)
    for name in ("clean", "gaussian_noise severity 3", "pixelate severity 3"):
        assert re.search(rf"{name} +\d+\.\d+% +\d+\.\d+% +\d+\.\d+ +\d+\.\d+", out)


def test_equal_seeds_print_equal_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    noisy = ["--noise", "symmetric", "--noise-rate", "0.4", "--method", "bsd", "--set", "prior_strength=3", "discount=0.5"]
    tables = []
    for seed in ("3", "3", "4"):
        main([*noisy, "--seed", seed, *QUICK])
        tables.append(capsys.readouterr().out.split("\n\n")[1])
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "cskd"], f"Unknown method 'cskd'. Known: {', '.join(METHODS)}. Did you mean 'cs_kd'?"),
        (["--dataset", "digit"], "Unknown data set 'digit'."),
        (["--dataset", "parquet:no/such/file"], "No such file or folder: 'no/such/file'."),
        (["--model", "resnet21"], "Unknown model 'resnet21'."),
        (["--set", "prior=3"], "Did you mean 'prior_strength'?"),
        (["--set", "discount"], "--set takes NAME=NUMBER, but got 'discount'."),
        (["--set", "discount=much"], "--set takes NAME=NUMBER, but got 'discount=much'."),
        (["--set", "discount=2"], "`0 < discount <= 1` must hold, but got discount=2.0."),
        (["--noise", "symmetric", "--noise-rate", "1.2"], "`0 <= noise_rate < 1` must hold, but got noise_rate=1.2."),
        (["--epochs", "0"], "`epochs is a whole number >= 1` must hold, but got epochs=0."),
        (["--train-images", "20"], "The training split has 16 images, fewer than one batch (64)."),
        (["--device", "tpu"], "`device` is auto, cpu or cuda, but got 'tpu'."),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, monkeypatch) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--noise", "pairflip"], ["--epochs", "many"], ["--no-such-option"]])
def test_arguments_that_cannot_be_parsed_have_exit_code_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, monkeypatch) == 2
    assert "error: " in capsys.readouterr().err


def test_help_names_every_option_and_has_exit_code_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], monkeypatch) == 0
    out = capsys.readouterr().out
    for option in ("--dataset", "--method", "--set", "--model", "--noise-rate", "--epochs", "--seed", "--device"):
        assert option in out


def test_an_interrupted_training_has_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(trainer: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bsd_core.train.Trainer.run_epoch", interrupt)
    assert run(QUICK, monkeypatch) == 130


def test_a_device_this_machine_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"device=cuda, but this machine has no GPU that torch can use\. Use auto or cpu"):
        choose_device("cuda")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


def test_it_trains_in_a_process_of_its_own_without_ray_or_optuna() -> None:
    program = (
        "import runpy, sys; sys.modules['ray'] = sys.modules['optuna'] = None; import torch; torch.set_num_threads(1); "
        "runpy.run_module('bsd_core', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run([sys.executable, "-c", program, *QUICK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bsd on digits" in done.stdout
    assert done.stderr == ""
