"""Where the sweep happens: a forge and a model in this process, where they can be told to fail.

The server is in one of its own, where it can be killed; and there is a clock that can be set forward.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from demo import forge as local_forge
from demo import model as scripted
from demo import story
from demo.forge import Forge
from demo.forge.actions import issues
from demo.forge.actions.actor import Actor
from demo.forge.announce import redeliver
from demo.forge.person import signed_in
from demo.forge.seed import acting
from demo.forge.state import Delivery, Issue, Repository
from tests.stories.by_hand import API_KEY, REPOSITORY, WEBHOOK_SECRET, House, bare_environment
from tests.stories.world import POLL_SECONDS, free_port

PATIENCE_SECONDS: Final = 240.0
CLOCK: Final = "DARNER_SWEEP_CLOCK"
COUNT: Final = "DARNER_SWEEP"
PRICES: Final = '{"scripted": {"input": 2, "output": 10}}'


@dataclass
class Place:
    """What there is, and the hand that hurts it."""

    forge: Forge
    house: House
    home: Path
    _later: float = field(default=0.0)

    async def opens_issue(self, title: str, body: str) -> int:
        """Maya does; by no request that a fault could meet. The issue's number."""
        return (
            await asyncio.to_thread(
                issues.create_issue, self.actor("maya"), self.repository, title=title, body=body
            )
        ).number

    async def says(self, issue: int, body: str, *, by: str = "maya") -> None:
        """Somebody comments."""
        found = self.forge.state.issue(self.repository, issue)
        assert found is not None
        await asyncio.to_thread(issues.comment, self.actor(by), found, body=body)

    @property
    def repository(self) -> Repository:
        found = self.forge.state.repository(*REPOSITORY.split("/"))
        assert found is not None
        return found

    def subject(self, number: int) -> Issue:
        found = self.forge.state.issue(self.repository, number)
        assert found is not None
        return found

    def actor(self, login: str) -> Actor:
        """Somebody, by no request that a fault could meet."""
        user = self.forge.state.user(login)
        assert user is not None
        return acting(self.forge.state, user)

    async def counts_from_now(self, point: int) -> None:
        """Have the server die before its `point`-th step from here on; 0 is never."""
        self._asked.write_text(str(point))
        self._seen.unlink(missing_ok=True)
        self.house.tell(signal.SIGUSR1)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self._seen.exists():
                await asyncio.sleep(POLL_SECONDS)

    def steps(self) -> Sequence[str]:
        """What the server has done since."""
        return self._seen.read_text().splitlines()

    @property
    def _asked(self) -> Path:
        return Path(self.house.settings[COUNT])

    @property
    def _seen(self) -> Path:
        return self._asked.with_suffix(".seen")

    async def starts_again(self, number: int | None = None) -> None:
        """The server, after its death. Whatever the forge has told of the issue, it tells once more."""
        await self.forge.webhooks_settled()
        await self.house.serve()
        if number is not None:
            for delivery in self._told_of(number):
                redeliver(self.forge.state, delivery)

    def _told_of(self, number: int) -> list[Delivery]:
        """Webhooks, each once: taken or not, the forge may repeat it."""
        told = []
        for delivery in self.forge.state.where(Delivery, redelivery=False):
            payload = orjson.loads(delivery.payload)
            if (payload.get("issue") or {}).get("number") == number:
                told.append(delivery)
        return told

    async def later(self, seconds: float) -> None:
        """The server is killed, the time passes, it is started again: for it and the forge, not for us."""
        await self.house.stop(signal.SIGKILL)
        self._later += seconds
        Path(self.house.settings[CLOCK]).write_text(str(self._later))
        later = timedelta(seconds=self._later)
        self.forge.state.clock = lambda: datetime.now(UTC) + later
        await self.house.serve()

    def now(self) -> float:
        """As the server sees it."""
        return time.time() + self._later

    async def until(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return what the database answers, as soon as that is something."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (rows := self.house.rows(query, *arguments)):
                await asyncio.sleep(POLL_SECONDS * 3)
        return rows


@asynccontextmanager
async def place(
    home: Path,
    *,
    sessions: Sequence[scripted.Session],
    database_url: str = "",
    extra: Mapping[str, str] | None = None,
) -> AsyncIterator[Place]:
    """A place to sweep in, until the block ends."""
    async with AsyncExitStack() as stack:
        forge = await stack.enter_async_context(local_forge.serve(home / "forge"))
        # Hundreds of jobs in an hour are no trouble that is meant here.
        forge.parts.rest.hourly_limit = 1_000_000
        forge.create_repository(REPOSITORY, directory=story.REPOSITORY)
        model = scripted.create_app(sessions)
        model_url = await stack.enter_async_context(scripted.serve(model))
        port = free_port()
        forge.set_webhook(f"http://127.0.0.1:{port}/webhook", secret=WEBHOOK_SECRET)
        maya = await stack.enter_async_context(
            signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"])
        )
        key, rules, clock = home / "app.pem", home / "rules.toml", home / "clock"
        # Hours later by its clock, the server takes what others make in a shared place for forgotten.
        temporary = home / "tmp"
        temporary.mkdir()
        key.write_text(forge.seeded.app.private_key)
        rules.write_text('[[prefix]]\npattern = ["shred"]\ndecision = "ask"\nmatch = ["shred x"]\n')
        clock.write_text("0")
        settings = bare_environment(home) | {
            "DARNER_HOME": str(home / "darner"),
            "DARNER_GITHUB_URL": forge.url,
            "DARNER_GITHUB_APP_ID": str(forge.seeded.app.id),
            "DARNER_GITHUB_APP_KEY": str(key),
            "DARNER_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "DARNER_MODEL": scripted.BY_CONTENT,
            "DARNER_PORT": str(port),
            "DARNER_RULES": str(rules),
            "DARNER_PRICES": PRICES,
            "DARNER_TURN_STEPS": "3",
            "TMPDIR": str(temporary),
            "OPENAI_BASE_URL": f"{model_url}/v1",
            "OPENAI_API_KEY": API_KEY,
            CLOCK: str(clock),
            COUNT: str(home / "kill-before"),
            **(extra or {}),
        }
        if database_url:
            settings["DARNER_DATABASE_URL"] = database_url
        house = House(home, forge.url, dict(forge.tokens), maya, model, settings, port)
        house.program, house.patience = "tests.sweep.server", PATIENCE_SECONDS
        stack.push_async_callback(house.stop)
        await house.serve()
        yield Place(forge, house, home)
