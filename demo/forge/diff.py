"""Where the lines of a patch are, counted as GitHub counts them; it reads text and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass

from demo.forge.state import Side

_HEADER = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A line that a comment can be put on.

    `position` counts lines below the patch's first hunk header, later headers included:
    https://docs.github.com/en/rest/pulls/comments#create-a-review-comment-for-a-pull-request
    """

    position: int
    hunk: int
    diff_hunk: str


def anchors(patch: str | None) -> dict[tuple[Side, int], Anchor]:
    """Each commentable line of one file's patch: added and context lines right, removed and context left."""
    found: dict[tuple[Side, int], Anchor] = {}
    old = new = hunk = 0
    lines: list[str] = []
    for position, line in enumerate((patch or "").split("\n")):
        header = _HEADER.match(line)
        if header:
            old, new, hunk, lines = int(header[1]), int(header[2]), hunk + 1, [line]
            continue
        if not hunk:
            continue
        lines.append(line)
        here = Anchor(position=position, hunk=hunk, diff_hunk="\n".join(lines))
        match line[:1]:
            case "+":
                found["RIGHT", new] = here
                new += 1
            case "-":
                found["LEFT", old] = here
                old += 1
            case " " | "":
                found["RIGHT", new] = found["LEFT", old] = here
                old, new = old + 1, new + 1
            case _:
                pass
    return found


def line_at(patch: str | None, position: int) -> tuple[Side, int] | None:
    """The line that a legacy position names; the right side for context lines."""
    here = [key for key, anchor in anchors(patch).items() if anchor.position == position]
    return max(here, key=lambda key: key[0] == "RIGHT", default=None)


def moved(patch: str | None, line: int) -> int | None:
    """Where an old line is after the patch; None if the patch removed it."""
    shift = 0
    for old_start, old_count, new_count, body in _hunks(patch):
        if line < old_start:
            break
        if line < old_start + old_count:
            return _moved_within(body, line, old_start=old_start, new_start=old_start + shift)
        shift += new_count - old_count
    return line + shift


def _hunks(patch: str | None) -> list[tuple[int, int, int, list[str]]]:
    """Old start, old count, new count and lines of each hunk."""
    hunks: list[tuple[int, int, int, list[str]]] = []
    for chunk in re.split(r"^(?=@@ )", patch or "", flags=re.MULTILINE):
        header = re.match(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@", chunk)
        if header:
            counts = [1 if header[group] is None else int(header[group]) for group in (2, 3)]
            # An empty old side names the line before the insertion.
            start = int(header[1]) + (counts[0] == 0)
            hunks.append((start, counts[0], counts[1], chunk.split("\n")[1:]))
    return hunks


def _moved_within(body: list[str], line: int, *, old_start: int, new_start: int) -> int | None:
    old, new = old_start, new_start
    for text in body:
        match text[:1]:
            case "+":
                new += 1
            case "-":
                if old == line:
                    return None
                old += 1
            case " " | "":
                if old == line:
                    return new
                old, new = old + 1, new + 1
            case _:
                pass
    return None
