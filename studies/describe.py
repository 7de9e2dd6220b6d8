"""What a study will do, before it does it."""

from __future__ import annotations

from typing import Any, Final

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bsd_core.errors import ConfigError, MissingDataError, NotDownloadedError, shown
from bsd_core.models import MODELS
from bsd_core.robustness.official import OFFICIAL_FOLDERS
from bsd_core.robustness.perturbations import n_frames
from studies import cluster
from studies.device_costs import measure_costs, threads
from studies.device_hours import Costs, Sizes, estimate, images_per_sample, n_operating_points, n_points
from studies.prepare import PreparedStudy, confirm_plan, prepare
from studies.provenance import processor
from studies.rungs import Rungs
from studies.search import ArmSpace
from studies.spec import StudySpec
from studies.trial_seeds import noise_seed

UNKNOWN: Final = "unknown until the data are at hand"
_IN_MINUTES: Final = 1.5  # hours below which minutes read better


def describe(name: str, spec: StudySpec) -> RenderableType:
    """Arms, budgets, estimated images and device time, objectives, data and search spaces of a study; downloads nothing."""
    try:
        prepared, missing = prepare(spec, download=False), None
    except MissingDataError as error:
        fetched = isinstance(error, NotDownloadedError) and spec.download
        prepared, missing = None, f"the study will download {spec.dataset} into {shown(spec.data_dir)}." if fetched else str(error)
    sizes = Sizes.of(spec, prepared)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    rows = [
        ("question", spec.question),
        ("data", _data(spec, sizes)),
        ("network", _network(spec, prepared)),
        ("conditions", _conditions(spec, prepared)),
        ("arms", f"{len(spec.compared_arms)} = {len(spec.methods)} methods x {len(spec.conditions)} conditions"),
        *([("baseline", _baseline(spec))] if spec.baseline != "none" else []),
        ("trials", _trials(spec)),
        *([("stopping", _stopping(spec))] if spec.stopping.kind != "none" else []),
        ("images", _images(spec, sizes)),
        ("objectives", f"{spec.targets.accuracy} up, {spec.targets.ece} down, after the last epoch"),
        ("validation labels", _validation(spec)),
        ("corrupted", _corrupted(spec, sizes)),
        ("perturbed", _perturbed(spec, sizes)),
        *([("frost", f"pictures in {spec.evaluate.frost_folder}")] if spec.evaluate.frost_folder is not None else []),
        *([("released", _released(spec))] if spec.evaluate.official is not None else []),
        ("confirm", _confirm(spec, sizes)),
        ("resources", f"{spec.cpus_per_trial:g} CPUs and {spec.gpus_per_trial:g} GPUs a trial"),
        ("device time", _device_time(spec, sizes)),
        ("seed", str(spec.seed)),
    ]
    for label, text in rows:
        facts.add_row(label, Text(text))
    parts: list[RenderableType] = [Text(name, style="bold"), facts, Text(), _spaces(spec)]
    if missing:
        parts += [Text(), Text(f"The data are not at hand yet: {missing}")]
    return Group(*parts)


