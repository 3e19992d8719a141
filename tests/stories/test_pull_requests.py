"""Stories on pull requests: the commit goes into the branch, the answer to where the question was."""

import re

import pytest

from demo.forge.person import CheckRun
from tests.stories.sessions import MENDED, patches, runs, says, session
from tests.stories.world import BOT, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPACING = "purl/spacing.py"


async def _pull_of_cole(world: World, repository: str) -> tuple[int, str]:
    """A pull request from a branch of the repository itself; its number and head."""
    clone = await world.clone(world.cole, repository)
    head = await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider", message="Write notes")
    number = await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")
    return number, head


async def test_a_mention_on_a_pull_request_pushes_to_its_branch(world: World) -> None:
    """The fix is one commit on the pull request's own branch, by the bot, credited to who asked."""
    repository = world.repository()
    number, head = await _pull_of_cole(world, repository)
    request = await world.cole.says(repository, number, "@darner mend spread")

    final = await world.final_comment(repository, number)

    pull = await world.only_pull(repository)
    assert (pull.number, pull.head_ref) == (number, "wider")
    assert pull.head_sha != head
    assert "if place < left_over else" in await world.maya.file(repository, SPACING, ref="wider")
    assert final.startswith("✅ **Done**")
    assert f"`wider` at `{pull.head_sha[:7]}`" in final
    assert MENDED in final
    message = await world.maya.commit_message(repository, "wider")
    [turn] = await world.turns(repository)
    assert f"\nDarner-Turn: {turn}\n" in message
    assert "\nCo-authored-by: cole <" in message
    assert await world.maya.reactions(repository, request) == ["eyes"]
    [run] = await world.maya.check_runs(repository, pull.head_sha)
    assert run == CheckRun("Darner", "completed", "success", "✅ Done", turn, id=run.id)
    assert [run.status for run in await world.maya.check_runs(repository, head)] == ["completed"]


async def test_a_review_comment_is_answered_in_its_thread(world: World) -> None:
    """Asked at a line of the diff, the bot answers in that conversation and nowhere else."""
    repository = world.repository()
    number, head = await _pull_of_cole(world, repository)
    asked = await world.maya.comments_on_line(
        repository, number, "@darner mend spread", sha=head, path="NOTES.md", line=1
    )

    await world.settled(repository)

    said = await world.maya.reads_review_comments(repository, number)
    assert [comment.author for comment in said] == ["maya", BOT, BOT]
    assert said[-1].body.startswith("✅ **Done**")
    assert await world.maya.reads(repository, number) == []
    assert await world.maya.review_comment_reactions(repository, asked) == ["eyes"]
    assert "if place < left_over else" in await world.maya.file(repository, SPACING, ref="wider")


async def test_a_head_that_moved_is_left_alone(world: World) -> None:
    """Someone pushed meanwhile: their commit stays, the result waits in a companion pull request."""
    repository = world.repository()
    clone = await world.clone(world.cole, repository)
    await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider")
    number = await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")
    async with world.gate.closed():
        await world.cole.says(repository, number, "@darner mend spread")
        await world.gate.someone_waits()
        moved = await clone.commits({"NOTES.md": "Much wider rows.\n"})

    final = await world.final_comment(repository, number)

    pull, companion = await world.maya.pulls(repository)
    assert (pull.head_sha, pull.number) == (moved, number)
    assert (companion.author, companion.base_ref, companion.is_draft) == (BOT, "wider", True)
    assert "if place < left_over else" in await world.maya.file(repository, SPACING, ref=companion.head_ref)
    assert final.startswith("🔀 **Head moved**")
    assert f"[#{companion.number}]" in final
    assert "The branch `wider` was pushed to while I worked, so I left it alone" in final


async def test_a_protected_branch_gets_a_companion(world: World) -> None:
    """A branch that takes no pushes is not fought: the result comes as a pull request into it."""
    repository = world.repository()
    number, head = await _pull_of_cole(world, repository)
    world.protect(repository, "wider")
    await world.cole.says(repository, number, "@darner mend spread")

    final = await world.final_comment(repository, number)

    pull, companion = await world.maya.pulls(repository)
    assert (pull.head_sha, companion.base_ref) == (head, "wider")
    assert "The branch `wider` is protected, so I left it alone" in final
    assert f"[#{companion.number}]" in final


