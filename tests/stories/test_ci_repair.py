"""Stories of failed checks: when they are looked at, what is offered, what is repaired, and where it ends."""

import pytest

from demo.forge.actions import artifacts
from demo.forge.state import WorkflowRun
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


async def test_a_test_report_names_what_the_log_keeps_to_itself(world: World) -> None:
    """What the run has left is read, whatever lies beside it; what the log tells as well is told once."""
    repository = world.repository(files=_settings("offer"))
    number, head = await _pull(world, repository)
    run = await checks.begin(world, repository, sha=head, branch="wider", jobs=("mute",))
    cases = "".join(
        f'<testcase classname="tests.test_spacing" name="{name}"><failure message="no"/></testcase>'
        for name in ("test_mu_row", "test_nu_row")
    )
    report = f"<testsuites><testsuite>{cases}</testsuite></testsuites>".encode()
    await checks.leave(world, run, "JUnit 3.11", artifacts.packed({"deep/er/report.xml": report}))
    await checks.leave(world, run, "junit-bomb", artifacts.packed({"a.xml": b"<a>" + b" " * (1 << 25)}))
    await checks.leave(world, run, "junit-old", b"", expired=True)
    await checks.leave(world, run, "coverage", b"no archive at all")
    await checks.end(world, run, {"mute": pytest_log("test_mu_row")})
    await world.settled(repository)

    [offer] = await world.bot_comments(repository, number)
    named = "`tests/test_spacing.py::test_mu_row`, `tests.test_spacing.test_nu_row`"
    assert f"- `mute`: {named}\n" in offer.body


async def test_an_offer_is_taken_by_its_button(world: World) -> None:
    """It stands as a check of the head, too; whoever presses it is named, and then it is gone."""
    repository = world.repository(files=_settings("offer"))
    world.model.teach(session("head .kappa", runs(MEND), says("Kappa mended.")))
    number, head = await _pull(world, repository)
    await checks.ran(
        world, repository, sha=head, branch="wider", failing={"kappa": pytest_log("test_kappa_row")}
    )
    await world.settled(repository)
    offer = f"ci-{number}-{head[:12]}"
    offered = world.buttons(offer)

    world.presses("cole", repository, offer, "repair 1")
    final = await world.final_comment(repository, number)

    assert offered == ["Repair"]
    assert world.buttons(offer) == []
    assert final.startswith("✅ **Done**")
    assert "Kappa mended." in final
    assert (await world.only_pull(repository)).head_sha != head
    assert "Co-authored-by: cole " in await world.maya.commit_message(repository, "wider")


async def test_nothing_is_done_before_all_checks_have_ended(world: World) -> None:
    """One job fails while another runs: only the end of both is acted on."""
    repository = world.repository(files=_settings("offer"))
    number, head = await _pull(world, repository)
    run = await checks.begin(world, repository, sha=head, branch="wider", jobs=("gamma", "slow"))
    await checks.end_one(world, run, "gamma", pytest_log("test_gamma_row"))
    await world.looked(repository, looks=1)
    assert await world.bot_comments(repository, number) == []

    await checks.end(world, run)
    await world.settled(repository)

    [offer] = await world.bot_comments(repository, number)
    assert "test_gamma_row" in offer.body


async def test_what_fails_on_the_base_too_is_said_and_left(world: World) -> None:
    """The pull request is not to blame: no turn, one comment; a person can have it repaired all the same."""
    repository = world.repository(files=_settings("auto"))
    number, head = await _pull(world, repository)
    main = (await world.maya.branches(repository))["main"]
    failing = {"delta": pytest_log("test_delta_row")}
    await checks.ran(world, repository, sha=main, branch="main", failing=failing)
    await world.settled(repository)
    await checks.ran(world, repository, sha=head, branch="wider", failing=failing)
    await world.settled(repository)

    [said] = await world.bot_comments(repository, number)
    assert said.body.startswith("🔁 **Checks fail on `main` too**")
    assert await world.turns(repository) == []


async def test_a_flake_is_run_again_once_and_remembered(world: World) -> None:
    """What failed for the runner's sake runs again by itself; passing then, it needs no repair.

    A workflow that nobody wants looked after is left as it is.
    """
    repository = world.repository(files=_settings("auto", "  checks: {exclude: [Release / *]}\n"))
    number, head = await _pull(world, repository)
    release = await checks.begin(
        world, repository, sha=head, branch="wider", jobs=("deploy",), workflow="Release"
    )
    await checks.end(world, release, {"deploy": "no such host\n"})
    lost = f"{checks.STAMP} ##[error]The runner has received a shutdown signal.\n"
    run = await checks.ran(world, repository, sha=head, branch="wider", failing={"epsilon": lost})
    await checks.until_again(world, run)
    await checks.end(world, run)
    await world.settled(repository)
    assert world.forge.state.get(WorkflowRun, release.id).attempt == 1

    assert await world.turns(repository) == []
    assert await world.bot_comments(repository, number) == []