def _data(spec: StudySpec, sizes: Sizes | None) -> str:
    if sizes is None:
        return spec.dataset
    return (
        f"{spec.dataset}: {sizes.n_train} train, {sizes.n_val} validation, {sizes.n_test} test (not used by the search), "
        f"{'x'.join(map(str, sizes.image_shape))}, {sizes.n_classes} classes"
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
    return f"the test split is corrupted by the files of {where} in the confirm phase"


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


def _baseline(spec: StudySpec) -> str:
    return f"random: {len(spec.compared_arms)} more arms, each a twin that searches at random, to see what the search is worth"


def _trials(spec: StudySpec) -> str:
    each = f"{spec.epochs} epochs each, batches of {spec.batch_size}"
    if spec.stopping.kind != "none":
        return f"as many in every arm as {spec.trials} full trainings pay for, {each}"
    return f"{len(spec.arms) * spec.trials} = {spec.trials} in every arm, {each}"


def _stopping(spec: StudySpec) -> str:
    stopping = spec.stopping
    rungs = Rungs(stopping.reduction, stopping.first_rung).epochs(spec.epochs)
    if not rungs:
        return f"{stopping.kind}: none, {spec.epochs} epochs are too short to be stopped"
    after = " and ".join(map(str, sorted(rungs)))
    audit = f"; {100 * stopping.audit:g} % of those stopped still run to their end, to see what was lost" if stopping.audit else ""
    return f"{stopping.kind}: after {after} epochs the best 1 in {stopping.reduction} by error and NLL go on{audit}"


def _images(spec: StudySpec, sizes: Sizes | None) -> str:
    if sizes is None:
        return UNKNOWN
    per_trial = spec.epochs * sizes.n_train
    ranges = {method: images_per_sample(spec, method) for method in spec.methods}
    costs = {method: low for method, (low, _) in ranges.items()}
    shares = {method: f"{method} {low:g}" + (f" to {high:g}" if high > low else "") for method, (low, high) in ranges.items() if high > 1}
    if spec.budget == "images":
        less = f"; fewer steps where a sample costs more than one image: {', '.join(shares.values())}" if shares else ""
        return f"{per_trial:,} pushed through networks by every trial{less}"
    total = sum(per_trial * spec.trials * costs[arm.method] for arm in spec.arms)
    more = f"; images a sample: {', '.join(shares.values())}, 1 for the others" if shares else ""
    return f"about {round(total):,} pushed through networks in the search{more}"


def _validation(spec: StudySpec) -> str:
    if spec.validation_labels == "clean":
        return "clean: the true labels choose, which nobody has in practice; noisy ones are reported beside them"
    return "noisy: they carry the condition's noise, as in practice; true ones are reported beside them"


def _corrupted(spec: StudySpec, sizes: Sizes | None) -> str:
    names = spec.evaluate.corruptions
    if not names:
        return "none"
    severities = ", ".join(map(str, spec.evaluate.severities))
    shifts = f"{len(names)} corruptions ({', '.join(names)}), severities {severities}"
    return f"{shifts}{_on_images(spec, sizes, len(names) * len(spec.evaluate.severities))}, for every finished trial"


def _perturbed(spec: StudySpec, sizes: Sizes | None) -> str:
    names = spec.evaluate.perturbations
    if not names:
        return "none"
    frames = sum(map(n_frames, names))
    return (
        f"{len(names)} sequences ({', '.join(names)}), {frames} frames an image{_on_images(spec, sizes, frames)}, for every finished trial"
    )


def _on_images(spec: StudySpec, sizes: Sizes | None, copies: int) -> str:
    if sizes is None:
        return ""
    n = min(spec.evaluate.images or sizes.n_val, sizes.n_val)
    return f", on {n} validation images = {n * copies:,} predictions"


def _confirm(spec: StudySpec, sizes: Sizes | None) -> str:
    """Which settings are trained again, how often, on what, and what of the test split their networks are shown."""
    confirm = spec.confirm
    if confirm is None:
        return "none: the test split stays closed"
    n, n_arms, n_more = n_points(spec), len(spec.compared_arms), n_operating_points(spec)
    on_front = confirm.points == "front"
    which = f"at most {n} of every arm's front" if on_front else f"every arm's {confirm.points}"
    if on_front and confirm.at_most > n:
        which += f" ({confirm.at_most} asked for, but an arm has only {n} trials: those are used)"
    if n_more:
        which += f" and at most {n_more} operating points of the study"
    drawn = any(noise_seed(spec, condition, 0) is not None for condition in spec.conditions)
    labels = ", each with wrong labels drawn anew" if drawn else ""
    images = "training and validation images" if confirm.train_on == "train+val" else "training images"
    plan = confirm_plan(spec)
    shown = ["clean"]
    if plan.n_shifts:
        shown.append(f"{len(plan.corruptions)} corruptions x {len(plan.severities)} severities")
    if plan.n_frames:
        shown.append(f"{len(plan.perturbations)} sequences of {plan.n_frames} frames in all")
    on = "" if sizes is None else f" ({min(confirm.images or sizes.n_test, sizes.n_test)} images)" * (len(shown) > 1)
    trainings = f"at most {(n * n_arms + n_more) * confirm.seeds} trainings on {images}{labels}"
    return f"{which} x {confirm.seeds} fresh seeds = {trainings}; only then is the test split opened: {', '.join(shown)}{on}"


def _device_time(spec: StudySpec, sizes: Sizes | None) -> str:
    if sizes is None:
        return UNKNOWN
    costs = measure_costs(spec, sizes)
    hours = estimate(costs, spec, sizes)
    confirm = f", confirm at most {_duration(hours.confirm)}" if spec.confirm else ""
    short = f" ({_duration(hours.total)})" if hours.total < _IN_MINUTES else ""
    total = f"about {_number(hours.total)} hours{short}: search {_duration(hours.search)}{confirm}"
    return f"{total}; measured just now on {_where(spec, costs)}{_at_once(spec)}"


def _where(spec: StudySpec, costs: Costs) -> str:
    if costs.on_gpu:
        return f"one {torch.cuda.get_device_name()}, without compiling"
    n = threads(spec)
    place = f"{'one thread' if n == 1 else f'{n} threads'} of {processor().rpartition(' x ')[0] or processor()}"
    return f"{place}, for want of the GPU that the study asks for, which is many times faster" if spec.gpus_per_trial else place


def _at_once(spec: StudySpec) -> str:
    """By how much several trials at a time shorten the wait on this machine."""
    try:
        slots = cluster.count_slots(spec, [cluster.local_node()], where="this machine")
    except ConfigError:  # where it will run, it may fit
        return ""
    if slots == 1:
        return "; one trial at a time"
    return f"; {slots} trials at once " + ("halve the wait" if slots == 2 else f"divide the wait by up to {slots}")


def _duration(hours: float) -> str:
    """In the unit in which it is easy to read."""
    if hours < 1 / 60:
        return f"{_number(3600 * hours)} s"
    if hours < _IN_MINUTES:
        return f"{_number(60 * hours)} min"
    return f"{_number(hours)} hours"


def _number(value: float) -> str:
    """Two digits that count: an estimate has no more."""
    return f"{float(f'{value:.2g}'):,.10g}"


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
