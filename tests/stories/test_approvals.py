"""A turn asks people, and waits: what they answer, who may, and what comes of it. By comment."""

import re

import pytest

from demo.model import ScriptedCall, Turn
from handlers import reasons
from tests.stories.sessions import MEND, patches, runs, says, session
from tests.stories.test_pull_requests import ROTATION
from tests.stories.world import World, git

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHRED = "shred -u README.md && echo shredded"


async def _asks_to_shred(world: World, words: str) -> tuple[str, int, str]:
    """A turn that waits for leave to run a command; repository, issue, request."""
    world.model.teach(session(words, runs(MEND, SHRED), says("That is that.")))
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, f"@darner {words}")
    return repository, issue, await world.asked(repository, issue, comments=2)


async def _shred_answer(world: World, repository: str) -> str:
    """What the model was told of its command."""
    [turn] = await world.turns(repository)
    items = [item for item in await world.journal(turn) if item.get("command") == SHRED]
    assert len(items) == 1
    return str(items[0]["answer"]["text"])


async def test_an_approved_command_runs_once_and_the_turn_goes_on(world: World) -> None:
    """The comment shows exactly what is asked, why and until when; nothing runs before the answer."""
    repository, issue, request = await _asks_to_shred(world, "shred the old notes")
    progress, asked = await world.bot_comments(repository, issue)
    assert asked.body.startswith(
        "✋ **Needs approval** · I want to run a command that needs a person's leave"
    )
    assert f"```text\n{SHRED}\n```" in asked.body
    assert "It destroys files." in asked.body
    assert f"`@darner approve {request}`" in asked.body
    assert "it counts as denied" in asked.body
    assert progress.body.startswith("💤 **Waiting**")

    approval = await world.maya.says(repository, issue, f"@darner approve {request}")
    final = await world.final_comment(repository, issue)

    assert final.startswith("✅ **Done**")
    assert "shredded" in await _shred_answer(world, repository)
    assert await world.maya.reactions(repository, approval) == ["+1"]
    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert said[2].startswith("Approved: turn")
    again = await world.maya.says(repository, issue, f"@darner deny {request}")
    assert "was approved by maya before; that stands" in await world.final_comment(repository, issue)
    assert await world.maya.reactions(repository, again) == ["confused"]


async def test_a_denied_command_does_not_run_and_the_model_reads_why(world: World) -> None:
    repository, issue, request = await _asks_to_shred(world, "shred the new notes")
    await world.maya.says(repository, issue, f"@darner deny {request} we still need them")

    final = await world.final_comment(repository, issue)

    assert final.startswith("✅ **Done**")
    assert await _shred_answer(world, repository) == (
        "The command was not run. maya denied it, and says: we still need them"
    )


async def test_only_a_writers_new_words_approve(world: World) -> None:
    """No stranger's, no triager's, and no old comment that was edited into one; the first answer counts."""
    repository, issue, request = await _asks_to_shred(world, "shred all the notes")
    stranger = await world.oskar.says(repository, issue, f"@darner approve {request}")
    triager = await world.tess.says(repository, issue, f"@darner approve {request}")
    old = await world.maya.says(repository, issue, "@darner status")
    await world.until_said(repository, issue, comments=4)
    await world.maya.edits(repository, old, f"@darner approve {request}")
    await world.forge.webhooks_settled()
    assert (await world.why_comment(old)).reason == reasons.MENTION_NOT_NEW
    assert await world.maya.reactions(repository, stranger) == ["confused"]
    assert await world.maya.reactions(repository, triager) == ["confused"]
    [turn] = await world.turns(repository)
    assert not any(item.get("command") == SHRED for item in await world.journal(turn))

    await world.maya.says(repository, issue, f"@darner deny {request} not today")
    await world.cole.says(repository, issue, f"@darner approve {request}")
    await world.settled(repository)

    assert "maya denied it, and says: not today" in await _shred_answer(world, repository)
    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert any("was denied by maya before; that stands" in body for body in said)


async def test_stop_ends_a_turn_that_waits_and_voids_its_request(world: World) -> None:
    repository, issue, request = await _asks_to_shred(world, "shred half the notes")
    await world.maya.says(repository, issue, "@darner stop")
    await world.settled(repository)

    await world.maya.says(repository, issue, f"@darner approve {request}")

    assert f"Request `{request}` is void" in await world.final_comment(repository, issue)
    assert "Interrupted" in await _shred_answer(world, repository)


