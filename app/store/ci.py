"""What was found out about failed checks: by head, failure, attempt and test."""

import json
from collections.abc import Iterable
from typing import Final, assert_never

from sqlalchemy import Connection, insert, literal_column, select, update

from app.store import charges, landings, outbox
from app.store.database import insert_new
from app.store.schema import ci_attempts, ci_calls, ci_flakes, ci_heads, inbox, turns
from handlers.ci.attempts import Attempt
from handlers.ci.classes import FlakeRecord
from handlers.ci.facts import CiMemory, Tried
from handlers.effects import NoteChecks
from harness.items import Completed, Declined, Exhausted, Failed, Outcome, OutcomeAdapter, Stopped, Waiting

_MICROS: Final = 1_000_000
_LONGEST_SAID: Final = 300


def watch(connection: Connection, repository: int, sha: str) -> None:
    """From now on every check of this head that ends matters, also one that passes."""
    row = {"id": _head(repository, sha), "repository_id": repository, "sha": sha}
    connection.execute(insert_new(connection.dialect.name, ci_heads, "id"), row)


def is_watched(connection: Connection, repository: int, sha: str, *, comment: str) -> bool:
    """Whether what passes matters: the head has failed before, or the thread has its `comment` on checks."""
    if outbox.result_of(connection, comment):
        return True
    query = select(ci_heads.c.id).where(ci_heads.c.id == _head(repository, sha))
    return connection.execute(query).one_or_none() is not None


def look_kind(sha: str) -> str:
    """Under which looks at a head wait, that nobody asked for: of many, the newest."""
    return f"ci/{sha}"


def is_look_due(connection: Connection, repository: int, sha: str, *, after: float, before: float) -> bool:
    """Whether a look at this head, which is not at work yet, waits for a time between the two."""
    # The state is written out, so that the index of what is pending serves.
    query = select(inbox.c.id).where(
        inbox.c.state == literal_column("'pending'"),
        inbox.c.quiet_kind == look_kind(sha),
        inbox.c.thread.startswith(f"{repository}-"),
        inbox.c.not_before > after,
        inbox.c.not_before <= before,
    )
    return connection.execute(query.limit(1)).first() is not None


def note(connection: Connection, thread: str, noted: NoteChecks, *, now: float) -> None:
    """Keep what a look has found. The same look, decided again, is one transaction that was undone."""
    watch(connection, noted.repository_id, noted.sha)
    before = connection.execute(
        select(ci_heads).where(ci_heads.c.id == _head(noted.repository_id, noted.sha))
    ).one()
    values: dict[str, object] = {"fingerprint": noted.fingerprint, "tests": json.dumps(noted.tests)}
    if noted.has_rerun:
        values["reruns"] = ci_heads.c.reruns + 1
    connection.execute(update(ci_heads).where(ci_heads.c.id == before.id).values(values))
    if noted.fingerprint and before.fingerprint != noted.fingerprint:
        _count(connection, noted.repository_id, noted.tests, failed=1)
    _count(connection, noted.repository_id, noted.flaked, passed=1, flaked=1)
    if noted.left_of:
        left = noted.fingerprint
        connection.execute(update(ci_attempts).where(ci_attempts.c.turn == noted.left_of).values(left=left))
    if noted.attempt:
        attempt = {"turn": noted.attempt, "thread": thread, "fingerprint": noted.fingerprint, "at": now}
        connection.execute(insert_new(connection.dialect.name, ci_attempts, "turn"), attempt)
    if noted.calls_person:
        called = {"id": f"{thread}/{noted.fingerprint}", "thread": thread, "fingerprint": noted.fingerprint}
        connection.execute(insert_new(connection.dialect.name, ci_calls, "id"), called)


def memory_of(
    connection: Connection,
    thread: str,
    *,
    repository: int,
    sha: str,
    tests: Iterable[str],
    comment: str,
    offer: str,
) -> CiMemory:
    """All that is known for a look at this head.

    `comment` and `offer` are the keys of the thread's comment about checks, and of the head's offer.
    """
    head = connection.execute(select(ci_heads).where(ci_heads.c.id == _head(repository, sha))).one_or_none()
    pushed = [one.turn for one in landings.of_thread(connection, thread) if one.sha == sha]
    called = select(ci_calls.c.fingerprint).where(ci_calls.c.thread == thread)
    return CiMemory(
        fingerprint=head.fingerprint if head else "",
        tests=tuple(json.loads(head.tests)) if head else (),
        reruns=head.reruns if head else 0,
        tried=tuple(_tried(connection, thread)),
        called=frozenset(connection.execute(called).scalars()),
        ledger=_ledger(connection, repository, tests),
        pushed_by=pushed[-1] if pushed else "",
        has_comment="comment" in outbox.result_of(connection, comment),
        has_offer="check_run" in outbox.result_of(connection, offer),
    )


def _head(repository: int, sha: str) -> str:
    return f"{repository}/{sha}"


def _count(
    connection: Connection,
    repository: int,
    tests: Iterable[str],
    *,
    failed: int = 0,
    passed: int = 0,
    flaked: int = 0,
) -> None:
    table = ci_flakes
    for test in tests:
        known = table.c.repository_id == repository, table.c.test == test
        if connection.execute(select(table.c.test).where(*known)).one_or_none() is None:
            row = {"repository_id": repository, "test": test, "failed": 0, "passed": 0, "flaked": 0}
            connection.execute(insert(table).values(row))
        connection.execute(
            update(table)
            .where(*known)
            .values(
                failed=table.c.failed + failed, passed=table.c.passed + passed, flaked=table.c.flaked + flaked
            )
        )


def _ledger(connection: Connection, repository: int, tests: Iterable[str]) -> dict[str, FlakeRecord]:
    wanted = ci_flakes.c.test.in_(list(tests))
    query = select(ci_flakes).where(ci_flakes.c.repository_id == repository, wanted)
    return {
        row.test: FlakeRecord(passed=row.passed, failed=row.failed, flaked=row.flaked)
        for row in connection.execute(query)
    }


def _tried(connection: Connection, thread: str) -> Iterable[Tried]:
    columns = (ci_attempts, turns.c.outcome, turns.c.started_at, turns.c.ended_at)
    query = (
        select(*columns)
        .join(turns, turns.c.id == ci_attempts.c.turn)
        .where(ci_attempts.c.thread == thread)
        .order_by(ci_attempts.c.at, turns.c.seq)
    )
    for row in connection.execute(query).all():
        outcome = OutcomeAdapter.validate_json(row.outcome) if row.outcome else None
        spent = charges.of_turn(connection, row.turn)
        is_over = row.started_at is not None and row.ended_at is not None
        yield Tried(
            fingerprint=row.fingerprint,
            attempt=Attempt(row.turn, _said(outcome), row.left),
            money=spent.micros / _MICROS,
            seconds=row.ended_at - row.started_at if is_over else 0.0,
            is_over=row.ended_at is not None,
        )


def _said(outcome: Outcome | None) -> str:
    """The turn's last word, in one line."""
    text = ""
    match outcome:
        case Completed(message=said) | Exhausted(message=said):
            text = said
        case Declined(reason=said) | Waiting(reason=said) | Failed(cause=said):
            text = said
        case Stopped(by=by):
            text = f"It was stopped by {by}."
        case None:
            pass
        case _:
            assert_never(outcome)
    return " ".join(text.split())[:_LONGEST_SAID]
