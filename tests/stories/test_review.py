"""Stories of reviews: they begin by themselves, say each thing once, and keep their place over pushes."""

import pytest

from demo.model import ScriptedCall
from tests.stories.reviews import (
    AUTO,
    DIVIDES,
    KNIT,
    check_of,
    finding_of,
    finds,
    inline,
    offered,
    pull_of,
    replies,
    resolved_threads,
    review,
    reworded,
    summaries,
)
from tests.stories.sessions import runs, says, session
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOVED = f'"""Counts."""\n\nLIMIT = 9\n\n\n{KNIT}'
FIXED = KNIT.replace("total / len(rows)", "total / len(rows) if rows else 0")


async def test_a_pull_request_is_reviewed_when_it_is_opened(world: World) -> None:
    """One review with the finding on its line, one summary, one check run; nobody had to ask."""
    title = "Count the stitches of a sleeve"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))

    repository, number, _, head = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)

    [comment] = await inline(world, repository, number)
    assert comment.startswith("🟠 **P1** · **`stitches` divides by zero**")
    [summary] = await summaries(world, repository, number)
    assert "1 to fix" in summary
    assert f"read at `{head[:7]}`" in summary
    assert await check_of(world, repository, head) == ("neutral", "1 to fix")
    assert len(await world.bot_comments(repository, number)) == 1


async def test_the_base_says_what_is_generated(world: World) -> None:
    """Such a file is not read, and that is said; the change cannot take another one out of its review."""
    title = "Count the stitches of a shrug"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))

    repository, number, _, _ = await pull_of(
        world,
        title,
        {"wool/made.py": KNIT, "knit.py": KNIT, ".gitattributes": "* linguist-generated\n"},
        base={".gitattributes": "# Made by a script.\n/wool/*.py linguist-generated\n"},
    )
    await world.settled(repository)

    [summary] = await summaries(world, repository, number)
    assert "Not read, or not whole: 1 file" in summary
    assert "- `wool/made.py`: it is generated, as `.gitattributes` says" in summary
    assert len(await inline(world, repository, number)) == 1


async def test_three_pushes(world: World) -> None:
    """Moved lines keep their finding, mended ones settle its thread, and what comes back opens it again."""
    title = "Count the stitches of a hat"
    world.model.teach(
        review(title, "Review this change", calls=(finds("knit.py", 5, DIVIDES),)),
        review(title, "Review what changed since"),
    )
    repository, number, clone, _ = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)
    said = f"GET /repos/{repository}/pulls/{number}/comments"
    asked = world.times_asked(said)

    moved = await clone.commits({"knit.py": MOVED})
    await world.settled(repository)

    # What people have said: once before the model reads the change, once when it has.
    assert world.times_asked(said) - asked == 2
    [comment] = await inline(world, repository, number)
    [summary] = await summaries(world, repository, number)
    assert "still open, moved" in summary
    assert f"read at `{moved[:7]}`" in summary

    fixed = await clone.commits({"knit.py": FIXED})
    await world.settled(repository)

    told = await inline(world, repository, number)
    assert told[0] == comment
    assert f"gone or changed in `{fixed[:7]}`" in told[1]
    assert await resolved_threads(world, repository, number) == [True]
    [summary] = await summaries(world, repository, number)
    assert f"✅ fixed in `{fixed[:7]}`" in summary
    assert "nothing to fix, 1 fixed" in summary

    back = await clone.commits({"knit.py": KNIT})
    await world.settled(repository)

    told = await inline(world, repository, number)
    assert "is back [at these lines]" in told[2]
    assert len(told) == 3
    assert await resolved_threads(world, repository, number) == [False]
    [summary] = await summaries(world, repository, number)
    assert "🔁 back again" in summary
    assert await check_of(world, repository, back) == ("neutral", "1 to fix")


async def test_a_force_push_that_changes_nothing_is_not_reviewed(world: World) -> None:
    """Another commit with the same patch: the check run says so, and nobody is told anything."""
    title = "Count the stitches of a scarf"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))
    repository, number, clone, head = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)
    asked = len(world.model.exchanges)

    again = await reworded(clone)
    await world.settled(repository)

    assert again != head
    assert await check_of(world, repository, again) == ("neutral", "No new changes")
    assert len(world.model.exchanges) == asked
    assert len(await inline(world, repository, number)) == 1
    [summary] = await summaries(world, repository, number)
    assert f"read at `{head[:7]}`" in summary


async def test_a_disagreement_is_judged_once(world: World) -> None:
    """The author is right: the finding is withdrawn and its thread resolved. No mention was needed."""
    title = "Count the stitches of a sock"
    world.model.teach(review(title, "Review this change", calls=(finds("knit.py", 5, DIVIDES),)))
    repository, number, _, _ = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)
    finding = await finding_of(world, repository, number)
    verdict = {"id": finding, "verdict": "withdrawn", "why": "The caller never passes an empty list."}
    world.model.teach(
        review(
            title,
            f"disagrees with finding {finding}",
            "rows is never empty",
            calls=(ScriptedCall(name="judge_finding", arguments=verdict),),
        )
    )

    await replies(world.cole, repository, number, "rows is never empty, see the caller.")
    await world.settled(repository)

    told = await inline(world, repository, number)
    assert "You are right, I take this back. The caller never passes an empty list." in told[-1]
    assert await resolved_threads(world, repository, number) == [True]
    turns = len(await world.turns(repository))

    await replies(world.cole, repository, number, "And it is slow besides.")
    await world.settled(repository)

    assert len(await inline(world, repository, number)) == 2
    assert len(await world.turns(repository)) == turns


