"""From a study to the data its trials will see: loaded once, split once, spoiled once, on the driver, before anything starts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bsd_core.config import AugmentConfig
from bsd_core.data.images import ImageSet, Int64
from bsd_core.data.label_noise import spoil_labels
from bsd_core.data.sources import Source, load_source
from bsd_core.data.splits import split_train_val, stratified_split, subset
from bsd_core.errors import ConfigError, one_line
from bsd_core.evaluate import EvaluationPlan
from bsd_core.methods import Training, build_method
from bsd_core.models import Network, build_model, n_parameters
from bsd_core.seeds import derive_seed
from studies.search import ArmSpace, split_params
from studies.spec import Augment, Condition, StudySpec
from studies.trial import SearchData, TrialSettings


@dataclass(frozen=True, kw_only=True)
class PreparedStudy:
    """A study whose data are at hand.

    Attributes:
        data: what trials of the search phase see.
        settings: what all trials share.
        n_test: test images, which the search never sees.
        n_parameters: of the network.
        data_fingerprint: of training and validation images with their true labels.
        noise_fingerprints: by condition, of the given labels.
    """

    data: SearchData
    settings: TrialSettings
    n_test: int
    n_parameters: int
    data_fingerprint: str
    noise_fingerprints: dict[str, str]


def prepare(spec: StudySpec, *, download: bool | None = None) -> PreparedStudy:
    """Load, check, split and spoil.

    Raises:
        ConfigError, DataError: anything that would only fail once trials run: missing files, too few images for a batch, more
            classes than outputs, noise that the data set cannot have, a network that cannot take such images.
    """
    source = load_source(
        spec.dataset, data_dir=spec.data_dir, download=spec.download if download is None else download, image_size=spec.image_size
    )
    images = subset(source.train, spec.train_images, seed=derive_seed(spec.seed, "subset"))
    if spec.n_classes is not None:
        images = ImageSet(images.images, images.targets, spec.n_classes)
    train, val = split_train_val(images, spec.val_fraction, seed=derive_seed(spec.seed, "val"))
    if len(train) < spec.batch_size:
        raise ConfigError(
            f"The training split has {len(train)} images, fewer than one batch (batch_size={spec.batch_size}). "
            "Lower batch_size or use more images."
        )
    given = {condition.name: _given_labels(spec, source, condition, train, val) for condition in spec.conditions}
    fingerprint = f"{train.fingerprint()}{val.fingerprint()}"
    noise = {name: _fingerprint(*labels) for name, labels in given.items()}
    shifted_rows = _shifted_rows(spec, val)
    data = SearchData(
        train_images=train.images,
        train_targets=train.targets,
        val_images=val.images,
        val_targets=val.targets,
        given=given,
        shifted_rows=shifted_rows,
        n_classes=images.n_classes,
        fingerprint=_fingerprint(np.frombuffer(f"{fingerprint}{noise}".encode(), dtype=np.uint8), shifted_rows),
    )
    return PreparedStudy(
        data=data,
        settings=_settings(spec, source.augment),
        n_test=len(source.test),
        n_parameters=_try_model(spec, train),
        data_fingerprint=fingerprint,
        noise_fingerprints=noise,
    )


def _given_labels(spec: StudySpec, source: Source, condition: Condition, train: ImageSet, val: ImageSet) -> tuple[Int64, Int64]:
    mapping = condition.mapping or source.asymmetric_map
    if condition.kind == "asymmetric" and mapping is None:
        raise ConfigError(
            f"Asymmetric noise must know which class each class is mistaken for, and {spec.dataset!r} brings no such map. "
            "Give one in the condition: {kind: asymmetric, rate: ..., mapping: {0: 1, 1: 0, ...}}."
        )

    if condition.kind != "none" and round(condition.rate * len(train)) == 0:
        raise ConfigError(f"Condition {condition.name} would spoil none of the {len(train)} training labels; raise its rate.")

    def spoil(part: ImageSet, split: str) -> Int64:
        seed = derive_seed(spec.seed, "noise", split)
        return spoil_labels(part.targets, condition.kind, condition.rate, n_classes=part.n_classes, seed=seed, mapping=mapping)

    return spoil(train, "train"), spoil(val, "val")


def _shifted_rows(spec: StudySpec, val: ImageSet) -> Int64:
    wanted = spec.evaluate.images
    if wanted is None or wanted >= len(val):
        return np.arange(len(val))
    return stratified_split(val.targets, wanted, seed=derive_seed(spec.seed, "shifted"))[1]


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
            seed=derive_seed(spec.seed, "corruptions"),
        ),
        validation_labels=spec.validation_labels,
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


def _fingerprint(*arrays: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