async def test_a_repair_that_does_not_help_ends_with_a_person(world: World) -> None:
    """The same failure comes back from our own commit: no second try, and a person hears what was tried."""
    repository = world.repository(files=_settings("auto"))
    failing = {"zeta": pytest_log("test_zeta_row")}
    world.model.teach(session("head .zeta", runs("echo 'tried' >> NOTES.md"), says("Zeta was touched.")))
    number, head = await _pull(world, repository)
    await checks.ran(world, repository, sha=head, branch="wider", failing=failing)
    await world.settled(repository)
    pushed = (await world.only_pull(repository)).head_sha
    assert pushed != head
    await checks.ran(world, repository, sha=pushed, branch="wider", failing=failing)

    called = await world.final_comment(repository, number)

    assert called.startswith(f"🧑 **I need a person here** · checks fail at `{pushed[:7]}`")
    assert "The same failure came back unchanged after the last attempt." in called
    assert "Zeta was touched." in called
    assert len(await world.turns(repository)) == 1


async def test_a_branch_gets_one_pull_request_for_its_failure(world: World) -> None:
    """Nobody has proposed anything: `main` itself fails, and a draft pull request repairs it."""
    repository = world.repository(files=_settings("auto", "  branches: [main]\n"))
    world.model.teach(session("head .eta", runs(MEND), says("Eta mended.")))
    main = (await world.maya.branches(repository))["main"]
    failing = {"eta": pytest_log("test_eta_row")}
    await checks.ran(world, repository, sha=main, branch="main", failing=failing)
    await world.settled(repository)

    pull = await world.only_pull(repository)
    assert (pull.base_ref, pull.title, pull.is_draft) == ("main", "Repair the checks of main", True)
    assert "if place < left_over else" in await world.maya.file(repository, SPACING, ref=pull.head_ref)
    assert "Eta mended." in (await world.bot_comments(repository, pull.number))[-1].body

    again = await checks.begin(world, repository, sha=main, branch="main", jobs=("eta",))
    await checks.end(world, again, failing)
    await world.settled(repository)
    assert len(await world.maya.pulls(repository)) == 1


async def test_a_repair_that_skips_the_test_is_held(world: World) -> None:
    """The rest goes out; what has CI ask less waits for a person, with the reason."""
    body = "class Rows(TestCase):\n    def test_theta(self):\n        self.fail()\n"
    test = f"from unittest import TestCase, skip\n\n\n{body}"
    repository = world.repository(files={**_settings("auto"), "tests/test_rows.py": test})
    skips = "sed -i 's/    def test_theta/    @skip(\"later\")\\n    def test_theta/' tests/test_rows.py"
    world.model.teach(session("head .theta", runs(skips, "echo more >> NOTES.md"), says("Theta is quiet.")))
    number, head = await _pull(world, repository)
    await checks.ran(world, repository, sha=head, branch="wider", failing={"theta": pytest_log("test_theta")})

    final = await world.final_comment(repository, number)

    assert final.startswith("✋ **Done with open points**")
    assert "Held back, because a person must look at this first: `tests/test_rows.py`." in final
    assert "These changes would have CI ask less of the code:" in final
    assert "@skip" not in await world.maya.file(repository, "tests/test_rows.py", ref="wider")
    assert (await world.maya.file(repository, "NOTES.md", ref="wider")).endswith("more\n")


async def test_a_forks_head_is_not_worked_on_by_itself(world: World) -> None:
    """GitHub names no pull request for such checks; it is found by its head, and only offered."""
    repository = world.repository(files=_settings("auto"))
    fork = await world.oskar.forks(repository)
    clone = await world.clone(world.oskar, fork)
    head = await clone.commits({"NOTES.md": "Mine.\n"}, branch="mine")
    number = await world.oskar.opens_pull(repository, head="oskar:mine", base="main", title="Mine")
    await checks.ran(world, repository, sha=head, branch="", failing={"iota": pytest_log("test_iota_row")})
    await world.settled(repository)

    [said] = await world.bot_comments(repository, number)
    assert "The head belongs to a fork, whose code I do not work on by myself." in said.body
    assert await world.turns(repository) == []


