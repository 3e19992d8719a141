"""Stories of people and a review: what they dismiss and like, press and dispute; what is lost on the way."""

import pytest

from demo.forge.faults import FaultKind
from demo.forge.refusals import Refused
from demo.forge.state import CheckRun, Review
from demo.model import ScriptedCall
from tests.stories.reviews import (
    AUTO,
    DIVIDES,
    KNIT,
    check_of,
    finding_of,
    finds,
    inline,
    places,
    pull_in,
    pull_of,
    replies,
    resolved_threads,
    review,
    summaries,
)
from tests.stories.sessions import runs, says, session
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT = "\n\nLIMIT = 9\n"
NAMELESS = "`name` fails without a name"


async def test_a_review_whose_answers_are_lost_is_told_once(world: World) -> None:
    """Each write of it is done and its answer never comes, as when the server dies behind it."""
    title = "Count the stitches of a storm"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))
    async with world.gate.closed():
        repository, number, _, head = await pull_of(world, title, {"knit.py": KNIT})
        await world.gate.someone_waits()
        for method, path in (
            ("POST", r"/pulls/\d+/reviews"),
            ("POST", r"/issues/\d+/comments"),
            ("PATCH", r"/check-runs/\d+"),
        ):
            path = f"/{repository}{path}$"
            world.forge.faults.add(FaultKind.DROP_AFTER_WRITE, method=method, path=path)

    await world.settled(repository)

    assert [fault for fault in world.forge.faults.pending() if repository in fault.path] == []
    assert len(await inline(world, repository, number)) == 1
    pull = pull_in(world, repository, number)
    assert len(list(world.forge.state.where(Review, issue_id=pull.id))) == 1
    assert len(await world.bot_comments(repository, number)) == 1
    assert await check_of(world, repository, head) == ("neutral", "1 to fix")
    [place] = places(world, repository, number)
    [summary] = await summaries(world, repository, number)
    assert f"#discussion_r{place.id}" in summary


async def test_what_people_dismiss_and_like_is_told_to_the_next_review(world: World) -> None:
    """Of this pull request, and of others that touch the same file; check run and summary follow at once."""
    title = "Count the stitches of a parka"
    calls = (finds("knit.py", 5, DIVIDES, severity="P0"), finds("knit.py", 9, NAMELESS, severity="P2"))
    world.model.teach(
        review(title, "Review this change", calls=calls),
        review(title, "Review what changed since"),
        review("Count the stitches of an anorak"),
    )
    repository, number, clone, head = await pull_of(
        world, title, {"knit.py": KNIT}, settings=f"{AUTO}  blocking: P1\n"
    )
    await world.settled(repository)
    first, second = places(world, repository, number)
    assert await check_of(world, repository, head) == ("failure", "1 to fix, 1 to consider")

    await world.maya.settles_thread(repository, number, first.id)
    await world.maya.reacts_on_line(repository, second.id, "-1")
    await world.cole.reacts_on_line(repository, second.id, "+1")
    await world.settled(repository)

    [summary] = await summaries(world, repository, number)
    assert "dismissed by maya" in summary
    assert await check_of(world, repository, head) == ("success", "1 to consider")

    await clone.commits({"knit.py": KNIT + LIMIT})
    await world.settled(repository)

    told = await briefing(world, repository)
    assert f"dismissed by maya · P0 · knit.py:5-5 · {DIVIDES}" in told
    assert f"open · P2 · knit.py:9-9 · {NAMELESS} · people: 1 👍, 1 👎" in told
    assert len(await inline(world, repository, number)) == 2

    other = await world.clone(world.cole, repository)
    await other.commits({"knit.py": KNIT.replace("total / ", "total // ")}, branch="anorak")
    await world.cole.opens_pull(
        repository, head="anorak", base="main", title="Count the stitches of an anorak"
    )
    await world.settled(repository)

    told = await briefing(world, repository)
    assert f"#{number} · dismissed by maya · P0 · knit.py · {DIVIDES}" in told
    assert f"#{number} · open · P2 · knit.py · {NAMELESS} · people: 1 👍, 1 👎" in told


async def test_the_buttons_of_a_review(world: World) -> None:
    """A writer's press reviews again, or mends what is open; a stranger has none of them at the forge."""
    title = "Count the stitches of a poncho"
    world.model.teach(review(title, "Review this change", calls=(finds("knit.py", 5, DIVIDES),)))
    repository, number, _, head = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)
    [turn] = await world.turns(repository)
    assert world.buttons(turn) == ["Review again", "Fix findings"]

    for button in ("review", "fix", "rerequested"):
        with pytest.raises(Refused):
            world.presses("oskar", repository, turn, button)

    world.presses("cole", repository, turn, "review")
    await world.settled(repository)
    _, again = await world.turns(repository)
    assert len(await inline(world, repository, number)) == 1
    assert len(await world.bot_comments(repository, number)) == 1

    world.presses("cole", repository, again, "rerequested")
    await world.settled(repository)
    assert "changes nothing since the last review" in (await world.bot_comments(repository, number))[-1].body

    finding = await finding_of(world, repository, number)
    world.model.teach(
        session(f"- {finding}", runs(MEND), says("An empty poncho has no stitches.")),
        review(title, "Review what changed since"),
    )
    newest = max(
        world.forge.state.where(CheckRun, name="Darner review", head_sha=head), key=lambda run: run.id
    )
    world.presses("cole", repository, newest.external_id, "fix")
    await world.settled(repository)

    pull = await world.only_pull(repository)
    assert pull.head_sha != head
    assert "if rows else 0" in await world.maya.file(repository, "knit.py", ref="wool")
    assert await resolved_threads(world, repository, number) == [True]


async def test_a_disagreement_that_was_stopped_is_judged_when_it_is_said_again(world: World) -> None:
    """The small turn was ended before it had judged: the finding's word is still to come."""
    title = "Count the stitches of a beret"
    world.model.teach(review(title, "Review this change", calls=(finds("knit.py", 5, DIVIDES),)))
    repository, number, _, _ = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)
    finding = await finding_of(world, repository, number)
    verdict = {"id": finding, "verdict": "withdrawn", "why": "The caller never passes an empty list."}
    judge = ScriptedCall(name="judge_finding", arguments=verdict)
    world.model.teach(review(title, f"disagrees with finding {finding}", calls=(judge,)))
    async with world.gate.closed():
        await replies(world.cole, repository, number, "rows is never empty.")
        await world.gate.someone_waits()
        await world.cole.says(repository, number, "@darner stop")
        await world.until_said(repository, number, comments=2)
    await world.settled(repository)
    assert len(await inline(world, repository, number)) == 1

    await world.cole.says(repository, number, "@darner resume")
    await world.settled(repository)
    await replies(world.cole, repository, number, "As I said: rows is never empty.")
    await world.settled(repository)

    assert "You are right, I take this back." in (await inline(world, repository, number))[-1]
    assert await resolved_threads(world, repository, number) == [True]


MEND = "sed -i 's|total / len(rows)|total / len(rows) if rows else 0|' knit.py"


async def briefing(world: World, repository: str) -> str:
    """The first message of the newest turn."""
    journal = await world.journal((await world.turns(repository))[-1])
    return next(str(item["text"]) for item in journal if item["type"] == "user_message")
