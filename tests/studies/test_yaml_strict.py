from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bsd_core.errors import ConfigError
from studies.yaml_strict import parse_yaml
from tests._dummies import PROPERTY


def parse(text: str) -> Any:
    return parse_yaml(text, where="mine.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-1E+2", -100.0),
        ("5e-4", 0.0005),
        (".5", 0.5),
        ("2.", 2.0),
        ("1.5e3", 1500.0),
        (".inf", math.inf),
        ("12", 12),
        ("true", True),
        ("null", None),
        ("", None),
    ],
)
def test_numbers_and_words_are_read_as_people_mean_them(text: str, value: object) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)


@pytest.mark.parametrize("text", ["2024-01-01", "'1e-3'", "symmetric:0.4", "e3", "1e", "v1.2e3", "parquet:/a/b"])
def test_dates_and_quoted_numbers_are_texts(text: str) -> None:
    assert parse(text) == text.strip("'")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", 2, r"cannot start any token"),
        ("a: &x [1]\nb: *x\n", 2, r"aliases \(\*name\) are not allowed"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands twice"),
        ("a: 1\nb: {c: 1, c: 2}\n", 2, "the key 'c' stands twice"),
        ("? [a, b]\n: 1\n", 1, "a key must be a plain name"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 1\nb: " + "[" * 30 + "]" * 30, 2, "nested deeper than 20 levels"),
        ("a: " + "{a: " * 5000, 1, "nested deeper than 20 levels"),
        ("a: " + "[" * 60_000, 1, "nested deeper than 20 levels"),
    ],
)
def test_what_is_refused_names_the_file_and_the_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"^mine\.yaml, line {line}: not valid YAML: .*{problem}") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_what_is_too_long_is_not_parsed() -> None:
    assert parse("a: " + "b" * 65_000) == {"a": "b" * 65_000}
    with pytest.raises(ConfigError, match=r"^mine\.yaml: longer than 65,536 bytes, which no study is\.$"):
        parse("[" * 65_537)


def test_twenty_levels_are_allowed() -> None:
    value = parse("[" * 19 + "1" + "]" * 19)
    for _ in range(19):
        (value,) = value
    assert value == 1


def test_depth_is_counted_by_nesting_and_not_by_length() -> None:
    assert len(parse("[" + "[1], " * 100 + "]")) == 100


def test_the_same_key_may_stand_in_two_mappings() -> None:
    assert parse("{a: {c: 1}, b: {c: 2}}") == {"a": {"c": 1}, "b": {"c": 2}}


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir [{made!r}]",
        "!!python/object/new:os.mkdir [{made!r}]",
        '!!python/object/apply:builtins.exec ["open({made!r}, mode=chr(119))"]',
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/tuple [1, 2]",
        "!mkdir {made}",
    ],
)
def test_tags_are_refused_and_run_nothing(tag: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 1: not valid YAML: tags \(!name\) are not allowed"):
        parse("a: " + tag.format(made=str(made)))
    assert not os.path.lexists(made)


def test_a_tag_behind_a_declared_handle_is_refused_too(tmp_path: Path) -> None:
    made = tmp_path / "made"
    text = f"%TAG !p! tag:yaml.org,2002:python/object/apply:\n---\na: !p!os.mkdir ['{made}']\n"
    with pytest.raises(ConfigError, match=r"tags \(!name\) are not allowed"):
        parse(text)
    assert not made.exists()


@pytest.mark.parametrize("value", ["!!bool x", "!!timestamp 3", "!!int ''", "!!float ''", "!!int x", "!!map x", "!!binary x", "="])
def test_values_that_contradict_their_tag_are_refused_in_one_line(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^mine\.yaml.*: not valid YAML: .+\.$") as caught:
        parse(f"a: {value}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["\x00", "a: \x07b", "a: \x1b[31m"])
def test_control_characters_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^mine\.yaml: not valid YAML: unacceptable character"):
        parse(text)


def test_numbers_too_long_for_python_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^mine\.yaml.*: not valid YAML: "):
        parse("a: " + "9" * 5000)


def test_merge_keys_do_not_slip_past_the_check_for_repeated_keys() -> None:
    with pytest.raises(ConfigError, match=r"^mine\.yaml"):
        parse("trials: 2\n<<: {trials: 99}\n")


@PROPERTY
@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("[]{}:,-!&*?|>'\"%@#<= \n\tab01.eE_~", max_size=40))
def test_any_text_is_either_read_or_refused_in_one_line(text: str) -> None:
    message = None
    try:
        parse(text)
    except ConfigError as error:
        message = str(error)
    assert message is None or re.fullmatch(r"mine\.yaml(, line \d+)?: not valid YAML: .+\.", message)
