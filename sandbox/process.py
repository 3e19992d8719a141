"""One confined process tree, from its start to its certain end. Never decides what the tree may do.

`launch` starts bubblewrap and uses three of its features, so that nothing has to run between fork and exec:

- the status descriptor names the sandbox's first process, which gets its resource limits from outside;
- that process waits on the block descriptor until the limits hold, after all its mounts were made;
- closing that descriptor is how the sandbox tells that it was built: an end before that is not the command's.

Starting and limiting happen in the sandbox's `Starter`, whose user may differ from the service's.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import resource
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sandbox.base import Ended, EndReason, Execution, Limits, SandboxUnavailable, StdinClosed
from sandbox.cgroups import Group
from sandbox.output import BoundedOutput
from sandbox.starter import Starter

TIME_LIMIT_STATUS: Final = 124
"""What `timeout` answers."""
NOT_FOUND_STATUS: Final = 127
KILLED_STATUS: Final = 128 + signal.SIGKILL

_CHUNK: Final = 1 << 18
_FLOOD_FACTOR: Final = 16
_OPEN_FILES: Final = 65_536
_TERMINAL_SIZE: Final = struct.pack("HHHH", 24, 80, 0, 0)


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start, and its bounds."""

    starter: Starter
    program: str
    """bubblewrap."""
    options: tuple[str, ...]
    """bubblewrap's; handed over by descriptor, so that neither their number nor their length matters."""
    argv: tuple[str, ...]
    """The command inside."""
    descriptors: tuple[int, ...]
    """Named in `options`; bubblewrap closes them."""
    filter_program: bytes
    limits: Limits
    wall_seconds: float
    tty: bool
    terminal_owner: int | None
    """Who the terminal is given to, when that is not the service's own user."""
    group: Group


class ConfinedProcess:
    """The `Process` that `launch` gives. Belongs to one event loop."""

    def __init__(self, popen: "subprocess.Popen[bytes]", output: int, status: int, *, launch: Launch) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._popen = popen
        self._output_end = output
        self._status_end = status
        self._limits = launch.limits
        self._tty = launch.tty
        self._output = BoundedOutput(launch.limits.output_bytes)
        self._printed = 0
        self._status = bytearray()
        self._reason = EndReason.EXITED
        self._timer: asyncio.TimerHandle | None = None
        self._outer = os.pidfd_open(popen.pid)
        self._init: int | None = None
        self.first_process: int | None = None
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self._writing = asyncio.Lock()
        os.set_blocking(output, False)
        os.set_blocking(status, False)
        self._loop.add_reader(output, self._read_output)
        self._loop.add_reader(self._outer, self._outer_exited)

    @property
    def is_over(self) -> bool:
        return self._ended.done()

    async def wait(self, seconds: float) -> Ended | None:
        done, _ = await asyncio.wait((self._ended,), timeout=max(seconds, 0))
        return self._ended.result() if done else None

    def take_output(self) -> bytes:
        return self._output.take()

    def take_notices(self) -> tuple[str, ...]:
        return ()

    def executions(self) -> tuple[Execution, ...]:
        return ()

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
        for descriptor in (self._init, self._outer):
            if descriptor is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    async def meet_first_process(self) -> None:
        """Wait until bubblewrap tells of the sandbox's first process, or gives up before there is one."""
        while b"\n" not in self._status:
            await _readable(self._loop, self._status_end)
            if not self._read_status():
                return
        first_line, _, _ = self._status.partition(b"\n")
        pid: int = json.loads(first_line)["child-pid"]
        with contextlib.suppress(ProcessLookupError):
            self._init = os.pidfd_open(pid)
            self.first_process = pid

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
        self._loop.add_writer(self._output_end, _resolve, ready)
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
        if self._printed > self._limits.output_bytes * _FLOOD_FACTOR:
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

    def _read_status(self) -> bool:
        try:
            data = os.read(self._status_end, 4096)
        except BlockingIOError:
            return True
        self._status += data
        return bool(data)

    def _outer_exited(self) -> None:
        self._loop.remove_reader(self._outer)
        self._popen.poll()
        if self._init is None:
            self._finish()
            return
        # The first process of a PID namespace is gone only when every other process in it is.
        self._loop.add_reader(self._init, self._finish)

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while data := self._read_chunk():
            self._output.append(data)
        while self._read_status():
            pass
        for descriptor in (self._output_end, self._status_end, self._outer, self._init):
            if descriptor is not None:
                self._loop.remove_reader(descriptor)
                self._loop.remove_writer(descriptor)
                os.close(descriptor)
        seconds = self._loop.time() - self._began
        self._ended.set_result(Ended(self._exit_status(), self._reason, seconds))

    def _exit_status(self) -> int:
        match self._reason:
            case EndReason.WALL_TIME:
                return TIME_LIMIT_STATUS
            case EndReason.KILLED | EndReason.OUTPUT | EndReason.DISK | EndReason.MEMORY:
                return KILLED_STATUS
            case EndReason.EXITED:
                return self._own_exit_status()

    def _own_exit_status(self) -> int:
        for line in self._status.splitlines():
            status: int | None = json.loads(line).get("exit-code")
            if status is not None:
                return status
        # bubblewrap tells an exit status only of a program that could be executed.
        code = self._popen.returncode
        return 128 - code if code < 0 else NOT_FOUND_STATUS


