"""The notebooks run from top to bottom on finished runs, and lie here without results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from studies.results import write_results
from studies.run_folder import RunFolder
from tests.studies._dummies import make_choice, make_confirmation, make_end, make_epoch, make_epochs, make_events, make_run, make_suggest

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "explore.ipynb"
ARMS = ["cross_entropy/none", "bsd/none", "cross_entropy/symmetric_40", "bsd/symmetric_40"]


def make_confirmed(folder: Path) -> RunFolder:
    """Two methods in two conditions, confirmed with three seeds on clean and corrupted images; one trial failed."""
    events = make_events(*((arm, 0, 0.8, 0.1) for arm in ARMS))
    for arm in ARMS:
        events += [make_suggest(arm, 1), make_epochs(arm, 1, make_epoch(1, memorised=0.25), make_epoch(2, memorised=0.5))]
        events.append(make_end(arm, 1, 0.7, 0.2))
    events += make_events(("bsd/none", 2, None, 0.0))
    events.append(make_choice({(arm, 0): "best_accuracy, knee, best_ece" for arm in ARMS}))
    for index, arm in enumerate(ARMS):
        for replicate in range(3):
            accuracy = 0.7 + (0.05 + 0.002 * replicate) * (index % 2) + 0.01 * replicate
            events += make_confirmation(arm, 0, replicate, accuracy, 0.1, corrupted={"fog": [0.5, 0.25], "gaussian_noise": [0.75, 0.5]})
    for event in events:
        for row in event.get("evaluations", []):
            row |= {"nll": event["metrics"].get("test_nll", 0.7)}  # as the trial's own
    changes: dict[str, Any] = {"methods": ["cross_entropy", "bsd"], "conditions": ["none", "symmetric_40"], "confirm": {"seeds": 3}}
    run = make_run(folder, events, **changes)
    assert write_results(run) is not None
    return run


def cells(kind: str) -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_notebook_holds_no_results() -> None:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)


def test_it_ends_with_what_to_do_next() -> None:
    assert cells("markdown")[-1].startswith("## What to do next")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own packages
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    run = make_confirmed(tmp_path)
    monkeypatch.setenv("STUDY_RUN", str(run.path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # leaves the user's own as it is
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    tables = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("better" in table and "holm_p" in table for table in tables)
    (corruptions,) = [table for table in tables if "gaussian_noise" in table]
    assert "<td>37.5</td>" in corruptions  # fog: the mean of 50 and 25
    assert any("71.0 [68.5, 73.5] (n = 3)" in table for table in tables)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "trials",
    [
        [("bsd/none", 0, 0.9, 0.1), ("cross_entropy/none", 0, 0.7, 0.2)],
        [("bsd/none", 0, 0.9, 0.1)],
        [("bsd/none", 0, None, 0.0)],
    ],
    ids=["not confirmed", "one point", "failures alone"],
)
def test_its_cells_get_along_with_little(
    trials: list[tuple[str, int, float | None, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    run = make_run(tmp_path, make_events(*trials))
    assert write_results(run) is not None
    monkeypatch.setenv("STUDY_RUN", str(run.path))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names: dict[str, Any] = {}
    with mpl.rc_context({"backend": "Agg"}):
        for source in cells("code"):
            exec(source, names)
        names["plt"].close("all")
    assert str(names["compared"]).startswith("No two methods were confirmed")
    assert len(names["confirmed"]) == 0
    assert names["run"].path == run.path
    assert os.path.isdir(names["run"].path)
