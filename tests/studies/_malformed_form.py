"""Study files that are no YAML, or not the YAML that we read: cut off, tagged, too deep, too long, of odd bytes. Kinds as in `_malformed`.

Of those without `says` a few may turn out to be valid after all.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.studies._field_rules import FIELDS
from tests.studies._malformed import PIECES, SHIPPED, TAGGED, Malformed, studies


@st.composite
def cut_or_joined(draw: DrawFn) -> Malformed:
    """A study that ends too early, begins too late, lacks a piece, or goes on with another."""
    text = SHIPPED[draw(studies)].encode()
    trials = text.index(b"\ntrials:")  # no study is without
    before, after = draw(st.sampled_from(range(1, trials))), draw(st.sampled_from(range(trials + 8, len(text))))
    other = SHIPPED[draw(studies)].encode()[: draw(st.sampled_from(range(2, 400)))]
    match draw(st.sampled_from(["head", "tail", "gap", "joined", "repeated"])):
        case "head":
            return Malformed(text[:before])
        case "tail":
            return Malformed(text[before:])
        case "gap":
            return Malformed(text[:before] + text[after:])
        case "joined":
            return Malformed(text + draw(st.sampled_from([b"", b"---\n", b"...\n---\n", b"\n- "])) + other)
        case _:
            return Malformed(text + text[before:])


@st.composite
def tagged(draw: DrawFn) -> Malformed:
    """A tag, an alias or a merge key in the place of a value, of a part of it, or of a key."""
    study, what = draw(studies), draw(st.sampled_from(TAGGED))
    field = draw(st.sampled_from(sorted(FIELDS)))
    before = draw(st.sampled_from(["", "", "%YAML 1.1\n---\n", "%TAG ! tag:yaml.org,2002:python/object/apply:\n---\n"]))
    if what[0] == "!" and draw(st.booleans()):
        what = f"{what.split(' ')[0]} {json.dumps(draw(st.text(max_size=10)))}"
    around = draw(st.sampled_from(["{}", "[{}]", "{{a: {}}}", "[1, {}, 2]", "[[[{}]]]", "\n  - {}", "\n  deep:\n    deeper: {}"]))
    rest = b"".join(piece for name, piece in PIECES[study].items() if name != field).decode()
    if draw(st.integers(0, 9)) == 0 and what[0] in "!":
        return Malformed(f"{before}{rest}? {what}\n: 1\n".encode(), says="not valid YAML")
    return Malformed(f"{before}{rest}{field}: {around.format(what)}\n".encode(), says="not valid YAML")


@st.composite
def deep_or_long(draw: DrawFn) -> Malformed:
    """Nested deeper than anyone writes by hand, or longer."""
    study, field, depth = draw(studies), draw(st.sampled_from(sorted(FIELDS))), draw(st.sampled_from([*range(20, 400), 1000, 3000]))
    rest = b"".join(piece for name, piece in PIECES[study].items() if name != field).decode()
    match draw(st.sampled_from(["[", "[]", "{", "-", "block", "key", "long", "many"])):
        case "block":
            value = "".join(f"\n{' ' * (level + 1)}a:" for level in range(min(depth, 300)))
        case "-":
            value = "\n  " + "- " * depth + "1"
        case "{":
            value = "{a: " * depth
        case "[":
            value = "[" * depth
        case "[]":
            value = "[" * depth + "]" * depth
        case "key":
            return Malformed(f"{rest}? {'[' * depth}{']' * depth}\n: 1\n".encode())
        case "long":
            value = "[" + "1, " * (22_000 + depth) + "]"
        case _:
            value = "{" + ", ".join(f"k{number}: {number}" for number in range(6000 + depth)) + "}"
    return Malformed(f"{rest}{field}: {value}\n".encode())


@st.composite
def broken_bytes(draw: DrawFn) -> Malformed:
    """A study with bytes in it that are no UTF-8 or no text, or in another encoding altogether."""
    text = SHIPPED[draw(studies)]
    data, at = text.encode(), draw(st.integers(0, len(text.encode())))
    match draw(st.sampled_from(["invalid", "control", "encoding", "random"])):
        case "invalid":
            bad = draw(
                st.sampled_from(
                    [b"\x80", b"\xc3(", b"\xff\xfe", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]
                )
            )
            return Malformed(data[:at] + bad + data[at:])
        case "control":
            bad = bytes([draw(st.sampled_from([*range(9), 11, 12, *range(14, 32), 127]))])
            return Malformed(data[:at] + bad + data[at:], says="not valid YAML")
        case "encoding":
            wide = text[: max(1, at)].encode(draw(st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "cp037"])))
            return Malformed(wide)
        case _:
            return Malformed(draw(st.binary(min_size=1, max_size=60)))


_MARKUP = st.text("[]{}:,-!&*?|>'\"%@#<= \n\tab01.eE_~", max_size=40) | st.text(max_size=30)
_LINES = st.lists(st.sampled_from([line for text in SHIPPED.values() for line in text.splitlines()]) | _MARKUP, min_size=1, max_size=8)


@st.composite
def from_scratch(draw: DrawFn) -> Malformed:
    """Lines of studies and of nonsense."""
    content = "\n".join(draw(_LINES)) if draw(st.booleans()) else draw(_MARKUP)
    return Malformed(content.encode("utf-8", "surrogatepass"))
