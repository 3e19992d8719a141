"""A repository says what may be done in it: its file narrows the turns, and never widens them."""

import pytest

from tests.stories.sessions import runs, says, session
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIG = ".github/darner.yml"


async def _outputs(world: World, repository: str) -> list[str]:
    [turn] = await world.turns(repository)
    commands = [item for item in await world.journal(turn) if item["type"] == "command_execution"]
    return [item["answer"]["text"].partition("Output:\n")[2] for item in commands]


async def test_a_repository_that_is_read_only_is_looked_at_and_not_changed(world: World) -> None:
    """The command cannot write, nothing is pushed, and both comments say what the turn was."""
    world.model.teach(session("colour the wool", runs("echo red > colour.txt"), says("I could only look.")))
    repository = world.repository(files={CONFIG: "mode: read-only\n"})
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner colour the wool")
    final = await world.final_comment(repository, issue)

    [output] = await _outputs(world, repository)
    assert "Read-only file system" in output
    assert "read-only" in final
    assert (await world.bot_comments(repository, issue))[0].body.count("· read-only ·") == 1
    assert await world.maya.pulls(repository) == []


async def test_a_path_that_the_repository_protects_cannot_be_written_in_the_sandbox(world: World) -> None:
    """It is read-only already while the turn works; what else it did is delivered."""
    attempt = "echo mine > deploy/key.txt; mv deploy elsewhere; echo done > done.txt; ls deploy"
    world.model.teach(session("ship the shawl", runs(attempt), says("Shipped.")))
    repository = world.repository(files={CONFIG: "protected_paths: [deploy]\n", "deploy/key.txt": "theirs\n"})
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner ship the shawl")
    await world.settled(repository)

    [output] = await _outputs(world, repository)
    assert "Read-only file system" in output
    assert "mv: cannot move" in output
    pull = await world.only_pull(repository)
    clone = await world.clone(world.maya, repository, pull.head_ref)
    assert (clone.directory / "done.txt").read_text() == "done\n"
    assert (clone.directory / "deploy" / "key.txt").read_text() == "theirs\n"


async def test_a_repository_that_wants_more_gets_what_is_allowed_and_is_told(world: World) -> None:
    """No host is opened and no limit raised; the progress comment names what was not granted."""
    look = "tail -n +3 /proc/net/dev | cut -d: -f1; env | grep -ci proxy"
    world.model.teach(session("buy some yarn", runs(look), says("There is no shop here.")))
    repository = world.repository(
        files={CONFIG: "network: [yarn.example]\nlimits: {memory: 64GiB, processes: 100}\n"}
    )
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner buy some yarn")
    await world.settled(repository)

    [output] = await _outputs(world, repository)
    assert output.split()[:2] == ["lo", "0"]
    progress = (await world.bot_comments(repository, issue))[0].body
    assert "`network yarn.example: the operator allows no host`" in progress
    assert "`memory 64 GiB: 2 GiB at most, by default`" in progress
    assert "processes" not in progress


async def test_a_repositorys_smaller_limit_holds_in_its_turns(world: World) -> None:
    """A command is bounded by what the file says, not by what the operator would give."""
    count = "grep 'Max processes' /proc/self/limits; head -c 9000000 /dev/zero > big; stat -c %s big; rm big"
    world.model.teach(session("wind the skein", runs(count), says("Wound.")))
    repository = world.repository(files={CONFIG: "limits: {processes: 77, file_size: 4MiB}\n"})
    issue = await world.issue(repository)
    await world.cole.says(repository, issue, "@darner wind the skein")
    await world.settled(repository)

    [output] = await _outputs(world, repository)
    assert output.split()[2:4] == ["77", "77"]
    assert output.split()[-1] == str(4 * 1024**2)
