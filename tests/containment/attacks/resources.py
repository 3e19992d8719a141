"""Limits: of processes, memory, files, time and output."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import time
from contextlib import suppress
from functools import partial

from .attack import Facts, Held, any_of, attack, to
from .calls import LIBC, call, in_child

_CHUNK = b"\1" * (1 << 20)


@attack()
def fork_bomb(facts: Facts) -> str:
    """Make more processes than the limit."""
    children: list[int] = []
    try:
        for _ in range(facts.processes * 2):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            children.append(pid)
    except OSError:
        pass
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if len(children) >= facts.processes:
        return f"{len(children)} children"
    raise Held(f"no more than {len(children)}")


@attack(fatal=True)
def memory_of_one(facts: Facts) -> str:
    """Use more memory than the limit, in one process."""

    def used() -> str:
        kept = [b"\1" * (1 << 24) for _ in range(2 * facts.memory_bytes >> 24)]
        return f"{len(kept) << 4} MiB"

    return in_child(used)


@attack(fatal=True)
def memory_of_many(facts: Facts) -> str:
    """Use more memory than the limit, in several processes."""
    return _many(facts, partial(_private, facts.memory_bytes // 2))


def _private(size: int) -> None:
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, 4096):
        memory[at] = 1


def _many(facts: Facts, use: partial[None]) -> str:
    """Four processes that use memory and wait for each other. Raises `Held` when one was ended."""
    del facts
    began, ready = os.pipe()
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            with suppress(OSError, MemoryError, ValueError):
                use()
                os.write(ready, b"1")
                time.sleep(10)
            os._exit(1)
        children.append(pid)
    os.close(ready)
    full = 0
    os.set_blocking(began, False)
    end = time.monotonic() + 8
    while full < 4 and time.monotonic() < end:
        time.sleep(0.02)
        with suppress(BlockingIOError):
            full += len(os.read(began, 4))
        if any(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) for pid in children):
            break
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if full == 4:
        return "all of it"
    raise Held("one of them was ended")


@attack(fatal=True)
def memory_shared(facts: Facts) -> str:
    """Use more memory than the limit, as memory that processes share."""

    def used() -> str:
        memory = mmap.mmap(-1, 2 * facts.memory_bytes)
        for at in range(0, len(memory), 4096):
            memory[at] = 1
        return "all of it"

    return in_child(used)


@attack(fatal=True)
def memory_as_files(facts: Facts) -> str:
    """Use more memory than the limit, as files in memory."""

    def used() -> str:
        for number in range(4 * facts.memory_bytes // facts.file_bytes // 2):
            descriptor = call("memfd_create", b"m%d" % number, 0)
            for _ in range(facts.file_bytes >> 20):
                os.write(descriptor, _CHUNK)
        return "all of it"

    return in_child(used)


@attack(fatal=True, never_unconfined="it would fill the machine's own")
def shared_memory_full(facts: Facts) -> str:
    """Fill /dev/shm and /run beyond the memory of the turn."""

    def filled(directory: str) -> str:
        for number in range(2 * facts.memory_bytes // facts.file_bytes):
            with open(f"{directory}/fill{number}", "wb", buffering=0) as file:
                file.writelines(_CHUNK for _ in range(facts.file_bytes >> 20))
        return f"filled {directory}"

    def emptied(directory: str) -> str:
        try:
            return in_child(partial(filled, directory))
        finally:
            with suppress(OSError):
                for name in os.listdir(directory):
                    if name.startswith("fill"):
                        os.unlink(f"{directory}/{name}")

    return any_of(partial(emptied, "/dev/shm"), partial(emptied, "/run"))


@attack()
def file_size(facts: Facts) -> str:
    """Make a file that is larger than the limit, full or with a hole."""
    path = f"{facts.playground}/large"

    def hole() -> str:
        with open(path, "wb") as file:
            file.truncate(facts.file_bytes + 1)
        return "with a hole"

    def full() -> str:
        with open(path, "wb", buffering=0) as file:
            for _ in range((facts.file_bytes >> 20) + 1):
                if file.write(_CHUNK) < len(_CHUNK):
                    raise Held("cut short")
        return "full"

    def reserved() -> str:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.file_bytes + 1)
        return "reserved"

    try:
        return any_of(hole, full, reserved)
    finally:
        os.unlink(path)


@attack(fatal=True)
def disk_full(facts: Facts) -> str:
    """Write more files than the turn may have on the disk."""
    folder = f"{facts.temporary}/full"
    os.mkdir(folder)
    # Beyond the limit by half, then time for whoever watches.
    for number in range(facts.disk_bytes * 3 // 2 >> 23):
        with open(f"{folder}/{number}", "wb", buffering=0) as file:
            file.writelines(os.urandom(1 << 20) for _ in range(8))
    time.sleep(facts.patience)
    return f"{facts.disk_bytes * 3 // 2 >> 20} MiB"


@attack(fatal=True)
def output_flood(facts: Facts) -> str:
    """Print without end."""
    del facts
    for _ in range(64):
        os.write(1, b"flood\n" * 200_000)
    return "printed 77 MB"


@attack(fatal=True, seconds=1)
def endless(_: Facts) -> str:
    """Run for longer than the time limit, ignoring every signal."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        time.sleep(0.05)
    return "still there"


