"""Study files that are YAML, but no studies: fields with values that may not stand there, unknown names, wrong overrides.

Every kind is a Hypothesis strategy of `Malformed`; each breaks one rule on purpose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from bsd_core.methods import METHODS
from bsd_core.models import MODELS
from bsd_core.robustness.corruptions import CORRUPTIONS
from studies.study_file import study_names
from studies.yaml_strict import dump_yaml
from tests.studies._field_rules import FIELDS, NESTED, REQUIRED, any_text

SHIPPED = {name: path.read_text(encoding="utf-8") for name, path in study_names().items()}
DOCUMENTS: dict[str, dict[str, Any]] = {name: yaml.safe_load(text) for name, text in SHIPPED.items()}
CANARY = "canary"  # no file of this name may ever appear


class Malformed(NamedTuple):
    """A study file, and what is said on the command line besides.

    Attributes:
        content: of the file.
        overrides: key=value.
        says: must stand in the error.
    """

    content: bytes
    overrides: tuple[str, ...] = ()
    says: str = ""


ODD_TEXTS = [
    *("", " ", "\t", "\n", "none", "auto", "yes", "~", "null", "1e-3", "1_000", "0x10", "0o17", "1:30", "2024-01-01", ".inf", "=", "<<"),
    *(
        "\0",
        "\ud800",
        "\udfff\ud800",
        "\ufeff",
        "\u202eevil",
        "\u2066a\u2069",
        "a\u0301" * 40,
        "\U0001f600",
        "\x1b[31mred\x1b[0m",
        "\x07\x08\x7f",
    ),
    *("\u2028", "\x85", "[red]x[/red]", "{0}{name}%s%n$(id)`id`", "'; DROP TABLE trials; --", "a" * 5000, "\u00df" * 3000),
    *("..", "../../../etc/passwd", "/etc/passwd", "/dev/zero", "/proc/self/environ", "a/b", "a\\b", "~root/x", "//host/share"),
    *("file:///etc/passwd", "http://localhost:1/x", "s3://bucket/key", "folder:", "parquet:..", "symmetric:nan", "symmetric:-1", "human:"),
    *("!!python/object/apply:os.mkdir [canary]", "__import__('os').mkdir('canary')", "__class__", "model_config", "__init__"),
]
ODD_NUMBERS = [
    *(0, -1, 1, 2, 6, 101, 10_001, 1_000_001, 2**31, 2**53, 2**53 + 1, 2**63, -(2**63), 10**30, -(10**400), 10**4000),
    *(0.0, -0.0, 0.5, 1.0, 1.5, 100_000.5, 1e308, -1e308, 5e-324, float("inf"), float("-inf"), float("nan")),
]
SCALARS = (
    st.sampled_from([None, True, False, *ODD_NUMBERS, *ODD_TEXTS])
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.text("abcdefghij_-./: ", max_size=12)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "kind", "", "..", "1"]) | st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=5,
)


def render(document: dict[str, Any]) -> bytes:
    """As YAML that means just that."""
    return dump_yaml(document).encode()


# As texts, since dumping whole studies takes longer than refusing them.
PIECES = {name: {field: render({field: value}) for field, value in document.items()} for name, document in DOCUMENTS.items()}


def with_field(study: str, field: str, value: Any) -> bytes:
    """A shipped study with one field that says something else."""
    return b"".join([*(piece for name, piece in PIECES[study].items() if name != field), render({field: value})])


studies = st.sampled_from(sorted(SHIPPED))


@st.composite
def wrong_values(draw: DrawFn) -> Malformed:
    """One field with a value that may not stand there."""
    field = draw(st.sampled_from(sorted(FIELDS)))
    value = draw(VALUES.filter(lambda value: not FIELDS[field](value)))
    return Malformed(with_field(draw(studies), field, value), says=field)


_AROUND: dict[str, dict[str, Any]] = {"stopping": {"kind": "pareto_halving"}, "conditions": {"kind": "symmetric", "rate": 0.4}}


@st.composite
def wrong_nested_values(draw: DrawFn) -> Malformed:
    """One field of a nested mapping with a value that may not stand there, or one that is not known."""
    top = draw(st.sampled_from(sorted(NESTED)))
    field = draw(
        st.sampled_from(sorted(NESTED[top]))
        | st.text("abcdefghij_-./ ", min_size=1, max_size=12).filter(lambda name: name not in NESTED[top])
    )
    rule = NESTED[top].get(field, lambda value: False)
    inner = {field: draw(VALUES.filter(lambda value: not rule(value)))}
    if field != "kind":
        inner = _AROUND.get(top, {}) | inner
    return Malformed(with_field(draw(studies), top, [inner] if top == "conditions" else inner), says=top)


def near(names: list[str]) -> SearchStrategy[str]:
    """A known name with one letter more, less, or another, or with a path around it."""
    around = st.sampled_from(
        ["../{}", "/{}", "{}/", "{}/..", "./{}", "{}\0", "{}\n", " {}", "{} ", "file:{}", "{}.yaml", "\ufeff{}", "{}\u200b", "\u202e{}"]
    )

    def mistyped(name: str) -> SearchStrategy[str]:
        place = st.integers(0, len(name))
        letter = st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789_-./:\\ \u0430\u0455\U0001d41a")
        changed = st.builds(lambda at, new, drop: name[:at] + new + name[at + drop :], place, letter, st.integers(0, 2))
        return changed | around.map(lambda form: form.format(name)) | st.just(name.upper())

    return st.sampled_from(names).flatmap(mistyped).filter(lambda name: name not in names)


@st.composite
def wrong_names(draw: DrawFn) -> Malformed:
    """A name from a closed list, mistyped."""
    what = draw(st.sampled_from(["model", "methods", "corruptions", "fixed", "setting", "search_also", "conditions"]))
    study = draw(studies)
    if what == "model":
        return Malformed(with_field(study, "model", draw(near([*MODELS]))), says="model")
    if what == "corruptions":
        corruptions = ["contrast", draw(near([*CORRUPTIONS, "all", "main", "none", "official"]))]
        return Malformed(with_field(study, "evaluate", {"corruptions": corruptions}), says="corruption")
    if what == "conditions":
        value = draw(near(["symmetric", "asymmetric", "pairflip", "instance"])) + ":0.4"
        return Malformed(with_field(study, "conditions", ["none", value]), says="condition")
    if what == "methods":
        return Malformed(with_field(study, "methods", ["bsd", draw(near([*METHODS]))]), says="method")
    owner = DOCUMENTS[study]["methods"][0]
    if what == "setting":
        known = ["learning_rate", "weight_decay", "temperature", "prior_strength", "smoothing", "distill_weight"]
        return Malformed(with_field(study, "fixed", {owner: {draw(near(known)): 0.1}}), says="fixed")
    inner = {draw(near([*METHODS, "shared"])): ["evidence"] if what == "search_also" else {"learning_rate": 0.1}}
    return Malformed(with_field(study, what, inner), says=what)


@st.composite
def wrong_fields(draw: DrawFn) -> Malformed:
    """A field that is not known, is missing, or stands twice."""
    study = draw(studies)
    match draw(st.sampled_from(["unknown", "missing", "twice"])):
        case "missing":
            gone = draw(st.sets(st.sampled_from(REQUIRED), min_size=1))
            pieces = [piece for name, piece in PIECES[study].items() if name not in {*gone, "recipe"}]
            return Malformed(b"".join(draw(st.permutations(pieces))), says="field '")
        case "twice":
            field = draw(st.sampled_from(sorted(DOCUMENTS[study])))
            second = render({field: draw(st.just(DOCUMENTS[study][field]) | VALUES)})
            return Malformed(b"".join([*PIECES[study].values(), second]), says=f"the key '{field}' stands twice")
        case _:
            name = draw(
                (near([*FIELDS]) | st.text(max_size=20) | st.sampled_from(ODD_TEXTS)).filter(
                    lambda name: name not in FIELDS and name != "<<"
                )
            )
            says = "field" if any_text(name.replace("\0", "")) else "not valid YAML"
            return Malformed(b"".join([*PIECES[study].values(), render({name: draw(VALUES)})]), says=says)


TAGGED = [
    *(
        f"!!python/object/{how}:{what} [{CANARY}]"
        for how in ("apply", "new")
        for what in ("os.mkdir", "os.system", "builtins.open", "pathlib.Path.touch")
    ),
    *(f"!!python/name:{what} ''" for what in ("os.system", "studies.cli.main")),
    f"!!python/object/apply:builtins.exec [\"open('{CANARY}', 'w')\"]",
    f"!!python/object/apply:subprocess.check_output [[touch, {CANARY}]]",
    *(
        "!!python/tuple [1, 2]",
        "!!python/module:os ''",
        "!!binary aGk=",
        "!!set {a}",
        "!!omap [a: 1]",
        "!!str 3",
        "!!int '3'",
        "!!null ''",
        "!local x",
    ),
    *(
        "!include /etc/passwd",
        f"!<tag:yaml.org,2002:python/object/apply:os.mkdir> [{CANARY}]",
        "&a [*a]",
        "*a",
        "&a {<<: *a}",
        "{<<: {epochs: 3}}",
    ),
]


@st.composite
def wrong_overrides(draw: DrawFn) -> Malformed:
    """A right file, and a key=value that is not."""
    study = draw(studies)
    content = SHIPPED[study].encode()
    match draw(st.sampled_from(["value", "nested", "key", "form", "yaml"])):
        case "value":
            key = draw(st.sampled_from(sorted(FIELDS)))
            value = draw(VALUES.filter(lambda value: not FIELDS[key](value) and not FIELDS[key]([value]) and not isinstance(value, list)))
        case "nested":
            top = draw(st.sampled_from(sorted(set(NESTED) - {"conditions"})))
            field = draw(st.sampled_from(sorted(NESTED[top])))
            key, rule = f"{top}.{field}", NESTED[top][field]
            value = draw(VALUES.filter(lambda value: not rule(value) and not rule([value]) and not isinstance(value, list)))
        case "key":
            parts = st.sampled_from(["", *FIELDS, *NESTED, "..", "__class__", "fixed", "0", "*"]) | st.text(max_size=8)
            nested = {f"{top}.{field}" for top, fields in NESTED.items() for field in fields if top != "conditions"}
            known = {*FIELDS, *nested}
            key = draw(
                st.lists(parts, min_size=1, max_size=5)
                .map(".".join)
                .filter(lambda key: key not in known and "=" not in key and key[:1] != "-")
            )
            value = draw(SCALARS)
        case "form":
            bare = draw(st.text(max_size=20).filter(lambda text: "=" not in text and not text.startswith("-") and "\0" not in text))
            return Malformed(content, (draw(st.sampled_from([bare, "=", "=3", f"={bare}"])),))
        case _:
            field = draw(st.sampled_from(["question", "trials", "epochs", "model", "methods", "conditions", "fixed"]))
            broken = draw(
                st.sampled_from(
                    [*TAGGED, "[", "{", "]", "'", '"', "[1", "{a: 1", "a: b: c", "@x", "`x", "%x", "[" * 50, "- 1\n 2: 3", "{a: 1, a: 2}"]
                )
            )
            return Malformed(content, (f"{field}={broken}",), says=field)
    written = dump_yaml(value).removesuffix("\n").removesuffix("\n...")
    return Malformed(content, (f"{key}={written}".replace("\0", ""),), says=key.split(".")[0] if key.split(".")[0] in FIELDS else "")
