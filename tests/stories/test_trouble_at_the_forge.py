"""GitHub has a bad day: every write of the main job fails once, before it is done or after."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import pytest

from demo.forge.faults import FaultKind
from demo.forge.person import CheckRun
from handlers import reasons
from tests.stories.sessions import says, session
from tests.stories.world import World, git

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRITES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "reaction": ("POST", "/reactions"),
        "progress comment": ("POST", r"/issues/\d+/comments"),
        "push": ("POST", "/git-receive-pack"),
        "pull request": ("POST", "/pulls"),
        "edit": ("PATCH", r"/issues/comments/\d+"),
        "final comment": ("POST", r"/issues/\d+/comments"),
        "check run": ("POST", "/check-runs"),
    }
)


async def _job_with(world: World, kind: FaultKind, *writes: str, seconds: float = 1.0) -> None:
    """The main job, with these writes failing once; it ends as if nothing had happened."""
    repository = world.repository()
    for write in writes:
        if write != "final comment":
            _break(world, repository, kind, write, seconds)
    async with world.gate.closed():
        issue = await world.maya.opens_issue(repository, "Rows", "@darner mend spread")
        await world.gate.someone_waits()
        if "final comment" in writes:
            _break(world, repository, kind, "final comment", seconds)

    final = await world.final_comment(repository, issue)

    assert [fault for fault in world.forge.faults.pending() if repository in fault.path] == []
    pull = await world.only_pull(repository)
    assert final.startswith("✅ **Done**")
    assert f"[#{pull.number}]" in final
    progress, _ = await world.bot_comments(repository, issue)
    assert progress.body.startswith("✅ **Done**")
    assert await world.maya.subject_reactions(repository, issue) == ["eyes"]
    [turn] = await world.turns(repository)
    [run] = await world.maya.check_runs(repository, pull.head_sha)
    assert run == CheckRun("Darner", "completed", "success", "✅ Done", turn, id=run.id)
    assert sorted(await world.maya.branches(repository)) == sorted(["main", pull.head_ref])


def _break(world: World, repository: str, kind: FaultKind, write: str, seconds: float) -> None:
    method, path = WRITES[write]
    world.forge.faults.add(kind, method=method, path=rf"/{repository}(\.git)?(/.*)?{path}$", seconds=seconds)


@pytest.mark.parametrize("write", list(WRITES))
async def test_a_write_that_fails_is_made_up_for(world: World, write: str) -> None:
    """A 502 on any one write: in the end it is there all the same, and the conversation reads as always."""
    await _job_with(world, FaultKind.BAD_GATEWAY, write)


@pytest.mark.parametrize("path", [r"/issues/\d+", r"/issues/\d+/comments", "/info/refs"])
async def test_a_turn_bears_one_bad_answer(world: World, path: str) -> None:
    """A read that fails once while a turn is made ready is made again."""
    repository = world.repository()
    world.forge.faults.add(FaultKind.BAD_GATEWAY, method="GET", path=rf"/{repository}(\.git)?{path}$")
    issue = await world.maya.opens_issue(repository, "Rows", "@darner mend spread")
    await world.settled(repository)

    assert [fault for fault in world.forge.faults.pending() if repository in fault.path] == []
    assert (await world.final_comment(repository, issue)).startswith("✅ **Done**")


async def test_a_write_whose_answer_was_lost_is_not_doubled(world: World) -> None:
    """Every write is done but looks as if it were not, and so is tried again: still one of everything."""
    await _job_with(world, FaultKind.DROP_AFTER_WRITE, *WRITES)


async def test_a_secondary_limit_is_waited_out(world: World) -> None:
    """Told to wait, the bot waits as long as it was told, and then goes on where it was."""
    begun = asyncio.get_running_loop().time()
    await _job_with(world, FaultKind.SECONDARY_LIMIT, "progress comment", "pull request", seconds=1)
    assert asyncio.get_running_loop().time() - begun >= 2


async def test_who_loses_the_right_to_write_meanwhile_gets_no_push(world: World) -> None:
    """The permission counts that is there when it is written; whoever has it may take the work from there."""
    world.model.teach(session("take it over", says("Taken over.")))
    repository = world.repository()
    issue = await world.issue(repository)
    async with world.gate.closed():
        await world.cole.says(repository, issue, "@darner mend spread")
        await world.gate.someone_waits()
        world.may(repository, "cole", "read")

    final = await world.final_comment(repository, issue)

    assert reasons.RIGHT_LOST in final
    assert await world.maya.pulls(repository) == []
    assert list(await world.maya.branches(repository)) == ["main"]
    [turn] = await world.turns(repository)
    await world.maya.says(repository, issue, f"@darner fork {turn} take it over")
    await world.settled(repository)

    pull = await world.only_pull(repository)
    assert f"`fork {turn}`" in final
    assert "if place < left_over else" in await world.maya.file(
        repository, "purl/spacing.py", ref=pull.head_ref
    )


async def test_the_work_survives_the_branch_it_was_for(world: World) -> None:
    """The head branch is deleted while the turn is at work: the result lies on a branch of its own."""
    repository = world.repository()
    clone = await world.clone(world.cole, repository)
    await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider")
    number = await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")
    async with world.gate.closed():
        await world.cole.says(repository, number, "@darner mend spread")
        await world.gate.someone_waits()
        await asyncio.to_thread(git, clone.directory, "push", "-q", "origin", "--delete", "wider")

    final = await world.final_comment(repository, number)

    [turn] = await world.turns(repository)
    assert f"darner/{number}-{turn}" in await world.maya.branches(repository)
    assert f"The branch `darner/{number}-{turn}` is there, but GitHub did not open a pull request" in final
