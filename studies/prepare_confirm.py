"""From a searched study to the data of its confirm phase: fresh noise, and the test split, made ready to be sent for the first time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bsd_core.data.label_noise import given_labels
from bsd_core.seeds import derive_seed
from studies.features import FEATURE_IMAGES
from studies.noise import noise_of
from studies.prepare import PreparedStudy, confirm_plan, official_place, shifted_rows_of
from studies.spec import StudySpec
from studies.trial_data import SearchData, TestData, TrialSettings, fingerprint
from studies.trial_seeds import noise_seed


@dataclass(frozen=True, kw_only=True)
class PreparedConfirm:
    """What trials of the confirm phase are sent.

    Attributes:
        data: what they train on, with the labels of every condition and fresh seed.
        settings: what they share.
        test: what they are judged on.
    """

    data: SearchData
    settings: TrialSettings
    test: TestData


def prepare_confirm(spec: StudySpec, prepared: PreparedStudy) -> PreparedConfirm:
    """The data of the confirm phase: the only place where test images are made ready to be sent to trials.

    Raises:
        ConfigError, DataError: as `prepare`.
    """
    confirm = spec.confirm
    assert confirm is not None
    search, source, splits = prepared.data, prepared.source, prepared.splits
    given = {}
    for condition in spec.conditions:
        for replicate in range(confirm.seeds):
            train_given, val_given = search.given[condition.name]
            seed = noise_seed(spec, condition, replicate)
            if seed is not None:
                labels, _ = given_labels(noise_of(spec, condition, source), splits, official=source.train.targets, seed=seed)
                train_given, val_given = labels["train"], labels["val"]
            given[f"{condition.name}/{replicate}"] = (train_given, val_given)
    data = replace(search, given=given)
    if confirm.train_on == "train+val":
        whole = source.train.select(np.concatenate([splits["train"].rows, splits["val"].rows]))
        nothing = np.zeros(0, dtype=np.int64)
        data = replace(
            data,
            train_images=whole.images,
            train_targets=whole.targets,
            val_images=np.zeros((0, *search.val_images.shape[1:]), dtype=np.uint8),
            val_targets=nothing,
            given={name: (np.concatenate(labels), nothing) for name, labels in given.items()},
            shifted_rows=nothing,
        )
    data = replace(data, fingerprint=fingerprint(np.frombuffer(f"{search.fingerprint}{confirm!r}".encode(), dtype=np.uint8)))
    test = source.test
    shifted_rows = shifted_rows_of(test.targets, confirm.images, seed=derive_seed(spec.seed, "shifted", "test"))
    feature_rows = shifted_rows_of(test.targets, FEATURE_IMAGES, seed=derive_seed(spec.seed, "features"))
    official = spec.evaluate.official
    return PreparedConfirm(
        data=data,
        settings=replace(prepared.settings, evaluation=confirm_plan(spec), predictions=confirm.predictions, rungs=None),
        test=TestData(
            images=test.images,
            targets=test.targets,
            shifted_rows=shifted_rows,
            official_folder=None if official is None else str(official_place(official, spec)),
            fingerprint=test.fingerprint(),
            feature_rows=feature_rows if confirm.features else None,
        ),
    )
