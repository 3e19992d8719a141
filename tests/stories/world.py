"""The world that a story happens in: the real forge, the real server, a scripted model, and people."""

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
from sqlalchemy import Connection, Engine, func, select
from starlette.types import ASGIApp, Receive, Scope, Send

from app.budget_settings import WrittenPrice
from app.explain import Explanation, explain
from app.settings import Settings
from app.store import schema
from app.store.database import engine_for
from app.wiring import build
from demo import forge as local_forge
from demo import model as scripted
from demo import story
from demo.forge import Forge
from demo.forge.actions import apps, checks, repos
from demo.forge.announce import redeliver
from demo.forge.person import Person, Pull, Said, signed_in
from demo.forge.rest import OPERATIONS
from demo.forge.seed import acting
from demo.forge.state import CheckRun, Delivery, Role, User
from tests.github.ledger import GivenResponse, Ledger, SentRequest
from tests.stories.sessions import SESSIONS

BOT: Final = "darner[bot]"
OTHER_BOT: Final = "renovate[bot]"
WEBHOOK_SECRET: Final = "the secret of the story's webhook"
PRICE: Final = WrittenPrice(input=Decimal(2), output=Decimal(10))
API_KEY: Final = "sk-the-story-key-0123456789abcdef"
PATIENCE_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.02

TITLE: Final = "`spread` loses a stitch"
BODY: Final = "11 stitches and 3 increases come out as 10 stitches."
REQUEST: Final = "@darner fix the failing test"


class Gate:
    """The model's door: while it is closed, requests wait before it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._open = asyncio.Event()
        self._open.set()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._waiting += 1
        await self._open.wait()
        self._waiting -= 1
        await self._app(scope, receive, send)

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Nobody comes through until the block ends."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    async def someone_waits(self) -> None:
        """Return when a turn is at the door: all that comes before its first answer is done."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._waiting:
                await asyncio.sleep(POLL_SECONDS)


