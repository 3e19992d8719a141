"""Somebody wants a turn to end: it is told so, or ended here where it was never begun."""

from sqlalchemy import Connection

from app.queues import Queue
from app.store import inbox, messages, turns
from handlers.effects import EffectAdapter, StartTurn
from handlers.events import TurnEnded
from harness.items import Stopped, Usage


def stop(connection: Connection, turn: str, *, author: str, key: str, now: float) -> Queue | None:
    """To be called while the turn is held open. What has to be woken, if anything: else it sees for itself.

    A turn that waits behind others for a place need not be given one to end. One that goes on from another
    has that one's files to keep, and is left to whoever runs it.
    """
    messages.stop(connection, turn, author=author, key=key, now=now)
    row = turns.find(connection, turn)
    start = EffectAdapter.validate_json(row.start) if row is not None and row.start != "{}" else None
    if row is None or not isinstance(start, StartTurn) or start.continues:
        return Queue.TURNS if turns.unpark(connection, turn) else None
    outcome = Stopped(author)
    if not turns.end_unbegun(connection, turn, outcome, now=now):
        return Queue.TURNS if turns.unpark(connection, turn) else None
    seconds = max(0.0, now - row.created_at)
    ended = TurnEnded(start=start, outcome=outcome, usage=Usage(), steps=0, seconds=seconds, changes=())
    inbox.put_event(connection, row.thread, ended, origin=row.origin, now=now)
    return Queue.EVENTS
