from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch

import bsd_core
from bsd_core.__main__ import choose_device, main
from bsd_core.config import TrainConfig, recipe_config
from bsd_core.data.label_noise import instance_features, load_transition_matrix, spoil_labels
from bsd_core.data.sources import load_source
from bsd_core.errors import ConfigError, DataError
from bsd_core.methods import METHODS
from bsd_core.train import Recipe

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
    assert re.search(r"accuracy +ECE +NLL +Brier +\(n = 30 validation images, true labels\)", out)
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
        (["--method", "cskd"], f"Unknown method 'cskd'. Did you mean 'cs_kd'? Known: {', '.join(METHODS)}"),
        (["--dataset", "digit"], "Unknown data set 'digit'."),
        (["--dataset", "parquet:no/such/file"], "No such file or folder: 'no/such/file', from which"),
        (["--model", "resnet21"], "Unknown model 'resnet21'."),
        (["--set", "prior=3"], "Did you mean 'prior_strength'?"),
        (["--set", "discount"], "--set takes NAME=VALUE, but got 'discount'."),
        (["--set", "discount=much"], "Setting 'discount' of 'bsd' must be a number, but got 'much'."),
        (["--set", "discount=2"], "`0 < discount <= 1` must hold, but got discount=2.0."),
        (["--noise", "symmetric", "--noise-rate", "1.2"], "`0 <= noise_rate < 1` must hold, but got noise_rate=1.2."),
        (["--noise", "pairflip"], "Give --noise and --noise-rate together, but got --noise pairflip --noise-rate 0."),
        (["--noise-rate", "0.2"], "Give --noise and --noise-rate together, but got --noise none --noise-rate 0.2."),
        (["--noise", "saved", "--noise-rate", "0.2"], "--noise saved takes no --noise-rate: the file says which labels are wrong"),
        (["--noise", "confusion"], "--noise confusion needs --noise-file."),
        (["--noise", "human", "--noise-file", "h.pt"], "--noise human needs --noise-set."),
        (["--noise-file", "m.csv"], "--noise none takes no --noise-file."),
        (["--noise", "confusion", "--noise-file", "m.csv", "--noise-set", "worse"], "--noise confusion takes no --noise-set."),
        (["--noise", "symmetric", "--noise-map", "0:1", "--noise-rate", "0.2"], "--noise symmetric takes no --noise-map."),
        (["--noise", "symmetric", "--noise-rate", "0.0001"], "Noise 'symmetric' at noise_rate=0.0001 would spoil none of the 1150"),
        (["--noise", "symmetric_inclusive", "--noise-rate", "0.0001"], "would spoil none of the 1150 training labels. Raise the rate."),
        (["--noise", "asymmetric", "--noise-rate", "0.1", "--noise-map", "0:10"], "`0 <= class < 10, mapped to another class` must hold"),
        (["--noise", "asymmetric", "--noise-rate", "0.1", "--noise-map", "0:1,0:2"], "--noise-map names a class twice: '0:1,0:2'."),
        *[
            (
                ["--noise", "asymmetric", "--noise-rate", "0.1", "--noise-map", text],
                f"--noise-map says by class numbers what each class is mistaken for, as 0:1,1:0, but got {text!r}.",
            )
            for text in ("", "0", "0:1,", "0:a", "0=1", "0:1.5", "0:-1", "0:1:2", "0:9999999999")
        ],
        (["--noise", "confusion", "--noise-file", "no/m.csv"], "No such file: 'no/m.csv', from which"),
        (["--noise", "human", "--noise-file", "no/h.pt", "--noise-set", "worse"], "No such file: 'no/h.pt', from which"),
        (["--noise", "saved", "--noise-file", "no/labels.parquet"], "No such file: 'no/labels.parquet', from which"),
        (["--save-labels", "/"], "Cannot write '/'"),
        (["--epochs", "0"], "`epochs is a whole number >= 1` must hold, but got epochs=0."),
        (["--train-images", "20"], "The training split has 16 images, fewer than one batch (64)."),
        (["--recipe", "cskd"], "Unknown recipe 'cskd'. Did you mean 'cs_kd'? Known: cs_kd, focal_calibration, ps_kd"),
        (["--train", "shedule=cosine"], "Unknown field of --train 'shedule'."),
        (["--train", "schedule=cosin"], "Unknown schedule 'cosin'."),
        (["--train", "milestones=0.7,0.2"], "`milestones ascend within (0, 1)` must hold, but got milestones=(0.7, 0.2)."),
        (["--train", "milestones=a,b"], "`milestones is a number` must hold, but got milestones=('a,b',)."),
        (["--train", "momentum=abc"], "`momentum is a number` must hold, but got momentum='abc'."),
        (["--train", "epochs=true"], "`epochs is a whole number` must hold, but got epochs=True."),
        (["--train", "nesterov=maybe"], "`nesterov is true or false` must hold, but got nesterov='maybe'."),
        (["--train", "gradient_clip=abc"], "`gradient_clip is a number` must hold"),
        (["--pretrained", "/etc/passwd"], "is not a file of weights written by torch.save"),
        (["--method", "kd", "--set", "teacher=/etc/passwd"], "The teacher cannot be loaded"),
        (["--save", "/"], "Cannot write '/'"),
        (["--checkpoint", "/proc/none"], "Cannot write '/proc/none/step'"),
        (["--checkpoint-every", "-1"], "`checkpoint_every >= 0` must hold, but got checkpoint_every=-1."),
        (["--checkpoint-every", "5"], "--checkpoint-every needs --checkpoint DIR"),
        (["--train-images", "100000"], "`1 <= train_images <= 1438, the images there are,` must hold"),
        (["--set", "warmup_epochs=15"], "bsd's warmup_epochs is 15, of 15 epochs in all"),
        (["bench", "--rounds", "1"], "`rounds >= 2` must hold, but got rounds=1."),
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


