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

import pytest

from sandbox.base import (
    Command,
    Limits,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
)
from sandbox.bubblewrap import BubblewrapDriver
from sandbox.cgroups import writable_hierarchies
from sandbox.doctor import INVARIANTS, probe_of
from tests.sandbox.conftest import Run
from tests.sandbox.processes import processes_named

WRITE = Policy(SandboxMode.WORKSPACE_WRITE)
READ = Policy(SandboxMode.READ_ONLY)
SECRET = "ghp_planted0secret0that0nothing0may0read"
ROOT = Path(__file__).parents[2]


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
    assert len(processes_named(marker)) >= 2
    service.kill()
    await service.wait()
    deadline = time.monotonic() + 5
    while processes_named(marker) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert processes_named(marker) == []


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


async def test_a_directory_to_show_that_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    """With the setting to correct; nothing is opened."""
    missing = tmp_path / "toolchain"
    with pytest.raises(SandboxUnavailable, match=f"{missing}.*DARNER_SANDBOX_READ_ONLY"):
        async with BubblewrapDriver(extra_read_only=(missing,)).open(workspace, READ):
            pass
