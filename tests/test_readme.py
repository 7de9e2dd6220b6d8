"""README and docs say what is: their commands exist, their study is valid, their method trains, their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from studies.columns import columns_page
from studies.study_file import check_spec
from studies.yaml_strict import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """Code blocks of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_first_screen_has_the_picture_and_the_two_commands() -> None:
    first = "\n".join(README.splitlines()[:24])
    assert "](docs/front.png)" in first
    assert first.index("make study STUDY=label_noise") < first.index("make test")


def test_the_study_is_complete_and_valid() -> None:
    (study,) = blocks("yaml")
    spec = check_spec(parse_yaml(study, where="README"), where="README")
    assert spec.question.endswith("?")


def test_every_command_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    made = {name for text in texts for name in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, flags=re.MULTILINE)}
    assert len(made) > 15
    assert made <= targets
    usage = subprocess.run([sys.executable, "-m", "studies", "--help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    called = {name for text in texts for name in re.findall(r"python -m studies ([a-z][a-z-]*)", text)}
    (listed,) = re.findall(r"`python -m studies ([a-z| -]+)`", README)
    assert len(called) > 3
    for name in called | set(listed.split(" | ")):
        assert re.search(rf"^ +{name} ", usage, flags=re.MULTILINE), name


def test_help_names_every_target_and_fits_into_eighty_columns() -> None:
    text = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert max(map(len, text.splitlines())) <= 80
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE)) == targets - {"help"}


@pytest.mark.parametrize(("force", "given"), [("", False), ("0", False), ("no", False), ("1", True), ("yes", True)])
def test_an_export_is_replaced_where_force_says_so(force: str, given: bool) -> None:
    words = ["make", "--dry-run", "--assume-old=.venv/.ready", "export", "STUDY=quick", "OUT=out", f"FORCE={force}"]
    commands = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert '-m studies export "quick" --to "csv" --out "out" ' in commands
    assert (" --force " in commands) == given


@pytest.mark.parametrize("target", ["study", "describe"])
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", []),
        ("epochs=3 search_also={bsd:[warmup_epochs,evidence]}", ["epochs=3", "search_also={bsd:[warmup_epochs,evidence]}"]),
        ("'search_also={bsd:[warmup_epochs, evidence]}' epochs=3", ["search_also={bsd:[warmup_epochs, evidence]}", "epochs=3"]),
        ('question="Is it?"', ["question=Is it?"]),
        ("dataset=parquet:*.parquet;ls", ["dataset=parquet:*.parquet;ls"]),
    ],
)
def test_overrides_arrive_as_they_were_written_whatever_the_shell(given: str, words: list[str], target: str) -> None:
    """Of some shells, braces with a comma make several words."""
    make = ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/.ready", target, "STUDY=quick", f"SET={given}"]
    printed = subprocess.run(make, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()[-1]
    shown = printed.replace(".venv/bin/python -m studies", "printf '%s\\n'")
    for shell in filter(shutil.which, ("sh", "bash")):
        arguments = subprocess.run([shell, "-c", shown], capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
        assert arguments[2 : 2 + len(words)] == words
        assert arguments[2 + len(words) :] in ([], ["--results", "results"])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as hosts of Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_column_is_listed_as_it_is() -> None:
    assert (ROOT / "docs" / "columns.md").read_text(encoding="utf-8") == columns_page()


def test_the_walk_through_adds_a_method(tmp_path: Path) -> None:
    for package in ("bsd_core", "search_spaces", "studies", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    method, space = (block for block in blocks("python") if block.startswith("# bsd_core/methods/") or block.startswith("# search_spaces/"))
    for block in (method, space):
        name, _, code = block.partition("\n")
        (tmp_path / name.removeprefix("# ")).write_text(code, encoding="utf-8")
    assert len(method.splitlines()) < 40
    register(tmp_path / "bsd_core/methods/__init__.py", "from bsd_core.methods.poly import Poly\n", '    "poly": Poly,\n')
    register(tmp_path / "search_spaces/__init__.py", "from search_spaces import poly\n", '    "poly": _space("poly", poly),\n')
    trained = run(tmp_path, "-m", "bsd_core", "--dataset", "digits", "--method", "poly", "--epochs", "2", "--set", "epsilon=2")
    assert "accuracy" in trained
    assert "poly" in run(tmp_path, "-m", "studies", "describe", "label_noise", "methods=[cross_entropy,poly]")
    battery = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/bsd_core/methods/test_battery.py", "-k", "poly")
    assert re.search(r"\d+ passed", battery)
    assert "failed" not in battery


def register(registry: Path, imports: str, entry: str) -> None:
    text = registry.read_text(encoding="utf-8")
    head, brace, rest = text.partition("]] = {\n") if "]] = {\n" in text else text.partition("] = {\n")
    assert brace
    future = "from __future__ import annotations\n"
    registry.write_text(head.replace(future, future + imports) + brace + entry + rest, encoding="utf-8")


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