async def launch(what: Launch) -> ConfinedProcess:
    """Start it and return when the sandbox is built and the command is about to run.

    Raises `SandboxUnavailable` when it could not be built; nothing has run then and nothing is left.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours:
        with theirs:
            process = _spawn(what, theirs.fileno())
        try:
            await _build(process, ours, what=what)
        except BaseException:
            process.end(EndReason.KILLED)
            await until_gone((process,))
            raise
    process.begin_time_limit(what.wall_seconds)
    return process


async def until_gone(processes: Iterable[ConfinedProcess]) -> None:
    """Wait for ends that were asked for, through cancellation too: a killed tree takes milliseconds to go."""
    await _insist(*(process.gone for process in processes))


async def _insist(*attempts: Callable[[], Awaitable[object]]) -> None:
    cancelled: asyncio.CancelledError | None = None
    for attempt in attempts:
        while True:
            try:
                await attempt()
            except asyncio.CancelledError as error:
                cancelled = error
            else:
                break
    if cancelled is not None:
        raise cancelled


async def _build(process: ConfinedProcess, block: socket.socket, *, what: Launch) -> None:
    # Not given up before this: were bubblewrap killed between making that process and its asking to die
    # together, it would stay for ever.
    await _insist(process.meet_first_process)
    pid = process.first_process
    if pid is None:
        await _raise_unavailable(process)
        return
    try:
        if not _is_open(block):
            await _raise_unavailable(process)
        what.starter.call(partial(_limit, pid, what.limits))
        _volunteer_for_memory_shortage(pid)
        if what.group.of_processes:
            await asyncio.to_thread(what.group.take_process, pid)
        block.send(b"1")
        # The end of file comes when the byte was read and the descriptor closed: the sandbox is built. When
        # it is closed with the byte unread, the sandbox was not.
        await asyncio.get_running_loop().sock_recv(block, 1)
    except (BrokenPipeError, ConnectionResetError, ProcessLookupError):
        await _raise_unavailable(process)


async def _raise_unavailable(process: ConfinedProcess) -> None:
    """Tell bubblewrap's own reason."""
    await process.wait(5)
    reason = process.take_output().decode(errors="replace").strip() or "bubblewrap ended without a word"
    raise SandboxUnavailable(
        f"The sandbox could not be built: {reason}.",
        remedy="Run `darner doctor`, which tells what this machine lacks.",
    )


def _spawn(what: Launch, block: int) -> ConfinedProcess:
    status_read, status_write = os.pipe()
    output_read, output_write = pty.openpty() if what.tty else os.pipe()
    if what.tty:
        fcntl.ioctl(output_write, termios.TIOCSWINSZ, _TERMINAL_SIZE)
        if what.terminal_owner is not None:
            os.fchown(output_write, what.terminal_owner, -1)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, status_write)
        stack.callback(os.close, output_write)
        program = stack.enter_context(_in_memory(what.filter_program))
        handed = ("--json-status-fd", status_write, "--block-fd", block, "--seccomp", program)
        options = (*what.options, *map(str, handed))
        args = stack.enter_context(_in_memory(b"".join(os.fsencode(option) + b"\0" for option in options)))
        try:
            popen = what.starter.call(
                lambda: subprocess.Popen(
                    (what.program, "--args", str(args), "--", *what.argv),
                    # Also what the sandbox's first process shows as /proc/1/environ.
                    env={"PATH": "/usr/bin:/bin"},
                    cwd="/",
                    stdin=output_write if what.tty else subprocess.DEVNULL,
                    stdout=output_write,
                    stderr=output_write,
                    pass_fds=(*what.descriptors, status_write, block, program, args),
                    start_new_session=True,
                    umask=0o022,
                )
            )
        except OSError as error:
            os.close(output_read)
            os.close(status_read)
            raise SandboxUnavailable(
                f"{what.program} could not be started: {error.strerror}.",
                remedy="Run `darner doctor`, which tells what this machine lacks.",
            ) from error
    return ConfinedProcess(popen, output_read, status_read, launch=what)


def _limit(pid: int, limits: Limits) -> None:
    wanted = (
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        # Not RLIMIT_AS: V8, Go and the sanitizers reserve far more addresses than they ever use.
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_RTPRIO, 0),
        (resource.RLIMIT_NICE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    )
    for what, most in wanted:
        _, hard = resource.prlimit(pid, what)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.prlimit(pid, what, (bound, bound))


def _volunteer_for_memory_shortage(pid: int) -> None:
    """When the machine has no memory left, this tree is to go and not the service."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")


def _is_open(block: socket.socket) -> bool:
    try:
        return bool(block.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True


async def _readable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _resolve(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("darner")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
