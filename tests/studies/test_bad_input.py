"""Study files from anybody: whatever they hold is refused in one clear line with exit code 2, and nothing is written, started or run.

Ten kinds of malformed files, a thousand different ones of each (a hundred without `make faults`), go through the command line in this
process, the same at every run. Each is malformed by a reason of its own: it breaks a rule of `_field_rules`, which is written from the
meanings of the fields, or has a fault of form. The few of the other kinds that are accepted must be valid by these rules.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import studies.run
from studies import cli
from studies.spec import StudySpec
from studies.study_file import field_documentation
from studies.yaml_strict import MAX_BYTES
from tests.studies._field_rules import FIELDS, NESTED, may_be_valid
from tests.studies._malformed import (
    CANARY,
    SHIPPED,
    Malformed,
    wrong_fields,
    wrong_names,
    wrong_nested_values,
    wrong_overrides,
    wrong_values,
)
from tests.studies._malformed_form import broken_bytes, cut_or_joined, deep_or_long, from_scratch, tagged
from tests.studies._watch import files_in, watched

KINDS = {
    strategy.__name__: strategy
    for strategy in (
        *(wrong_values, wrong_nested_values, wrong_names, wrong_fields, wrong_overrides),
        *(cut_or_joined, tagged, deep_or_long, broken_bytes, from_scratch),
    )
}
MANY = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
LONGEST_LINE = 620  # characters


class Answer(NamedTuple):
    """What a command line did."""

    code: object
    printed: str
    errors: str
    seconds: float
    done: list[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the user stands, with a home folder; the command line is built once, and a study that is accepted is not run."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "app", typer.main.get_command(cli.app))
        patch.setattr(studies.run, "run_study", lambda study, spec, results: 0)
        patch.setenv("HOME", str(folder / "home"))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.chdir(folder)
        yield folder


def answer(place: Path, case: Malformed) -> Answer:
    """`python -m studies run mine.yaml ...`, in this process."""
    (place / "mine.yaml").write_bytes(case.content)
    printed, errors, code = io.StringIO(), io.StringIO(), None
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors), watched() as done:
        patch.setattr(sys, "argv", ["studies", "run", "mine.yaml", *case.overrides, "--results", "results"])
        began = time.process_time()
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        seconds = time.process_time() - began
    return Answer(code, printed.getvalue(), errors.getvalue(), seconds, done)


def assert_one_line(errors: str, says: str = "") -> None:
    """One line that a terminal shows as it is, names what is wrong, and can be read at a glance."""
    line = errors.removesuffix("\n")
    assert line.startswith("error: ")
    assert line.isprintable(), line
    assert len(line) <= LONGEST_LINE, line
    assert says in line, (says, line)


@pytest.mark.parametrize("n_of_kind", [100, pytest.param(1000, marks=pytest.mark.faults)])
@pytest.mark.parametrize("kind", KINDS)
def test_malformed_files_of_a_kind_are_refused_in_one_line_each(kind: str, n_of_kind: int, place: Path) -> None:
    refused: set[Malformed] = set()
    accepted: set[Malformed] = set()
    before = files_in(place)

    @settings(MANY, max_examples=5 * n_of_kind // 2)
    @given(KINDS[kind]())
    def refuse(case: Malformed) -> None:
        if case in refused or len(refused) == n_of_kind:
            return
        found = answer(place, case)
        assert found.done == []
        assert found.seconds < 5  # no input may make it think for long
        if found.code == 0:
            assert not case.says
            assert not case.overrides
            assert may_be_valid(case.content)
            accepted.add(case)
            return
        assert (found.code, found.printed) == (2, "")
        assert_one_line(found.errors, case.says)
        refused.add(case)

    refuse()
    assert len(refused) == n_of_kind
    assert len(accepted) < n_of_kind / 100
    after = files_in(place)
    assert after.keys() - {str(place / "mine.yaml")} == before.keys() - {str(place / "mine.yaml")}
    assert not list(place.rglob(f"*{CANARY}*"))


# --- the second opinion


def test_there_is_a_rule_for_every_field() -> None:
    nested = {f"{top}{'[]' * (top == 'conditions')}.{field}" for top, fields in NESTED.items() for field in fields}
    assert {*FIELDS} == {*StudySpec.model_fields}
    assert {name for name, *_ in field_documentation() if "." in name} == nested


@pytest.mark.parametrize("study", SHIPPED)
def test_the_rules_and_the_command_line_accept_every_shipped_study(study: str, place: Path) -> None:
    assert may_be_valid(SHIPPED[study].encode())
    found = answer(place, Malformed(SHIPPED[study].encode()))
    assert (found.code, found.errors) == (0, "")


# --- sizes


@pytest.mark.parametrize(
    "line", ["k{}: [1, {{a: b}}]\n", "{}: &a\n", "- {}\n", "k{}:\n  - - -\n", "'{}", "? {}\n", "# {}\n", "\u00e9{}: '\n", "[{}, "]
)
def test_the_longest_file_that_is_read_is_refused_soon(line: str, place: Path) -> None:
    lines = "".join(line.format(number) for number in range(MAX_BYTES // 4))
    found = answer(place, Malformed(lines.encode()[: MAX_BYTES - 1].decode(errors="ignore").encode()))
    assert found.code == 2
    assert_one_line(found.errors)
    assert found.seconds < 2  # of the processor's time, on a slow one, too


def test_a_file_that_is_far_too_long_is_not_read_to_its_end(place: Path) -> None:
    with (place / "long.yaml").open("wb") as file:
        file.truncate(2**40)  # no disk has to hold it
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as errors:
        patch.setattr(sys, "argv", ["studies", "run", "long.yaml"])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
    (place / "long.yaml").unlink()
    assert_one_line(errors.getvalue(), "long.yaml: longer than 65,536 bytes")


# --- names of studies, runs and commands


ODD_ARGUMENTS = st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text) | st.sampled_from(
    [
        *("../../etc/passwd", "/etc/passwd", "..", ".", "/", "~", "~nobody/x.yaml", "quick/..", "paper", "paper/", "quick.yml", "quick\n"),
        *(
            "/dev/null",
            "/dev/zero",
            "/dev/stdin",
            "/proc/self/mem",
            "file:///etc/passwd",
            "s3://bucket/x.yaml",
            "https://localhost:1/x.yaml",
        ),
        *(
            "a" * 300 + ".yaml",
            "a" * 5000,
            "x/" * 2000 + "y.yaml",
            "\ud800.yaml",
            "\u202egnp.yaml",
            "Mine.yaml",
            "mine .yaml",
            "-.yaml",
            ".yaml",
        ),
        *("*", "?", "[a-z]", "$(touch canary)", "`touch canary`", "; touch canary", "--", "-", "--foo", "-x", "--results", "--seed=3"),
    ]
)


@pytest.mark.parametrize("command", ["run", "describe", "resume", "front", "report", "verify"])
def test_odd_names_are_refused_in_one_line_by_every_command(command: str, place: Path) -> None:
    names: set[str] = set()
    (place / "mine.yaml").unlink(missing_ok=True)

    @settings(MANY, max_examples=150)
    @given(ODD_ARGUMENTS)
    def refuse(name: str) -> None:
        errors = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors), watched() as done:
            patch.setattr(sys, "argv", ["studies", command, name])
            with pytest.raises(SystemExit, match="2"):
                cli.main()
        assert done == []
        assert_one_line(errors.getvalue())
        names.add(name)

    refuse()
    assert len(names) > 100
    assert files_in(place).keys() == {str(place), str(place / "home")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "Missing argument 'name'; see"),
        (["rum", "quick"], "No such command 'rum'"),
        (["run", "quick", "--fast"], "No such option: --fast"),
        (["run", "quick", "--results"], "requires an argument"),
        (["retrain", "quick"], "Missing argument 'trial'"),
        (["verify", "a", "b"], "unexpected extra argument"),
        (["gallery", "--out", "x.png", "--index", "one"], "--index"),
        (["list", "\x1b[2J\n"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_one_line_too(arguments: list[str], says: str, place: Path) -> None:
    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors):
        patch.setattr(sys, "argv", ["studies", *arguments])
        with pytest.raises(SystemExit, match="2"):
            cli.main()
    assert_one_line(errors.getvalue(), says)
    assert "--help" in errors.getvalue()


# --- and as users meet it


def test_malformed_files_are_refused_by_the_real_command(tmp_path: Path) -> None:
    cases: list[Malformed] = []

    @settings(MANY, max_examples=3)
    @given(st.tuples(*(KINDS[kind]() for kind in KINDS)))
    def collect(drawn: tuple[Malformed, ...]) -> None:
        cases.extend(case for case in drawn if not may_be_valid(case.content) or case.overrides)

    def run(number: int, case: Malformed) -> subprocess.CompletedProcess[bytes]:
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "mine.yaml").write_bytes(case.content)
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(cli.__file__).parents[1])}
        overrides = [override.encode("utf-8", "replace") for override in case.overrides]
        command: list[str | bytes] = [sys.executable, "-m", "studies", "run", "mine.yaml", *overrides]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)

    collect()
    assert len(cases) > 24
    with ThreadPoolExecutor(2) as pool:
        for number, done in enumerate(pool.map(run, range(len(cases)), cases)):
            assert (done.returncode, done.stdout) == (2, b"")
            assert_one_line(done.stderr.decode())
            assert files_in(tmp_path / str(number)).keys() == {str(tmp_path / str(number)), str(tmp_path / str(number) / "mine.yaml")}
