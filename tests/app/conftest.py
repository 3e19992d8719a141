"""A store, an engine and the webhook endpoint, all real, in one process."""

import asyncio
import hashlib
import hmac
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from app.engine import WakeUps
from app.intake import Intake
from app.queues import Queue
from app.store.database import Database
from handlers.view import Bot
from tests.app import postgres

SECRET = "a webhook secret"
OLD_SECRET = "the secret before it"
BOT = Bot(id=9000, login="darner[bot]", mention="darner")


async def _nothing(thread: str) -> None:
    del thread


@dataclass
class House:
    """What a test needs of the process."""

    database: Database
    wake_ups: WakeUps
    driven: list[tuple[Queue, str]] = field(default_factory=list)
    drive: Callable[[str], Awaitable[None]] = _nothing
    """What driving a thread's events does, besides being recorded."""

    async def wait_driven(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.driven) < count:
                await asyncio.sleep(0.02)


_count = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server; its URL wants the name of a database."""
    with postgres.running(postgres.programs()) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database, of either kind (the second where PostgreSQL is installed)."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'darner.db'}"
    return _new_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """A new database of a server that many processes may use."""
    return _new_database(postgres_url)


def _new_database(server: str) -> str:
    name = f"darner{next(_count)}"
    engine = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as opened:
        yield opened


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    with Database(database_url) as database:
        wake_ups = WakeUps(database, max_turns=2)
        made = House(database, wake_ups)

        async def on_events(thread: str) -> None:
            await made.drive(thread)
            made.driven.append((Queue.EVENTS, thread))

        async def on_turns(thread: str) -> None:
            made.driven.append((Queue.TURNS, thread))

        await wake_ups.start({Queue.EVENTS: on_events, Queue.TURNS: on_turns})
        try:
            yield made
        finally:
            await wake_ups.stop()


@dataclass
class Webhook:
    """GitHub's end of the webhook."""

    client: httpx2.AsyncClient

    async def deliver(
        self,
        body: bytes,
        *,
        guid: str | None = "11111111-2222-3333-4444-555555555555",
        event: str | None = "issue_comment",
        secret: str = SECRET,
        signature: str | None = None,
        content_type: str = "application/json",
    ) -> httpx2.Response:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": content_type, "x-hub-signature-256": signature or f"sha256={digest}"}
        if guid is not None:
            headers["x-github-delivery"] = guid
        if event is not None:
            headers["x-github-event"] = event
        return await self.client.post("/webhook", content=body, headers=headers)


@pytest.fixture
async def webhook(house: House) -> AsyncIterator[Webhook]:
    intake = Intake(house.database, house.wake_ups, secrets=(SECRET, OLD_SECRET), bot=lambda: BOT)
    transport = httpx2.ASGITransport(app=intake)
    async with httpx2.AsyncClient(transport=transport, base_url="http://darner") as client:
        yield Webhook(client)
