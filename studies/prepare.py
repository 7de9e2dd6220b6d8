"""From a study to the data its trials will see: loaded once, split once, spoiled once, on the driver, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet, Int64
from bsd_core.data.label_noise import NoiseRecord, Split, SplitLabels, given_labels, save_labels
from bsd_core.data.sources import Source, load_source
from bsd_core.data.splits import split_rows, stratified_split, subset_rows
from bsd_core.errors import ConfigError, MissingDataError, one_line
from bsd_core.evaluate import EvaluationPlan
from bsd_core.methods import Training, build_method
from bsd_core.models import Network, build_model, n_parameters
from bsd_core.robustness.frost_textures import FrostTextures
from bsd_core.robustness.official import OfficialCorruptions, official_folder
from bsd_core.seeds import derive_seed
from studies.network_size import check_network_fits
from studies.noise import noise_of
from studies.search import ArmSpace, split_params
from studies.spec import Augment, StudySpec
from studies.trial_data import SearchData, TrialSettings, fingerprint


@dataclass(frozen=True, kw_only=True)
class PreparedStudy:
    """A study whose data are at hand.

    Attributes:
        data: what trials of the search phase see.
        settings: what all trials share.
        source: all official images, the test split among them; it never leaves the driver's process before the confirm phase.
        splits: the training and validation images with their places in the official training set.
        n_parameters: of the network.
        data_fingerprint: of training and validation images with their true labels.
        noise_fingerprints: by condition, of the given labels.
        noise_records: by condition, where they come from.
        frost_fingerprint: of the user's own pictures of frost; None without.
    """

    data: SearchData
    settings: TrialSettings
    source: Source
    splits: dict[str, Split]
    n_parameters: int
    data_fingerprint: str
    noise_fingerprints: dict[str, str]
    noise_records: dict[str, NoiseRecord]
    frost_fingerprint: str | None

    @property
    def n_test(self) -> int:
        """Test images, which the search never sees."""
        return len(self.source.test)

    @property
    def n_bytes(self) -> int:
        """Of the pixels of all splits."""
        return sum(images.images.nbytes for images in (self.splits["train"].images, self.splits["val"].images, self.source.test))


def prepare(spec: StudySpec, *, download: bool | None = None) -> PreparedStudy:
    """Load, check, split and spoil.

    Raises:
        ConfigError, DataError: anything that would only fail once trials run: missing files, too few images for a batch, more
            classes than outputs, noise that the data set cannot have, a network that cannot take such images.
    """
    source = load_source(
        spec.dataset, data_dir=spec.data_dir, download=spec.download if download is None else download, image_size=spec.image_size
    )
    splits = _splits(spec, source)
    train, val = splits["train"].images, splits["val"].images
    if len(train) < spec.batch_size:
        raise ConfigError(
            f"The training split has {len(train)} images, fewer than one batch (batch_size={spec.batch_size}). "
            "Lower batch_size or use more images."
        )
    given, records = {}, {}
    for condition in spec.conditions:
        noise = noise_of(spec, condition, source)
        labels, records[condition.name] = given_labels(noise, splits, official=source.train.targets, seed=spec.seed)
        given[condition.name] = (labels["train"], labels["val"])
    if spec.evaluate.official is not None and spec.confirm is not None:
        _check_official(spec.evaluate.official, spec, source)
    settings = _settings(spec, source.augment)
    frost_folder = spec.evaluate.frost_folder
    for plan in (settings.evaluation, *([confirm_plan(spec)] if spec.confirm else [])):
        plan.check(channels=train.channels, image_size=train.image_size)
    images_fingerprint = f"{train.fingerprint()}{val.fingerprint()}"
    noises = {name: fingerprint(*labels) for name, labels in given.items()}
    shifted_rows = shifted_rows_of(val.targets, spec.evaluate.images, seed=derive_seed(spec.seed, "shifted"))
    data = SearchData(
        train_images=train.images,
        train_targets=train.targets,
        val_images=val.images,
        val_targets=val.targets,
        given=given,
        shifted_rows=shifted_rows,
        n_classes=train.n_classes,
        fingerprint=fingerprint(np.frombuffer(f"{images_fingerprint}{noises}".encode(), dtype=np.uint8), shifted_rows),
    )
    return PreparedStudy(
        data=data,
        settings=settings,
        source=source,
        splits=splits,
        n_parameters=_try_model(spec, train),
        data_fingerprint=images_fingerprint,
        noise_fingerprints=noises,
        noise_records=records,
        frost_fingerprint=None if frost_folder is None else FrostTextures.from_folder(frost_folder).fingerprint(),
    )


def _check_official(place: str, spec: StudySpec, source: Source) -> None:
    """Whether every released file that the study will want is there and fits the test split."""
    folder = official_place(place, spec)
    try:
        official = OfficialCorruptions.open(folder, source.test.targets, clean=source.test.images)
        for name in confirm_plan(spec).corruptions:
            official.images(name, 1, slice(0, 1))
    except MissingDataError as error:  # of the data set itself, `describe` tells more than that
        raise ConfigError(f"evaluate.official: {error}") from error


def official_place(place: str, spec: StudySpec) -> Path:
    """The folder of released corrupted images that a study names."""
    return official_folder(spec.dataset, spec.data_dir) if place == "auto" else Path(place)


def _splits(spec: StudySpec, source: Source) -> dict[str, Split]:
    targets = source.train.targets
    rows = subset_rows(targets, spec.train_images, seed=derive_seed(spec.seed, "subset"))
    parts = split_rows(targets[rows], spec.val_fraction, seed=derive_seed(spec.seed, "val"))
    splits = {}
    for name, part in zip(("train", "val"), parts, strict=True):
        images = source.train.select(rows[part])
        splits[name] = Split(images if spec.n_classes is None else ImageSet(images.images, images.targets, spec.n_classes), rows[part])
    return splits


def save_noise(folder: Path, spec: StudySpec, prepared: PreparedStudy) -> None:
    """Write <condition>.parquet for every condition with wrong labels; a condition `saved:<file>` of another study reads it.

    Raises:
        StorageError: it cannot be written.
    """
    data = prepared.data
    for condition in spec.conditions:
        if condition.kind == "none":
            continue
        train, val = data.given[condition.name]
        splits = {
            "train": SplitLabels(prepared.splits["train"].rows, data.train_targets, train),
            "val": SplitLabels(prepared.splits["val"].rows, data.val_targets, val),
        }
        save_labels(folder / f"{condition.name}.parquet", splits, prepared.noise_records[condition.name])


def confirm_plan(spec: StudySpec) -> EvaluationPlan:
    """What networks of the confirm phase are shown of the test split."""
    confirm = spec.confirm
    assert confirm is not None
    return EvaluationPlan(
        corruptions=tuple(confirm.corruptions),
        severities=tuple(confirm.severities),
        perturbations=tuple(spec.evaluate.perturbations if confirm.perturbations is None else confirm.perturbations),
        seed=derive_seed(spec.seed, "corruptions", "test"),
        frost_folder=spec.evaluate.frost_folder if "frost" in confirm.corruptions else None,
    )


def shifted_rows_of(targets: Int64, wanted: int | None, *, seed: int) -> Int64:
    """Rows of a split that are corrupted: all, or a stratified subset of so many."""
    if wanted is None or wanted >= len(targets):
        return np.arange(len(targets))
    return stratified_split(targets, wanted, seed=seed)[1]


def _settings(spec: StudySpec, natural: AugmentConfig) -> TrialSettings:
    augment = natural
    if isinstance(spec.augment, Augment):
        augment = AugmentConfig(**spec.augment.model_dump())
    elif spec.augment == "none":
        augment = AugmentConfig()
    return TrialSettings(
        model=spec.model,
        width=spec.width,
        stem=spec.stem,
        pretrained=spec.pretrained,
        train=spec.train_config(),
        augment=augment,
        evaluation=EvaluationPlan(
            corruptions=tuple(spec.evaluate.corruptions),
            severities=tuple(spec.evaluate.severities),
            perturbations=tuple(spec.evaluate.perturbations),
            seed=derive_seed(spec.seed, "corruptions"),
            frost_folder=spec.evaluate.frost_folder if "frost" in spec.evaluate.corruptions else None,
        ),
        validation_labels=spec.validation_labels,
        rungs=spec.stopping.rungs,
        cpus=spec.cpus_per_trial,
        use_gpu=spec.gpus_per_trial > 0,
    )


def _try_model(spec: StudySpec, train: ImageSet) -> int:
    """Build network and methods, and pass two images through the network, so that an impossible combination shows here.

    Returns:
        Parameters of the network.
    """

    def new_network(seed: int, pretrained: str | None = None) -> Network:
        return build_model(
            spec.model,
            in_channels=train.channels,
            n_classes=train.n_classes,
            image_size=train.image_size,
            width=spec.width,
            stem=spec.stem,
            pretrained=pretrained,
            seed=seed,
        )

    check_network_fits(lambda: new_network(0))
    network = new_network(0, spec.pretrained)
    try:
        with torch.no_grad():
            network(torch.zeros(2, train.channels, *train.image_size))
    except (RuntimeError, ValueError) as error:
        height, width = train.image_size
        raise ConfigError(f"{spec.model} cannot take {width}x{height} images: {error}") from error
    some = torch.zeros(2, dtype=torch.int64)
    training = Training(
        targets=some,
        n_classes=train.n_classes,
        total_steps=2 * spec.epochs,
        steps_per_epoch=2,
        seed=0,
        network=network,
        new_network=new_network,
    )
    for method in spec.methods:
        _, settings = split_params(ArmSpace.of(spec, method).constant)
        try:
            build_method(method, settings, training)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise ConfigError(f"{method}: {one_line(error)}") from error
    return n_parameters(network)
