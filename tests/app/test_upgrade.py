"""A database that an older version wrote goes on under this one, whatever it was in the middle of.

`store_0002.json` holds the tables as the version of migration 0002 left them when it was killed: one turn
ended with its pull request, one was parked by the model's endpoint, one was in the middle of a command.
"""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.store import backlog, deliveries, inbox, turns
from app.store.database import MIGRATIONS, Database, engine_for
from app.store.turns import SqlJournal, TurnRow
from handlers.effects import EffectAdapter, StartTurn
from harness.history import INTERRUPTED
from harness.items import CommandExecution, Completed, ItemStatus, ThreadId, TurnId
from harness.loop import run_turn
from harness.memory import PlainSession
from harness.protocols import Tool
from tests.harness.scripted import ScriptedModel, answer, said, turn

WRITTEN: Final = Path(__file__).parents[1] / "data" / "store_0002.json"
OLD: Final = "0002"
NO_TOOLS: Final[MappingProxyType[str, Tool]] = MappingProxyType({})


def _config(connection: sa.Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _upgrade(engine: sa.Engine, revision: str) -> None:
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def _write_old(engine: sa.Engine) -> None:
    """The tables of the old version, with what it wrote."""
    _upgrade(engine, OLD)
    tables = _tables(engine)
    with engine.begin() as connection:
        for name, rows in json.loads(WRITTEN.read_text()).items():
            if rows:
                connection.execute(tables[name].insert(), [_row(row) for row in rows])
        if engine.dialect.name == "postgresql":
            for name, table in tables.items():
                if "id" in table.c and isinstance(table.c.id.type, sa.BigInteger):
                    # Rows that were written with their ids do not move the counter.
                    highest = f"(SELECT coalesce(max(id), 1) FROM {name})"  # noqa: S608
                    connection.execute(
                        sa.text(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {highest})")
                    )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in row.items()
    }


def _tables(engine: sa.Engine) -> dict[str, sa.Table]:
    metadata = sa.MetaData()
    metadata.reflect(engine)
    return {table.name: table for table in metadata.sorted_tables if table.name != "darner_migrations"}


@pytest.fixture
def old(database_url: str) -> Iterator[sa.Engine]:
    engine = engine_for(database_url)
    _write_old(engine)
    yield engine
    engine.dispose()


async def _turn(database: Database, state: str) -> TurnRow:
    """The one in this state."""
    threads = await database.read(
        lambda connection: connection.execute(sa.text("SELECT id FROM threads")).scalars().all()
    )
    rows = [row for name in threads for row in await _of_thread(database, name)]
    [found] = [row for row in rows if row.status == state]
    return found


async def _of_thread(database: Database, thread: str) -> list[TurnRow]:
    return await database.read(lambda connection: turns.of_thread(connection, thread))


@pytest.mark.parametrize("state", ["running", "parked"])
async def test_a_turn_that_had_not_ended_goes_on(old: sa.Engine, database_url: str, state: str) -> None:
    """Its journal, pins and briefing are read; what it was in the midst of is told as interrupted."""
    old.dispose()
    with Database(database_url) as database:
        row = await _turn(database, state)
        start = EffectAdapter.validate_json(row.start)
        now = row.not_before + 1
        waiting = await database.read(lambda c: backlog.threads_with_turns(c, now=now))
        await database.write(lambda c: turns.take(c, row.id, owner="new", now=now))
        journal = SqlJournal(database, turn=row.id, thread=row.thread, owner="new")
        model = ScriptedModel([answer(said("Counted."))])
        result = await run_turn(
            replace(turn(row.request), id=TurnId(row.id), thread_id=ThreadId(row.thread)),
            model=model,
            tools=NO_TOOLS,
            session=PlainSession(),
            journal=journal,
        )
        await database.write(lambda c: turns.end(c, row.id, result, snapshot=None, owner="new", now=now))
        entries = await journal.load()
        after = await database.read(lambda c: turns.find(c, row.id))

    assert isinstance(start, StartTurn)
    assert row.thread in waiting
    assert result.outcome == Completed("Counted.")
    assert after is not None
    assert after.outcome == Completed("Counted.")
    commands = [entry.item for entry in entries if isinstance(entry.item, CommandExecution)]
    ends = [item for item in commands if item.status is not ItemStatus.IN_PROGRESS]
    assert Counter(item.id for item in commands if item.status is ItemStatus.IN_PROGRESS) == Counter(
        item.id for item in ends
    )
    told = str(model.history())
    assert (INTERRUPTED.text in told) == (state == "running")
    assert "Process exited with code 0" in told


async def test_what_had_ended_is_told_as_before(old: sa.Engine, database_url: str) -> None:
    """Outcome, ledger, and the letters and deliveries that led to it."""
    with old.connect() as connection:
        letters = connection.execute(sa.text("SELECT count(*) FROM inbox")).scalar_one()
    old.dispose()
    with Database(database_url) as database:
        row = await _turn(database, "ended")
        [brief] = await database.read(lambda c: turns.briefs_of(c, row.thread))
        place = await database.read(lambda c: inbox.place_of(c, row.thread))
        guid = await database.read(
            lambda c: c.execute(sa.text("SELECT guid FROM deliveries ORDER BY id LIMIT 1")).scalar_one()
        )
        found = await database.read(lambda c: deliveries.find(c, guid))
        kept = await database.read(lambda c: c.execute(sa.text("SELECT count(*) FROM inbox")).scalar_one())

    assert isinstance(brief.outcome, Completed)
    assert (brief.state, brief.waits_for, brief.follows) == ("ended", "", "")
    assert place.full_name == "maya/purl"
    assert found is not None
    assert kept == letters


async def test_each_later_migration_keeps_what_the_tables_hold(old: sa.Engine, database_url: str) -> None:
    """Step by step from there to here, with a row in every table on the way."""
    script = ScriptDirectory(str(MIGRATIONS))
    later = [found.revision for found in script.walk_revisions() if found.revision > OLD]
    for revision in sorted(later):
        before = _counts(old)
        _upgrade(old, revision)
        after = _counts(old)
        assert {name: after[name] for name in before} == before, revision
        _fill(old)
    counted = _counts(old)
    old.dispose()
    with Database(database_url) as database:
        row = await _turn(database, "parked")
        assert counted["requests"] == 1
        assert row.not_before > 0


def _counts(engine: sa.Engine) -> dict[str, int]:
    tables = _tables(engine)
    with engine.connect() as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }


def _fill(engine: sa.Engine) -> None:
    """A row in every table that has none."""
    counts, tables = _counts(engine), _tables(engine)
    with engine.begin() as connection:
        for name, table in tables.items():
            if counts[name] == 0:
                row = {column.name: _sample(connection, column) for column in table.columns}
                connection.execute(table.insert(), row)


def _sample(connection: sa.Connection, column: sa.Column[Any]) -> object:
    """Something that the column takes."""
    for key in column.foreign_keys:
        return connection.execute(sa.select(key.column).limit(1)).scalar_one()
    samples: dict[type, object] = {str: "x", bytes: b"x", bool: False, float: 1.0, int: 1}
    return samples[column.type.python_type]
