from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bsd_core.data.augment import Normaliser
from bsd_core.errors import ConfigError, DataError
from bsd_core.evaluate import headline, predict
from bsd_core.models import build_model
from studies import cli
from studies import retrain as retrain_module
from studies.commands import command
from studies.ledger import Event, as_line, read_ledger
from studies.prepare import prepare
from studies.recorded import Comparison, compare, numbers_of, recorded_trial
from studies.retrain import find_trials, retrain
from studies.run_folder import RunFolder
from studies.screen import our_console
from tests.studies._dummies import make_end, make_epoch, make_epochs, make_events, make_run, make_suggest
from tests.studies._played_runs import copy_run, play_run

SEARCH, CONFIRM = "bsd-symmetric_40-0000", "bsd-symmetric_40-0000-confirm-1"
BROKEN = "bsd-none-0000"


@pytest.fixture(autouse=True)
def _threads_as_before() -> Any:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two arms, one trial each: the published settings; both confirmed twice, on noise of their own."""
    return play_run(
        tmp_path_factory.mktemp("finished"),
        conditions=["symmetric:0.4"],
        search_space="published",
        trials=1,
        evaluate={"corruptions": "contrast", "severities": [3], "perturbations": "translate", "images": 20},
        confirm={"at_most": 1, "seeds": 2, "corruptions": "contrast", "severities": [2], "images": 30, "max_ece": 1.0},
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An arm of which every kind of end is known, and one whose trials diverge."""
    stopping = {"kind": "pareto_halving", "first_rung": 1, "audit": 0.4}
    bad = {"bsd": {"learning_rate": 1e8}}
    return play_run(tmp_path_factory.mktemp("stopped"), trials=5, epochs=6, fixed=bad, stopping=stopping, seed=1)


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy to be changed."""
    return copy_run(finished, tmp_path)


def again(run: RunFolder, name: str, *, save: Path | None = None) -> tuple[int, list[str]]:
    """Exit code and lines of the screen."""
    screen = io.StringIO()
    code = retrain(run, name, our_console(screen), save=save)
    return code, screen.getvalue().splitlines()


def rewrite_ledger(run: RunFolder, kind: str, trial_id: str, change: Any) -> None:
    """Change the events of a kind of one trial, or drop them where `change` gives None."""
    events = read_ledger(run.ledger).events
    kept = [change(event) if (event["event"], event.get("trial_id")) == (kind, trial_id) else event for event in events]
    run.ledger.write_bytes(b"".join(as_line(event) for event in kept if event is not None))


def one_with(run: RunFolder, **wanted: Any) -> str:
    """A trial whose end has these values."""
    return next(
        str(event["trial_id"])
        for event in read_ledger(run.ledger).events
        if event["event"] == "end" and all(event.get(name) == value for name, value in wanted.items())
    )


# --- the same numbers


@pytest.mark.parametrize(("trial", "metric"), [(SEARCH, "val_corrupted_ece"), (CONFIRM, "test_corrupted_ece")])
def test_a_trial_gives_the_same_numbers_again(trial: str, metric: str, finished: RunFolder) -> None:
    torch.manual_seed(7)
    code, lines = again(finished, trial)
    assert code == 0
    assert re.fullmatch(r"The same numbers: all [\d,]+ that were recorded, to the last bit\.", lines[-1])
    assert lines[0].startswith(f"{trial}  bsd, condition symmetric_40, seed ")
    assert "prior_strength 10.0, discount 0.9, temperature 1.0, learning_rate 0.1, weight_decay 0.0005" in lines[1]
    (row,) = [line.split() for line in lines if line.startswith(metric)]
    assert row[1] == row[2]
    assert 0 <= float(row[1]) <= 1


def test_every_number_of_the_ledger_is_compared(finished: RunFolder) -> None:
    trial = recorded_trial(read_ledger(finished.ledger).events, CONFIRM, run=finished.path)
    numbers = numbers_of(trial.epochs, trial.end)
    assert numbers["epoch 2, val_nll"] == trial.epochs[1]["val_nll"]
    assert numbers["test corruption contrast 2, ece"] == trial.end["evaluations"][-2]["ece"]
    assert numbers["val clean clean 0 bin 3, count"] == trial.end["reliability"][3]["count"]
    assert {*trial.end["metrics"], "noise_fingerprint", "n_wrong_labels", "temperature", "images_seen"} <= set(numbers)
    measured = sum(len(row) - 4 for row in trial.end["evaluations"]) + sum(len(row) - 5 for row in trial.end["reliability"])
    of_epochs = sum(len(row) - 1 for row in trial.epochs)  # all but the seconds
    counted = (
        "epochs",
        "total_epochs",
        "images_seen",
        "n_parameters",
        "n_wrong_labels",
        "wrong_label_share",
        "noise_fingerprint",
        "temperature",
    )
    assert len(numbers) == of_epochs + measured + len(trial.end["metrics"]) + len(counted)
    assert [name for name in numbers if "seconds" in name or "node" in name] == []


def test_an_operating_point_names_its_trial(finished: RunFolder) -> None:
    events = read_ledger(finished.ledger).events
    assert find_trials(finished, finished.spec(), events, CONFIRM) == [CONFIRM]
    (found,) = find_trials(finished, finished.spec(), events, "accurate_and_calibrated")
    accuracy = {event["trial_id"]: event["metrics"].get("val_accuracy") for event in events if event["event"] == "end"}
    assert accuracy[found] == max(accuracy[trial] for trial in (SEARCH, "cross_entropy-symmetric_40-0000"))


def test_a_stopped_trial_is_trained_to_the_epoch_at_which_it_was_stopped(stopped: RunFolder) -> None:
    name = one_with(stopped, state="stopped", audited=False, stopped_at=1)
    code, lines = again(stopped, name)
    assert code == 0
    assert [line.split()[0] for line in lines if line.startswith("val_")] == ["val_accuracy", "val_ece", "val_nll"]


def test_an_audited_trial_is_trained_to_its_end(stopped: RunFolder) -> None:
    code, lines = again(stopped, one_with(stopped, state="stopped", audited=True))
    assert code == 0
    assert any(line.startswith("val_brier") for line in lines)


def test_a_trial_that_failed_fails_again_for_the_same_reason(stopped: RunFolder) -> None:
    code, lines = again(stopped, BROKEN)
    assert code == 0
    assert lines[2].removeprefix("then  ") == lines[3].removeprefix("now   ")
    assert lines[2].startswith("then  failed: diverged: ")


def test_saved_weights_are_those_of_the_trained_network(finished: RunFolder, tmp_path: Path) -> None:
    """Loaded as `pretrained` they are a network that gives the recorded validation accuracy."""
    file = tmp_path / "weights.pt"
    code, lines = again(finished, SEARCH, save=file)
    assert (code, f"  weights in {file}" in lines) == (0, True)
    spec = finished.spec()
    data = prepare(spec).data
    _, channels, *size = data.val_images.shape
    network = build_model(
        spec.model, in_channels=channels, n_classes=10, image_size=(size[0], size[1]), width=spec.width, pretrained=str(file), seed=0
    )
    normaliser = Normaliser.fit(torch.tensor(data.train_images))
    metrics = headline(predict(network, torch.tensor(data.val_images), normaliser), torch.tensor(data.val_targets))
    recorded = recorded_trial(read_ledger(finished.ledger).events, SEARCH, run=finished.path).end["metrics"]
    assert metrics == {name: recorded[f"val_{name}"] for name in metrics}


# --- other numbers


def test_the_first_number_that_differs_is_named(run: RunFolder) -> None:
    def change(event: Event) -> Event:
        return event | {"rows": [row | {"val_nll": row["val_nll"] + 0.5 * (row["epoch"] == 1)} for row in event["rows"]]}

    rewrite_ledger(run, "epochs", SEARCH, change)
    code, lines = again(run, SEARCH)
    assert code == 1
    first = r"DIFFERENT  1 of \d+ numbers; the first is epoch 1, val_nll: [\d.]+ recorded, [\d.]+ now\."
    assert re.fullmatch(rf"{first} The largest relative difference of all is 1\.\de-01\.", lines[-2])
    assert lines[-1] == "Versions and machine are those of the run: were its files changed, or a file that its methods read?"


def test_another_seed_gives_other_numbers_and_the_hint_says_where_it_ran(run: RunFolder) -> None:
    rewrite_ledger(run, "suggest", SEARCH, lambda event: event | {"seed": 1})
    rewrite_ledger(run, "end", SEARCH, lambda event: event | {"node": "elsewhere", "device": "NVIDIA H200"})
    code, lines = again(run, SEARCH)
    assert code == 1
    assert lines[-2].startswith("DIFFERENT  ")
    assert re.search(r"here differ: node elsewhere then, .* now; device NVIDIA H200 then, cpu now\.$", lines[-1])


@pytest.mark.parametrize(
    ("trial", "error", "message"),
    [
        (BROKEN, "the trial's process died", "then  failed: the trial's process died, after 0 epochs"),
        ("cross_entropy-none-0000", "out of memory", "now   complete, after 6 epochs"),
    ],
)
def test_a_trial_that_ends_otherwise_is_different(trial: str, error: str, message: str, stopped: RunFolder, tmp_path: Path) -> None:
    run = copy_run(stopped, tmp_path)
    nothing: Event = {"metrics": {}, "evaluations": [], "reliability": []}
    rewrite_ledger(run, "end", trial, lambda event: {**event, **nothing, "state": "failed", "error": error})
    code, lines = again(run, trial)
    assert code == 1
    assert message in lines
    assert "DIFFERENT  It does not end as it did." in lines


@pytest.mark.parametrize(
    ("recorded", "now", "n_different", "largest"),
    [
        ({"a": 1.0, "b": None}, {"a": 1.0, "b": None, "c": 3.0}, 0, None),  # what only a newer version measures
        ({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 4.0}, 1, 0.5),
        ({"a": 1.0, "b": 2.0}, {"a": 1.0}, 1, None),
        ({"a": -1.0}, {"a": 1.0}, 1, 2.0),
    ],
)
def test_numbers_are_compared_to_the_last_bit(recorded: Event, now: Event, n_different: int, largest: float | None) -> None:
    found = compare(recorded, now)
    assert isinstance(found, Comparison)
    assert (found.n, len(found.different), found.largest) == (len(recorded), n_different, largest)


# --- bad input


def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(spec: object) -> None:
        raise AssertionError("Data were loaded.")

    monkeypatch.setattr(retrain_module, "prepare", load)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bsd-symetric_40-0000", rf"Unknown trial 'bsd-symetric_40-0000'\. Did you mean '{SEARCH}'\?"),
        ("kneee", r"Did you mean 'knee'\? Operating points: knee, accurate_and_calibrated, no_worse_than_cross_entropy\."),
        ("?", r"Unknown trial '\?'\. .* Trials: cross_entropy-symmetric_40-0000, .*confirm-1\.$"),
        (
            "no_worse_than_cross_entropy",
            r"no trial as no_worse_than_cross_entropy: over all conditions, .* Name another operating point \(knee, acc",
        ),
    ],
)
def test_unknown_trials_and_empty_operating_points_are_refused(
    name: str, message: str, finished: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing_is_loaded(monkeypatch)
    run = copy_run(finished, tmp_path)
    rewrite_ledger(run, "end", SEARCH, lambda event: event | {"metrics": event["metrics"] | {"val_accuracy": 0.0}})
    with pytest.raises(ConfigError, match=message):
        again(run, name)


def test_of_many_trials_only_some_are_listed(tmp_path: Path) -> None:
    run = make_run(tmp_path, [*(make_suggest("bsd/none", number) for number in range(20)), make_end("bsd/none", 0, 0.9)])
    with pytest.raises(ConfigError, match=r"bsd-none-0007 and 12 more, see table trials\.$"):
        again(run, "?")


def test_a_trial_that_has_not_ended_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_loaded(monkeypatch)
    events = [*make_events(("bsd/none", 1, 0.9, 0.1)), make_suggest("bsd/none", 0), make_epochs("bsd/none", 0, make_epoch(1))]
    run = make_run(tmp_path, events)
    with pytest.raises(ConfigError, match=r"Trial bsd-none-0000 has not ended, .* Finish it: \S+ -m studies resume "):
        again(run, BROKEN)


def test_an_operating_point_of_a_run_without_a_finished_trial_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, make_events(("bsd/none", 0, None, 0.1)))
    with pytest.raises(ConfigError, match="recommends no trial as knee: in condition none, no finished trial"):
        again(run, "knee")


@pytest.mark.parametrize("name", [BROKEN, "knee", "?"])
def test_a_run_without_a_trial_that_ended_is_refused(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, [make_suggest("bsd/none", 0)])
    with pytest.raises(DataError, match=f"^No trial of {run.path} has ended; finish the run: {re.escape(command('resume', run.path))}$"):
        again(run, name)


def test_a_run_without_a_ledger_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.ledger.unlink()
    run.tables.mkdir()
    (run.tables / "trials.parquet").touch()
    with pytest.raises(DataError, match=r"has no ledger\.jsonl"):
        again(run, BROKEN)


def test_changed_data_are_refused(run: RunFolder) -> None:
    facts = run.provenance()
    facts["data"]["noise_fingerprints"]["symmetric_40"] = "another"
    (run.path / "provenance.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(DataError, match="noisy labels are not those this run began with"):
        again(run, SEARCH)


def test_a_trial_of_another_study_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, [make_suggest("bsd/pairflip_20", 0), make_end("bsd/pairflip_20", 0, 0.9)], train_images=300)
    with pytest.raises(DataError, match=r"does not belong to this study: was study\.yaml changed\?"):
        again(run, "bsd-pairflip_20-0000")


def test_weights_of_several_trials_do_not_fit_into_one_file(finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_loaded(monkeypatch)
    monkeypatch.setattr(retrain_module, "find_trials", lambda *arguments: [SEARCH, CONFIRM])
    with pytest.raises(ConfigError, match=f"--save is for one trial, but knee means {SEARCH}, {CONFIRM}"):
        again(finished, "knee", save=tmp_path / "weights.pt")


def test_weights_that_cannot_be_written_are_refused_before_the_training(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_loaded(monkeypatch)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="Cannot write"):
        again(finished, SEARCH, save=tmp_path / "file" / "weights.pt")


def test_the_command_line_tells_by_its_exit_code(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def retrained(trial: str) -> int:
        monkeypatch.setattr(sys, "argv", ["studies", "retrain", str(run.path), trial])
        with pytest.raises(SystemExit, match=r"^\d$|^None$") as ended:
            cli.main()
        return int(ended.value.code or 0)

    assert retrained(SEARCH) == 0
    assert "The same numbers: all " in capsys.readouterr().out
    rewrite_ledger(run, "suggest", SEARCH, lambda event: event | {"seed": 1})
    assert retrained(SEARCH) == 1
    assert "DIFFERENT  " in capsys.readouterr().out
    assert retrained("nobody") == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("error: Unknown trial 'nobody'.")
