"""Forge and server started by hand, each by its command in a process of its own; only the model is ours."""

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import orjson
import psycopg

from demo import model as scripted
from demo.forge.person import Person, Pull, Said, signed_in
from tests.stories.sessions import SESSIONS
from tests.stories.world import BOT, PATIENCE_SECONDS, POLL_SECONDS, free_port

PROJECT: Final = Path(__file__).parents[2]
REPOSITORY: Final = "maya/purl"
WEBHOOK_SECRET: Final = "a-webhook-secret-set-by-hand"
API_KEY: Final = "sk-set-by-hand-0123456789abcdef"
PLANTED: Final = "planted-in-the-home-5f0c7a91"


@dataclass
class House:
    """The commands as they run, and what one needs to talk to them."""

    home: Path
    forge_url: str
    tokens: dict[str, str]
    maya: Person
    model: scripted.ScriptedModel
    settings: dict[str, str]
    """The server's whole environment."""
    port: int
    program: str = "app"
    """The module that is `darner`."""
    patience: float = PATIENCE_SECONDS
    """How long a start may take."""
    _server: asyncio.subprocess.Process | None = field(default=None)
    is_ready: bool = field(default=False)
    """Whether the server has been ready since it was started last."""

    async def serve(self) -> None:
        """`darner serve`; returns when it is ready for work."""
        self.is_ready = False
        self._server = await _darner(
            "serve", environment=self.settings, log=self.home / "serve.log", program=self.program
        )
        async with httpx2.AsyncClient() as client:
            await _answers(
                *(client, f"http://127.0.0.1:{self.port}/readyz", self._server, self.home / "serve.log"),
                patience=self.patience,
            )
        self.is_ready = True

    @property
    def has_died(self) -> bool:
        """Whether the server is gone without having been stopped."""
        return self._server is not None and self._server.returncode is not None

    def tell(self, number: signal.Signals) -> None:
        """Send the server a signal that it lives on with."""
        if self._server is not None:
            self._server.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._server is None:
            return
        with suppress(ProcessLookupError):
            self._server.send_signal(number)
        async with asyncio.timeout(60):
            await self._server.wait()
        self._server = None

    async def starts(self, *arguments: str, log: str, ready: int | None = None) -> asyncio.subprocess.Process:
        """Another `darner` with the server's settings; returns when it is ready on that port."""
        place = self.home / log
        process = await _darner(*arguments, environment=self.settings, log=place, program=self.program)
        if ready is not None:
            async with httpx2.AsyncClient() as client:
                await _answers(client, f"http://127.0.0.1:{ready}/readyz", process, place)
        return process

    async def opens_issue(self, title: str, body: str) -> int:
        """Write an issue into the form on the forge's page, as Maya; its number."""
        async with httpx2.AsyncClient(base_url=self.forge_url, follow_redirects=False) as browser:
            page = await browser.get(f"/{REPOSITORY}/issues/new")
            assert page.status_code == 200
            form = {"title": title, "body": body.replace("\n", "\r\n"), "who": "maya"}
            sent = await browser.post(
                f"/{REPOSITORY}/issues/new", data=form, headers={"origin": self.forge_url}
            )
        assert sent.status_code == 303, sent.text
        found = re.search(r"/issues/(\d+)$", sent.headers["location"])
        assert found
        return int(found[1])

    async def final_comment(self, issue: int) -> str:
        """The bot's last word: it comes after the progress comment."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(said := await self.bot_comments(issue)) < 2:
                await asyncio.sleep(POLL_SECONDS * 5)
        return said[-1].body

    async def bot_comments(self, issue: int) -> list[Said]:
        return [said for said in await self.maya.reads(REPOSITORY, issue) if said.author == BOT]

    async def pulls_for(self, issue: int) -> list[Pull]:
        return [p for p in await self.maya.pulls(REPOSITORY) if p.head_ref.startswith(f"darner/{issue}-")]

    @property
    def data(self) -> Path:
        return Path(self.settings["DARNER_HOME"])

    async def writes(self, name: str, text: str) -> None:
        """Return when the turn that runs has written this into a file of its checkout."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(path.read_text() == text for path in self.data.glob(f"checkouts/*/**/{name}")):
                await asyncio.sleep(POLL_SECONDS)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """What the server's database says."""
        with closing(self._connected()) as connection:
            cursor = connection.cursor()
            cursor.execute(query, arguments)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def _connected(self) -> Any:
        if url := self.settings.get("DARNER_DATABASE_URL"):
            return psycopg.connect(url.replace("+psycopg", ""), cursor_factory=_Questioning)
        return sqlite3.connect(self.data / "darner.db")

    def journal(self, turn: str) -> list[dict[str, Any]]:
        """The completed items of a turn, oldest first."""
        query = "SELECT body FROM items WHERE turn = ? AND life = 'completed' ORDER BY seq"
        return [orjson.loads(body) for (body,) in self.rows(query, turn)]


