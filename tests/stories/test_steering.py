"""People direct a turn while it is at work: by a comment, and by nothing else."""

import asyncio

import pytest

from handlers import reasons
from tests.stories.sessions import MEND, runs, says, session
from tests.stories.world import PATIENCE_SECONDS, POLL_SECONDS, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _has_run(world: World, repository: str) -> str:
    """Return the turn's id when its first command is over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for turn in await world.turns(repository):
                items = await world.journal(turn)
                if any(item["type"] == "command_execution" for item in items):
                    return turn
            await asyncio.sleep(POLL_SECONDS)


async def test_a_mention_at_work_reaches_the_model_before_its_next_step(world: World) -> None:
    """Nobody starts a second turn: the one at work is told, once, and whoever wrote hears that."""
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner mend spread")
        await world.gate.someone_waits()
        more = await world.maya.says(repository, issue, "@darner keep the names as they are")
        await world.until_said(repository, issue, comments=2)

    await world.settled(repository)

    [turn] = await world.turns(repository)
    told = [item["text"] for item in await world.journal(turn) if item["type"] == "user_message"]
    assert told[1:] == [
        "maya, who may direct this turn, writes while you work:\n\nkeep the names as they are"
    ]
    progress, passed_on, final = await world.bot_comments(repository, issue)
    assert passed_on.body.startswith(f"Passed on: turn `{turn}` is at work")
    assert final.body.startswith("✅ **Done**")
    assert progress.body.startswith("✅ **Done**")
    assert await world.maya.reactions(repository, more) == ["eyes"]


async def test_a_message_while_the_last_answer_is_on_its_way_is_heard(world: World) -> None:
    """The turn does not end without having read it: the model gets another say."""
    world.model.teach(
        session("unpick it", runs(f"{MEND}; sleep 1"), says("First."), says("Second, as you said."))
    )
    repository = world.repository()
    issue = await world.issue(repository)
    before = len(world.model.exchanges)
    await world.cole.says(repository, issue, "@darner unpick it")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(world.model.exchanges) == before:
            await asyncio.sleep(POLL_SECONDS)
    async with world.gate.closed():
        await world.gate.someone_waits()
        await world.cole.says(repository, issue, "@darner and say so")
        await world.until_said(repository, issue, comments=2)

    final = await world.final_comment(repository, issue)

    assert len(await world.turns(repository)) == 1
    assert "Second, as you said." in final


async def test_stop_ends_a_turn_and_shows_its_work(world: World) -> None:
    """In the middle of a command: nothing is pushed, what was done so far stands in the last comment."""
    world.model.teach(
        session("knit for hours", runs("echo wool > wool.txt"), runs("sleep 100"), says("Knitted."))
    )
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner knit for hours")
    await _has_run(world, repository)
    stop = await world.maya.says(repository, issue, "@darner stop")

    final = await world.final_comment(repository, issue)

    assert final.startswith("🛑 **Stopped by maya**")
    assert "Nothing was published." in final
    assert "+wool" in final
    assert await world.maya.pulls(repository) == []
    assert await world.maya.reactions(repository, stop) == ["+1"]
    assert "| 🛑 stopped |" in await _status(world, repository, issue)


async def test_a_stop_that_comes_with_the_last_word_counts(world: World) -> None:
    """Whoever said it and saw that it was heard does not find the work published a second later."""
    world.model.teach(session("say it at once", says("Said.")))
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner say it at once")
        await world.gate.someone_waits()
        stop = await world.maya.says(repository, issue, "@darner stop")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await world.maya.reactions(repository, stop) != ["+1"]:
                await asyncio.sleep(POLL_SECONDS)

    assert (await world.final_comment(repository, issue)).startswith("🛑 **Stopped by maya**")


async def test_a_turn_at_work_hears_that_its_issue_was_closed(world: World) -> None:
    """It is told once, decides itself what is still of use, and says what it has."""
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner mend spread")
        await world.gate.someone_waits()
        await world.maya.closes_issue(repository, issue)
        await world.forge.webhooks_settled()
        closing = world.deliveries("issues")[-1]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await world.why(closing)).decision == "pending":
                await asyncio.sleep(POLL_SECONDS)

    final = await world.final_comment(repository, issue)

    [turn] = await world.turns(repository)
    told = [item["text"] for item in await world.journal(turn) if item["type"] == "user_message"]
    assert [text.split(".")[0] for text in told[1:]] == ["maya closed this conversation while you work"]
    assert final.startswith("✅ **Done**")


async def test_a_closing_that_concerns_nobody_is_set_aside(world: World) -> None:
    """No thread is opened for it, and the ledger says why."""
    repository = world.repository()
    issue = await world.issue(repository)
    await world.maya.closes_issue(repository, issue)
    await world.forge.webhooks_settled()

    why = await world.why(world.deliveries("issues")[-1])

    assert (why.decision, why.reason) == ("ignored", reasons.NO_TURN_WAITS)


async def _status(world: World, repository: str, issue: int) -> str:
    await world.cole.says(repository, issue, "@darner status")
    return await world.final_comment(repository, issue)
