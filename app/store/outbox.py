"""Effects on their way to the world: stored with the decision, done at least once, found by key."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from app.store.database import insert_new
from app.store.schema import effects
from handlers.effects import (
    AskApproval,
    Decide,
    Effect,
    EffectAdapter,
    Ignore,
    LookAtChecks,
    NoteChecks,
    StartTurn,
)


@dataclass(frozen=True, slots=True)
class Pending:
    """An effect to be done now."""

    id: int
    cause: int
    """The letter whose handling chose it."""
    effect: Effect
    attempts: int
    """Tries before this one: when not 0, the write may have happened."""
    not_before: float
    slot: float | None = None
    """The time that the forge's limit gave it, once it has asked."""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """What became of an effect."""

    key: str
    type: str
    state: str
    attempts: int
    error: str
    result: dict[str, Any]


def put(connection: Connection, thread: str, chosen: Sequence[Effect], *, cause: int, now: float) -> None:
    """Store the effects of one decision. A known key is done or under way already: it stays as it is.

    What is not outside of the store is done by the decision itself.
    """
    for effect in chosen:
        is_done = isinstance(effect, Ignore | StartTurn | AskApproval | Decide | LookAtChecks | NoteChecks)
        row = {
            "key": effect.key,
            "thread": thread,
            "cause": cause,
            "type": effect.type,
            "body": EffectAdapter.dump_json(effect).decode(),
            "state": "done" if is_done else "pending",
            "done_at": now if is_done else None,
            "result": json.dumps({"turn": effect.turn_id} if isinstance(effect, StartTurn) else {}),
        }
        connection.execute(insert_new(connection.dialect.name, effects, "key"), row)


def next_pending(connection: Connection, thread: str) -> Pending | None:
    """The oldest effect of the thread that is not done: order is kept."""
    query = (
        select(
            effects.c.id,
            effects.c.cause,
            effects.c.body,
            effects.c.attempts,
            effects.c.not_before,
            effects.c.slot,
        )
        .where(effects.c.thread == thread, effects.c.state == "pending")
        .order_by(effects.c.id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    effect = EffectAdapter.validate_json(row.body)
    return Pending(row.id, row.cause, effect, row.attempts, row.not_before, row.slot)


def begin(connection: Connection, effect: int) -> None:
    """Count the try, durably, before it is made. The next one asks for a time of its own."""
    values = {"attempts": effects.c.attempts + 1, "slot": None}
    connection.execute(update(effects).where(effects.c.id == effect).values(values))


def hold_back(connection: Connection, effect: int, *, until: float, slot: float | None) -> None:
    """Leave it for then without having tried it: its `slot`, or the end of a block."""
    connection.execute(update(effects).where(effects.c.id == effect).values(not_before=until, slot=slot))


def finish(connection: Connection, effect: int, result: dict[str, Any], *, now: float) -> None:
    connection.execute(
        update(effects)
        .where(effects.c.id == effect)
        .values(state="done", result=json.dumps(result), error="", done_at=now)
    )


def postpone(connection: Connection, effect: int, *, error: str, until: float) -> None:
    connection.execute(update(effects).where(effects.c.id == effect).values(error=error, not_before=until))


def fail(connection: Connection, effect: int, *, error: str, now: float) -> None:
    """Give up on it; the thread goes on."""
    connection.execute(
        update(effects).where(effects.c.id == effect).values(state="failed", error=error, done_at=now)
    )


def give_up(connection: Connection, thread: str, *, error: str, now: float) -> int:
    """Give up on all that the thread still has to do outside; how much that was."""
    statement = (
        update(effects)
        .where(effects.c.thread == thread, effects.c.state == "pending")
        .values(state="failed", error=error, done_at=now)
        .returning(effects.c.id)
    )
    return len(connection.execute(statement).all())


def result_of(connection: Connection, key: str) -> dict[str, Any]:
    """What doing the effect gave (`{"comment": 7}`); empty while it is not done."""
    text = connection.execute(select(effects.c.result).where(effects.c.key == key)).scalar_one_or_none()
    return dict(json.loads(text)) if text else {}


def of_letters(connection: Connection, letters: Sequence[int]) -> list[EffectRow]:
    """The effects that these letters caused, in order."""
    query = select(effects).where(effects.c.cause.in_(letters)).order_by(effects.c.id)
    return [
        EffectRow(row.key, row.type, row.state, row.attempts, row.error, dict(json.loads(row.result)))
        for row in connection.execute(query)
    ]
