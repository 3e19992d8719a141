"""Webhooks that never came: what is over is found by looking, and what cannot be reached is given up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection

from app.engine import WakeUps
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.queues import Queue
from app.reconcile import Reconciler
from app.store import inbox, outbox, turns
from app.store.database import Database
from app.store.outbox import EffectRow
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from app.tokens import AppTokens
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.actions import apps, repos
from demo.forge.actions.actor import Actor
from demo.forge.person import Person, signed_in
from demo.forge.state import Comment, Viewer
from handlers.effects import EffectAdapter, React, ReactionTarget, Trigger
from handlers.events import InternalEvent, SubjectFound
from harness.items import Failed
from tests.handlers.people import start_on_issue

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _nobody(thread: str) -> None:
    """Nothing is driven: the letters are what is looked at."""
    del thread


async def _always(name: str, seconds: float) -> bool:
    del name, seconds
    return True


@dataclass
class Clock:
    """The reconciler's: moved by hand."""

    at: float = 1_000_000.0


@dataclass
class Office:
    forge: Forge
    maya: Person
    database: Database
    reconciler: Reconciler
    clock: "Clock"

    def repository(self, name: str) -> RepositoryRef:
        made = self.forge.create_repository(f"maya/{name}", directory=story.REPOSITORY)
        return RepositoryRef(made.id, f"maya/{name}", self.forge.seeded.installation.id)

    async def asked(self, place: RepositoryRef, issue: int, *, comment: int = 0, turn: str = "t1") -> str:
        """A turn that waits in an issue, with a reaction still to be given; the thread."""
        thread = f"{place.id}-{issue}"
        start = start_on_issue()
        if comment:
            start = replace(start, trigger=Trigger("issue_comment", comment, "", start.trigger.at))
        else:
            start = replace(start, trigger=Trigger("subject", issue, "", start.trigger.at))

        def store(connection: Connection) -> None:
            now = self.forge.state.clock().timestamp() - 60
            inbox.open_thread(connection, thread, place, number=issue, now=now)
            letter = inbox._put(connection, thread=thread, created_at=now)  # noqa: SLF001
            inbox.mark(connection, letter, "handled")
            react = React(key=f"{thread}:eyes", target=ReactionTarget("subject", issue), content="eyes")
            outbox.put(connection, thread, [react], cause=letter, now=now)
            turns.queue(
                connection, f"{thread}-{turn}", thread, start=EffectAdapter.dump_json(start).decode(), now=now
            )

        await self.database.write(store)
        return thread

    async def letters(self, thread: str) -> list[InternalEvent]:
        """What was found there, and not handled yet."""

        def read(connection: Connection) -> list[InternalEvent]:
            found = []
            while (letter := inbox.next_letter(connection, thread, now=1e12)) and letter.event:
                found.append(letter.event)
                inbox.mark(connection, letter.id, "handled")
            return found

        return await self.database.write(read)

    async def turn(self, thread: str) -> TurnRow:
        [row] = await self.database.read(lambda connection: turns.of_thread(connection, thread))
        return row

    async def effects(self, thread: str) -> list[EffectRow]:
        rows = await self.database.read(lambda connection: outbox.of_letters(connection, list(range(1, 200))))
        return [row for row in rows if row.key.startswith(f"{thread}:")]

    def actor(self) -> Actor:
        user = self.forge.state.user("maya")
        assert user is not None
        return Actor(self.forge.state, Viewer(user=user))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    home: Path = tmp_path_factory.mktemp("office")
    async with local_forge.serve(home / "forge") as forge:
        app = forge.seeded.app
        tokens = AppTokens(app_id=app.id, private_key=app.private_key, api_url=forge.api_url)
        with Database(f"sqlite:///{home / 'darner.db'}") as database:
            limits = ForgeLimits(database, spacing=0)
            github = GitHub(api_url=forge.api_url, web_url=forge.url, tokens=tokens, limits=limits)
            wake_ups = WakeUps(database, max_turns=1)
            await wake_ups.start(dict.fromkeys(Queue, _nobody))
            clock = Clock()
            reconciler = Reconciler(
                database,
                wake_ups,
                github,
                limits,
                every=3600,
                is_my_turn=_always,
                sure_after=10,
                now=lambda: clock.at,
            )
            async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as maya:
                yield Office(forge, maya, database, reconciler, clock)
            await wake_ups.stop()


