"""What waits to be handled in a thread: deliveries from outside and internal events, in order."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from app.store import deliveries
from app.store.database import insert_new
from app.store.places import RepositoryRef
from app.store.schema import deliveries as deliveries_table
from app.store.schema import inbox, threads
from handlers import reasons
from handlers.events import InternalEvent, InternalEventAdapter, TurnEnded
from harness.items import Waiting


@dataclass(frozen=True, slots=True)
class Letter:
    """One waiting event."""

    id: int
    delivery: int | None
    event: InternalEvent | None
    attempts: int
    not_before: float
    command: str = ""
    """What a delivery asks for, in the intake's word; empty for an internal event."""


def open_thread(
    connection: Connection, thread: str, place: RepositoryRef | None, *, number: int | None, now: float
) -> None:
    """Make the thread's row, or note the repository's present name and installation."""
    row = {
        "id": thread,
        "repository_id": place.id if place else None,
        "repository": place.full_name if place else None,
        "installation_id": place.installation if place else None,
        "number": number,
        "created_at": now,
    }
    connection.execute(insert_new(connection.dialect.name, threads, "id"), row)
    if place:
        renamed = {"repository": place.full_name, "installation_id": place.installation}
        connection.execute(update(threads).where(threads.c.id == thread).values(renamed))


def place_of(connection: Connection, thread: str) -> RepositoryRef:
    """Where the thread lives. Raises `NoResultFound` for a local thread."""
    query = select(threads.c.repository_id, threads.c.repository, threads.c.installation_id)
    row = connection.execute(query.where(threads.c.id == thread)).one()
    return RepositoryRef(row.repository_id, row.repository, row.installation_id)


def put_delivery(connection: Connection, thread: str, delivery: int, *, now: float) -> int:
    """The letter's id."""
    return _put(connection, thread=thread, delivery=delivery, origin=delivery, created_at=now)


def put_event(
    connection: Connection, thread: str, event: InternalEvent, *, origin: int | None, now: float
) -> int:
    """The letter's id. `origin` is the delivery that it all goes back to."""
    body = InternalEventAdapter.dump_json(event).decode()
    return _put(connection, thread=thread, event=body, origin=origin, created_at=now)


def put_quiet_event(
    connection: Connection,
    thread: str,
    event: InternalEvent,
    *,
    kind: str,
    quiet: float,
    longest: float,
    origin: int | None,
    now: float,
) -> tuple[int, float]:
    """As `put_quiet`, for an event of our own."""
    since = _take_place(connection, thread, kind, now=now)
    due = min(now + quiet, since + longest)
    letter = _put(
        connection,
        thread=thread,
        event=InternalEventAdapter.dump_json(event).decode(),
        origin=origin,
        created_at=since,
        not_before=due,
        quiet_kind=kind,
    )
    return letter, due


def put_quiet(
    connection: Connection,
    thread: str,
    delivery: int,
    *,
    kind: str,
    quiet: float,
    longest: float,
    now: float,
) -> tuple[int, float]:
    """Handle the delivery when nothing more of its kind has come for `quiet` seconds: of many, the newest.

    The letter's id, and when it is due: at most `longest` seconds after the first of those that it replaces,
    so that what never falls quiet is handled all the same. The thread's other letters do not wait for it.
    """
    since = _take_place(connection, thread, kind, now=now)
    due = min(now + quiet, since + longest)
    letter = _put(
        connection,
        thread=thread,
        delivery=delivery,
        origin=delivery,
        created_at=since,
        not_before=due,
        quiet_kind=kind,
    )
    return letter, due


def _take_place(connection: Connection, thread: str, kind: str, *, now: float) -> float:
    """Put aside what waits for quiet of this kind; since when the first of it has waited."""
    query = (
        select(inbox.c.id, inbox.c.delivery, inbox.c.created_at)
        .where(inbox.c.thread == thread, inbox.c.state == "pending")
        .where(inbox.c.quiet_kind == kind, inbox.c.attempts == 0)
    )
    waiting = connection.execute(query).all()
    for earlier in waiting:
        mark(connection, earlier.id, "handled")
        if earlier.delivery is not None:
            deliveries.decide(connection, earlier.delivery, state="handled", reason=reasons.SUPERSEDED)
    since: float = min([now, *(earlier.created_at for earlier in waiting)])
    return since


