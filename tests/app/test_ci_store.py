"""What is remembered of failed checks; on both databases."""

import sqlalchemy as sa

from app.store import ci
from app.store.database import Database
from handlers.ci.attempts import Attempt
from handlers.ci.classes import FlakeRecord
from handlers.ci.facts import CiMemory
from handlers.effects import NoteChecks
from tests.app.test_store import turn_of

SHA = "a" * 40
TEST = "pytest: tests/test_rows.py::test_row"
FAILED = NoteChecks(key="first", repository_id=7, sha=SHA, fingerprint="f1", tests=(TEST,))


async def memory(database: Database, sha: str = SHA) -> CiMemory:
    return await database.read(
        lambda connection: ci.memory_of(
            connection, "7-1", repository=7, sha=sha, tests={TEST}, comment="none", offer="none"
        )
    )


async def noted(database: Database, *notes: NoteChecks) -> None:
    def write(connection: sa.Connection) -> None:
        for note in notes:
            ci.note(connection, "7-1", note, now=1.0)

    await database.write(write)


async def watched(database: Database, sha: str) -> bool:
    return await database.read(lambda connection: ci.is_watched(connection, 7, sha, comment="none"))


async def test_a_head_that_failed_is_remembered_with_what_was_tried(database: Database) -> None:
    """Attempts stand with what their commits left, and whoever was called is not called again."""
    await turn_of(database)
    await noted(
        database,
        FAILED,
        NoteChecks(key="try", repository_id=7, sha=SHA, fingerprint="f1", attempt="t1", tests=(TEST,)),
        NoteChecks(
            key="left", repository_id=7, sha="b" * 40, fingerprint="f1", left_of="t1", calls_person=True
        ),
    )

    known = await memory(database)

    assert (known.fingerprint, known.tests, known.reruns) == ("f1", (TEST,), 0)
    assert [(one.fingerprint, one.attempt) for one in known.tried] == [("f1", Attempt("t1", "", "f1"))]
    assert known.called == {"f1"}
    assert await watched(database, SHA)
    assert not await watched(database, "c" * 40)


async def test_the_ledger_counts_a_flake_once_a_commit(database: Database) -> None:
    """The same failure seen twice on one head is one; passing there afterwards makes it a flake."""
    again = NoteChecks(key="again", repository_id=7, sha=SHA, fingerprint="f1", tests=(TEST,), has_rerun=True)
    passed = NoteChecks(key="passed", repository_id=7, sha=SHA, fingerprint="", flaked=(TEST,))
    await noted(database, FAILED, again, passed)

    known = await memory(database)

    assert dict(known.ledger) == {TEST: FlakeRecord(passed=1, failed=1, flaked=1)}
    assert (known.fingerprint, known.reruns) == ("", 1)
