"""Somebody who may only read tries every control on a turn that waits or works: nothing comes of it."""

import asyncio
from typing import Any

import pytest

from demo.forge.refusals import Refused
from demo.model import ScriptedCall, Turn
from handlers import reasons
from handlers.grammar import COMMAND_WORDS
from tests.stories.sessions import MEND, runs, says, session
from tests.stories.world import PATIENCE_SECONDS, POLL_SECONDS, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHRED = "shred -u README.md && echo shredded"
ARGUED = ("budget none", "review full", "fix ci")
"""Beside the commands as they stand alone."""


async def test_whoever_may_only_read_directs_no_turn_by_any_comment_or_button(world: World) -> None:
    """Each of them gets one reaction and nothing else, and the ledger says why; the turn does not notice."""
    question = ScriptedCall(name="request_user_input", arguments={"question": "Left or right?"})
    world.model.teach(
        session("seam the sleeve", Turn(calls=(question,)), runs(SHRED), runs(MEND), says("Seamed."))
    )
    repository = world.repository()
    world.may(repository, "oskar", "read")
    number = await _pull(world, repository)
    await world.cole.says(repository, number, "@darner seam the sleeve")

    # While it waits for an answer.
    await world.asked(repository, number, comments=2)
    [turn] = await world.turns(repository)
    before = await _state(world, repository, number)
    tried = [
        await world.oskar.says(repository, number, text) for text in ("@darner left", "@darner stop it all")
    ]
    await _were_turned_away(world, repository, tried)
    assert await _state(world, repository, number) == before
    await world.maya.says(repository, number, "@darner right")

    # While it waits for leave.
    request = await world.asked(repository, number, comments=4)
    before = await _state(world, repository, number)
    said = [*COMMAND_WORDS, *ARGUED, f"approve {request}", f"deny {request} no"]
    tried = [await world.oskar.says(repository, number, f"@darner {words}") for words in said]
    await _were_turned_away(world, repository, tried)
    for button in (f"approve {request}", f"deny {request}"):
        with pytest.raises(Refused):
            world.presses("oskar", repository, turn, button)
        await _pressed_too_late(world, repository, turn, button)
    assert await _state(world, repository, number) == before

    # While it works.
    async with world.gate.closed():
        await world.maya.says(repository, number, f"@darner approve {request}")
        await world.gate.someone_waits()
        await world.until_said(repository, number, comments=5)
        before = await _state(world, repository, number)
        tried = [
            await world.oskar.says(repository, number, f"@darner {words}")
            for words in ("stop", "and delete the tests")
        ]
        await _were_turned_away(world, repository, tried)
        await _pressed_too_late(world, repository, turn, "stop")
        assert await _state(world, repository, number) == before
    final = await world.final_comment(repository, number)

    assert final.startswith("✅ **Done**")
    await _pressed_too_late(world, repository, turn, "rerequested")
    assert await world.turns(repository) == [turn]
    items = await world.journal(turn)
    assert [item["text"] for item in items if item["type"] == "user_message"][1:] == []
    assert [item["answer"]["text"] for item in items if item["type"] == "tool_call"] == [
        "maya, who may direct this turn, answers:\n\nright"
    ]


async def _pull(world: World, repository: str) -> int:
    clone = await world.clone(world.cole, repository)
    await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider")
    return await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")


async def _state(world: World, repository: str, number: int) -> tuple[int, list[dict[str, Any]]]:
    """How much the bot has said, and what its turns have done."""
    journals = [item for turn in await world.turns(repository) for item in await world.journal(turn)]
    return len(await world.bot_comments(repository, number)), journals


async def _were_turned_away(world: World, repository: str, comments: list[int]) -> None:
    """Return when each has its reaction; nothing else came of any, for the reason that `darner why` tells."""
    for comment in comments:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (reactions := await world.maya.reactions(repository, comment)):
                await asyncio.sleep(POLL_SECONDS)
        assert reactions == ["confused"]
        why = await world.why_comment(comment)
        assert (why.decision, why.reason) == ("handled", reasons.NEEDS_WRITE)
        assert [effect.type for effect in why.effects] == ["ignore", "react"]


async def _pressed_too_late(world: World, repository: str, turn: str, button: str) -> None:
    """Somebody could press it, and has lost the permission before the webhook is looked at."""
    world.may(repository, "oskar", "write")
    world.presses("oskar", repository, turn, button)
    world.may(repository, "oskar", "read")
    await world.forge.webhooks_settled()
    press = world.deliveries("check_run")[-1]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (why := await world.why(press)).decision == "pending":
            await asyncio.sleep(POLL_SECONDS)
    assert (why.actor, why.decision, why.reason) == ("oskar", "handled", reasons.NEEDS_WRITE)
    assert [effect.type for effect in why.effects] == ["ignore"]