class _Questioning(psycopg.Cursor[Any]):
    """Takes SQLite's question marks."""

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        return super().execute(query.replace("?", "%s"), *arguments, **options)


@asynccontextmanager
async def opened(
    home: Path, *, program: str = "app", extra: Mapping[str, str] | None = None
) -> AsyncIterator[House]:
    """`darner forge` and `darner serve`, until the block ends; `extra` is added to the server's settings."""
    async with AsyncExitStack() as stack:
        model = scripted.create_app(SESSIONS)
        model_url = await stack.enter_async_context(scripted.serve(model))
        forge_port, port = free_port(), free_port()
        forge_url = f"http://127.0.0.1:{forge_port}"
        (home / ".ssh").mkdir()
        (home / ".ssh" / "id_planted").write_text(f"{PLANTED}\n")
        bare = bare_environment(home)
        forge = await _darner(
            *("forge", "--port", str(forge_port), "--home", str(home / "forge")),
            *("--webhook-url", f"http://127.0.0.1:{port}/webhook", "--webhook-secret", WEBHOOK_SECRET),
            environment=bare,
            log=home / "forge.log",
        )
        stack.push_async_callback(_ended, forge)
        client = await stack.enter_async_context(httpx2.AsyncClient())
        await _answers(client, f"{forge_url}/{REPOSITORY}/issues", forge, home / "forge.log")
        tokens = await _printed_tokens(home / "forge.log")
        maya = await stack.enter_async_context(
            signed_in("maya", api_url=f"{forge_url}/api/v3", token=tokens["maya"])
        )
        settings = bare | {
            "DARNER_HOME": str(home / "darner"),
            "DARNER_GITHUB_URL": forge_url,
            "DARNER_GITHUB_TOKEN": tokens[BOT],
            "DARNER_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "DARNER_MODEL": scripted.BY_CONTENT,
            "DARNER_PORT": str(port),
            "OPENAI_BASE_URL": f"{model_url}/v1",
            "OPENAI_API_KEY": API_KEY,
            **(extra or {}),
        }
        house = House(home, forge_url, tokens, maya, model, settings, port, program)
        stack.push_async_callback(house.stop)
        await house.serve()
        yield house


def bare_environment(home: Path) -> dict[str, str]:
    """What a person's shell has at least."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "200"}


async def _darner(
    *arguments: str, environment: dict[str, str], log: Path, program: str = "app"
) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", program, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**environment, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"},
            cwd=environment["HOME"],
        )


async def _answers(
    client: httpx2.AsyncClient,
    url: str,
    process: asyncio.subprocess.Process,
    log: Path,
    *,
    patience: float = PATIENCE_SECONDS,
) -> None:
    async with asyncio.timeout(patience):
        while True:
            assert process.returncode is None, log.read_text()
            with suppress(httpx2.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(POLL_SECONDS * 5)


async def _printed_tokens(log: Path) -> dict[str, str]:
    """What `darner forge` tells whoever started it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "Ctrl-C" not in (printed := log.read_text()):
            await asyncio.sleep(POLL_SECONDS)
    return dict(re.findall(r"^  (\S+) +(gh\w_\w+)$", printed, re.MULTILINE))


async def _ended(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    async with asyncio.timeout(60):
        await process.wait()
