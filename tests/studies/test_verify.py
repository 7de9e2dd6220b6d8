from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bsd_core.errors import DataError
from studies import cli
from studies.provenance import study_hash
from studies.report.make import make_report
from studies.results import write_results
from studies.run_folder import RunFolder
from studies.screen import our_console
from studies.statistics.document import collect_statistics
from studies.statistics.file import DOCUMENT_VERSION
from studies.tables import read_tables
from studies.verified import read_verified
from studies.verify import verify_run
from studies.yaml_strict import dump_yaml
from tests.studies._dummies import write_ledger
from tests.studies._played_runs import copy_run, edit_table, play_run, with_cell

BSD, CONFIRM = "bsd-symmetric_40-0000", "bsd-symmetric_40-0000-confirm-0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two arms of two trials, one of each confirmed twice: the published settings, so that their names are known."""
    return play_run(
        tmp_path_factory.mktemp("finished"),
        conditions=["symmetric:0.4"],
        search_space="published",
        trials=1,
        evaluate={"corruptions": ["contrast", "fog"], "severities": [3], "perturbations": "translate", "images": 20},
        confirm={"at_most": 1, "seeds": 2, "corruptions": ["contrast"], "severities": [2, 4], "perturbations": "none", "images": 30},
    )


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy to be damaged."""
    return copy_run(finished, tmp_path)


def verify(run: RunFolder) -> tuple[int, list[str]]:
    """Exit code and lines of the screen."""
    screen = io.StringIO()
    code = verify_run(run, our_console(screen))
    return code, screen.getvalue().splitlines()


def difference(run: RunFolder) -> str:
    """What is said of the first number that differs."""
    code, lines = verify(run)
    assert code == 1
    assert lines[-1].startswith("DIFFERENT  ")
    return lines[-1].removeprefix("DIFFERENT  ")


def place(run: RunFolder, table: str, **wanted: Any) -> int:
    """The first row of a table with these values."""
    rows = pq.read_table(run.tables / f"{table}.parquet").to_pylist()
    return next(index for index, row in enumerate(rows) if all(row[name] == value for name, value in wanted.items()))


def edit(run: RunFolder, table: str, column: str, value: Any, **wanted: Any) -> Any:
    """Change one cell; what stood there."""
    path, row = run.tables / f"{table}.parquet", place(run, table, **wanted)
    before = pq.read_table(path)[column][row].as_py()
    edit_table(path, with_cell(row, column, value))
    return before


TEST_CONTRAST = {"trial_id": CONFIRM, "split": "test", "shift": "corruption", "severity": 4}
VAL_CLEAN = {"trial_id": BSD, "split": "val", "shift": "clean"}


# --- what agrees


def test_a_run_as_it_was_written_agrees_in_every_number(finished: RunFolder) -> None:
    code, lines = verify(finished)
    assert code == 0
    found = [re.fullmatch(r"(files|tables|statistics) against [a-z ]+: ([\d,]+) numbers agree.*", line) for line in lines]
    assert all(found)
    assert len(found) == 5
    files, ledger, each_other, predictions, statistics = (int(match[2].replace(",", "")) for match in found if match)
    assert files > 4 * 20  # the provenance of four tables, and three fingerprints
    tables = read_tables(finished)
    cells = sum(table.num_rows * table.num_columns for table in vars(tables).values())
    assert cells < ledger < cells + 4 * 50  # and the provenance of four files
    # Of each confirm trial: 15 metrics and 15 bins of 4 numbers for each of two splits, a temperature, 4 ends of intervals.
    assert predictions == 4 * (2 * (15 + 60) + 1 + 4)
    assert lines[3].endswith("(4 trials)")
    assert each_other > 500
    assert statistics > 100


def test_without_a_ledger_the_rest_is_checked(run: RunFolder) -> None:
    run.ledger.unlink()
    code, lines = verify(run)
    assert (code, lines[1]) == (0, "tables against the ledger: not checked, the run has no ledger.jsonl")
    assert len(lines) == 5


def test_without_statistics_it_is_said_what_writes_them(run: RunFolder) -> None:
    run.statistics.unlink()
    code, lines = verify(run)
    assert code == 0
    unchecked = "statistics against the tables: not checked, report/statistics.json is not there"
    assert re.fullmatch(rf"{re.escape(unchecked)}; \S+ -m studies report \S+ writes it", lines[-1])


def test_lines_of_the_ledger_that_cannot_be_read_are_said(run: RunFolder) -> None:
    with run.ledger.open("ab") as file:
        file.write(b'{"event":"en')
    code, lines = verify(run)
    assert (code, lines[1].endswith("; 1 unreadable lines of the ledger were left out")) == (0, True)


def test_a_study_that_keeps_no_predictions_needs_none(tmp_path: Path) -> None:
    confirm = {"at_most": 1, "seeds": 1, "corruptions": "none", "predictions": "none"}
    code, lines = verify(play_run(tmp_path, methods=["bsd"], search_space="published", trials=1, confirm=confirm))
    assert code == 0
    assert "tables against stored predictions: not checked, the study keeps none" in lines


def test_stopped_audited_and_failed_trials_agree(tmp_path: Path) -> None:
    stopping = {"kind": "pareto_halving", "first_rung": 1, "audit": 0.4}
    run = play_run(tmp_path, trials=5, epochs=6, fixed={"bsd": {"learning_rate": 1e8}}, stopping=stopping, seed=1)
    states = {(row["state"], row["audited"]) for row in read_tables(run).trials.to_pylist()}
    assert states == {("complete", False), ("failed", False), ("stopped", False), ("stopped", True)}
    assert verify(run)[0] == 0


def test_a_network_trained_on_all_images_is_scaled_by_the_temperature_of_the_trial_it_confirms(tmp_path: Path) -> None:
    confirm = {"at_most": 1, "seeds": 1, "train_on": "train+val", "corruptions": "contrast", "severities": 3, "predictions": "all"}
    run = play_run(tmp_path, methods=["bsd"], search_space="published", trials=1, confirm=confirm)
    code, lines = verify(run)
    assert code == 0
    assert (
        "tables against stored predictions: 154 numbers agree (1 trials)" in lines
    )  # clean and contrast: 2 (15 + 60); 4 ends of intervals
    run.ledger.unlink()
    before = edit(run, "evaluations", "temperature", 2.0, phase="confirm", shift="clean")
    where = "trial bsd-none-0000-confirm-0, test clean clean 0, column temperature"
    assert difference(run) == f"table evaluations, {where}: 2.0 in the file, {before} recomputed"


# --- edited tables


@pytest.mark.parametrize(
    ("table", "column", "value", "wanted", "where"),
    [
        ("trials", "val_brier", 0.5, {"trial_id": BSD}, f"trial {BSD}"),
        ("trials", "param_discount", 0.5, {"trial_id": BSD}, f"trial {BSD}"),
        ("trials", "images_per_second", 1.0, {"trial_id": BSD}, f"trial {BSD}"),
        ("epochs", "train_loss", 0.5, {"trial_id": BSD, "epoch": 2}, f"trial {BSD}, epoch 2"),
        ("evaluations", "aurc", 0.5, TEST_CONTRAST, f"trial {CONFIRM}, test corruption contrast 4"),
        ("evaluations", "nll", None, TEST_CONTRAST, f"trial {CONFIRM}, test corruption contrast 4"),
        ("reliability", "mean_confidence", 0.5, {**VAL_CLEAN, "bin": 2}, f"trial {BSD}, val clean clean 0, bin 2"),
    ],
)
def test_an_edited_cell_is_named_by_the_ledger(table: str, column: str, value: Any, wanted: Any, where: str, run: RunFolder) -> None:
    before = edit(run, table, column, value, **wanted)
    shown = "null" if value is None else value
    assert (
        difference(run)
        == f"table {table}, {where}, column {column}: {shown} in the file, {'null' if before is None else before} recomputed"
    )


@pytest.mark.parametrize(
    ("table", "column", "value", "wanted", "message"),
    [
        ("trials", "study", "other", {"trial_id": BSD}, f"table trials, trial {BSD}, column study: 'other' in the file, 'mine' recomputed"),
        ("trials", "objectives", None, {"trial_id": BSD}, "objectives: null in the file, 'val_accuracy, val_ece' recomputed"),
        ("trials", "epochs", None, {"trial_id": BSD}, f"trial {BSD}, column epochs: null in the file, a value recomputed"),
        ("trials", "on_front", False, {"trial_id": BSD}, f"table trials, trial {BSD}, column on_front: False in the file, True recomputed"),
        ("trials", "val_nll", 1.0, {"trial_id": BSD}, f"table trials, trial {BSD}, column val_nll: 1.0 in the file"),
        ("trials", "val_ece_noisy_labels", 0.5, {"trial_id": BSD}, f"trial {BSD}, column val_ece_noisy_labels: 0.5 in the file"),
        ("trials", "test_accuracy", 0.5, {"trial_id": CONFIRM}, f"table trials, trial {CONFIRM}, column test_accuracy: 0.5 in the file"),
        ("trials", "test_corrupted_nll", 0.5, {"trial_id": CONFIRM}, f"trial {CONFIRM}, column test_corrupted_nll: 0.5 in the file"),
        ("trials", "val_worst_corruption", "rain", {"trial_id": BSD}, f"trial {BSD}, column val_worst_corruption: 'rain' in the file"),
        ("trials", "val_flip_probability", 0.0, {"trial_id": BSD}, f"trial {BSD}, column val_flip_probability: 0.0 in the file"),
        (
            "trials",
            "test_corruption_error_vs_cross_entropy",
            0.5,
            {"trial_id": CONFIRM},
            f"trial {CONFIRM}, column test_corruption_error_vs_cross_entropy: 0.5 in the file",
        ),
        ("trials", "images_seen", 1, {"trial_id": BSD}, f"table trials, trial {BSD}, column images_seen: 1 in the file, 480 recomputed"),
        ("trials", "seed", 1, {"trial_id": CONFIRM}, "column seed: "),
        ("trials", "replicate", 1, {"trial_id": CONFIRM}, f"column trial_id: '{CONFIRM}' in the file, '{CONFIRM[:-1]}1' recomputed"),
        ("trials", "confirms", "nobody", {"trial_id": CONFIRM}, "column confirms: 'nobody' is no search trial that was chosen"),
        ("trials", "chosen_as", None, {"trial_id": BSD}, f"column confirms: '{BSD}' is no search trial that was chosen"),
        (
            "trials",
            "param_discount",
            0.5,
            {"trial_id": CONFIRM},
            f"trial {CONFIRM}, column param_discount: 0.5 in the file, 0.9 recomputed",
        ),
        ("trials", "test_ece_low", 0.9, {"trial_id": CONFIRM}, f"trial {CONFIRM}, column test_ece_low: 0.9 in the file"),
        ("epochs", "images_seen", 0, {"trial_id": BSD, "epoch": 1}, f"trial {BSD}, column images_seen: 480 in the file, 240 recomputed"),
        (
            "epochs",
            "epoch",
            7,
            {"trial_id": BSD, "epoch": 2},
            f"trial {BSD}, epoch 7, column epoch: 7 in the file, which should be between",
        ),
        ("evaluations", "accuracy", 0.5, TEST_CONTRAST, f"trial {CONFIRM}, test corruption contrast 4, column accuracy: 0.5 in the file"),
        ("evaluations", "ece", None, TEST_CONTRAST, "column ece: null in the file, a value recomputed"),
        ("evaluations", "rms_calibration_error", 0.0, VAL_CLEAN, "val clean clean 0, column rms_calibration_error: 0.0 in the file"),
        ("evaluations", "n", 61, VAL_CLEAN, "val clean clean 0, column n: 61 in the file, 60 recomputed"),
        ("evaluations", "phase", "confirm", VAL_CLEAN, "column phase: 'confirm' in the file, 'search' recomputed"),
        ("evaluations", "temperature", 9.0, TEST_CONTRAST, "test corruption contrast 4, column temperature: 9.0 in the file"),
        (
            "evaluations",
            "aurc",
            0.0,
            {"trial_id": CONFIRM, "split": "test", "shift": "clean"},
            "test clean clean 0, column aurc: 0.0 in the file",
        ),
        ("reliability", "count", 0, {**VAL_CLEAN, "bin": 1}, "column n: 60 in the file"),
        ("reliability", "severity", 5, {**TEST_CONTRAST, "bin": 3}, "test corruption contrast 4, bin 3: this row is missing in the file"),
    ],
)
def test_an_edited_cell_is_found_without_a_ledger_too(
    table: str, column: str, value: Any, wanted: Any, message: str, run: RunFolder
) -> None:
    run.ledger.unlink()
    edit(run, table, column, value, **wanted)
    assert message in difference(run)


@pytest.mark.parametrize("table", ["trials", "epochs", "evaluations", "reliability"])
@pytest.mark.parametrize("ledger", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.slice(1),
        lambda table: table.slice(0, len(table) - 1),
        lambda table: pa.concat_tables([table, table.slice(2, 1)]),
        lambda table: table.drop_columns(table.column_names[-1 if "bin" in table.column_names else 5]),
    ],
    ids=["no first row", "no last row", "a row twice", "no column"],
)
def test_rows_and_columns_that_are_missing_or_too_much_are_found(
    change: Callable[[pa.Table], pa.Table], ledger: bool, table: str, run: RunFolder
) -> None:
    if not ledger:
        run.ledger.unlink()
    edit_table(run.tables / f"{table}.parquet", change)
    assert re.search(r"missing in the file|not when recomputed|is there 2 times|has no such trial|is no search trial", difference(run))


def test_provenance_that_is_not_the_runs_is_found(run: RunFolder) -> None:
    facts = json.loads((run.path / "provenance.json").read_text(encoding="utf-8"))
    facts["data"]["fingerprint"] = "edited"
    (run.path / "provenance.json").write_text(json.dumps(facts), encoding="utf-8")
    assert re.fullmatch(r"table trials, provenance, data\.fingerprint: '\w+' in the file, 'edited' recomputed", difference(run))


# --- other files


@pytest.mark.parametrize(
    "content", ["no JSON", "3", '{"test": null, "packages": 3, "machine": [], "data": "x"}', '{"data": {"noise_fingerprints": 3}}']
)
@pytest.mark.parametrize("ledger", [True, False])
def test_a_provenance_of_another_form_is_found(content: str, ledger: bool, run: RunFolder) -> None:
    if not ledger:
        run.ledger.unlink()
    (run.path / "provenance.json").write_text(content, encoding="utf-8")
    assert difference(run).startswith("table trials, provenance, ")


def test_a_run_without_provenance_is_judged_by_what_its_tables_carry(run: RunFolder) -> None:
    run.ledger.unlink()
    (run.path / "provenance.json").unlink()
    assert verify(run)[0] == 0
    edit_table(run.labels / "symmetric_40.parquet", with_other_label("given_label"))
    assert difference(run).startswith("labels, symmetric_40.parquet, fingerprint of the given labels: ")


def test_provenance_is_found_without_a_ledger_too(run: RunFolder) -> None:
    run.ledger.unlink()
    facts = run.provenance()
    facts["test"]["opened"] = "2020-01-01T00:00:00+00:00"
    (run.path / "provenance.json").write_text(json.dumps(facts), encoding="utf-8")
    assert difference(run).startswith("table trials, provenance, test.opened: '20")


@pytest.mark.parametrize(
    ("before", "after"), [("seed: 0", "seed: 7"), ("batch_size: 64", "batch_size: 65"), ("max_ece: 0.05", "max_ece: 0.051")]
)
def test_an_edited_study_is_found(before: str, after: str, run: RunFolder) -> None:
    file = run.path / "study.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")
    assert difference(run) == "study.yaml: it is not the study that this run began with, by the hash of it in the provenance"


def test_a_study_with_a_comment_is_the_same(run: RunFolder) -> None:
    file = run.path / "study.yaml"
    file.write_text(f"# as it was run\n{file.read_text(encoding='utf-8')}", encoding="utf-8")
    assert verify(run)[0] == 0


def with_other_label(column: str) -> Callable[[pa.Table], pa.Table]:
    """A change of the label of the first image whose label is right, so that it is wrong."""

    def change(table: pa.Table) -> pa.Table:
        index = next(index for index, row in enumerate(table.to_pylist()) if row["true_label"] == row["given_label"])
        return with_cell(index, column, (table[column][index].as_py() + 1) % 10)(table)

    return change


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("given_label", r"labels, symmetric_40\.parquet, fingerprint of the given labels: '\w{16}' in the file, '\w{16}' recomputed"),
        ("true_label", r"labels, symmetric_40\.parquet, wrong labels of training images: 97 in the file, 96 recomputed"),
    ],
)
def test_an_edited_label_is_found(column: str, message: str, run: RunFolder) -> None:
    edit_table(run.labels / "symmetric_40.parquet", with_other_label(column))
    assert re.fullmatch(message, difference(run))


def test_missing_surplus_and_broken_labels_are_found(run: RunFolder) -> None:
    file = run.labels / "symmetric_40.parquet"
    surplus = run.labels / "pairflip_20.parquet"
    surplus.write_bytes(file.read_bytes())
    assert difference(run) == "labels, pairflip_20.parquet: no condition of the study has such a file"
    surplus.unlink()
    file.write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="not a file of labels"):
        verify(run)
    file.unlink()
    assert difference(run) == "labels, symmetric_40.parquet: missing, but the study has condition symmetric_40"
    file.parent.rmdir()
    assert verify(run)[0] == 0


def test_tables_of_a_run_from_before_the_confirm_phase_agree(tmp_path: Path) -> None:
    """Its ledger and its study lack what was added since; `front` builds its tables, and the temperature is in the evaluations."""
    run = play_run(tmp_path, methods=["bsd"], conditions=["symmetric:0.4"], search_space="published", trials=1, confirm="none")
    temperature = read_tables(run).trials["temperature"].to_pylist()
    unknown = ("sampler", "confirms", "replicate", "noise_seed", "temperature", "noise_fingerprint", "total_epochs")
    events = [json.loads(line) for line in run.ledger.read_text(encoding="utf-8").splitlines()]
    run.ledger.unlink()
    write_ledger(run.ledger, [{name: value for name, value in event.items() if name not in unknown} for event in events])
    document = {name: value for name, value in run.document().items() if name not in ("confirm", "stopping", "baseline")}
    (run.path / "study.yaml").write_text(dump_yaml(document), encoding="utf-8")
    (run.path / "provenance.json").write_text(json.dumps(run.provenance() | {"study_hash": study_hash(document)}), encoding="utf-8")
    assert write_results(run) is not None
    assert verify(run)[0] == 0
    assert read_tables(run).trials["temperature"].to_pylist() == temperature != [None]
    run.ledger.unlink()
    assert verify(run)[0] == 0


# --- predictions


def edit_predictions(run: RunFolder, change: Callable[[pa.Table], pa.Table]) -> None:
    edit_table(run.predictions / f"{CONFIRM}.parquet", change)


def test_one_edited_logit_is_found(run: RunFolder) -> None:
    """The probability of the label of the first test image, made smaller; its largest logit stays where it is."""
    rows = pq.read_table(run.predictions / f"{CONFIRM}.parquet").to_pylist()
    index, row = next((index, row) for index, row in enumerate(rows) if row["split"] == "test" and row["predicted"] != row["target"])
    logits = list(row["logits"])
    logits[row["target"]] -= 1.0
    edit_predictions(run, with_cell(index, "logits", logits))
    assert re.fullmatch(
        rf"table evaluations, trial {CONFIRM}, test clean clean 0, column \w+: [\d.]+ in the file, [\d.]+ recomputed", difference(run)
    )


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("target", 4, r", val clean clean 0, column \w+: "),  # no other file has the labels of this draw of noise
        ("target", 99, r", val clean clean 0, column target: labels are not of 10 classes"),
        ("predicted", 99, r", line 0 of bsd-.*\.parquet, column predicted: 99 in the file, \d by its logits"),
        ("name", "fog", r", val clean fog 0: table evaluations has no such row"),
        ("logits", [float("nan")] * 10, r", val clean clean 0: a logit is NaN or infinite"),
    ],
)
def test_other_edits_of_predictions_are_found(column: str, value: Any, message: str, run: RunFolder) -> None:
    before = pq.read_table(run.predictions / f"{CONFIRM}.parquet")[column][0].as_py()
    assert before != value
    edit_predictions(run, with_cell(0, column, value))
    assert re.search(message, difference(run))


def test_targets_of_test_images_are_compared_between_trials(run: RunFolder) -> None:
    path = run.predictions / "cross_entropy-symmetric_40-0000-confirm-0.parquet"
    index = pq.read_table(path)["split"].to_pylist().index("test")
    before = pq.read_table(path)["target"][index].as_py()
    edit_table(path, with_cell(index, "target", (before + 1) % 10))
    assert re.search(rf"row 0, column target: {(before + 1) % 10} in the file, {before} in another trial's", difference(run))


def test_a_missing_image_is_found(run: RunFolder) -> None:
    edit_predictions(run, lambda table: table.slice(0, len(table) - 1))
    assert "test clean clean 0, column n: 359 in the file, 358 recomputed" in difference(run)


def test_missing_predictions_are_found(run: RunFolder) -> None:
    edit_predictions(run, lambda table: table.filter(pc.equal(table["split"], "val")))
    assert difference(run) == f"predictions, trial {CONFIRM}, test clean clean 0: missing in {CONFIRM}.parquet"
    (run.predictions / f"{CONFIRM}.parquet").unlink()
    assert difference(run) == f"predictions, trial {CONFIRM}: {CONFIRM}.parquet is missing, but the study keeps predictions"


@pytest.mark.parametrize("name", ["bsd-symmetric_40-0009-confirm-0", "bsd-symmetric_40-0000-confirm-9", BSD])
def test_surplus_predictions_are_found(name: str, run: RunFolder) -> None:
    (run.predictions / f"{name}.parquet").write_bytes((run.predictions / f"{CONFIRM}.parquet").read_bytes())
    assert difference(run) == f"predictions, {name}.parquet: no training that keeps predictions is called so"


def test_predictions_that_are_there_twice_are_found(run: RunFolder) -> None:
    edit_predictions(run, lambda table: pa.concat_tables([table, table.filter(pc.equal(table["split"], "val"))]))
    assert difference(run) == f"predictions, trial {CONFIRM}, val clean clean 0: they are there twice"


def test_predictions_of_a_training_that_is_at_work_are_no_difference(run: RunFolder) -> None:
    """They are on the disk before its end is in the ledger."""
    run.ledger.unlink()
    run.statistics.unlink()
    for name in ("trials", "epochs", "evaluations", "reliability"):
        edit_table(run.tables / f"{name}.parquet", lambda table: table.filter(pc.invert(pc.ends_with(table["trial_id"], "-confirm-1"))))
    assert verify(run)[0] == 0


def test_a_file_that_is_none_of_predictions_is_refused(run: RunFolder) -> None:
    (run.predictions / f"{CONFIRM}.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="not a file of predictions"):
        verify(run)


# --- statistics


def test_an_edited_number_of_the_report_is_named_by_its_path(run: RunFolder) -> None:
    document = json.loads(run.statistics.read_text(encoding="utf-8"))
    before = document["confirmed"][0]["metrics"]["test_accuracy"]["mean"]
    document["confirmed"][0]["metrics"]["test_accuracy"]["mean"] = 0.99
    run.statistics.write_text(json.dumps(document), encoding="utf-8")
    assert difference(run) == f"statistics.json, confirmed[0].metrics.test_accuracy.mean: 0.99 in the file, {before} recomputed"


def test_a_report_that_cannot_be_read_is_refused(run: RunFolder) -> None:
    run.statistics.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"statistics\.json: not readable"):
        verify(run)


@pytest.mark.parametrize(("version", "named"), [(None, "none"), ("0", "'0'"), (1, "'1'"), ({"a": []}, "\"{'a': []}\"")])
def test_a_document_of_another_version_is_no_difference_of_numbers(version: Any, named: str, run: RunFolder) -> None:
    document = json.loads(run.statistics.read_text(encoding="utf-8"))
    assert document.pop("schema_version") == DOCUMENT_VERSION
    del document["features"]
    run.statistics.write_text(json.dumps(document | ({} if version is None else {"schema_version": version})), encoding="utf-8")
    screen = io.StringIO()
    message = rf"^report/statistics\.json was written by another version of this program: schema version {re.escape(named)}, but this "
    with pytest.raises(DataError, match=message + r"program reads version \d+\. Write it again with: .* -m studies report "):
        verify_run(run, our_console(screen))
    assert len(screen.getvalue().splitlines()) == 4
    assert "DIFFERENT" not in screen.getvalue()
    make_report(run)
    assert verify(run)[0] == 0


# --- files that change meanwhile


@pytest.mark.parametrize(
    "name", ["ledger.jsonl", "labels/symmetric_40.parquet", "tables/trials.parquet", f"tables/predictions/{CONFIRM}.parquet"]
)
def test_files_that_change_while_they_are_checked_are_not_called_verified(
    name: str, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last check has read them all when one is written again."""

    def change_and_collect(*arguments: Any) -> dict[str, Any]:
        document = collect_statistics(*arguments)
        with (run.path / name).open("ab") as file:
            file.write(b"\n")
        return document

    monkeypatch.setattr("studies.verify.collect_statistics", change_and_collect)
    with pytest.raises(DataError, match=rf"^Files of .* changed while they were checked \({re.escape(name)}\), so .* Verify it again when"):
        verify(run)
    assert read_verified(run.path) is None


