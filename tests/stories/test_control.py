"""People direct a thread by comments: what each command does, and what it says that it did."""

import asyncio

import pytest

from demo.forge.state import CheckRun
from handlers import reasons
from tests.stories.sessions import runs, says, session
from tests.stories.world import PATIENCE_SECONDS, POLL_SECONDS, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _said(world: World, repository: str, issue: int, beginning: str) -> str:
    """The bot's comment that begins so, as soon as there is one."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for said in reversed(await world.bot_comments(repository, issue)):
                if said.body.startswith(beginning):
                    return said.body
            await asyncio.sleep(POLL_SECONDS)


async def test_a_paused_turn_holds_still_until_resume_and_then_hears_what_was_said(world: World) -> None:
    """Pause, words, resume: the turn is one and the same, and the model reads the words before it goes on."""
    world.model.teach(session("wind the wool", runs("echo wool > wool.txt"), says("Wound.")))
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner wind the wool")
        await world.gate.someone_waits()
        await world.maya.says(repository, issue, "@darner pause")
        pausing = await _said(world, repository, issue, "Turn `")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(
            said.body.startswith("💤 **Waiting**") for said in await world.bot_comments(repository, issue)
        ):
            await asyncio.sleep(POLL_SECONDS)
    await world.cole.says(repository, issue, "@darner in blue")
    kept = await _said(world, repository, issue, "Kept: turn `")
    await world.cole.says(repository, issue, "@darner status")
    status = await _said(world, repository, issue, "| turn |")
    resume = await world.maya.says(repository, issue, "@darner resume")

    final = await world.final_comment(repository, issue)

    [turn] = await world.turns(repository)
    assert pausing.startswith(f"Turn `{turn}` pauses after its present step, and holds nothing then.")
    assert kept.startswith(f"Kept: turn `{turn}` is paused, and reads this first when someone writes")
    assert f"⏸ Turn `{turn}` is paused by maya" in status
    assert final.startswith("✅ **Done**")
    told = [item["text"] for item in await world.journal(turn) if item["type"] == "user_message"]
    assert told[1:] == ["cole, who may direct this turn, writes while you work:\n\nin blue"]
    assert await world.maya.reactions(repository, resume) == ["+1"]


async def test_retry_goes_on_with_the_files_of_a_stopped_turn(world: World) -> None:
    """The second turn begins where the first one was stopped, and what it delivers holds the work of both."""
    world.model.teach(
        session(
            "knit a sleeve",
            runs("echo one > one.txt"),
            runs("sleep 100"),
            runs("cat one.txt && echo two > two.txt"),
            says("Both are there."),
        ),
    )
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner knit a sleeve")
    await _has_run(world, repository)
    await world.maya.says(repository, issue, "@darner stop")
    stopped = await world.final_comment(repository, issue)
    retry = await world.cole.says(repository, issue, "@darner retry")

    final = await world.final_comment(repository, issue)

    first, second = await world.turns(repository)
    assert "To go on from here, write `@darner retry`" in stopped
    assert "Nothing starts here by itself until `@darner resume`." in stopped
    assert "Both are there." in final
    pull = await world.only_pull(repository)
    assert pull.head_ref == f"darner/{issue}-{second}"
    assert await world.maya.file(repository, "one.txt", ref=pull.head_ref) == "one\n"
    assert await world.maya.file(repository, "two.txt", ref=pull.head_ref) == "two\n"
    assert await world.maya.reactions(repository, retry) == ["eyes"]
    assert first != second


async def test_stop_ends_the_turn_at_work_and_the_one_behind_it(world: World) -> None:
    """Each says so with its own last words, and the answer names both."""
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner mend spread")
        await world.gate.someone_waits()
        await world.cole.says(repository, issue, "@darner fork")
        await world.until_turns(repository, 3)
        await world.maya.says(repository, issue, "@darner stop")
        await world.settled(repository)

    _, running, behind = await world.turns(repository)
    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert any(
        f"turn `{running}` (which was at work) and turn `{behind}` (which waited)." in body for body in said
    )
    ends = "".join(body for body in said if body.startswith("🛑 **Stopped by maya**"))
    assert f"Turn `{running}`" in ends
    assert f"Turn `{behind}`" in ends
    assert len(await world.maya.pulls(repository)) == 1


async def test_fork_makes_a_second_attempt_beside_the_first(world: World) -> None:
    """From the end of the first turn, on its own branch, with its own draft pull request."""
    world.model.teach(
        session("asks for a second attempt", runs("echo shorter > note.txt"), says("Shorter now.")),
    )
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)
    [first] = await world.turns(repository)
    await world.cole.says(repository, issue, f"@darner fork {first} make it shorter")

    final = await world.final_comment(repository, issue)

    _, second = await world.turns(repository)
    assert "Shorter now." in final
    one, two = await world.maya.pulls(repository)
    assert [one.head_ref, two.head_ref] == [f"darner/{issue}-{first}", f"darner/{issue}-{second}"]
    assert (two.base_ref, two.is_draft) == ("main", True)
    assert f"A second attempt, from the end of turn `{first}`" in two.body
    # What the first one did is in both; what the second one did only in its own.
    for pull in (one, two):
        assert "left_over - 1" not in await world.maya.file(repository, "purl/spacing.py", ref=pull.head_ref)
    assert await world.maya.file(repository, "note.txt", ref=two.head_ref) == "shorter\n"


async def test_undo_returns_the_branch_by_a_new_commit(world: World) -> None:
    """The turn's change is gone from the branch, its commit is not; a second undo says so."""
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)
    pull = await world.only_pull(repository)
    [turn] = await world.turns(repository)
    await world.maya.says(repository, issue, "@darner undo")

    said = await world.final_comment(repository, issue)

    after = (await world.only_pull(repository)).head_sha
    assert (
        said
        == f"Turn `{turn}` is undone: `{after[:7]}` on `{pull.head_ref}` takes back `{pull.head_sha[:7]}`."
        or (said.startswith(f"Turn `{turn}` is undone: `{after[:7]}`"))
    )
    assert "left_over - 1" in await world.maya.file(repository, "purl/spacing.py", ref=pull.head_ref)
    message = await world.maya.commit_message(repository, after)
    assert f"Darner-Undo: {turn}" in message
    assert "Co-authored-by: maya" in message
    await world.maya.says(repository, issue, f"@darner undo {turn}")
    assert (await world.final_comment(repository, issue)).startswith(f"Turn `{turn}` is undone already")
    assert (await world.only_pull(repository)).head_sha == after