@attack(cpus=0.5, innocent="the machine may be busy")
def processors(facts: Facts) -> str:
    """Use more processors than the limit."""
    del facts
    began = time.monotonic()
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            while time.monotonic() < began + 1.5:
                pass
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    share = (used.ru_utime + used.ru_stime) / (time.monotonic() - began)
    if share > 0.9:
        return f"{share:.1f} of them"
    raise Held(f"{share:.1f} of them")


@attack(innocent="the machine's own limit may be lower")
def open_files(facts: Facts) -> str:
    """Open more files than the limit."""

    def opened() -> str:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _ in range(facts.open_files + 1):
            os.dup(0)
        return f"{facts.open_files + 1} of them"

    return in_child(opened)


@attack()
def limits_raised(_: Facts) -> str:
    """Raise a limit again."""

    def raised(what: int) -> str:
        soft, hard = resource.getrlimit(what)
        if hard == resource.RLIM_INFINITY:
            return f"limit {what} is infinite"
        try:
            resource.setrlimit(what, (hard + 1, hard + 1))
        except ValueError as error:
            raise Held(str(error)) from error
        return f"limit {what} was {soft}"

    kinds = (
        resource.RLIMIT_NPROC,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_DATA,
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_MSGQUEUE,
    )
    return any_of(*(partial(raised, kind) for kind in kinds))


@attack()
def locked_memory(_: Facts) -> str:
    """Lock memory so that it cannot be swapped out."""
    memory = ctypes.create_string_buffer(1 << 18)
    if LIBC.mlock(memory, ctypes.c_size_t(len(memory))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "locked"


@attack(innocent="only root can")
def priority(_: Facts) -> str:
    """Have a higher priority than the rest of the machine."""
    return any_of(
        to("nicer", os.nice, -5),
        to("real time", os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
        to("round robin", os.sched_setscheduler, 0, os.SCHED_RR, os.sched_param(1)),
    )


@attack()
def spared_when_memory_is_short(_: Facts) -> str:
    """Be spared when the machine has no memory left, so that the service goes."""
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        score = int(file.read())
    if score < 1000:
        return f"score {score}"
    raise Held("the first to go")


@attack()
def core_dump(facts: Facts) -> str:
    """Leave a core dump."""
    del facts
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        raise Held("of no size")
    return f"of {hard} bytes"


@attack()
def message_queue(facts: Facts) -> str:
    """Keep memory in a message queue of the kernel."""
    queue = call("mq_open", facts.marker.encode(), os.O_CREAT | os.O_RDWR, 0o600, None)
    os.close(queue)
    return "made"
