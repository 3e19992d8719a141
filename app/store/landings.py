"""What turns have pushed, and what of it was taken back: read from the outbox."""

import json
from collections.abc import Iterator

from sqlalchemy import Connection, select

from app.store.schema import effects
from handlers.effects import EffectAdapter, PushResult, UndoTurn
from handlers.view import Landing


def of_thread(connection: Connection, thread: str) -> list[Landing]:
    """The commits of the thread's turns that reached a branch, oldest first."""
    done = list(_done(connection, thread))
    undone = {effect.turn_id: sha for effect, sha in done if isinstance(effect, UndoTurn)}
    return [
        Landing(
            effect.turn_id,
            effect.branch,
            sha,
            effect.parent,
            undone_by=undone.get(effect.turn_id, ""),
            fork=effect.fork,
        )
        for effect, sha in done
        if isinstance(effect, PushResult)
    ]


def _done(connection: Connection, thread: str) -> Iterator[tuple[PushResult | UndoTurn, str]]:
    query = (
        select(effects.c.body, effects.c.result)
        .where(effects.c.thread == thread, effects.c.type.in_(("push_result", "undo_turn")))
        # What an older version has forgotten, it has forgotten whole.
        .where(effects.c.state == "done", effects.c.body != "")
        .order_by(effects.c.id)
    )
    for row in connection.execute(query):
        effect = EffectAdapter.validate_json(row.body)
        # A push that was refused is done as well, and has no commit.
        sha = json.loads(row.result).get("sha", "")
        if sha and isinstance(effect, PushResult | UndoTurn):
            yield effect, sha
