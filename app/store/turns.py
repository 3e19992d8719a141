"""Turns and their journals. A worker writes only while its token is the turn's owner (fencing)."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Double, Integer, Row, String, bindparam, func, insert, select, update

from app.store import messages
from app.store.charges import Account, charge
from app.store.database import Database
from app.store.past import earlier_entries, entry_of
from app.store.schema import items, threads, turns
from handlers.effects import TurnKind
from handlers.view import TurnBrief
from harness.items import Item, ItemAdapter, Life, Outcome, OutcomeAdapter, TurnResult
from harness.protocols import Entry, OwnershipLost


@dataclass(frozen=True, slots=True)
class TurnRow:
    id: str
    thread: str
    start: str
    request: str
    status: str
    outcome: Outcome | None
    snapshot: str | None
    not_before: float
    attempts: int
    """How often a worker took it before now, without its getting as far as an end or a wait."""
    origin: int | None
    """The delivery that asked for it."""
    created_at: float
    started_at: float | None
    ended_at: float | None
    follows: str | None = None

    @property
    def state(self) -> str:
        """How it ended, or what it is doing."""
        return self.outcome.status if self.outcome else self.status


class TurnOver(Exception):
    """The turn has ended: nothing can be said to it any more."""


def hold_open(connection: Connection, turn: str) -> None:
    """Keep the turn from ending until the transaction is over. Raises `TurnOver`."""
    query = select(turns.c.status).where(turns.c.id == turn).with_for_update()
    if connection.execute(query).scalar_one_or_none() in {None, "ended"}:
        raise TurnOver


def queue(
    connection: Connection,
    turn: str,
    thread: str,
    *,
    start: str,
    now: float,
    origin: int | None = None,
    follows: str | None = None,
    kind: TurnKind = "task",
) -> bool:
    """Put the turn behind the thread's others. False when it is there already."""
    if connection.execute(select(turns.c.id).where(turns.c.id == turn)).one_or_none() is not None:
        return False
    last = connection.execute(select(func.max(turns.c.seq)).where(turns.c.thread == thread)).scalar()
    connection.execute(
        insert(turns).values(
            id=turn,
            seq=(last or 0) + 1,
            thread=thread,
            start=start,
            origin=origin,
            status="queued",
            created_at=now,
            follows=follows,
            kind=kind,
        )
    )
    return True


