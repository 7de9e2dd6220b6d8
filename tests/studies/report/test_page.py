"""The page in a real Chromium, opened from disk: of a finished run with hostile texts, and of runs with little or nothing to show."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

import studies
from studies.report.make import make_report, write_empty_page
from studies.report.sections import SECTIONS
from studies.run_folder import RunFolder
from tests.studies._played_runs import play_run
from tests.studies.report._browser import chromium

HOSTILE = "Is <script>document.title = 'taken'</script> harmless, and </script><img src=x onerror=\"document.title='taken'\"> too?"
WIDE: ViewportSize = {"width": 1200, "height": 900}
NARROW: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return play_run(
        tmp_path_factory.mktemp("finished"),
        question=HOSTILE,
        methods=["cross_entropy", "bsd"],
        conditions=["none", "symmetric:0.2", "symmetric:0.4"],
        evaluate={"corruptions": ["fog", "shot_noise"], "severities": [1, 3], "perturbations": "none", "images": 40},
        confirm={"seeds": 2, "at_most": 2, "corruptions": ["fog", "shot_noise"], "severities": [1, 3], "images": 40},
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@dataclass
class Opened:
    """A page, and what went wrong on it.

    Attributes:
        page: all drawn.
        wrong: messages of the console, errors, and addresses that were asked for outside the page.
    """

    page: Page
    wrong: list[str]


def open_page(context: BrowserContext, path: Path) -> Opened:
    opened = Opened(context.new_page(), [])
    opened.page.on("console", lambda message: opened.wrong.append(message.text) if message.type in ("error", "warning") else None)
    opened.page.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.page.on("request", lambda request: opened.wrong.append(request.url) if not asked_for_itself(request.url, path) else None)
    opened.page.goto(path.as_uri())
    drawn(opened.page)
    return opened


def asked_for_itself(url: str, path: Path) -> bool:
    return url == path.as_uri() or url.startswith(("data:", "blob:"))


def drawn(page: Page) -> None:
    page.wait_for_selector("html[data-ready=yes]", timeout=60_000)


@pytest.fixture
def opened(run: RunFolder, browser: Browser) -> Iterator[Opened]:
    context = browser.new_context(viewport=WIDE, color_scheme="light")
    yield open_page(context, run.page)
    context.close()


def n_trainings(run: RunFolder) -> int:
    return len(studies.load(run.path).trials)


def keep_screenshot(page: Page, name: str) -> None:
    """Where the environment asks for pictures of the page."""
    if folder := os.environ.get("BSD_STUDY_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def ground(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_it_opens_from_disk_without_a_network_or_an_error(opened: Opened, run: RunFolder) -> None:
    assert run.page.stat().st_size < 8 * 2**20
    assert opened.wrong == []
    headings = opened.page.locator("main h2").all_inner_texts()
    assert headings == [section.title for section in SECTIONS]
    assert opened.page.locator(".chart").count() >= 12
    assert opened.page.locator(".modebar-btn").count() > 0
    assert opened.page.locator(".modebar-btn[data-title*='Share']").count() == 0  # Plotly would offer to upload the chart
    assert opened.page.locator(".chart .main-svg").count() >= opened.page.locator(".chart").count()
    importance, failures = opened.page.locator(".missing").all_inner_texts()  # two trials an arm say nothing of importance
    assert importance.startswith("Importance needs at least 4 finished trials in an arm")
    assert failures == f"None of {n_trainings(run)} trainings failed."
    keep_screenshot(opened.page, "wide")


def test_the_files_beside_it_are_those_that_its_sections_can_have(run: RunFolder) -> None:
    """By these names a later report removes what it no longer has."""
    beside = {path.stem for path in (run.page.parent / "data").iterdir()}
    assert beside == {key for section in SECTIONS for key in section.table_keys} - {"importance", "failures"}  # which have none here


def test_text_of_a_study_is_text(opened: Opened) -> None:
    assert opened.page.locator("h1").inner_text() == HOSTILE
    assert opened.page.title() != "taken"
    assert opened.page.locator("img").count() == 0


def test_the_answer_comes_first(opened: Opened) -> None:
    sentences = opened.page.locator("#answer .answer").all_inner_texts()
    assert len(sentences) == 2
    assert all(sentence.endswith(".") for sentence in sentences)


def test_a_condition_is_switched_for_all_charts(opened: Opened) -> None:
    page = opened.page
    before = page.locator("#chart-front").evaluate("chart => JSON.stringify(chart.data)")
    assert page.locator(".variant").first.inner_text() == "condition none"
    page.get_by_label("symmetric_40").check()
    drawn(page)
    assert page.locator('[data-for="front"]').inner_text() == "condition symmetric_40"
    assert page.locator("#chart-front").evaluate("chart => JSON.stringify(chart.data)") != before
    assert opened.wrong == []


def test_a_point_tells_its_settings_and_a_click_copies_how_to_train_it_again(opened: Opened, run: RunFolder) -> None:
    page = opened.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    point = page.locator("#chart-front .scatterlayer .trace .points path").last
    box = point.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = page.locator("#chart-front .hoverlayer .hovertext")
    hover.first.wait_for(timeout=10_000)
    assert "learning_rate" in str(hover.first.text_content())
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("html[data-copied]")
    copied = str(page.evaluate("document.documentElement.dataset.copied"))
    assert re.search(rf"-m studies retrain \S*{run.run_id} \S+$", copied)
    assert page.locator("#said").inner_text() == f"Copied: {copied}"


def test_tables_are_sorted_by_value_from_the_keyboard(opened: Opened) -> None:
    page = opened.page
    header = page.locator("#table-conditions thead th.number", has_text="accuracy").first
    column = header.evaluate("cell => [...cell.parentNode.children].indexOf(cell)")

    def values() -> list[float]:
        cells = page.locator(f"#table-conditions tbody tr td:nth-child({column + 1})")
        return [float(value) for value in cells.evaluate_all("cells => cells.map(cell => cell.dataset.order)") if value != ""]

    button = header.locator("button")
    button.focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    ascending = values()
    assert ascending == sorted(ascending)
    assert len(set(ascending)) > 1
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert values() == ascending[::-1] == sorted(ascending, reverse=True)


def test_everything_can_be_reached_by_the_keyboard(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reachable = "a[href], button, input, summary, [tabindex='0']"
    assert page.locator(f"main :is({reachable})").count() > 20
    assert page.locator(":is(a[href], button, input, summary)[tabindex='-1']").count() == 0


def test_every_chart_has_its_numbers_as_a_table_and_as_files(opened: Opened, run: RunFolder) -> None:
    page = opened.page
    sections = page.locator("main section:has(.chart)")
    assert sections.count() >= 8
    for index in range(sections.count()):
        assert sections.nth(index).locator("table tbody tr").count() > 0, sections.nth(index).get_attribute("id")
    for link in page.locator(".links a").all():
        target = str(link.get_attribute("href"))
        if not target.startswith("data:text/csv;base64,"):
            content = (run.page.parent / target).read_bytes()
            assert content[:4] == b"PAR1" if target.endswith(".parquet") else content.decode().count("\n") > 20, target
    names = {path.stem for path in (run.page.parent / "data").glob("*.parquet")}
    assert names == {str(table.get_attribute("id")).removeprefix("table-") for table in page.locator("table").all()}


def test_dark_and_light_follow_the_reader_and_the_button(run: RunFolder, browser: Browser) -> None:
    context = browser.new_context(viewport=WIDE, color_scheme="dark")
    opened = open_page(context, run.page)
    dark = ground(opened.page)
    ink = "document.querySelector('#chart-front .xtitle').style.fill"
    assert dark == "rgb(21, 23, 27)"
    assert opened.page.evaluate(ink) == "rgb(232, 234, 237)"
    keep_screenshot(opened.page, "dark")
    opened.page.get_by_role("button", name="Light").click()
    drawn(opened.page)
    assert ground(opened.page) == "rgb(255, 255, 255)"
    assert opened.page.evaluate(ink) == "rgb(27, 29, 33)"
    assert opened.wrong == []
    context.close()


def test_it_fits_a_phone(run: RunFolder, browser: Browser) -> None:
    context = browser.new_context(viewport=NARROW, is_mobile=True, has_touch=True, device_scale_factor=2)
    opened = open_page(context, run.page)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    widths = opened.page.locator(".chart").evaluate_all("charts => charts.map(chart => chart.getBoundingClientRect().width)")
    assert max(widths) <= NARROW["width"]
    keep_screenshot(opened.page, "phone")
    assert opened.wrong == []
    context.close()


def test_it_prints_on_light_paper_with_its_tables_unfolded(run: RunFolder, browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(viewport=WIDE, color_scheme="dark")
    opened = open_page(context, run.page)
    file = tmp_path / "page.pdf"
    opened.page.pdf(path=file)
    assert file.read_bytes().startswith(b"%PDF")
    opened.page.emulate_media(media="print")
    assert opened.page.locator("nav").is_hidden()
    assert ground(opened.page) == "rgb(255, 255, 255)"
    context.close()


def test_a_run_that_was_only_begun_has_a_page_that_says_so(run: RunFolder, browser: Browser, tmp_path: Path) -> None:
    begun = RunFolder("mine", tmp_path / "mine" / run.run_id)
    begun.path.mkdir(parents=True)
    (begun.path / "study.yaml").write_bytes((run.path / "study.yaml").read_bytes())
    page = write_empty_page(begun)
    context = browser.new_context(viewport=WIDE)
    opened = open_page(context, page)
    assert opened.wrong == []
    assert "No training has ended" in opened.page.locator("#answer").inner_text()
    assert opened.page.locator(".missing").count() > 10
    context.close()


LITTLE: dict[str, dict[str, object]] = {
    "one": {"trials": 1, "methods": ["bsd"], "conditions": ["none"]},
    "failed": {"fixed": {"shared": {"learning_rate": 1e9}}},
}


@pytest.mark.parametrize("changes", LITTLE.values(), ids=LITTLE)
def test_one_point_or_failures_alone_give_a_page(changes: dict[str, object], browser: Browser, tmp_path: Path) -> None:
    small = play_run(tmp_path, **{"confirm": "none", "train_images": 100, **changes})
    make_report(small)
    context = browser.new_context(viewport=WIDE)
    opened = open_page(context, small.page)
    assert opened.wrong == []
    answer = opened.page.locator("#answer").inner_text()
    assert ("nothing was confirmed" in answer.lower()) is ("trials" in changes)
    assert ("All 4 trainings failed" in answer) is ("fixed" in changes)
    n_failed = sum(row["state"] == "failed" for row in make_report(small)[0].trials.to_pylist())
    assert opened.page.locator("#table-failures tbody tr").count() == n_failed
    context.close()


def test_numbers_on_the_page_are_those_of_the_tables(run: RunFolder, opened: Opened) -> None:
    document = json.loads(run.statistics.read_bytes())
    best = next(point for point in document["confirmed"] if "best_accuracy" in point["roles"])
    mean = best["metrics"]["test_accuracy"]["mean"]
    cells = opened.page.locator("#table-conditions tbody tr", has_text=best["method"]).first.inner_text()
    assert f"{100 * mean:.1f}" in cells
