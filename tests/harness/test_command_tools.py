"""The tools that run commands, in a real sandbox: what the model reads, and what the end of a turn leaves."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from harness.items import Call, CommandExecution, FileChange, ItemId, ItemStatus, PathChange, ToolItem
from harness.protocols import ArgumentsRefused, Tool
from harness.tools import ToolContext, open_tools
from harness.tools.context import MOST_SHELLS, Shell, Shells
from sandbox.base import Ended, Execution, Limits, StdinClosed
from tests.harness.conftest import Confinement


@dataclass
class Hands:
    """Makes calls as a model would, and reads the answers."""

    tools: Mapping[str, Tool]
    confinement: Confinement
    number: int = 0

    async def call(self, name: str, **arguments: Any) -> ToolItem:
        self.number += 1
        call = Call(id=f"c{self.number}", name=name, arguments=json.dumps(arguments))
        item = self.tools[name].begin(call, ItemId(f"item_{self.number}"))
        assert item.status is ItemStatus.IN_PROGRESS
        return await self.tools[name].run(item)

    async def command(self, cmd: str, **arguments: Any) -> CommandExecution:
        item = await self.call("exec_command", cmd=cmd, **arguments)
        assert isinstance(item, CommandExecution)
        return item

    async def type(self, session_id: int | None, chars: str = "", **arguments: Any) -> CommandExecution:
        item = await self.call("write_stdin", session_id=session_id, chars=chars, **arguments)
        assert isinstance(item, CommandExecution)
        return item


@pytest.fixture
async def hands(confinement: Confinement) -> AsyncIterator[Hands]:
    async with confinement.open() as context, open_tools(context) as tools:
        yield Hands(tools, confinement)


def shown(item: ToolItem) -> str:
    """The answer, with the one thing left out that no test can know."""
    assert item.answer is not None
    return re.sub(r"Wall time: \d+\.\d{4} seconds\n", "", item.answer.text)


async def test_a_command_tells_its_output_and_how_it_ended(hands: Hands) -> None:
    """The result has codex's shape; a failing command is an answer, not an error."""
    done = await hands.command("echo hello; echo oops >&2; exit 3")

    assert shown(done) == "Process exited with code 3\nOriginal token count: 3\nOutput:\nhello\noops\n"
    assert (done.status, done.exit_code, done.session_id) == (ItemStatus.FAILED, 3, None)
    assert done.answer is not None
    assert done.answer.full is None
    assert done.seconds is not None


async def test_a_command_works_in_the_checkout(hands: Hands) -> None:
    """It reads and changes the files of the turn, in the directory it asks for."""
    hands.confinement.put("src/a.txt", "one\n")

    done = await hands.command("cat a.txt && echo two >> a.txt", workdir="src")

    assert shown(done).endswith("Output:\none\n")
    assert (hands.confinement.checkout / "src" / "a.txt").read_text() == "one\ntwo\n"


async def test_a_workdir_outside_is_refused_with_a_reason(hands: Hands) -> None:
    """Nothing ran; the model is told why."""
    done = await hands.command("touch here", workdir="../..")

    assert shown(done).startswith("The command was not run. ../..: ")
    assert (done.status, done.exit_code) == (ItemStatus.FAILED, None)


async def test_a_long_command_becomes_a_session(hands: Hands) -> None:
    """It is not waited for; later its output and its end are fetched."""
    started = await hands.command("echo first; read line; echo got $line", tty=True, yield_time_ms=300)
    assert started.session_id == 1
    assert "Process running with session ID 1\n" in shown(started)

    typed = await hands.type(1, "four\n", yield_time_ms=5_000)

    assert (typed.exit_code, typed.session_id, typed.command) == (0, None, started.command)
    assert "got four" in shown(typed)
    gone = await hands.type(1, "again\n")
    assert shown(gone) == "No session 1 is running. Running sessions: none."


async def test_waiting_for_a_session_gives_only_what_is_new(hands: Hands) -> None:
    """An empty write polls; a character that was cut between two polls arrives whole."""
    started = await hands.command(r"printf 'a\xc3'; sleep 0.6; printf '\xa9z\n'", yield_time_ms=300)
    assert shown(started).endswith("Output:\na")

    waited = await hands.type(started.session_id)

    assert shown(waited) == "Process exited with code 0\nOriginal token count: 1\nOutput:\néz\n"


async def test_typing_into_a_command_without_terminal_is_refused(hands: Hands) -> None:
    """The model is told to start it with a terminal."""
    started = await hands.command("sleep 30", yield_time_ms=250)

    refused = await hands.type(started.session_id, "hello\n")

    assert refused.status is ItemStatus.FAILED
    assert "start it again with tty: true" in shown(refused)


async def test_the_time_limit_of_the_policy_ends_a_command(confinement: Confinement) -> None:
    """The model learns that it was the limit."""
    async with confinement.open(Limits(wall_seconds=1.0)) as context, open_tools(context) as tools:
        done = await Hands(tools, confinement).command("sleep 30")

    assert shown(done).startswith("Process exited with code 124 (killed: it ran longer than 1 seconds)\n")


