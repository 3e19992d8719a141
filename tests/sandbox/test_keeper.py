"""What a sandbox that stays open for a turn promises beyond its single commands."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sandbox.base import (
    Cache,
    Command,
    CommandRefused,
    Ended,
    EndReason,
    Layers,
    Limits,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
    WriteFile,
)
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.cgroups import writable_hierarchies
from sandbox.keeper import wire
from tests.sandbox.conftest import Run, give

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
READ = Policy(SandboxMode.READ_ONLY)
FULL = Policy(SandboxMode.FULL_ACCESS)
ROOT = Path(__file__).parents[2]
OVERWRITE = (Path(__file__).with_name("overwrite.py")).read_text()


async def test_a_command_finds_what_came_to_be_protected_meanwhile(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """A sandbox is built once, but each command gets the protections of its own moment."""
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, "mkdir -p .github/actions/x docs; echo '* @owner' >docs/CODEOWNERS")
        _, printed = await run(
            sandbox, "touch .github/actions/x/y; echo >docs/CODEOWNERS; mv docs x; rm -rf .github; true"
        )
    assert printed.count("Read-only file system") >= 2
    assert (workspace.tree / "docs" / "CODEOWNERS").read_text() == "* @owner\n"
    assert list((workspace.tree / ".github" / "actions" / "x").iterdir()) == []


async def test_a_directory_that_was_closed_hides_nothing_to_protect(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """A command takes everybody's rights to it away; to the next one it is protected all the same."""
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, "chmod 000 .github")
        _, printed = await run(sandbox, "chmod 755 .github; echo planted >.github/workflows/ci.yml; true")
    assert "Read-only file system" in printed
    assert (workspace.tree / ".github" / "workflows" / "ci.yml").read_text() == "on: push\n"


