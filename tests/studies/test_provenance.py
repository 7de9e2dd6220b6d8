from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bsd_core.errors import DataError
from studies.prepare import PreparedStudy, prepare
from studies.provenance import check_same_data, collect_provenance, environment, environment_differences, study_hash
from studies.spec import StudySpec
from studies.yaml_strict import dump_yaml, parse_yaml
from tests.studies._dummies import make_spec


@pytest.fixture(scope="module")
def study() -> tuple[StudySpec, PreparedStudy]:
    spec = make_spec(conditions=["none", "symmetric:0.4"], seed=7)
    return spec, prepare(spec)


def collect(study: tuple[StudySpec, PreparedStudy]) -> dict[str, Any]:
    return collect_provenance("mine", *study)


def test_provenance_is_json_and_names_what_made_the_run(study: tuple[StudySpec, PreparedStudy]) -> None:
    facts = json.loads(json.dumps(collect(study), allow_nan=False))
    assert (facts["study"], facts["seed"]) == ("mine", 7)
    assert {"ray", "torch", "optuna", "pyarrow", "bsd-study"} <= set(facts["packages"])
    assert all(re.match(r"\d+\.", facts["packages"][name]) for name in ("torch", "optuna", "pyarrow"))
    assert facts["machine"]["processor"]


def test_data_and_noise_have_fingerprints(study: tuple[StudySpec, PreparedStudy]) -> None:
    data = collect(study)["data"]
    assert (data["dataset"], data["n_train"], data["n_val"], data["n_test"]) == ("digits", 1150, 288, 359)
    assert data["fingerprint"] == study[1].data_fingerprint
    assert set(data["noise_fingerprints"]) == {"none", "symmetric_40"}


def test_the_start_is_a_time_of_day_in_utc(study: tuple[StudySpec, PreparedStudy]) -> None:
    started = datetime.fromisoformat(collect(study)["started"])
    assert started.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=1)


def test_the_study_hash_changes_with_the_study(study: tuple[StudySpec, PreparedStudy]) -> None:
    spec, prepared = study
    other = spec.model_copy(update={"trials": spec.trials + 1})
    assert collect(study)["study_hash"] == collect(study)["study_hash"]
    assert collect(study)["study_hash"] != collect_provenance("mine", other, prepared)["study_hash"]


def test_the_study_hash_is_that_of_the_file_that_holds_the_study(study: tuple[StudySpec, PreparedStudy]) -> None:
    """Small numbers, a mapping by whole numbers, and texts that are not ASCII are written alike."""
    fixed = {"shared": {"weight_decay": 1e-05, "learning_rate": 1.0}}
    conditions = ["none", {"kind": "asymmetric", "rate": 0.2, "mapping": {0: 1, 1: 0}}]
    for spec in (study[0], make_spec(fixed=fixed, conditions=conditions, question="Wie \u201esicher\u201c?")):
        written = parse_yaml(dump_yaml(spec.model_dump()), where="study.yaml")
        by_pydantic = hashlib.blake2b(spec.model_dump_json().encode(), digest_size=8).hexdigest()
        assert study_hash(written) == study_hash(spec.model_dump()) == by_pydantic
    assert collect(study)["study_hash"] == study_hash(study[0].model_dump())


def test_nothing_of_the_environment_gets_in(study: tuple[StudySpec, PreparedStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2-hunter2")
    assert "hunter2" not in json.dumps(collect(study))


def test_without_git_the_state_of_the_code_is_unknown(study: tuple[StudySpec, PreparedStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert collect(study)["code"] is None


def test_a_package_that_is_absent_has_no_version(study: tuple[StudySpec, PreparedStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.provenance._PACKAGES", ("no-such-package-at-all",))
    assert collect(study)["packages"] == {"no-such-package-at-all": None}


# --- what differs


def test_an_environment_does_not_differ_from_itself(study: tuple[StudySpec, PreparedStudy]) -> None:
    assert environment_differences(collect(study)) == []


def test_another_environment_is_told_by_version_and_processor() -> None:
    then = environment()
    then["packages"] = {**then["packages"], "torch": "1.0.0"}
    then["machine"] = {"node": "elsewhere", "processor": "Abacus x 10"}
    now = environment()
    assert environment_differences(then) == [
        f"torch 1.0.0 then, {now['packages']['torch']} now",
        f"processor Abacus x 10 then, {now['machine']['processor']} now",
    ]


def test_what_a_provenance_does_not_say_is_no_difference() -> None:
    assert environment_differences({}) == []


def opened(fingerprint: str) -> dict[str, Any]:
    return {"event": "confirm", "chosen": {}, "opened": "2025-01-01T00:00:00+00:00", "test_fingerprint": fingerprint}


def test_the_data_of_a_run_are_the_same_as_long_as_its_fingerprints_are(study: tuple[StudySpec, PreparedStudy]) -> None:
    _, prepared = study
    check_same_data(collect(study), [opened(prepared.source.test.fingerprint())], prepared)
    check_same_data({}, [], prepared)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fingerprint", r"data set is not the one this run began with \(fingerprint another\)"),
        ("noise_fingerprints", "noisy labels are not those"),
        ("frost_fingerprint", "pictures in frost_folder are not those"),
    ],
)
def test_changed_data_are_named(name: str, message: str, study: tuple[StudySpec, PreparedStudy]) -> None:
    before = collect(study)
    before["data"] = {**before["data"], name: "another"}
    with pytest.raises(DataError, match=message):
        check_same_data(before, [], study[1])


def test_changed_test_images_are_named(study: tuple[StudySpec, PreparedStudy]) -> None:
    with pytest.raises(DataError, match="test images are not those this run was confirmed on"):
        check_same_data(collect(study), [opened("another")], study[1])
