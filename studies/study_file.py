"""From a study's name to a checked study: finding the file, overriding its fields, and saying what is wrong in one line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from shlex import quote
from typing import Any, Final, get_origin

from pydantic import BaseModel, ValidationError

from bsd_core.errors import ConfigError, enumerated, nearest, one_line, printable, shown, unknown_name
from studies.condition import Condition
from studies.confirm_fields import Confirm
from studies.recipe import RecipeFields
from studies.shifts import Evaluate
from studies.spec import RECORDED, Augment, StudySpec
from studies.stopping_fields import Stopping
from studies.yaml_strict import parse_yaml, read_yaml

STUDY_FOLDER: Final = Path(__file__).parent
STUDY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(/[a-z0-9][a-z0-9_-]{0,63})?")


def study_names() -> dict[str, Path]:
    """The shipped studies, by name."""
    return {path.relative_to(STUDY_FOLDER).with_suffix("").as_posix(): path for path in sorted(STUDY_FOLDER.rglob("*.yaml"))}


def find_study(name: str) -> tuple[str, Path]:
    """(study name, file) of a shipped study, or of a path to a YAML file of the user's own.

    Raises:
        ConfigError: no such study or file, or a file name that cannot name a results folder.
    """
    shipped = study_names()
    if name in shipped:
        return name, shipped[name]
    if name.endswith((".yaml", ".yml")):
        path = Path(os.path.expanduser(name))
        if not os.path.isfile(path):
            raise ConfigError(f"No such study file: {shown(name)}.")
        if not STUDY_NAME.fullmatch(path.stem):
            raise ConfigError(f"A study's file name becomes a folder name: use a-z, 0-9, _ and - only, but got {path.stem!r}.")
        return path.stem, path
    raise unknown_name("study", name, shipped)


def load_spec(path: Path, overrides: list[str]) -> StudySpec:
    """Read, override and check a study file.

    Args:
        path: the YAML file.
        overrides: `key=value`, dots for nested keys, e.g. `evaluate.severities=3,5`.

    Raises:
        ConfigError: anything wrong with either, in one line.
    """
    where = str(path.relative_to(STUDY_FOLDER.parent) if path.is_relative_to(STUDY_FOLDER) else path)
    document = read_yaml(path, where=where)
    if not isinstance(document, dict):
        raise ConfigError(f"{where}: a study file is a mapping of fields, but this is {_kind(document)}.")
    _check_overrides(overrides)
    for override in overrides:
        _apply_override(document, override)
    return check_spec(document, where=f"{where} with your overrides" if overrides else where)


def check_spec(document: dict[str, Any], *, where: str, recorded: bool = False) -> StudySpec:
    """A study from parsed YAML.

    Args:
        document: what the file holds.
        where: what errors name.
        recorded: it is that of a run, only to be read: without torch, settings in `fixed` are not held against their methods.

    Raises:
        ConfigError: anything wrong with it, in one line.
    """
    try:
        return StudySpec.model_validate(document, context=RECORDED if recorded else None)
    except ValidationError as error:
        raise ConfigError(printable(f"{where}: {_first_problem(error)}")) from None


_NESTED: Final[dict[str, type[BaseModel]]] = {"evaluate": Evaluate, "augment": Augment, "confirm": Confirm, "stopping": Stopping}


def _check_overrides(overrides: list[str]) -> None:
    """Refuse `confirm=none confirm.seeds=2`, of which one would silently undo the other, and a value that was torn at its spaces."""
    for index in range(len(overrides)):
        _check_unbroken(overrides[index:])
    keys = [override.partition("=")[0] for override in overrides]
    for key in keys:
        top, dot, _ = key.partition(".")
        if dot and top in keys and top in _NESTED:
            raise ConfigError(f"The overrides say both {top} and {key}, and one would undo the other; say one of them.")


def _check_unbroken(overrides: list[str]) -> None:
    """Refuse a first override that opens a bracket which a later one closes: make hands SET on in pieces between spaces."""
    key, _, value = overrides[0].partition("=")
    pieces: list[str] = []
    for piece in [value, *overrides[1:]]:
        pieces.append(piece)
        if (n_open := sum((character in "[{") - (character in "]}") for character in "".join(pieces))) <= 0:
            break
    if n_open or len(pieces) == 1:
        return
    spaced, tight = " ".join(pieces), "".join(pieces)
    try:
        same = parse_yaml(spaced, where=key) == parse_yaml(tight, where=key)
    except ConfigError:
        same = False
    written = f"Write {printable(quote(f'{key}={tight}'), limit=400)}, or put" if same else "Put"  # {a: 1} is nothing without its space
    raise ConfigError(f"SET holds no spaces within a value, but got {shown(f'{key}={spaced}')}. {written} it into a YAML file of your own.")


def _apply_override(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        hint = "SET holds no spaces around = or within a value; what needs them goes into a YAML file of your own."
        raise ConfigError(f"An override is key=value, but got {shown(override)}. {hint}")
    top, *rest = key.split(".")
    field = None
    if not rest:
        field = StudySpec.model_fields.get(top)
    elif top in _NESTED and len(rest) == 1:
        field = _NESTED[top].model_fields.get(rest[0])
    if field is None and not (top == "fixed" and 1 <= len(rest) <= 2):
        raise ConfigError(f"{unknown_name('field', key, _field_names())} {_ALL_FIELDS}")
    if field is not None and get_origin(field.annotation) is list and not text.startswith(("[", "{")):
        text = f"[{text}]"
    target = document
    for parent in [top, *rest][:-1]:
        if not isinstance(target.get(parent), dict):
            short = target.get(parent)
            target[parent] = {"kind": short} if parent == "stopping" and isinstance(short, str) else {}
        target = target[parent]
    target[[top, *rest][-1]] = parse_yaml(text, where=f"override {shown(key)}")


def field_documentation() -> list[tuple[str, str, str]]:
    """(name, default, meaning) of every field of a study file."""
    rows = []
    models: list[tuple[str, type[BaseModel]]] = [
        ("", StudySpec),
        ("evaluate.", Evaluate),
        ("conditions[].", Condition),
        ("augment.", Augment),
        ("confirm.", Confirm),
        ("stopping.", Stopping),
    ]
    for prefix, model in models:
        # What the study asks comes before how its networks are trained.
        for name, info in sorted(model.model_fields.items(), key=lambda item: item[0] in RecipeFields.model_fields):
            if prefix + name in ("evaluate", "confirm", "stopping"):
                continue
            default = "required" if info.is_required() else json.dumps(info.default)
            rows.append((prefix + name, default, info.description or ""))
    return rows


def _field_names() -> list[str]:
    nested = [f"{top}.{name}" for top, model in _NESTED.items() for name in model.model_fields]
    return [*StudySpec.model_fields, *nested, "fixed.<method>.<setting>"]


_ALL_FIELDS: Final = "`make fields` explains all of them."
_UNKNOWN: Final = ("extra_forbidden", "invalid_key")  # the second: no text at all


def _first_problem(error: ValidationError) -> str:
    """The first of pydantic's complaints in our words; says how many more there are."""
    problems = error.errors()
    # Unknown fields first: a typo in a name explains the missing field that it was meant for.
    problem = min(problems, key=lambda item: item["type"] not in _UNKNOWN)
    place = ".".join(str(part) for part in problem["loc"] if not _is_union_tag(part))
    others = len({item["loc"][:1] for item in problems}) - 1
    more = f" (and {others} more)" if others else ""
    value = one_line(ValueError(repr(problem["input"])), limit=60)
    if problem["type"] in _UNKNOWN:
        fields = _fields_of(problem["loc"][:-1])
        near = nearest(str(problem["loc"][-1]), fields)
        hint = f" Did you mean {near!r}?" if near else f" Known: {enumerated(sorted(fields))}. {_ALL_FIELDS}"
        return f"unknown field {place!r}.{hint}{more}"
    if problem["type"] == "missing":
        return f"the field {place!r} is missing.{more}"
    if isinstance(cause := problem.get("ctx", {}).get("error"), ConfigError):
        return f"{place}: {cause}{more}" if place else f"{cause}{more}"
    return f"{place}: {_lower_first(problem['msg'])}, but got {value}.{more}"


def _is_union_tag(part: object) -> bool:
    return part in ("_name", "_fields")


def _fields_of(place: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {**_NESTED, "conditions": Condition}
    return list(models[str(place[0])].model_fields if place and str(place[0]) in models else StudySpec.model_fields)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", type(None): "empty"}.get(type(value), f"a {type(value).__name__}")