@dataclass
class World:
    """Everything that plays. One for many stories: each has a repository of its own."""

    forge: Forge
    model: scripted.ScriptedModel
    people: Mapping[str, Person]
    settings: Settings
    server_url: str
    gate: "Gate"
    scratch: Path
    _engine: Engine
    _requests: list[str]
    _made: list[str] = field(default_factory=list)

    @property
    def maya(self) -> Person:
        """Owns every repository."""
        return self.people["maya"]

    @property
    def cole(self) -> Person:
        """May write."""
        return self.people["cole"]

    @property
    def tess(self) -> Person:
        """May triage."""
        return self.people["tess"]

    @property
    def oskar(self) -> Person:
        """A stranger."""
        return self.people["oskar"]

    @property
    def other_bot(self) -> Person:
        """A bot that nobody has listed."""
        return self.people[OTHER_BOT]

    @property
    def bot(self) -> Person:
        return self.people[BOT]

    def repository(
        self,
        *,
        files: Mapping[str, str] | None = None,
        protected: tuple[str, ...] = (),
        private: bool = False,
    ) -> str:
        """A new repository with the demo's bug in it, and `files` besides; its full name."""
        name = f"maya/purl-{len(self._made) + 1}"
        self._made.append(name)
        source = story.REPOSITORY
        if files:
            source = self.scratch / f"source-{len(self._made)}"
            _copy(story.REPOSITORY, source)
            for path, text in files.items():
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_text(text)
        self.forge.create_repository(name, directory=source)
        return name

    def protect(self, repository: str, branch: str) -> None:
        """Let a branch take no pushes any more."""
        found = self.forge.state.repository(*repository.split("/"))
        assert found is not None
        owner = _user(self.forge, repository.split("/")[0])
        repos.protect(acting(self.forge.state, owner), found, branches=(branch,))

    def installs(self, login: str, repository: str) -> None:
        """Somebody has the App on one repository of theirs."""
        state = self.forge.state
        found = state.repository(*repository.split("/"))
        assert found is not None
        owner = _user(self.forge, login)
        apps.install(acting(state, owner), self.forge.seeded.app, account=owner, repositories=[found])

    def may(self, repository: str, login: str, role: Role) -> None:
        """Maya says what somebody may do in a repository of hers."""
        found = self.forge.state.repository(*repository.split("/"))
        assert found is not None
        maya = acting(self.forge.state, _user(self.forge, "maya"))
        repos.set_collaborator(maya, found, user=_user(self.forge, login), role=role)

    def presses(self, login: str, repository: str, turn: str, button: str) -> None:
        """Somebody presses a button of the newest check run of a turn; `rerequested` is GitHub's own."""
        state = self.forge.state
        run = max(state.where(CheckRun, external_id=turn), key=lambda run: run.id)
        actor = acting(state, _user(self.forge, login))
        if button == "rerequested":
            checks.rerequest(actor, run)
        else:
            checks.request_action(actor, run, identifier=button)

    def buttons(self, turn: str) -> list[str]:
        """What the newest check run of a turn offers."""
        run = max(self.forge.state.where(CheckRun, external_id=turn), key=lambda run: run.id)
        return [action.label for action in run.actions]

    async def issue(self, repository: str) -> int:
        """An issue of Maya's that tells of the demo's bug."""
        return await self.maya.opens_issue(repository, TITLE, BODY)

    async def settled(self, repository: str) -> None:
        """Return when nothing is left to be done about anything that happened in the repository."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await self.forge.webhooks_settled()
                if await asyncio.to_thread(self._is_quiet, repository):
                    return
                await asyncio.sleep(POLL_SECONDS)

    def _is_quiet(self, repository: str) -> bool:
        threads = select(schema.threads.c.id).where(schema.threads.c.repository == repository)
        with self._reader() as connection:
            return not any(
                connection.scalar(select(func.count()).select_from(table).where(condition))
                for table, condition in (
                    (schema.inbox, schema.inbox.c.thread.in_(threads) & (schema.inbox.c.state == "pending")),
                    (
                        schema.effects,
                        schema.effects.c.thread.in_(threads) & (schema.effects.c.state == "pending"),
                    ),
                    (schema.turns, schema.turns.c.thread.in_(threads) & (schema.turns.c.status != "ended")),
                )
            )

    def _reader(self) -> Connection:
        return self._engine.connect().execution_options(reader=True)

    async def looked(self, repository: str, *, looks: int) -> None:
        """Return when the checks of heads were looked at so often, whatever is still waited for."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await asyncio.to_thread(self._looks, repository) < looks:
                await asyncio.sleep(POLL_SECONDS)

    def _looks(self, repository: str) -> int:
        threads = select(schema.threads.c.id).where(schema.threads.c.repository == repository)
        due = schema.inbox.c.event.like('%"type":"checks_due"%') & (schema.inbox.c.state == "handled")
        query = select(func.count()).select_from(schema.inbox).where(schema.inbox.c.thread.in_(threads) & due)
        with self._reader() as connection:
            return connection.scalar(query) or 0

    async def final_comment(self, repository: str, number: int) -> str:
        """The bot's last word in a conversation, once it is quiet."""
        await self.settled(repository)
        return (await self.bot_comments(repository, number))[-1].body

    async def bot_comments(self, repository: str, number: int) -> list[Said]:
        return [said for said in await self.maya.reads(repository, number) if said.author == BOT]

    async def until_said(self, repository: str, number: int, *, comments: int) -> None:
        """Return when the bot has said so much."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(await self.bot_comments(repository, number)) < comments:
                await asyncio.sleep(POLL_SECONDS)

    async def asked(self, repository: str, number: int, *, comments: int) -> str:
        """Return the id of the request that is open, when the bot has said so much."""
        await self.until_said(repository, number, comments=comments)
        said = (await self.bot_comments(repository, number))[-1].body
        found = re.search(r"Request `([0-9a-f]{8})`", said)
        assert found, said
        return found[1]

    async def only_pull(self, repository: str) -> Pull:
        """The one pull request there is."""
        [pull] = await self.maya.pulls(repository)
        return pull

    def times_asked(self, request: str) -> int:
        """How often the forge was asked, by anybody: `GET /repos/maya/hats/pulls/3/comments`."""
        return self._requests.count(request)

    def deliveries(self, event: str, **members: object) -> list[Delivery]:
        """The webhooks sent that told of something, oldest first. `comment=7` is the one whose id is 7."""
        found = []
        for delivery in self.forge.state.where(Delivery, event=event):
            payload = orjson.loads(delivery.payload)
            if all(payload.get(name, {}).get("id") == value for name, value in members.items()):
                found.append(delivery)
        return found

    async def redelivered(self, delivery: Delivery) -> Delivery:
        """The same webhook again, as after a click on "Redeliver"; how it went."""
        again = redeliver(self.forge.state, delivery)
        await self.forge.webhooks_settled()
        return self.forge.state.get(Delivery, again.id)

    async def turns(self, repository: str) -> list[str]:
        """The turns there were, oldest first."""
        return await asyncio.to_thread(self._turns, repository)

    async def until_turns(self, repository: str, count: int) -> None:
        """Return when so many were begun."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(await self.turns(repository)) < count:
                await asyncio.sleep(POLL_SECONDS)

    def _turns(self, repository: str) -> list[str]:
        turns, threads = schema.turns, schema.threads
        query = (
            select(turns.c.id)
            .join(threads, threads.c.id == turns.c.thread)
            .where(threads.c.repository == repository)
            .order_by(turns.c.created_at)
        )
        with self._reader() as connection:
            return list(connection.execute(query).scalars())

    async def why(self, delivery: Delivery) -> Explanation:
        """`darner why`."""
        explained = await asyncio.to_thread(self._explain, delivery.guid)
        assert explained is not None, f"delivery {delivery.guid} never came in"
        return explained

    def _explain(self, guid: str) -> Explanation | None:
        with self._reader() as connection:
            return explain(connection, guid)

    async def why_comment(self, comment: int) -> Explanation:
        """What became of the newest webhook about a comment in a conversation."""
        return await self.why(self.deliveries("issue_comment", comment=comment)[-1])

    async def journal(self, turn: str) -> list[dict[str, Any]]:
        """The items of a turn as they were completed, oldest first."""
        return await asyncio.to_thread(self._journal, turn)

    def _journal(self, turn: str) -> list[dict[str, Any]]:
        items = schema.items
        query = (
            select(items.c.body)
            .where(items.c.turn == turn, items.c.life == "completed")
            .order_by(items.c.seq)
        )
        with self._reader() as connection:
            return [orjson.loads(body) for body in connection.execute(query).scalars()]

    async def charged(self, turn: str) -> dict[str, int]:
        """What each answered request of a turn cost: its journal entry, and micros."""
        return await asyncio.to_thread(self._charged, turn)

    def _charged(self, turn: str) -> dict[str, int]:
        charges = schema.charges
        query = select(charges.c.item, charges.c.micros).where(charges.c.turn == turn, charges.c.model != "")
        with self._reader() as connection:
            return {row.item: row.micros for row in connection.execute(query)}

    async def clone(self, person: Person, repository: str, branch: str = "main") -> "Clone":
        """A person's own clone of a branch, made with real git."""
        directory = self.scratch / f"clone-{repository.replace('/', '-')}-{len(list(self.scratch.iterdir()))}"
        scheme, _, place = self.forge.url.partition("://")
        url = f"{scheme}://{person.login}:{self.forge.tokens[person.login]}@{place}/{repository}.git"
        await asyncio.to_thread(git, self.scratch, "clone", "-q", "--branch", branch, url, str(directory))
        return Clone(directory, person.login)