def _put(connection: Connection, **values: object) -> int:
    statement = insert(inbox).values(**values, state="pending").returning(inbox.c.id)
    letter: int = connection.execute(statement).scalar_one()
    return letter


def origin_of(connection: Connection, letter: int) -> int | None:
    """The delivery that the letter goes back to."""
    origin: int | None = connection.execute(select(inbox.c.origin).where(inbox.c.id == letter)).scalar_one()
    return origin


def of_origin(connection: Connection, delivery: int) -> list[int]:
    """The letters that go back to a delivery, its own first."""
    query = select(inbox.c.id).where(inbox.c.origin == delivery).order_by(inbox.c.id)
    return list(connection.execute(query).scalars())


def rename_repository(connection: Connection, place: RepositoryRef) -> None:
    """The repository has a new name or owner: its threads live there now."""
    connection.execute(
        update(threads).where(threads.c.repository_id == place.id).values(repository=place.full_name)
    )


def next_letter(connection: Connection, thread: str, *, now: float) -> Letter | None:
    """The oldest unhandled one, those left out that wait for quiet; one that failed keeps its place.

    Before a `forget` comes what is still under way of what it deletes, though it was told later.
    """
    waits_for_quiet = inbox.c.quiet_kind.is_not(None) & (inbox.c.attempts == 0) & (inbox.c.not_before > now)
    query = (
        select(
            inbox.c.id,
            inbox.c.delivery,
            inbox.c.event,
            inbox.c.attempts,
            inbox.c.not_before,
            deliveries_table.c.command,
        )
        .outerjoin_from(inbox, deliveries_table, deliveries_table.c.id == inbox.c.delivery)
        .where(inbox.c.thread == thread, inbox.c.state == "pending", ~waits_for_quiet)
        .order_by(inbox.c.id)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.command == "Forget":
        row = connection.execute(query.where(inbox.c.event.is_not(None))).one_or_none() or row
    event = InternalEventAdapter.validate_json(row.event) if row.event is not None else None
    return Letter(row.id, row.delivery, event, row.attempts, row.not_before, row.command or "")


def mark(connection: Connection, letter: int, state: str) -> None:
    connection.execute(update(inbox).where(inbox.c.id == letter).values(state=state))


def postpone(connection: Connection, letter: int, *, until: float) -> None:
    """Count a failed attempt and leave the letter for later."""
    connection.execute(
        update(inbox).where(inbox.c.id == letter).values(attempts=inbox.c.attempts + 1, not_before=until)
    )


def give_up(connection: Connection, thread: str, *, reason: str) -> None:
    """Handle nothing of what waits in the thread any more."""
    statement = (
        update(inbox)
        .where(inbox.c.thread == thread, inbox.c.state == "pending")
        .values(state="failed")
        .returning(inbox.c.delivery)
    )
    for delivery in connection.execute(statement).scalars().all():
        if delivery is not None:
            deliveries.decide(connection, delivery, state="failed", reason=reason)


def end_of_turn(connection: Connection, thread: str, turn: str) -> TurnEnded | None:
    """What a turn told when it ended; None while it has not, and where that was forgotten."""
    query = (
        select(inbox.c.event)
        .where(inbox.c.thread == thread, inbox.c.event.contains(turn))
        .order_by(inbox.c.id.desc())
    )
    for text in connection.execute(query).scalars():
        event = InternalEventAdapter.validate_json(text)
        if isinstance(event, TurnEnded) and event.start.turn_id == turn:
            return None if isinstance(event.outcome, Waiting) else event
    return None


def event_of(connection: Connection, letter: int) -> InternalEvent | None:
    """The internal event of a letter, handled or not."""
    text = connection.execute(select(inbox.c.event).where(inbox.c.id == letter)).scalar_one()
    return InternalEventAdapter.validate_json(text) if text else None
