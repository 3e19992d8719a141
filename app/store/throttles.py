"""What the whole deployment shares of a limit: when the next write may go, and until when nothing may.

One row a limit (`github/INSTALLATION`, `model/HOST`); whoever changes it holds it until the transaction is
over, so that two processes never take the same place.
"""

import math
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from app.store.database import insert_new
from app.store.schema import effects, grants, threads, throttles

WINDOWS: Final = ((60.0, 80), (3600.0, 500))
"""Content-creating writes that GitHub takes at most within so many seconds.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
"""
SHORTEST_UNNAMED: Final = 60.0
"""Seconds to hold back when the forge limits and names no time; doubled each time that it limits again."""
LONGEST_UNNAMED: Final = 3600.0
LONGEST_TOLD: Final = 24 * 3600.0
"""Of a wait that the other side names: nobody can take back one for ever, that a wrong clock has made."""
FORGIVEN_AFTER: Final = 600.0
"""Seconds after a block, after which the next one is the first again."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """One shared limit. Times in seconds since the epoch; 0: never."""

    name: str
    next_at: float = 0.0
    """The next write, not before."""
    blocked_until: float = 0.0
    """No write before."""
    closed_until: float = 0.0
    """No request at all before."""
    strikes: int = 0
    """Blocks in a row."""
    remaining: int | None = None
    budget: int | None = None
    resets_at: float | None = None
    """Of the primary budget, when last told."""

    @property
    def writes_from(self) -> float:
        return max(self.blocked_until, self.closed_until)


def github(installation: int | None) -> str:
    """The limit that an installation's requests share; None: those of the personal token."""
    return f"github/{installation if installation is not None else 'token'}"


def find(connection: Connection, name: str) -> Throttle:
    row = connection.execute(select(*_COLUMNS).where(throttles.c.name == name)).one_or_none()
    return Throttle(*row) if row is not None else Throttle(name)


def blocked(connection: Connection, *, now: float) -> list[Throttle]:
    """The limits that hold somebody back now."""
    held = (throttles.c.blocked_until > now) | (throttles.c.closed_until > now)
    query = select(*_COLUMNS).where(held).order_by(throttles.c.name)
    return [Throttle(*row) for row in connection.execute(query)]


def block(
    connection: Connection, name: str, *, wait: float | None, is_all: bool = False, now: float
) -> float:
    """Hold back for `wait` seconds, or, where none are named, at least a minute and longer each time.

    Until when. What several requests hear at once is one block; a shorter one never ends a longer one.
    """
    held = _held(connection, name)
    strikes = held.strikes
    if held.writes_from <= now:
        strikes = strikes + 1 if now - held.writes_from < FORGIVEN_AFTER else 1
    if wait is None:
        wait = min(SHORTEST_UNNAMED * 2.0 ** min(strikes - 1, 10), LONGEST_UNNAMED)
    wait = min(wait, LONGEST_TOLD)
    until = max(held.blocked_until, now + wait)
    values: dict[str, float] = {"blocked_until": until, "strikes": strikes}
    if is_all:
        values["closed_until"] = max(held.closed_until, now + wait)
    connection.execute(update(throttles).where(throttles.c.name == name).values(**values))
    return until


def note_budget(connection: Connection, name: str, *, remaining: int, budget: int, resets_at: float) -> None:
    """What an answer told of the primary budget; with nothing left nothing is asked until the reset."""
    held = _held(connection, name)
    values: dict[str, float] = {"remaining": remaining, "budget": budget, "resets_at": resets_at}
    if remaining <= 0:
        values["closed_until"] = max(held.closed_until, resets_at)
    connection.execute(update(throttles).where(throttles.c.name == name).values(**values))


def book(
    connection: Connection,
    name: str,
    *,
    spacing: float,
    is_creating: bool,
    is_urgent: bool,
    installation: int | None,
    now: float,
) -> float:
    """A write's time: behind those booked before, `spacing` seconds apart; now, when nothing is in the way.

    An urgent one goes before whatever waits, and that waits so much longer.
    """
    held = _held(connection, name)
    free = max(now, held.writes_from)
    booked = max(free, held.next_at)
    at = booked
    if is_urgent and booked > free:
        # Those who wait stand `spacing` apart, back from the end: the first of them gives its place.
        at = booked - math.floor((booked - free) / spacing) * spacing
        _move_back(connection, name, installation, since=at, by=spacing)
    if is_creating:
        at = max(at, _room(connection, name, at))
        booked = max(booked, at)
        connection.execute(insert(grants).values(name=name, at=at))
        connection.execute(delete(grants).where(grants.c.name == name, grants.c.at < now - WINDOWS[-1][0]))
    connection.execute(update(throttles).where(throttles.c.name == name).values(next_at=booked + spacing))
    return at


def book_if_free(connection: Connection, name: str, *, spacing: float, now: float) -> bool:
    """Take the present moment for a write that is better dropped than late."""
    held = _held(connection, name)
    if max(held.writes_from, held.next_at) > now:
        return False
    connection.execute(update(throttles).where(throttles.c.name == name).values(next_at=now + spacing))
    return True


def _held(connection: Connection, name: str) -> Throttle:
    """The limit, kept from others until the transaction is over."""
    fresh = {"name": name, "next_at": 0.0, "blocked_until": 0.0, "closed_until": 0.0, "strikes": 0}
    connection.execute(insert_new(connection.dialect.name, throttles, "name"), fresh)
    query = select(*_COLUMNS).where(throttles.c.name == name).with_for_update()
    return Throttle(*connection.execute(query).one())


def _move_back(
    connection: Connection, name: str, installation: int | None, *, since: float, by: float
) -> None:
    """What waits for its time from `since` on waits `by` seconds longer."""
    ours = select(threads.c.id).where(
        threads.c.installation_id.is_(None)
        if installation is None
        else threads.c.installation_id == installation
    )
    waiting = (
        update(effects)
        .where(effects.c.state == "pending", effects.c.slot >= since, effects.c.thread.in_(ours))
        .values(slot=effects.c.slot + by, not_before=effects.c.slot + by)
    )
    connection.execute(waiting)
    moved = update(grants).where(grants.c.name == name, grants.c.at >= since).values(at=grants.c.at + by)
    connection.execute(moved)


def _room(connection: Connection, name: str, at: float) -> float:
    """The first moment from `at` on at which no window has its fill of content."""
    newest = select(grants.c.at).where(grants.c.name == name).order_by(grants.c.at.desc())
    for seconds, most in WINDOWS:
        nth = connection.execute(newest.offset(most - 1).limit(1)).scalar_one_or_none()
        if nth is not None:
            at = max(at, nth + seconds)
    return at


_COLUMNS: Final = (
    throttles.c.name,
    throttles.c.next_at,
    throttles.c.blocked_until,
    throttles.c.closed_until,
    throttles.c.strikes,
    throttles.c.remaining,
    throttles.c.budget,
    throttles.c.resets_at,
)
