"""The audit of programs with a real kernel: what a tree of processes starts, however it starts it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import audit
from sandbox.base import Command, Execution, Policy, Sandbox, SandboxMode, Workspace
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.keeper.audit import LONGEST_WORD, MOST_PROGRAMS, MOST_WORDS, filter_program
from tests.sandbox.test_seccomp import verdict

ROOT = Path(__file__).parents[2]
BY_DESCRIPTOR = 'import os; f = os.open("/bin/true", 0); os.execve(f, ["by fd"], {})'


@pytest.fixture
def journal() -> Iterator[int]:
    descriptor = audit.new_journal()
    yield descriptor
    os.close(descriptor)


def supervised(journal: int, *argv: str, cwd: Path | None = None) -> "subprocess.Popen[bytes]":
    """A program under a supervisor of its own, as the first process of a command has it."""
    return subprocess.Popen(
        (sys.executable, "-m", "tests.sandbox.supervised", str(journal), *argv),
        pass_fds=(journal,),
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def noted(journal: int, *argv: str, cwd: Path | None = None) -> tuple[Execution, ...]:
    with supervised(journal, *argv, cwd=cwd) as process:
        output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    return audit.executions(journal)


def bash(journal: int, script: str, *, cwd: Path | None = None) -> list[tuple[str, int | None]]:
    """What a script started besides itself, with exit statuses."""
    return [
        (" ".join(each.argv), each.exit_status) for each in noted(journal, "bash", "-c", script, cwd=cwd)[1:]
    ]


def tells_exit() -> bool:
    """Whether this kernel tells the exit status of a process that is not one's own child (Linux 6.15)."""
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    return (major, minor) >= (6, 15)


def test_a_program_is_noted_with_everything(journal: int, tmp_path: Path) -> None:
    """Its words, its file, where it ran, how it ended and how long it took."""
    (tmp_path / "sub").mkdir()
    shell, listing = noted(
        journal, "bash", "-c", "cd sub; ls -a /nonexistent 2>/dev/null; true", cwd=tmp_path
    )

    assert shell.argv[:2] == ("bash", "-c")
    assert (listing.argv, listing.cwd) == (("ls", "-a", "/nonexistent"), str(tmp_path / "sub"))
    assert listing.path.endswith("/ls")
    assert listing.exit_status == (2 if tells_exit() else None)
    assert listing.seconds is not None
    assert shell.seconds is not None
    assert 0 <= listing.seconds <= shell.seconds


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("sh -c 'exit 3'; true", ["sh -c exit 3"]),
        ("(ls; ls -l) >/dev/null", ["ls", "ls -l"]),
        ("env A=1 sh -c true", ["env A=1 sh -c true", "sh -c true"]),
        ("find . -maxdepth 0 -exec ls {} + >/dev/null", ["find . -maxdepth 0 -exec ls {} +", "ls ."]),
        ("(exec -a innocent sh -c :); :", ["innocent -c :"]),
        (
            f"{sys.executable} -Sc 'import os; os.system(\"exit 0\")'; :",
            [f"{sys.executable} -Sc …", "sh -c exit 0"],
        ),
        (
            f"{sys.executable} -Sc '{BY_DESCRIPTOR}'; :",
            [f"{sys.executable} -Sc …", "by fd"],
        ),
        ("env no-such-program-anywhere; :", ["env no-such-program-anywhere", "no-such-program-anywhere"]),
        ("nice no-such-program-anywhere 2>/dev/null || :", ["nice no-such…", "no-such-program-anywhere"]),
        ("echo built in; cd /; :", []),
    ],
)
def test_no_way_of_starting_goes_unnoted(
    journal: int, tmp_path: Path, script: str, expected: list[str]
) -> None:
    """By a shell, by programs, by descriptor, under another name; each once, wherever it was looked for."""
    found = [line for line, _ in bash(journal, script, cwd=tmp_path)]
    assert len(found) == len(expected), found
    for line, wanted in zip(found, expected, strict=True):
        assert line.startswith(wanted.removesuffix("…")) if wanted.endswith("…") else line == wanted


def test_another_name_does_not_hide_the_file(journal: int) -> None:
    """`argv[0]` is the caller's choice; the path is what the kernel was given."""
    found = noted(journal, "bash", "-c", "(exec -a innocent sh -c :); :")[1]
    assert found.argv[0] == "innocent"
    assert found.path.endswith("/sh")


@pytest.mark.skipif(not tells_exit(), reason="this kernel tells no exit status of other processes' children")
def test_ends_are_told_as_a_shell_tells_them(journal: int) -> None:
    """A status, a signal, none for a program whose place another took."""
    found = bash(journal, "sh -c 'exit 7'; sh -c 'kill -9 $$'; env sh -c 'exit 4'; :")
    assert [status for _, status in found] == [7, 128 + signal.SIGKILL, None, 4]


def test_what_still_runs_is_told_so_far(journal: int) -> None:
    """The journal can be read at any time; nothing is known of an end that has not come."""
    with supervised(journal, "sleep", "60") as process:
        poll = select.poll()
        while not (found := audit.executions(journal)):
            poll.poll(10)
        process.kill()
    assert [(each.argv, each.exit_status, each.seconds) for each in found] == [(("sleep", "60"), None, None)]


def test_a_place_of_any_name_can_be_kept(journal: int, tmp_path: Path) -> None:
    """Directories have bytes for names; the journal of a turn is text."""
    place = tmp_path / os.fsdecode(b"\xff")
    place.mkdir()
    (program,) = noted(journal, "/bin/true", cwd=place)
    assert program.cwd == f"{tmp_path}/\N{REPLACEMENT CHARACTER}"


