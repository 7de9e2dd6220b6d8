"""The walls between folders: imports run one way, `studies -> search_spaces -> bsd_core`, and reports read tables only."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.studies._dummies import make_run, make_tables
from tests.studies._played_runs import play_run

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bsd_core", "search_spaces", "studies")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports of the project name their package"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files_of(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


def tops(package: str) -> dict[str, set[str]]:
    """Top-level modules outside the standard library that a package imports, with the files that do."""
    importers: dict[str, set[str]] = {}
    for path in files_of(package):
        for name in imports_of(path):
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top != package:
                importers.setdefault(top, set()).add(path.relative_to(ROOT).as_posix())
    return importers


def loaded_by(*statements: str) -> list[set[str]]:
    """Top-level modules that are loaded in a fresh process, after each statement in turn."""
    snapshot = "snapshots.append(sorted({name.partition('.')[0] for name in sys.modules}))"
    steps = [f"{statement}\n{snapshot}" for statement in statements]
    lines = ["import json, sys", "snapshots = []", *steps, "print(json.dumps(snapshots))"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, cwd=ROOT)
    return [set(names) for names in json.loads(done.stdout)]


def test_the_house_has_four_packages() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {*PACKAGES, "tests"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_there_to_be_checked(package: str) -> None:
    assert len(list(files_of(package))) >= 5


def test_bsd_core_knows_torch_and_image_files_only() -> None:
    assert set(tops("bsd_core")) <= {"torch", "torchvision", "numpy", "scipy", "sklearn", "PIL", "pyarrow"}


@pytest.mark.parametrize("stranger", ["ray", "optuna", "studies", "search_spaces", "pydantic", "rich", "typer", "yaml", "matplotlib"])
def test_bsd_core_does_not_know(stranger: str) -> None:
    assert tops("bsd_core").get(stranger, set()) == set()


def test_search_spaces_know_optuna_and_the_errors_of_bsd_core_only() -> None:
    assert set(tops("search_spaces")) <= {"optuna", "bsd_core"}
    core = {name for path in files_of("search_spaces") for name in imports_of(path) if name.startswith("bsd_core")}
    assert {name for name in core if not name.startswith("bsd_core.errors")} == set()


def test_ray_is_known_where_it_must_be() -> None:
    joining = {"studies/cluster.py", "studies/cluster_probe.py", "studies/loopback.py", "studies/nodes.py", "studies/process_groups.py"}
    assert tops("studies")["ray"] == joining | {"studies/trial.py", "studies/tune.py"}


def test_optuna_is_known_to_the_search_and_to_importance_only() -> None:
    searching = {"studies/arm_space.py", "studies/search.py", "studies/search_memory.py", "studies/optuna_journal.py"}
    assert tops("studies")["optuna"] == searching | {"studies/statistics/importance.py"}


def test_no_package_imports_the_tests() -> None:
    assert [package for package in PACKAGES if "tests" in tops(package)] == []


REPORT = [
    "studies/front.py",
    "studies/tables.py",
    "studies/pareto.py",
    *sorted(path.relative_to(ROOT).as_posix() for folder in ("studies/report", "studies/statistics") for path in files_of(folder)),
]
MAY_USE_OPTUNA = {"studies/statistics/importance.py"}  # where it is used, not when it is imported


@pytest.mark.parametrize("file", REPORT)
def test_report_code_imports_neither_ray_nor_torch_nor_the_search(file: str) -> None:
    names = {name.partition(".")[0] for name in imports_of(ROOT / file)}
    assert names.isdisjoint({"ray", "torch", "torchvision", "search_spaces"} | ({"optuna"} if file not in MAY_USE_OPTUNA else set()))
    modules = imports_of(ROOT / file)
    assert modules.isdisjoint({"studies.search", "studies.trial", "studies.tune", "studies.driver", "studies.cluster", "studies.run"})


def test_reports_and_loading_a_run_need_neither_ray_nor_torch(tmp_path: Path) -> None:
    from studies.tables import write_tables

    run = make_run(tmp_path)
    write_tables(run, make_tables(("bsd/none", 0, 0.9, 0.1)), {})
    imported, loaded = loaded_by(
        "import studies.front, studies.report.figures.front, studies.report.terminal, studies.statistics.document",
        f"import studies; assert len(studies.load({str(run.path)!r}).trials) == 1",
    )
    assert {"moocore", "pyarrow"} <= imported
    assert imported.isdisjoint({"ray", "torch", "torchvision"})
    assert loaded.isdisjoint({"ray", "torch", "torchvision"})


COMMANDS_WITHOUT_TORCH = """
import contextlib, io, json, sys

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "torch", "torchvision"}:
            raise RuntimeError(f"imports {name}")

sys.meta_path.insert(0, Wall())
from studies import cli

codes = {}
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["studies", *arguments]
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(errors):
        try:
            cli.main()
        except SystemExit as ended:
            codes[" ".join(arguments[:2])] = [ended.code, errors.getvalue()]
    if arguments[0] == "status":
        codes["listed"] = printed.getvalue()
print(json.dumps(codes))
"""


def test_commands_that_show_a_run_work_where_neither_ray_nor_torch_can_be_imported(tmp_path: Path) -> None:
    """Whatever its study names: networks, noise, corruptions, settings of methods."""
    shown = {"corruptions": ["contrast"], "severities": [3]}
    run = play_run(
        tmp_path,
        methods=["bsd"],
        conditions=["symmetric:0.4"],
        evaluate={**shown, "perturbations": ["tilt"], "images": 20},
        confirm={"seeds": 2, "at_most": 1, "operating_points": False, **shown},
        fixed={"bsd": {"temperature": 1.0}, "shared": {"weight_decay": 0.001}},
        trials=1,
        epochs=1,
    )
    other = tmp_path / run.study / "20250101T000000Z-abcdef"
    shutil.copytree(run.path, other)
    shutil.rmtree(other / "tables")  # which are then made again from the ledger
    shutil.rmtree(run.path / "report", ignore_errors=True)
    path = str(run.path)
    commands = [
        ["front", path],
        ["front", str(other)],
        ["report", path],
        ["figures", path],
        ["status", "--results", str(tmp_path)],
        ["watch", path],
        ["compare", path, str(other)],
        ["export", path, "--to", "csv", "--out", str(tmp_path / "csv")],
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS_WITHOUT_TORCH, json.dumps(commands)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    answers = json.loads(done.stdout)
    listed = answers.pop("listed")
    assert "unreadable" not in listed
    assert listed.count("mine") == 2
    assert {name: errors for name, (code, errors) in answers.items() if code} == {}
    assert set(answers) == {" ".join(command[:2]) for command in commands}
    assert run.page.is_file()
    assert list(run.page.parent.rglob("*.pdf")) != []


def test_training_needs_no_study_engine_and_a_trial_needs_no_ray() -> None:
    core, trial = loaded_by(
        "import bsd_core.train, bsd_core.evaluate, bsd_core.data.sources, bsd_core.__main__",
        "import studies.trial, studies.prepare, studies.driver, studies.search",
    )
    assert "torch" in core
    assert core.isdisjoint({"ray", "optuna", "studies", "search_spaces", "pydantic", "rich", "typer"})
    assert "optuna" in trial
    assert "ray" not in trial
