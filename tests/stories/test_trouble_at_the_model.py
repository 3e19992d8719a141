"""The model endpoint has a bad day: cut streams, limits, overflow, refusals."""

import asyncio
from typing import Final, Literal

import pytest

from demo.model import Cut, Session, Turn, context_overflow, rate_limited
from tests.stories.sessions import MENDED, runs, says, session
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

POSITIONS: Final = (0, 1, 2, 4, 7)
"""After how many events a stream is cut: before the first, and then deeper and deeper into the call."""


def _struck(turn: Turn, fault: Cut) -> Turn:
    return Turn(text=turn.text, calls=turn.calls, fault=fault)


async def _answer(world: World, played: Session, words: str) -> tuple[str, str]:
    """What comes of a request that this session is for: the repository and the final comment."""
    world.model.teach(played)
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, f"@darner {words}")
    return repository, await world.final_comment(repository, issue)


@pytest.mark.parametrize("how", ["dropped", "clean", "inside_event"])
async def test_a_stream_cut_anywhere_is_taken_up_again(
    world: World, how: Literal["dropped", "clean", "inside_event"]
) -> None:
    """Wherever an answer breaks off, the model is asked again, and each command runs exactly once."""
    steps = [
        _struck(runs(f"echo {place} >> tally.txt"), Cut(after_events=place, how=how)) for place in POSITIONS
    ]
    words = f"count with {how} streams"
    last = _struck(says("Counted."), Cut(after_events=3, how=how))

    repository, final = await _answer(world, session(words, *steps, last), words)

    pull = await world.only_pull(repository)
    tally = await world.maya.file(repository, "tally.txt", ref=pull.head_ref)
    assert tally.split() == [str(place) for place in POSITIONS]
    assert final.startswith("✅ **Done**")
    assert "Counted." in final


async def test_a_rate_limit_is_waited_out(world: World) -> None:
    """`Retry-After` is honoured: the turn goes on when the endpoint said, and says nothing of it."""
    played = session(
        "mend within limits", runs("echo slow > slow.txt"), Turn(text=MENDED, fault=rate_limited(1))
    )
    begun = asyncio.get_running_loop().time()

    repository, final = await _answer(world, played, "mend within limits")

    assert asyncio.get_running_loop().time() - begun >= 1
    assert final.startswith("✅ **Done**")
    assert len(await world.turns(repository)) == 1


async def test_a_context_that_overflows_is_told(world: World) -> None:
    """There is no use in asking again: the comment says what happened and what to do."""
    played = session("read everything", Turn(text="never said", fault=context_overflow(times=100)))

    repository, final = await _answer(world, played, "read everything")

    assert final.startswith("❌ **Failed**")
    assert "The conversation no longer fits into the model's context window." in final
    assert "Start anew with a smaller request" in final
    assert await world.maya.pulls(repository) == []


async def test_a_refusal_is_passed_on(world: World) -> None:
    """A model that will not do it is quoted, and nothing is published."""
    played = session("pick this lock", runs("echo lock > lock.txt"), Turn(refusal="I can't help with that."))

    repository, final = await _answer(world, played, "pick this lock")

    assert final.startswith("🚫 **Declined**")
    assert "The model would not do this.\n\nI can't help with that." in final
    assert await world.maya.pulls(repository) == []
