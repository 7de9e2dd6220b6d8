from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bsd_core.config import AugmentConfig
from bsd_core.data.label_noise import ASYMMETRIC_MAPS
from bsd_core.data.sources import load_source
from bsd_core.errors import ConfigError, DataError, NotDownloadedError
from bsd_core.models import build_model
from studies.prepare import PreparedStudy, prepare
from tests.studies._dummies import make_spec, write_parquet


def prepared(**changes: Any) -> PreparedStudy:
    return prepare(make_spec(**changes))


def test_digits_are_split_once_into_train_val_and_test() -> None:
    """1,797 images: a fifth (359) is the test split, a fifth of the rest (288 of 1,438) validates."""
    study = prepared()
    data = study.data
    assert (len(data.train_images), len(data.val_images), study.n_test) == (1150, 288, 359)
    assert data.train_images.shape[1:] == (1, 8, 8)
    assert (str(data.train_images.dtype), str(data.train_targets.dtype)) == ("uint8", "int64")
    assert data.n_classes == 10


def test_splits_are_stratified() -> None:
    data = prepared().data
    shares = np.bincount(data.val_targets, minlength=10) / np.bincount(np.concatenate([data.train_targets, data.val_targets]))
    assert shares == pytest.approx(np.full(10, 0.2), abs=0.005)


def test_the_same_study_is_prepared_alike_and_another_seed_otherwise() -> None:
    first, again, other = prepared(), prepared(), prepared(seed=1)
    assert (first.data.fingerprint, first.noise_fingerprints) == (again.data.fingerprint, again.noise_fingerprints)
    assert np.array_equal(first.data.val_images, again.data.val_images)
    assert first.data_fingerprint != other.data_fingerprint


def test_noise_is_of_the_condition_and_not_of_methods_or_neighbours() -> None:
    first = prepared(conditions=["none", "symmetric:0.4"])
    second = prepared(conditions=["symmetric:0.4", "asymmetric:0.1"], methods=["cs_kd"], epochs=7)
    assert first.noise_fingerprints["symmetric_40"] == second.noise_fingerprints["symmetric_40"]
    assert np.array_equal(first.data.given["symmetric_40"][0], second.data.given["symmetric_40"][0])
    assert first.data.fingerprint != second.data.fingerprint


@pytest.mark.parametrize(("condition", "rate"), [("none", 0.0), ("symmetric:0.4", 0.4), ("asymmetric:0.2", 0.2), ("symmetric:0.9", 0.9)])
def test_the_rate_is_the_share_of_wrong_labels_in_train_and_val(condition: str, rate: float) -> None:
    data = prepared(conditions=[condition]).data
    ((train, val),) = data.given.values()
    assert int((train != data.train_targets).sum()) == round(rate * 1150)
    assert int((val != data.val_targets).sum()) == round(rate * 288)


def test_asymmetric_noise_follows_the_data_sets_map_or_the_studys() -> None:
    def mistakes(**condition: Any) -> set[tuple[int, int]]:
        data = prepared(conditions=[{"kind": "asymmetric", "rate": 0.1, **condition}]).data
        ((given, _),) = data.given.values()
        wrong = given != data.train_targets
        return set(zip(data.train_targets[wrong].tolist(), given[wrong].tolist(), strict=True))

    assert mistakes() == set(ASYMMETRIC_MAPS["digits"].items())
    assert mistakes(mapping={0: 6, 6: 0}) == {(0, 6), (6, 0)}


def test_a_subset_of_the_training_images_is_stratified_and_leaves_the_test_split() -> None:
    study = prepared(train_images=200)
    assert (len(study.data.train_images), len(study.data.val_images), study.n_test) == (160, 40, 359)
    assert np.bincount(study.data.val_targets).tolist() == pytest.approx([4] * 10, abs=1)


@pytest.mark.parametrize(("images", "expected"), [(None, 288), (50, 50), (10_000, 288)])
def test_corrupted_images_are_a_stratified_subset_of_the_validation_split(images: int | None, expected: int) -> None:
    data = prepared(evaluate={"corruptions": ["contrast"], "images": images}).data
    rows = data.shifted_rows
    assert len(rows) == len(set(rows.tolist())) == expected
    assert 0 <= rows.min() <= rows.max() < 288
    counts = np.bincount(data.val_targets[rows], minlength=10)
    assert counts.max() - counts.min() <= 2


