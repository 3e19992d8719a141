"""Requests that no webhook told of are read from the local forge, with a personal token."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import select

from app.engine import WakeUps
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.intake import Intake
from app.queues import Queue
from app.store import inbox
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.schema import deliveries
from app.tokens import PersonalToken
from app.unheard import LONGEST_SECONDS, Unheard
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.faults import FaultKind
from demo.forge.person import Person, signed_in
from demo.forge.state import Delivery
from handlers.view import Bot
from tests.stories.world import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _nobody(thread: str) -> None:
    """Nothing is driven: what was taken is what is looked at."""
    del thread


async def _always(name: str, seconds: float) -> bool:
    del name, seconds
    return True


@dataclass
class Office:
    """A server that was down until now: no webhook of its forge has reached it."""

    forge: Forge
    maya: Person
    database: Database
    intake: Intake
    github: GitHub
    limits: ForgeLimits
    bot: Bot
    later: float = 60.0
    """Seconds from now: when a reader looks."""

    def reader(self) -> Unheard:
        """Of a server that has just started."""
        return Unheard(
            self.database,
            self.github,
            self.limits,
            take=self.intake.take,
            bot=lambda: self.bot,
            every=3600,
            is_my_turn=_always,
            now=lambda: self.forge.state.clock().timestamp() + self.later,
        )

    async def repository(self, name: str) -> str:
        """A new one, which the server has heard of."""
        made = self.forge.create_repository(f"maya/{name}", directory=story.REPOSITORY)
        place = RepositoryRef(made.id, f"maya/{name}", None)
        await self.database.write(
            lambda connection: inbox.open_thread(connection, f"{made.id}-1", place, number=1, now=1.0)
        )
        return f"maya/{name}"

    async def taken(self, repository: str) -> list[tuple[str, str, str]]:
        """Of each delivery its event, its state and the text that asks, oldest first."""
        columns = (deliveries.c.event, deliveries.c.state, deliveries.c.text)
        query = select(*columns).where(deliveries.c.repository == repository).order_by(deliveries.c.id)
        return await self.database.read(
            lambda connection: [(row.event, row.state, row.text) for row in connection.execute(query)]
        )

    async def hears(self, event: str) -> None:
        """The newest webhook of that kind arrives after all, or is sent again."""
        await self.forge.webhooks_settled()
        sent = list(self.forge.state.where(Delivery, event=event))[-1]
        await self.intake.take(sent.guid, event, sent.payload.encode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    home: Path = tmp_path_factory.mktemp("office")
    async with local_forge.serve(home / "forge") as forge:
        forge.set_webhook(f"http://127.0.0.1:{free_port()}/webhook", secret="s")
        token = PersonalToken(SecretStr(forge.tokens["cole"]), api_url=forge.api_url)
        cole = forge.state.user("cole")
        assert cole is not None
        bot = Bot(cole.id, "cole", "darner")
        with Database(f"sqlite:///{home / 'darner.db'}") as database:
            limits = ForgeLimits(database, spacing=0)
            github = GitHub(api_url=forge.api_url, web_url=forge.url, tokens=token, limits=limits)
            wake_ups = WakeUps(database, max_turns=1)
            await wake_ups.start(dict.fromkeys(Queue, _nobody))
            intake = Intake(database, wake_ups, secrets=["s"], bot=lambda: bot)
            async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as maya:
                yield Office(forge, maya, database, intake, github, limits, bot)
            await wake_ups.stop()


async def test_what_was_asked_while_the_server_was_down_is_taken_once(office: Office) -> None:
    """In an issue, a comment, a pull request, on a line; nothing else, and not again when it arrives late."""
    repository = await office.repository("down")
    issue = await office.maya.opens_issue(repository, "Rows", "@darner mend spread")
    await office.maya.says(repository, issue, "@darner keep the names")
    await office.maya.says(repository, issue, "Thanks, `@darner` is code.")
    sha = await office.maya.writes(repository, "NOTES.md", "Wider.\n", branch="wider")
    pull = await office.maya.opens_pull(
        repository, head="wider", base="main", title="Wider", body="@darner review"
    )
    await office.maya.comments_on_line(
        repository, pull, "@darner why so wide?", sha=sha, path="NOTES.md", line=1
    )

    reader = office.reader()
    found = await reader.look()

    told = [
        ("issues", "pending", "@darner mend spread"),
        ("issue_comment", "pending", "@darner keep the names"),
        ("pull_request", "pending", "@darner review"),
        ("pull_request_review_comment", "pending", "@darner why so wide?"),
    ]
    taken = await office.taken(repository)
    assert (found, sorted(taken)) == (4, sorted(told))
    # Of each conversation, in the order in which it was written.
    assert [one for one in taken if one[0].startswith("issue")] == told[:2]
    assert [one for one in taken if one[0].startswith("pull")] == told[2:]
    assert await reader.look() == 0
    await office.hears("issues")
    assert await office.taken(repository) == [*taken, ("issues", "duplicate", "@darner mend spread")]


async def test_a_text_that_was_heard_of_is_taken_again_only_when_it_begins_to_ask(office: Office) -> None:
    """What was edited while nobody listened counts as it reads now, if it had asked for nothing before."""
    repository = await office.repository("edited")
    issue = await office.maya.opens_issue(repository, "Rows", "11 + 3 is short.")
    asked = await office.maya.says(repository, issue, "@darner mend spread")
    await office.hears("issue_comment")
    await office.maya.edits(repository, asked, "@darner mend spread, please")
    plain = await office.maya.says(repository, issue, "Nice.")
    await office.hears("issue_comment")
    await office.maya.edits(repository, plain, "Nice.\n\n@darner keep the names")

    assert await office.reader().look() == 1
    assert await office.reader().look() == 0
    assert [(event, state) for event, state, _ in await office.taken(repository)] == [
        ("issue_comment", "pending"),
        ("issue_comment", "ignored"),
        ("issue_comment", "pending"),
    ]
    assert (await office.taken(repository))[-1][2] == "Nice.\n\n@darner keep the names"


async def test_what_is_deleted_while_it_is_read_holds_up_nothing_else(office: Office) -> None:
    repository = await office.repository("deleted")
    gone = await office.maya.opens_issue(repository, "Rows", "11 + 3 is short.")
    await office.maya.says(repository, gone, "@darner mend spread")
    await office.maya.opens_issue(repository, "Names", "@darner keep the names")
    gone_now = rf"/{repository}/issues/{gone}$"
    office.forge.faults.add(FaultKind.NOT_FOUND, method="GET", path=gone_now, count=100)

    assert await office.reader().look() == 1
    assert [text for _, _, text in await office.taken(repository)] == ["@darner keep the names"]


async def test_neither_what_may_be_on_its_way_nor_what_is_old_is_taken(office: Office) -> None:
    """A webhook takes seconds; a request of the day before yesterday has been made again, or done by hand."""
    repository = await office.repository("moments")
    await office.maya.opens_issue(repository, "Rows", "@darner mend spread")
    try:
        office.later = LONGEST_SECONDS + 60
        assert await office.reader().look() == 0
        office.later = 5
        assert await office.reader().look() == 0
        office.later = 60
        assert await office.reader().look() == 1
    finally:
        office.later = 60


async def test_bots_and_repositories_that_are_gone_are_left_alone(office: Office) -> None:
    """The bot's own words ask nothing; what the forge does not tell is no fault of the others."""
    repository = await office.repository("self")
    async with signed_in("cole", api_url=office.forge.api_url, token=office.forge.tokens["cole"]) as own:
        await own.opens_issue(repository, "Rows", "@darner mend spread")
    await office.database.write(
        lambda connection: inbox.open_thread(
            connection, "1-1", RepositoryRef(1, "maya/gone", None), number=1, now=1.0
        )
    )

    assert await office.reader().look() == 0
    assert await office.taken(repository) == []