@pytest.mark.parametrize("is_same_file", [False, True], ids=["other_file", "same_file"])
async def test_a_head_that_moves_under_a_repair(world: World, *, is_same_file: bool) -> None:
    """Somebody pushes meanwhile: over changes of other files it stands, over its own it does not."""
    repository = world.repository(files=_settings("auto"))
    job = f"lambda{int(is_same_file)}"
    world.model.teach(session(f"head .{job}", runs(MEND), says("Lambda mended.")))
    clone = await world.clone(world.cole, repository)
    head = await clone.commits({"NOTES.md": "Wider rows.\n"}, branch="wider")
    number = await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")
    async with world.gate.closed():
        log = {job: pytest_log("test_lambda_row")}
        await checks.ran(world, repository, sha=head, branch="wider", failing=log)
        await world.gate.someone_waits()
        moved = await clone.commits({SPACING if is_same_file else "NOTES.md": "# Much wider rows.\n"})

    final = await world.final_comment(repository, number)

    pull = await world.only_pull(repository)
    if is_same_file:
        assert pull.head_sha == moved
        assert "The branch was changed by someone else in the meantime." in final
        assert "+    return tuple(gap + 1 if place < left_over else gap" in final
    else:
        assert pull.head_sha != moved
        assert await world.maya.file(repository, "NOTES.md", ref="wider") == "# Much wider rows.\n"
        assert "if place < left_over else" in await world.maya.file(repository, SPACING, ref="wider")
        assert "in other files; the result stands on the new head." in final


async def test_a_failure_outside_of_github_is_repaired(world: World) -> None:
    """All that is known of it is a word and an address: the model has both, and no log."""
    repository = world.repository(files=_settings("auto"))
    world.model.teach(session("other-ci", runs(MEND), says("Mu mended.")))
    number, head = await _pull(world, repository)
    await checks.status(world, repository, head, "pending")
    await checks.status(world, repository, head, "failure", said="test_mu_row: assert 10 == 11")

    final = await world.final_comment(repository, number)

    assert "Mu mended." in final
    assert (await world.only_pull(repository)).head_sha != head
    [turn] = await world.turns(repository)
    told = next(item["text"] for item in await world.journal(turn) if item["type"] == "user_message")
    assert "other-ci" in told
    assert "test_mu_row: assert 10 == 11" in told


async def test_one_workflow_for_a_push_and_for_a_pull_request_is_two(world: World) -> None:
    """Both run the same job at one head: what passes in the one does not make up for the other."""
    repository = world.repository(files=_settings("offer"))
    number, head = await _pull(world, repository)
    pushed = await checks.begin(world, repository, sha=head, branch="wider", jobs=("nu",))
    proposed = await checks.begin(
        world, repository, sha=head, branch="wider", jobs=("nu",), event="pull_request"
    )
    await checks.end(world, pushed, {"nu": pytest_log("test_nu_row")})
    await checks.end(world, proposed)
    await world.settled(repository)

    [offer] = await world.bot_comments(repository, number)
    assert "`nu`: `tests/test_spacing.py::test_nu_row`" in offer.body


async def test_what_fails_after_a_stop_is_repaired_after_resume(world: World) -> None:
    """Nothing begins while the conversation is stopped; what has failed meanwhile is not forgotten."""
    repository = world.repository(files=_settings("auto"))
    world.model.teach(session("head .xi", runs(MEND), says("Xi mended.")))
    number, head = await _pull(world, repository)
    await world.cole.says(repository, number, "@darner stop")
    await world.settled(repository)
    await checks.ran(world, repository, sha=head, branch="wider", failing={"xi": pytest_log("test_xi_row")})
    await world.settled(repository)
    assert await world.turns(repository) == []

    await world.cole.says(repository, number, "@darner resume")
    await world.settled(repository)

    assert "Xi mended." in (await world.bot_comments(repository, number))[-1].body
    assert (await world.only_pull(repository)).head_sha != head


async def test_a_failure_that_has_used_up_its_money_ends_with_a_person(world: World) -> None:
    """Somebody's push brings the same failure again: its first repair has cost all there is for it."""
    repository = world.repository(files=_settings("auto", "  money: 0.001\n"))
    failing = {"omicron": pytest_log("test_omicron_row")}
    tries = runs("echo 'tried' >> NOTES.md")
    world.model.teach(session("head .omicron", tries, says("Omicron was touched.")))
    number, head = await _pull(world, repository)
    await checks.ran(world, repository, sha=head, branch="wider", failing=failing)
    await world.settled(repository)
    assert (await world.only_pull(repository)).head_sha != head
    theirs = await world.cole.commits(repository, "wider", "MORE.md", "More.\n", message="More")
    await checks.ran(world, repository, sha=theirs, branch="wider", failing=failing)

    called = await world.final_comment(repository, number)

    assert called.startswith(f"🧑 **I need a person here** · checks fail at `{theirs[:7]}`")
    assert "in money are spent on this failure" in called
    assert len(await world.turns(repository)) == 1
