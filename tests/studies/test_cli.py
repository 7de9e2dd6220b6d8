from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studies import cluster
from studies.commands import command as command_of
from studies.spec import StudySpec
from studies.study_file import study_names
from tests.studies._command_line import main
from tests.studies._dummies import make_events, make_run, write_parquet, write_study

Screen = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever gets past the checks must not start anything."""

    def started(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("Ray was started.")

    monkeypatch.setattr(cluster, "connect", started)
    monkeypatch.setattr(cluster, "disconnect", lambda: None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def refused(monkeypatch: pytest.MonkeyPatch, screen: Screen, *arguments: str) -> str:
    """The one line with which a command is refused."""
    code = main(monkeypatch, *arguments)
    printed, errors = screen.readouterr()
    assert (code, printed) == (2, "")
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
    return errors


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["label_nois"], "Unknown study 'label_nois'. Did you mean 'label_noise'? Known: all_methods, "),
        (["quick", "epohcs=3"], "Unknown field 'epohcs'."),
        (["quick", "evaluate.sevrities=3"], "Did you mean 'evaluate.severities'?"),
        (["quick", "trials"], "An override is key=value, but got 'trials'. SET holds no spaces around = or within a value;"),
        (
            ["quick", "methods=[bsd,", "cs_kd]"],
            "got 'methods=[bsd, cs_kd]'. Write 'methods=[bsd,cs_kd]', or put it into a YAML file of your own.",
        ),
        (["quick", "search_also={bsd:", "[evidence]}", "trials=3"], "Write 'search_also={bsd:[evidence]}', or put it into a YAML file"),
        (["quick", "fixed={bsd:", "{temperature:", "1.0}}"], "got 'fixed={bsd: {temperature: 1.0}}'. Put it into a YAML file of your own."),
        (["quick", "methods=[bsd,", "trials=3"], "override 'methods', line 1: not valid YAML"),
        (["quick", "zzz=3"], "augment.crop_padding, augment.cutout,"),
        (["quick", "zzz=3"], "more. `make fields` explains all of them.\n"),
        (["quick", "methods=cskd"], "Unknown method 'cskd'."),
        (["quick", "model=resnet9"], "Unknown model 'resnet9'."),
        (["quick", "dataset=digit"], "Unknown data set 'digit'."),
        (["quick", "search_space=ful"], "Unknown search space 'ful'."),
        (["quick", "conditions=symetric:0.2"], "Unknown condition 'symetric'."),
        (["quick", "conditions=symmetric:1.2"], "`0 <= rate < 1` must hold"),
        (["quick", "conditions=symmetric:-0.2"], "`0 <= rate < 1` must hold"),
        (["quick", "evaluate.corruptions=fogg"], "Unknown corruption 'fogg'."),
        (["quick", "fixed.bsd.temprature=1"], "Did you mean 'temperature'?"),
        (["quick", "trials=many"], "trials: input should be a valid integer, but got 'many'."),
        (["quick", "n_classes=5"], "Labels run from 0 to 9, but the network has 5 outputs (0 to 4)."),
        (["quick", "batch_size=100000"], "fewer than one batch (batch_size=100000)."),
        (["quick", "cpus_per_trial=10000"], "A trial asks for 10000 CPUs"),
        (["quick", "gpus_per_trial=10000"], "and 10000 GPUs, but this machine has"),
        (["quick", "dataset=cifar10", "download=false"], "No cifar10 files in 'data' and download is off."),
        (["quick", "dataset=parquet:absent"], "No such file or folder: 'absent', from which the dataset is to be read."),
        (["quick", "dataset='parquet:'"], "parquet: needs a path"),
        (["quick", "trials=[1"], "override 'trials', line 1: not valid YAML"),
        (["no_such.yaml"], "No such study file: 'no_such.yaml'."),
    ],
)
def test_bad_input_is_one_line_with_exit_code_two_and_no_run(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    assert message in refused(monkeypatch, capsys, "run", *arguments, "--results", str(tmp_path / "results"))
    assert list(tmp_path.rglob("2*")) == list(tmp_path.rglob("latest")) == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"n": 0}, "no rows"),
        ({"n": 20, "broken_row": 7}, "row 7: broken image bytes"),
        ({"n": 20}, "fewer than one batch (batch_size=64)"),
    ],
)
def test_bad_parquet_is_one_line_with_the_place(
    file: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    path = write_parquet(tmp_path / "images.parquet", **file)
    arguments = ["quick", f"dataset=parquet:{path}", "conditions=none", "--results", str(tmp_path / "results")]
    assert message in refused(monkeypatch, capsys, "run", *arguments)


@pytest.mark.parametrize(("content", "message"), [(b"PAR1 nonsense", "not a readable Parquet file"), (b"", "not a readable Parquet file")])
def test_a_file_that_is_no_parquet_is_one_line(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    (tmp_path / "images.parquet").write_bytes(content)
    assert message in refused(monkeypatch, capsys, "run", "quick", f"dataset=parquet:{tmp_path / 'images.parquet'}")


def test_parquet_without_the_columns_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"pixels": [1], "label": [0]}), tmp_path / "images.parquet")
    message = refused(monkeypatch, capsys, "run", "quick", f"dataset=parquet:{tmp_path / 'images.parquet'}")
    assert "expected a column 'img' or 'image' and a column 'label' or 'fine_label', but it has 'pixels', 'label'" in message


def test_a_syntax_error_names_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    (tmp_path / "mine.yaml").write_text("question: q\nmethods: [bsd\ntrials: 3\n", encoding="utf-8")
    assert "mine.yaml, line 3: not valid YAML" in refused(monkeypatch, capsys, "run", "mine.yaml")


def test_code_in_a_study_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    (tmp_path / "mine.yaml").write_text("question: !!python/object/apply:os.mkdir [made]\n", encoding="utf-8")
    assert "tags (!name) are not allowed" in refused(monkeypatch, capsys, "run", "mine.yaml")
    assert not (tmp_path / "made").exists()


def test_a_results_folder_under_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    message = refused(monkeypatch, capsys, "run", "quick", "--results", str(tmp_path / "file" / "results"))
    assert f"Cannot write results in '{tmp_path}/file/results'" in message


@pytest.mark.parametrize("results", ["hdfs://host/results", "s3:bucket", "S3:bucket", "s3://key:hidden@bucket"])
def test_results_elsewhere_than_in_a_folder_are_refused(results: str, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    for command in ("run", "resume", "front"):
        error = refused(monkeypatch, capsys, command, "quick", "--results", results)
        assert re.search("Results go to a folder, to s3://bucket/folder or|names no folder in a bucket|Put credentials into the env", error)
        assert "hidden" not in error


@pytest.mark.parametrize("results", ["~no_such_user_at_all/results"])
def test_a_results_folder_that_cannot_be_is_refused(results: str, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    for command in ("run", "front"):
        assert "no_such_user_at_all" in refused(monkeypatch, capsys, command, "quick", "--results", results)


def test_a_dead_cluster_is_refused_and_leaves_no_run(tmp_path: Path) -> None:
    done = command("run", "quick", "--results", str(tmp_path / "results"), RAY_ADDRESS="127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: Nothing answers at RAY_ADDRESS='127.0.0.1:1'")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.rglob("2*")) == []


@pytest.mark.parametrize("command_name", ["front", "resume"])
def test_an_unknown_run_is_refused(command_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    message = refused(monkeypatch, capsys, command_name, "nope", "--results", str(tmp_path))
    assert message.startswith("error: No run of 'nope' in ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["front", "mine"], ["report", "mine"], ["verify", "mine"], ["retrain", "mine", "knee"]])
def test_a_run_in_which_no_trial_has_ended_is_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    run = make_run(tmp_path)
    message = refused(monkeypatch, capsys, *words, "--results", str(tmp_path))
    assert message == f"error: No trial of {run.path} has ended; finish the run: {command_of('resume', run.path)}\n"


@pytest.mark.parametrize("in_the_way", ["tables", "report"])
def test_a_front_that_cannot_be_written_is_shown_all_the_same(
    in_the_way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen
) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    (run.path / in_the_way).write_text("in the way", encoding="utf-8")
    assert main(monkeypatch, "front", "mine", "--results", str(tmp_path)) == 1
    printed, errors = capsys.readouterr()
    assert "condition none" in printed
    assert errors.startswith("error: Shown, but not kept: ")
    assert str(run.path) in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["run"], ["nonsense"], ["run", "quick", "--nonsense"], ["describe", "nope"], ["describe", "quick", "trials=0"], []]
)
def test_a_wrong_command_line_has_exit_code_two(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, *arguments) == 2
    printed, errors = capsys.readouterr()
    assert "Traceback" not in printed + errors


def test_an_interruption_before_the_start_has_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    from studies import run

    def interrupted(*args: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_study", interrupted)
    assert main(monkeypatch, "run", "quick") == 130
    assert "Traceback" not in capsys.readouterr().err


# --- what it prints


def test_list_names_every_study_and_its_question(monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, "list") == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert set(study_names()) <= {line.split()[0] for line in printed.splitlines()}
    assert "when training labels are wrong?" in " ".join(printed.split())


def test_fields_lists_every_field(monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, "fields") == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    names = {line.split()[0] for line in printed.splitlines() if not line.startswith(" ")}
    assert set(StudySpec.model_fields) - {"evaluate", "confirm", "stopping"} <= names
    assert {"evaluate.severities", "conditions[].rate", "augment.flip", "confirm.seeds", "stopping.kind"} <= names


def test_describe_follows_the_overrides(monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, "describe", "quick", "trials=7", "methods=bsd") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "arms 2 = 1 methods x 2 conditions" in text
    assert "trials 14 = 7 in every arm" in text


def test_describe_takes_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    write_study(tmp_path, name="my_own")
    assert main(monkeypatch, "describe", "my_own.yaml") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("my_own")
    assert "Does it work?" in printed


def test_front_prints_and_draws_the_newest_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1), ("cross_entropy/none", 0, None, 0.0)))
    assert main(monkeypatch, "front", "mine", "--results", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "condition none" in printed
    assert "90.0" in printed
    assert "1 finished trials, 1 failed" in printed
    assert sorted(path.name for path in run.figures.iterdir()) == ["front.png", "front.svg"]
    assert (run.tables / "trials.parquet").is_file()


def test_front_shows_a_study_of_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    make_run(tmp_path, make_events(("bsd/none", 0, None, 0.0)))
    assert main(monkeypatch, "front", "mine", "--results", str(tmp_path)) == 0
    assert "no finished trial, 1 failed" in capsys.readouterr().out


def test_front_takes_a_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    make_run(tmp_path, make_events(("bsd/none", 0, 0.5, 0.1)))
    assert main(monkeypatch, "front", str(run.path)) == 0
    assert "90.0" in capsys.readouterr().out


def test_report_prints_and_writes_what_the_tables_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    assert main(monkeypatch, "front", str(run.path)) == 0
    run.statistics.unlink()
    run.ledger.unlink()  # the tables are enough
    capsys.readouterr()
    assert main(monkeypatch, "report", "mine", "--results", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "Budgets are NOT equal" in printed
    assert f"-m studies retrain mine/{run.run_id} bsd-none-0000" in printed
    assert json.loads(run.statistics.read_text(encoding="utf-8"))["budgets"]["equal"] is False


def test_report_without_tables_says_how_to_build_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, 0.9, 0.1)))
    assert command_of("front", run.path) in refused(monkeypatch, capsys, "report", str(run.path))


def test_a_wrong_command_line_names_the_help_as_it_can_be_typed(monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert refused(monkeypatch, capsys, "front") == f"error: Missing argument 'name'; see {sys.executable} -m studies front --help\n"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["front", "--help"]])
def test_help_is_printed(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Screen) -> None:
    assert main(monkeypatch, *arguments) == 0
    assert "Usage:" in capsys.readouterr().out


# --- as a process


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "studies", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "qick"], "Unknown study 'qick'."),
        (["run", "quick", "\udcff=1"], "Unknown field"),
    ],
)
def test_a_process_that_is_refused_prints_one_line_and_no_traceback(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_loads_neither_torch_nor_ray() -> None:
    code = (
        "import json, sys\n"
        "sys.argv = ['studies', '--help']\n"
        "from studies.cli import main\n"
        "try:\n    main()\nfinally:\n    print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "typer" in modules
    assert modules.isdisjoint({"torch", "ray", "optuna", "matplotlib", "pyarrow", "sklearn"})