async def test_sixty_five_findings(world: World) -> None:
    """Eight stand on their lines, in one review; nothing of the rest is lost."""
    title = "Count the stitches of a blanket"
    lines = "".join(f"row_{number} = knit({number})\n" for number in range(1, 66))
    calls = tuple(
        finds("rows.py", number, f"Row {number} loses stitch {number * 7}", severity="P2")
        for number in range(1, 66)
    )
    world.model.teach(review(title, calls=calls))

    repository, number, _, head = await pull_of(world, title, {"rows.py": lines})
    await world.settled(repository)

    assert len(await inline(world, repository, number)) == 8
    [summary] = await summaries(world, repository, number)
    assert "57 findings not on a line of the diff" in summary
    assert (await check_of(world, repository, head))[1] == "65 to consider"


async def test_a_push_supersedes_the_review_at_work(world: World) -> None:
    """Nobody hears of the review of a head that is not the newest any more."""
    title = "Count the stitches of a mitten"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))
    async with world.gate.closed():
        repository, number, clone, first = await pull_of(world, title, {"knit.py": KNIT})
        await world.gate.someone_waits()
        second = await clone.commits({"knit.py": KNIT + "\n\nLIMIT = 9\n"})
        await world.until_turns(repository, 2)

    await world.settled(repository)

    assert await check_of(world, repository, first) == ("cancelled", "Review stopped")
    assert await check_of(world, repository, second) == ("neutral", "1 to fix")
    assert len(await inline(world, repository, number)) == 1
    [summary] = await summaries(world, repository, number)
    assert f"read at `{second[:7]}`" in summary
    assert len(await world.bot_comments(repository, number)) == 1


async def test_what_another_bot_has_said_is_not_said_again(world: World) -> None:
    """On the same lines there is one remark; the other finding is posted."""
    title = "Count the stitches of a shawl"
    calls = (finds("knit.py", 5, DIVIDES), finds("knit.py", 9, "`name` fails without a name"))
    world.model.teach(review(title, calls=calls))
    async with world.gate.closed():
        repository, number, _, head = await pull_of(world, title, {"knit.py": KNIT})
        await world.gate.someone_waits()
        await world.other_bot.comments_on_line(
            repository, number, "Empty list?", sha=head, path="knit.py", line=5
        )

    await world.settled(repository)

    [comment] = await inline(world, repository, number)
    assert "`name` fails without a name" in comment


async def test_a_fork_is_read_and_never_run(world: World) -> None:
    """The model has no command for it, and reads what it needs."""
    title = "Count the stitches of a stranger"
    calls = (
        ScriptedCall(name="read_file", arguments={"path": "knit.py"}),
        finds("knit.py", 5, DIVIDES),
    )
    world.model.teach(review(title, calls=calls))
    repository = world.repository(files={".github/darner.yml": AUTO})
    fork = await world.oskar.forks(repository)
    clone = await world.clone(world.oskar, fork)
    await clone.commits({"knit.py": KNIT}, branch="wool")
    number = await world.oskar.opens_pull(repository, head="oskar:wool", base="main", title=title)
    await world.settled(repository)

    [comment] = await inline(world, repository, number)
    assert "divides by zero" in comment
    [turn] = await world.turns(repository)
    read = next(item for item in await world.journal(turn) if item.get("call", {}).get("name") == "read_file")
    assert "total / len(rows)" in read["answer"]["text"]
    assert {tool["name"] for tool in offered(world)} == {
        "read_file",
        "update_plan",
        "view_image",
        "report_finding",
        "judge_finding",
    }


async def test_a_head_that_was_pushed_away_loses_no_finding(world: World) -> None:
    """Somebody asked, and the head went while it was read: what has no line any more is in the summary."""
    title = "Count the stitches of a glove"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))
    repository, number, clone, head = await pull_of(
        world, title, {"knit.py": KNIT}, settings="enabled: true\n"
    )
    async with world.gate.closed():
        await world.cole.says(repository, number, "@darner review")
        await world.gate.someone_waits()
        await reworded(clone)

    await world.settled(repository)

    assert await inline(world, repository, number) == []
    [summary] = await summaries(world, repository, number)
    assert "1 finding not on a line of the diff" in summary
    assert f"/blob/{head}/knit.py#L5" in summary


async def test_a_review_is_asked_for_where_none_begins_by_itself(world: World) -> None:
    """A repository that says nothing is left alone; `review` looks, and says what it found."""
    title = "Count the stitches of a cowl"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))
    repository, number, _, _ = await pull_of(world, title, {"knit.py": KNIT}, settings="enabled: true\n")
    await world.settled(repository)
    assert await world.turns(repository) == []

    request = await world.cole.says(repository, number, "@darner review")
    await world.settled(repository)

    assert len(await inline(world, repository, number)) == 1
    assert await world.maya.reactions(repository, request) == ["eyes"]


async def test_fix_mends_a_finding(world: World) -> None:
    """One word in its thread: the commit is on the pull request's branch, and the next review settles it."""
    title = "Count the stitches of a vest"
    world.model.teach(
        review(title, "Review this change", calls=(finds("knit.py", 5, DIVIDES),)),
        review(title, "Review what changed since"),
    )
    repository, number, _, head = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)

    finding = await finding_of(world, repository, number)
    world.model.teach(session(f"- {finding}", runs(MEND), says("An empty pattern has no stitches.")))

    await replies(world.cole, repository, number, "fix")
    await world.settled(repository)

    pull = await world.only_pull(repository)
    assert pull.head_sha != head
    assert "if rows else 0" in await world.maya.file(repository, "knit.py", ref="wool")
    assert await resolved_threads(world, repository, number) == [True]
    [summary] = await summaries(world, repository, number)
    assert f"✅ fixed in `{pull.head_sha[:7]}`" in summary


MEND = "sed -i 's|total / len(rows)|total / len(rows) if rows else 0|' knit.py"
