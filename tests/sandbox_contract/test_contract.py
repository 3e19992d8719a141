"""What a command in a turn's sandbox can see, do and leave behind, whatever driver confines it."""

import asyncio
import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from sandbox.base import (
    Command,
    CommandRefused,
    Driver,
    Ended,
    EndReason,
    Limits,
    PathRefused,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    StdinClosed,
    Workspace,
    WriteFile,
)
from tests.sandbox.conftest import Run
from tests.sandbox.processes import marker_of, processes_named

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
READ = Policy(SandboxMode.READ_ONLY)
SECRET = "ghp_planted0secret0that0nothing0may0read"
MOMENTS = (0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.011, 0.02, 0.04, 0.06, 0.1)
"""Seconds after which a start is given up."""


async def test_a_command_works_in_the_checkout(driver: Driver, workspace: Workspace, run: Run) -> None:
    """It starts in the checkout and writes there; its status and both streams come back, in order."""
    async with driver.open(workspace, WRITE) as sandbox:
        answer = await run(sandbox, "pwd; cat src/main.py; echo new >made; echo oops >&2; exit 7")
        tree = sandbox.tree
        assert os.stat("made", dir_fd=tree).st_uid == (driver.owner_uid or os.geteuid())
    assert answer == (7, "/workspace\nprint('hello')\noops\n")
    assert (workspace.tree / "made").read_text() == "new\n"


async def test_the_history_and_protected_paths_stay_as_they_are(
    driver: Driver, workspace: Workspace, run: Run
) -> None:
    """Not by writing, not by replacing, and not by moving the folder above away; what is beside is free."""
    tricks = (
        "echo x >.git/HEAD; mv .git y; rm -rf .git;"
        "echo on: everything >.github/workflows/ci.yml; cp src/main.py .github/workflows/more.yml;"
        "mv .github x; mv .github/workflows x; rm -rf .github; ln -sf src/main.py AGENTS.md;"
        "rm -rf x; echo obey >x; mv x AGENTS.md; echo free >.github/labels; cat .git/HEAD"
    )
    async with driver.open(workspace, WRITE) as sandbox:
        _, printed = await run(sandbox, tricks)
    assert printed.endswith("ref: refs/heads/main\n")
    assert {
        str(path.relative_to(workspace.tree)): path.read_text()
        for path in workspace.tree.rglob("*")
        if path.is_file() and path.name != "x"
    } == {
        ".github/labels": "free\n",
        ".github/workflows/ci.yml": "on: push\n",
        "AGENTS.md": "Be kind.\n",
        "src/main.py": "print('hello')\n",
    }


async def test_a_protected_path_that_is_a_link_shows_nothing_of_the_host(
    driver: Driver, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    """Whoever builds the sandbox may be root and follow it; it leads to the sandbox's own files only."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (workspace.tree / "CLAUDE.md").symlink_to(outside / "secret")
    (workspace.tree / ".cursor").symlink_to(outside)
    (workspace.tree / "docs").symlink_to(outside)
    (workspace.tree / "CODEOWNERS").symlink_to("/etc/shadow")
    os.mkfifo(workspace.tree / ".mcp.json")
    async with driver.open(workspace, WRITE) as sandbox:
        status, printed = await run(sandbox, "cat CLAUDE.md .cursor/secret docs/secret")
        refused, _ = await run(sandbox, "cat CODEOWNERS")
    assert (status, printed.count("No such file or directory")) == (1, 3)
    assert refused == 1


async def test_a_read_only_turn_writes_nothing(driver: Driver, workspace: Workspace, run: Run) -> None:
    """Neither by a command nor by the file tools; its temporary folder still serves."""
    async with driver.open(workspace, READ) as sandbox:
        answer = await run(
            sandbox, "cat src/main.py; touch src/x 2>/dev/null || echo refused; touch /tmp/x ~/y"
        )
        with pytest.raises(Exception, match="this turn is read-only"):
            sandbox.files.apply([WriteFile("x", b"")])
    assert answer == (0, "print('hello')\nrefused\n")


async def test_commands_of_a_turn_share_their_temporary_files(
    driver: Driver, workspace: Workspace, run: Run
) -> None:
    """What one command or the file tools leave the next one finds; the host's /tmp has none of it."""
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, "echo one >/tmp/darner-shared; echo two >~/.config-of-mine")
        sandbox.files.apply([WriteFile("src/new.py", b"three\n")])
        answer = await run(
            sandbox, "cat /tmp/darner-shared /var/tmp/darner-shared ~/.config-of-mine src/new.py"
        )
    assert answer == (0, "one\none\ntwo\nthree\n")
    assert not Path("/tmp/darner-shared").exists()