async def test_a_closed_issue_is_found_and_an_open_one_left_alone(office: Office) -> None:
    """Who closed it, and when."""
    place = office.repository("closed")
    over = await office.maya.opens_issue("maya/closed", "Over", "")
    on = await office.maya.opens_issue("maya/closed", "On", "")
    ended, going = await office.asked(place, over), await office.asked(place, on)
    await office.maya.closes_issue("maya/closed", over)

    await office.reconciler.look()

    [found] = await office.letters(ended)
    assert isinstance(found, SubjectFound)
    assert (found.way, found.by, bool(found.at)) == ("closed", "maya", True)
    assert await office.letters(going) == []
    assert (await office.turn(going)).status == "queued"


async def test_a_request_that_was_deleted_is_found(office: Office) -> None:
    """The turn that it asked for is named; one whose comment stands is not."""
    place = office.repository("withdrawn")
    issue = await office.maya.opens_issue("maya/withdrawn", "Title", "")
    comment = await office.maya.says("maya/withdrawn", issue, "@darner mend it")
    thread = await office.asked(place, issue, comment=comment)
    await office.reconciler.look()
    assert await office.letters(thread) == []

    office.forge.state.delete(office.forge.state.get(Comment, comment))
    await office.reconciler.look()

    assert await office.letters(thread) == [SubjectFound(way=None, withdrawn=(f"{thread}-t1",))]


@pytest.mark.parametrize("loss", ["deleted", "archived"])
async def test_a_repository_that_is_lost_costs_nothing_more(office: Office, loss: str) -> None:
    """What waits ends with the reason, and nothing is tried again; others go on."""
    place = office.repository(loss)
    issue = await office.maya.opens_issue(f"maya/{loss}", "Title", "")
    thread = await office.asked(place, issue)
    repository = office.forge.state.repository("maya", loss)
    assert repository is not None
    if loss == "deleted":
        repos.delete_repository(office.actor(), repository)
    else:
        office.forge.state.put(replace(repository, archived=True))

    await office.reconciler.look()
    if loss == "deleted":
        # It may have been one wrong answer.
        assert (await office.turn(thread)).status == "queued"
        office.clock.at += 10
        await office.reconciler.look()

    turn = await office.turn(thread)
    assert turn.status == "ended"
    assert isinstance(turn.outcome, Failed)
    assert "archived" in turn.outcome.cause or "cannot be reached" in turn.outcome.cause
    [eyes] = await office.effects(thread)
    assert eyes.state == "failed"
    assert eyes.error
    assert await office.letters(thread) == []


async def test_a_word_about_repositories_makes_it_look_at_once(office: Office) -> None:
    """It need not wait for its time: here an hour."""
    place = office.repository("told")
    issue = await office.maya.opens_issue("maya/told", "Title", "")
    watching = asyncio.create_task(office.reconciler.watch())
    try:
        thread = await office.asked(place, issue)
        await office.maya.closes_issue("maya/told", issue)
        office.reconciler.look_soon()
        async with asyncio.timeout(60):
            while not (found := await office.letters(thread)):
                await asyncio.sleep(0.02)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    assert isinstance(found[0], SubjectFound)
    assert found[0].way == "closed"


async def test_a_renamed_repository_is_followed(office: Office) -> None:
    """Its threads know the new name at once."""
    place = office.repository("old-name")
    issue = await office.maya.opens_issue("maya/old-name", "Title", "")
    thread = await office.asked(place, issue)
    repository = office.forge.state.repository("maya", "old-name")
    assert repository is not None
    repos.rename(office.actor(), repository, name="new-name")

    await office.reconciler.look()

    known = await office.database.read(lambda connection: inbox.place_of(connection, thread))
    assert known.full_name == "maya/new-name"
    assert (await office.turn(thread)).status == "queued"


async def test_an_app_that_was_uninstalled_gives_up_what_waits(office: Office) -> None:
    """Everything of that installation ends; nobody can be told. (The last here: it does not come back.)"""
    place = office.repository("uninstalled")
    issue = await office.maya.opens_issue("maya/uninstalled", "Title", "")
    thread = await office.asked(place, issue)
    apps.uninstall(office.actor(), office.forge.seeded.installation)

    await office.reconciler.look()
    office.clock.at += 10
    await office.reconciler.look()

    assert (await office.turn(thread)).status == "ended"
    assert [effect.state for effect in await office.effects(thread)] == ["failed"]
