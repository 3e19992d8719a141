"""A conversation that got long is made short, by a comment, and goes on."""

from dataclasses import replace

import pytest

from demo.model import SESSIONS as DEMO
from demo.model import load_sessions
from tests.stories.sessions import runs, says, session
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_compact_makes_the_next_turn_begin_with_a_summary(world: World) -> None:
    """Whoever may direct says so; the next turn knows what was, in few words, and its own request."""
    [handover] = [session for session in load_sessions(DEMO) if session.name == "handover"]
    world.model.teach(
        replace(handover, gap_seconds=0.0),
        session("knit much", runs(*[f"seq {n}000 {n + 4}000" for n in range(1, 5)]), says("Knitted.")),
        session("knit on", says("I knit on.")),
    )
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner knit much")
    await world.final_comment(repository, issue)
    compact = await world.maya.says(repository, issue, "@darner compact")
    await world.until_said(repository, issue, comments=3)
    await world.maya.says(repository, issue, "@darner knit on")
    await world.settled(repository)

    first, second = await world.turns(repository)
    [item] = [item for item in await world.journal(second) if item["type"] == "compaction"]
    assert (item["reason"], item["by"]) == ("asked", "model")
    assert "scripted model: a real one would sum up" in item["summary"]
    assert [item for item in await world.journal(first) if item["type"] == "compaction"] == []
    *_, noted, _, final = await world.bot_comments(repository, issue)
    assert noted.body.startswith("Noted: my next turn here begins with a summary")
    assert "I knit on." in final.body
    assert await world.maya.reactions(repository, compact) == ["+1"]
