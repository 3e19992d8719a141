"""One confined process tree, from its start to its certain end. Never decides what the tree may do.

A keeper of the sandbox starts it. What it and the tree's first process tell of the command, and nothing else,
comes through a socket of the command's own; the end of that first process is the end of the tree.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from sandbox import audit
from sandbox.base import (
    WORKSPACE,
    CommandRefused,
    Ended,
    EndReason,
    Execution,
    Limits,
    SandboxError,
    SandboxUnavailable,
    StdinClosed,
)
from sandbox.inside import open_files
from sandbox.keeper import wire
from sandbox.keepers import Keeper
from sandbox.output import BoundedOutput
from sandbox.waiting import insist, resolve

TIME_LIMIT_STATUS: Final = 124
"""What `timeout` answers."""
KILLED_STATUS: Final = 128 + signal.SIGKILL
FLOOD_FACTOR: Final = 16
"""A command is ended when it has printed so many times what is kept of it."""

_CHUNK: Final = 1 << 18
_MOST_IN_A_PIPE: Final = 1 << 20
"""Bytes; /proc/sys/fs/pipe-max-size lets nobody but root have more."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, and its bounds."""

    keeper: Keeper
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    workdir: str
    """As the command sees it."""
    protected: tuple[str, ...]
    """Below the checkout; shown read-only where they are there."""
    limits: Limits
    wall_seconds: float
    tty: bool
    owner: int | None
    """Whose the command's output is to be, for a service that is root."""
    memory_kills: Callable[[], int]
    """How many processes of the turn the kernel has ended for want of memory."""
    take_notices: Callable[[], tuple[str, ...]]
    is_audited: bool
    """Whether programs that it starts are noted."""


