"""What the pages say is there: the tests they name, the settings, the links."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.settings import Settings, load_settings
from handlers.budgets import Amounts
from handlers.config import parse_config
from handlers.review.settings import ReviewMode, ReviewSettings, WrittenReview

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)")
SECTION = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)#([^)\s]+)\)")
FILE = re.compile(r"`((?:app|handlers|harness|sandbox|demo|tests|docs|bench)/[\w./-]*[\w/])")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    """Each row of a table of promises names its tests, as `file::name`."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    # The table of attacks is held as a whole.
    told = re.sub(r"<!-- containment:begin -->.*<!-- containment:end -->", "", page, flags=re.DOTALL)
    promises = [line for line in told.splitlines() if re.match(r"\| (?!promise |---)", line)]

    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in names_in(ROOT / file)
    ]

    assert missing == []
    assert [line for line in promises if "::" not in line.rstrip("| ").rpartition("|")[2]] == []
    assert len(promises) >= 25


def environment_names() -> set[str]:
    return {
        name.upper() if name.startswith("openai") else f"DARNER_{name.upper()}"
        for name in Settings.model_fields
    }


def test_every_setting_is_described_and_every_described_setting_exists() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| (`(?:DARNER|OPENAI)_[^|]*)\|", page, re.MULTILINE)

    assert {name for cell in described for name in re.findall(r"`(\w+)`", cell)} == environment_names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_setting_that_is_not_there(page: Path) -> None:
    named = set(re.findall(r"\b(?:DARNER|OPENAI)_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))

    assert named <= environment_names()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    """No link and no path on a page leads nowhere."""
    text = page.read_text(encoding="utf-8")
    links = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    files = [path for path in FILE.findall(text) if not (ROOT / path).exists()]

    assert (links, files) == ([], [])


def sections(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_section_that_a_page_links_to_is_there(page: Path) -> None:
    links = SECTION.findall(page.read_text(encoding="utf-8"))

    lost = [(to, name) for to, name in links if name not in sections(page.parent / to if to else page)]

    assert lost == []


def test_the_budgets_in_the_manual_can_be_used_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example loads, prices the models that it names, and narrows where it says so."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    example = page.partition("## Budgets and prices")[2].partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "darner.toml").write_text(f'model = "gpt-5-mini"\n{example}')
    monkeypatch.chdir(tmp_path)

    ceiling = load_settings().ceiling

    assert ceiling.currency == "USD"
    assert ceiling.budgets_of("other/site").turn == Amounts(micros=2_500_000)
    assert ceiling.budgets_of("other/site").actor == Amounts(micros=20_000_000, seconds=14_400.0)
    assert ceiling.budgets_of("acme/site").actor.micros == 5_000_000
    assert ceiling.budgets_of("beta/site").repository == Amounts(tokens=5_000_000, micros=50_000_000)


def test_the_settings_of_reviews_in_the_manual_can_be_used_as_they_stand() -> None:
    """Every example of the page loads; the long one names every setting, at its default where it says so."""
    page = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    short, long = (parse_config(example).review for example in examples)

    assert short == replace(ReviewSettings(), mode=ReviewMode.AUTO)
    plain = ReviewSettings()
    assert (long.most_files, long.most_lines, long.limits) == (
        plain.most_files,
        plain.most_lines,
        plain.limits,
    )
    assert (long.blocking, long.at_most("scripts/run.py")) == ("P0", "P2")
    assert long.rules_for(["src/billing/tax.py"])[0].say.startswith("Amounts are whole cents.")
    named = set(re.findall(r"^ {2}(\w+):", examples[1], re.MULTILINE))
    assert named == set(WrittenReview.model_fields)
