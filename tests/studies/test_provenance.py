from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from studies.prepare import PreparedStudy, prepare
from studies.provenance import collect_provenance
from studies.spec import StudySpec
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


def test_nothing_of_the_environment_gets_in(study: tuple[StudySpec, PreparedStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2-hunter2")
    assert "hunter2" not in json.dumps(collect(study))


def test_without_git_the_state_of_the_code_is_unknown(study: tuple[StudySpec, PreparedStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert collect(study)["code"] is None


def test_a_package_that_is_absent_has_no_version(study: tuple[StudySpec, PreparedStudy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.provenance._PACKAGES", ("no-such-package-at-all",))
    assert collect(study)["packages"] == {"no-such-package-at-all": None}