async def test_a_fork_bomb_is_bounded(driver: Driver, workspace: Workspace, run: Run) -> None:
    """It runs into the limit and ends with its command; the next one finds room."""
    bomb = (
        "import os, time\ncount = 0\n"
        "try:\n"
        "    while count < 1000:\n"
        "        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
        "        count += 1\n"
        "except OSError as error: print(error.strerror, count < 100, flush=True)"
    )
    policy = replace(WRITE, limits=Limits(processes=64))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("python3", "-c", bomb)))
        ended = await process.wait(20)
        assert (await run(sandbox, "echo still here")) == (0, "still here\n")
    assert ended is not None
    assert process.take_output() == b"Resource temporarily unavailable True\n"


async def test_a_flood_of_output_ends_the_command(driver: Driver, workspace: Workspace) -> None:
    """At sixteen times what is kept; the beginning and the end are there, and a mark between them."""
    policy = replace(WRITE, limits=Limits(output_bytes=100_000))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("/bin/sh", "-c", "echo first; yes")))
        ended = await process.wait(20)
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (137, EndReason.OUTPUT)
    output = process.take_output()
    assert output.startswith(b"first\ny\ny\n")
    assert b"bytes left out ...]" in output
    assert len(output) < 100_100


async def test_the_time_limit_ends_the_command(driver: Driver, workspace: Workspace) -> None:
    """With the status of `timeout`, whole."""
    marker = marker_of(71)
    policy = replace(WRITE, limits=Limits(wall_seconds=0.5))
    async with driver.open(workspace, policy) as sandbox:
        script = f"echo began; setsid sleep {marker} & sleep {marker}"
        process = await sandbox.start(Command(("/bin/sh", "-c", script), wall_seconds=30))
        ended = await process.wait(20)
        assert processes_named(marker) == []
    assert ended is not None
    assert (ended.exit_status, ended.reason, process.take_output()) == (124, EndReason.WALL_TIME, b"began\n")


@pytest.mark.parametrize(
    "way",
    [
        "setsid sleep {0} & sleep 0.1",
        "setsid sh -c 'exec sleep {0}' >/dev/null 2>&1 </dev/null & sleep 0.1",
        "(setsid setsid sleep {0} & setsid setsid sleep {0} &) ; sleep 0.1",
        "sleep {0} & sleep 0.1; kill -9 $PPID",
        "setsid sh -c 'trap \"\" TERM INT HUP; sleep {0}; sleep {0}' & sleep 0.1; kill -9 -1",
    ],
    ids=["holding the pipe", "daemon", "two sessions", "without its launcher", "after killing everything"],
)
async def test_what_a_command_leaves_is_gone_when_its_end_is_told(
    driver: Driver, workspace: Workspace, run: Run, way: str
) -> None:
    """Whatever it left and however it hid; the next command finds nobody."""
    marker = marker_of(72)
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, way.format(marker))
        assert processes_named(marker) == []
        assert await run(sandbox, "echo next") == (0, "next\n")


async def test_a_killed_command_is_gone(driver: Driver, workspace: Workspace) -> None:
    """At once and whole; killing it again is no fault, and what it had printed can be read."""
    marker = marker_of(76)
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(
            Command(("/bin/sh", "-c", f"echo one; sleep {marker} & sleep {marker}"))
        )
        assert await process.wait(0.5) is None
        await process.kill()
        await process.kill()
        assert processes_named(marker) == []
        ended = await process.wait(0)
    assert ended is not None
    assert (ended.exit_status, ended.reason, process.take_output()) == (137, EndReason.KILLED, b"one\n")


async def test_closing_the_sandbox_ends_everything(driver: Driver, workspace: Workspace) -> None:
    """Also when the turn was cancelled; a closed sandbox starts nothing."""
    marker = marker_of(77)

    async def turn() -> None:
        async with driver.open(workspace, WRITE) as sandbox:
            for _ in range(2):
                await sandbox.start(Command(("/bin/sleep", marker)))
            started.set_result(sandbox)
            await asyncio.sleep(60)

    started: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(turn())
    await started
    # A start need not wait until the program has taken the place of what starts it.
    while len(processes_named(marker)) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes_named(marker) == []
    async with driver.open(workspace, WRITE) as sandbox:
        pass
    with pytest.raises(SandboxUnavailable, match="closed"):
        await sandbox.start(Command(("true",)))


async def test_a_start_that_is_given_up_leaves_nothing(driver: Driver, workspace: Workspace) -> None:
    """Cancelled at any moment, a command is gone when the cancellation comes back."""
    marker = marker_of(78)
    async with driver.open(workspace, WRITE) as sandbox:
        for delay in MOMENTS:
            starting = asyncio.create_task(sandbox.start(Command(("/bin/sleep", marker))))
            await asyncio.sleep(delay)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await starting).kill()
            assert processes_named(marker) == []


async def test_many_commands_run_side_by_side(driver: Driver, workspace: Workspace) -> None:
    """Each with its own output and status."""

    async def one(number: int) -> tuple[int, bytes]:
        process = await sandbox.start(Command(("/bin/sh", "-c", f"echo {number}; exit {number}")))
        ended = await process.wait(60)
        assert ended is not None
        return ended.exit_status, process.take_output()

    async with driver.open(workspace, READ) as sandbox:
        answers = await asyncio.gather(*(one(number) for number in range(12)))
    assert answers == [(number, f"{number}\n".encode()) for number in range(12)]