async def test_a_question_is_answered_by_the_next_mention(world: World) -> None:
    """The words come to the model as the tool's answer; nobody starts a second turn."""
    question = ScriptedCall(
        name="request_user_input",
        arguments={"question": "Left or right?", "options": ["Left", "Right"]},
    )
    world.model.teach(session("turn the sock", Turn(calls=(question,)), runs(MEND), says("Turned.")))
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner turn the sock")
    request = await world.asked(repository, issue, comments=2)
    asked = (await world.bot_comments(repository, issue))[-1].body
    assert asked.startswith("❓ **A question**")
    assert "Left or right?\n\n1. Left\n2. Right" in asked
    await world.maya.says(repository, issue, f"@darner approve {request}")
    await world.until_said(repository, issue, comments=3)

    await world.maya.says(repository, issue, "@darner to the left, please")
    final = await world.final_comment(repository, issue)

    assert final.startswith("✅ **Done**")
    [turn] = await world.turns(repository)
    told = [item["answer"]["text"] for item in await world.journal(turn) if item["type"] == "tool_call"]
    assert told == ["maya, who may direct this turn, answers:\n\nto the left, please"]
    said = [comment.body for comment in await world.bot_comments(repository, issue)]
    assert "is a question: answer it by `@darner …`" in said[2]
    assert said[3].startswith("Passed on as the answer")


async def test_hosts_that_a_person_approves_are_open_to_that_turn(world: World) -> None:
    """Only what the operator lets people approve; what is beyond is refused at once, and nobody is asked."""
    world.model.teach(
        session(
            "buy wool",
            Turn(calls=(_asks_for(hosts=["steel.example"]),)),
            runs("env | grep -i https_proxy || echo offline"),
            Turn(calls=(_asks_for(hosts=["wool.example"]),)),
            runs("env | grep -i https_proxy || echo offline"),
            says("Bought."),
        )
    )
    repository = world.repository()
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner buy wool")
    request = await world.asked(repository, issue, comments=2)
    assert "```text\nwool.example\n```" in (await world.bot_comments(repository, issue))[-1].body
    await world.maya.says(repository, issue, f"@darner approve {request}")

    await world.settled(repository)

    [turn] = await world.turns(repository)
    items = [item for item in await world.journal(turn) if item.get("answer")]
    told = [item["answer"]["text"] for item in items]
    assert told[0] == "Not granted. The operator does not let people approve steel.example."
    assert told[1].endswith("offline\n")
    assert told[2] == "Approved by maya: this turn may reach wool.example."
    assert "http://" in told[3].rpartition("Output:")[2]


async def test_protected_paths_that_a_person_approves_can_be_changed_and_go_out(world: World) -> None:
    """In this turn only, and nothing else that is protected."""
    world.model.teach(
        session(
            "seal the letters",
            Turn(calls=(_asks_for(paths=["deploy/keys.txt"]),)),
            runs("echo new > deploy/keys.txt && echo new > other/keys.txt"),
            says("Sealed."),
        )
    )
    settings = "protected_paths: [deploy, other]\n"
    files = {".github/darner.yml": settings, "deploy/keys.txt": "old\n", "other/keys.txt": "old\n"}
    repository = world.repository(files=files)
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner seal the letters")
    request = await world.asked(repository, issue, comments=2)
    assert "```text\ndeploy\n```" in (await world.bot_comments(repository, issue))[-1].body
    await world.maya.says(repository, issue, f"@darner approve {request}")

    await world.settled(repository)

    pull = await world.only_pull(repository)
    assert await world.maya.file(repository, "deploy/keys.txt", ref=pull.head_ref) == "new\n"
    assert await world.maya.file(repository, "other/keys.txt", ref=pull.head_ref) == "old\n"


async def test_held_changes_that_a_person_approves_are_pushed_and_nothing_else(world: World) -> None:
    """One commit on the branch of the result, with exactly the files of the patch that was shown."""
    repository, issue, request = await _holds_keys(world, "swap the keys", "echo '- Keys.' >> CHANGES.md")
    pull = await world.only_pull(repository)
    before = pull.head_sha

    await world.maya.says(repository, issue, f"@darner approve {request}")
    last = await world.final_comment(repository, issue)

    assert last.startswith(f"✅ **Delivered** · 1 file that had been held back · `{pull.head_ref}` at")
    assert "approved by maya" in last
    assert await world.maya.file(repository, KEYS, ref=pull.head_ref) == "new\n"
    clone = await world.clone(world.maya, repository, pull.head_ref)
    assert git(clone.directory, "diff", "--name-only", before, "HEAD").split() == [KEYS]
    assert "Approved-by: maya" in git(clone.directory, "log", "-1", "--format=%B")

    # The turn has two commits now: to undo it takes both back.
    await world.maya.says(repository, issue, "@darner undo")
    assert " is undone: " in await world.final_comment(repository, issue)
    head = (await world.only_pull(repository)).head_ref
    assert await world.maya.file(repository, KEYS, ref=head) == "old\n"
    assert "- Keys." not in await world.maya.file(repository, "CHANGES.md", ref=head)


