"""Which run a name means, and what is said of a name that means none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bsd_core.errors import ConfigError
from studies.run_names import find_run, results_root
from tests.studies._dummies import make_run


@pytest.mark.parametrize("name", ["results:2", "C:results", "x/s3:y"])
def test_a_colon_in_its_name_makes_no_uri_of_a_folder(name: str) -> None:
    assert results_root(name) == Path.cwd() / name


def test_a_run_is_found_by_name_by_path_and_by_latest(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for name in ("mine", str(run.path), str(run.path.parent / "latest")):
        found = find_run(tmp_path, name)
        assert (found.study, found.path, found.run_id) == ("mine", run.path.resolve(), run.path.name)


def test_a_run_is_found_by_its_id_and_by_the_folder_of_its_study(tmp_path: Path) -> None:
    run = make_run(tmp_path, study="mine")
    other = make_run(tmp_path, study="other")
    for name in (run.run_id, f"mine/{run.run_id}", str(tmp_path / "mine")):
        assert find_run(tmp_path, name).path == run.path.resolve()
        assert find_run(tmp_path, name).study == "mine"
    shutil.copytree(run.path, other.path.parent / run.run_id)
    with pytest.raises(ConfigError, match=r"^No run of "):  # which of two?
        find_run(tmp_path, run.run_id)


def test_the_newest_run_is_found_where_latest_is_lost(tmp_path: Path) -> None:
    runs = [make_run(tmp_path) for _ in range(2)]
    older = runs[0].path.rename(runs[0].path.with_name("20200101T000000Z-ffffff"))
    (tmp_path / "mine" / "latest").unlink()
    assert find_run(tmp_path, "mine").path == runs[1].path
    assert find_run(tmp_path, str(older)).run_id == "20200101T000000Z-ffffff"


def test_a_copied_run_knows_its_study_from_its_provenance(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / "provenance.json").write_text(json.dumps({"study": "group/mine"}), encoding="utf-8")
    assert find_run(tmp_path, str(run.path.rename(tmp_path / "copy"))).study == "group/mine"


def test_a_provenance_with_a_path_for_a_study_is_not_believed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / "provenance.json").write_text(json.dumps({"study": "../../etc"}), encoding="utf-8")
    assert find_run(tmp_path, str(run.path)).study == "mine"


def test_an_unknown_run_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"No run of 'nope' in '.*'\. There are no runs yet; start one with: make study STUDY=label_noise"
    ):
        find_run(tmp_path, "nope")
    with pytest.raises(ConfigError, match=r"^No run of 'nope': there is no folder '.*/absent'\. Name another by RESULTS=folder"):
        find_run(tmp_path / "absent", "nope")
    make_run(tmp_path)
    make_run(tmp_path, study="group/other")
    with pytest.raises(ConfigError, match=r"No run of 'nope' in '.*'\. There are runs of group/other, mine\.$"):
        find_run(tmp_path, "nope")


def test_a_name_that_is_nearly_one_is_told_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "results", study="label_noise")
    for name in ("label-nois", "label_nois.yaml", "results/label_nois"):
        with pytest.raises(ConfigError, match=r"\. Did you mean 'label_noise'\? There are runs of label_noise\.$"):
            find_run(tmp_path / "results", name)
    typo = f"results/label_noise/{run.run_id[:-1]}"
    for results in ("results", "elsewhere"):
        with pytest.raises(ConfigError, match=rf"No run of '{typo}' in .*\. Did you mean '{typo[:-5]}.{{6}}'\? There are "):
            find_run(tmp_path / results, typo)


def test_a_run_without_its_study_is_said_to_be_one(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / "study.yaml").unlink()
    (run.path / "ledger.jsonl").write_text("", encoding="utf-8")
    renamed = run.path.rename(tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"^'.*/copy' has no study\.yaml, so it is no run that can be read\. Copy the whole folder"):
        find_run(tmp_path, str(renamed))
    run.path.mkdir()
    with pytest.raises(ConfigError, match=rf"^'.*/{run.run_id}' has no study\.yaml"):
        find_run(tmp_path, str(run.path))


def test_results_that_are_a_file_are_no_folder_without_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"No run of 'mine' in '.*/file', which is no folder\. Name the results folder by RESULTS=folder"):
        find_run(tmp_path / "file", "mine")
    run = make_run(tmp_path / "results")
    assert find_run(tmp_path / "file", str(run.path)).path == run.path  # which needs no results folder


@pytest.mark.parametrize("name", ["", "..", "../..", "a b", "~no_such_user_at_all", "x" * 5000, "mine/../mine"])
def test_odd_names_are_no_runs(name: str, tmp_path: Path) -> None:
    make_run(tmp_path)
    with pytest.raises(ConfigError, match="No run of "):
        find_run(tmp_path, name)


def test_a_run_is_found_by_the_file_that_it_was_started_with(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert find_run(tmp_path, "somewhere/mine.yaml").path == run.path.resolve()
