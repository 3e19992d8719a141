"""The service's side of the keepers: starts the process they are forked from, opens and closes them.

A keeper ends when its socket is closed, so with its sandbox and with the service, however that ends; with it
goes all that runs inside.
"""

import asyncio
import errno
import fcntl
import os
import resource
import signal
import socket
import subprocess
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sandbox import syscalls
from sandbox.base import SandboxUnavailable
from sandbox.keeper import wire
from sandbox.waiting import insist, readable

_PACKAGES: Final = Path(__file__).parents[1]
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from sandbox.keeper import zygote; zygote.main(int(sys.argv[2]))"
)
_WRITABLE_BY_OTHERS: Final = 0o022
_ALL_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_SECONDS_TO_END: Final = 5
_SECONDS_TO_BE_REAPED: Final = 1
_LONGEST_PACKET: Final = 1 << 16
_LONGEST_COMPLAINT: Final = 1 << 14
_REMEDY: Final = "Run `darner doctor`, which tells what this machine lacks."


class Zygote:
    """A running `sandbox.keeper.zygote`; ends when nothing refers to this object any more."""

    def __init__(self, interpreter: str, *, commands_as: int) -> None:
        """Start it, for sandboxes whose commands run as that user. Raises `SandboxUnavailable`."""
        _take_all_descriptors()
        complaints = os.memfd_create("complaints")
        ours, theirs = wire.pair()
        with theirs, ExitStack() as stack:
            try:
                program = stack.enter_context(_unchangeable(interpreter, commands_as))
                popen = subprocess.Popen(
                    (interpreter, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, _PACKAGES, str(theirs.fileno())),
                    executable=f"/proc/self/fd/{program}",
                    # The linker's work is done once, not by each process that is forked later.
                    env={"LD_BIND_NOW": "1"},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    pass_fds=(theirs.fileno(), program),
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                os.close(complaints)
                raise SandboxUnavailable(
                    f"{interpreter} could not be started: {error.strerror}.",
                    remedy="Install Darner where the user of the service can run its Python.",
                ) from error
        self._popen = popen
        self._control = ours
        self._complaints = complaints
        weakref.finalize(self, _end, popen, ours, complaints)

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def fork_keeper(self, channel: socket.socket) -> None:
        """A new keeper serves this socket. Raises `OSError`."""
        wire.tell(self._control, {}, (channel.fileno(),))

    def fate(self) -> str | None:
        """How it ended and what it said last; None while it lives. May wait a second for that."""
        try:
            status = self._popen.wait(_SECONDS_TO_BE_REAPED)
        except subprocess.TimeoutExpired:
            return None
        said = os.pread(self._complaints, _LONGEST_COMPLAINT, 0).decode(errors="replace").strip()
        ended = _ended_with(128 - status if status < 0 else status)
        return f"{ended}: {said.splitlines()[-1]}" if said else ended


@dataclass(frozen=True, slots=True)
class Keeper:
    """One open sandbox's."""

    channel: socket.socket
    """Where commands are asked for."""
    pidfd: int
    tree: int
    """The checkout as the commands see it."""
    listener: int | None
    """A listening socket in the sandbox's network, if one was asked for."""

    def fate(self) -> str | None:
        """How it ended, as far as it or the kernel tells; None while it lives. Its words are told once."""
        try:
            # After `ready` it has nothing to say but its last words.
            said = self.channel.recv(_LONGEST_PACKET, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            said = b""
        if said:
            return str(wire.parsed(said)["failed"])
        status = syscalls.exit_status(self.pidfd)
        return "it has ended" if status is None else _ended_with(status)


@asynccontextmanager
async def open_keeper(zygote: Zygote, request: wire.Message) -> AsyncIterator[Keeper]:
    """A keeper that has built what `request` says; gone, with all below it, when the context ends.

    Raises `SandboxUnavailable` when it could not.
    """
    ours, theirs = wire.pair()
    with ours:
        with theirs:
            try:
                zygote.fork_keeper(theirs)
                wire.ask(ours, request)
            except OSError as error:
                # A broken pipe is told as what it comes of.
                fate = await asyncio.to_thread(zygote.fate) if error.errno == errno.EPIPE else None
                why = _of_the_zygote(fate) if fate else error.strerror
                raise SandboxUnavailable(
                    f"The sandbox could not be asked for: {why}.", remedy=_REMEDY
                ) from error
        await readable(ours.fileno())
        keeper = await _built(ours, zygote)
        try:
            yield keeper
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(keeper.pidfd, signal.SIGKILL)
            for descriptor in (keeper.tree, keeper.listener):
                if descriptor is not None:
                    os.close(descriptor)
            try:
                await insist(partial(readable, keeper.pidfd))
            finally:
                os.close(keeper.pidfd)


async def _built(channel: socket.socket, zygote: Zygote) -> Keeper:
    try:
        message, descriptors = wire.hear(channel)
    except ConnectionResetError:
        message, descriptors = None, []
    if message is None or not message.get("ready"):
        if message is None:
            fate = await asyncio.to_thread(zygote.fate)
            reason = _of_the_zygote(fate) if fate else "its keeper was ended from outside"
        else:
            reason = message["failed"]
        raise SandboxUnavailable(f"The sandbox could not be built: {reason}.", remedy=_REMEDY)
    pidfd, tree, *listener = descriptors
    return Keeper(channel, pidfd, tree, listener[0] if listener else None)


def _of_the_zygote(fate: str) -> str:
    return f"the process that keepers are forked from {fate}"


def _ended_with(status: int) -> str:
    return f"was ended by signal {status - 128}" if status > 128 else f"ended with status {status}"


def _end(popen: "subprocess.Popen[bytes]", control: socket.socket, complaints: int) -> None:
    control.close()
    os.close(complaints)
    try:
        popen.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


async def start_zygote(interpreter: str, *, commands_as: int) -> Zygote:
    """As `Zygote`, away from the event loop."""
    return await asyncio.to_thread(Zygote, interpreter, commands_as=commands_as)


def _take_all_descriptors() -> None:
    """Have as many open as this process, and the keepers after it, may: see `sandbox.inside.open_files`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _unchangeable(program: str, user: int) -> Iterator[int]:
    """A descriptor of the program's file, or of a sealed copy in memory if that user could change the file.

    A command can get hold of the file that its ancestors run: see `sandbox.keeper.command`.
    """
    with Path(program).open("rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != user and not status.st_mode & _WRITABLE_BY_OTHERS:
            yield file.fileno()
            return
        copy = os.memfd_create("keeper", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            while os.sendfile(copy, file.fileno(), None, status.st_size):
                pass
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _ALL_SEALS)
            # Executed by way of another descriptor: one that could write would be in the way.
            reading = os.open(f"/proc/self/fd/{copy}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(copy)
        try:
            yield reading
        finally:
            os.close(reading)