async def test_the_keepers_cannot_be_reached_from_inside(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Not the memory, the files or the program of the first process; it shows no path of the host."""
    script = (
        "for what in mem environ maps exe root cwd fd/0 task/1/mem; do "
        "head -c 1 /proc/1/$what >/dev/null 2>&1 && echo $what; done; kill -9 1; "
        "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm"
    )
    async with driver.open(workspace, WRITE) as sandbox:
        _, printed = await run(sandbox, script)
    assert printed.split() == ["darner-keeper", "darner-keeper"]


async def test_no_script_can_change_the_hosts_interpreter(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """One that names /proc/self/exe is run by it: the one way to a handle. That file cannot be written."""
    interpreter = Path(sys.executable).resolve()
    before = interpreter.read_bytes()
    script = workspace.tree / "script"
    script.write_text(OVERWRITE)
    script.chmod(0o755)
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("./script",)))
        ended = await process.wait(10)
    assert ended is not None
    said = process.take_output().decode()
    assert said.count("refused") == 2, said
    assert interpreter.read_bytes() == before


async def test_a_command_does_not_see_another_of_the_same_turn(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Each has processes of its own; what they share is files."""
    async with driver.open(workspace, WRITE) as sandbox:
        other = await sandbox.start(Command(("sleep", "30")))
        _, printed = await run(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; kill -9 -1; true")
        assert await other.wait(0.2) is None
    assert "sleep" not in printed


async def test_bubblewraps_own_words_are_told(workspace: Workspace) -> None:
    """Of a sandbox that it cannot build; here, a directory to show where nothing can be put."""
    unknown = next(path for path in sorted(Path("/etc").iterdir()) if path.is_dir() and path.name != "ssl")
    with pytest.raises(SandboxUnavailable, match="bwrap: Can't mkdir"):
        async with BubblewrapDriver(extra_read_only=(unknown,)).open(workspace, READ):
            pytest.fail("opened")


async def test_a_dead_keeper_takes_its_commands_along(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """What ran is told as killed, and nothing more starts; another sandbox can be opened."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("sleep", "66.6")))
        for found in _serving_keepers():
            found.kill()
        ended = await process.wait(10)
        with pytest.raises(SandboxUnavailable):
            await sandbox.start(Command(("true",)))
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (137, EndReason.KILLED)
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("true",)))
        assert isinstance(await process.wait(10), Ended)


async def test_what_became_of_a_keeper_is_told(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """Not only that it is gone: somebody has to find out why."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("sleep", "60")))
        for found in _serving_keepers():
            found.kill()
            await _until_gone((found,))
        with pytest.raises(SandboxUnavailable, match=r"keeper is gone: (was ended by signal 9|it has ended)"):
            await sandbox.start(Command(("true",)))
        assert isinstance(await process.wait(10), Ended)


async def test_what_became_of_the_zygote_is_told(workspace: Workspace, tmp_path: Path) -> None:
    """Here an interpreter that ends with words of its own; no sandbox is opened."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no module of that name >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="ended with status 3: no module of that name"):
        async with BubblewrapDriver(interpreter=str(broken)).open(workspace, READ):
            pytest.fail("opened")


@pytest.mark.parametrize("error", [KeyError("audit"), OSError(5, "Input/output error", "/proc")])
def test_nothing_that_a_keeper_stumbles_over_is_lost(error: Exception) -> None:
    """Its exception is the last thing that it says, and where it happened."""
    ours, theirs = wire.pair()
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            with wire.LastWords(theirs.fileno()):
                raise error
        _, status = os.waitpid(pid, 0)
        message, _ = wire.hear(ours)
    assert os.waitstatus_to_exitcode(status) == 1
    assert message is not None
    assert message["failed"].startswith(("KeyError('audit') in line ", "/proc: Input/output error"))


async def test_a_turn_without_room_for_a_process_says_so(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Whoever asks is refused that one command, and the turn goes on when what filled it has ended."""
    if not any("pids" in hierarchy.controllers for hierarchy in writable_hierarchies()):
        pytest.skip("no control group for processes can be made here")
    policy = replace(WRITE, limits=Limits(processes=24))
    fill = (
        "import os\ntry:\n    while os.fork():\n        pass\n"
        "except OSError:\n    print('full', flush=True)\ninput()"
    )
    async with driver.open(workspace, policy) as sandbox:
        filling = await sandbox.start(Command(("python3", "-c", fill), tty=True))
        printed = b""
        while b"full" not in printed:
            assert await filling.wait(0.05) is None
            printed += filling.take_output()
        with pytest.raises(CommandRefused, match="limit on processes"):
            await sandbox.start(Command(("true",)))
        await filling.kill()
        assert await run(sandbox, "echo again") == (0, "again\n")


async def test_hundreds_of_commands_leave_nothing_behind(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """No descriptor and no process, neither with the service nor with the keepers."""
    async with driver.open(workspace, WRITE) as sandbox:

        async def some(count: int) -> None:
            for _ in range(count):
                process = await sandbox.start(Command(("true",)))
                await process.wait(60)

        await asyncio.gather(*(some(3) for _ in range(4)))
        await asyncio.sleep(0.1)
        ours = [psutil.Process(), *_keepers()]
        before = [process.num_fds() for process in ours]
        await asyncio.gather(*(some(60) for _ in range(4)))
        await asyncio.sleep(0.1)
        assert [process.num_fds() for process in ours] == before
        assert {process.pid for process in _keepers()} <= {process.pid for process in ours}


async def test_a_dead_zygote_is_replaced(driver: BubblewrapDriver, workspace: Workspace, run: Run) -> None:
    """Open sandboxes go on; the next one to be opened has another."""
    async with driver.open(workspace, WRITE) as sandbox:
        for zygote in _keepers():
            if zygote.ppid() == os.getpid():
                zygote.kill()
        assert await run(sandbox, "echo one") == (0, "one\n")
        async with driver.open(workspace, WRITE) as other:
            assert await run(other, "echo two") == (0, "two\n")


async def test_nothing_is_left_of_a_killed_service(tmp_path: Path) -> None:
    """Neither the zygote, nor keepers, nor what they started; so no mount and no namespace."""
    marker = f"67.{os.getpid()}"
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("service_with_a_command.py")),
        str(tmp_path),
        marker,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert service.stdout is not None
    assert await service.stdout.readline() == b"running\n"
    started = psutil.Process(service.pid).children(recursive=True)
    assert len(started) >= 4
    service.kill()
    await service.wait()
    await _until_gone(started)


async def test_an_open_that_is_given_up_leaves_nothing(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """Cancelled at any moment of being built, a sandbox is gone soon after, its control groups included."""

    async def opened() -> None:
        async with driver.open(workspace, WRITE):
            await asyncio.sleep(60)

    async with driver.open(workspace, WRITE):
        pass
    for step in range(10):
        opening = asyncio.create_task(opened())
        await asyncio.sleep(step / 200)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await _until_gone(found for found in _keepers() if found.ppid() != os.getpid())
    assert [
        directory
        for hierarchy in writable_hierarchies()
        for directory in hierarchy.directory.glob(f"darner-{os.getpid()}-*")
    ] == []


async def test_many_sandboxes_are_open_side_by_side(
    driver: BubblewrapDriver, tmp_path: Path, run: Run
) -> None:
    """Each with its own files and processes."""

    async def turn(number: int) -> tuple[int, str]:
        tree = tmp_path / str(number) / "tree"
        tree.mkdir(parents=True)
        give(tree, driver)
        place = Workspace(tree=tree, scratch=tree.parent / "scratch")
        async with driver.open(place, WRITE) as sandbox:
            await run(sandbox, f"echo {number} >/tmp/mine")
            return await run(sandbox, "cat /tmp/mine")

    answers = await asyncio.gather(*(turn(number) for number in range(25)))
    assert answers == [(0, f"{number}\n") for number in range(25)]


async def test_descriptors_under_way_in_one_turn_do_not_hold_up_another(
    driver: BubblewrapDriver, workspace: Workspace, tmp_path: Path, run: Run
) -> None:
    """The kernel counts them for all processes of one user; keepers pass some on, too."""
    hoard = """
import os, socket
kept, null = [], os.open("/dev/null", 0)
try:
    while True:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        kept.append((a, b))
        a.setblocking(False)
        try:
            while True:
                socket.send_fds(a, [b"x"], [null] * 250)
        except BlockingIOError:
            pass
except OSError as error:
    print(os.strerror(error.errno), flush=True)
input()
"""
    other = Workspace(tree=tmp_path / "other", scratch=tmp_path / "scratch of other")
    other.tree.mkdir()
    give(other.tree, driver)
    async with driver.open(workspace, WRITE) as sandbox, driver.open(other, WRITE) as neighbour:
        process = await sandbox.start(Command(("python3", "-c", hoard), tty=True))
        printed = b""
        while b"references" not in printed:
            assert await process.wait(0.05) is None
            printed += process.take_output()
        assert await run(neighbour, "echo works") == (0, "works\n")
        async with driver.open(replace(other, scratch=tmp_path / "scratch of third"), WRITE) as third:
            assert await run(third, "echo works") == (0, "works\n")


async def test_terminals_that_one_turn_takes_are_not_missing_in_another(
    driver: BubblewrapDriver, workspace: Workspace, tmp_path: Path, run: Run
) -> None:
    """The kernel has some thousands for all; a sandbox gets a few of them."""
    hoard = """
import os
taken = []
try:
    while True:
        taken.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError as error:
    print(len(taken), os.strerror(error.errno), flush=True)
input()
"""
    other = Workspace(tree=tmp_path / "other", scratch=tmp_path / "scratch of other")
    other.tree.mkdir()
    give(other.tree, driver)
    async with driver.open(workspace, WRITE) as sandbox, driver.open(other, WRITE) as neighbour:
        process = await sandbox.start(Command(("python3", "-c", hoard), tty=True))
        printed = b""
        while b"No space left" not in printed:
            assert await process.wait(0.05) is None
            printed += process.take_output()
        assert 10 < int(printed.split()[0]) < 100
        shell = await neighbour.start(Command(("tty",), tty=True))
        assert isinstance(await shell.wait(10), Ended)
        assert shell.take_output().startswith(b"/dev/pts/")
        with pytest.raises(SandboxUnavailable, match="No space left"):
            await sandbox.start(Command(("tty",), tty=True))
        assert await run(sandbox, "echo works") == (0, "works\n")


async def test_a_checkout_in_layers(driver: BubblewrapDriver, tmp_path: Path, run: Run) -> None:
    """Commands and file tools see one tree; what turns share below stays as it was."""
    if not await driver.can_layer(tmp_path):
        pytest.skip("this kernel or file system refuses overlays")
    lower, workspace = _layers(tmp_path)
    for part in (lower, workspace.layers.upper, workspace.tree):  # type: ignore[union-attr]
        give(part, driver)
    async with driver.open(workspace, WRITE) as sandbox:
        answer = await run(sandbox, "cat kept dir/changed; echo new >>dir/changed; rm gone; mv dir moved; ls")
        assert sandbox.files.read("moved/changed", limit=100).data == b"changed\nnew\n"
        sandbox.files.apply([WriteFile("moved/changed", b"by the host\n")])
        assert await run(sandbox, "cat moved/changed") == (0, "by the host\n")
        assert {path.name for path in Path(f"/proc/self/fd/{sandbox.tree}").iterdir()} == {"kept", "moved"}
    assert answer == (0, "kept\nchanged\nkept\nmoved\n")
    assert {path.name: path.read_text() for path in lower.rglob("*") if path.is_file()} == {
        "changed": "changed\n",
        "gone": "gone\n",
        "kept": "kept\n",
    }
    async with driver.open(workspace, READ) as sandbox:
        assert await run(sandbox, "touch kept 2>/dev/null || cat moved/changed") == (0, "by the host\n")


async def test_too_much_on_the_disk_ends_the_command(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Wherever it was put; the next command may tidy up."""
    policy = replace(WRITE, limits=Limits(disk_bytes=20_000_000))
    fill = "head -c 30000000 /dev/urandom >{}/x; sync {}/x; sleep 60"
    for place in ("/workspace", "/tmp", "~"):
        async with driver.open(workspace, policy) as sandbox:
            process = await sandbox.start(Command(("/bin/sh", "-c", fill.format(place, place))))
            ended = await process.wait(30)
            assert await run(sandbox, f"rm {place}/x; sleep 0.6; echo tidy") == (0, "tidy\n")
        assert ended is not None
        assert (ended.exit_status, ended.reason) == (137, EndReason.DISK)


async def test_what_neighbours_delete_hides_nothing(
    driver: BubblewrapDriver, workspace: Workspace, tmp_path: Path
) -> None:
    """The file system is no fuller than before, but the turn's files are found all the same."""
    neighbours = tmp_path / "neighbours"
    neighbours.write_bytes(b"x" * 120_000_000)
    step = "echo; read line; head -c 1000000 /dev/zero >>/tmp/x"
    fill = f"stty -echo; for n in $(seq 30); do {step}; done; sleep 8"
    policy = replace(WRITE, limits=Limits(disk_bytes=20_000_000))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("/bin/sh", "-c", fill), tty=True))
        # Looked at once, while there is nothing.
        assert await process.wait(0.6) is None
        for number in range(30):
            while not process.take_output():
                await asyncio.sleep(0.002)
            os.truncate(neighbours, 116_000_000 - number * 4_000_000)
            await process.write(b"\n")
        ended = await process.wait(30)
    assert ended is not None
    assert ended.reason is EndReason.DISK


async def test_the_end_for_want_of_memory_is_told(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """As such, where the turn's memory is bounded as a whole; and the sandbox stays."""
    if not any("memory" in hierarchy.controllers for hierarchy in writable_hierarchies()):
        pytest.skip("no control group for memory can be made here")
    policy = replace(WRITE, limits=Limits(memory_bytes=80 * 1024**2))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("tail", "-c", "+1", "/dev/zero")))
        hog = await sandbox.start(Command(("/bin/sh", "-c", "exec head -c 200M /dev/zero >/dev/shm/x")))
        ended = await hog.wait(60)
        await process.kill()
        assert ended is not None
        assert (ended.exit_status, ended.reason) == (137, EndReason.MEMORY)
        process = await sandbox.start(Command(("rm", "/dev/shm/x")))
        assert isinstance(await process.wait(10), Ended)


async def test_files_in_memory_that_starve_a_turn_are_told(driver: BubblewrapDriver) -> None:
    """Nothing can be started then, and no command is there that could be ended: it is the operator's turn."""
    script = "head -c 200M /dev/zero >>/tmp/x"
    if not any("memory" in hierarchy.controllers for hierarchy in writable_hierarchies()):
        pytest.skip("no control group for memory can be made here")
    policy = replace(WRITE, limits=Limits(memory_bytes=80 * 1024**2))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        workspace = Workspace(tree=Path(name, "tree"), scratch=Path(name, "scratch"))
        workspace.tree.mkdir()
        Path(name).chmod(0o755)
        give(workspace.tree, driver)
        async with driver.open(workspace, policy) as sandbox:

            async def fill() -> None:
                while True:
                    process = await sandbox.start(Command(("/bin/sh", "-c", script)))
                    await process.wait(10)

            with pytest.raises(SandboxUnavailable, match=r"limit on memory.*on a disk"):
                await asyncio.wait_for(fill(), 60)


async def test_a_cache_is_shared_by_turns(
    driver: BubblewrapDriver, workspace: Workspace, tmp_path: Path, run: Run
) -> None:
    """By those that may write; a read-only turn does not even see it."""
    (tmp_path / "cache").mkdir()
    give(tmp_path / "cache", driver)
    caches = (Cache(tmp_path / "cache", "pip"),)
    async with driver.open(workspace, replace(WRITE, caches=caches)) as sandbox:
        await run(sandbox, "echo wheel >~/.cache/pip/wheel")
    async with driver.open(workspace, replace(WRITE, caches=caches)) as sandbox:
        assert await run(sandbox, "cat ~/.cache/pip/wheel") == (0, "wheel\n")
    async with driver.open(workspace, replace(READ, caches=caches)) as sandbox:
        assert (await run(sandbox, "cat ~/.cache/pip/wheel 2>/dev/null"))[0] == 1


@pytest.mark.parametrize("place", [".cache", ".cache/pip"])
async def test_a_cache_is_never_shown_through_a_link(
    driver: BubblewrapDriver, workspace: Workspace, tmp_path: Path, run: Run, place: str
) -> None:
    """Planted by an earlier command; bubblewrap would follow it, to directories of the host."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "cache").mkdir()
    give(tmp_path / "outside", driver)
    give(tmp_path / "cache", driver)
    policy = replace(WRITE, caches=(Cache(tmp_path / "cache", "pip"),))
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, f"mkdir -p ~/.cache; rm -r ~/{place}; ln -s /oldroot{tmp_path}/outside ~/{place}")
    with pytest.raises(SandboxUnavailable, match="that is no directory"):
        async with driver.open(workspace, policy):
            pytest.fail("opened")
    assert list((tmp_path / "outside").iterdir()) == []


async def test_full_access_is_the_hosts_files_and_network(
    driver: BubblewrapDriver, workspace: Workspace, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not its user, its environment or its processes, and the protected paths stay."""
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_planted")
    open_to_all = Path("/var/tmp") / f"darner-full-{os.getpid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    script = (
        f"echo here >{open_to_all}/x; id -u; pwd; echo $HOME; touch ~/x made; env | grep -c TOKEN;"
        "touch .github/workflows/x 2>/dev/null || echo protected; ls -d /proc/[0-9]* | wc -l;"
        "grep ^CapEff /proc/self/status"
    )
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            connect = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)'"
            async with driver.open(workspace, FULL) as sandbox:
                _, printed = await run(sandbox, f"{connect} && echo connected; {script}")
        assert (open_to_all / "x").read_text() == "here\n"
        assert (open_to_all / "x").stat().st_uid == (driver.owner_uid or os.geteuid())
    finally:
        for path in open_to_all.iterdir():
            path.unlink()
        open_to_all.rmdir()
    *said, processes, capabilities = printed.splitlines()
    assert said == ["connected", "1000", "/workspace", "/agent", "0", "protected"]
    assert int(processes) <= 8
    assert capabilities.split()[1].strip("0") == ""