async def test_undo_keeps_what_others_did_since_and_stops_at_a_conflict(world: World) -> None:
    """Later commits stay. Where they changed the same lines nothing is pushed, and the files are named."""
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)
    pull = await world.only_pull(repository)
    clone = await world.clone(world.cole, repository, pull.head_ref)
    beside = await clone.commits({"beside.txt": "mine\n"})
    spacing = await world.maya.file(repository, "purl/spacing.py", ref=pull.head_ref)
    await clone.commits({"purl/spacing.py": spacing.replace("left_over", "rest")})
    await world.maya.says(repository, issue, "@darner undo")
    conflict = await world.final_comment(repository, issue)
    await clone.commits({"purl/spacing.py": spacing})
    await world.maya.says(repository, issue, "@darner undo")

    said = await world.final_comment(repository, issue)

    assert "later commits on" in conflict
    assert "`purl/spacing.py`" in conflict
    assert "is undone: " in said
    assert beside
    assert await world.maya.file(repository, "beside.txt", ref=pull.head_ref) == "mine\n"
    assert "left_over - 1" in await world.maya.file(repository, "purl/spacing.py", ref=pull.head_ref)


async def test_forget_deletes_the_transcript_and_nothing_is_handled_twice(world: World) -> None:
    """The journal is gone, who asked when stays; a redelivered webhook starts nothing."""
    repository = world.repository()
    issue = await world.issue(repository)
    asked = await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)
    [turn] = await world.turns(repository)
    await world.maya.says(repository, issue, "@darner forget")
    said = await world.final_comment(repository, issue)
    await world.redelivered(world.deliveries("issue_comment", comment=asked)[-1])
    await world.settled(repository)

    assert said.startswith("Deleted: the transcript of 1 turn of this conversation")
    assert await world.journal(turn) == []
    assert await world.turns(repository) == [turn]
    why = await world.why_comment(asked)
    assert (why.actor, why.decision, why.text) == ("cole", "handled", "")
    await world.cole.says(repository, issue, "@darner fork")
    assert "has been deleted" in await world.final_comment(repository, issue)
    await world.cole.says(repository, issue, "@darner undo")
    assert (await world.final_comment(repository, issue)).startswith(f"Turn `{turn}` is undone: ")


