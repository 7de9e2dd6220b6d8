"""What a live view looks like on terminals of all sizes, and what it leaves on a screen that it is drawn to again and again."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from studies.progress import LiveView, StudyProgress
from tests.studies._dummies import make_epoch


def make_progress(*, n_arms: int, n_running: int, name: str = "bsd/symmetric_40", title: str = "mine") -> StudyProgress:
    """`n_running` trials in their third epoch, all slots busy; each arm has finished one of four trials."""
    arms = [f"{name}{index}" for index in range(n_arms)]
    progress = StudyProgress(title, dict.fromkeys(arms, 4), epochs=10, slots=n_running)
    for index in range(n_running):
        progress.begin(f"trial-{index}", arms[index % n_arms], index)
        progress.epoch(f"trial-{index}", make_epoch(3, epochs=10, train_loss=0.5))
    for arm in arms:
        progress.end(None, arm, (0.9, 0.05))
    return progress


def draw(progress: StudyProgress, *, width: int = 80, height: int = 24) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, file=io.StringIO())
    console.print(progress.render())
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [120, 80, 40])
@pytest.mark.parametrize("height", [24, 10, 4, 2])
@pytest.mark.parametrize("n_arms", [1, 72])
@pytest.mark.parametrize("name", ["m/none", "label_smoothing/asymmetric_12.3457" * 3, "名前/" * 30])
def test_it_is_never_wider_or_higher_than_the_terminal(width: int, height: int, n_arms: int, name: str) -> None:
    lines = draw(make_progress(n_arms=n_arms, n_running=32, name=name, title="a study of a long name " * 3), width=width, height=height)
    assert 1 <= len(lines) <= max(1, height - 1)
    assert max(Console().render_str(line, markup=False).cell_len for line in lines) <= width


def test_a_high_terminal_shows_nine_lines_of_running_trials_and_every_arm() -> None:
    lines = draw(make_progress(n_arms=8, n_running=32))
    assert sum(" #" in line for line in lines) == 8
    assert "and 24 more" in [line.strip() for line in lines]
    assert sum("90.0/5.0" in line for line in lines) == 8


def test_a_low_terminal_shows_fewer_running_trials_and_counts_the_arms_that_are_left_out() -> None:
    lines = draw(make_progress(n_arms=40, n_running=32), height=12)  # 11 lines: 1 head, 2 headers, 3 running, 5 arms
    assert sum(" #" in line for line in lines) == 2
    assert "and 30 more" in [line.strip() for line in lines]
    assert sum("90.0/5.0" in line for line in lines) == 4
    assert lines[-1].split() == ["and", "36", "more", "arms", "36/144"]


def test_arms_that_are_done_make_room_for_others() -> None:
    progress = make_progress(n_arms=10, n_running=2)
    for _ in range(3):
        progress.end(None, "bsd/symmetric_400", (0.8, 0.04))
    lines = draw(progress, height=12)  # 11 lines: 1 head, 2 headers, 2 running, 6 arms
    assert not any(line.startswith("bsd/symmetric_400 ") and "4/4" in line for line in lines)
    assert lines[-1].split() == ["and", "5", "more", "arms", "8/20"]


def test_a_long_name_is_cut_but_the_number_of_its_trial_is_not() -> None:
    lines = draw(make_progress(n_arms=2, n_running=2, name="label_smoothing/" + "x" * 90))
    running = [line for line in lines if " #" in line]
    assert [line.split()[1] for line in running] == ["#0", "#1"]
    assert all(line.split()[0].startswith("label_smoothing/xxx") and line.split()[0].endswith("…") for line in running)
    assert all("3/10" in line and "0.500" in line and "50.0 %" in line and "10.0 %" in line for line in running)
    assert all("90.0/5.0" in line for line in lines[-2:])


def test_nothing_moves_when_a_trial_ends_and_before_the_next_begins() -> None:
    progress = make_progress(n_arms=2, n_running=4)
    before = draw(progress)
    progress.running.popitem()
    after = draw(progress)
    assert len(after) == len(before)
    assert after[-3:] == before[-3:]
    assert [line.index("loss") for line in (before[1], after[1])] == [before[1].index("loss")] * 2


def test_an_epoch_without_validation_values_can_be_shown() -> None:
    progress = make_progress(n_arms=1, n_running=1)
    progress.epoch("trial-0", make_epoch(4, epochs=10, train_loss=None, val_accuracy=None, val_ece=None))
    assert any(line.split() == ["bsd/symmetric_400", "#0", "4/10"] for line in draw(progress))


def test_epochs_of_the_past_do_not_count_for_the_pace() -> None:
    progress = StudyProgress("mine", {"bsd/none": 2}, epochs=5, slots=1, age=60.0)
    progress.begin("t", "bsd/none", 0)
    for epoch in range(1, 5):
        progress.epoch("t", make_epoch(epoch), now=False)
    assert progress.seconds_left() is None
    assert "1:00  starting" in draw(progress)[0]


def test_when_all_is_trained_no_time_is_left_to_be_told() -> None:
    progress = StudyProgress("mine", {"bsd/none": 1}, epochs=3, slots=1)
    progress.begin("t", "bsd/none", 0)
    for epoch in range(1, 4):
        progress.epoch("t", make_epoch(epoch))
    assert "left" in draw(progress)[0]
    progress.end("t", "bsd/none", (0.9, 0.1))
    assert "left" not in draw(progress)[0]


def test_the_time_left_names_its_phase_where_another_follows() -> None:
    heads = []
    for phase in ("search", ""):
        progress = StudyProgress("mine", {"bsd/none": 2}, epochs=3, slots=1, phase=phase)
        progress.begin("t", "bsd/none", 0)
        for epoch in range(1, 4):
            progress.epoch("t", make_epoch(epoch))
        heads.append(draw(progress)[0])
    assert heads[0].endswith(" left (search)")
    assert heads[1].endswith(" left")


def test_the_pairs_are_titled_by_what_the_study_looks_for() -> None:
    progress = StudyProgress("mine", {"bsd/symmetric_40": 2}, epochs=5, slots=1, values="acc/corr. ECE")
    assert any(line.startswith("front so far: acc/corr. ECE % ") for line in draw(progress))


@pytest.mark.parametrize(("n_arms", "n_running"), [(8, 32), (72, 32), (2, 1)])
def test_on_a_screen_there_is_one_view_with_the_notes_above_it_in_order(n_arms: int, n_running: int) -> None:
    pyte = pytest.importorskip("pyte")
    screen = pyte.HistoryScreen(80, 24, history=1000)
    stream = pyte.Stream(screen)
    screen.set_mode(pyte.modes.LNM)
    file = io.StringIO()
    console = Console(width=80, height=24, force_terminal=True, file=file)
    progress = make_progress(n_arms=n_arms, n_running=n_running)
    view = LiveView(progress, console)
    view._live.auto_refresh = False  # by hand, so that every state is looked at
    view.start()
    for index in range(25):
        view.note(f"note {index}")
        progress.running.pop(f"trial-{index}", None)
        progress.begin(f"trial-{index + n_running}", f"bsd/symmetric_40{index % n_arms}", index + n_running)
        view._live.refresh()
        stream.feed(file.getvalue())
        file.seek(0)
        file.truncate()
        shown = [line.rstrip() for line in screen.display]
        heads = [row for row, line in enumerate(shown) if line.startswith("mine ")]
        assert len(heads) == 1
        assert sum(line.startswith("front so far") for line in shown) == 1
        above = [line for line in shown[: heads[0]] if line]
        assert above == [f"note {number}" for number in range(index + 1 - len(above), index + 1)]
    view.stop()
    stream.feed(file.getvalue())
    left = [line.rstrip() for line in screen.display if line.strip()]
    assert all(line.startswith("note ") for line in left)
    scrolled = ["".join(line[column].data for column in range(80)).rstrip() for line in screen.history.top]
    assert scrolled + left == [f"note {number}" for number in range(25)]
