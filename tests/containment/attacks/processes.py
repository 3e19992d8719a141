"""Processes of the host, the sandbox's own first one, and those that should not outlive their command."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from contextlib import suppress
from functools import partial

from .attack import Facts, Held, any_of, attack, to
from .calls import CLONE_NEWUSER, call, in_child
from .files import SECRET

_PTRACE_ATTACH = 16
_PTRACE_SEIZE = 0x4206


def processes() -> list[int]:
    """All that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@attack()
def seen(facts: Facts) -> str:
    """See a process of the host."""
    for pid in processes():
        with suppress(OSError):
            if SECRET.search(_content(f"/proc/{pid}/cmdline")):
                return f"process {pid}"
    raise Held("it is not listed")


@attack()
def killed(facts: Facts) -> str:
    """Kill a process of the host."""
    os.kill(facts.canary, signal.SIGKILL)
    return "killed"


@attack(never_unconfined="it would end everything that the user runs", fatal=True)
def all_killed(_: Facts) -> str:
    """Kill everything within reach; what is the host's stays, the sandbox serves on."""

    def attempt() -> str:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(-1, signal.SIGTERM)
        raise Held("only the sandbox's own")

    return in_child(attempt)


@attack(never_unconfined="it would end everything that the user runs", fatal=True)
def all_killed_at_once(_: Facts) -> str:
    """Kill everything within reach, by the signal that cannot be caught."""
    os.kill(-1, signal.SIGKILL)
    raise Held("only the sandbox's own")


@attack(never_unconfined="it would end the tests", fatal=True)
def first_process_killed(_: Facts) -> str:
    """Kill the sandbox's first process and those above; the sandbox serves on."""
    for pid in (1, os.getppid()):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    with suppress(OSError):
        os.killpg(os.getpgid(0), signal.SIGTERM)
    time.sleep(0.1)
    raise Held("only the command itself")


@attack(never_unconfined="it would stop the tests", fatal=True)
def first_process_stopped(_: Facts) -> str:
    """Stop the sandbox's first process, so that nothing ends any more; the sandbox serves on."""
    os.kill(1, signal.SIGSTOP)
    raise Held("it goes on")


@attack()
def traced(facts: Facts) -> str:
    """Trace a process: one of the host, the first, a child of one's own."""
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    try:
        return any_of(
            *(
                partial(_traced, request, pid)
                for pid in (facts.canary, 1, child)
                for request in (_PTRACE_SEIZE, _PTRACE_ATTACH)
            )
        )
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _traced(request: int, pid: int) -> str:
    call("ptrace", request, pid, 0, 0)
    # Let go again.
    call("ptrace", 17, pid, 0, 0) if request == _PTRACE_ATTACH else None
    return f"attached to {pid}"


@attack()
def memory_by_call(facts: Facts) -> str:
    """Read another process's memory by the system call for it."""

    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    buffer = ctypes.create_string_buffer(16)
    here = Vector(ctypes.addressof(buffer), 16)
    # A forked child has the same things at the same addresses.
    there = Vector(ctypes.addressof(buffer), 16)
    try:
        return any_of(
            *(
                to(
                    f"of {pid}",
                    call,
                    "process_vm_readv",
                    pid,
                    ctypes.addressof(here),
                    1,
                    ctypes.addressof(there),
                    1,
                    0,
                )
                for pid in (facts.canary, child)
            )
        )
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@attack()
def memory_by_file(facts: Facts) -> str:
    """Find a secret in the memory of any process that can be seen."""
    return any_of(*(partial(secret_in_memory, pid) for pid in processes() if pid != os.getpid()))


def secret_in_memory(pid: int) -> str:
    """Look through what the process can write. Raises `OSError`, and `Held` when there is none."""
    descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for line in _content(f"/proc/{pid}/maps").decode(errors="replace").splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found is None:
                continue
            begin, end = (int(bound, 16) for bound in found.groups())
            with suppress(OSError):
                if SECRET.search(os.pread(descriptor, min(end - begin, 1 << 24), begin)):
                    return f"a secret in the memory of {pid}"
    finally:
        os.close(descriptor)
    raise Held("no secret in it")


@attack()
def environments(_: Facts) -> str:
    """Find a secret in the environment of any process, the first one too."""

    def attempt(pid: int) -> str:
        if SECRET.search(_content(f"/proc/{pid}/environ")):
            return f"of {pid}"
        raise Held("no secret in it")

    return any_of(*(partial(attempt, pid) for pid in processes()))


@attack(never_unconfined="nothing enters where no sandbox is", companions=25, seconds=15)
def entering_processes(facts: Facts) -> str:
    """Catch the processes that other commands start as, before they are those commands."""
    known = set(processes())
    gains: set[str] = set()
    started = time.monotonic()
    last_seen = started
    seen_any = 0
    while time.monotonic() - last_seen < 1.0 and time.monotonic() - started < 10:
        for pid in processes():
            if pid in known or pid == os.getpid():
                continue
            seen_any += 1
            last_seen = time.monotonic()
            gains |= _gains(pid, facts)
    if gains:
        return "; ".join(sorted(gains))
    raise Held(f"nothing in {seen_any} looks")


