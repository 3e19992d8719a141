"""A turn asks people, and waits: what they answer, who may, and what comes of it. By comment."""

import pytest

from tests.stories.sessions import MEND, runs, says, session
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHRED = "shred -u README.md && echo shredded"


async def _asks_to_shred(world: World, words: str) -> tuple[str, int, str]:
    """A turn that waits for leave to run a command; repository, issue, request."""
    world.model.teach(session(words, runs(MEND, SHRED), says("That is that.")))
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, f"@darner {words}")
    return repository, issue, await world.asked(repository, issue, comments=2)


async def _shred_answer(world: World, repository: str) -> str:
    """What the model was told of its command."""
    [turn] = await world.turns(repository)
    items = [item for item in await world.journal(turn) if item.get("command") == SHRED]
    assert len(items) == 1
    return str(items[0]["answer"]["text"])


async def test_an_approved_command_runs_once_and_the_turn_goes_on(world: World) -> None:
    """The comment shows exactly what is asked, why and until when; nothing runs before the answer."""
    repository, issue, request = await _asks_to_shred(world, "shred the old notes")
    progress, asked = await world.bot_comments(repository, issue)
    assert asked.body.startswith(
        "✋ **Needs approval** · I want to run a command that needs a person's leave"
    )
    assert f"```text\n{SHRED}\n```" in asked.body
    assert "It destroys files." in asked.body
    assert f"`@darner approve {request}`" in asked.body
    assert "it counts as denied" in asked.body
    assert progress.body.startswith("💤 **Waiting**")

    approval = await world.maya.says(repository, issue, f"@darner approve {request}")
    final = await world.final_comment(repository, issue)

    assert final.startswith("✅ **Done**")
    assert "shredded" in await _shred_answer(world, repository)
    assert await world.maya.reactions(repository, approval) == ["+1"]
    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert said[2].startswith("Approved: turn")
    again = await world.maya.says(repository, issue, f"@darner deny {request}")
    assert "was approved by maya before; that stands" in await world.final_comment(repository, issue)
    assert await world.maya.reactions(repository, again) == ["confused"]


async def test_a_denied_command_does_not_run_and_the_model_reads_why(world: World) -> None:
    repository, issue, request = await _asks_to_shred(world, "shred the new notes")
    await world.maya.says(repository, issue, f"@darner deny {request} we still need them")

    final = await world.final_comment(repository, issue)

    assert final.startswith("✅ **Done**")
    assert await _shred_answer(world, repository) == (
        "The command was not run. maya denied it, and says: we still need them"
    )


async def test_only_a_writers_new_words_approve(world: World) -> None:
    """No stranger's, no triager's, and no old comment that was edited into one; the first answer counts."""
    repository, issue, request = await _asks_to_shred(world, "shred all the notes")
    stranger = await world.oskar.says(repository, issue, f"@darner approve {request}")
    triager = await world.tess.says(repository, issue, f"@darner approve {request}")
    await world.forge.webhooks_settled()
    await world.until_said(repository, issue, comments=3)
    assert await world.maya.reactions(repository, stranger) == ["confused"]
    assert await world.maya.reactions(repository, triager) == ["confused"]
    [turn] = await world.turns(repository)
    assert not any(item.get("command") == SHRED for item in await world.journal(turn))

    await world.maya.says(repository, issue, f"@darner deny {request} not today")
    await world.cole.says(repository, issue, f"@darner approve {request}")
    await world.settled(repository)

    assert "maya denied it, and says: not today" in await _shred_answer(world, repository)
    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert any("was denied by maya before; that stands" in body for body in said)


async def test_stop_ends_a_turn_that_waits_and_voids_its_request(world: World) -> None:
    repository, issue, request = await _asks_to_shred(world, "shred half the notes")
    await world.maya.says(repository, issue, "@darner stop")
    await world.settled(repository)

    await world.maya.says(repository, issue, f"@darner approve {request}")

    assert f"Request `{request}` is void" in await world.final_comment(repository, issue)
    assert "Interrupted" in await _shred_answer(world, repository)