def next_unfinished(connection: Connection, thread: str) -> TurnRow | None:
    """The thread's oldest turn that has not ended."""
    query = (
        select(turns)
        .where(turns.c.thread == thread, turns.c.status != "ended")
        .order_by(turns.c.seq)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return _turn(row) if row is not None else None


def find(connection: Connection, turn: str) -> TurnRow | None:
    row = connection.execute(select(turns).where(turns.c.id == turn)).one_or_none()
    return _turn(row) if row is not None else None


def thread_of(connection: Connection, turn: str, *, repository: int) -> str | None:
    """The thread of a turn of this repository."""
    query = (
        select(turns.c.thread)
        .join(threads, threads.c.id == turns.c.thread)
        .where(turns.c.id == turn, threads.c.repository_id == repository)
    )
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def of_thread(connection: Connection, thread: str) -> list[TurnRow]:
    query = select(turns).where(turns.c.thread == thread).order_by(turns.c.seq)
    return [_turn(row) for row in connection.execute(query)]


def briefs_of(connection: Connection, thread: str) -> list[TurnBrief]:
    """The thread's turns, oldest first, without their texts: asked for at every event."""
    query = (
        select(
            turns.c.id,
            turns.c.status,
            turns.c.outcome,
            turns.c.created_at,
            turns.c.started_at,
            turns.c.ended_at,
            turns.c.parked_for,
            turns.c.follows,
            turns.c.kind,
            turns.c.start,
        )
        .where(turns.c.thread == thread)
        .order_by(turns.c.seq)
    )
    rows = connection.execute(query).all()
    told = {
        row.id: (messages.paused_by(connection, row.id), messages.stopped_by(connection, row.id))
        for row in rows
        if row.status != "ended"
    }
    return [
        TurnBrief(
            id=row.id,
            state=row.status if row.status in {"ended", "running"} else "waiting",
            outcome=OutcomeAdapter.validate_json(row.outcome) if row.outcome else None,
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            paused_by=told[row.id][0] if row.id in told else None,
            stopping_by=told[row.id][1] if row.id in told else None,
            waits_for=(row.parked_for or "") if row.status == "parked" else "",
            follows=row.follows or "",
            kind=row.kind,
            sha=_reviewed_sha(row.start) if row.kind == "review" else "",
        )
        for row in rows
    ]


def _reviewed_sha(start: str) -> str:
    """The head that a review is of; empty for one that only judges a finding again."""
    fields = json.loads(start)
    return "" if fields.get("finding") else str(fields.get("base_sha", ""))


def line_of(connection: Connection, turn: str) -> list[str]:
    """The turns whose history this one has, oldest first, without itself.

    A second attempt has that of the turn it follows, and of what that one has; every other turn that of the
    thread's turns before it that are no second attempts. A review has none, and is in none: what it must
    know of earlier ones it is told.
    """
    columns = (turns.c.id, turns.c.thread, turns.c.seq, turns.c.follows, turns.c.kind)
    row = connection.execute(select(*columns).where(turns.c.id == turn)).one()
    line: list[str] = []
    if row.kind == "review":
        return line
    while row.follows is not None:
        line.append(row.follows)
        followed = connection.execute(select(*columns).where(turns.c.id == row.follows)).one_or_none()
        if followed is None:
            return line[::-1]
        row = followed
    query = (
        select(turns.c.id)
        .where(turns.c.thread == row.thread, turns.c.seq < row.seq, turns.c.follows.is_(None))
        .where(turns.c.kind == "task")
        .order_by(turns.c.seq)
    )
    return [*connection.execute(query).scalars(), *line[::-1]]


def entries_of(connection: Connection, turn: str) -> list[Entry]:
    """A turn's journal, oldest first."""
    query = select(items).where(items.c.turn == turn).order_by(items.c.seq)
    return [entry_of(row) for row in connection.execute(query)]


def take(connection: Connection, turn: str, *, owner: str, now: float) -> bool:
    """From here on only `owner` writes to the turn: whoever had it before finds itself locked out.

    False when it has ended meanwhile: then nobody takes it any more.
    """
    statement = (
        update(turns)
        .where(turns.c.id == turn, turns.c.status != "ended")
        .values(
            owner=owner,
            status="running",
            parked_for=None,
            attempts=turns.c.attempts + 1,
            started_at=func.coalesce(turns.c.started_at, now),
        )
        .returning(turns.c.id)
    )
    return connection.execute(statement).one_or_none() is not None


def set_request(connection: Connection, turn: str, request: str) -> None:
    connection.execute(update(turns).where(turns.c.id == turn).values(request=request))


def end(
    connection: Connection, turn: str, result: TurnResult, *, snapshot: str | None, owner: str, now: float
) -> None:
    """Store the outcome. Raises `OwnershipLost`."""
    statement = (
        update(turns)
        .where(turns.c.id == turn, turns.c.owner == owner, turns.c.status == "running")
        .values(
            status="ended",
            outcome=OutcomeAdapter.dump_json(result.outcome).decode(),
            usage=f"{result.usage.input_tokens} {result.usage.output_tokens}",
            snapshot=snapshot,
            ended_at=now,
        )
        .returning(turns.c.id)
    )
    if connection.execute(statement).one_or_none() is None:
        raise OwnershipLost


def end_unbegun(connection: Connection, turn: str, outcome: Outcome, *, now: float) -> bool:
    """End a turn that nobody has taken up yet. False when somebody has."""
    statement = (
        update(turns)
        .where(turns.c.id == turn, turns.c.status == "queued")
        .values(status="ended", outcome=OutcomeAdapter.dump_json(outcome).decode(), ended_at=now)
        .returning(turns.c.id)
    )
    return connection.execute(statement).one_or_none() is not None


def abandon(connection: Connection, thread: str, outcome: Outcome, *, now: float) -> list[str]:
    """End the thread's turns that nobody runs now, with nobody told; their ids."""
    statement = (
        update(turns)
        .where(turns.c.thread == thread, turns.c.status.in_(("queued", "parked")))
        .values(status="ended", outcome=OutcomeAdapter.dump_json(outcome).decode(), ended_at=now)
        .returning(turns.c.id)
    )
    return list(connection.execute(statement).scalars())


def park(
    connection: Connection, turn: str, *, until: float, owner: str, is_fault: bool = False, why: str = ""
) -> None:
    """Let go of the turn until then: no process and no container is held. Raises `OwnershipLost`.

    `is_fault`: it could not go on. Else it waits for something, and its attempts are counted anew.
    """
    attempts = {} if is_fault else {"attempts": 0}
    statement = (
        update(turns)
        .where(turns.c.id == turn, turns.c.owner == owner, turns.c.status == "running")
        .values(status="parked", not_before=until, parked_for=why, **attempts)
        .returning(turns.c.id)
    )
    if connection.execute(statement).one_or_none() is None:
        raise OwnershipLost


def unpark(connection: Connection, turn: str) -> bool:
    """What the turn waits for has come. False when it is not parked: then it will see for itself."""
    statement = (
        update(turns)
        .where(turns.c.id == turn, turns.c.status == "parked")
        .values(not_before=0.0)
        .returning(turns.c.id)
    )
    return connection.execute(statement).one_or_none() is not None


def _turn(row: Row[tuple[object, ...]]) -> TurnRow:
    fields = row._mapping  # noqa: SLF001 - SQLAlchemy's documented, if underscored, accessor
    outcome = OutcomeAdapter.validate_json(fields["outcome"]) if fields["outcome"] else None
    return TurnRow(
        fields["id"],
        fields["thread"],
        fields["start"],
        fields["request"],
        fields["status"],
        outcome,
        fields["snapshot"],
        fields["not_before"],
        fields["attempts"],
        fields["origin"],
        fields["created_at"],
        fields["started_at"],
        fields["ended_at"],
        fields["follows"],
    )


# Made once: building the statement costs more than running it, and this one is run several times a step.
_APPEND: Final = (
    insert(items)
    .from_select(
        ["turn", "seq", "life", "item", "type", "body", "at"],
        select(
            turns.c.id,
            bindparam("new_seq", type_=Integer),
            *(bindparam(f"new_{name}", type_=String) for name in ("life", "item", "type", "body")),
            bindparam("new_at", type_=Double),
        ).where(turns.c.id == bindparam("to_turn"), turns.c.owner == bindparam("by_owner")),
    )
    .returning(items.c.seq)
)


class SqlJournal:
    """`harness.protocols.Journal` in the database."""

    def __init__(
        self, database: Database, *, turn: str, thread: str, owner: str, account: Account | None = None
    ) -> None:
        self._database = database
        self._account: Final = account or Account()
        self._turn: Final = turn
        self._thread: Final = thread
        self._owner: Final = owner
        self._next = 0

    async def load(self) -> Sequence[Entry]:
        entries = await self._database.read(lambda connection: entries_of(connection, self._turn))
        self._next = entries[-1].seq + 1 if entries else 0
        return entries

    async def earlier(self) -> Sequence[Entry]:
        return await self._database.read(
            lambda connection: earlier_entries(connection, line_of(connection, self._turn))
        )

    async def append(self, life: Life, item: Item) -> None:
        now = time.time()
        row = {
            "to_turn": self._turn,
            "by_owner": self._owner,
            "new_seq": self._next,
            "new_life": life.value,
            "new_item": str(item.id),
            "new_type": item.type,
            "new_body": ItemAdapter.dump_json(item).decode(),
            "new_at": now,
        }
        self._next += 1

        def write(connection: Connection) -> bool:
            # Not by the count of rows: psycopg does not tell it here.
            if connection.execute(_APPEND, row).one_or_none() is None:
                return False
            charge(
                connection,
                life,
                item,
                turn=self._turn,
                thread=self._thread,
                account=self._account,
                now=now,
            )
            return True

        if not await self._database.write(write):
            raise OwnershipLost