class ConfinedProcess:
    """The `Process` that `launch` gives. Belongs to one event loop."""

    def __init__(self, report: "_Report", pidfd: int, output: int, journal: int, *, launch: Launch) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._report = report
        self._first_process = pidfd
        self._output_end = output
        self._journal = journal
        self._executions: tuple[Execution, ...] = ()
        self._limits = launch.limits
        self._tty = launch.tty
        self._take_notices = launch.take_notices
        self._memory_kills = launch.memory_kills
        self._memory_kills_before = launch.memory_kills()
        self._output = BoundedOutput(launch.limits.output_bytes)
        self._printed = 0
        self._reason = EndReason.EXITED
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self._writing = asyncio.Lock()
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._read_output)
        # The first process of a PID namespace is gone only when every other process in it is.
        self._loop.add_reader(pidfd, self._finish)

    @property
    def is_over(self) -> bool:
        return self._ended.done()

    @property
    def reason(self) -> EndReason:
        """Why it is over, once it is."""
        return self._reason

    async def wait(self, seconds: float) -> Ended | None:
        done, _ = await asyncio.wait((self._ended,), timeout=max(seconds, 0))
        return self._ended.result() if done else None

    def take_output(self) -> bytes:
        return self._output.take()

    def take_notices(self) -> tuple[str, ...]:
        return self._take_notices()

    def executions(self) -> tuple[Execution, ...]:
        return self._executions if self.is_over else audit.executions(self._journal)

    async def write(self, data: bytes) -> None:
        if not self._tty:
            raise StdinClosed("the command was started without a terminal and takes no input")
        async with self._writing:
            remaining = memoryview(data)
            while remaining:
                remaining = remaining[await self._write_some(remaining) :]

    async def kill(self) -> None:
        self.end(EndReason.KILLED)
        await until_gone((self,))

    def end(self, reason: EndReason) -> None:
        """Send the kill. The end comes when the kernel has torn the tree down."""
        if self._ended.done():
            return
        if self._reason is EndReason.EXITED:
            self._reason = reason
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first_process, signal.SIGKILL)

    async def gone(self) -> None:
        await asyncio.wait((self._ended,))

    def begin_time_limit(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self.end, EndReason.WALL_TIME)

    async def _write_some(self, data: memoryview) -> int:
        while not self._ended.done():
            try:
                return os.write(self._output_end, data)
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                raise StdinClosed("the command has closed its terminal") from error
        raise StdinClosed("the command has ended")

    async def _writable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._output_end, resolve, ready)
        try:
            await asyncio.wait((ready, self._ended), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self._ended.done():
                self._loop.remove_writer(self._output_end)

    def _read_output(self) -> None:
        data = self._read_chunk()
        if data is None:
            return
        if not data:
            self._loop.remove_reader(self._output_end)
            return
        self._output.append(data)
        self._printed += len(data)
        if self._printed > self._limits.output_bytes * FLOOD_FACTOR:
            self.end(EndReason.OUTPUT)

    def _read_chunk(self) -> bytes | None:
        """What is there, empty at the end, None when there is nothing yet."""
        try:
            return os.read(self._output_end, _CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            # How the master of a terminal tells that nobody holds the other side any more (EIO).
            return b""

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Another command of the turn may have got hold of the pipe, and write on.
        left = _MOST_IN_A_PIPE
        while left > 0 and (data := self._read_chunk()):
            self._output.append(data)
            left -= len(data)
        for descriptor in (self._output_end, self._first_process):
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            os.close(descriptor)
        self._executions = audit.executions(self._journal)
        os.close(self._journal)
        self._report.finish()
        status = self._exit_status()
        seconds = self._loop.time() - self._began
        self._ended.set_result(Ended(status, self._reason, seconds))

    def _exit_status(self) -> int:
        match self._reason:
            case EndReason.WALL_TIME:
                return TIME_LIMIT_STATUS
            case EndReason.KILLED | EndReason.OUTPUT | EndReason.DISK | EndReason.MEMORY:
                return KILLED_STATUS
            case EndReason.EXITED:
                return self._own_exit_status()

    def _own_exit_status(self) -> int:
        status: int | None = self._report.heard.get("exit")
        if status in {KILLED_STATUS, None} and self._memory_kills() > self._memory_kills_before:
            self._reason = EndReason.MEMORY
        elif status is None:
            # Its first process, and with it all the others: the keeper is gone.
            self._reason = EndReason.KILLED
        return KILLED_STATUS if status is None else status


class _Report:
    """What is told of one command, by the keeper and by the command's first process, in any order."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._told = asyncio.Event()
        self.is_open = True
        self.heard: wire.Message = {}
        self.descriptors: list[int] = []
        asyncio.get_running_loop().add_reader(channel.fileno(), self._hear)

    async def until(self, word: str) -> bool:
        """Whether it was told; returns when it was, or when nothing more will be."""
        while word not in self.heard and self.is_open:
            self._told.clear()
            await self._told.wait()
        return word in self.heard

    def finish(self) -> None:
        """Hear what is left."""
        while self.is_open and self._hear():
            pass
        self._close()

    def _hear(self) -> bool:
        try:
            message, descriptors = wire.hear(self._channel)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            message, descriptors = None, []
        self.descriptors += descriptors
        if message is None:
            self._close()
        else:
            self.heard |= message
            self._told.set()
        return True

    def _close(self) -> None:
        if self.is_open:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self.is_open = False
            self._told.set()


async def launch(what: Launch) -> ConfinedProcess:
    """Start it and return when all that confines it holds and it is about to run.

    Raises `SandboxUnavailable` when it could not be confined, `CommandRefused` when the turn has no room for
    it; nothing has run then and nothing is left.
    """
    ours, theirs = wire.pair()
    ours.setblocking(False)
    report = _Report(ours)
    kills = what.memory_kills()
    with theirs:
        try:
            ends = _asked(what, theirs)
        except SandboxUnavailable:
            report.finish()
            raise
    try:
        # Not given up before: what was asked for comes, and must be ended then.
        await insist(partial(report.until, "born"))
    except asyncio.CancelledError:
        await _end_newborn(report, ends, what, kills)
        raise
    process = _born(report, ends, what, kills)
    try:
        is_ready = await report.until("ready")
    except asyncio.CancelledError:
        process.end(EndReason.KILLED)
        await until_gone((process,))
        raise
    if not is_ready:
        await until_gone((process,))
        raise _not_started(report, what, kills)
    process.begin_time_limit(what.wall_seconds)
    return process


class _Ends(NamedTuple):
    """Where words of the command will come."""

    journal: int
    """Of `sandbox.audit`."""
    output: int | None
    """None: from a terminal, which comes with the process."""


def _born(report: _Report, ends: _Ends, what: Launch, kills: int) -> ConfinedProcess:
    """Raises what `launch` does when there is no process."""
    if "born" not in report.heard:
        report.finish()
        _close(ends)
        raise _not_started(report, what, kills)
    pidfd, *master = report.descriptors
    output = master[0] if ends.output is None else ends.output
    return ConfinedProcess(report, pidfd, output, ends.journal, launch=what)


async def _end_newborn(report: _Report, ends: _Ends, what: Launch, kills: int) -> None:
    with contextlib.suppress(SandboxError):
        process = _born(report, ends, what, kills)
        process.end(EndReason.KILLED)
        await until_gone((process,))


async def until_gone(processes: Iterable[ConfinedProcess]) -> None:
    """Wait for ends that were asked for, through cancellation too: a killed tree takes milliseconds to go."""
    await insist(*(process.gone for process in processes))


def _asked(what: Launch, channel: socket.socket) -> _Ends:
    """Ask the keeper for it. Raises `SandboxUnavailable`."""
    request: wire.Message = {
        "argv": what.argv,
        "environment": dict(what.environment),
        "root": WORKSPACE,
        "workdir": what.workdir,
        "protected": what.protected,
        "limits": _resource_limits(what.limits),
        "tty": what.tty,
        "audit": what.is_audited,
    }
    journal = audit.new_journal()
    reading, writing = (None, None) if what.tty else os.pipe()
    if writing is not None and what.owner is not None:
        # It is opened anew by way of /dev/stdout.
        os.fchown(writing, what.owner, what.owner)
    ends = _Ends(journal, reading)
    try:
        told = (channel.fileno(), journal, *(() if writing is None else (writing,)))
        wire.ask(what.keeper.channel, request, told)
    except OSError as error:
        _close(ends)
        why = what.keeper.fate() or error.strerror
        raise SandboxUnavailable(
            f"The sandbox's keeper is gone: {why}.", remedy="Open another sandbox."
        ) from error
    finally:
        if writing is not None:
            os.close(writing)
    return ends


def _close(ends: _Ends) -> None:
    for descriptor in ends:
        if descriptor is not None:
            os.close(descriptor)


def _not_started(report: _Report, what: Launch, kills: int) -> SandboxError:
    """`kills`: how many processes of the turn had died for want of memory before."""
    full: str | None = report.heard.get("full")
    if full is None and what.memory_kills() > kills:
        # Perhaps the keeper itself: where only files take the memory there is nobody else to end.
        full = "memory"
    if full is not None:
        # Not the machine's fault: whoever asked for the command can do something about it.
        return CommandRefused(f"the limit on {full} leaves no room for it; end what is running first")
    told: str | None = report.heard.get("failed")
    fate = None if told else what.keeper.fate()
    return SandboxUnavailable(
        "The command could not be confined: "
        f"{told or (fate and f'the keeper {fate}') or 'its first process was ended from outside'}.",
        remedy="Run `darner doctor`, which tells what this machine lacks.",
    )


def _resource_limits(limits: Limits) -> tuple[tuple[int, int], ...]:
    return (
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        # Not RLIMIT_AS: V8, Go and the sanitizers reserve far more addresses than they ever use.
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, open_files()),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_NICE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    )
