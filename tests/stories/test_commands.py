"""Short questions get short answers, and a repository's own settings are heeded."""

import pytest

from handlers import reasons
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("text", "answer", "reaction"),
    [
        ("@darner help", "Write `@darner` at the start of a paragraph and say what you want", "+1"),
        ("@darner", "You named me, and that was all. What shall I do?", "confused"),
        ("@darner reveiw", "I do not know the command `reveiw`. Did you mean `@darner review`?", "confused"),
        ("@darner review", "I review pull requests: write `@darner review` on one.", "confused"),
        ("@darner stop", "Nothing is at work here. From now on nothing starts by itself", "+1"),
        ("@darner status", "I have not worked in this conversation yet.", "+1"),
    ],
    ids=["help", "nothing", "typo", "review", "stop", "status"],
)
async def test_a_command_is_answered_at_once(world: World, text: str, answer: str, reaction: str) -> None:
    """Commands and slips get one comment and one reaction, and start no turn."""
    repository = world.repository()
    issue = await world.issue(repository)
    comment = await world.cole.says(repository, issue, text)

    await world.settled(repository)

    [said] = await world.bot_comments(repository, issue)
    assert said.body.startswith(answer)
    assert await world.maya.reactions(repository, comment) == [reaction]
    assert await world.turns(repository) == []


async def test_a_request_in_the_issue_itself_counts(world: World) -> None:
    """The issue's own text may ask; the reaction is then on the issue."""
    repository = world.repository()
    issue = await world.maya.opens_issue(repository, "Rows", "11 + 3 is short.\n\n@darner mend spread")

    final = await world.final_comment(repository, issue)

    assert final.startswith("✅ **Done**")
    assert await world.maya.subject_reactions(repository, issue) == ["eyes"]
    assert f"Closes #{issue}" in (await world.only_pull(repository)).body


async def test_settings_that_cannot_be_read_stop_the_bot(world: World) -> None:
    """A broken `.github/darner.yml` is told with what is wrong in it, and no turn starts."""
    repository = world.repository(files={".github/darner.yml": "enabeld: true\n"})
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")

    await world.settled(repository)

    [said] = await world.bot_comments(repository, issue)
    assert said.body.startswith("**Error** · I did not start: `.github/darner.yml` on the default branch")
    assert "`enabeld` is not a setting. Did you mean `enabled`?" in said.body
    assert await world.turns(repository) == []


async def test_a_repository_may_switch_the_bot_off(world: World) -> None:
    """With `enabled: false` the bot is silent, and the ledger tells why."""
    repository = world.repository(files={".github/darner.yml": "enabled: false\n"})
    issue = await world.issue(repository)
    comment = await world.cole.says(repository, issue, "@darner mend spread")

    await world.settled(repository)

    why = await world.why_comment(comment)
    assert (why.decision, why.reason) == ("handled", reasons.DISABLED)
    assert await world.maya.reactions(repository, comment) == []
    assert await world.bot_comments(repository, issue) == []


async def test_a_repository_may_allow_reading_only(world: World) -> None:
    """With `mode: read-only` a turn looks and answers; what it tries to write stays undone."""
    repository = world.repository(files={".github/darner.yml": "mode: read-only\n"})
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner mend spread")

    final = await world.final_comment(repository, issue)

    assert await world.maya.pulls(repository) == []
    assert "read-only" in final
    assert list(await world.maya.branches(repository)) == ["main"]
