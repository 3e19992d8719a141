"""What a turn's history begins with: the turns before it, read back to a bound, however many there are."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, literal_column, or_, select

from app.store.schema import items, turns
from harness.compaction import outline
from harness.events import told
from harness.items import Compaction, ItemAdapter, Life, OutcomeAdapter, UserMessage
from harness.protocols import Entry

MOST_ENTRIES: Final = 400
"""Of earlier turns, read whole; the newest turn is read whole in any case."""
MOST_OUTLINED: Final = 100
"""Turns that are told in a line each; of those before them only the number."""
SHOWN_REQUEST: Final = 200
SHOWN_ENDING: Final = 300
_AT_ONCE: Final = 500
"""Turns in one query: databases bound the number of parameters."""


def entry_of(row: Row[Any]) -> Entry:
    """A row of `items`."""
    fields = row._mapping  # noqa: SLF001 - SQLAlchemy's documented, if underscored, accessor
    return Entry(fields["seq"], Life(fields["life"]), ItemAdapter.validate_json(fields["body"]))


def earlier_entries(connection: Connection, line: Sequence[str]) -> list[Entry]:
    """The end of the history that the turns of `line` (oldest first) make; see `Journal.earlier`."""
    if not line:
        return []
    compacted = _last_compaction(connection, line)
    place, seq = compacted or (0, 0)
    first = _first_read(connection, line, place, seq)
    query = (
        select(items)
        .join(turns, turns.c.id == items.c.turn)
        .where(items.c.turn.in_(line[first:]), or_(items.c.turn != line[place], items.c.seq >= seq))
        .order_by(turns.c.seq, items.c.seq)
    )
    entries = [entry_of(row) for row in connection.execute(query)]
    if first == place:
        return entries
    before = _compaction_at(connection, line[place], seq) if compacted is not None else None
    unread = line[place:first]
    lines = _lines(connection, unread[-MOST_OUTLINED:])
    return [Entry(-1, Life.COMPLETED, outline(lines, turns=len(unread), before=before)), *entries]


def _last_compaction(connection: Connection, line: Sequence[str]) -> tuple[int, int] | None:
    """Where in the line its turn stands, and its place in that turn's journal."""
    for end in range(len(line), 0, -_AT_ONCE):
        start = max(0, end - _AT_ONCE)
        query = (
            select(items.c.turn, func.max(items.c.seq).label("seq"))
            # In words: the index is for these rows only, and a parameter would hide that from the planner.
            .where(items.c.type == literal_column("'compaction'"), items.c.turn.in_(line[start:end]))
            .group_by(items.c.turn)
        )
        found = {row.turn: row.seq for row in connection.execute(query)}
        for place in reversed(range(start, end)):
            if line[place] in found:
                return place, found[line[place]]
    return None


def _compaction_at(connection: Connection, turn: str, seq: int) -> Compaction | None:
    row = connection.execute(select(items).where(items.c.turn == turn, items.c.seq == seq)).one()
    item = entry_of(row).item
    return item if isinstance(item, Compaction) else None


def _first_read(connection: Connection, line: Sequence[str], place: int, seq: int) -> int:
    """The oldest turn, not before `place`, from which on all is read."""
    oldest = max(place, len(line) - MOST_ENTRIES)
    query = (
        select(items.c.turn, func.count().label("entries"))
        .where(items.c.turn.in_(line[oldest:]), or_(items.c.turn != line[place], items.c.seq >= seq))
        .group_by(items.c.turn)
    )
    counts = {row.turn: row.entries for row in connection.execute(query)}
    first, total = len(line), 0
    for at in reversed(range(oldest, len(line))):
        total += counts.get(line[at], 0)
        if total > MOST_ENTRIES and first < len(line):
            break
        first = at
    return first


def _lines(connection: Connection, of: Sequence[str]) -> list[str]:
    """What was asked in each of these turns, and how it ended."""
    query = select(turns.c.id, turns.c.start, turns.c.outcome).where(turns.c.id.in_(of)).order_by(turns.c.seq)
    rows = connection.execute(query).all()
    opening = _openings(connection, [row.id for row in rows if not _asked_in(row.start)])
    lines = []
    for row in rows:
        asked = _line(_asked_in(row.start), SHOWN_REQUEST) or opening.get(row.id, "")
        outcome = OutcomeAdapter.validate_json(row.outcome) if row.outcome else None
        ended = f"{outcome.status}: {_line(told(outcome), SHOWN_ENDING)}" if outcome else "no end is known"
        lines.append(f"turn {row.id}: asked: {asked or '(not kept)'} / {ended}")
    return lines


def _asked_in(start: str) -> str:
    """The request's own words; a local turn has them in its journal only."""
    fields = json.loads(start)
    asked = fields.get("request") if isinstance(fields, Mapping) else None
    return asked if isinstance(asked, str) else ""


def _openings(connection: Connection, of: Sequence[str]) -> dict[str, str]:
    """The ends of first messages: there the request stands."""
    query = select(items).where(items.c.turn.in_(of), items.c.seq == 0)
    openings: dict[str, str] = {}
    for row in connection.execute(query):
        item = entry_of(row).item
        if isinstance(item, UserMessage):
            openings[row.turn] = _line(item.text[-SHOWN_REQUEST:], SHOWN_REQUEST)
    return openings


def _line(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
