from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest
from rich.console import Console

from studies.condition import Condition
from studies.progress import ArmProgress, LineView, LiveView, StudyProgress, make_view
from studies.search import Suggestion
from studies.spec import Arm
from tests.studies._dummies import make_epoch, render


def make_progress(arms: list[str] | None = None, *, trials: int = 3, epochs: int = 5, slots: int = 2, title: str = "mine") -> StudyProgress:
    return StudyProgress(title, dict.fromkeys(arms or ["bsd/none", "cs_kd/none"], trials), epochs=epochs, slots=slots)


def start(progress: StudyProgress, arm: str, number: int) -> str:
    method, _, _ = arm.partition("/")
    name = f"{arm}-{number}"
    condition = Condition(kind="none")
    progress.start(Suggestion(trial_id=name, arm=Arm(method, condition), number=number, params={}, seed=0))
    return name


def show(progress: StudyProgress, width: int = 80) -> str:
    return "\n".join(render(progress.render(), width=width))


def row(epoch: int) -> dict[str, Any]:
    return make_epoch(epoch, train_loss=0.1234, val_accuracy=0.876, val_ece=0.054)


# --- the state


def test_trials_and_failures_are_counted() -> None:
    progress = make_progress()
    first, second = start(progress, "bsd/none", 0), start(progress, "cs_kd/none", 0)
    assert (progress.total, float(progress.finished), len(progress.running)) == (6, 0, 2)
    progress.end(first, "bsd/none", (0.9, 0.1))
    progress.end(second, "cs_kd/none", None)
    assert (float(progress.finished), progress.failed, progress.running) == (1, 1, {})


def test_trials_of_an_earlier_process_count_as_finished() -> None:
    progress = make_progress()
    progress.end(None, "bsd/none", (0.9, 0.1))
    progress.end(None, "bsd/none", None)
    assert (float(progress.finished), progress.failed) == (1, 1)


def test_the_front_so_far_is_without_repeats_and_from_the_most_accurate() -> None:
    arm = ArmProgress(epochs=1, wanted=4, points=[(0.8, 0.1), (0.9, 0.3), (0.8, 0.1), (0.7, 0.2)])
    assert arm.front() == [(0.9, 0.3), (0.8, 0.1)]


def test_there_is_no_estimate_before_there_is_a_pace() -> None:
    progress = make_progress(slots=1)
    assert progress.seconds_left() is None
    name = start(progress, "bsd/none", 0)
    for epoch in (1, 2):
        progress.epoch(name, row(epoch))
    assert progress.seconds_left() is None


def test_the_time_left_is_the_pace_times_the_epochs_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = make_progress(trials=2, epochs=5, slots=1)  # 2 arms x 2 trials x 5 epochs = 20 epochs
    name = start(progress, "bsd/none", 0)
    for epoch in range(1, 5):
        progress.epoch(name, row(epoch))
        clock[0] += 3
    # 12 s for the 4 epochs since the first message, 16 epochs are missing.
    assert progress.seconds_left() == pytest.approx(16 * 12 / 4)
    progress.epoch(name, row(5))
    progress.end(name, "bsd/none", (0.9, 0.1))
    assert progress.seconds_left() == pytest.approx(15 * 12 / 5)


def test_nothing_is_left_when_all_is_done() -> None:
    progress = make_progress(["bsd/none"], trials=1, epochs=3, slots=1)
    name = start(progress, "bsd/none", 0)
    for epoch in range(1, 4):
        progress.epoch(name, row(epoch))
    progress.end(name, "bsd/none", (0.9, 0.1))
    assert progress.seconds_left() == 0


def test_an_epoch_of_a_trial_that_is_over_is_no_error() -> None:
    progress = make_progress()
    progress.epoch("gone", row(1))
    assert progress.running == {}


# --- the view


def test_a_running_trial_has_a_line_with_its_latest_epoch() -> None:
    progress = make_progress()
    start(progress, "cs_kd/none", 0)
    progress.epoch(start(progress, "bsd/none", 2), row(4))
    lines = show(progress).splitlines()
    running = next(line for line in lines if "bsd/none #2" in line)
    assert re.split(r"\s{1,}", running.strip()) == ["bsd/none", "#2", "4/5", "0.123", "87.6", "%", "5.4", "%"]
    assert next(line for line in lines if "cs_kd/none #0" in line).split() == ["cs_kd/none", "#0", "0/5"]


def test_the_front_so_far_is_shown_for_each_arm() -> None:
    progress = make_progress()
    for values in [(0.9, 0.3), (0.8, 0.2), (0.7, 0.1), (0.6, 0.05)]:
        progress.end(None, "bsd/none", values)
    progress.end(None, "cs_kd/none", None)
    lines = show(progress).splitlines()
    assert next(line for line in lines if line.startswith("bsd/none")).split() == [
        "bsd/none",
        "4/3",
        "90.0/30.0",
        "80.0/20.0",
        "70.0/10.0",
        "+1",
    ]
    assert next(line for line in lines if line.startswith("cs_kd/none")).split() == ["cs_kd/none", "0/3", "1", "failed"]


