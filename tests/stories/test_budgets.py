"""People set what a conversation may cost, also while it is being spent."""

import re

import httpx2
import pytest

from handlers import reasons
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_budget_set_by_comment_ends_the_turn_at_work(world: World) -> None:
    """Before its next step, with what it has; nothing starts there again until the budget is raised."""
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        first = await world.cole.says(repository, issue, "@darner mend spread")
        await world.gate.someone_waits()
        stranger = await world.oskar.says(repository, issue, "@darner budget 900k")
        await world.maya.says(repository, issue, "@darner budget 1 token")
        await world.until_said(repository, issue, comments=2)
    final = await world.final_comment(repository, issue)

    [turn] = await world.turns(repository)
    journal = await world.journal(turn)
    assert [item["type"] for item in journal].count("model_call") == 1
    assert final.startswith("⌛ **Out of budget**")
    assert "This conversation's budget of 1 token is spent." in final
    assert "`@darner budget N`" in final
    assert "USD · left: 0 tokens in this conversation</sub>" in final
    assert await world.maya.reactions(repository, stranger) == ["confused"]
    assert "may cost 1 token. It holds for" in (await world.bot_comments(repository, issue))[1].body

    told = (await world.why_comment(first)).turn
    assert told is not None
    assert (told.tokens > 1, told.micros > 1, told.unpriced_tokens) == (True, True, 0)

    again = await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)

    assert await world.turns(repository) == [turn]
    assert (await world.why_comment(again)).reason == reasons.BUDGET_SPENT

    await world.cole.says(repository, issue, "@darner budget $5")
    await world.cole.says(repository, issue, "@darner budget none")
    await world.settled(repository)
    await world.cole.says(repository, issue, "@darner retry")
    final = await world.final_comment(repository, issue)

    assert "No stitch is lost any more." in final
    assert "| this conversation | " in await _standing(world, repository, issue)
    await _counted_once(world, repository)
    async with httpx2.AsyncClient(base_url=world.server_url) as client:
        metrics = (await client.get("/metrics")).text
    assert re.search(
        r'^darner_model_money_total\{model="[^"]+",currency="USD"\} \d+\.\d{6}$', metrics, re.MULTILINE
    )


async def _standing(world: World, repository: str, issue: int) -> str:
    await world.cole.says(repository, issue, "@darner budget")
    return await world.final_comment(repository, issue)


async def _counted_once(world: World, repository: str) -> None:
    """Each answered request is a charge, and no charge is without one."""
    for turn in await world.turns(repository):
        calls = [item for item in await world.journal(turn) if item["type"] == "model_call"]
        assert await world.charged(turn) == {
            call["id"]: call["usage"]["input_tokens"] * 2 + call["usage"]["output_tokens"] * 10
            for call in calls
        }
