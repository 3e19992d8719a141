"""What a command in a turn's container can see, do and leave behind."""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.base import (
    Cache,
    Command,
    EndReason,
    Layers,
    Limits,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
)
from sandbox.container.driver import DockerDriver
from tests.engine.daemon import Engine
from tests.sandbox.conftest import Run
from tests.sandbox.processes import marker_of, processes_named
from tests.sandbox_docker.conftest import Left

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
READ = Policy(SandboxMode.READ_ONLY)
SECRET = "ghp_planted0secret0that0nothing0may0read"
ROOT = Path(__file__).parents[2]


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
    policy = replace(WRITE, limits=Limits(memory_bytes=256 * 1024**2))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("python3", "-c", shared)))
        ended = await process.wait(30)
        assert await run(sandbox, "echo next; ls /dev/shm") == (0, "next\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (137, EndReason.MEMORY)


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


async def test_no_container_is_left_when_a_sandbox_closes(
    driver: DockerDriver, workspace: Workspace, left: Left, state: Path
) -> None:
    """With a command that still runs."""
    async with driver.open(workspace, WRITE) as sandbox:
        await sandbox.start(Command(("/bin/sleep", "60")))
        assert len(left(state)) == 1
    assert left(state) == []


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


def _program(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""
