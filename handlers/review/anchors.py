"""Which lines of a diff a comment can be put on, by GitHub's rule. Moves a place into the diff where it may.

A line must be in a hunk, context counts; a range must lie in one hunk with its first line above its last:
https://docs.github.com/en/rest/pulls/comments#create-a-review-comment-for-a-pull-request
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from handlers.review.diff import FileDiff, Hunk
from harness.findings import Side

LARGEST_DIFF_LINES: Final = 20_000
LARGEST_DIFF_BYTES: Final = 500_000
"""GitHub shows no more of one file's diff, and takes no comment where it shows none.
https://docs.github.com/en/repositories/creating-and-managing-repositories/repository-limits#diff-limits"""
NEAR: Final = 3
"""Lines that a place may be off and still be shown at the nearest line of the diff: git's context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """A place that GitHub takes. `start_line` is None for one line: equal lines are refused."""

    path: str
    side: Side
    line: int
    start_line: int | None = None
    is_exact: bool = True
    """False: the place that was asked for lies partly or wholly beside it."""

    @property
    def first_line(self) -> int:
        return self.line if self.start_line is None else self.start_line


@dataclass(frozen=True, slots=True)
class OutOfDiff:
    reason: str
    """In words that finish the sentence "it is not shown inline, for …"."""
    nearest: int | None = None
    """The nearest line of the same side that could be commented on."""


def is_commentable(file: FileDiff | None, *, side: Side, line: int, start_line: int | None = None) -> bool:
    """Whether GitHub takes a comment there: its rule to the letter, with nothing moved."""
    return isinstance(_exact(file, side=side, line=line, start_line=start_line), Anchored)


def anchor(file: FileDiff | None, *, side: Side, start_line: int, end_line: int) -> Anchored | OutOfDiff:
    """Where a comment on these lines goes.

    Exactly there if GitHub takes it; else on the part of them that lies in one hunk; else on the nearest line
    of the diff, if that is near. `file` is None for one that the change does not touch.
    """
    exact = _exact(file, side=side, line=end_line, start_line=None if start_line == end_line else start_line)
    if isinstance(exact, Anchored) or file is None or exact.nearest is None:
        return exact
    ranges = [*_ranges(file, side)]
    cuts = [(max(start_line, first), min(end_line, last)) for first, last in ranges]
    first, last = max(cuts, key=lambda cut: cut[1] - cut[0])
    if first > last:
        distance = min(abs(exact.nearest - start_line), abs(exact.nearest - end_line))
        if distance > NEAR:
            return exact
        first = last = exact.nearest
    return Anchored(
        path=file.path, side=side, line=last, start_line=None if first == last else first, is_exact=False
    )


def _exact(file: FileDiff | None, *, side: Side, line: int, start_line: int | None) -> Anchored | OutOfDiff:
    if file is None:
        return OutOfDiff("this change does not touch the file")
    if file.is_binary:
        return OutOfDiff("the file is binary")
    if not file.hunks:
        return OutOfDiff("the diff shows no line of the file")
    if file.diff_lines > LARGEST_DIFF_LINES or file.diff_bytes > LARGEST_DIFF_BYTES:
        return OutOfDiff("GitHub does not show a diff as large as this file's")
    ranges = [*_ranges(file, side)]
    if not ranges:
        which = "old" if side == "LEFT" else "new"
        return OutOfDiff(f"the diff has no line of the {which} side of the file")
    hunk = _range_of(ranges, line)
    if hunk is None:
        return OutOfDiff("the line is not in the diff", _nearest(ranges, line))
    if start_line is None:
        return Anchored(path=file.path, side=side, line=line)
    if start_line >= line:
        return OutOfDiff("the first line is not above the last one", line)
    if start_line < hunk[0]:
        return OutOfDiff("the lines are not all in one hunk of the diff", line)
    return Anchored(path=file.path, side=side, line=line, start_line=start_line)


def _ranges(file: FileDiff, side: Side) -> Iterator[tuple[int, int]]:
    """First and last commentable line of each hunk, ascending: every line of a hunk's side is one."""
    for hunk in file.hunks:
        start, count = _side_of(hunk, side)
        if count:
            yield start, start + count - 1


def _side_of(hunk: Hunk, side: Side) -> tuple[int, int]:
    return (hunk.old_start, hunk.old_lines) if side == "LEFT" else (hunk.new_start, hunk.new_lines)


def _range_of(ranges: list[tuple[int, int]], line: int) -> tuple[int, int] | None:
    at = bisect_left(ranges, line, key=lambda each: each[1])
    return ranges[at] if at < len(ranges) and ranges[at][0] <= line else None


def _nearest(ranges: list[tuple[int, int]], line: int) -> int:
    """The commentable line nearest to one that is not; the lower number where two are as near."""
    return min((edge for each in ranges for edge in each), key=lambda edge: (abs(edge - line), edge))