async def test_held_changes_alone_get_their_pull_request_when_approved(world: World) -> None:
    repository, issue, request = await _holds_keys(world, "change the keys")
    assert await world.maya.pulls(repository) == []

    await world.maya.says(repository, issue, f"@darner approve {request}")
    last = await world.final_comment(repository, issue)

    pull = await world.only_pull(repository)
    assert last.startswith("✅ **Delivered**")
    assert f"/pull/{pull.number}" in last
    assert await world.maya.file(repository, KEYS, ref=pull.head_ref) == "new\n"


async def test_held_changes_do_not_go_onto_a_branch_that_moved(world: World) -> None:
    """Somebody pushed after it was asked: their commit stays, and the answer says how to go on."""
    repository, issue, request = await _holds_keys(world, "turn the keys", "echo '- Keys.' >> CHANGES.md")
    pull = await world.only_pull(repository)
    clone = await world.clone(world.cole, repository, pull.head_ref)
    moved = await clone.commits({"NOTES.md": "Mine.\n"})

    await world.maya.says(repository, issue, f"@darner approve {request}")
    last = await world.final_comment(repository, issue)

    assert last.startswith(
        f"Not delivered: `{pull.head_ref}` was changed since request `{request}` was asked"
    )
    assert (await world.only_pull(repository)).head_sha == moved


async def test_an_approval_after_a_push_is_void(world: World) -> None:
    """What was asked about was another head; the agent goes on without, and its result waits beside."""
    world.model.teach(session("shred on a branch", runs(MEND, SHRED), says("That is that.")))
    repository = world.repository()
    clone = await world.clone(world.cole, repository)
    asked_at = await clone.commits({"NOTES.md": "Wider.\n"}, branch="wider")
    number = await world.cole.opens_pull(repository, head="wider", base="main", title="Wider rows")
    await world.cole.says(repository, number, "@darner shred on a branch")
    request = await world.asked(repository, number, comments=2)
    head = await clone.commits({"NOTES.md": "Much wider.\n"})

    await world.maya.says(repository, number, f"@darner approve {request}")
    await world.settled(repository)

    said = [comment.body for comment in await world.bot_comments(repository, number)]
    assert f"was asked at `{asked_at[:7]}`, and the head is `{head[:7]}` by now. It is void." in said[2]
    assert (await _shred_answer(world, repository)).startswith("The command was not run. The request is void")


async def test_who_has_lost_the_permission_approves_nothing(world: World) -> None:
    """Their rights count as they are when they answer, not as they were when it was asked."""
    repository, issue, request = await _asks_to_shred(world, "shred what is left")
    world.may(repository, "cole", "read")

    approval = await world.cole.says(repository, issue, f"@darner approve {request}")
    await world.forge.webhooks_settled()
    await world.maya.says(repository, issue, f"@darner deny {request}")
    await world.settled(repository)

    assert await world.maya.reactions(repository, approval) == ["confused"]
    assert await _shred_answer(world, repository) == "The command was not run. maya denied it."


KEYS = "deploy/keys.txt"


async def _holds_keys(world: World, words: str, *commands: str) -> tuple[str, int, str]:
    """A turn that ended with a protected change held back; repository, issue, request."""
    world.model.teach(session(words, patches(ROTATION), *map(runs, commands), says("Swapped.")))
    files = {".github/darner.yml": "protected_paths: [deploy]\n", KEYS: "old\n"}
    repository = world.repository(files=files)
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, f"@darner {words}")
    final = await world.final_comment(repository, issue)
    found = re.search(r"`@darner approve ([0-9a-f]{8})` within 3 days", final)
    assert found, final
    return repository, issue, found[1]


def _asks_for(**wanted: list[str]) -> ScriptedCall:
    return ScriptedCall(
        name="request_permissions", arguments={**wanted, "justification": "The task needs it."}
    )