async def test_a_fork_gets_its_result_as_a_patch(world: World) -> None:
    """The head is a stranger's: a writer may ask, nothing is pushed, and the change is in the answer."""
    repository = world.repository()
    fork = await world.oskar.forks(repository)
    clone = await world.clone(world.oskar, fork)
    head = await clone.commits({"NOTES.md": "Mine.\n"}, branch="mine")
    number = await world.oskar.opens_pull(repository, head="oskar:mine", base="main", title="Mine")
    branches = await world.maya.branches(repository)
    await world.cole.says(repository, number, "@darner mend spread")

    final = await world.final_comment(repository, number)

    assert final.startswith("✋ **Done with open points**")
    assert "The head belongs to a fork, where I cannot push; here is the change as a patch." in final
    assert "+    return tuple(gap + 1 if place < left_over else gap" in final
    assert await world.maya.branches(repository) == branches
    assert (await world.oskar.branches(fork))["mine"] == head
    assert len(await world.maya.pulls(repository)) == 1


async def test_the_owner_of_a_fork_may_not_ask(world: World) -> None:
    """Opening a pull request gives no rights: its author's mention is refused like any stranger's."""
    repository = world.repository()
    fork = await world.oskar.forks(repository)
    clone = await world.clone(world.oskar, fork)
    await clone.commits({"NOTES.md": "Mine.\n"}, branch="mine")
    number = await world.oskar.opens_pull(repository, head="oskar:mine", base="main", title="Mine")
    request = await world.oskar.says(repository, number, "@darner mend spread")

    await world.settled(repository)

    assert await world.turns(repository) == []
    assert await world.maya.reactions(repository, request) == ["confused"]
    assert await world.bot_comments(repository, number) == []


ROTATION = """\
*** Begin Patch
*** Update File: deploy/keys.txt
@@
-old
+new
*** End Patch
"""


async def test_protected_files_are_held_back(world: World) -> None:
    """What a repository protects is held back: the comment shows its patch and hash, the rest goes out."""
    settings = "protected_paths: [deploy]\n"
    repository = world.repository(files={".github/darner.yml": settings, "deploy/keys.txt": "old\n"})
    world.model.teach(
        session(
            "rotate the keys",
            # In the sandbox's shell the file is read-only; a patch can propose the change.
            patches(ROTATION),
            runs("echo '- Keys.' >> CHANGES.md"),
            says("Rotated."),
        )
    )
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner rotate the keys")

    final = await world.final_comment(repository, issue)

    pull = await world.only_pull(repository)
    assert await world.maya.file(repository, "deploy/keys.txt", ref=pull.head_ref) == "old\n"
    assert (await world.maya.file(repository, "CHANGES.md", ref=pull.head_ref)).endswith("- Keys.\n")
    assert final.startswith("✋ **Done with open points**")
    assert "Held back, because only a person may change protected files: `deploy/keys.txt`." in final
    patch = final.partition("```diff\n")[2].partition("```")[0]
    assert "-old\n+new\n" in patch
    assert re.search(r"To take exactly this patch \(`[0-9a-f]{12,}`\), write `@darner approve", final)


async def test_nothing_but_protected_files_makes_no_pull_request(world: World) -> None:
    """When all of a result is held back, no branch and no pull request are made, and the comment says why."""
    repository = world.repository()
    world.model.teach(
        session(
            "claim ownership", runs("mkdir -p .github && echo '* @oskar' > .github/CODEOWNERS"), says("Done.")
        )
    )
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner claim ownership")

    final = await world.final_comment(repository, issue)

    assert await world.maya.pulls(repository) == []
    assert list(await world.maya.branches(repository)) == ["main"]
    assert "`.github/CODEOWNERS`" in final
    assert "+* @oskar" in final