@pytest.mark.parametrize("arguments", [["--noise", "pairflop"], ["--epochs", "many"], ["--no-such-option"]])
def test_arguments_that_cannot_be_parsed_have_exit_code_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments, monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_help_names_every_option_and_has_exit_code_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], monkeypatch) == 0
    out = capsys.readouterr().out
    for option in ("--dataset", "--method", "--set", "--model", "--noise-rate", "--epochs", "--seed", "--device"):
        assert option in out


def test_an_interrupted_training_has_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(trainer: object, on_step: object) -> None:
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


def program(*arguments: str, without: str = "") -> list[str]:
    """A command that runs `python -m bsd_core` in one thread, without the modules named in `without`."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({without.split()!r})); "
    run_it = "import runpy, torch; torch.set_num_threads(1); runpy.run_module('bsd_core', run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", blocked + run_it, *arguments]


@pytest.mark.faults
def test_a_killed_training_goes_on_where_it_was_and_prints_the_same_metrics(tmp_path: Path) -> None:
    arguments = ["--epochs", "3", "--width", "2", "--train-images", "300", "--batch-size", "8", "--threads", "1"]
    undisturbed = subprocess.run(program(*arguments), capture_output=True, text=True, check=True).stdout
    keep = ["--checkpoint", str(tmp_path), "--checkpoint-every", "5"]
    process = subprocess.Popen(program(*arguments, *keep), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("step-*.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    broken = sorted(tmp_path.glob("step-*.pt"))[-1].with_name("step-0000000089.pt")
    broken.write_bytes(b"half a checkpo")
    resumed = subprocess.run(program(*arguments, *keep), capture_output=True, text=True, check=True)
    assert re.search(r"resumed from .*step-\d{10}\.pt: \d+ of 90 steps done", resumed.stdout)
    assert "warning: a broken checkpoint was passed over" in resumed.stderr
    assert "step-0000000089.pt" in resumed.stderr
    assert resumed.stdout.split("\n\n")[1] == undisturbed.split("\n\n")[1]


def test_a_published_recipe_and_single_fields_of_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TrainConfig] = []

    def build(recipe: Recipe, *rest: object, **more: object) -> None:
        seen.append(recipe.train)
        raise ConfigError("enough")

    monkeypatch.setattr("bsd_core.__main__.Trainer", build)
    for arguments in (
        ["--recipe", "cs_kd"],
        ["--recipe", "ps_kd", "--epochs", "30", "--train", "milestones=0.3,0.6", "ema_decay=0.99"],
        [],
    ):
        with pytest.raises(ConfigError, match="enough"):
            main([*arguments, "--train-images", "150"])
    assert seen[0] == recipe_config("cs_kd")
    assert seen[1] == recipe_config("ps_kd", epochs=30, milestones=(0.3, 0.6), ema_decay=0.99)
    assert seen[2] == TrainConfig(epochs=15, batch_size=64)


def test_saved_weights_are_a_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "weights.pt"
    main([*QUICK, "--save", str(weights)])
    main([*QUICK, "--method", "kd", "--set", f"teacher={weights}"])
    assert "kd on digits" in capsys.readouterr().out


def labels_trained_on(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The (given, true) training labels of a command, which stops before it trains."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def build(recipe: Recipe, images: object, given: torch.Tensor, *, true: torch.Tensor, **more: object) -> None:
        seen.append((given, true))
        raise ConfigError("enough")

    monkeypatch.setattr("bsd_core.__main__.Trainer", build)
    with pytest.raises(ConfigError, match="enough"):
        main(["--train-images", "150", *arguments])
    return seen[0]


@pytest.mark.parametrize(("kind", "n_wrong"), [("symmetric", 36), ("pairflip", 36), ("asymmetric", 36), ("instance", 36)])
def test_every_kind_of_noise_can_be_asked_for(kind: str, n_wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given, true = labels_trained_on(monkeypatch, "--noise", kind, "--noise-rate", "0.3")
    # instance: binomial, with a spread of 5
    assert int((given != true).sum()) == pytest.approx(n_wrong, abs=15 if kind == "instance" else 0)


def test_a_map_on_the_command_line_goes_before_that_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given, true = labels_trained_on(monkeypatch, "--noise", "asymmetric", "--noise-rate", "0.1", "--noise-map", "0:4, 1:0")
    wrong = given != true
    assert int(wrong.sum()) == 12
    assert set(zip(true[wrong].tolist(), given[wrong].tolist(), strict=True)) == {(0, 4), (1, 0)}


def test_a_data_set_that_brings_no_map_needs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_source("digits")
    monkeypatch.setattr("bsd_core.__main__.load_source", lambda name, **how: dataclasses.replace(digits, name=name, asymmetric_map=None))
    asymmetric = ["--dataset", "folder:mine", "--noise", "asymmetric", "--noise-rate", "0.1"]
    with pytest.raises(ConfigError, match=r"and 'folder:mine' brings no such map\. Give one: --noise-map 0:1,1:0\."):
        main(["--train-images", "150", *asymmetric])
    given, true = labels_trained_on(monkeypatch, *asymmetric, "--noise-map", "0:1,1:0")
    assert int((given != true).sum()) == 12
    assert sorted({*given[given != true].tolist()}) == [0, 1]


def test_instance_noise_may_come_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given, true = labels_trained_on(monkeypatch, "--noise", "instance", "--noise-rate", "0.003")
    assert given.shape == true.shape == (120,)


def test_a_confusion_matrix_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.json").write_text(json.dumps(np.roll(np.eye(10), 1, axis=1).tolist()), encoding="utf-8")
    given, true = labels_trained_on(monkeypatch, "--noise", "confusion", "--noise-file", str(tmp_path / "m.json"))
    assert torch.equal(given, (true + 1) % 10)


def test_human_labels_come_from_a_file_of_the_whole_training_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = load_source("digits").train.targets
    np.savez(tmp_path / "h.npz", clean_label=official, worse_label=(official + 3) % 10)
    given, true = labels_trained_on(monkeypatch, "--noise", "human", "--noise-file", str(tmp_path / "h.npz"), "--noise-set", "worse")
    assert torch.equal(given, (true + 3) % 10)


def test_labels_that_one_run_saved_are_those_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = str(tmp_path / "labels.parquet")
    given, true = labels_trained_on(monkeypatch, "--noise", "symmetric", "--noise-rate", "0.3", "--save-labels", file)
    again, same = labels_trained_on(monkeypatch, "--noise", "saved", "--noise-file", file)
    assert torch.equal(again, given)
    assert torch.equal(same, true)
    with pytest.raises(DataError, match=r"split 'train' lacks \d+ rows of the official training set.* Use the same data set"):
        main(["--train-images", "150", "--seed", "1", "--noise", "saved", "--noise-file", file])


def saved_labels(file: Path) -> tuple[dict[str, npt.NDArray[np.int64]], dict[str, Any]]:
    """The columns of a file of labels, the split as a number (0 trains), and its record."""
    table = pq.read_table(file)
    assert set(table["split"].to_pylist()) == {"train", "val"}
    columns = {name: table[name].to_numpy() for name in ("row", "true_label", "given_label")}
    columns["split"] = np.array([["train", "val"].index(split) for split in table["split"].to_pylist()])
    return columns, json.loads(table.schema.metadata[b"label_noise"])


@pytest.mark.parametrize("kind", ["symmetric", "symmetric_inclusive", "asymmetric", "pairflip", "instance", "confusion"])
def test_saved_labels_are_drawn_again_from_their_record(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.json").write_text(json.dumps((np.full((10, 10), 0.04) + 0.6 * np.eye(10)).tolist()), encoding="utf-8")
    how = ["--noise-file", str(tmp_path / "m.json")] if kind == "confusion" else ["--noise-rate", "0.3"]
    given, _ = labels_trained_on(monkeypatch, "--noise", kind, *how, "--save-labels", str(tmp_path / "l.parquet"))
    labels, record = saved_labels(tmp_path / "l.parquet")
    assert labels["given_label"][labels["split"] == 0].tolist() == given.tolist()
    assert (labels["given_label"] != labels["true_label"]).any()
    details = record["details"]
    if kind == "confusion":
        assert details == {"file": "m.json", "sha256": hashlib.sha256((tmp_path / "m.json").read_bytes()).hexdigest()}
    seeds = record["seed"] if isinstance(record["seed"], dict) else {"both": record["seed"]}
    parts = {"train": labels["split"] == 0, "val": labels["split"] == 1, "both": labels["split"] >= 0}
    for name, seed in seeds.items():
        part = parts[name]
        again = spoil_labels(
            labels["true_label"][part],
            record["kind"],
            record["rate"],
            n_classes=record["n_classes"],
            seed=seed,
            mapping={int(true): wrong for true, wrong in details["mapping"].items()} if "mapping" in details else None,
            features=instance_features(load_source("digits").train.images[labels["row"][part]]),
            matrix=load_transition_matrix(tmp_path / "m.json", 10),
        )
        assert np.array_equal(again, labels["given_label"][part])


def test_labels_that_are_saved_again_keep_their_first_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    labels_trained_on(
        monkeypatch, "--noise", "asymmetric", "--noise-rate", "0.2", "--noise-map", "0:1,1:2,2:0", "--save-labels", str(first)
    )
    labels_trained_on(monkeypatch, "--noise", "saved", "--noise-file", str(first), "--save-labels", str(second))
    record = saved_labels(second)[1]
    assert record == saved_labels(first)[1]
    assert record["kind"] == "asymmetric"
    assert record["details"] == {"mapping": {"0": 1, "1": 2, "2": 0}}


def test_the_record_of_human_labels_names_their_file_and_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official = load_source("digits").train.targets
    np.savez(tmp_path / "h.npz", clean_label=official, worse_label=(official + 3) % 10)
    human = ["--noise", "human", "--noise-file", str(tmp_path / "h.npz"), "--noise-set", "worse"]
    labels_trained_on(monkeypatch, *human, "--save-labels", str(tmp_path / "l.parquet"))
    content = (tmp_path / "h.npz").read_bytes()
    expected = {"labels": "worse", "file": "h.npz", "sha256": hashlib.sha256(content).hexdigest()}
    assert saved_labels(tmp_path / "l.parquet")[1]["details"] == expected


def test_the_benchmark_needs_torch_and_numpy_only() -> None:
    without = "ray optuna pydantic rich typer yaml scipy sklearn pyarrow pandas matplotlib"
    arguments = ["bench", "--steps", "3", "--rounds", "2", "--methods", "bsd", "kd", "dlb", "--width", "2", "--image-size", "16"]
    done = subprocess.run(program(*arguments, without=without), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for method, passes in (("bsd", "1 trained"), ("kd", "1 trained, 1 forward"), ("dlb", "2 trained")):
        assert re.search(rf"128  {method} +[\d,]+ +[\d,]+  \d+\.\d\d \(.* to .*\) +{passes}\n", done.stdout)


def test_the_time_to_an_accuracy_is_measured_on_the_test_split() -> None:
    arguments = ["--time-to", "0.2", "--dataset", "digits", "--epochs", "2", "--batch-sizes", "64", "--width", "4"]
    done = subprocess.run(program("bench", *arguments), capture_output=True, text=True, check=True)
    assert re.search(r"test accuracy \d+\.\d+% after \d+\.\d s of training, \d epochs \(target 20\.00%\)", done.stdout)
