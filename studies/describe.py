"""What a study will do, before it does it."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bsd_core.errors import MissingDataError
from bsd_core.methods import method_config
from bsd_core.models import MODELS
from bsd_core.robustness.official import OFFICIAL_FOLDERS
from bsd_core.robustness.perturbations import n_frames
from studies.prepare import PreparedStudy, prepare
from studies.search import ArmSpace, split_params
from studies.spec import StudySpec


def describe(name: str, spec: StudySpec) -> RenderableType:
    """Arms, budgets, estimated images, objectives, data and search spaces of a study; downloads nothing."""
    try:
        prepared, missing = prepare(spec, download=False), None
    except MissingDataError as error:
        prepared, missing = None, str(error)
    n_arms, n_trials = len(spec.arms), len(spec.arms) * spec.trials
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    rows = [
        ("question", spec.question),
        ("data", _data(spec, prepared)),
        ("network", _network(spec, prepared)),
        ("conditions", _conditions(spec, prepared)),
        ("arms", f"{n_arms} = {len(spec.methods)} methods x {len(spec.conditions)} conditions"),
        ("trials", f"{n_trials} = {spec.trials} in every arm, {spec.epochs} epochs each, batches of {spec.batch_size}"),
        ("images", _images(spec, prepared)),
        ("objectives", f"{spec.targets.accuracy} up, {spec.targets.ece} down, after the last epoch"),
        ("validation labels", _validation(spec)),
        ("corrupted", _corrupted(spec, prepared)),
        ("perturbed", _perturbed(spec, prepared)),
        *([("frost", f"pictures in {spec.evaluate.frost_folder}")] if spec.evaluate.frost_folder is not None else []),
        *([("released", _released(spec))] if spec.evaluate.official is not None else []),
        ("resources", f"{spec.cpus_per_trial:g} CPUs and {spec.gpus_per_trial:g} GPUs a trial"),
        ("seed", str(spec.seed)),
    ]
    for label, text in rows:
        facts.add_row(label, Text(text))
    parts: list[RenderableType] = [Text(name, style="bold"), facts, Text(), _spaces(spec)]
    if missing:
        parts += [Text(), Text(f"The data are not at hand yet: {missing}")]
    return Group(*parts)


def _data(spec: StudySpec, prepared: PreparedStudy | None) -> str:
    if prepared is None:
        return spec.dataset
    data = prepared.data
    _, channels, height, width = data.train_images.shape
    return (
        f"{spec.dataset}: {len(data.train_images)} train, {len(data.val_images)} validation, {prepared.n_test} test (not used by the "
        f"search), {channels}x{height}x{width}, {data.n_classes} classes"
    )


def _conditions(spec: StudySpec, prepared: PreparedStudy | None) -> str:
    parts = []
    for condition in spec.conditions:
        text = condition.name
        if prepared is not None and condition.kind != "none":
            share = float((prepared.data.given[condition.name][0] != prepared.data.train_targets).mean())
            text += f" ({100 * share:.1f} % of the training labels wrong{f', from {condition.file}' if condition.file else ''})"
        parts.append(text)
    return ", ".join(parts)


def _released(spec: StudySpec) -> str:
    place = spec.evaluate.official
    where = f"{OFFICIAL_FOLDERS.get(spec.dataset, '')} in {spec.data_dir}" if place == "auto" else place
    return f"the test split is corrupted by the files of {where}, once a confirm phase looks at it"


def _network(spec: StudySpec, prepared: PreparedStudy | None) -> str:
    parts = [spec.model]
    if published := MODELS[spec.model].width:
        parts.append(f"width {spec.width or published}")
    if spec.stem != "auto":
        parts.append(f"{spec.stem} stem")
    if spec.pretrained is not None:
        parts.append(f"weights from {spec.pretrained}")
    if prepared:
        parts.append(f"{prepared.n_parameters:,} parameters")
    return ", ".join(parts)


def _images(spec: StudySpec, prepared: PreparedStudy | None) -> str:
    if prepared is None:
        return "unknown until the data are at hand"
    per_trial = spec.epochs * len(prepared.data.train_images)
    ranges = {method: _images_per_sample(spec, method) for method in spec.methods}
    costs = {method: low for method, (low, _) in ranges.items()}
    shares = {method: f"{method} {low:g}" + (f" to {high:g}" if high > low else "") for method, (low, high) in ranges.items() if high > 1}
    if spec.budget == "images":
        less = f"; fewer steps where a sample costs more than one image: {', '.join(shares.values())}" if shares else ""
        return f"{per_trial:,} pushed through networks by every trial{less}"
    total = sum(per_trial * spec.trials * costs[arm.method] for arm in spec.arms)
    more = f"; images a sample: {', '.join(shares.values())}, 1 for the others" if shares else ""
    return f"about {round(total):,} pushed through networks in training{more}"


def _images_per_sample(spec: StudySpec, method: str) -> tuple[float, float]:
    """The least and the most of the settings that are not searched with any one choice of those that are; the defaults first."""
    space = ArmSpace.of(spec, method)
    _, own = split_params(space.constant)
    tries = [{name: choice} for name, values in space.searched.items() for choice in getattr(values, "choices", ())]
    costs = [method_config(method, {**own, **one}).images_per_epoch for one in ({}, *tries)]
    return min(costs), max(costs)


def _validation(spec: StudySpec) -> str:
    if spec.validation_labels == "clean":
        return "clean: the true labels choose, which nobody has in practice; noisy ones are reported beside them"
    return "noisy: they carry the condition's noise, as in practice; true ones are reported beside them"


def _corrupted(spec: StudySpec, prepared: PreparedStudy | None) -> str:
    names = spec.evaluate.corruptions
    if not names:
        return "none"
    severities = ", ".join(map(str, spec.evaluate.severities))
    shifts = f"{len(names)} corruptions ({', '.join(names)}), severities {severities}"
    return f"{shifts}{_on_images(prepared, len(names) * len(spec.evaluate.severities))}, for every finished trial"


def _perturbed(spec: StudySpec, prepared: PreparedStudy | None) -> str:
    names = spec.evaluate.perturbations
    if not names:
        return "none"
    frames = sum(map(n_frames, names))
    return f"{len(names)} sequences ({', '.join(names)}), {frames} frames an image{_on_images(prepared, frames)}, for every finished trial"


def _on_images(prepared: PreparedStudy | None, copies: int) -> str:
    if prepared is None:
        return ""
    n = len(prepared.data.shifted_rows)
    return f", on {n} validation images = {n * copies:,} predictions"


def _range(distribution: Any) -> str:
    if choices := getattr(distribution, "choices", None):
        return " or ".join(map(str, choices))
    return f"{distribution.low:g} to {distribution.high:g}{' (log)' if distribution.log else ''}"


def _spaces(spec: StudySpec) -> Table:
    table = Table(title="searched in each arm", title_justify="left", title_style="dim")
    table.add_column("method", no_wrap=True)
    table.add_column("settings searched", overflow="fold")
    table.add_column("published first", justify="right")
    for method in spec.methods:
        space = ArmSpace.of(spec, method)
        searched = [f"{name} {_range(distribution)}" for name, distribution in space.searched.items()]
        constant = [f"{name} = {value}" if isinstance(value, str) else f"{name} = {value:g}" for name, value in space.constant.items()]
        table.add_row(method, "\n".join(searched + constant) or "none", str(min(len(space.published), spec.trials)))
    return table
