"""What a command in a turn's container can see, do and leave behind."""

import asyncio
import contextlib
import os
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from sandbox.base import (
    Cache,
    Command,
    CommandRefused,
    Ended,
    EndReason,
    Layers,
    Limits,
    PathRefused,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    StdinClosed,
    Workspace,
    WriteFile,
)
from sandbox.container.driver import DockerDriver
from tests.engine.daemon import Engine
from tests.sandbox.conftest import Run
from tests.sandbox_docker.conftest import Left, marker_of, processes_named

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
READ = Policy(SandboxMode.READ_ONLY)
SECRET = "ghp_planted0secret0that0nothing0may0read"
ROOT = Path(__file__).parents[2]


async def test_a_command_works_in_the_checkout(driver: DockerDriver, workspace: Workspace, run: Run) -> None:
    """It starts in the checkout and writes there; its status and both streams come back, in order."""
    async with driver.open(workspace, WRITE) as sandbox:
        answer = await run(sandbox, "pwd; cat src/main.py; echo new >made; echo oops >&2; exit 7")
        tree = sandbox.tree
        assert os.stat("made", dir_fd=tree).st_uid == (driver.owner_uid or os.geteuid())
    assert answer == (7, "/workspace\nprint('hello')\noops\n")
    assert (workspace.tree / "made").read_text() == "new\n"


async def test_both_streams_stay_in_order(driver: DockerDriver, workspace: Workspace, run: Run) -> None:
    """However quickly a program changes between them."""
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done"
    async with driver.open(workspace, READ) as sandbox:
        _, printed = await run(sandbox, script)
    assert printed.split() == [word for i in range(1, 10) for word in ("out", str(i), "err", str(i))]


async def test_the_environment_has_nothing_of_the_service(
    driver: DockerDriver, workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the policy and the command add is there, the command's last."""
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    policy = replace(WRITE, environment={"LEVEL": "1", "COLOR": "red"})
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("env",), environment={"LEVEL": "3 =4"}))
        await process.wait(10)
        _, seen = await run(
            sandbox, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'"
        )
    environment = dict(line.split("=", 1) for line in process.take_output().decode().splitlines())
    assert (environment["LEVEL"], environment["COLOR"], environment["HOME"]) == ("3 =4", "red", "/home/agent")
    assert "GITHUB_TOKEN" not in environment
    assert SECRET not in seen


async def test_a_command_has_no_right_beyond_its_own(
    driver: DockerDriver, workspace: Workspace, run: Run
) -> None:
    """No capability, no way to a new one, a filter, an ordinary user, a system that cannot be written."""
    script = (
        "grep -E '^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t';"
        "for d in / /usr /etc /dev /sys; do touch $d/x 2>/dev/null && echo wrote $d;done;"
        "ls /sys; id -un; cat /etc/resolv.conf; tail -n +3 /proc/net/dev | cut -d: -f1"
    )
    async with driver.open(workspace, WRITE) as sandbox:
        _, printed = await run(sandbox, script)
    assert printed.splitlines() == [
        "CapPrm:0000000000000000",
        "CapEff:0000000000000000",
        "CapBnd:0000000000000000",
        "CapAmb:0000000000000000",
        "NoNewPrivs:1",
        "Seccomp:2",
        "agent",
        "# There is no network here.",
        "    lo",
    ]


