"""One thread's trouble with the forge's limits is everybody's: in simulated time, against the local forge."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from app.engine import WakeUps
from app.events_worker import EventsWorker
from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.mirrors import Mirrors
from app.perform import Performer
from app.queues import Queue
from app.results import Results
from app.spending import Spending
from app.store import deliveries, inbox, messages, outbox, throttles, turns
from app.store.database import Database
from app.store.deliveries import DeliveryRow
from app.store.outbox import EffectRow
from app.store.places import RepositoryRef
from app.tokens import AppTokens
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.faults import FaultKind
from demo.forge.person import Person, signed_in
from demo.forge.rest.api import Request, Response
from demo.forge.state import User
from handlers.effects import Effect, PostComment, React, ReactionTarget
from handlers.grammar import parse_command
from handlers.mention import find_request
from handlers.view import Bot
from harness.items import TurnLimits

pytestmark = pytest.mark.asyncio(loop_scope="module")

START = 1_000_000.0
NOON = "2026-11-22T12:00:00Z"
BOT = Bot(id=None, login="darner[bot]", mention="darner")


async def _nobody(thread: str) -> None:
    """The test drives."""
    del thread


@dataclass
class Clock:
    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class Deployment:
    """One process of two that share a database."""

    forge: Forge
    maya: Person
    place: RepositoryRef
    database: Database
    clock: Clock
    limits: ForgeLimits
    github: GitHub
    worker: EventsWorker
    asked: list[str]
    """The requests that reached the forge."""

    async def has_to(self, issue: int, *chosen: Effect) -> str:
        """Effects that wait in an issue's outbox; the thread."""
        thread = f"{self.place.id}-{issue}"

        def store(connection: Connection) -> None:
            inbox.open_thread(connection, thread, self.place, number=issue, now=self.clock())
            letter = inbox._put(connection, thread=thread, created_at=self.clock())  # noqa: SLF001
            inbox.mark(connection, letter, "handled")
            outbox.put(connection, thread, chosen, cause=letter, now=self.clock())

        await self.database.write(store)
        return thread

    async def hears(self, issue: int, text: str, *, comment: int) -> None:
        """A comment of Maya's, as its webhook has put it into the inbox."""
        owner = next(iter(self.forge.state.where(User, login="maya")))
        sender = {"id": owner.id, "login": owner.login, "type": "User"}
        written = {"id": comment, "body": text, "user": sender, "created_at": NOON, "updated_at": NOON}
        repository = {"id": self.place.id, "full_name": "maya/purl", "default_branch": "main"}
        payload = {
            "action": "created",
            "issue": {"number": issue, "user": sender},
            "comment": written,
            "repository": repository,
            "sender": sender,
        }
        thread, request = f"{self.place.id}-{issue}", find_request(text, "darner")
        row = DeliveryRow(
            guid=f"guid-{comment}",
            event="issue_comment",
            received_at=self.clock(),
            body=json.dumps(payload).encode(),
            state="pending",
            reason="",
            command=type(parse_command(request or "")).__name__,
            thread=thread,
        )

        def store(connection: Connection) -> None:
            delivery = deliveries.insert(connection, row)
            assert delivery is not None
            inbox.put_delivery(connection, thread, delivery, now=self.clock())

        await self.database.write(store)

    async def said(self, issue: int) -> list[str]:
        """What people read, without the hidden markers."""
        return [said.body.split("\n")[0] for said in await self.maya.reads("maya/purl", issue)]

    async def effect(self, key: str) -> EffectRow:
        letters = range(1, 100)
        rows = await self.database.read(lambda connection: outbox.of_letters(connection, list(letters)))
        return next(row for row in rows if row.key == key)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    async with local_forge.serve(tmp_path_factory.mktemp("forge")) as running:
        running.create_repository("maya/purl", directory=story.REPOSITORY)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def deployment(forge: Forge, tmp_path: Path) -> AsyncIterator[Deployment]:
    repository = forge.state.repository("maya", "purl")
    assert repository is not None
    place = RepositoryRef(repository.id, "maya/purl", forge.seeded.installation.id)
    app, clock, asked = forge.seeded.app, Clock(), list[str]()
    tokens = AppTokens(app_id=app.id, private_key=app.private_key, api_url=forge.api_url)
    with Database(f"sqlite:///{tmp_path / 'darner.db'}") as database:
        limits = ForgeLimits(database, spacing=1.0, now=clock)
        github = GitHub(api_url=forge.api_url, web_url=forge.url, tokens=tokens, limits=limits)
        mirrors = Mirrors(tmp_path, web_url=forge.url, tokens=tokens)
        performer = Performer(
            database,
            github,
            mirrors,
            Results(mirrors, None),
            bot=lambda: BOT,
            marker_key=b"key",
            secrets=lambda: (),
        )
        wake_ups = WakeUps(database, max_turns=1)
        await wake_ups.start(dict.fromkeys(Queue, _nobody))
        spending = Spending(lambda: BOT.ceiling, TurnLimits(), clock)
        worker = EventsWorker(
            database, wake_ups, github, performer, limits, bot=lambda: BOT, spending=spending, now=clock
        )

        def note(request: Request, response: Response) -> None:
            del response
            if "access_tokens" not in request.path:
                asked.append(f"{request.method} {request.path}")

        forge.parts.rest.observers.append(note)
        async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as maya:
            yield Deployment(forge, maya, place, database, clock, limits, github, worker, asked)
        forge.parts.rest.observers.remove(note)
        forge.faults.clear()
        await wake_ups.stop()


