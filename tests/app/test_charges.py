"""What is spent is counted once, and for everyone whom it concerns, on every database that is supported."""

from dataclasses import replace

import pytest

from app.metrics import render_metrics
from app.spending import Payer, Spending
from app.store import charges, inbox, turns
from app.store.charges import Account, Spent
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.turns import SqlJournal
from handlers.budgets import Amounts, Budgets
from handlers.wishes import Ceiling, Wishes
from harness.budget import Allowance, Price, Prices
from harness.items import (
    AgentMessage,
    Call,
    CommandExecution,
    Item,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    TurnLimits,
    Usage,
)
from harness.protocols import OwnershipLost

PURL, KNIT = RepositoryRef(7, "maya/purl", None), RepositoryRef(8, "maya/knit", None)
MAYA, COLE = 1, 2
PRICES = Prices({"m*": Price(input=2_000_000, cached_input=1_000_000, output=10_000_000)})


def model_call(number: int, *, model: str = "m1", seconds: float = 2.0) -> ModelCall:
    return ModelCall(id=ItemId(f"item_{number}"), model=model, usage=Usage(100, 40, 10, 0), seconds=seconds)


def command(number: int, *, seconds: float | None) -> CommandExecution:
    call = Call("c", "exec_command", "{}")
    item_id = ItemId(f"item_{number}")
    return CommandExecution(
        id=item_id, call=call, command="make", workdir=".", status=ItemStatus.COMPLETED, seconds=seconds
    )


async def journal_of(
    database: Database,
    turn: str,
    *,
    place: RepositoryRef = PURL,
    number: int = 1,
    actor: int = MAYA,
    prices: Prices = PRICES,
) -> SqlJournal:
    """The journal of a turn that its first worker has."""
    thread = f"{place.id}-{number}"
    await database.write(
        lambda connection: inbox.open_thread(connection, thread, place, number=number, now=1.0)
    )
    await database.write(lambda connection: turns.queue(connection, turn, thread, start="{}", now=1.0))
    await database.write(lambda connection: turns.take(connection, turn, owner="first", now=2.0))
    account = Account(place.id, actor, prices)
    return SqlJournal(database, turn=turn, thread=thread, owner="first", account=account)


async def record(journal: SqlJournal, *items: Item) -> None:
    await journal.load()
    for item in items:
        await journal.append(Life.COMPLETED, item)


async def test_answers_and_commands_are_charged_with_their_entries(database: Database) -> None:
    """Not what was merely begun, said, or ended without having run."""
    journal = await journal_of(database, "t1")
    await journal.load()
    await journal.append(Life.STARTED, command(0, seconds=None))

    await record(
        journal,
        AgentMessage(id=ItemId("item_1"), text="Hm."),
        model_call(2),
        command(0, seconds=1.5),
        command(3, seconds=None),
    )

    spent = await database.read(lambda connection: charges.of_turn(connection, "t1"))
    assert spent == Spent(tokens=110, micros=60 * 2 + 40 + 10 * 10, unpriced_tokens=0, seconds=3.5)


async def test_who_lost_the_turn_charges_nothing(database: Database) -> None:
    """The entry and its charge are written together or not at all."""
    journal = await journal_of(database, "t1")
    await database.write(lambda connection: turns.take(connection, "t1", owner="second", now=3.0))

    with pytest.raises(OwnershipLost):
        await journal.append(Life.COMPLETED, model_call(0))

    assert await database.read(lambda connection: charges.of_turn(connection, "t1")) == Spent()


async def test_what_has_no_price_is_known_to_be_unknown(database: Database) -> None:
    """Its tokens count; its money is not taken for nothing."""
    await record(await journal_of(database, "t1"), model_call(0), model_call(1, model="other"))

    spent = await database.read(lambda connection: charges.of_turn(connection, "t1"))

    assert (spent.tokens, spent.micros, spent.unpriced_tokens) == (220, 260, 110)


def spending(budgets: Budgets, *, now: float = 90_000.0, scopes: dict[str, Wishes] | None = None) -> Spending:
    ceiling = Ceiling(budgets=budgets, currency="USD", scopes=scopes or {})
    return Spending(lambda: ceiling, TurnLimits(), lambda: now)


async def test_each_scope_counts_what_is_its_own(database: Database) -> None:
    """Two people, two repositories, two conversations: no budget is charged for another's."""
    for turn, place, number, actor in (
        ("t1", PURL, 1, MAYA),
        ("t2", PURL, 1, COLE),
        ("t3", PURL, 2, COLE),
        ("t4", KNIT, 1, MAYA),
    ):
        await record(await journal_of(database, turn, place=place, number=number, actor=actor), model_call(0))
    now = await _newest(database)
    any_tokens = Amounts(tokens=10**6)
    house = spending(
        Budgets(
            turn=Amounts(micros=10**6),
            thread=any_tokens,
            repository=any_tokens,
            actor=any_tokens,
            day=any_tokens,
        ),
        now=now,
    )

    payer = Payer(thread="7-1", turn="t1", place=PURL, actor=COLE)
    found = await database.read(lambda connection: house.allowances(connection, payer))

    assert {allowance.scope: allowance.used for allowance in found} == {
        "turn": 260,
        "thread": 220,
        "repository": 330,
        "actor": 220,
        "day": 440,
    }