def _gains(pid: int, facts: Facts) -> set[str]:
    """What can be had of a process just now."""
    gains = set()
    for what, path in (
        ("root", f"root{facts.secret}"),
        ("directory", "cwd/../../../../../.." + facts.secret),
    ):
        with suppress(OSError):
            if SECRET.search(_content(f"/proc/{pid}/{path}")):
                gains.add(f"the host's files by its {what}")
    with suppress(OSError):
        if os.access(f"/proc/{pid}/exe", os.W_OK, effective_ids=True):
            gains.add(f"its program {os.readlink(f'/proc/{pid}/exe')} could be written")
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                climbed = f"/proc/{pid}/fd/{descriptor}/{'../' * 12}{facts.secret}"
                if SECRET.search(_content(climbed)):
                    gains.add("the host's files by its descriptors")
    with suppress(OSError):
        if SECRET.search(_content(f"/proc/{pid}/environ")):
            gains.add("the service's environment")
    with suppress(OSError, Held):
        gains.add(secret_in_memory(pid).partition(" of ")[0])
    return gains


@attack()
def namespaces_entered(facts: Facts) -> str:
    """Enter the namespaces of another process: the host's, the first one's, a child's."""

    def of_child() -> str:
        ready, child_side = os.pipe()
        child = os.fork()
        if child == 0:
            with suppress(OSError):
                call("unshare", CLONE_NEWUSER)
            os.write(child_side, b"x")
            time.sleep(5)
            os._exit(0)
        os.read(ready, 1)
        try:
            return in_child(partial(entered, child))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def entered(pid: int) -> str:
        done = []
        for kind in ("user", "mnt", "net", "pid", "ipc", "uts"):
            with suppress(OSError):
                descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
                call("setns", descriptor, 0)
                done.append(kind)
        if done:
            return f"{', '.join(done)} of {pid}"
        raise Held("refused")

    return any_of(
        of_child, partial(in_child, partial(entered, facts.canary)), partial(in_child, partial(entered, 1))
    )


@attack()
def descriptor_taken(facts: Facts) -> str:
    """Take an open file out of another process."""
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)

    def taken(pid: int) -> str:
        process = call("pidfd_open", pid, 0)
        call("pidfd_getfd", process, 1, 0)
        return f"of {pid}"

    try:
        return any_of(partial(taken, facts.canary), partial(taken, 1), partial(taken, child))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@attack()
def compared(_: Facts) -> str:
    """Compare the kernel's objects of two processes."""
    call("kcmp", os.getpid(), os.getpid(), 0, 1, 2)
    return "compared"


@attack()
def memory_advised(_: Facts) -> str:
    """Push another process's memory out."""
    process = call("pidfd_open", os.getpid(), 0)
    try:
        call("process_madvise", process, 0, 0, 21, 0)
    except OSError as error:
        if error.errno == 1:
            raise
    return "asked"


def _stay(facts: Facts, prepare: str) -> str:
    """Leave a process behind that the marker names."""
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        if prepare == "ignoring":
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        if prepare == "quiet":
            null = os.open("/dev/null", os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
        if prepare == "stopped":
            os.execvp("sh", ("sh", "-c", "kill -STOP $$; exec sleep $0", facts.marker))
        os.execvp("sleep", ("sleep", facts.marker))
    os.wait()
    time.sleep(0.05)
    raise Held("left; the host tells")


@attack()
def orphan(facts: Facts) -> str:
    """Leave a process behind in a session of its own."""
    return _stay(facts, "quiet")


@attack(never_unconfined="a caller without a sandbox would wait for it")
def orphan_with_output(facts: Facts) -> str:
    """Leave a process behind that holds the command's output open."""
    return _stay(facts, "loud")


@attack(never_unconfined="a caller without a sandbox would wait for it")
def orphan_ignoring_signals(facts: Facts) -> str:
    """Leave a process behind that ignores signals."""
    return _stay(facts, "ignoring")


@attack(never_unconfined="a caller without a sandbox would wait for it")
def orphan_stopped(facts: Facts) -> str:
    """Leave a stopped process behind."""
    return _stay(facts, "stopped")


@attack(never_unconfined="it is made to be hard to catch")
def orphan_hopping(facts: Facts) -> str:
    """Leave a process behind that is a new one every millisecond."""
    hop = (
        "import os, time\n"
        "end = time.monotonic() + 10\n"
        "while time.monotonic() < end:\n"
        "    if os.fork(): os._exit(0)\n"
        "    time.sleep(0.001)\n"
    )
    if os.fork() == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.execv(sys.executable, (sys.executable, "-c", hop, facts.marker))
    time.sleep(0.2)
    raise Held("left; the host tells")


@attack()
def no_new_privileges(_: Facts) -> str:
    """Gain rights by running a set-user-id program."""
    status = _content("/proc/self/status").decode()
    if re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE):
        raise Held("no program gives new privileges")
    return "programs give new privileges"


@attack()
def capabilities(_: Facts) -> str:
    """Have, or be able to get, a capability."""
    status = _content("/proc/self/status").decode()
    found = re.findall(r"^(Cap\w+):\s*([0-9a-f]+)$", status, re.MULTILINE)
    held = [f"{name} {value}" for name, value in found if int(value, 16)]
    if held:
        return ", ".join(held)
    raise Held("none")


@attack(innocent="only root can become somebody else")
def another_user(_: Facts) -> str:
    """Become root or another user."""
    if os.getuid() == 0:
        return "root already"
    return any_of(
        *(to(f"user {uid}", os.setuid, uid) for uid in (0, 65_534)),
        to("group 0", os.setgid, 0),
        to("groups", os.setgroups, [0]),
    )


@attack()
def groups(_: Facts) -> str:
    """Have a further group of the service's."""
    # Numbers without a name in these namespaces are shown as 65534.
    found = set(os.getgroups()) - {os.getgid()}
    if found:
        return f"groups {found}"
    raise Held("none")