def test_the_journal_is_bounded(journal: int) -> None:
    """Long words and many words are cut; of many programs the first are noted, the others counted."""
    script = f"x=$(printf %0{LONGEST_WORD * 2}d 0); /bin/true $x {'y ' * MOST_WORDS}; "
    script += f"for i in $(seq {MOST_PROGRAMS}); do /bin/true; done"
    found = noted(journal, "bash", "-c", script)
    assert len(found) == MOST_PROGRAMS + 1
    assert found[-1].argv[0] == "…"
    assert found[-1].argv[1].endswith(" more")
    long = max(found, key=lambda each: len(each.argv))
    assert len(long.argv) == MOST_WORDS + 1
    assert len(long.argv[1]) == LONGEST_WORD + 1
    assert long.argv[-1] == "…"


def test_odd_words_are_noted_as_they_can_be(journal: int) -> None:
    """No words at all, bytes that are no text, addresses that lead nowhere: noted, and let go on."""
    script = """
import ctypes, os
libc = ctypes.CDLL(None)
def started(*call):
    if os.fork() == 0:
        libc.syscall(*call)
        os._exit(0)
    os.wait()
words = (ctypes.c_char_p * 3)(b"\\xff\\xfe", b"", None)
execve = {"x86_64": 59, "aarch64": 221}[os.uname().machine]
started(execve, b"/bin/true", words, None)
started(execve, b"/bin/true", None, None)
started(execve, ctypes.c_long(8), ctypes.c_long(8), None)
started(execve, b"/bin/true", ctypes.c_long(-4096), None)
os.execv("/bin/echo", ["echo", "alive"])
"""
    found = noted(journal, sys.executable, "-Sc", script)
    lines = [(each.path, each.argv) for each in found[1:]]
    assert ("/bin/true", ("��", "")) in lines
    assert ("/bin/true", ()) in lines
    assert lines[-1] == ("/bin/echo", ("echo", "alive"))


def test_a_racing_thread_is_not_kept_from_anything(journal: int) -> None:
    """An audit, not a boundary: what is executed may differ from what was noted, and runs all the same."""
    script = """
import ctypes, os, threading
libc = ctypes.CDLL(None)
path = ctypes.create_string_buffer(b"/bin/true", 64)
words = (ctypes.c_char_p * 2)(b"x", None)
execve = {"x86_64": 59, "aarch64": 221}[os.uname().machine]
def swap():
    while True:
        path.value = b"/bin/echo"
        path.value = b"/bin/true"
threading.Thread(target=swap, daemon=True).start()
libc.syscall(execve, path, words, None)
"""
    found = noted(journal, sys.executable, "-Sc", script)
    assert found[-1].argv == ("x",)


@pytest.mark.parametrize(
    ("machine", "architecture", "calls"),
    [
        ("x86_64", 0xC000003E, (59, 322)),
        ("aarch64", 0xC00000B7, (221, 281)),
    ],
)
def test_only_starting_a_program_is_told(machine: str, architecture: int, calls: tuple[int, int]) -> None:
    """Every other call goes on without a detour."""
    program = filter_program(machine)
    told = [number for number in range(600) if verdict(program, architecture, number) != 0x7FFF0000]
    assert told == sorted(calls)
    assert {verdict(program, architecture, number) for number in calls} == {0x7FC00000}
    assert verdict(program, 0x40000003, 11) == 0x7FFF0000


WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
HIDDEN = "import ctypes, os; ctypes.CDLL(None).prctl(4, 0); os.system('true')"


async def told(sandbox: Sandbox, *argv: str) -> tuple[Execution, ...]:
    process = await sandbox.start(Command(argv))
    assert await process.wait(30) is not None
    return process.executions()


async def test_a_command_of_a_turn_tells_what_it_started(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """The paths are those that the command sees; what we start it with is left out."""
    async with driver.open(workspace, WRITE) as sandbox:
        found = await told(sandbox, "/bin/sh", "-c", "cd src; ls; nohup sh -c 'exit 3' >/dev/null; exit 4")

    assert [(each.argv[0], each.cwd) for each in found] == [
        ("/bin/sh", "/workspace"),
        ("ls", "/workspace/src"),
        ("nohup", "/workspace/src"),
        ("sh", "/workspace/src"),
    ]
    if tells_exit():
        assert [each.exit_status for each in found] == [4, 0, None, 3]


async def test_a_program_that_hides_its_memory_is_noted_all_the_same(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """Without words, since nobody may read them; that there was one is known."""
    async with driver.open(workspace, WRITE) as sandbox:
        found = await told(sandbox, "python3", "-Sc", HIDDEN)

    assert [bool(each.argv) for each in found][:2] == [True, False]


async def test_what_a_killed_command_started_stays_known(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """The note is made when a program starts, not when its command has ended well."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("/bin/sh", "-c", "sleep 71 & sleep 72")))
        while len(process.executions()) < 3:
            await process.wait(0.01)
        await process.kill()
        assert sorted(each.argv[-1] for each in process.executions()[1:]) == ["71", "72"]


async def test_an_audit_that_is_switched_off_notes_nothing(workspace: Workspace) -> None:
    """The command runs as ever."""
    async with BubblewrapDriver(audit=False).open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("/bin/sh", "-c", "ls; exit 3")))
        ended = await process.wait(30)
    assert ended is not None
    assert (ended.exit_status, process.executions()) == (3, ())


async def test_the_one_who_notes_cannot_be_ended_from_inside(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """No signal from inside reaches it, nor does it stop noting."""
    script = "for s in INT TERM HUP USR1 CHLD STOP KILL; do kill -$s 1; done; ls; exit 0"
    async with driver.open(workspace, WRITE) as sandbox:
        found = await told(sandbox, "/bin/sh", "-c", script)
    assert [each.argv[0] for each in found] == ["/bin/sh", "ls"]