async def test_a_megabyte_of_output_adds_little_to_the_next_request(hands: Hands) -> None:
    """Head and tail are shown, the whole text is kept."""
    done = await hands.command("seq 1 200000 | head -c 1048576; echo; echo the end")

    assert done.answer is not None
    assert done.answer.full is not None
    assert len(json.dumps(done.answer.text).encode()) < 10_300
    assert len(done.answer.full) > 1_048_576
    assert shown(done).endswith("the end\n")
    assert " left out here …]\n" in shown(done)
    assert "Original token count: 262147\n" in shown(done)


async def test_a_patch_written_as_a_here_document_is_a_patch(hands: Hands) -> None:
    """Models that know `apply_patch` as a command get the tool: one file change, all hunks or none."""
    hands.confinement.put("a.py", "x = 1\n")
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-x = 1\n+x = 2\n*** End Patch\n"

    done = await hands.call("exec_command", cmd=f"apply_patch <<'EOF'\n{patch}EOF\n")

    assert isinstance(done, FileChange)
    assert (done.status, done.changes) == (ItemStatus.COMPLETED, (PathChange("a.py", "update"),))
    assert done.call.name == "exec_command"
    assert shown(done) == "Success. Updated the following files:\nM a.py"
    assert (hands.confinement.checkout / "a.py").read_text() == "x = 2\n"


async def test_the_shell_keeps_everything_that_is_more_than_a_patch(hands: Hands) -> None:
    """Only the plain form is taken: a here-document for another program stays a command."""
    done = await hands.command("cat <<'EOF'\napply_patch <<'X'\nEOF\necho more")

    assert shown(done).endswith("Output:\napply_patch <<'X'\nmore\n")


async def test_wrong_arguments_are_refused_before_anything_runs(hands: Hands) -> None:
    """Unknown keys and nulls are forgiven, a missing command is not."""
    done = await hands.command("echo ok", justification="because", yield_time_ms=None, max_output_tokens="50")
    assert done.exit_code == 0

    with pytest.raises(ArgumentsRefused, match="cmd: Field required"):
        await hands.call("exec_command", command=["ls"])


async def test_nothing_survives_the_end_of_the_turn(confinement: Confinement) -> None:
    """A command left running is dead when the tools are closed, also when the turn was cancelled."""
    beat = confinement.checkout / "beat"
    is_waiting = asyncio.Event()

    async def work(context: ToolContext) -> None:
        async with open_tools(context) as tools:
            hands = Hands(tools, confinement)
            left = await hands.command("while :; do date +%N > beat; sleep 0.05; done", yield_time_ms=500)
            assert left.session_id is not None
            is_waiting.set()
            await hands.command("sleep 60", yield_time_ms=30_000)

    async with confinement.open() as context:
        working = asyncio.create_task(work(context))
        await is_waiting.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

        last = beat.read_text()
        await asyncio.sleep(0.3)
        assert beat.read_text() == last


@dataclass
class IdleProcess:
    """A `Process` that only waits to be killed: what is tried is the bookkeeping."""

    killed: list["IdleProcess"]

    async def wait(self, seconds: float) -> Ended | None:
        return None

    def take_output(self) -> bytes:
        return b""

    def take_notices(self) -> tuple[str, ...]:
        return ()

    def executions(self) -> tuple[Execution, ...]:
        return ()

    async def write(self, data: bytes) -> None:
        raise StdinClosed

    async def kill(self) -> None:
        self.killed.append(self)


async def test_the_session_that_was_not_used_for_longest_gives_way() -> None:
    """Sixty-four commands may run at once; one more ends another, and all end with the turn."""
    shells = Shells()
    killed: list[IdleProcess] = []
    idle = [IdleProcess(killed) for _ in range(MOST_SHELLS + 1)]
    for number in range(MOST_SHELLS):
        await shells.keep(number, Shell("sleep 60", ".", idle[number]))

    assert shells.find(0) is not None
    await shells.keep(MOST_SHELLS, Shell("sleep 60", ".", idle[MOST_SHELLS]))

    assert len(killed) == 1
    assert killed[0] is idle[1]
    assert shells.find(1) is None
    await shells.close()
    assert len(killed) == MOST_SHELLS + 1


async def test_the_programs_of_a_command_are_kept_with_it(hands: Hands) -> None:
    """The journal tells what was started; the model reads nothing of it."""
    done = await hands.command("ls / >/dev/null; sh -c 'exit 3'; exit 4")

    assert [program.argv[0] for program in done.programs] == ["bash", "ls", "sh"]
    assert done.programs[1].path.endswith("/ls")
    assert done.programs[1].cwd == "/workspace"
    assert done.answer is not None
    assert "ls" not in done.answer.text