async def test_the_history_and_protected_paths_stay_as_they_are(
    driver: DockerDriver, workspace: Workspace, run: Run
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
    driver: DockerDriver, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    """The Engine is root and would follow it; it leads to the container's own files only."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (workspace.tree / "CLAUDE.md").symlink_to(outside / "secret")
    (workspace.tree / ".cursor").symlink_to(outside)
    (workspace.tree / "docs").symlink_to(outside)
    os.mkfifo(workspace.tree / ".mcp.json")
    async with driver.open(workspace, WRITE) as sandbox:
        status, printed = await run(sandbox, "cat CLAUDE.md .cursor/secret docs/secret")
    assert (status, printed.count("No such file or directory")) == (1, 3)


async def test_a_read_only_turn_writes_nothing(driver: DockerDriver, workspace: Workspace, run: Run) -> None:
    """Neither by a command nor by the file tools; its temporary folder still serves."""
    async with driver.open(workspace, READ) as sandbox:
        answer = await run(
            sandbox, "cat src/main.py; touch src/x 2>/dev/null || echo refused; touch /tmp/x ~/y"
        )
        with pytest.raises(Exception, match="this turn is read-only"):
            sandbox.files.apply([WriteFile("x", b"")])
    assert answer == (0, "print('hello')\nrefused\n")


async def test_commands_of_a_turn_share_their_temporary_files(
    driver: DockerDriver, workspace: Workspace, run: Run
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


async def test_a_cache_is_shared_by_turns_that_write(
    driver: DockerDriver, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    """At its own name below the home's cache; a turn that only reads has none."""
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, driver.owner_uid or os.geteuid(), -1)
    policy = replace(WRITE, caches=(Cache(cache, "pip"),))
    async with driver.open(workspace, policy) as sandbox:
        await run(sandbox, "echo wheel >~/.cache/pip/wheel; touch ~/.cache/other")
    async with driver.open(workspace, replace(policy, mode=SandboxMode.READ_ONLY)) as sandbox:
        answer = await run(sandbox, "ls -A ~/.cache ~/.cache/pip")
    assert (cache / "wheel").read_text() == "wheel\n"
    assert answer == (0, "/home/agent/.cache:\nother\npip\n\n/home/agent/.cache/pip:\n")