def comment(issue: int, body: str) -> Effect:
    return PostComment(key=f"{issue}:{body}", number=issue, body=body)


async def test_a_secondary_limit_holds_everybody_who_writes_for_as_long_as_it_says(
    deployment: Deployment,
) -> None:
    """72 seconds: the other thread does not run into it, reading stays free, then both go on in order."""
    one = await deployment.maya.opens_issue("maya/purl", "One", "")
    other = await deployment.maya.opens_issue("maya/purl", "Other", "")
    first = await deployment.has_to(one, comment(one, "hello"))
    second = await deployment.has_to(other, comment(other, "world"), comment(other, "again"))
    deployment.forge.faults.add(FaultKind.SECONDARY_LIMIT, method="POST", path="/comments", seconds=72)

    await deployment.worker.drive(first)
    deployment.asked.clear()
    for seconds in (0.5, 30, 71.9):
        deployment.clock.at = START + seconds
        await deployment.worker.drive(first)
        await deployment.worker.drive(second)
    assert deployment.asked == []
    assert (await deployment.effect(f"{other}:world")).attempts == 0
    place = deployment.place
    assert await deployment.github.run(place, lambda client: client.default_branch()) == "main"

    for seconds in (72.1, 73.2, 74.3, 75.4):
        deployment.clock.at = START + seconds
        for thread in (first, second):
            await deployment.worker.drive(thread)
    assert await deployment.said(one) == ["hello"]
    assert await deployment.said(other) == ["world", "again"]


async def test_who_says_stop_need_not_wait_for_the_limit(deployment: Deployment) -> None:
    """The turn ends at once; what is said of it comes behind what waited, and so does what looks at that."""
    issue = await deployment.maya.opens_issue("maya/purl", "Stop", "")
    thread = await deployment.has_to(issue, comment(issue, "hello"))
    deployment.forge.faults.add(FaultKind.SECONDARY_LIMIT, method="POST", path="/comments", seconds=72)
    await deployment.worker.drive(thread)

    def at_work(connection: Connection) -> None:
        turns.queue(connection, "0ca1f3e2b7d4", thread, start="{}", now=START)
        turns.take(connection, "0ca1f3e2b7d4", owner="me", now=START)

    await deployment.database.write(at_work)
    await deployment.hears(issue, "@darner stop", comment=1)
    await deployment.hears(issue, "@darner forget", comment=2)
    await deployment.worker.drive(thread)

    def stopped_by(connection: Connection) -> str | None:
        return messages.stopped_by(connection, "0ca1f3e2b7d4")

    assert await deployment.database.read(stopped_by) == "maya"
    assert await deployment.said(issue) == []
    waiting = await deployment.database.read(
        lambda connection: inbox.next_letter(connection, thread, now=deployment.clock())
    )
    assert waiting is not None
    assert waiting.command == "Forget"

    for seconds in range(73, 79):
        deployment.clock.at = START + seconds
        await deployment.worker.drive(thread)
    first, second = await deployment.said(issue)
    assert first == "hello"
    assert second.startswith("Turn `0ca1f3e2b7d4` has not ended, so I have deleted nothing.")


