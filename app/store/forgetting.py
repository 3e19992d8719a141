"""Deletes what was said and done in a thread; who asked when, how it ended and what it cost stays.

So nothing is handled twice afterwards, and the bills still add up.
"""

import zlib
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, delete, select, update

from app.store import reviews
from app.store.schema import deliveries, effects, inbox, items, messages, requests, turns
from handlers.effects import EffectAdapter, PushResult, StartTurn, UndoTurn
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
    written = (effects.c.thread == thread) & (effects.c.state != "pending") & (effects.c.body != "")
    for effect in connection.execute(select(effects.c.id, effects.c.body).where(written)).all():
        connection.execute(
            update(effects).where(effects.c.id == effect.id).values(body=_without_text(effect.body))
        )
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


def _without_text(body: str) -> str:
    """Of what stands on a branch, which commit it is: it can be taken back all the same. Else nothing."""
    effect = EffectAdapter.validate_json(body)
    if isinstance(effect, PushResult):
        return EffectAdapter.dump_json(replace(effect, message="", paths=())).decode()
    if isinstance(effect, UndoTurn):
        return EffectAdapter.dump_json(replace(effect, message="")).decode()
    return ""


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