async def test_a_cache_is_never_shown_through_a_link(
    driver: DockerDriver, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    """In a home that an earlier command has prepared: refused, and nothing is made behind the link."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (tmp_path / "outside").mkdir()
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, f"ln -s {tmp_path}/outside ~/.cache")
    with pytest.raises(SandboxUnavailable, match=r"\.cache that is no directory"):
        async with driver.open(workspace, replace(WRITE, caches=(Cache(cache, "pip"),))):
            pytest.fail("opened")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_memory_is_bounded_and_its_want_is_told(
    driver: DockerDriver, workspace: Workspace, run: Run
) -> None:
    """The kernel ends the command, also for memory that no process has; the next one finds room again."""
    shared = "with open('/dev/shm/left', 'wb') as file:\n    while True: file.write(bytes(1 << 20))"
    policy = replace(WRITE, limits=Limits(memory_bytes=100 * 1024**2))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("python3", "-c", shared)))
        ended = await process.wait(30)
        assert await run(sandbox, "echo next; ls /dev/shm") == (0, "next\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (137, EndReason.MEMORY)


async def test_a_fork_bomb_is_bounded(driver: DockerDriver, workspace: Workspace, run: Run) -> None:
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


async def test_a_command_beside_a_fork_bomb_is_told_why_it_fails(
    driver: DockerDriver, workspace: Workspace, run: Run
) -> None:
    """There is no room for another process; when the bomb has been ended there is."""
    policy = replace(WRITE, limits=Limits(processes=32))
    bomb = (
        "import os, time\n"
        "try:\n"
        "    while os.fork(): pass\n"
        "except OSError: print('full', flush=True)\n"
        "time.sleep(60)"
    )
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("python3", "-c", bomb)))
        while b"full" not in process.take_output():
            await asyncio.sleep(0.02)
        status, printed = await run(sandbox, "true")
        assert status != 0
        assert "Resource temporarily unavailable" in printed
        await process.kill()
        assert await run(sandbox, "echo room") == (0, "room\n")


async def test_file_size_and_processors_are_bounded(
    driver: DockerDriver, workspace: Workspace, run: Run, docker_engine: Engine, left: Left, state: Path
) -> None:
    """A file grows up to the limit and no further; the Engine was told how many processors there are."""
    policy = replace(WRITE, limits=Limits(file_bytes=100_000, cpus=0.5))
    async with driver.open(workspace, policy) as sandbox:
        await run(sandbox, "head -c 1000000 /dev/zero >big")
        with docker_engine.client() as client:
            settings = [client.containers.get(name).attrs["HostConfig"] for name in left(state)]
    assert (workspace.tree / "big").stat().st_size == 100_000
    assert [setting["NanoCpus"] for setting in settings] == [500_000_000]


async def test_a_turn_that_fills_the_disk_is_ended(
    driver: DockerDriver, workspace: Workspace, run: Run
) -> None:
    """Wherever it writes; the next command can tidy up."""
    policy = replace(WRITE, limits=Limits(disk_bytes=20 * 1024**2))
    async with driver.open(workspace, policy) as sandbox:
        script = "for i in $(seq 100); do head -c 2000000 /dev/zero >~/f$i; sleep 0.05; done; sleep 30"
        process = await sandbox.start(Command(("/bin/sh", "-c", script)))
        ended = await process.wait(30)
        assert await run(sandbox, "rm ~/f*; echo tidy") == (0, "tidy\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (137, EndReason.DISK)


async def test_a_flood_of_output_ends_the_command(driver: DockerDriver, workspace: Workspace) -> None:
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


async def test_the_time_limit_ends_the_command(driver: DockerDriver, workspace: Workspace) -> None:
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
    driver: DockerDriver, workspace: Workspace, run: Run, way: str
) -> None:
    """Whatever it left and however it hid; the next command finds nobody."""
    marker = marker_of(72)
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, way.format(marker))
        assert processes_named(marker) == []
        assert await run(sandbox, "echo next") == (0, "next\n")


async def test_a_process_that_runs_from_its_hunter_is_ended(
    driver: DockerDriver, workspace: Workspace, run: Run
) -> None:
    """It forks and ends all the time, so that no look at the list of processes would ever meet it."""
    marker = marker_of(73)
    runner = "import os\nif os.fork(): os._exit(0)\nos.setsid()\nwhile True:\n    if os.fork(): os._exit(0)"
    async with driver.open(workspace, WRITE) as sandbox:
        assert (await run(sandbox, f"python3 -c '{runner}' {marker}"))[0] == 0
        # Nobody takes numbers any more.
        _, first = await run(sandbox, "echo $$")
        await asyncio.sleep(0.3)
        _, second = await run(sandbox, "echo $$")
    assert int(second) - int(first) < 50


async def test_a_command_ends_alone(driver: DockerDriver, workspace: Workspace, run: Run) -> None:
    """A server that runs meanwhile, daemons of its own included, is not touched by the ends of others."""
    if driver.owner_uid is None:
        pytest.skip("ending one of several commands takes a service that is root on the Engine's machine")
    marker, other = marker_of(74), marker_of(75)
    async with driver.open(workspace, WRITE) as sandbox:
        server = await sandbox.start(Command(("sh", "-c", f"(setsid sleep {marker} &); exec sleep {marker}")))
        await run(sandbox, f"setsid sleep {other} & sleep 0.1")
        killed = await sandbox.start(Command(("sleep", other)))
        await killed.kill()
        assert processes_named(other) == []
        assert len([pid for pid in processes_named(marker) if _program(pid) == b"sleep"]) == 2
        await server.kill()
        assert processes_named(marker) == []


async def test_a_killed_command_is_gone(driver: DockerDriver, workspace: Workspace) -> None:
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


async def test_closing_the_sandbox_ends_everything(
    driver: DockerDriver, workspace: Workspace, left: Left, state: Path
) -> None:
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
    assert len(processes_named(marker)) >= 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes_named(marker) == []
    assert left(state) == []
    async with driver.open(workspace, WRITE) as sandbox:
        pass
    with pytest.raises(SandboxUnavailable, match="closed"):
        await sandbox.start(Command(("true",)))


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.2, 0.4])
async def test_an_opening_that_is_given_up_leaves_nothing(
    driver: DockerDriver, workspace: Workspace, left: Left, state: Path, moment: float
) -> None:
    """Cancelled at any moment of being built."""

    async def turn() -> None:
        async with driver.open(workspace, WRITE):
            await asyncio.sleep(60)

    task = asyncio.create_task(turn())
    await asyncio.sleep(moment)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(state) == []


async def test_a_start_that_is_given_up_leaves_nothing(driver: DockerDriver, workspace: Workspace) -> None:
    """Cancelled at any moment, a command is gone when the cancellation comes back."""
    marker = marker_of(78)
    async with driver.open(workspace, WRITE) as sandbox:
        for step in range(6):
            starting = asyncio.create_task(sandbox.start(Command(("/bin/sleep", marker))))
            await asyncio.sleep(step / 50)
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await starting).kill()
            assert processes_named(marker) == []


async def test_a_container_that_was_ended_from_outside_is_made_anew(
    driver: DockerDriver, workspace: Workspace, run: Run, docker_engine: Engine, left: Left, state: Path
) -> None:
    """The command that ran counts as killed; the next one runs."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("sleep", "60")))
        with docker_engine.client() as client:
            for name in left(state):
                client.containers.get(name).kill()
        ended = await process.wait(20)
        assert await run(sandbox, "echo next") == (0, "next\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (137, EndReason.KILLED)


async def test_many_commands_run_side_by_side(driver: DockerDriver, workspace: Workspace) -> None:
    """Each with its own output and status."""

    async def one(number: int) -> tuple[int, bytes]:
        process = await sandbox.start(Command(("/bin/sh", "-c", f"echo {number}; exit {number}")))
        ended = await process.wait(60)
        assert ended is not None
        return ended.exit_status, process.take_output()

    async with driver.open(workspace, READ) as sandbox:
        answers = await asyncio.gather(*(one(number) for number in range(12)))
    assert answers == [(number, f"{number}\n".encode()) for number in range(12)]


async def test_short_commands_beside_a_long_one_that_looks_at_them(
    driver: DockerDriver, workspace: Workspace, left: Left, state: Path
) -> None:
    """Who reads a process that is just being started waits for it: that loses neither, nor the container."""
    if driver.owner_uid is None:
        pytest.skip("ending one of several commands takes a service that is root on the Engine's machine")
    looking = (
        "import os\n"
        "while True:\n"
        "    for name in os.listdir('/proc'):\n"
        "        try: open(f'/proc/{name}/environ', 'rb').read()\n"
        "        except OSError: pass"
    )
    async with driver.open(workspace, READ) as sandbox:
        container = left(state)
        long = await sandbox.start(Command(("python3", "-c", looking)))
        short = [await sandbox.start(Command(("true",))) for _ in range(25)]
        ends = [await process.wait(60) for process in short]
        assert not long.is_over
        assert left(state) == container
    assert {ended and (ended.exit_status, ended.reason) for ended in ends} == {(0, EndReason.EXITED)}


async def test_sandboxes_that_open_at_once_stay(
    driver: DockerDriver, workspace: Workspace, left: Left, state: Path
) -> None:
    """What keeps a container is there before its first command, and is not taken for what that one left."""
    async with AsyncExitStack() as stack:
        opened = [stack.enter_async_context(driver.open(workspace, READ)) for _ in range(6)]
        sandboxes = await asyncio.gather(*opened)
        containers = set(left(state))
        for _ in range(2):
            started = await asyncio.gather(*(sandbox.start(Command(("true",))) for sandbox in sandboxes))
            ends = await asyncio.gather(*(process.wait(60) for process in started))
            assert [ended and ended.exit_status for ended in ends] == [0] * 6
        assert set(left(state)) == containers


async def test_commands_that_start_as_the_container_ends_run_in_another(
    driver: DockerDriver, workspace: Workspace, docker_engine: Engine, left: Left, state: Path
) -> None:
    """Also before that was noticed of all the commands that ran there."""
    async with driver.open(workspace, WRITE) as sandbox:
        before = [await sandbox.start(Command(("sleep", "60"))) for _ in range(8)]
        with docker_engine.client() as client:
            for name in left(state):
                client.containers.get(name).remove(force=True)
        started = await asyncio.gather(*(sandbox.start(Command(("true",))) for _ in range(4)))
        ends = [await process.wait(60) for process in started]
        killed = [await process.wait(20) for process in before]
    assert [ended and ended.exit_status for ended in ends] == [0] * 4
    assert [ended and ended.reason for ended in killed] == [EndReason.KILLED] * 8


def test_the_loop_of_the_server_serves_as_well(driver: DockerDriver, workspace: Workspace) -> None:
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


async def test_a_terminal_takes_input_and_control_characters(
    driver: DockerDriver, workspace: Workspace
) -> None:
    """What is written is echoed and read, and Ctrl-C interrupts the program, not the sandbox."""
    script = "stty size; trap 'echo interrupted' INT; read name; echo hello $name; sleep 30; exit 3"
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("/bin/bash", "-c", script), tty=True))
        await process.write(b"you\n")
        assert await process.wait(1.0) is None
        await process.write(b"\x03")
        ended = await process.wait(10)
    output = process.take_output().decode().replace("\r\n", "\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (3, EndReason.EXITED)
    assert "hello you\n^Cinterrupted\n" in output
    assert "24 80\n" in output
    with pytest.raises(StdinClosed):
        await process.write(b"late\n")


async def test_without_a_terminal_there_is_no_input(
    driver: DockerDriver, workspace: Workspace, run: Run
) -> None:
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
    driver: DockerDriver, workspace: Workspace, argv: tuple[str, ...], status: int
) -> None:
    """128 and the signal's number; 127 for a program that is not there, 126 for one that cannot be run."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(argv))
        ended = await process.wait(10)
    assert isinstance(ended, Ended)
    assert (ended.exit_status, ended.reason) == (status, EndReason.EXITED)


async def test_bad_words_and_directories_are_refused(driver: DockerDriver, workspace: Workspace) -> None:
    """Before anything runs, links included."""
    (workspace.tree / "way-out").symlink_to("/etc")
    async with driver.open(workspace, WRITE) as sandbox:
        for workdir in ("..", "/etc", "src/../..", "way-out", "src/main.py", "a\0b"):
            with pytest.raises(PathRefused):
                await sandbox.start(Command(("true",), workdir=workdir))
        for command in (
            Command(()),
            Command(("echo", "a\0b")),
            Command(("env",), environment={"A=B": "c"}),
            Command(("echo", "x" * 200_000)),
        ):
            with pytest.raises(CommandRefused):
                await sandbox.start(command)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(SandboxMode.FULL_ACCESS), "danger-full-access"),
        (replace(WRITE, image="no-such-image:1"), r"no image no-such-image:1.*docker pull"),
    ],
)
async def test_what_cannot_be_had_is_refused_with_the_remedy(
    driver: DockerDriver, workspace: Workspace, policy: Policy, reason: str
) -> None:
    """Never less than asked for."""
    with pytest.raises(SandboxUnavailable, match=reason):
        async with driver.open(workspace, policy):
            pytest.fail("opened")


async def test_layers_are_refused(driver: DockerDriver, workspace: Workspace, tmp_path: Path) -> None:
    """As the driver says beforehand."""
    assert not await driver.can_layer(tmp_path)
    layered = replace(workspace, layers=Layers((tmp_path,), tmp_path / "upper", tmp_path / "work"))
    with pytest.raises(SandboxUnavailable, match="layers"):
        async with driver.open(layered, WRITE):
            pytest.fail("opened")


async def test_a_checkout_of_someone_else_is_refused(driver: DockerDriver, workspace: Workspace) -> None:
    """When the service is root: instead of a turn in which no write works. Otherwise there is no one else."""
    if driver.owner_uid is None:
        assert workspace.tree.stat().st_uid == os.geteuid()
        return
    os.chown(workspace.tree, 0, 0)
    with pytest.raises(SandboxUnavailable, match="belongs to user 0"):
        async with driver.open(workspace, WRITE):
            pytest.fail("opened")


def _program(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""