def test_more_outputs_than_classes_are_allowed() -> None:
    assert prepared(n_classes=12).data.n_classes == 12


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ("auto", AugmentConfig(crop_padding=1)),  # digits are not mirrored
        ("none", AugmentConfig()),
        ({"crop_padding": 2, "flip": True}, AugmentConfig(crop_padding=2, flip=True)),
        ({"cutout": 3, "rand_augment": 5, "resized_crop": 0.5}, AugmentConfig(cutout=3, rand_augment=5, resized_crop=0.5)),
    ],
)
def test_augmentation_is_the_data_sets_none_or_as_said(augment: object, expected: AugmentConfig) -> None:
    assert prepared(augment=augment).settings.augment == expected


def test_settings_are_those_of_the_study() -> None:
    settings = prepared(
        epochs=7,
        batch_size=32,
        momentum=0.5,
        cpus_per_trial=0.5,
        gpus_per_trial=0.25,
        evaluate={"corruptions": ["pixelate"], "severities": [2, 4]},
    ).settings
    assert (settings.model, settings.width, settings.train.epochs, settings.train.batch_size, settings.train.momentum) == (
        "resnet8",
        4,
        7,
        32,
        0.5,
    )
    assert (settings.cpus, settings.use_gpu, settings.validation_labels) == (0.5, True, "clean")
    assert (settings.evaluation.corruptions, settings.evaluation.severities) == (("pixelate",), (2, 4))


def test_a_study_without_a_word_on_evaluation_shows_all_corruptions() -> None:
    assert len(prepared(evaluate=None).settings.evaluation.corruptions) >= 5


def test_corruptions_have_one_seed_for_all_trials_of_a_study() -> None:
    seeds = [prepared(seed=seed).settings.evaluation.seed for seed in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]


def test_parameters_of_the_network_are_counted() -> None:
    assert prepared(model="resnet20", width=16).n_parameters == 269_722 - 16 * 9 * 2  # one channel instead of three


def test_the_stem_and_the_weights_to_start_from_reach_the_trials_with_a_path_that_holds_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_model("resnet8", in_channels=1, n_classes=7, width=4, stem="published", seed=0)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    settings = prepared(stem="published", pretrained="weights.pt").settings
    assert (settings.stem, settings.pretrained) == ("published", str(tmp_path / "weights.pt"))
    assert (prepared().settings.stem, prepared().settings.pretrained) == ("auto", None)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save(build_model("resnet8", in_channels=1, n_classes=10, width=4, stem="published").state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"weights\.pt' are for another stem"):
        prepared(pretrained=str(tmp_path / "weights.pt"))
    with pytest.raises(DataError, match=r"There is no file of pretrained weights at '.*absent\.pt'"):
        prepared(pretrained=str(tmp_path / "absent.pt"))


def test_parquet_files_are_prepared(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "all.parquet", n=60)
    study = prepared(dataset=f"parquet:{path}", batch_size=8)
    assert (len(study.data.train_images), len(study.data.val_images), study.n_test, study.data.n_classes) == (38, 10, 12, 3)


# --- what would only fail once trials run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1151}, r"The training split has 1150 images, fewer than one batch \(batch_size=1151\)"),
        ({"train_images": 50, "batch_size": 64}, r"The training split has 40 images, fewer than one batch \(batch_size=64\)"),
        ({"val_fraction": 1e-5}, r"val_fraction=1e-05 of 1438 images leaves none for validation"),
        ({"conditions": ["asymmetric:0.9"]}, r"Asymmetric noise at noise_rate=0\.9 needs \d+ labels to spoil"),
        ({"conditions": [{"kind": "asymmetric", "rate": 0.1, "mapping": {0: 10}}]}, r"0 <= class < 10, mapped to another class"),
        ({"conditions": [{"kind": "asymmetric", "rate": 0.1, "mapping": {3: 3}}]}, r"0 <= class < 10, mapped to another class"),
        ({"model": "vit_b_16", "width": None, "stem": "published"}, r"side is a multiple of 16 pixels, but got 8x8"),
        ({"model": "densenet121", "width": None, "stem": "published"}, r"at least 29x29 pixels, but got 8x8"),
    ],
)
def test_settings_that_do_not_suit_the_data_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        prepared(**changes)
    assert "\n" not in str(caught.value)


def test_labels_beyond_the_networks_outputs_are_refused() -> None:
    with pytest.raises(DataError, match=r"Labels run from 0 to 9, but the network has 5 outputs \(0 to 4\)"):
        prepared(n_classes=5)