async def test_why_and_policy_tell_from_the_ledger(world: World) -> None:
    """The last decision, or that of a turn; and what a turn may do here."""
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")
    await world.settled(repository)
    [turn] = await world.turns(repository)
    await world.maya.says(repository, issue, "@darner why")
    last = await world.final_comment(repository, issue)
    await world.maya.says(repository, issue, f"@darner why {turn}")
    named = await world.final_comment(repository, issue)
    await world.maya.says(repository, issue, "@darner policy")
    policy = await world.final_comment(repository, issue)

    assert last.startswith("`issue_comment.created` by cole")
    assert f"Started turn {turn}" in last
    assert f"Turn `{turn}`: completed." in named
    assert "| mode | `workspace-write` |" in policy


async def test_conflicting_commands_count_in_the_order_of_arrival(world: World) -> None:
    """Stop and resume in one second: the turn stays stopped, what starts by itself may start again."""
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner mend spread")
        await world.gate.someone_waits()
        await world.maya.says(repository, issue, "@darner pause")
        await world.cole.says(repository, issue, "@darner stop")
        await world.maya.says(repository, issue, "@darner resume")
        await world.settled(repository)
    [turn] = await world.turns(repository)
    comments = [said.body for said in await world.bot_comments(repository, issue)]

    assert any(said.startswith("🛑 **Stopped by cole**") for said in comments)
    assert any("What starts by itself may start here again." in said for said in comments)
    assert not any(f"Turn `{turn}` goes on." in said for said in comments)
    assert await world.maya.pulls(repository) == []


async def test_an_old_comment_becomes_a_command_only_where_its_mention_is_new(world: World) -> None:
    """Words that had a mention before are no new ones, whatever they say now."""
    repository = world.repository()
    issue = await world.issue(repository)
    asked = await world.cole.says(repository, issue, "@darner mend spread")
    plain = await world.cole.says(repository, issue, "Nice.")
    strangers = await world.oskar.says(repository, issue, "Nice, too.")
    await world.settled(repository)
    head = (await world.only_pull(repository)).head_sha
    await world.cole.edits(repository, asked, "@darner undo")
    await world.oskar.edits(repository, strangers, "@darner undo")
    await world.settled(repository)
    assert (await world.only_pull(repository)).head_sha == head

    await world.cole.edits(repository, plain, "@darner undo")

    assert " is undone: " in await world.final_comment(repository, issue)
    assert await world.maya.reactions(repository, plain) == ["eyes"]
    assert await world.maya.reactions(repository, strangers) == ["confused"]
    why = await world.why_comment(asked)
    assert (why.action, why.decision, why.reason) == ("edited", "ignored", reasons.MENTION_NOT_NEW)
    assert len(await world.turns(repository)) == 1


async def test_the_buttons_of_a_check_run_stop_and_retry(world: World) -> None:
    """The answers stand in the conversation, and name who pressed."""
    world.model.teach(session("knit a collar", runs("sleep 100"), says("Collar knitted.")))
    repository = world.repository()
    clone = await world.clone(world.cole, repository)
    await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider")
    number = await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")
    async with world.gate.closed():
        await world.cole.says(repository, number, "@darner knit a collar")
        await world.gate.someone_waits()
        [turn] = await world.turns(repository)
        await world.until_said(repository, number, comments=1)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not list(world.forge.state.where(CheckRun, external_id=turn)):
                await asyncio.sleep(POLL_SECONDS)
        offered = world.buttons(turn)
        world.presses("maya", repository, turn, "stop")
        stopped = await world.final_comment(repository, number)
    offered += world.buttons(turn)
    before = len(await world.bot_comments(repository, number))
    world.presses("cole", repository, turn, "retry")
    await world.until_said(repository, number, comments=before + 1)
    # Until the progress comment tells of the work instead.
    comments = [said.body for said in await world.bot_comments(repository, number)]
    second = (await world.turns(repository))[1]
    await world.cole.says(repository, number, "@darner stop")
    await world.settled(repository)

    assert offered == ["Stop", "Retry"]
    assert stopped.startswith("🛑 **Stopped by maya**")
    assert any(body.startswith("Asked by cole with a button.") for body in comments)
    assert second != turn


async def _has_run(world: World, repository: str) -> str:
    """Return the turn's id when its first command is over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            for turn in await world.turns(repository):
                items = await world.journal(turn)
                if any(item["type"] == "command_execution" for item in items):
                    return turn
            await asyncio.sleep(POLL_SECONDS)
