from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import bsd_core
import studies
from bsd_core.errors import ConfigError, StorageError
from studies import nodes
from studies.node_packages import check_packages, differing_packages
from studies.nodes import (
    OUR_PACKAGES,
    PACKAGES,
    Inspection,
    Node,
    check_writes,
    inspect_here,
    our_folders,
)
from tests.studies._clusters import Cluster, cluster, run_on
from tests.studies._dummies import write_study

HERE = inspect_here()
THERE = Node(1, 0, "ab", "far (10.0.0.7)")
ROOT = Path(__file__).parents[2]


def test_equal_code_and_packages_pass() -> None:
    check_packages(HERE, {THERE: HERE})
    assert HERE.code is not None
    assert set(HERE.versions) == set(PACKAGES)


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        ("sklearn", None, r"^Node far \(10\.0\.0\.7\) has no sklearn, which trials import\. Install it there \(pip install scikit-learn\)"),
        ("torch", "2.1.9", r"^Node far \(10\.0\.0\.7\) has torch 2\.1\.9 and this machine torch .*Install the same version on all nodes"),
    ],
)
def test_a_node_that_could_not_compute_the_same_is_refused_by_name(package: str, version: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_packages(HERE, {THERE: Inspection(HERE.code, {**HERE.versions, package: version})})


def test_a_patch_release_of_torch_may_differ() -> None:
    major, minor, *_ = str(HERE.versions["torch"]).split(".")
    check_packages(HERE, {THERE: Inspection(HERE.code, {**HERE.versions, "torch": f"{major}.{minor}.99+cu130"})})


def test_other_versions_with_which_a_trial_runs_are_told_in_one_line() -> None:
    other = Inspection(HERE.code, {**HERE.versions, "numpy": "1.0.1", "sklearn": "0.1", "torch": f"{HERE.versions['torch']}+cu130"})
    check_packages(HERE, {THERE: other})
    numpy, sklearn = HERE.versions["numpy"], HERE.versions["sklearn"]
    start = f"Packages differ, so that numbers could: node far (10.0.0.7) has numpy 1.0.1 (here {numpy}), scikit-learn 0.1 (here {sklearn})"
    assert differing_packages(HERE, {THERE: other}) == f"{start}."
    several = {THERE: other, Node(1, 0, "cd", "near"): HERE, Node(1, 0, "ef", "farther"): other}
    assert differing_packages(HERE, several) == f"{start}; 1 more of 3 nodes have others, too."


def test_equal_packages_are_not_told() -> None:
    assert differing_packages(HERE, {THERE: Inspection("other code", HERE.versions)}) == ""


@pytest.mark.parametrize("name", ["x" * 300, "file/results"])
def test_a_folder_that_cannot_be_made_here_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match=r"results cannot be written there .*\. Choose another folder") as caught:
        check_writes(tmp_path / name / "deeper", [THERE])
    assert str(caught.value).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_goes_while_nodes_are_waited_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(asked: Sequence[Node], _: object, probe: str) -> dict[Node, None]:
        shutil.rmtree(probe)
        return dict.fromkeys(asked)

    monkeypatch.setattr(nodes, "ask", ask)
    with pytest.raises(StorageError, match=r"results cannot be written there .*No such file"):
        check_writes(tmp_path / "results", [THERE])
    assert list(tmp_path.iterdir()) == []


def test_our_packages_are_those_that_are_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(f"{name}*" for name in OUR_PACKAGES) == sorted(listed)
    assert our_folders()[0] == Path(bsd_core.__file__).parent
    assert our_folders()[-1] == Path(studies.__file__).parent


_TRIAL = """
import sys
import torch
from studies.trial import trial_events
from tests.studies._dummies import make_search_data, make_settings, make_task
before = set(sys.modules)
data = make_search_data()
events = list(trial_events(make_task(), make_settings(), data, torch.device("cpu")))
assert events[-1]["state"] == "complete", events[-1]
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} | {"torch"}))
"""


