"""What was spent: a row for each answered model request and each command, written with its journal entry."""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import ColumnElement, Connection, case, func, insert, select, update

from app.store.schema import charges, threads
from handlers.budgets import Amounts
from harness.budget import Prices
from harness.items import CommandExecution, Item, Life, ModelCall

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a turn's cost is counted for, and at which prices."""

    repository_id: int | None = None
    actor_id: int | None = None
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True)
class Spent:
    """A sum of charges."""

    tokens: int = 0
    micros: int = 0
    """Of the requests whose price was known."""
    unpriced_tokens: int = 0
    """Of those whose price was not."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelSpent:
    """What one model has used since the database was made."""

    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    micros: int


# Made once, as `app.store.turns` does it: it runs in every step.
_CHARGE: Final = insert(charges)


def charge(
    connection: Connection, life: Life, item: Item, *, turn: str, thread: str, account: Account, now: float
) -> None:
    """Count what `item` cost, if it cost anything: in the transaction that journals it, and so once."""
    if life is not Life.COMPLETED:
        return
    row: dict[str, object] = {
        "turn": turn,
        "item": str(item.id),
        "thread": thread,
        "repository_id": account.repository_id,
        "actor_id": account.actor_id,
        "at": now,
    }
    match item:
        case ModelCall(model=model, usage=usage, seconds=seconds):
            row |= {
                "model": model,
                "input_tokens": usage.input_tokens,
                "cached_tokens": usage.cached_input_tokens,
                "output_tokens": usage.output_tokens,
                "micros": account.prices.micros(model, usage),
                "seconds": seconds,
            }
        case CommandExecution(seconds=seconds) if seconds:
            row |= {
                "model": "",
                "input_tokens": 0,
                "cached_tokens": 0,
                "output_tokens": 0,
                "micros": 0,
                "seconds": seconds,
            }
        case _:
            return
    connection.execute(_CHARGE, row)


def of_turn(connection: Connection, turn: str) -> Spent:
    return _sum(connection, charges.c.turn == turn)


def of_thread(connection: Connection, thread: str) -> Spent:
    return _sum(connection, charges.c.thread == thread)


def of_repository(connection: Connection, repository_id: int, *, since: float) -> Spent:
    return _sum(connection, charges.c.repository_id == repository_id, charges.c.at >= since)


def of_actor(connection: Connection, actor_id: int, *, since: float) -> Spent:
    return _sum(connection, charges.c.actor_id == actor_id, charges.c.at >= since)


def of_all(connection: Connection, *, since: float) -> Spent:
    return _sum(connection, charges.c.at >= since)


def budget_of(connection: Connection, thread: str) -> Amounts:
    """What people allow all turns of a thread together."""
    query = select(threads.c.budget_tokens, threads.c.budget_micros).where(threads.c.id == thread)
    row = connection.execute(query).one_or_none()
    return Amounts(tokens=row.budget_tokens, micros=row.budget_micros) if row is not None else Amounts()


def set_budget(connection: Connection, thread: str, *, tokens: int | None, micros: int | None) -> None:
    """From now on; what is None stays as it is."""
    said = {"budget_tokens": tokens, "budget_micros": micros}
    values = {name: amount for name, amount in said.items() if amount is not None}
    if values:
        connection.execute(update(threads).where(threads.c.id == thread).values(values))


def lift_budget(connection: Connection, thread: str) -> None:
    """People allow the thread whatever the operator does."""
    none = {"budget_tokens": None, "budget_micros": None}
    connection.execute(update(threads).where(threads.c.id == thread).values(none))


def day_of(now: float) -> tuple[float, float]:
    """Begin and end of the day, in UTC, that `now` lies in."""
    begin = now - now % DAY_SECONDS
    return begin, begin + DAY_SECONDS


def _sum(connection: Connection, *which: ColumnElement[bool]) -> Spent:
    tokens = charges.c.input_tokens + charges.c.output_tokens
    query = select(
        func.coalesce(func.sum(tokens), 0).label("tokens"),
        func.coalesce(func.sum(charges.c.micros), 0).label("micros"),
        func.coalesce(func.sum(case((charges.c.micros.is_(None), tokens), else_=0)), 0).label("unpriced"),
        func.coalesce(func.sum(charges.c.seconds), 0.0).label("seconds"),
    ).where(*which)
    row = connection.execute(query).one()
    # PostgreSQL sums bigints into a numeric, which arrives as a Decimal.
    return Spent(int(row.tokens), int(row.micros), int(row.unpriced), float(row.seconds))


def by_model(connection: Connection) -> list[ModelSpent]:
    """All there ever was, by the model's name."""
    sums = (
        func.sum(column)
        for column in (charges.c.input_tokens, charges.c.cached_tokens, charges.c.output_tokens)
    )
    query = (
        select(charges.c.model, *sums, func.coalesce(func.sum(charges.c.micros), 0))
        .where(charges.c.model != "")
        .group_by(charges.c.model)
        .order_by(charges.c.model)
    )
    return [ModelSpent(name, *map(int, amounts)) for name, *amounts in connection.execute(query)]