def test_the_loop_of_the_server_serves_as_well(driver: Driver, workspace: Workspace) -> None:
    """A terminal, a limit and a plain command under uvloop."""

    async def story() -> list[tuple[int, bytes]]:
        answers = []
        async with driver.open(workspace, WRITE) as sandbox:
            for command in (
                Command(("cat", "AGENTS.md")),
                Command(("/bin/sh", "-c", "echo one; sleep 30"), wall_seconds=0.3),
                Command(("/bin/sh", "-c", "read line; echo $line; exit 4"), tty=True),
            ):
                process = await sandbox.start(command)
                if command.tty:
                    await process.write(b"typed\n")
                ended = await process.wait(10)
                assert ended is not None
                answers.append((ended.exit_status, process.take_output()))
        return answers

    assert uvloop.run(story()) == [(0, b"Be kind.\n"), (124, b"one\n"), (4, b"typed\r\ntyped\r\n")]


async def test_a_terminal_takes_input_and_control_characters(driver: Driver, workspace: Workspace) -> None:
    """What is written is echoed and read, and Ctrl-C interrupts the program, not the sandbox."""
    script = "stty size; trap 'echo interrupted' INT; read name; echo hello $name; sleep 30; tty; exit 3"
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("/bin/bash", "-c", script), tty=True))
        await process.write(b"you\n")
        assert await process.wait(1.0) is None
        await process.write(b"\x03")
        ended = await process.wait(10)
    output = process.take_output().decode().replace("\r\n", "\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (3, EndReason.EXITED)
    assert "hello you\n^Cinterrupted\n/dev/pts/" in output
    assert "24 80\n" in output
    with pytest.raises(StdinClosed):
        await process.write(b"late\n")


async def test_without_a_terminal_there_is_no_input(driver: Driver, workspace: Workspace, run: Run) -> None:
    """Reading ends at once, and writing is refused with the reason; three descriptors and no more."""
    async with driver.open(workspace, WRITE) as sandbox:
        assert await run(sandbox, "cat; echo over") == (0, "over\n")
        _, printed = await run(sandbox, "for d in /proc/self/fd/*; do readlink $d; done; true")
        process = await sandbox.start(Command(("sleep", "5")))
        with pytest.raises(StdinClosed, match="started without a terminal"):
            await process.write(b"x")
    shown = [line.split(":")[0] for line in printed.splitlines()]
    assert [line for line in shown if not line.startswith("/proc/")] == ["/dev/null", "pipe", "pipe"]


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("/bin/sh", "-c", "kill -TERM $$"), 143),
        (("/bin/sh", "-c", "kill -KILL $$"), 137),
        (("no-such-program",), 127),
        (("/workspace/src/main.py",), 126),
        (("true",), 0),
    ],
)
async def test_the_exit_status_follows_the_shell(
    driver: Driver, workspace: Workspace, argv: tuple[str, ...], status: int
) -> None:
    """128 and the signal's number; 127 for a program that is not there, 126 for one that cannot be run."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(argv))
        ended = await process.wait(10)
    assert isinstance(ended, Ended)
    assert (ended.exit_status, ended.reason) == (status, EndReason.EXITED)


async def test_bad_words_and_directories_are_refused(driver: Driver, workspace: Workspace) -> None:
    """Before anything runs, links included."""
    (workspace.tree / "way-out").symlink_to("/etc")
    async with driver.open(workspace, WRITE) as sandbox:
        for workdir in (
            "..",
            "/",
            "/etc",
            "src/../..",
            "/workspace/../etc",
            "way-out",
            "src/main.py",
            "a\0b",
        ):
            with pytest.raises(PathRefused):
                await sandbox.start(Command(("true",), workdir=workdir))
        for command in (
            Command(()),
            Command(("",)),
            # It would add an option to ours.
            Command(("echo", "a\0--ro-bind\0/\0/host")),
            Command(("env",), environment={"A": "b\0--bind\0/\0/host"}),
            Command(("env",), environment={"A=B": "c"}),
            Command(("echo", "x" * 200_000)),
        ):
            with pytest.raises(CommandRefused):
                await sandbox.start(command)


async def test_a_checkout_of_someone_else_is_refused(driver: Driver, workspace: Workspace) -> None:
    """When the service is root: instead of a turn in which no write works. Otherwise there is no one else."""
    if driver.owner_uid is None:
        assert workspace.tree.stat().st_uid == os.geteuid()
        return
    os.chown(workspace.tree, 0, 0)
    with pytest.raises(SandboxUnavailable, match="belongs to user 0"):
        async with driver.open(workspace, WRITE):
            pytest.fail("opened")
