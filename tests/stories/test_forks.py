"""Stories of the delivery ladder: how a result gets into a pull request from a fork."""

import re

import pytest

from demo.forge.actions import suggestions
from demo.forge.faults import FaultKind
from demo.forge.seed import acting
from demo.forge.state import Issue, ReviewComment, User
from tests.stories.world import BOT, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPACING = "purl/spacing.py"


async def _pull_of_oskar(
    world: World, repository: str, *, is_installed: bool = False
) -> tuple[str, int, str]:
    """A stranger's pull request that changes lines near the bug; his fork, its number and head.

    `is_installed`: he has the App on that fork, and lets maintainers push.
    """
    fork = await world.oskar.forks(repository)
    clone = await world.clone(world.oskar, fork)
    text = (clone.directory / SPACING).read_text().replace("cannot place", "no room for")
    head = await clone.commits({SPACING: text}, branch="mine", message="Say it shorter")
    if is_installed:
        world.installs("oskar", fork)
    number = await world.oskar.opens_pull(
        repository,
        head="oskar:mine",
        base="main",
        title="Shorter words",
        lets_maintainers_push=is_installed,
    )
    return fork, number, head


async def test_a_small_change_comes_as_a_suggestion_that_its_author_accepts(world: World) -> None:
    """One review on the lines themselves, posted once though its answer got lost; a click takes it."""
    repository = world.repository()
    fork, number, head = await _pull_of_oskar(world, repository)
    world.forge.faults.add(
        FaultKind.BAD_GATEWAY_AFTER_WRITE, method="POST", path=rf"/{repository}/pulls/{number}/reviews$"
    )
    await world.cole.says(repository, number, "@darner mend spread")

    final = await world.final_comment(repository, number)

    assert [fault for fault in world.forge.faults.pending() if repository in fault.path] == []
    [said] = await world.maya.reads_review_comments(repository, number)
    assert said.author == BOT
    assert said.body.startswith("```suggestion\n    return tuple(gap + 1 if place < left_over else gap")
    assert re.match(r"✅ \*\*Done\*\* · .+ · 1 suggestion\n", final)
    assert f"[Files changed]({world.forge.url}/{repository}/pull/{number}/files)" in final
    assert "```diff" not in final
    assert (await world.oskar.branches(fork))["mine"] == head
    taken = _takes(world, "oskar", said.id)
    assert (await world.oskar.branches(fork))["mine"] == taken
    mended = await world.oskar.file(fork, SPACING, ref="mine")
    assert "place < left_over else gap" in mended
    assert "no room for" in mended


def _takes(world: World, login: str, comment: int) -> str:
    """Somebody presses "Commit suggestion"; the commit."""
    state = world.forge.state
    user = next(state.where(User, login=login))
    said = state.get(ReviewComment, comment)
    return suggestions.commit_suggestion(acting(state, user), state.get(Issue, said.issue_id), said)


async def test_a_fork_with_the_app_on_it_gets_the_commit_itself(world: World) -> None:
    """Its author lets maintainers push: one commit on his branch, which `undo` takes back."""
    repository = world.repository()
    fork, number, head = await _pull_of_oskar(world, repository, is_installed=True)
    await world.cole.says(repository, number, "@darner mend spread")

    final = await world.final_comment(repository, number)

    pushed = (await world.oskar.branches(fork))["mine"]
    assert pushed != head
    assert final.startswith("✅ **Done**")
    assert f"`{fork}:mine` at `{pushed[:7]}`" in final
    assert "place < left_over else gap" in await world.oskar.file(fork, SPACING, ref="mine")
    [turn] = await world.turns(repository)
    assert f"\nDarner-Turn: {turn}\n" in await world.oskar.commit_message(fork, "mine")
    assert await world.maya.reads_review_comments(repository, number) == []
    assert set(await world.maya.branches(repository)) == {"main"}
    await world.cole.says(repository, number, "@darner undo")
    assert f"Turn `{turn}` is undone" in await world.final_comment(repository, number)
    assert "left_over - 1 else gap" in await world.oskar.file(fork, SPACING, ref="mine")


async def test_a_fork_that_takes_no_push_gets_a_suggestion(world: World) -> None:
    """A rule of its author's on the branch is not fought: the next rung, and why."""
    repository = world.repository()
    fork, number, head = await _pull_of_oskar(world, repository, is_installed=True)
    world.protect(fork, "mine")
    await world.cole.says(repository, number, "@darner mend spread")

    final = await world.final_comment(repository, number)

    assert (await world.oskar.branches(fork))["mine"] == head
    assert f"`{fork}:mine` is protected, so I left it alone." in final
    assert len(await world.maya.reads_review_comments(repository, number)) == 1


async def test_a_companion_is_opened_once_and_only_by_leave(world: World) -> None:
    """Asked for by a writer, told what it means, approved by its id; then a draft with both their commits.

    The answer to its opening gets lost, and it is opened once all the same.
    """
    repository = world.repository()
    fork = await world.oskar.forks(repository)
    clone = await world.clone(world.oskar, fork)
    head = await clone.commits({"NOTES.md": "Mine.\n"}, branch="mine")
    number = await world.oskar.opens_pull(repository, head="oskar:mine", base="main", title="Mine")
    await world.cole.says(repository, number, "@darner mend spread")
    assert "write `@darner companion`" in await world.final_comment(repository, number)
    await world.cole.says(repository, number, "@darner companion")
    told = await world.final_comment(repository, number)
    found = re.search(r"`@darner approve ([0-9a-f]{8})`", told)
    assert found, told
    assert "This repository's CI runs the contributor's code there" in told
    await world.oskar.says(repository, number, f"@darner approve {found[1]}")
    await world.settled(repository)
    assert set(await world.maya.branches(repository)) == {"main"}
    world.forge.faults.add(FaultKind.DROP_AFTER_WRITE, method="POST", path=rf"/{repository}/pulls$")

    await world.maya.says(repository, number, f"@darner approve {found[1]}")
    final = await world.final_comment(repository, number)

    asked, companion = await world.maya.pulls(repository)
    assert [fault for fault in world.forge.faults.pending() if repository in fault.path] == []
    assert (asked.number, asked.head_sha) == (number, head)
    assert (companion.author, companion.base_ref, companion.is_draft) == (BOT, "main", True)
    assert "left_over else gap" in await world.maya.file(repository, SPACING, ref=companion.head_ref)
    assert await world.maya.file(repository, "NOTES.md", ref=companion.head_ref) == "Mine.\n"
    assert f"[#{companion.number}]" in final
    assert "approved by maya" in final
    message = await world.maya.commit_message(repository, companion.head_ref)
    assert "\nApproved-by: maya\n" in message