def test_nodes_are_asked_for_all_that_a_trial_imports() -> None:
    script = subprocess.run([sys.executable, "-c", _TRIAL], capture_output=True, text=True, timeout=120, check=True, cwd=ROOT)
    imported = set(script.stdout.split())
    ours = {re.split(r"[\[<>=]", line)[0] for line in distribution("bsd-study").requires or [] if "extra ==" not in line}
    tops = {"scikit-learn": "sklearn"}
    assert imported & {tops.get(name, name) for name in ours} <= set(PACKAGES)


def write_distribution(folder: Path, name: str, version: str) -> None:
    """What says of which version a package is."""
    made = folder / f"{name}-{version}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in whose place one node has another."""
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head that takes no trials, and node 1 with an older, broken version of our code, and of scikit-learn by what it says."""
    older = tmp_path_factory.mktemp("older")
    for package in our_folders():
        shutil.copytree(package, older / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    (older / "studies" / "trial.py").write_text("raise ImportError('an older version')\n", encoding="utf-8")
    write_distribution(older, "scikit_learn", "0.1")
    with cluster(n_nodes=1, cpus=0) as there:
        there.add_node(PYTHONPATH=str(older))
        yield there


def mounting(folder: Path) -> list[str]:
    """A command in whose place the next one runs with another, empty folder there."""
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs {folder} && exec "$@"', "sh"]


@pytest.fixture(scope="module")
def own_folder(mixed: Cluster, private: Path) -> Iterator[str]:
    """A node with a folder `private` of its own; its name."""
    try:
        probe = subprocess.run([*mounting(private), "true"], capture_output=True, text=True, timeout=60, check=False)
        refusal = f"exit code {probe.returncode}, {probe.stderr.strip()}" if probe.returncode else ""
    except OSError as error:
        refusal = str(error)
    if refusal:
        pytest.skip(f"a process may not mount a folder of its own here: {refusal}")
    number = mixed.add_node(inside=mounting(private))
    yield f"node-{number}"
    mixed.kill_node(number)


def tiny(folder: Path, **changes: Any) -> Path:
    return write_study(folder, methods=["cross_entropy"], trials=4, **changes)


@pytest.mark.slow
@pytest.mark.faults
def test_a_node_with_other_code_gets_ours(mixed: Cluster, tmp_path: Path) -> None:
    # From another folder: Ray lets a node look for modules where the driver stands, which would be ours.
    done = run_on(mixed, "run", str(tiny(tmp_path)), "--results", str(tmp_path / "results"), cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Node node-1 is without this version of the code, so it is sent along\.$", done.stdout, re.MULTILINE)
    assert done.stdout.count("Packages differ, so that numbers could: node node-1 has scikit-learn 0.1 (here ") == 1
    table = studies.load("mine", results=tmp_path / "results").trials
    assert table.column("state").to_pylist() == ["complete"] * 4


@pytest.mark.slow
@pytest.mark.faults
def test_a_folder_that_a_node_has_for_itself_is_refused_at_once_unless_nothing_is_written_there(
    mixed: Cluster, own_folder: str, private: Path, tmp_path: Path
) -> None:
    results = private / "results"
    done = run_on(mixed, "run", str(tiny(tmp_path)), "--results", str(results))
    assert done.returncode == 2
    assert re.fullmatch(
        rf"error: Node {own_folder} cannot write checkpoints to {results}: it is not the same folder there\. Choose a folder that all "
        r"nodes share \(RESULTS=folder\), RESULTS=s3://bucket/folder, or do without checkpoints \(SET=checkpoint_seconds=none\)\.\n",
        done.stderr,
    )
    assert list(private.iterdir()) == []
    done = run_on(mixed, "run", str(tiny(tmp_path)), "checkpoint_seconds=none", "--results", str(results))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.faults
def test_a_node_with_another_torch_is_refused(mixed: Cluster, tmp_path: Path) -> None:
    write_distribution(tmp_path, "torch", "2.1.0")
    number = mixed.add_node(PYTHONPATH=str(tmp_path))
    done = run_on(mixed, "run", str(tiny(tmp_path)), "--results", str(tmp_path / "results"))
    mixed.kill_node(number)
    assert done.returncode == 2
    assert re.match(rf"error: Node node-{number} has torch 2\.1\.0 and this machine torch 2\.", done.stderr)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()
