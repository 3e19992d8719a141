"""Where a comment can stand: by git's own hunks, by the forge's rule, and where it goes if it cannot."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.forge.diff import anchors as forge_anchors
from handlers.review.anchors import Anchored, OutOfDiff, anchor, is_commentable
from handlers.review.diff import by_path, parse_diff
from harness.findings import Side
from tests.handlers.review.changes import Change, Repository, changes, text

DICE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIDES: tuple[Side, ...] = ("LEFT", "RIGHT")
MOST = 50


def hunks_by_git(diff: bytes) -> list[dict[Side, range]]:
    """Lines at most three lines from a change, joined where they touch: from a diff without context."""
    joined: list[dict[Side, range]] = []
    for head in re.finditer(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", diff, re.MULTILINE):
        old, new = (
            (int(head[at]) + (head[at + 1] == b"0"), 1 if head[at + 1] is None else int(head[at + 1]))
            for at in (1, 3)
        )
        around: dict[Side, range] = {
            "LEFT": range(max(old[0] - 3, 1), old[0] + old[1] + 3),
            "RIGHT": range(max(new[0] - 3, 1), new[0] + new[1] + 3),
        }
        if (
            joined
            and around["RIGHT"].start <= joined[-1]["RIGHT"].stop
            and around["LEFT"].start <= joined[-1]["LEFT"].stop
        ):
            joined[-1] = {side: range(joined[-1][side].start, around[side].stop) for side in SIDES}
        else:
            joined.append(around)
    return joined


def line_count(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


@DICE
@given(change=changes())
def test_the_rule_is_that_of_git_and_of_the_forge(repository: Repository, change: Change) -> None:
    """Every line and every range of every changed file, on both sides, and some that are not there."""
    whole = repository.diff(change).decode()
    bare = repository.diff(change, "--unified=0")
    files = parse_diff(whole)
    patches = re.split(r"^diff --git ", whole, flags=re.MULTILINE)[1:]
    parts = re.split(rb"^diff --git ", bare, flags=re.MULTILINE)[1:]

    for file, patch, part in zip(files, patches, parts, strict=True):
        by_git = hunks_by_git(part)
        begin = re.search(r"^@@ ", patch, re.MULTILINE)
        by_forge = forge_anchors(patch[begin.start() :].removesuffix("\n") if begin else None)
        counts: dict[Side, int] = {
            "LEFT": 0 if file.kind == "added" else line_count(change.old[file.old_path]),
            "RIGHT": 0 if file.kind == "deleted" else line_count(change.new[file.path]),
        }
        for side in SIDES:
            for line in range(MOST):
                hunk = next((each for each in by_git if line in each[side] and line <= counts[side]), None)
                assert is_commentable(file, side=side, line=line) == (hunk is not None), (file, side, line)
                assert ((side, line) in by_forge) == (hunk is not None)
                for start in (line - 9, line - 4, line - 1, line, line + 1):
                    is_range = hunk is not None and start in hunk[side] and start < line
                    assert is_commentable(file, side=side, line=line, start_line=start) == is_range


@DICE
@given(change=changes(), start=st.integers(1, MOST), length=st.integers(0, 12), side=st.sampled_from(SIDES))
def test_wherever_a_comment_is_moved_it_is_taken(
    repository: Repository, change: Change, start: int, length: int, side: Side
) -> None:
    for file in parse_diff(repository.diff(change)):
        placed = anchor(file, side=side, start_line=start, end_line=start + length)

        if isinstance(placed, Anchored):
            assert is_commentable(file, side=side, line=placed.line, start_line=placed.start_line)
            asked = (start, start + length)
            assert placed.is_exact == ((placed.first_line, placed.line) == asked)
        elif placed.nearest is not None:
            assert is_commentable(file, side=side, line=placed.nearest)
            assert not is_commentable(file, side=side, line=start + length) or length


LINES = [f"line {number}" for number in range(1, 61)]
EDITED = [*LINES[:9], "ten", *LINES[10:29], *LINES[30:49], "fifty", *LINES[50:]]
"""Lines 10 and 50 are changed, 30 is gone: hunks 7 to 13, 27 to 32, 46 to 52 of the new file."""


@pytest.mark.parametrize(
    ("start", "end", "side", "expected"),
    [
        (10, 10, "RIGHT", Anchored(path="f", side="RIGHT", line=10)),
        (7, 13, "RIGHT", Anchored(path="f", side="RIGHT", line=13, start_line=7)),
        (30, 30, "LEFT", Anchored(path="f", side="LEFT", line=30)),
        (1, 9, "RIGHT", Anchored(path="f", side="RIGHT", line=9, start_line=7, is_exact=False)),
        (13, 25, "RIGHT", Anchored(path="f", side="RIGHT", line=13, is_exact=False)),
        (16, 16, "RIGHT", Anchored(path="f", side="RIGHT", line=13, is_exact=False)),
        (12, 29, "RIGHT", Anchored(path="f", side="RIGHT", line=29, start_line=27, is_exact=False)),
        (20, 20, "RIGHT", OutOfDiff("the line is not in the diff", 13)),
        (60, 60, "RIGHT", OutOfDiff("the line is not in the diff", 52)),
    ],
)
def test_a_place_beside_the_diff_is_shown_near_or_not_at_all(
    repository: Repository, start: int, end: int, side: Side, expected: Anchored | OutOfDiff
) -> None:
    (file,) = parse_diff(repository.diff(Change({"f": text(*LINES)}, {"f": text(*EDITED)})))

    assert anchor(file, side=side, start_line=start, end_line=end) == expected


def test_files_that_take_no_comment_on_a_line(repository: Repository) -> None:
    """Not touched, binary, only renamed, or larger than GitHub shows."""
    long = text(*(f"line {number}" for number in range(30_000)))
    change = Change({"b": b"\0one", "r": b"same\n"}, {"b": b"\0two", "new": b"same\n", "long": long})
    files = by_path(parse_diff(repository.diff(change)))

    def reason(path: str) -> str:
        placed = anchor(files.get(path), side="RIGHT", start_line=1, end_line=1)
        assert isinstance(placed, OutOfDiff)
        return placed.reason

    assert reason("elsewhere") == "this change does not touch the file"
    assert reason("b") == "the file is binary"
    assert reason("new") == "the diff shows no line of the file"
    assert reason("long") == "GitHub does not show a diff as large as this file's"
    left = anchor(files["long"], side="LEFT", start_line=1, end_line=1)
    assert isinstance(left, OutOfDiff)