def test_the_head_shows_title_and_count() -> None:
    progress = make_progress()
    progress.end(None, "bsd/none", (0.9, 0.1))
    head = show(progress).splitlines()[0]
    assert head.startswith("mine ")
    assert " 1/6 " in head


def full_house(arm: str = "label_smoothing/asymmetric_12.3457") -> StudyProgress:
    arms = [f"{arm}{letter}" for letter in "abcdefgh"]
    progress = StudyProgress("a-study-with-a-rather-long-name", dict.fromkeys(arms, 100), epochs=100, slots=32)
    for number in range(32):
        name = f"trial-{number}"
        method = Arm("label_smoothing", Condition(kind="asymmetric", rate=0.123457))
        progress.start(Suggestion(trial_id=name, arm=method, number=number, params={}, seed=0))
        progress.epoch(name, make_epoch(99, train_loss=12345.678, val_accuracy=1.0, val_ece=1.0))
    for index in range(50):
        progress.end(None, arms[0], (0.5 + index / 100, index / 100))
    for _ in range(12):
        progress.end(None, arms[0], None)
    return progress


@pytest.mark.parametrize("progress", [full_house(), make_progress(), full_house("x" * 100)], ids=["full", "empty", "long names"])
@pytest.mark.parametrize("width", [80, 60, 40])
def test_no_line_is_wider_than_the_terminal(progress: StudyProgress, width: int) -> None:
    lines = show(progress, width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines


def test_thirty_two_running_trials_do_not_fill_the_screen() -> None:
    lines = show(full_house()).splitlines()
    assert len(lines) <= 24
    assert sum(" #" in line for line in lines) == 8
    assert any("and 24 more" in line for line in lines)


def test_numbers_are_whole_at_eighty_columns() -> None:
    text = show(full_house())
    assert "12345.678" in text
    assert "100.0 %" in text


def test_a_study_in_which_all_failed_can_be_shown() -> None:
    progress = make_progress()
    for arm in progress.arms:
        progress.end(None, arm, None)
    assert show(progress).count("1 failed") == 2


def test_brackets_in_names_are_shown_as_they_are() -> None:
    progress = make_progress(["[red]m/none"], title="[bold]mine[/bold]")
    start(progress, "[red]m/none", 0)
    text = show(progress)
    assert "[bold]mine[/bold]" in text
    assert "[red]m/none #0" in text
    assert text.count("[red]m/none") == 2


# --- views


def make_console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80, force_terminal=terminal, color_system=None, force_interactive=terminal), file


def test_a_terminal_gets_a_live_view_and_anything_else_lines() -> None:
    assert isinstance(make_view(make_progress(), make_console(terminal=True)[0]), LiveView)
    assert isinstance(make_view(make_progress(), make_console(terminal=False)[0]), LineView)


def test_lines_are_few_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    console, file = make_console(terminal=False)
    progress = make_progress(slots=1)
    view = make_view(progress, console)
    view.start()
    for _ in range(100):
        view.update()
    clock[0] += 11
    progress.end(None, "bsd/none", (0.9, 0.1))
    view.update()
    view.update()
    view.stop()
    assert file.getvalue().splitlines() == ["mine: 6 trials, 1 at once", "1/6 trials"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_is_shown_as_it_is(terminal: bool) -> None:
    console, file = make_console(terminal=terminal)
    view = make_view(make_progress(), console)
    view.start()
    view.note("bsd-none-0000 failed: [red]KeyError[/red]: 'x' [/nonsense]")
    view.stop()
    assert "failed: [red]KeyError[/red]: 'x' [/nonsense]" in file.getvalue().replace("\n", " ")


def test_a_live_view_leaves_nothing_of_itself_behind() -> None:
    console, file = make_console(terminal=True)
    progress = make_progress()
    start(progress, "bsd/none", 0)
    view = make_view(progress, console)
    view.start()
    view.update()
    view.stop()
    assert file.getvalue().endswith("\x1b[2K")


@pytest.mark.parametrize("step", ["set_live", "show_cursor", "push_render_hook"])
@pytest.mark.parametrize("done", [True, False])
def test_a_live_view_that_is_interrupted_as_it_begins_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch, step: str, done: bool) -> None:
    console, file = make_console(terminal=True)
    view, work = LiveView(make_progress(), console), getattr(console, step)

    def interrupted(*arguments: Any) -> None:
        monkeypatch.undo()
        if done:
            work(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(console, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        view.start()
    view.stop()
    assert file.getvalue().rfind("\x1b[?25h") > file.getvalue().rfind("\x1b[?25l")


def test_a_trial_after_its_last_epoch_is_being_evaluated() -> None:
    progress = make_progress(epochs=2)
    progress.start(Suggestion(trial_id="t", arm=Arm("bsd", Condition(kind="none")), number=0, params={}, seed=0))
    progress.epoch("t", make_epoch(2, epochs=2))
    (line,) = (line for line in render(progress.render()) if "bsd/none #0" in line)
    assert "evaluating" in line
    assert "2/2" not in line
