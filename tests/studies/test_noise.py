from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bsd_core.__main__ import main
from bsd_core.data.label_noise import expected_rate
from bsd_core.data.sources import load_source
from bsd_core.errors import ConfigError, DataError
from studies.prepare import PreparedStudy, prepare, save_noise
from studies.spec import StudySpec
from tests._dummies import Int64
from tests.studies._dummies import make_spec

N_TRAIN, N_VAL = 1150, 288  # of the digits


def prepared(condition: Any, **changes: Any) -> tuple[StudySpec, PreparedStudy]:
    spec = make_spec(conditions=[condition], **changes)
    return spec, prepare(spec)


def given(condition: Any, **changes: Any) -> tuple[Int64, Int64]:
    ((train, val),) = prepared(condition, **changes)[1].data.given.values()
    return train, val


@pytest.mark.parametrize("condition", ["symmetric:0.4", "asymmetric:0.2", "pairflip:0.3"])
def test_exact_kinds_spoil_exactly_their_share_of_both_splits(condition: str) -> None:
    _, study = prepared(condition)
    ((train, val),) = study.data.given.values()
    rate = float(condition.partition(":")[2])
    assert int((train != study.data.train_targets).sum()) == round(rate * N_TRAIN)
    assert int((val != study.data.val_targets).sum()) == round(rate * N_VAL)


@pytest.mark.parametrize("condition", ["symmetric_inclusive:0.4", "instance:0.4"])
def test_random_kinds_spoil_about_their_share(condition: str) -> None:
    _, study = prepared(condition)
    ((train, val),) = study.data.given.values()
    kind, _, rate = condition.partition(":")
    share = expected_rate(kind, float(rate), n_classes=10)
    wrong = int((train != study.data.train_targets).sum()) + int((val != study.data.val_targets).sum())
    n = N_TRAIN + N_VAL
    assert wrong / n == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / n))


def test_instance_noise_sees_training_and_validation_images_alike() -> None:
    """One matrix a class for both: the confusion of a class points to the same wrong classes in both splits."""
    _, study = prepared("instance:0.6")
    ((train, val),) = study.data.given.values()
    data = study.data
    tables = []
    for true, noisy in ((data.train_targets, train), (data.val_targets, val)):
        table = np.zeros((10, 10))
        np.add.at(table, (true[true != noisy], noisy[true != noisy]), 1)
        tables.append(table.ravel())
    first, second = ((table - table.mean()) / table.std() for table in tables)
    assert float((first * second).mean()) > 0.7  # their correlation


def test_pairflip_names_the_next_class() -> None:
    _, study = prepared("pairflip:0.3")
    ((train, _),) = study.data.given.values()
    wrong = train != study.data.train_targets
    assert (train[wrong] == (study.data.train_targets[wrong] + 1) % 10).all()


def write_human_file(path: Path, targets: Int64) -> Int64:
    """A file in CIFAR-N's form for any data set: every third label wrong."""
    worse = targets.copy()
    worse[::3] = (worse[::3] + 1) % 10
    np.savez(path, clean_label=targets, worse_label=worse)
    return worse


def test_human_labels_are_those_of_each_images_own_row(tmp_path: Path) -> None:
    official = load_source("digits", data_dir="data").train.targets
    worse = write_human_file(tmp_path / "human.npz", official)
    condition = {"kind": "human", "labels": "worse", "file": str(tmp_path / "human.npz")}
    _, study = prepared(condition, train_images=900)
    ((train, val),) = study.data.given.values()
    assert np.array_equal(train, worse[study.splits["train"].rows])
    assert np.array_equal(val, worse[study.splits["val"].rows])
    assert np.array_equal(official[study.splits["train"].rows], study.data.train_targets)
    assert len(np.unique(np.concatenate([split.rows for split in study.splits.values()]))) == 900


def test_human_labels_of_another_data_set_are_refused(tmp_path: Path) -> None:
    official = load_source("digits", data_dir="data").train.targets
    write_human_file(tmp_path / "human.npz", np.roll(official, 1))
    with pytest.raises(DataError, match=r"human\.npz: its 'clean_label' differs from the data set's labels"):
        prepared({"kind": "human", "labels": "worse", "file": str(tmp_path / "human.npz")})


