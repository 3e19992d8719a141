"""Stories of failed checks: when they are looked at, what is offered, what is repaired, and where it ends."""

import pytest

from tests.stories import checks
from tests.stories.checks import pytest_log
from tests.stories.sessions import MEND, runs, says, session
from tests.stories.world import BOT, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPACING = "purl/spacing.py"


def _settings(mode: str, more: str = "") -> dict[str, str]:
    return {".github/darner.yml": f"ci:\n  mode: {mode}\n  quiet: 0\n{more}"}


async def _pull(world: World, repository: str) -> tuple[int, str]:
    """A pull request of Cole's; its number and head."""
    clone = await world.clone(world.cole, repository)
    head = await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider", message="Write notes")
    return await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows"), head


async def test_a_failed_check_is_repaired_on_its_branch(world: World) -> None:
    """Checks fail, nobody says a word: one commit comes to the branch, and the turn says what it proved."""
    repository = world.repository(files=_settings("auto"))
    world.model.teach(session("head .alpha", runs("cat ~/.cache/ci-logs/*.log", MEND), says("Alpha mended.")))
    number, head = await _pull(world, repository)
    await checks.ran(
        world, repository, sha=head, branch="wider", failing={"alpha": pytest_log("test_alpha_row")}
    )

    final = await world.final_comment(repository, number)

    pull = await world.only_pull(repository)
    assert pull.head_sha != head
    assert "if place < left_over else" in await world.maya.file(repository, SPACING, ref="wider")
    assert final.startswith("✅ **Done**")
    assert "Alpha mended." in final
    message = await world.maya.commit_message(repository, "wider")
    assert message.startswith(f"Repair the failed checks of #{number}\n\nThey fail at {head}.")
    [turn] = await world.turns(repository)
    journal = await world.journal(turn)
    told = next(item["text"] for item in journal if item["type"] == "user_message")
    assert "tests/test_spacing.py::test_alpha_row" in told
    shown = next(item for item in journal if item["type"] == "command_execution")
    assert "FAILED tests/test_spacing.py::test_alpha_row" in str(shown)


async def test_an_offer_says_what_would_be_tried_and_is_taken_by_words(world: World) -> None:
    """In `offer` one comment stands; a writer's words start the turn; when all is well it says so."""
    repository = world.repository(files=_settings("offer"))
    world.model.teach(session("head .beta", runs(MEND), says("Beta mended.")))
    number, head = await _pull(world, repository)
    await checks.ran(
        world, repository, sha=head, branch="wider", failing={"beta": pytest_log("test_beta_row")}
    )
    await world.settled(repository)

    [offer] = await world.bot_comments(repository, number)
    assert offer.body.startswith(f"🔧 **Checks fail** at `{head[:7]}`")
    assert "`beta`: `tests/test_spacing.py::test_beta_row`" in offer.body
    assert "attempt 1 of 3" in offer.body
    assert await world.turns(repository) == []

    await world.cole.says(repository, number, "@darner fix ci")
    final = await world.final_comment(repository, number)

    assert "Beta mended." in final
    mended = (await world.only_pull(repository)).head_sha
    await checks.ran(world, repository, sha=mended, branch="wider")
    await world.settled(repository)
    first = (await world.bot_comments(repository, number))[0]
    assert first.body.startswith(f"✅ All checks pass at `{mended[:7]}`.")
    assert [said.author for said in await world.maya.reads(repository, number)].count(BOT) == 3