async def test_an_acknowledgement_is_seen_before_the_answers_that_wait(deployment: Deployment) -> None:
    """Ten answers stand a second apart; the eyes on a new mention come next, and none of the ten is lost."""
    numbers = [await deployment.maya.opens_issue("maya/purl", "Many", "") for _ in range(4)]
    threads = [await deployment.has_to(number, comment(number, "answer")) for number in numbers]
    for thread in threads:
        await deployment.worker.drive(thread)
    late = await deployment.maya.opens_issue("maya/purl", "Late", "")
    eyes = React(key="eyes", target=ReactionTarget("subject", late), content="eyes")
    noticed = await deployment.has_to(late, eyes)

    await deployment.worker.drive(noticed)
    deployment.clock.at += 1.0
    for thread in (*threads, noticed):
        await deployment.worker.drive(thread)

    assert await deployment.maya.subject_reactions("maya/purl", late) == ["eyes"]
    assert [await deployment.said(number) for number in numbers] == [["answer"], [], [], []]
    for _ in range(4):
        deployment.clock.at += 1.0
        for thread in threads:
            await deployment.worker.drive(thread)
    assert [await deployment.said(number) for number in numbers] == [["answer"]] * 4


async def test_an_hour_that_is_used_up_is_waited_for_by_readers_too(deployment: Deployment) -> None:
    """Nothing is asked before the reset that the forge named; another process knows as well."""
    # The forge tells its reset by its own clock.
    deployment.clock.at = deployment.forge.state.clock().timestamp()
    deployment.forge.faults.add(FaultKind.PRIMARY_LIMIT, method="GET", seconds=900)
    place = deployment.place
    with pytest.raises(ForgeError):
        await deployment.github.run(place, lambda client: client.default_branch())
    deployment.asked.clear()
    elsewhere = ForgeLimits(deployment.database, spacing=1.0, now=deployment.clock)

    for limits in (deployment.limits, elsewhere):
        with pytest.raises(ForgeError) as held:
            await limits.check(place.installation)
        assert held.value.retry_after is not None
        # GitHub tells the reset in whole seconds.
        assert 890 < held.value.retry_after <= 901
    with pytest.raises(ForgeError, match="is not asked before"):
        await deployment.github.run(place, lambda client: client.default_branch())
    assert deployment.asked == []

    deployment.clock.at += 901
    assert await deployment.github.run(place, lambda client: client.default_branch()) == "main"


async def test_the_last_tenth_of_an_hour_is_kept_for_what_people_ask(deployment: Deployment) -> None:
    """When the answers say that little is left, progress is no longer shown; comments still go."""
    place = deployment.place
    assert await deployment.limits.may_show(place.installation)
    deployment.clock.at = deployment.forge.state.clock().timestamp()
    viewer_budget = await deployment.github.run(
        place, lambda client: (client.default_branch(), client.budget())
    )
    budget = viewer_budget[1]
    assert budget is not None
    assert budget.remaining > 0.1 * budget.limit

    await deployment.limits.told(place.installation, replace(budget, remaining=100))

    assert not await deployment.limits.may_show(place.installation)
    stored = await deployment.database.read(
        lambda connection: throttles.find(connection, throttles.github(place.installation))
    )
    assert (stored.remaining, stored.closed_until) == (100, 0.0)
    issue = await deployment.maya.opens_issue("maya/purl", "Asked", "")
    await deployment.worker.drive(await deployment.has_to(issue, comment(issue, "an answer")))
    assert await deployment.said(issue) == ["an answer"]
