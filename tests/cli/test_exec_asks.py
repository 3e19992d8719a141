"""`darner exec` at a terminal: whoever sits there is asked what a rule wants to be asked about."""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.cli.asking import WHO, decision_of, question
from demo.model import ScriptedCall, Session, Turn, create_app, serve
from harness.items import ApprovalRequest, ItemId, TurnId
from harness.protocols import Decision
from tests.cli.program import PROJECT, environment, run_darner

RULES = """[[prefix]]
pattern = ["shred"]
decision = "ask"
justification = "It destroys files."
match = ["shred old.txt"]
not_match = ["ls"]
"""


@asynccontextmanager
async def shredding(home: Path, *commands: str) -> AsyncIterator[dict[str, str]]:
    """A model that runs these one after the other, and the settings that lead to it."""
    turns = [
        Turn(calls=(ScriptedCall(name="exec_command", arguments={"cmd": command}),)) for command in commands
    ]
    rules = home / "rules.toml"
    rules.write_text(RULES)
    app = create_app([Session(name="scripted-test", turns=(*turns, Turn(text="That is that.")))])
    async with serve(app) as url:
        yield environment(home) | {
            "OPENAI_BASE_URL": f"{url}/v1",
            "DARNER_MODEL": "scripted-test",
            "DARNER_RULES": str(rules),
        }


@dataclass
class Terminal:
    """What somebody sees and types."""

    fd: int
    process: asyncio.subprocess.Process
    seen: str = ""

    async def until(self, words: str, *, times: int = 1) -> None:
        async with asyncio.timeout(100):
            while self.seen.count(words) < times:
                self.seen += (await asyncio.to_thread(os.read, self.fd, 65_536)).decode()

    def types(self, text: str) -> None:
        os.write(self.fd, text.encode())

    async def ended(self) -> tuple[int, str]:
        """Exit status and standard output."""
        assert self.process.stdout is not None
        stdout = await asyncio.wait_for(self.process.stdout.read(), timeout=100)
        return await self.process.wait(), stdout.decode()


@asynccontextmanager
async def at_a_terminal(*arguments: str, settings: Mapping[str, str]) -> AsyncIterator[Terminal]:
    """The program with a terminal for its input and its errors."""
    ours, theirs = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", *arguments),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
            env={**settings, "PYTHONPATH": str(PROJECT)},
            cwd=settings["HOME"],
            start_new_session=True,
        )
        yield Terminal(ours, process)
    finally:
        os.close(theirs)
        os.close(ours)


ASKS = "Allow exactly this, once? [y/N, or why not] "


async def test_a_person_allows_one_command_and_denies_another(home: Path, repo: Path) -> None:
    """All of it is shown, with the reason; what was typed before it was asked is no answer."""
    async with (
        shredding(home, "shred -u greet.py && echo shredded", "shred -u notes.txt") as settings,
        at_a_terminal("exec", "--json", "--repo", str(repo), "Shred", settings=settings) as terminal,
    ):
        terminal.types("n typed too early\n")
        await terminal.until(ASKS)
        terminal.types("y\n")
        await terminal.until(ASKS, times=2)
        terminal.types("no, we still need that\n")
        status, stdout = await terminal.ended()

    assert status == 0
    assert "    shred -u greet.py && echo shredded\r\n" in terminal.seen
    assert "It destroys files." in terminal.seen
    assert [(repo / name).exists() for name in ("greet.py", "notes.txt")] == [False, True]
    assert f"The command was not run. {WHO} denied it, and says: we still need that" in stdout
    decided = [event["item"] for event in map(json.loads, stdout.splitlines()) if "decision" in str(event)]
    assert [item["decision"] for item in decided if item.get("decision")] == ["approved", "denied"]


async def test_ctrl_c_is_heard_while_somebody_is_asked(home: Path, repo: Path) -> None:
    async with (
        shredding(home, "shred -u greet.py") as settings,
        at_a_terminal("exec", "--repo", str(repo), "Shred", settings=settings) as terminal,
    ):
        await terminal.until(ASKS)
        terminal.process.send_signal(signal.SIGINT)
        status, _ = await terminal.ended()

    assert status == 130
    assert (repo / "greet.py").exists()


async def test_without_a_terminal_nobody_is_asked_and_nothing_runs(home: Path, repo: Path) -> None:
    """Neither what a rule wants to be asked about, nor what no rule allows where that needs leave."""
    async with shredding(home, "shred -u greet.py", "rm notes.txt") as settings:
        ran = await run_darner(
            *("exec", "--repo", str(repo), "Shred"),
            settings={**settings, "DARNER_APPROVALS": "untrusted"},
            stdin=b"y\ny\n",
        )

    assert ran.exit_status == 0
    assert [(repo / name).exists() for name in ("greet.py", "notes.txt")] == [True, True]
    assert ran.stderr.count("There is nobody to ask here.") == 2


@pytest.mark.parametrize(
    ("line", "decision"),
    [
        ("y\n", Decision("approved", WHO)),
        (" Yes.\n", Decision("approved", WHO)),
        ("\n", Decision("denied", WHO)),
        ("", Decision("denied", WHO)),
        ("n\n", Decision("denied", WHO)),
        ("no, use trash\n", Decision("denied", WHO, "use trash")),
        ("yes if the tests pass\n", Decision("denied", WHO, "yes if the tests pass")),
        ("why?\n", Decision("denied", WHO, "why?")),
    ],
)
def test_nothing_but_a_yes_allows(line: str, decision: Decision) -> None:
    assert decision_of(line) == decision


def test_what_hides_is_shown_by_its_number() -> None:
    """No sequence that moves the cursor or turns the writing around reaches the terminal."""
    asked = ApprovalRequest(
        id=ItemId("item_1"),
        for_item=ItemId("item_0"),
        kind="command",
        wanted=("rm a\x1b[2K\rls\u202e\nb",),
        why="It is\nasked.",
        digest="d" * 64,
        until=9e9,
        place="src",
        held=(),
    )

    shown = question(TurnId("t1"), asked)

    assert "run this command, in src:" in shown
    assert "    rm a\\u{1b}[2K\\u{d}ls\\u{202e}\n    b\n" in shown
    assert "Why: It is asked.\n" in shown