def test_human_labels_lie_beside_the_data_unless_told_otherwise(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Human labels are released for cifar10 and cifar100, but the data set is 'digits'"):
        prepared("human:worse")


def test_a_confusion_matrix_from_a_file(tmp_path: Path) -> None:
    matrix = np.eye(10)
    matrix[3] = [0, 0, 0, 0.5, 0, 0.5, 0, 0, 0, 0]
    np.savetxt(tmp_path / "mine.csv", matrix, delimiter=",")
    _, study = prepared(f"confusion:{tmp_path / 'mine.csv'}")
    train, _ = study.data.given["confusion_mine"]
    wrong = train != study.data.train_targets
    assert set(study.data.train_targets[wrong].tolist()) == {3}
    assert set(train[wrong].tolist()) == {5}
    assert 0.3 < wrong[study.data.train_targets == 3].mean() < 0.7


@pytest.mark.parametrize(
    ("content", "message"),
    [("0.5,0.5\n0.5,0.5\n", r"mine\.csv.*10"), ("\n".join([",".join(["0.2"] * 10)] * 10), r"mine\.csv.*sum.*2")],
)
def test_a_matrix_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises((ConfigError, DataError), match=message):
        prepared(f"confusion:{tmp_path / 'mine.csv'}")


@pytest.mark.parametrize("condition", ["symmetric:0.4", "instance:0.4"])
def test_another_study_can_train_on_the_saved_labels_of_a_run(tmp_path: Path, condition: str) -> None:
    spec, study = prepared(condition)
    save_noise(tmp_path, spec, study)
    (path,) = tmp_path.iterdir()
    ((train, val),) = study.data.given.values()
    again = given(f"saved:{path}", methods=["cs_kd"])
    assert np.array_equal(again[0], train)
    assert np.array_equal(again[1], val)
    ours = json.loads(pq.read_schema(path).metadata[b"label_noise"])
    assert ours["kind"] == condition.partition(":")[0]
    spec, study = prepared(f"saved:{path}")
    save_noise(tmp_path / "again", spec, study)
    (second,) = (tmp_path / "again").iterdir()
    assert json.loads(pq.read_schema(second).metadata[b"label_noise"]) == ours  # where they first came from
    table = pq.read_table(path)
    assert set(table["split"].to_pylist()) == {"train", "val"}
    assert len(table) == N_TRAIN + N_VAL


def test_one_network_without_ray_trains_on_the_labels_of_a_study(tmp_path: Path) -> None:
    """Equal data, noise and seed: equal wrong labels, whatever trains on them."""
    spec, study = prepared("symmetric:0.4", val_fraction=0.2)
    arguments = ["--noise", "symmetric", "--noise-rate", "0.4", "--epochs", "1", "--width", "2", "--corruptions", "none"]
    main([*arguments, "--save-labels", str(tmp_path / "core.parquet")])
    save_noise(tmp_path / "study", spec, study)
    core, ours = pq.read_table(tmp_path / "core.parquet"), pq.read_table(tmp_path / "study" / "symmetric_40.parquet")
    assert core.equals(ours)
    ((train, _),) = study.data.given.values()
    assert np.array_equal(given(f"saved:{tmp_path / 'core.parquet'}")[0], train)


def test_saved_labels_of_another_split_are_refused(tmp_path: Path) -> None:
    spec, study = prepared("symmetric:0.4")
    save_noise(tmp_path, spec, study)
    with pytest.raises(DataError, match=r"symmetric_40\.parquet.*Use the same data set, train_images, val_fraction and seed"):
        given(f"saved:{tmp_path / 'symmetric_40.parquet'}", seed=1)


def test_right_labels_are_not_saved(tmp_path: Path) -> None:
    spec, study = prepared("none")
    save_noise(tmp_path, spec, study)
    assert list(tmp_path.iterdir()) == []


def test_noise_too_rare_to_occur_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Noise 'symmetric' at noise_rate=0\.0001 would spoil none of the 1150 training labels"):
        given("symmetric:0.0001")


def test_instance_noise_at_a_small_rate_spoils_more_than_its_rate() -> None:
    """Its flip rates are a truncated normal of spread 0.1."""
    _, study = prepared("instance:0.0001")
    train, _ = study.data.given["instance_0.01"]
    assert (train != study.data.train_targets).mean() == pytest.approx(expected_rate("instance", 0.0001, n_classes=10), abs=0.03)
