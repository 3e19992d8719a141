"""One file's patch as rows for a page, each with its line numbers on both sides; it renders no HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from demo.forge.pages.timeline import Thread

_HEADER: Final = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
Kind = Literal["hunk", "added", "removed", "context", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the patch. `threads` are the review threads that hang below it, oldest first."""

    kind: Kind
    old: int | None = None
    new: int | None = None
    text: str
    threads: tuple[Thread, ...] = ()


def rows(patch: str | None, *, threads: Iterable[Thread] = ()) -> list[Row]:
    """The rows of a patch; a thread whose line is no longer in it is left out."""
    hanging: dict[tuple[str, int], list[Thread]] = {}
    for thread in threads:
        if thread.first.line is not None:
            hanging.setdefault((thread.first.side, thread.first.line), []).append(thread)
    found: list[Row] = []
    old = new = 0
    for line in (patch or "").rstrip("\n").split("\n") if patch else []:
        if header := _HEADER.match(line):
            old, new = int(header[1]), int(header[2])
            found.append(Row(kind="hunk", text=line))
        elif line.startswith("+"):
            below = tuple(hanging.get(("RIGHT", new), ()))
            found.append(Row(kind="added", new=new, text=line[1:], threads=below))
            new += 1
        elif line.startswith("-"):
            below = tuple(hanging.get(("LEFT", old), ()))
            found.append(Row(kind="removed", old=old, text=line[1:], threads=below))
            old += 1
        elif line.startswith("\\"):
            found.append(Row(kind="note", text=line[2:]))
        else:
            below = (*hanging.get(("RIGHT", new), ()), *hanging.get(("LEFT", old), ()))
            found.append(Row(kind="context", old=old, new=new, text=line[1:], threads=below))
            old, new = old + 1, new + 1
    return found