async def test_a_day_begins_at_midnight_utc(database: Database) -> None:
    """What was spent the day before does not count; a conversation's budget knows no days."""
    await record(await journal_of(database, "t1"), model_call(0))
    tomorrow = charges.day_of(await _newest(database))[1]
    some = Amounts(tokens=100)
    payer = Payer(thread="7-1", place=PURL, actor=MAYA)

    async def spent_at(now: float) -> dict[str, tuple[bool, float | None]]:
        house = spending(Budgets(thread=some, repository=some, actor=some, day=some), now=now)
        found = await database.read(lambda connection: house.allowances(connection, payer))
        return {allowance.scope: (allowance.is_spent, allowance.frees_at) for allowance in found}

    today = (True, tomorrow)
    assert await spent_at(tomorrow - 0.5) == {
        "thread": (True, None),
        "repository": today,
        "actor": today,
        "day": today,
    }
    next_day = (False, tomorrow + charges.DAY_SECONDS)
    assert await spent_at(tomorrow) == {
        "thread": (True, None),
        "repository": next_day,
        "actor": next_day,
        "day": next_day,
    }


async def test_a_conversations_own_budget_narrows_the_operators(database: Database) -> None:
    """Set by comment, in force at once; a unit that was not spoken of stays."""
    await record(await journal_of(database, "t1"), model_call(0))
    house = spending(Budgets(thread=Amounts(tokens=1_000)))
    payer = Payer(thread="7-1", place=PURL, actor=MAYA)

    async def held() -> list[tuple[str, float | None, bool]]:
        found = await database.read(lambda connection: house.allowances(connection, payer))
        return [(allowance.unit, allowance.allowed, allowance.is_raisable) for allowance in found]

    assert await held() == [("tokens", 1_000, False)]
    await database.write(lambda connection: charges.set_budget(connection, "7-1", tokens=500, micros=None))
    await database.write(lambda connection: charges.set_budget(connection, "7-1", tokens=None, micros=7))
    assert await held() == [("tokens", 500, True), ("money", 7, True)]
    await database.write(lambda connection: charges.set_budget(connection, "7-1", tokens=9_999, micros=None))
    assert await held() == [("tokens", 1_000, False), ("money", 7, True)]
    await database.write(lambda connection: charges.lift_budget(connection, "7-1"))
    assert await held() == [("tokens", 1_000, False)]


async def test_the_operators_tables_narrow_for_an_owner_and_a_repository(database: Database) -> None:
    await journal_of(database, "t1")
    scopes = {
        "maya": Wishes(budgets=Budgets(turn=Amounts(tokens=500), thread=Amounts(tokens=900))),
        "maya/purl": Wishes(budgets=Budgets(turn=Amounts(tokens=700, seconds=60.0))),
    }
    house = spending(Budgets(thread=Amounts(tokens=1_000)), scopes=scopes)

    found = await database.read(
        lambda connection: house.allowances(connection, Payer(thread="7-1", place=PURL))
    )

    assert [allowance.allowed for allowance in found] == [900]
    assert house.turn_limits(PURL) == replace(TurnLimits(), tokens=500, wall_seconds=60.0)
    assert house.turn_limits(None) == TurnLimits()


async def test_without_any_limit_nothing_is_looked_up_but_what_is_shown(database: Database) -> None:
    """A turn without budgets pays nothing for them; `budget` shows what was spent all the same."""
    await record(await journal_of(database, "t1"), model_call(0))
    house = spending(Budgets(), now=await _newest(database))
    payer = Payer(thread="7-1", turn="t1", place=PURL, actor=MAYA)

    assert await database.read(lambda connection: house.allowances(connection, payer)) == ()
    shown = await database.read(lambda connection: house.standing(connection, payer))
    assert shown == (
        Allowance(scope="turn", unit="tokens", used=110, allowed=4_000_000),
        Allowance(scope="turn", unit="wall_time", used=2.0, allowed=3600.0),
        Allowance(scope="turn", unit="money", used=260, allowed=None, currency="USD"),
    )


async def test_metrics_tell_tokens_and_money_by_model(database: Database) -> None:
    await record(await journal_of(database, "t1"), model_call(0), model_call(1), model_call(2, model='o"1\\'))

    text = await database.read(lambda connection: render_metrics(connection, currency="EUR"))

    assert 'darner_model_tokens_total{model="m1",kind="input"} 200' in text
    assert 'darner_model_tokens_total{model="m1",kind="cached_input"} 80' in text
    assert 'darner_model_money_total{model="m1",currency="EUR"} 0.000520' in text
    assert 'darner_model_tokens_total{model="o\\"1\\\\",kind="output"} 10' in text


async def _newest(database: Database) -> float:
    """When the last charge was made."""
    found = await database.read(
        lambda connection: connection.exec_driver_sql("SELECT max(at) FROM charges").scalar_one()
    )
    return float(found)
