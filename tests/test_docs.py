"""The pages for people name files, tests and pages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
FILE = re.compile(r"`((?:app|handlers|harness|sandbox|demo|tests|docs|bench)/[\w./-]*[\w/])")
TEST = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """No link, path or test on a page leads nowhere."""
    text = page.read_text(encoding="utf-8")
    links = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    files = [path for path in FILE.findall(text) if not (ROOT / path).exists()]

    assert (links, files, sorted(set(TEST.findall(text)) - known_tests())) == ([], [], [])


def known_tests() -> set[str]:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return set(re.findall(r"^\s*(?:async )?def (test_\w+)", sources, re.MULTILINE))
