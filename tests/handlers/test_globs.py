"""Patterns of paths: what people mean by them, and that no pattern takes long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.globs import is_among, matches, names


@pytest.mark.parametrize(
    ("path", "pattern", "is_meant"),
    [
        ("src/a.py", "*.py", True),
        ("src/a.py", "/*.py", False),
        ("a.py", "/*.py", True),
        ("src/a.py", "src", True),
        ("src/a.py", "src/", True),
        ("lib/src/a.py", "src", True),
        ("lib/src/a.py", "/src", False),
        ("src/a.py", "src/*", True),
        ("src/deep/a.py", "src/*.py", False),
        ("src/deep/a.py", "src/**/*.py", True),
        ("src/a.py", "src/**/*.py", True),
        ("src/gen/deep/a.py", "src/*/deep", True),
        ("docs/a.md", "**", True),
        ("docs/a.md", "**/docs/**", True),
        ("docs", "docs/**", True),
        ("Docs/a.md", "docs", False),
        ("package-lock.json", "*lock*", True),
    ],
)
def test_a_pattern_means_what_it_looks_like(path: str, pattern: str, is_meant: bool) -> None:
    assert matches(path, pattern) is is_meant


@pytest.mark.parametrize(
    ("path", "pattern", "is_meant"),
    [
        ("src/a.py", "*.py", True),
        ("src/a.py", "/*.py", False),
        ("src/a.py", "src", False),
        ("src/a.py", "src/", False),
        ("src", "src/", False),
        ("src/a.py", "src/*", True),
        ("src/deep/a.py", "src/*", False),
        ("src/deep/a.py", "src/**", True),
        ("src", "src/**", False),
        ("src/deep/a.py", "**/deep/*.py", True),
        ("src/a.py", "src/**/*.py", True),
        ("src/a.py", "**", True),
        ("src/a.py", "/**", True),
        ("src/a.py", "/src/[ab].py", True),
    ],
)
def test_a_name_is_not_what_lies_below_it(path: str, pattern: str, is_meant: bool) -> None:
    """As git holds the patterns of a `.gitattributes`."""
    assert names(path, pattern) is is_meant


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=6))
def test_a_path_matches_itself_and_all_that_lies_above(parts: list[str]) -> None:
    path = "/".join(parts)

    assert all(matches(path, "/" + "/".join(parts[: count + 1])) for count in range(len(parts)))
    assert is_among(path, ("nothing", "**"))


def test_a_hostile_pattern_costs_nothing() -> None:
    """One that tried all ways would still be at it next year."""
    path, pattern = "/".join("a" * 400), "/".join(["**", "a"] * 100) + "/b"

    assert not matches(path, pattern)
    assert not names(f"{path}/b", f"{pattern}/b")