def _layers(directory: Path) -> tuple[Path, Workspace]:
    lower = directory / "lower"
    (lower / "dir").mkdir(parents=True)
    for name in ("kept", "gone", "dir/changed"):
        (lower / name).write_text(f"{Path(name).name}\n")
    for name in ("upper", "work", "tree"):
        (directory / name).mkdir()
    layers = Layers((lower,), directory / "upper", directory / "work")
    return lower, Workspace(tree=directory / "tree", scratch=directory / "scratch", layers=layers)


def _keepers() -> list[psutil.Process]:
    """Ours, and our descendants' of the same name."""
    return [
        found
        for found in psutil.Process().children(recursive=True)
        if found.name().startswith("darner-keeper")
    ]


def _serving_keepers() -> list[psutil.Process]:
    """Those with a command: their child is its first process. Those of other tests' drivers have none."""
    return [
        found
        for found in _keepers()
        if _is_keeper(found) and any(child.name() == "darner-keeper" for child in found.children())
    ]


def _is_keeper(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and parent.name().startswith("darner-keeper")


async def _until_gone(processes: Iterable[psutil.Process]) -> None:
    waiting = list(processes)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        waiting = [found for found in waiting if _lives(found)]
        if not waiting:
            return
        await asyncio.sleep(0.02)
    assert waiting == []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
