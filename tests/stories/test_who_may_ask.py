"""What comes in and is not acted upon, and how quietly: strangers, bots, quotes, edits, forgeries."""

import hashlib
import hmac

import httpx2
import orjson
import pytest

from app.explain import Explanation
from handlers import reasons
from tests.stories.world import BOT, WEBHOOK_SECRET, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASK = "@darner mend spread"


async def _ignored(world: World, repository: str, comment: int) -> Explanation:
    """Nothing came of it, and the ledger says so; why."""
    await world.settled(repository)
    why = await world.why_comment(comment)
    assert await world.turns(repository) == []
    assert await world.maya.pulls(repository) == []
    return why


async def test_a_stranger_gets_a_quiet_no(world: World) -> None:
    """Someone without rights gets one reaction: no turn, no comment, no argument."""
    repository = world.repository()
    issue = await world.issue(repository)
    request = await world.oskar.says(repository, issue, ASK)

    why = await _ignored(world, repository, request)

    assert (why.decision, why.reason) == ("handled", reasons.NEEDS_WRITE)
    assert [effect.type for effect in why.effects] == ["ignore", "react"]
    assert await world.maya.reactions(repository, request) == ["confused"]
    assert await world.bot_comments(repository, issue) == []


async def test_someone_who_triages_is_told_what_is_missing(world: World) -> None:
    """A collaborator without write access gets the one sentence that helps."""
    repository = world.repository()
    issue = await world.issue(repository)
    request = await world.tess.says(repository, issue, ASK)

    why = await _ignored(world, repository, request)

    assert why.reason == reasons.NEEDS_WRITE
    [answer] = await world.bot_comments(repository, issue)
    assert answer.body.startswith("Asking me for this needs write access to this repository.")
    assert await world.maya.reactions(repository, request) == ["confused"]


async def test_bots_are_not_listened_to(world: World) -> None:
    """Another bot's mention is ignored without a sign, whatever its rights; so is the bot's own."""
    repository = world.repository()
    issue = await world.issue(repository)
    others = await world.other_bot.says(repository, issue, ASK)
    own = await world.bot.says(repository, issue, ASK)

    by_other = await _ignored(world, repository, others)
    by_itself = await _ignored(world, repository, own)

    assert (by_other.decision, by_other.reason) == ("ignored", reasons.BOT_NOT_LISTED)
    assert (by_itself.decision, by_itself.reason) == ("ignored", reasons.OWN_EVENT)
    assert [comment.author for comment in await world.maya.reads(repository, issue)] == ["renovate[bot]", BOT]
    assert await world.maya.reactions(repository, others) == []


@pytest.mark.parametrize(
    "text",
    [
        "I wrote `@darner mend spread` yesterday.",
        "```\n@darner mend spread\n```",
        "> @darner mend spread\n\nI would not.",
        "Has anybody asked @darner to mend spread?",
        "<!-- @darner mend spread -->",
        "[@darner mend spread](https://example.com)",
        "@darnerbot mend spread",
    ],
    ids=["code", "block", "quote", "middle", "hidden", "link", "namesake"],
)
async def test_talking_about_the_bot_is_not_talking_to_it(world: World, text: str) -> None:
    """Mentions in code, quotes, links, comments of HTML or the midst of a sentence start nothing."""
    repository = world.repository()
    issue = await world.issue(repository)
    comment = await world.cole.says(repository, issue, text)

    why = await _ignored(world, repository, comment)

    assert (why.decision, why.reason) == ("ignored", reasons.NO_MENTION)
    assert await world.maya.reactions(repository, comment) == []


async def test_an_edit_asks_only_if_its_mention_is_new(world: World) -> None:
    """Correcting a request does not start it twice; adding a mention to an old comment asks for once."""
    repository = world.repository()
    issue = await world.issue(repository)
    comment = await world.cole.says(repository, issue, "The rows are wrong.")
    await world.settled(repository)
    assert await world.turns(repository) == []

    await world.cole.edits(repository, comment, "The rows are wrong.\n\n@darner mend spread")
    await world.settled(repository)
    turns = await world.turns(repository)
    assert len(turns) == 1

    await world.cole.edits(repository, comment, "The rows are all wrong.\n\n@darner mend spread, please")
    await world.settled(repository)
    why = await world.why_comment(comment)
    assert (why.action, why.decision, why.reason) == ("edited", "ignored", reasons.MENTION_NOT_NEW)
    assert await world.turns(repository) == turns


async def test_a_redelivery_is_handled_once(world: World) -> None:
    """The same GUID again is acknowledged and changes nothing: one turn, one pull request, one answer."""
    repository = world.repository()
    issue = await world.issue(repository)
    request = await world.cole.says(repository, issue, ASK)
    await world.settled(repository)
    [delivery] = world.deliveries("issue_comment", comment=request)

    again = await world.redelivered(delivery)
    await world.settled(repository)

    assert (again.status_code, again.status) == (200, "OK")
    assert "Known already." in again.response_body
    assert len(await world.turns(repository)) == 1
    assert len(await world.maya.pulls(repository)) == 1
    assert len(await world.bot_comments(repository, issue)) == 2


async def test_two_webhooks_of_one_act_are_one_request(world: World) -> None:
    """A repository's hook beside the App's tells of the same comment with another GUID: handled once."""
    repository = world.repository()
    issue = await world.issue(repository)
    request = await world.cole.says(repository, issue, ASK)
    await world.settled(repository)
    [delivery] = world.deliveries("issue_comment", comment=request)

    other = "0b5bd2a0-0000-4000-8000-000000000001"
    status = await _deliver(world, delivery.payload.encode(), secret=WEBHOOK_SECRET, guid=other)
    await world.settled(repository)

    assert status == 202
    assert len(await world.turns(repository)) == 1


async def test_a_wrong_signature_is_turned_away(world: World) -> None:
    """A delivery that GitHub did not sign is refused with 401 and leaves no trace of an effect."""
    repository = world.repository()
    issue = await world.issue(repository)
    comment = await world.cole.says(repository, issue, "The rows are wrong.")
    await world.settled(repository)
    [delivery] = world.deliveries("issue_comment", comment=comment)
    forged = orjson.loads(delivery.payload)
    forged["comment"] |= {"id": comment + 1_000_000, "body": ASK}

    status = await _deliver(
        world, orjson.dumps(forged), secret="a guess", guid="0b5bd2a0-0000-4000-8000-000000000002"
    )
    await world.settled(repository)

    assert status == 401
    assert await world.turns(repository) == []
    assert await world.bot_comments(repository, issue) == []


async def _deliver(world: World, body: bytes, *, secret: str, guid: str) -> int:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "x-github-event": "issue_comment",
        "x-github-delivery": guid,
        "x-hub-signature-256": f"sha256={digest}",
    }
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{world.server_url}/webhook", content=body, headers=headers)
        return answer.status_code
