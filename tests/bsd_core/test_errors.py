from __future__ import annotations

import pytest

from bsd_core.errors import (
    BSDError,
    ConfigError,
    DataError,
    DivergedError,
    StorageError,
    enumerated,
    nearest,
    one_line,
    require,
    unknown_name,
    why,
)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [(ConfigError, ValueError), (DataError, ValueError), (StorageError, OSError), (DivergedError, ArithmeticError)],
)
def test_every_error_is_a_project_error_and_its_builtin_counterpart(error: type[BSDError], builtin: type[Exception]) -> None:
    assert issubclass(error, BSDError)
    assert issubclass(error, builtin)


def test_unknown_name_lists_all_sorted_and_suggests_the_nearest() -> None:
    error = unknown_name("method", "cskd", ["cs_kd", "bsd", "cross_entropy"])
    assert isinstance(error, ConfigError)
    assert str(error) == "Unknown method 'cskd'. Did you mean 'cs_kd'? Known: bsd, cross_entropy, cs_kd."


def test_unknown_name_suggests_nothing_where_nothing_is_near() -> None:
    assert str(unknown_name("method", "zzz", ["bsd", "cs_kd"])) == "Unknown method 'zzz'. Known: bsd, cs_kd."


@pytest.mark.parametrize(
    ("name", "expected"), [("CS-KD", "cs_kd"), ("cross entropy", "cross_entropy"), ("bds", "bsd"), ("", None), ("qqqq", None)]
)
def test_nearest_ignores_case_and_punctuation(name: str, expected: str | None) -> None:
    assert nearest(name, ["bsd", "cross_entropy", "cs_kd"]) == expected


def test_a_list_that_is_too_long_ends_with_a_whole_name_and_counts_the_others() -> None:
    assert enumerated(["abc", "def"], limit=8) == "abc, def"
    assert enumerated(["abc", "def", "ghi"], limit=12) == "abc, def and 1 more"
    assert enumerated(["abc", "def", "ghi", "j"], limit=12) == "abc, def and 2 more"
    assert enumerated(["a" * 30, "b"], limit=10) == f"{'a' * 30} and 1 more"
    assert enumerated([]) == ""
    assert str(unknown_name("field", "x", [f"name{n:04d}" for n in range(999)])).endswith(" name0038, name0039 and 959 more.")


def test_one_line_joins_lines_and_spaces() -> None:
    assert one_line(ValueError("first\n  second\tthird ")) == "first second third"


def test_one_line_cuts_at_the_limit_with_an_ellipsis() -> None:
    assert one_line(ValueError("abcdef"), limit=6) == "abcdef"
    assert one_line(ValueError("abcdefg"), limit=6) == "abcde…"


def test_one_line_of_an_error_without_text_is_its_type() -> None:
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_why_a_file_could_not_be_written_leaves_out_its_name_but_for_one_in_the_way() -> None:
    assert why(PermissionError(13, "Permission denied", "/results/x.123.tmp")) == "Permission denied"
    assert why(FileExistsError(17, "File exists", "/results")) == "[Errno 17] File exists: '/results'"
    assert why(RuntimeError("torch's own\nwords")) == "torch's own words"
    assert why(StorageError("Cannot write 'x'")) == "Cannot write 'x'"


def test_require_names_the_rule_and_every_value() -> None:
    with pytest.raises(ConfigError, match=r"^`low < high` must hold, but got low=3, high='2'\.$"):
        require(False, "low < high", low=3, high="2")


def test_require_is_silent_where_the_rule_holds() -> None:
    require(True, "low < high", low=1)  # must not raise
