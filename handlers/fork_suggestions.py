"""A turn's change to a fork's head as `suggestion` blocks on its pull request: the whole of it, or nothing.

What is proposed here has been applied once: all blocks together make exactly the files that the turn left.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handlers.review.anchors import Anchored, anchor
from handlers.review.diff import FileDiff, Hunk, numbered
from handlers.review.suggestions import NoSuggestion, applied, suggest_instead

MOST: Final = 5
"""Suggestions of one result: who has to press more buttons would rather apply a patch."""
LONGEST: Final = 10
"""Lines of one suggestion, and lines that it replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedSuggestion:
    """A block, and the lines of the head that it replaces."""

    path: str
    line: int
    start_line: int | None
    """None for one line."""
    block: str


@dataclass(frozen=True, slots=True)
class _Run:
    """Lines of the head that go, and what comes instead. With none that go, `first` is the line behind it."""

    first: int
    last: int
    wanted: tuple[str, ...]


def as_suggestions(
    changed: Sequence[FileDiff],
    shown: Mapping[str, FileDiff],
    *,
    old: Mapping[str, str],
    new: Mapping[str, str],
) -> tuple[ProposedSuggestion, ...]:
    """The change as suggestions; empty where any part of it cannot be one.

    `changed` is the turn's diff on the head, `shown` the pull request's own by path; `old` and `new` are the
    texts before and after the turn, of files that are UTF-8.
    """
    proposed: list[ProposedSuggestion] = []
    for file in changed:
        path = file.path
        is_edit = file.kind == "modified" and not file.is_binary and bool(file.hunks)
        if not is_edit or file.old_mode != file.new_mode or path not in old or path not in new:
            return ()
        placed = _placed(file, shown.get(path), old[path])
        if placed is None or len(proposed) + len(placed) > MOST:
            return ()
        if _with_all(old[path], placed) != new[path]:
            return ()
        proposed += [
            ProposedSuggestion(path=path, line=where.line, start_line=where.start_line, block=block)
            for where, block in placed
        ]
    return tuple(proposed)


def _placed(file: FileDiff, shown: FileDiff | None, text: str) -> list[tuple[Anchored, str]] | None:
    """Where each run of changed lines goes, and its block, ascending; None where one of them cannot."""
    placed: list[tuple[Anchored, str]] = []
    end = 0
    for run in (run for hunk in file.hunks for run in _runs(hunk)):
        found = next(filter(None, (_block(each, shown, text) for each in _ways(run, text))), None)
        if found is None or found[0].first_line <= end:
            return None
        end = found[0].line
        placed.append(found)
    return placed


def _block(run: _Run, shown: FileDiff | None, text: str) -> tuple[Anchored, str] | None:
    if max(run.last - run.first + 1, len(run.wanted)) > LONGEST:
        return None
    where = anchor(shown, side="RIGHT", start_line=run.first, end_line=run.last)
    if not isinstance(where, Anchored):
        return None
    suggestion = suggest_instead("".join(f"{line}\n" for line in run.wanted), where, text)
    return None if isinstance(suggestion, NoSuggestion) else (where, suggestion.block)


def _ways(run: _Run, text: str) -> Iterator[_Run]:
    """A suggestion replaces lines: one that only adds takes a neighbour along, whichever the diff shows."""
    if run.first <= run.last:
        yield run
        return
    lines = text.split("\n")
    above, below = run.first - 1, run.first
    if above >= 1:
        yield _Run(above, above, (lines[above - 1], *run.wanted))
    if below <= len(lines):
        yield _Run(below, below, (*run.wanted, lines[below - 1]))


def _runs(hunk: Hunk) -> Iterator[_Run]:
    """The runs of changed lines between the lines that stay."""
    following = hunk.old_start if hunk.old_lines else hunk.old_start + 1
    first, wanted, is_open = following, list[str](), False
    for before, after, text in numbered(hunk):
        if before is not None and after is not None:
            if is_open:
                yield _Run(first, following - 1, tuple(wanted))
            following = before + 1
            first, wanted, is_open = following, [], False
            continue
        is_open = True
        if after is None:
            following += 1
        else:
            wanted.append(text)
    if is_open:
        yield _Run(first, following - 1, tuple(wanted))


def _with_all(text: str, placed: Sequence[tuple[Anchored, str]]) -> str | None:
    """The file once every button was pressed: from its end, so that no line moves before its turn."""
    for where, block in reversed(placed):
        after = applied(text, where, block)
        if after is None:
            return None
        text = after
    return text
