"""What reviews of a pull request have left: the findings with their state, and what was reviewed last."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, func, insert, select, update

from app.store import outbox
from app.store.schema import findings, reviews, threads
from handlers.effects import RecordReview
from handlers.review.memory import Elsewhere, LastReview, Memory, Reading, Remembered
from handlers.review_keys import summary_key

MOST_THREADS: Final = 200
"""Conversations of a repository whose findings are looked through, the newest."""
MOST_FINDINGS: Final = 500
_Remembered: Final[TypeAdapter[Remembered]] = TypeAdapter(Remembered)
_Reading: Final[TypeAdapter[Reading]] = TypeAdapter(Reading)


def memory_of(connection: Connection, thread: str) -> Memory:
    """What is known of the pull request; nothing where none was reviewed."""
    last = connection.execute(select(reviews).where(reviews.c.thread == thread)).one_or_none()
    query = select(findings.c.body).where(findings.c.thread == thread).order_by(findings.c.seq)
    posted = outbox.result_of(connection, summary_key(thread))
    return Memory(
        last=None
        if last is None
        else LastReview(
            turn=last.turn,
            head_sha=last.head_sha,
            patches=json.loads(last.patches),
            reading=_Reading.validate_json(last.reading),
        ),
        findings=tuple(_Remembered.validate_json(body) for body in connection.execute(query).scalars()),
        summary_url=str(posted.get("url", "")),
    )


def elsewhere(
    connection: Connection, thread: str, repository: int, paths: Collection[str]
) -> list[Elsewhere]:
    """Findings on `paths` in the repository's other pull requests, newest first; of very many the newest."""
    pulls = (
        select(threads.c.id, threads.c.number)
        .where(threads.c.repository_id == repository, threads.c.id != thread)
        .order_by(threads.c.created_at.desc())
        .limit(MOST_THREADS)
        .subquery()
    )
    query = (
        select(pulls.c.number, findings.c.body)
        .join(findings, findings.c.thread == pulls.c.id)
        .order_by(findings.c.at.desc(), findings.c.thread, findings.c.seq)
        .limit(MOST_FINDINGS)
    )
    read = ((row.number, _Remembered.validate_json(row.body)) for row in connection.execute(query))
    return [
        Elsewhere(number=number, finding=each) for number, each in read if each.known.finding.path in paths
    ]


def keep_reactions(connection: Connection, thread: str, reactions: Mapping[str, str]) -> None:
    """What people think of findings, by id; whatever else became of them meanwhile stays."""
    for name, told in reactions.items():
        is_it = (findings.c.thread == thread) & (findings.c.id == name)
        body = connection.execute(select(findings.c.body).where(is_it).with_for_update()).scalar()
        if body is None:
            continue
        each = replace(_Remembered.validate_json(body), reactions=told)
        kept = _Remembered.dump_json(each).decode()
        connection.execute(update(findings).where(is_it).values(body=kept))


def has_finding_at(connection: Connection, thread: str, comment: int) -> bool:
    """Whether a thread of the forge begins with a finding's comment."""
    query = select(findings.c.id).where(findings.c.thread == thread, findings.c.comment == comment)
    return connection.execute(query).first() is not None


def record(connection: Connection, thread: str, effect: RecordReview, *, now: float) -> None:
    """Keep what a review, or a person's word, has come to."""
    if effect.last is not None:
        values = {
            "turn": effect.last.turn,
            "head_sha": effect.last.head_sha,
            "patches": json.dumps(effect.last.patches),
            "reading": _Reading.dump_json(effect.last.reading).decode(),
            "at": now,
        }
        changed = update(reviews).where(reviews.c.thread == thread).values(values)
        if connection.execute(changed.returning(reviews.c.thread)).one_or_none() is None:
            connection.execute(insert(reviews).values(thread=thread, **values))
    count: int = connection.execute(
        select(func.coalesce(func.max(findings.c.seq), 0)).where(findings.c.thread == thread)
    ).scalar_one()
    for number, each in enumerate(effect.findings, start=count + 1):
        _keep(connection, thread, each, number=number, now=now)


def _keep(connection: Connection, thread: str, each: Remembered, *, number: int, now: float) -> None:
    values = {
        "comment": each.comment,
        "state": each.known.state,
        "body": _Remembered.dump_json(each).decode(),
        "at": now,
    }
    is_it = (findings.c.thread == thread) & (findings.c.id == each.id)
    if connection.execute(update(findings).where(is_it).values(values).returning(findings.c.id)).first():
        return
    connection.execute(insert(findings).values(thread=thread, id=each.id, seq=number, **values))


def forget(connection: Connection, thread: str) -> None:
    """Drop it all."""
    for table in (findings, reviews):
        connection.execute(delete(table).where(table.c.thread == thread))
