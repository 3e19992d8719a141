"""What an attack leaves for the host, or for the next turn."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from functools import partial

from .attack import Facts, Held, any_of, attack
from .calls import LIBC, call
from .network import connected
from .processes import processes

_LEFT = "left; the host tells"
_CREATE = 0o1666
_PORT = 47_411


@attack()
def temporary_file(facts: Facts) -> str:
    """Leave a file in the host's temporary directory."""
    for directory in ("/tmp", "/var/tmp"):
        _leave(f"{directory}/{facts.marker}")
    raise Held(_LEFT)


@attack()
def shared_memory_file(facts: Facts) -> str:
    """Leave a file in the host's shared memory."""
    _leave(f"/dev/shm/{facts.marker}")
    raise Held(_LEFT)


def _leave(path: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write("left\n")


@attack()
def shared_memory_segment(facts: Facts) -> str:
    """Leave a segment of shared memory in the kernel."""
    if LIBC.shmget(ctypes.c_int(int(facts.marker)), ctypes.c_size_t(4096), ctypes.c_int(_CREATE)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    raise Held(_LEFT)


@attack()
def queue_and_semaphore(facts: Facts) -> str:
    """Leave a queue and a semaphore in the kernel."""
    LIBC.msgget(ctypes.c_int(int(facts.marker)), ctypes.c_int(_CREATE))
    LIBC.semget(ctypes.c_int(int(facts.marker)), ctypes.c_int(1), ctypes.c_int(_CREATE))
    raise Held(_LEFT)


@attack()
def key(facts: Facts) -> str:
    """Leave a key in the user's key ring."""
    call("add_key", b"user", facts.marker.encode(), b"x", 1, -4)
    # Of the user's session: gone by itself, also where there is no sandbox.
    call("keyctl", 15, call("request_key", b"user", facts.marker.encode(), None, 0), 1)
    return "left"


def _stay() -> str:
    """Until the other turn has looked; whoever runs this ends it then."""
    os.write(1, b"ready\n")
    time.sleep(30)
    raise Held("nobody came")


@attack(afterwards="left_behind.found_files")
def files_for_the_next_turn(facts: Facts) -> str:
    """Leave files in /tmp, at home, in caches and in shared memory for another turn."""
    os.makedirs(f"{facts.home}/.cache/pip", exist_ok=True)
    for path in _places(facts):
        _leave(path)
    return _stay()


def _places(facts: Facts) -> tuple[str, ...]:
    names = ("/tmp", "/var/tmp", "/dev/shm", facts.temporary, facts.home, f"{facts.home}/.cache/pip", "/run")
    return tuple(f"{name}/{facts.marker}" for name in names if os.access(name, os.W_OK))


def found_files(facts: Facts) -> str:
    """As the next turn."""
    found = [path for path in _places(facts) if os.path.exists(path)]
    if found:
        return ", ".join(found)
    raise Held("nothing is there")


@attack(afterwards="left_behind.found_kernel_objects")
def kernel_objects_for_the_next_turn(facts: Facts) -> str:
    """Leave shared memory, a queue and a semaphore in the kernel for another turn."""
    LIBC.shmget(ctypes.c_int(int(facts.marker)), ctypes.c_size_t(4096), ctypes.c_int(_CREATE))
    LIBC.msgget(ctypes.c_int(int(facts.marker)), ctypes.c_int(_CREATE))
    return _stay()


def found_kernel_objects(facts: Facts) -> str:
    """As the next turn."""
    key_number = ctypes.c_int(int(facts.marker))
    if LIBC.shmget(key_number, ctypes.c_size_t(0), ctypes.c_int(0)) >= 0:
        return "the shared memory is there"
    if LIBC.msgget(key_number, ctypes.c_int(0)) >= 0:
        return "the queue is there"
    raise Held("nothing is there")


@attack(afterwards="left_behind.found_server")
def server_for_the_next_turn(facts: Facts) -> str:
    """Serve another turn that runs meanwhile, on the loopback and without a file."""
    with socket.create_server(("127.0.0.1", _PORT)), socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0turn-{facts.marker}")
        abstract.listen()
        return _stay()


def found_server(facts: Facts) -> str:
    """As the next turn."""
    return any_of(
        partial(connected, socket.AF_INET, ("127.0.0.1", _PORT)),
        partial(connected, socket.AF_UNIX, f"\0turn-{facts.marker}"),
    )


@attack(afterwards="left_behind.found_process")
def process_for_the_next_turn(facts: Facts) -> str:
    """Be seen by another turn that runs meanwhile."""
    if os.fork() == 0:
        os.execvp("sleep", ("sleep", facts.marker))
    return _stay()


def found_process(facts: Facts) -> str:
    """As the next turn."""
    for pid in processes():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if facts.marker.encode() in file.read().split(b"\0")[:2]:
                return f"process {pid}"
    raise Held("it is not listed")
