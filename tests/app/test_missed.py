"""Webhooks that nobody took are asked for again, from the local forge."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from app.missed import Missed
from app.store.database import Database
from app.tokens import AppTokens, next_page
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.person import Person, signed_in
from tests.stories.world import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    async with local_forge.serve(tmp_path_factory.mktemp("forge")) as running:
        running.create_repository("maya/purl", directory=story.REPOSITORY)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def maya(forge: Forge) -> AsyncIterator[Person]:
    async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as person:
        yield person


@asynccontextmanager
async def listener(port: int, taken: list[str]) -> AsyncIterator[None]:
    """A server that takes webhooks and notes their GUIDs."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        await reader.readexactly(int(headers["content-length"]))
        taken.append(headers["x-github-delivery"])
        writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", port):
        yield


async def test_what_came_while_nobody_listened_is_sent_again_once(
    forge: Forge, maya: Person, tmp_path: Path
) -> None:
    """After the next start the comment of the outage arrives, under its old GUID, and only once."""
    port = free_port()
    forge.set_webhook(f"http://127.0.0.1:{port}/webhook", secret="s")
    issue = await maya.opens_issue("maya/purl", "Rows", "@darner mend spread")
    await forge.webhooks_settled()
    app = forge.seeded.app
    tokens = AppTokens(app_id=app.id, private_key=app.private_key, api_url=forge.api_url)
    taken: list[str] = []
    with Database(f"sqlite:///{tmp_path / 'darner.db'}") as database:
        missed = Missed(database, tokens)
        async with listener(port, taken):
            asked = await missed.recover()
            await forge.webhooks_settled()
            again = await missed.recover()
            await maya.says("maya/purl", issue, "thanks")
            await forge.webhooks_settled()

        assert asked
        assert again == []
        assert taken[: len(asked)] == asked
        assert len(taken) == len(asked) + 1


async def test_the_next_page_is_the_one_the_header_names() -> None:
    """Or none."""
    link = '<https://api.example/app?cursor=1>; rel="prev", <https://api.example/app?cursor=9>; rel="next"'
    assert next_page(link) == "https://api.example/app?cursor=9"
    assert next_page('<https://api.example/app?cursor=1>; rel="prev"') is None
