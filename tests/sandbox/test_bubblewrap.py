"""What a command in a turn's sandbox can see, do and leave behind."""

import asyncio
import os
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import uvloop

from sandbox.base import (
    Command,
    CommandRefused,
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
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.cgroups import writable_hierarchies
from sandbox.doctor import INVARIANTS, probe_of
from tests.sandbox.conftest import Run

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
READ = Policy(SandboxMode.READ_ONLY)
SECRET = "ghp_planted0secret0that0nothing0may0read"
ROOT = Path(__file__).parents[2]


async def test_a_command_works_in_the_checkout(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """It starts in the checkout and writes there; its status and both streams come back, in order."""
    async with driver.open(workspace, WRITE) as sandbox:
        answer = await run(sandbox, "pwd; cat src/main.py; echo new >made; echo oops >&2; exit 7")
    assert answer == (7, "/workspace\nprint('hello')\noops\n")
    assert (workspace.tree / "made").read_text() == "new\n"


async def test_output_can_be_opened_by_its_name(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """As scripts do that tell of errors."""
    async with driver.open(workspace, WRITE) as sandbox:
        answer = await run(
            sandbox, "echo one >/dev/stdout; echo two >/dev/stderr; echo three | tee /dev/fd/2"
        )
    assert answer == (0, "one\ntwo\nthree\nthree\n")


async def test_a_command_is_the_first_to_go_for_want_of_memory(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """It cannot make the kernel prefer others: neither its keeper nor the service."""
    script = "(echo 0 >/proc/self/oom_score_adj) 2>/dev/null; cat /proc/self/oom_score_adj"
    async with driver.open(workspace, WRITE) as sandbox:
        assert await run(sandbox, script) == (0, "1000\n")


async def test_the_environment_is_made_from_nothing(
    driver: BubblewrapDriver, workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a variable of the service's arrives; what a command asks for is added."""
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("env",), environment={"LEVEL": "3 =4"}))
        await process.wait(10)
    printed = process.take_output().decode().splitlines()
    environment = dict(line.split("=", 1) for line in printed)
    assert environment.pop("PATH").endswith(":/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin")
    assert environment == {
        "CI": "1",
        "EDITOR": "false",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": "/home/agent",
        "LANG": "C.UTF-8",
        "LEVEL": "3 =4",
        "LOGNAME": "agent",
        "PAGER": "cat",
        "PWD": "/workspace",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHELL": "/bin/bash",
        "TERM": "dumb",
        "TMPDIR": "/tmp",
        "USER": "agent",
    }


async def test_planted_secrets_cannot_be_reached(
    driver: BubblewrapDriver, workspace: Workspace, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from the service's environment, nor from a home, nor from its database."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text(f"machine github.com password {SECRET}\n")
    with sqlite3.connect(home / "darner.db") as database:
        database.execute("CREATE TABLE token (value TEXT)")
        database.execute("INSERT INTO token VALUES (?)", (SECRET,))
    database.close()
    # Of the service's user, beside the sandbox.
    neighbour = await asyncio.create_subprocess_exec("/bin/sleep", "60", env={"TOKEN": SECRET})
    hunt = (
        f"cat {home}/.netrc {home}/darner.db /proc/{os.getpid()}/environ /proc/{neighbour.pid}/environ 2>&1;"
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; env;"
        "find /workspace /tmp /home /etc /run /var -name '*.db' 2>/dev/null;"
        f"grep -rIl {SECRET[:11]} /workspace /tmp /home /etc /run /var /dev/shm 2>/dev/null; true"
    )
    try:
        async with driver.open(workspace, WRITE) as sandbox:
            _, printed = await run(sandbox, hunt)
    finally:
        neighbour.kill()
        await neighbour.wait()
    assert SECRET not in printed
    assert printed.count("No such file or directory") == 4
    assert [line for line in printed.splitlines() if line.startswith("/") and ".db" in line] == []


async def test_there_is_no_network(driver: BubblewrapDriver, workspace: Workspace, run: Run) -> None:
    """The loopback interface is the sandbox's own; the host's listeners and the world cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = f"""python3 - <<'END'
import errno, socket
print(sorted(name for _, name in socket.if_nameindex()))
for address in ("127.0.0.1", {port}), ("192.0.2.1", 80), ("169.254.169.254", 80):
    try:
        socket.create_connection(address, timeout=2)
    except OSError as error:
        print(errno.errorcode[error.errno])
try:
    socket.getaddrinfo("github.com", 443)
except socket.gaierror:
    print("no such name")
END"""
        async with driver.open(workspace, WRITE) as sandbox:
            answer = await run(sandbox, script)
    assert answer == (0, "['lo']\nECONNREFUSED\nENETUNREACH\nENETUNREACH\nno such name\n")


async def test_the_history_cannot_be_written(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """The view of `.git` is read-only and cannot be moved out of the way."""
    async with driver.open(workspace, WRITE) as sandbox:
        _, printed = await run(sandbox, "cat .git/HEAD; echo x >.git/HEAD; mv .git x; rm -rf .git; ls .git")
    assert printed.startswith("ref: refs/heads/main\n")
    assert printed.endswith("\nHEAD\n")
    assert workspace.git is not None
    assert (workspace.git / "HEAD").read_text() == "ref: refs/heads/main\n"


async def test_protected_paths_stay_as_they_are(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Not by writing, not by replacing, and not by moving the folder above away; what is beside is free."""
    tricks = (
        "echo on: everything >.github/workflows/ci.yml; cp src/main.py .github/workflows/more.yml;"
        "mv .github x; mv .github/workflows x; rm -rf .github; ln -sf src/main.py AGENTS.md;"
        "rm -rf x; echo obey >x; mv x AGENTS.md; echo free >.github/labels"
    )
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, tricks)
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
    driver: BubblewrapDriver, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    """A checkout may hold any link; commands start, and it leads to the sandbox's own files only."""
    (tmp_path / "outside").write_text(SECRET)
    (workspace.tree / "CLAUDE.md").symlink_to(tmp_path / "outside")
    (workspace.tree / "CODEOWNERS").symlink_to("/etc/shadow")
    os.mkfifo(workspace.tree / ".mcp.json")
    async with driver.open(workspace, WRITE) as sandbox:
        status, printed = await run(sandbox, "cat CLAUDE.md CODEOWNERS")
    assert (status, printed.count("No such file or directory")) == (1, 2)


async def test_a_read_only_turn_writes_nothing(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Neither by a command nor by the file tools; its temporary folder still serves."""
    async with driver.open(workspace, READ) as sandbox:
        answer = await run(
            sandbox, "cat src/main.py; touch src/x 2>/dev/null || echo refused; touch /tmp/x ~/y"
        )
        with pytest.raises(Exception, match="this turn is read-only"):
            sandbox.files.apply([WriteFile("x", b"")])
    assert answer == (0, "print('hello')\nrefused\n")


async def test_commands_of_a_turn_share_their_temporary_files(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """What one command leaves in /tmp or at home the next one finds; the host's /tmp has none of it."""
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, "echo one >/tmp/darner-shared; echo two >~/.config-of-mine")
        answer = await run(sandbox, "cat /tmp/darner-shared /var/tmp/darner-shared ~/.config-of-mine")
    assert answer == (0, "one\none\ntwo\n")
    assert not Path("/tmp/darner-shared").exists()


async def test_shared_memory_is_a_commands_own(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """What one command leaves in memory, as a file or as a segment, is not there for the next."""
    async with driver.open(workspace, WRITE) as sandbox:
        await run(sandbox, "echo one >/dev/shm/file; ipcmk --shmem 1000000 --queue")
        answer = await run(sandbox, "ls /dev/shm; ipcs --shmems --queues | grep -c 0x")
    assert answer == (1, "0\n")


async def test_dangerous_calls_are_refused(driver: BubblewrapDriver, workspace: Workspace, run: Run) -> None:
    """Each with the error that programs understand; the harmless neighbours work."""
    script = r"""python3 - <<'END'
import ctypes, errno, fcntl, os, platform, pty, socket, stat
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    x86, arm = NUMBERS[name]
    number = x86 if platform.machine() == "x86_64" else arm
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    print(name, "allowed" if answer >= 0 else errno.errorcode[ctypes.get_errno()])
NUMBERS = {"ptrace": (101, 117), "keyctl": (250, 219), "mount": (165, 40), "unshare": (272, 97),
    "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241), "io_uring_setup": (425, 425),
    "clone3": (435, 435), "openat2": (437, 437), "userfaultfd": (323, 282), "process_vm_readv": (310, 270),
    "personality": (135, 92), "newer than the table": (466, 466), "getpid": (39, 172)}
call("ptrace", 0, 0, 0, 0)
call("keyctl", 0, -3, 1)
call("mount", 0, 0, 0, 0, 0)
call("unshare", 0x10000000)
call("setns", 0, 0)
call("bpf", 0, 0, 0)
call("perf_event_open", 0, 0, 0, 0, 0)
call("process_vm_readv", 1, 0, 0, 0, 0, 0)
call("personality", 8)
call("io_uring_setup", 1, 0)
call("clone3", 0, 0)
call("openat2", 0, 0, 0, 0)
call("userfaultfd", 0)
call("newer than the table", 0)
call("getpid")
def attempt(what, function):
    try:
        function()
        print(what, "allowed")
    except OSError as error:
        print(what, errno.errorcode[error.errno])
master, slave = pty.openpty()
attempt("TIOCSTI", lambda: fcntl.ioctl(slave, 0x5412, b"x"))
attempt("TIOCLINUX", lambda: fcntl.ioctl(slave, 0x541C, b"x"))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("crypto socket", lambda: socket.socket(38, socket.SOCK_SEQPACKET))
attempt("packet socket", lambda: socket.socket(17, socket.SOCK_RAW))
attempt("netlink audit", lambda: socket.socket(16, socket.SOCK_RAW, 9))
attempt("unix socket", lambda: socket.socketpair()[0].close())
attempt("internet socket", lambda: socket.socket(2, socket.SOCK_STREAM))
open("file", "w").close()
attempt("chmod set-uid", lambda: os.chmod("file", 0o4755))
attempt("chmod set-gid", lambda: os.chmod("file", 0o2755))
attempt("create set-uid", lambda: os.open("other", os.O_CREAT | os.O_WRONLY, 0o4755))
attempt("chmod plain", lambda: os.chmod("file", 0o755))
attempt("device", lambda: os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3)))
attempt("fifo", lambda: os.mkfifo("fifo"))
END"""
    async with driver.open(workspace, WRITE) as sandbox:
        _, printed = await run(sandbox, script)
    assert printed.splitlines() == [
        "ptrace EPERM",
        "keyctl EPERM",
        "mount EPERM",
        "unshare EPERM",
        "setns EPERM",
        "bpf EPERM",
        "perf_event_open EPERM",
        "process_vm_readv EPERM",
        "personality EPERM",
        "io_uring_setup ENOSYS",
        "clone3 ENOSYS",
        "openat2 ENOSYS",
        "userfaultfd ENOSYS",
        "newer than the table ENOSYS",
        "getpid allowed",
        "TIOCSTI EPERM",
        "TIOCLINUX EPERM",
        "vsock EAFNOSUPPORT",
        "crypto socket EAFNOSUPPORT",
        "packet socket EAFNOSUPPORT",
        "netlink audit EPROTONOSUPPORT",
        "unix socket allowed",
        "internet socket allowed",
        "chmod set-uid EPERM",
        "chmod set-gid EPERM",
        "create set-uid EPERM",
        "chmod plain allowed",
        "device EPERM",
        "fifo allowed",
    ]
    assert not (workspace.tree / "other").exists()


async def test_no_descriptor_of_the_service_is_inherited(
    driver: BubblewrapDriver, workspace: Workspace, run: Run, tmp_path: Path
) -> None:
    """Not even one that the service has left inheritable."""
    (tmp_path / "secret").write_text(SECRET)
    with (tmp_path / "secret").open() as secret:
        os.set_inheritable(secret.fileno(), True)
        async with driver.open(workspace, WRITE) as sandbox:
            _, printed = await run(sandbox, "for d in /proc/self/fd/*; do readlink $d; done; true")
    shown = [line.split(":")[0] for line in printed.splitlines()]
    assert [line for line in shown if not line.startswith("/proc/")] == ["/dev/null", "pipe", "pipe"]


async def test_a_fork_bomb_is_bounded(driver: BubblewrapDriver, workspace: Workspace, run: Run) -> None:
    """It runs into the limit and ends with its sandbox; other sandboxes are not concerned."""
    bomb = r"""python3 - <<'END'
import os, time
count = 0
try:
    while count < 1000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError as error:
    print(error.strerror, count < 100, flush=True)
END"""
    policy = replace(WRITE, limits=Limits(processes=64))
    async with driver.open(workspace, policy) as sandbox:
        answer = await run(sandbox, bomb)
        assert (await run(sandbox, "echo still here")) == (0, "still here\n")
    assert answer == (0, "Resource temporarily unavailable True\n")


async def test_memory_is_bounded(driver: BubblewrapDriver, workspace: Workspace, run: Run) -> None:
    """A program that takes more than its limit fails; the service does not."""
    policy = replace(WRITE, limits=Limits(memory_bytes=200 * 1024**2))
    async with driver.open(workspace, policy) as sandbox:
        status, printed = await run(sandbox, "python3 -c 'len(bytearray(400 * 1024**2))' 2>&1 | tail -n 1")
    assert "MemoryError" in printed or status == 137


async def test_memory_is_bounded_for_the_turn_as_a_whole(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Many processes together get no more than one where control groups can be made; else doctor warns."""
    hog = r"""python3 - <<'END'
import os, time
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        memory = bytearray(os.urandom(1)) * (50 * 1024**2)
        time.sleep(1)
        os._exit(0)
    children.append(child)
print(sum(os.waitpid(child, 0)[1] == 0 for child in children))
END"""
    checks = {check.name: check.result for check in await driver.check()}
    policy = replace(WRITE, limits=Limits(memory_bytes=150 * 1024**2))
    async with driver.open(workspace, policy) as sandbox:
        _, printed = await run(sandbox, hog)
    survivors = int(printed or 0)
    assert (survivors < 6) == (checks["control groups"] == "ok")


async def test_control_groups_go_with_their_turn(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """A service that serves for months leaves none behind, whichever way its turns end."""

    def groups() -> set[Path]:
        return {
            directory
            for hierarchy in writable_hierarchies()
            for directory in hierarchy.directory.glob(f"darner-{os.getpid()}-*")
        }

    for _ in range(5):
        async with driver.open(workspace, WRITE) as sandbox:
            await run(sandbox, "sleep 9 & true")
            assert len(groups()) == len(writable_hierarchies())
    assert groups() == set()


async def test_file_size_is_bounded(driver: BubblewrapDriver, workspace: Workspace, run: Run) -> None:
    """A file grows up to the limit and no further."""
    policy = replace(WRITE, limits=Limits(file_bytes=100_000))
    async with driver.open(workspace, policy) as sandbox:
        await run(sandbox, "head -c 1000000 /dev/zero >big")
    assert (workspace.tree / "big").stat().st_size == 100_000


async def test_a_flood_of_output_ends_the_command(driver: BubblewrapDriver, workspace: Workspace) -> None:
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


async def test_the_time_limit_ends_the_command(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """With the status of `timeout`; a command may ask for less than the policy allows, never for more."""
    policy = replace(WRITE, limits=Limits(wall_seconds=0.5))
    async with driver.open(workspace, policy) as sandbox:
        process = await sandbox.start(Command(("/bin/sh", "-c", "echo began; sleep 60"), wall_seconds=30))
        ended = await process.wait(10)
    assert ended is not None
    assert (ended.exit_status, ended.reason, process.take_output()) == (124, EndReason.WALL_TIME, b"began\n")
    assert 0.4 < ended.seconds < 3


async def test_background_children_die_with_their_command(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Daemons too, that left the session and hold none of the pipes; when the end is told they are gone."""
    marker = f"61.{os.getpid()}"
    daemon = f"setsid sh -c 'exec sleep {marker}' >/dev/null 2>&1 </dev/null & sleep 0.1; echo done"
    async with driver.open(workspace, WRITE) as sandbox:
        began = time.monotonic()
        answer = await run(sandbox, daemon)
        assert _processes_named(marker) == []
    assert answer == (0, "done\n")
    assert time.monotonic() - began < 10


async def test_a_killed_command_is_gone(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """At once and whole; killing it again is no fault, and what it had printed can be read."""
    marker = f"62.{os.getpid()}"
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(
            Command(("/bin/sh", "-c", f"echo one; sleep {marker} & sleep {marker}"))
        )
        assert await process.wait(0.3) is None
        assert len(_processes_named(marker)) >= 2
        await process.kill()
        await process.kill()
        assert _processes_named(marker) == []
        ended = await process.wait(0)
    assert ended is not None
    assert (ended.exit_status, ended.reason, process.take_output()) == (137, EndReason.KILLED, b"one\n")


async def test_closing_the_sandbox_ends_everything(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """Also when the turn was cancelled; a closed sandbox starts nothing."""
    marker = f"63.{os.getpid()}"

    async def turn() -> None:
        async with driver.open(workspace, WRITE) as sandbox:
            for _ in range(2):
                await sandbox.start(Command(("/bin/sleep", marker)))
            started.set_result(sandbox)
            await asyncio.sleep(60)

    started: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(turn())
    await started
    while len(_processes_named(marker)) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _processes_named(marker) == []
    async with driver.open(workspace, WRITE) as sandbox:
        pass
    with pytest.raises(SandboxUnavailable, match="closed"):
        await sandbox.start(Command(("true",)))


async def test_commands_die_with_the_service(tmp_path: Path) -> None:
    """`kill -9` of the service leaves no process of a sandbox behind."""
    marker = f"64.{os.getpid()}"
    story = Path(__file__).with_name("service_with_a_command.py")
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        str(story),
        str(tmp_path),
        marker,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert service.stdout is not None
    assert await service.stdout.readline() == b"running\n"
    assert len(_processes_named(marker)) >= 2
    service.kill()
    await service.wait()
    deadline = time.monotonic() + 5
    while _processes_named(marker) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert _processes_named(marker) == []


async def test_a_start_that_is_given_up_leaves_nothing(
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """Cancelled at any moment of being built, a command is gone when the cancellation comes back."""
    marker = f"65.{os.getpid()}"
    async with driver.open(workspace, WRITE) as sandbox:
        for step in range(12):
            starting = asyncio.create_task(sandbox.start(Command(("/bin/sleep", marker))))
            await asyncio.sleep(step / 1000)
            starting.cancel()
            try:
                process = await starting
            except asyncio.CancelledError:
                assert _processes_named(marker) == []
            else:
                await process.kill()


async def test_many_commands_run_side_by_side(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """Each with its own output and status."""

    async def one(number: int) -> tuple[int, bytes]:
        process = await sandbox.start(Command(("/bin/sh", "-c", f"echo {number}; exit {number}")))
        ended = await process.wait(60)
        assert ended is not None
        return ended.exit_status, process.take_output()

    async with driver.open(workspace, READ) as sandbox:
        answers = await asyncio.gather(*(one(number) for number in range(20)))
    assert answers == [(number, f"{number}\n".encode()) for number in range(20)]


def test_the_loop_of_the_server_serves_as_well(driver: BubblewrapDriver, workspace: Workspace) -> None:
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
    driver: BubblewrapDriver, workspace: Workspace
) -> None:
    """What is written is echoed and read, and Ctrl-C interrupts the program, not the sandbox."""
    script = "trap 'echo interrupted' INT; read name; echo hello $name; sleep 30; tty; exit 3"
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("/bin/bash", "-c", script), tty=True))
        await process.write(b"you\n")
        assert await process.wait(0.5) is None
        await process.write(b"\x03")
        ended = await process.wait(10)
    output = process.take_output().decode().replace("\r\n", "\n")
    assert ended is not None
    assert (ended.exit_status, ended.reason) == (3, EndReason.EXITED)
    assert output == "you\nhello you\n^Cinterrupted\n/dev/pts/0\n"
    with pytest.raises(StdinClosed):
        await process.write(b"late\n")


async def test_much_input_waits_for_its_reader(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """Nothing is lost when a program reads slowly."""
    script = "stty raw -echo; echo ready; sleep 0.3; head -c 100000 | wc -c"
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(("/bin/sh", "-c", script), tty=True))
        while b"ready" not in process.take_output():
            await asyncio.sleep(0.02)
        await process.write(b"x" * 100_000)
        ended = await process.wait(20)
    assert ended is not None
    assert process.take_output().strip() == b"100000"


async def test_without_a_terminal_there_is_no_input(
    driver: BubblewrapDriver, workspace: Workspace, run: Run
) -> None:
    """Reading ends at once, and writing is refused with the reason."""
    async with driver.open(workspace, WRITE) as sandbox:
        assert await run(sandbox, "cat; echo over") == (0, "over\n")
        process = await sandbox.start(Command(("sleep", "5")))
        with pytest.raises(StdinClosed, match="started without a terminal"):
            await process.write(b"x")


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("/bin/sh", "-c", "kill -TERM $$"), 143),
        (("/bin/sh", "-c", "kill -KILL $$"), 137),
        (("no-such-program",), 127),
        (("true",), 0),
    ],
)
async def test_the_exit_status_follows_the_shell(
    driver: BubblewrapDriver, workspace: Workspace, argv: tuple[str, ...], status: int
) -> None:
    """128 and the signal's number; 127 for a program that is not there."""
    async with driver.open(workspace, WRITE) as sandbox:
        process = await sandbox.start(Command(argv))
        ended = await process.wait(10)
    assert isinstance(ended, Ended)
    assert (ended.exit_status, ended.reason) == (status, EndReason.EXITED)


@pytest.mark.parametrize(
    "workdir", ["..", "/", "/etc", "src/../..", "/workspace/../etc", "way-out", "src/main.py", "a\0b"]
)
async def test_a_working_directory_outside_is_refused(
    driver: BubblewrapDriver, workspace: Workspace, workdir: str
) -> None:
    """Before anything runs, links included."""
    (workspace.tree / "way-out").symlink_to("/etc")
    async with driver.open(workspace, WRITE) as sandbox:
        with pytest.raises(PathRefused):
            await sandbox.start(Command(("true",), workdir=workdir))


@pytest.mark.parametrize(
    "command",
    [
        Command(()),
        Command(("",)),
        Command(("echo", "a\0--ro-bind\0/\0/host")),
        Command(("env",), environment={"A": "b\0--bind\0/\0/host"}),
        Command(("env",), environment={"A=B": "c"}),
        Command(("echo", "x" * 200_000)),
    ],
)
async def test_words_that_no_program_can_be_given_are_refused(
    driver: BubblewrapDriver, workspace: Workspace, command: Command
) -> None:
    """A NUL character most of all: it would add an option to ours."""
    async with driver.open(workspace, WRITE) as sandbox:
        with pytest.raises(CommandRefused):
            await sandbox.start(command)


async def test_a_checkout_of_someone_else_is_refused(driver: BubblewrapDriver, workspace: Workspace) -> None:
    """When the service is root: instead of a turn in which no write works. Otherwise there is no one else."""
    if driver.owner_uid is None:
        assert workspace.tree.stat().st_uid == os.geteuid()
        return
    os.chown(workspace.tree, 0, 0)
    with pytest.raises(SandboxUnavailable, match="belongs to user 0"):
        async with driver.open(workspace, WRITE):
            pytest.fail("opened")


async def test_a_missing_bubblewrap_is_told(workspace: Workspace) -> None:
    """With the remedy; nothing runs unconfined instead."""
    driver = BubblewrapDriver(program="bwrap-that-is-not-there")
    with pytest.raises(SandboxUnavailable, match="apt install bubblewrap"):
        async with driver.open(workspace, WRITE):
            pytest.fail("opened")
    (check,) = await driver.check()
    assert (check.name, check.result, check.detail) == ("bubblewrap", "failed", "not installed")


async def test_a_sandbox_that_cannot_be_built_runs_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """bubblewrap's own words are told, and no process is left."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho bwrap: setting up uid map: Permission denied >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="could not be built"):
        async with BubblewrapDriver(program=str(broken)).open(workspace, READ):
            pytest.fail("opened")


async def test_the_doctor_finds_this_machine_fit(driver: BubblewrapDriver) -> None:
    """Every invariant holds, seen from inside a real sandbox."""
    checks = await driver.check()
    assert [check for check in checks if check.result == "failed"] == []
    assert len(checks) == len(INVARIANTS) + 4


def test_the_doctor_would_notice() -> None:
    """The same questions asked in a sandbox as people write them by hand: most answers are wrong."""
    argv = ("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/mnt", "--chdir", "/mnt")
    prepare = "mkdir -p .git .github/workflows\n"
    environment = {"PATH": "/usr/bin:/bin", "TOKEN": SECRET, "HOME": "/mnt", "BESIDE": str(ROOT)}
    answer = subprocess.run(
        (*argv, "/bin/sh", "-c", prepare + probe_of(INVARIANTS)),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    wrong = {name for (name, _), word in zip(INVARIANTS, answer.stdout.split(), strict=True) if word != "ok"}
    assert wrong >= {
        "commands run as an ordinary user",
        "system calls are filtered",
        "the service's environment is not there",
        "the service's processes are not there",
        "nothing beside the checkout is shown",
        "the system is read-only",
        "the git view is read-only",
        "protected paths are read-only",
        "set-id bits are refused",
        "processes are bounded",
    }


def test_an_ordinary_user_confines_as_well() -> None:
    """The same invariants hold when the service is not root."""
    story = Path(__file__).with_name("as_ordinary_user.py")
    answer = subprocess.run(
        (sys.executable, str(story)),
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    results = [line.split(" ", 1) for line in answer.stdout.splitlines()]
    assert [name for result, name in results if result == "failed"] == []
    assert len(results) == len(INVARIANTS) + 5


def _processes_named(marker: str) -> list[int]:
    found = []
    for process in psutil.process_iter(("cmdline", "status")):
        arguments = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and marker in " ".join(arguments).split():
            found.append(process.pid)
    return found


async def test_a_directory_to_show_that_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    """With the setting to correct; nothing is opened."""
    missing = tmp_path / "toolchain"
    with pytest.raises(SandboxUnavailable, match=f"{missing}.*DARNER_SANDBOX_READ_ONLY"):
        async with BubblewrapDriver(extra_read_only=(missing,)).open(workspace, READ):
            pass
