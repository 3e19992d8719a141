"""The main job: somebody asks on an issue, and a draft pull request with the fix comes back."""

import pytest

from tests.stories.sessions import runs, says, session
from tests.stories.world import BOT, REQUEST, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_mention_on_an_issue_becomes_a_draft_pull_request(world: World) -> None:
    """A request on an issue ends as a draft pull request with the fix, and with an answer on the issue."""
    repository = world.repository()
    issue = await world.issue(repository)
    request = await world.cole.says(repository, issue, REQUEST)

    final = await world.final_comment(repository, issue)

    pull = await world.only_pull(repository)
    assert (pull.author, pull.is_draft, pull.base_ref) == (BOT, True, "main")
    assert f"Closes #{issue}" in pull.body
    fixed = await world.maya.file(repository, "purl/spacing.py", ref=pull.head_ref)
    assert "if place < left_over else" in fixed
    assert final.startswith("✅ **Done**")
    assert f"draft pull request [#{pull.number}]" in final
    progress, _ = await world.bot_comments(repository, issue)
    assert progress.body.startswith("✅ **Done**")
    assert progress.body.count("- [x]") == 4
    assert await world.maya.reactions(repository, request) == ["eyes"]


async def test_every_step_of_the_way_can_be_asked_about(world: World) -> None:
    """`darner why` tells of a comment: who, what, the turn it started, and everything that came of it."""
    repository = world.repository()
    issue = await world.issue(repository)
    request = await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)

    why = await world.why_comment(request)

    assert (why.event, why.action, why.repository, why.number) == (
        "issue_comment",
        "created",
        repository,
        issue,
    )
    assert (why.actor, why.command, why.decision) == ("cole", "Request", "handled")
    assert why.turn is not None
    assert why.reason == f"Started turn {why.turn.id}."
    assert why.turn.outcome == "completed"
    assert [(effect.type, effect.state) for effect in why.effects] == [
        ("start_turn", "done"),
        ("react", "done"),
        ("post_comment", "done"),
        ("push_result", "done"),
        ("open_pull", "done"),
        ("edit_comment", "done"),
        ("post_comment", "done"),
        ("write_check_run", "done"),
    ]


async def test_a_second_request_is_a_turn_of_its_own(world: World) -> None:
    """When the first is done, somebody asks for more in the same conversation: both are answered."""
    first_answer = (runs("echo one > one.txt"), says("The first."))
    second_answer = (runs("echo two > two.txt"), says("The second."))
    world.model.teach(session("knit a row", *first_answer, *second_answer))
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner knit a row")
    first = await world.final_comment(repository, issue)
    await world.maya.says(repository, issue, "@darner and another")

    second = await world.final_comment(repository, issue)

    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert [body.partition(" · ")[0] for body in said] == ["✅ **Done**"] * 4
    assert "The first." in first
    assert "The second." in second
    assert len(await world.maya.pulls(repository)) == 2
