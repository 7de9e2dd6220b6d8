from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from studies.front import collect_front
from studies.report.figures.front import draw_front
from studies.report.figures.save import save_figure
from studies.report.infos.front import PlaneInfo, plane_of
from studies.report.palette import styles
from tests.studies._dummies import make_tables

METHODS = ["cross_entropy", "label_smoothing", "cs_kd", "bsd"]


NOTHING_CONFIRMED = {
    "setup": {"n_test": None, "train_on": None},
    "budgets": {"search_equal": True},
    "confirmed": [],
    "fronts": {"objectives": ["val_accuracy", "val_ece"]},
}


def make_info(*trials: tuple[str, int, float | None, float], **constants: str) -> PlaneInfo:
    tables = make_tables(*trials, **constants)
    return plane_of(collect_front(tables.trials, tables.evaluations), NOTHING_CONFIRMED, Path("/nonexistent"))


def draw(info: PlaneInfo) -> Any:
    return draw_front(info, styles(METHODS))


def some_trials(condition: str = "none") -> list[tuple[str, int, float | None, float]]:
    """Three trials a method, two of them on its front."""
    trials: list[tuple[str, int, float | None, float]] = []
    for index, method in enumerate(METHODS):
        shift = 0.01 * index
        trials += [
            (f"{method}/{condition}", 0, 0.9 - shift, 0.2),
            (f"{method}/{condition}", 1, 0.8 - shift, 0.1),
            (f"{method}/{condition}", 2, 0.75 - shift, 0.15),
        ]
    return trials


def panels(figure: Any) -> dict[str, Any]:
    """Visible axes by the condition in their title."""
    return {axis.get_title(loc="left").split()[1]: axis for axis in figure.axes if axis.get_visible()}


def test_every_condition_has_a_panel() -> None:
    conditions = ["none", "symmetric_20", "symmetric_40", "asymmetric_20"]
    figure = draw(make_info(*[trial for condition in conditions for trial in some_trials(condition)]))
    assert sorted(panels(figure)) == sorted(conditions)


def test_fronts_are_steps_through_their_members() -> None:
    (panel,) = panels(draw(make_info(*some_trials()))).values()
    lines = panel.get_lines()
    assert len(lines) == len(METHODS)
    assert {line.get_drawstyle() for line in lines} == {"steps-post"}
    drawn = sorted((line.get_xdata().tolist() if hasattr(line.get_xdata(), "tolist") else list(line.get_xdata())) for line in lines)
    assert drawn == [pytest.approx([10.0, 20.0])] * 4
    heights = sorted(list(line.get_ydata()) for line in lines)
    assert heights[-1] == pytest.approx([80.0, 90.0])


def test_all_trials_are_drawn_and_those_behind_are_faint() -> None:
    (panel,) = panels(draw(make_info(*some_trials()))).values()
    counts = {"faint": 0, "strong": 0}
    for collection in panel.collections:
        counts["faint" if (collection.get_alpha() or 1) < 0.5 else "strong"] += len(collection.get_offsets())
    assert counts == {"faint": 4, "strong": 8}


def test_methods_differ_in_colour_and_without_colour() -> None:
    figure = draw(make_info(*some_trials()))
    (panel,) = panels(figure).values()
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == sorted(METHODS)
    assert len({line.get_color() for line in panel.get_lines()}) == 4
    assert len({line.get_linestyle() for line in panel.get_lines()}) == 4


def test_a_method_looks_alike_in_every_panel() -> None:
    figure = draw(make_info(*some_trials(), ("bsd/symmetric_40", 0, 0.5, 0.1)))
    looks = {condition: {line.get_color() for line in axis.get_lines()} for condition, axis in panels(figure).items()}
    assert len(looks["symmetric_40"]) == 1
    assert looks["symmetric_40"] < looks["none"]


def test_all_fronts_are_inside_the_axes_and_the_outside_is_counted() -> None:
    trials = [("bsd/none", number, 0.9, 0.01) for number in range(8)]
    (panel,) = panels(draw(make_info(*trials, ("bsd/none", 8, 0.1, 0.8), ("cs_kd/none", 0, 0.5, 0.3)))).values()
    assert panel.get_title(loc="left") == "condition none (1 trials outside)"
    left, right = panel.get_xlim()
    low, high = panel.get_ylim()
    assert left <= 1.0 <= right
    assert left <= 30.0 <= right
    assert low <= 50.0 <= high
    assert low <= 90.0 <= high
    assert not low <= 10.0 <= high


def test_axes_and_title_say_what_is_shown() -> None:
    figure = draw(make_info(*some_trials()))
    assert "calibration error, %" in figure.axes[0].get_xlabel()
    assert "accuracy, %" in figure.axes[0].get_ylabel()
    assert " ".join(figure.get_suptitle().split()) == "mine: resnet8 on digits, n = 100 validation images, clean labels"


@pytest.mark.parametrize("n", [1, 2])
def test_a_single_point_and_a_perfect_one_can_be_drawn(n: int, tmp_path: Path) -> None:
    info = make_info(*[("bsd/none", number, 1.0, 0.0) for number in range(n)])
    assert [path.name for path in save_figure(draw(info), tmp_path, "front")] == ["front.png", "front.svg"]


def test_a_study_of_failures_alone_can_be_drawn(tmp_path: Path) -> None:
    info = make_info(("bsd/none", 0, None, 0.0))
    assert info.missing is not None
    assert all(path.stat().st_size > 0 for path in save_figure(draw(info), tmp_path, "front"))


def test_files_are_a_readable_png_and_well_formed_svg(tmp_path: Path) -> None:
    png, svg = save_figure(draw(make_info(*some_trials())), tmp_path / "report" / "figures", "front")
    assert (png, svg) == (tmp_path / "report" / "figures" / "front.png", tmp_path / "report" / "figures" / "front.svg")
    with Image.open(png) as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 300
    assert np.unique(pixels).size > 10
    root = ElementTree.parse(svg).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(METHODS) <= set(texts)


def test_the_same_front_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save_figure(draw(make_info(*some_trials())), tmp_path / name, "front") for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("name", ["parquet:/data/[red]x", "parquet:/a$b", "parquet:/a$b_{$", r"parquet:/a$\nonsense$b", "parquet:/a<b>&c"])
def test_a_data_set_name_is_drawn_as_it_is(name: str, tmp_path: Path) -> None:
    _, svg = save_figure(draw(make_info(*some_trials(), dataset=name)), tmp_path, "front")
    text = "".join("".join(ElementTree.parse(svg).getroot().itertext()).split())  # wherever the title is folded
    assert f"resnet8on{name},n=100" in text


@pytest.mark.parametrize("conditions", [["none"], ["none", "symmetric_40"], ["none", "symmetric_20", "symmetric_40"]], ids=len)
@pytest.mark.parametrize("dataset", ["digits", "parquet:/a/rather/long/folder/name/with/many/parts/of/images"])
def test_the_title_does_not_run_out_of_the_figure(conditions: list[str], dataset: str) -> None:
    trials = [trial for condition in conditions for trial in some_trials(condition)]
    figure = draw(make_info(*trials, study="label_noise", dataset=dataset))
    figure.draw_without_rendering()
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