def test_many_files_that_change_are_counted(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove_and_collect(*arguments: Any) -> dict[str, Any]:
        document = collect_statistics(*arguments)
        shutil.rmtree(run.tables)
        return document

    monkeypatch.setattr("studies.verify.collect_statistics", remove_and_collect)
    n = sum(path.suffix == ".parquet" for path in run.tables.rglob("*")) - 3
    with pytest.raises(DataError, match=rf"\(tables/epochs\.parquet, tables/evaluations\.parquet, tables/features/\S+ and {n} more\)"):
        verify(run)


def test_what_agrees_is_kept_until_a_file_changes(run: RunFolder) -> None:
    code, lines = verify(run)
    found = read_verified(run.path)
    assert code == 0
    assert found is not None
    assert (found.agree, found.lines) == (True, lines)
    make_report(run)  # makes statistics.json and the page again
    assert read_verified(run.path) is not None
    edit_predictions(run, lambda table: table.slice(0, len(table) - 1))
    assert read_verified(run.path) is None


# --- who asks where


def test_other_versions_are_offered_as_the_reason_of_a_difference(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.verify.environment_differences", lambda then: ["torch 1.0 then, 2.0 now"])
    run.statistics.write_text(json.dumps({"schema_version": DOCUMENT_VERSION}), encoding="utf-8")
    code, lines = verify(run)
    assert code == 1
    assert lines[-2].startswith("DIFFERENT  statistics.json, setup: missing in the file")
    assert lines[-1] == "Versions or machine are not those of the run, which may be why: torch 1.0 then, 2.0 now."


def test_a_run_without_tables_is_refused(run: RunFolder) -> None:
    (run.tables / "trials.parquet").unlink()
    with pytest.raises(DataError, match=r"No table '.*trials\.parquet'"):
        verify(run)


def test_the_command_line_tells_by_its_exit_code(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verified() -> int:
        monkeypatch.setattr(sys, "argv", ["studies", "verify", str(run.path)])
        with pytest.raises(SystemExit, match=r"^\d$|^None$") as ended:
            cli.main()
        return int(ended.value.code or 0)

    assert verified() == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    edit(run, "trials", "val_ece", 0.5, trial_id=BSD)
    assert verified() == 1
    assert f"DIFFERENT  table trials, trial {BSD}, column val_ece: 0.5 in the file, " in capsys.readouterr().out
    path = run.tables / "trials.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"schema_version": "2"}), path)
    assert verified() == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert re.search(r"schema version 2, but this program reads version 3\. .*: \S+ -m studies front ", err)
