"""One file's patch as rows for a page, each with its line numbers on both sides; it renders no HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from demo.forge.pages.timeline import Thread
from demo.forge.state import Annotation, ReviewComment

_HEADER: Final = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
Kind = Literal["hunk", "added", "removed", "context", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the patch. `threads` hang below it, oldest first, and so do the `notes` of check runs."""

    kind: Kind
    old: int | None = None
    new: int | None = None
    text: str
    threads: tuple[Thread, ...] = ()
    notes: tuple[Annotation, ...] = ()


EXCERPT: Final = 4


def excerpt(said: ReviewComment) -> list[Row]:
    """The last rows of what a comment is about; all that it names, if these are more."""
    first, last = said.original_start_line, said.original_line
    named = last - first + 1 if first is not None and last is not None else 1
    return [row for row in rows(said.diff_hunk) if row.kind != "hunk"][-max(EXCERPT, named) :]


def rows(patch: str | None, *, threads: Iterable[Thread] = (), notes: Iterable[Annotation] = ()) -> list[Row]:
    """The rows of a patch; a thread whose line is no longer in it is left out."""
    hanging: dict[tuple[str, int], list[Thread]] = {}
    for thread in threads:
        if thread.first.line is not None:
            hanging.setdefault((thread.first.side, thread.first.line), []).append(thread)
    told: dict[int, list[Annotation]] = {}
    for note in notes:
        told.setdefault(note.end_line, []).append(note)
    found: list[Row] = []
    old = new = 0
    for line in (patch or "").rstrip("\n").split("\n") if patch else []:
        if header := _HEADER.match(line):
            old, new = int(header[1]), int(header[2])
            found.append(Row(kind="hunk", text=line))
        elif line.startswith("+"):
            below = tuple(hanging.get(("RIGHT", new), ()))
            about = tuple(told.get(new, ()))
            found.append(Row(kind="added", new=new, text=line[1:], threads=below, notes=about))
            new += 1
        elif line.startswith("-"):
            below = tuple(hanging.get(("LEFT", old), ()))
            found.append(Row(kind="removed", old=old, text=line[1:], threads=below))
            old += 1
        elif line.startswith("\\"):
            found.append(Row(kind="note", text=line[2:]))
        else:
            below = (*hanging.get(("RIGHT", new), ()), *hanging.get(("LEFT", old), ()))
            about = tuple(told.get(new, ()))
            found.append(Row(kind="context", old=old, new=new, text=line[1:], threads=below, notes=about))
            old, new = old + 1, new + 1
    return found