@dataclass(frozen=True, slots=True)
class Clone:
    """A work tree on a person's machine."""

    directory: Path
    login: str

    async def commits(
        self, files: Mapping[str, str | None], *, branch: str | None = None, message: str = "Change"
    ) -> str:
        """Write the files (None: delete it), commit, push; the new commit."""
        # In a thread: the forge that git talks to lives in this event loop.
        return await asyncio.to_thread(self._commit, files, branch, message)

    def _commit(self, files: Mapping[str, str | None], branch: str | None, message: str) -> str:
        if branch is not None:
            git(self.directory, "checkout", "-q", "-b", branch)
        for path, text in files.items():
            if text is None:
                (self.directory / path).unlink()
                continue
            (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / path).write_text(text)
        git(self.directory, "add", "-A")
        who = ("-c", f"user.name={self.login}", "-c", f"user.email={self.login}@example.com")
        git(self.directory, *who, "commit", "-q", "-m", message)
        git(self.directory, "push", "-q", "origin", "HEAD")
        return git(self.directory, "rev-parse", "HEAD").strip()


def git(directory: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(
        ("git", *arguments), cwd=directory, env=environment, capture_output=True, check=True, timeout=180
    )
    return done.stdout.decode()


@asynccontextmanager
async def opened(home: Path, ledger: Ledger) -> AsyncIterator[World]:
    """A world, until the block ends: all of it in this process and this event loop."""
    async with AsyncExitStack() as stack:
        requests: list[str] = []

        def on_exchange(request: SentRequest, response: GivenResponse) -> None:
            ledger.on_exchange(request, response)
            requests.append(f"{request.method} {request.path}")

        forge = await stack.enter_async_context(
            local_forge.serve(home / "forge", on_exchange=[on_exchange], on_webhook=[ledger.on_webhook])
        )
        ledger.offers((operation.method, operation.path) for operation in OPERATIONS)
        model = scripted.create_app(SESSIONS)
        gate = Gate(model)
        model_url = await stack.enter_async_context(scripted.serve(gate))
        settings = Settings(
            home=home / "darner",
            github_url=forge.url,
            github_app_id=forge.seeded.app.id,
            github_app_key=forge.seeded.app.private_key,
            webhook_secret=WEBHOOK_SECRET,
            model=scripted.BY_CONTENT,
            openai_base_url=f"{model_url}/v1",
            openai_api_key=API_KEY,
            rules=_rules_in(home),
            approvable_hosts=("wool.example",),
            prices={scripted.BY_CONTENT: PRICE},
            port=free_port(),
            review_quiet_seconds=0.1,
        )
        server_url = await stack.enter_async_context(_served(settings))
        forge.set_webhook(f"{server_url}/webhook", secret=WEBHOOK_SECRET)
        apps.create_app(forge.state, owner=_user(forge, "maya"), slug="renovate", name="Renovate")
        tokens = {**forge.tokens, OTHER_BOT: apps.user_token(forge.state, _user(forge, OTHER_BOT)).value}
        people = {
            login: await stack.enter_async_context(signed_in(login, api_url=forge.api_url, token=token))
            for login, token in tokens.items()
        }
        engine = engine_for(settings.sql_url)
        stack.callback(engine.dispose)
        scratch = home / "scratch"
        scratch.mkdir()
        yield World(forge, model, people, settings, server_url, gate, scratch, engine, requests)


def _rules_in(home: Path) -> Path:
    """The operator's: one program that a person must be asked about."""
    rules = home / "rules.toml"
    rules.write_text(
        """[[prefix]]
pattern = ["shred"]
decision = "ask"
justification = "It destroys files."
match = ["shred old.txt"]
not_match = ["ls"]
"""
    )
    return rules


@asynccontextmanager
async def _served(settings: Settings) -> AsyncIterator[str]:
    """`darner serve` in this process."""
    config = uvicorn.Config(
        build(settings), host=settings.host, port=settings.port, log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    # pytest owns the process and its signals.
    serving = asyncio.create_task(server._serve())  # noqa: SLF001  `serve` is this plus taking over the signals
    while not (server.started or serving.done()):
        await asyncio.sleep(POLL_SECONDS)
    if serving.done():
        await serving
    try:
        yield f"http://{settings.host}:{settings.port}"
    finally:
        server.should_exit = True
        await serving


def _user(forge: Forge, login: str) -> User:
    user = forge.state.user(login)
    assert user is not None
    return user


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
