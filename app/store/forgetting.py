"""Deletes what was said and done in a thread; who asked when, how it ended and what it cost stays.

So nothing is handled twice afterwards, and the bills still add up.
"""

import zlib
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, delete, select, update

from app.store import reviews
from app.store.schema import deliveries, effects, inbox, items, messages, requests, turns
from handlers.effects import EffectAdapter, StartTurn
from harness.items import (
    Completed,
    Declined,
    Exhausted,
    Outcome,
    OutcomeAdapter,
)

_NOTHING: Final = zlib.compress(b"{}", 1)


def forget(connection: Connection, thread: str) -> None:
    """To be called while no turn of the thread is at work, and none of its effects is under way."""
    reviews.forget(connection, thread)
    mine = select(turns.c.id).where(turns.c.thread == thread)
    connection.execute(delete(items).where(items.c.turn.in_(mine)))
    connection.execute(update(messages).where(messages.c.turn.in_(mine)).values(text=""))
    mine_asked = requests.c.thread == thread
    # Nobody can answer what nobody knows any more.
    connection.execute(update(requests).where(mine_asked, requests.c.state == "open").values(state="void"))
    connection.execute(update(requests).where(mine_asked).values(asked="", words=""))
    for row in connection.execute(
        select(turns.c.id, turns.c.start, turns.c.outcome).where(turns.c.thread == thread)
    ).all():
        values = {"request": "", "start": _without_words(row.start), "outcome": _without_message(row.outcome)}
        connection.execute(update(turns).where(turns.c.id == row.id).values(values))
    handled = (inbox.c.thread == thread) & (inbox.c.state != "pending")
    connection.execute(update(inbox).where(handled, inbox.c.event.is_not(None)).values(event=None))
    written = (effects.c.thread == thread) & (effects.c.state != "pending")
    connection.execute(update(effects).where(written).values(body=""))
    waiting = select(inbox.c.delivery).where(
        inbox.c.thread == thread, inbox.c.state == "pending", inbox.c.delivery.is_not(None)
    )
    told = (deliveries.c.thread == thread) & deliveries.c.id.not_in(waiting)
    connection.execute(update(deliveries).where(told).values(body=_NOTHING, text=""))


def drop_snapshots(connection: Connection, thread: str) -> None:
    """The commits that held what the thread's turns left are gone."""
    connection.execute(update(turns).where(turns.c.thread == thread).values(snapshot=None))


def _without_words(start: str) -> str:
    """Where a turn was pinned, without what was asked; a later turn finds no request to go on with."""
    effect = EffectAdapter.validate_json(start) if start != "{}" else None
    if not isinstance(effect, StartTurn):
        return start
    blank = replace(
        effect, request="", title="", subject_body=None, diff_hunk="", path="", words="", not_granted=()
    )
    return EffectAdapter.dump_json(blank).decode()


def _without_message(outcome: str | None) -> str | None:
    if outcome is None:
        return None
    found: Outcome = OutcomeAdapter.validate_json(outcome)
    match found:
        case Completed() | Exhausted():
            found = replace(found, message="")
        case Declined():
            found = replace(found, reason="")
        case _:
            # Failed, stopped: our own words.
            pass
    return OutcomeAdapter.dump_json(found).decode()
