"""What reviews leave in the store."""

import sqlalchemy as sa

from app.store import inbox, reviews, turns
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.effects import RecordReview
from handlers.review.fingerprints import fingerprint
from handlers.review.memory import LastReview, Memory, Remembered
from handlers.review.standing import Known
from harness.findings import Finding

THREAD = "7-1"
FINDING = Finding(
    path="calc.py", start_line=5, end_line=5, severity="P1", confidence=0.9, title="It fails", why="On `[]`."
)


def remembered(name: str, *, comment: int | None = None, by: str = "") -> Remembered:
    known = Known(id=name, finding=FINDING, fingerprint=fingerprint(FINDING, "a\n" * 5))
    return Remembered(known=known, shown="inline", comment=comment, by=by)


async def kept(database: Database, effect: RecordReview) -> Memory:
    await database.write(lambda connection: reviews.record(connection, THREAD, effect, now=1.0))
    return await database.read(lambda connection: reviews.memory_of(connection, THREAD))


async def test_findings_keep_their_order_and_their_newest_state(database: Database) -> None:
    """A second review adds to the first; what it tells anew takes the place of what was there."""
    assert await database.read(lambda connection: reviews.memory_of(connection, THREAD)) == Memory()
    first = LastReview(turn="t1", head_sha="a" * 40, patches={"calc.py": "p1"})
    one, two = remembered("f1", comment=70), remembered("f2")
    await kept(database, RecordReview(key="k1", last=first, findings=(one, two)))
    again, three = remembered("f1", comment=70, by="cole"), remembered("f3")

    memory = await kept(database, RecordReview(key="k2", last=None, findings=(again, three)))

    assert memory == Memory(last=first, findings=(again, two, three))
    assert memory.by_comment(70) == again
    there = await database.read(
        lambda connection: [reviews.has_finding_at(connection, THREAD, comment) for comment in (70, 71)]
    )
    assert there == [True, False]

    await database.write(lambda connection: reviews.forget(connection, THREAD))

    assert await database.read(lambda connection: reviews.memory_of(connection, THREAD)) == Memory()


async def test_reviews_are_in_no_turn_s_history(database: Database) -> None:
    """A task goes on from tasks; a review begins anew each time."""

    def line(connection: sa.Connection) -> list[list[str]]:
        place = RepositoryRef(7, "maya/purl", None)
        inbox.open_thread(connection, THREAD, place, number=1, now=1.0)
        for name, kind in (("t1", "task"), ("r1", "review"), ("t2", "task"), ("r2", "review")):
            turns.queue(
                connection, name, THREAD, start="{}", now=1.0, kind="review" if kind == "review" else "task"
            )
        return [turns.line_of(connection, name) for name in ("t2", "r2")]

    assert await database.write(line) == [["t1"], []]


async def test_other_pull_requests_are_told_what_became_of_findings_on_a_path(database: Database) -> None:
    """Of one repository, the newest first; what people think of a finding leaves its state alone."""

    def said(connection: sa.Connection) -> None:
        for number, repository in ((1, 7), (2, 7), (3, 8)):
            place = RepositoryRef(repository, "maya/purl", None)
            thread = f"{repository}-{number}"
            inbox.open_thread(connection, thread, place, number=number, now=float(number))
            effect = RecordReview(key=thread, last=None, findings=(remembered(f"f{number}", by="cole"),))
            reviews.record(connection, thread, effect, now=float(number))
        reviews.keep_reactions(connection, "7-2", {"f2": "1 👎", "gone": "3 👍"})

    await database.write(said)

    def found(connection: sa.Connection, path: str) -> list[tuple[int, str, str]]:
        known = reviews.elsewhere(connection, "7-4", 7, {path})
        return [(each.number, each.finding.by, each.finding.reactions) for each in known]

    assert await database.read(lambda connection: found(connection, "calc.py")) == [
        (2, "cole", "1 👎"),
        (1, "cole", ""),
    ]
    assert await database.read(lambda connection: found(connection, "other.py")) == []
    own = await database.read(lambda connection: reviews.elsewhere(connection, "7-1", 7, {"calc.py"}))
    assert [each.number for each in own] == [2]