def test_asymmetric_noise_without_a_map_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "all.parquet", n=60)
    with pytest.raises(
        ConfigError, match=r"Asymmetric noise must know which class each class is mistaken for, and 'parquet:.*' brings no such map"
    ):
        prepared(dataset=f"parquet:{path}", batch_size=8, conditions=["asymmetric:0.2"])


def test_an_empty_mapping_is_no_mapping() -> None:
    """It must not silently fall back to the data set's own map."""
    with pytest.raises(ConfigError, match="mapping"):
        prepared(conditions=[{"kind": "asymmetric", "rate": 0.1, "mapping": {}}])


def test_missing_files_without_download_are_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotDownloadedError, match=r"No cifar10 files in '.*' and download is off"):
        prepare(make_spec(dataset="cifar10", data_dir=str(tmp_path / "data")), download=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["~no_such_user_at_all/x", "x" * 5000])
def test_a_path_that_cannot_be_is_refused_as_missing(path: str) -> None:
    with pytest.raises(DataError, match=r"No such file or folder: '"):
        prepared(dataset=f"parquet:{path}")


def test_noise_that_spoils_no_label_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Noise 'symmetric' at noise_rate=0\.0001 would spoil none of the 1150 training labels"):
        prepared(conditions=["symmetric:0.0001"])


def test_the_fingerprint_of_the_data_knows_which_images_are_corrupted() -> None:
    few, more = (prepared(evaluate={"corruptions": "pixelate", "images": n}).data.fingerprint for n in (10, 20))
    assert few != more


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"kd": {"teacher": "/no/such/file"}}, r"The teacher cannot be loaded: There is no file"),
        ({"kd": {"teacher": "/"}}, r"The teacher cannot be loaded: There is no file"),
        ({"bsd_contrastive": {"embedding_size": 10**11}}, r"^bsd_contrastive: "),
        ({"bsd": {"epsilon": 1e39}}, r"^bsd: "),
    ],
)
def test_a_method_that_cannot_be_built_is_refused_before_anything_starts(fixed: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(make_spec(methods=list(fixed), fixed=fixed))


def write_official(folder: Path, targets: Any, *, names: tuple[str, ...] = ("fog",), shape: tuple[int, ...] = (32, 32, 3)) -> None:
    folder.mkdir()
    np.save(folder / "labels.npy", np.tile(targets, 5))
    for name in names:
        np.save(folder / f"{name}.npy", np.zeros((5 * len(targets), *shape), np.uint8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder, targets: None, r"No folder .*CIFAR-10-C"),
        (lambda folder, targets: write_official(folder, (targets + 1) % 3), r"labels\.npy: expected the 10 test labels"),
        (lambda folder, targets: write_official(folder, targets, names=("snow",)), r"No 'fog\.npy' in"),
        (lambda folder, targets: write_official(folder, targets, shape=(32, 32)), r"fog\.npy: expected uint8 of shape \(50, 32, 32, 3\)"),
        (write_official, r"fog\.npy"),  # black pictures do not look like their clean images
    ],
)
def test_released_files_are_checked_before_anything_starts(tmp_path: Path, make: Any, message: str) -> None:
    write_parquet(tmp_path / "train.parquet", n=60, size=32, colour=True)
    write_parquet(tmp_path / "test.parquet", n=10, size=32, colour=True)
    changes: dict[str, Any] = {"dataset": f"parquet:{tmp_path}", "batch_size": 16}
    targets = load_source(changes["dataset"], data_dir=str(tmp_path)).test.targets
    make(tmp_path / "CIFAR-10-C", targets)
    official = {"corruptions": ["fog"], "official": str(tmp_path / "CIFAR-10-C")}
    with pytest.raises((ConfigError, DataError), match=message):
        prepared(**changes, evaluate=official, confirm={"corruptions": ["fog"]})


def test_released_files_are_those_of_cifar_unless_a_folder_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Released corruptions are known of cifar10 and cifar100, but the data set is 'digits'"):
        prepared(evaluate={"corruptions": "official"}, confirm={})


def test_pictures_of_frost_are_checked_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No pictures .* in the frost folder"):
        prepared(evaluate={"corruptions": ["frost"], "frost_folder": str(tmp_path)})


def test_the_users_pictures_of_frost_have_a_fingerprint(tmp_path: Path) -> None:

    prints = []
    for level in (40, 250):
        Image.new("RGB", (400, 400), (level, level, level)).save(tmp_path / "ice.png")
        prints.append(prepared(evaluate={"corruptions": ["frost"], "frost_folder": str(tmp_path)}).frost_fingerprint)
    assert prints[0] != prints[1]
    assert prepared().frost_fingerprint is None
