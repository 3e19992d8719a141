"""One command in a container, from its start to its certain end. Never decides what it may do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.base import Ended, EndReason, Execution, Limits, SandboxUnavailable, StdinClosed
from sandbox.container.engine import Engine, EngineRefused, Stream
from sandbox.output import BoundedOutput
from sandbox.process import FLOOD_FACTOR, KILLED_STATUS, TIME_LIMIT_STATUS

_SHORTEST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5
_SECONDS_WITHOUT_OUTPUT: Final = 0.5
_SECONDS_TO_BEGIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command needs of its sandbox."""

    engine: Engine
    container: str
    clear: Callable[[int | None], Awaitable[None]]
    """End what the command has left; all of it, launcher included, when the launcher's number is given."""
    notices: Callable[[], tuple[str, ...]]


class ContainerProcess:
    """The `Process` that `launched` gives. Belongs to one event loop."""

    def __init__(
        self, execution: str, stream: Stream, around: Surroundings, *, tty: bool, limits: Limits
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._began_at = time.time_ns()
        self._execution = execution
        self._stream = stream
        self._around = around
        self._tty = tty
        self._limits = limits
        self._output = BoundedOutput(limits.output_bytes)
        self._printed = 0
        self._asked_to_end: asyncio.Future[EndReason] = self._loop.create_future()
        self._ended: asyncio.Future[Ended] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._reading = asyncio.create_task(self._read())
        self._life: asyncio.Task[None] | None = None
        self._launcher: int | None = None

    @property
    def is_over(self) -> bool:
        return self._ended.done()

    @property
    def wanted_memory(self) -> bool:
        """Whether it was ended for want of memory."""
        return self._ended.done() and self._ended.result().reason is EndReason.MEMORY

    async def wait(self, seconds: float) -> Ended | None:
        done, _ = await asyncio.wait((self._ended,), timeout=max(seconds, 0))
        return self._ended.result() if done else None

    def take_output(self) -> bytes:
        return self._output.take()

    def take_notices(self) -> tuple[str, ...]:
        return self._around.notices()

    def executions(self) -> tuple[Execution, ...]:
        """None: the Engine does not tell."""
        return ()

    async def write(self, data: bytes) -> None:
        if not self._tty:
            raise StdinClosed("the command was started without a terminal and takes no input")
        if self._ended.done():
            raise StdinClosed("the command has ended")
        writing = asyncio.ensure_future(self._stream.write(data))
        try:
            await asyncio.wait((writing, self._ended), return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                raise StdinClosed("the command has ended")
            writing.result()
        except ConnectionError as error:
            raise StdinClosed("the command has closed its terminal") from error
        finally:
            writing.cancel()

    async def kill(self) -> None:
        self.end(EndReason.KILLED)
        await self.gone()

    def end(self, reason: EndReason) -> None:
        """Ask for its end, which comes when the tree is gone."""
        if not self._asked_to_end.done():
            self._asked_to_end.set_result(reason)

    async def gone(self) -> None:
        """Return when it is over, through cancellation too."""
        cancelled: asyncio.CancelledError | None = None
        while not self._ended.done():
            try:
                await asyncio.wait((self._ended,))
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def begin(self, wall_seconds: float) -> None:
        """Return when it runs. Raises `SandboxUnavailable` when the Engine could not start it."""
        deadline = self._loop.time() + _SECONDS_TO_BEGIN
        pause = _SHORTEST_PAUSE
        while True:
            state = await self._state()
            if state["Pid"]:
                break
            if state["ExitCode"] is not None or self._loop.time() > deadline:
                await self._drained()
                words = self._output.take().decode(errors="replace").strip() or "it gave no reason"
                raise SandboxUnavailable(
                    f"The Docker Engine could not start the command: {words}.",
                    remedy="Run `darner doctor`, which tells what this machine lacks.",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._launcher = state["Pid"]
        self._timer = self._loop.call_later(wall_seconds, self.end, EndReason.WALL_TIME)
        self._life = asyncio.create_task(self._live())

    async def give_up(self) -> None:
        """For a command that `begin` did not start."""
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        self._stream.close()
        if not self._ended.done():
            self._ended.set_result(self._end_of(None, EndReason.KILLED))

    async def _live(self) -> None:
        status: int | None = None
        try:
            status = await self._own_end_if_known()
            await self._around.clear(self._launcher if status is None else None)
            await self._drained()
        except (EngineRefused, SandboxUnavailable):
            # The container is gone, and everything with it; or the Engine is, and nothing more can be done.
            self.end(EndReason.KILLED)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._reading.cancel()
            await asyncio.wait((self._reading,))
            self._stream.close()
            reason = self._asked_to_end.result() if self._asked_to_end.done() else EndReason.EXITED
            self._ended.set_result(self._end_of(status, reason))

    async def _own_end_if_known(self) -> int | None:
        """As `_own_end`. What an Engine says nothing of any more is ended, whatever it does."""
        try:
            return await self._own_end()
        except (EngineRefused, SandboxUnavailable):
            self.end(EndReason.KILLED)
            return None

    async def _own_end(self) -> int | None:
        """The exit status; None when it is to be ended before that."""
        pause = _SHORTEST_PAUSE
        while True:
            # The output mostly ends with the command, but a process left behind may hold it open.
            ends: list[asyncio.Future[Any]] = [self._asked_to_end]
            if not self._reading.done():
                ends.append(self._reading)
            await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if self._asked_to_end.done():
                return None
            state = await self._state()
            if not state["Running"]:
                status: int = state["ExitCode"]
                if status == KILLED_STATUS:
                    await self._find_out_who_killed()
                return status
            pause = _SHORTEST_PAUSE if self._reading.done() else min(pause * 2, _LONGEST_PAUSE)

    async def _drained(self) -> None:
        """Return when all output has come. Now and then an Engine forgets to tell that it has."""
        printed = -1
        while printed != self._printed and not self._reading.done():
            printed = self._printed
            await asyncio.wait((self._reading,), timeout=_SECONDS_WITHOUT_OUTPUT)

    async def _read(self) -> None:
        while data := await self._stream.read():
            self._output.append(data)
            self._printed += len(data)
            if self._printed > self._limits.output_bytes * FLOOD_FACTOR:
                self.end(EndReason.OUTPUT)
                return

    async def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = await self._around.engine.ask(lambda api: api.exec_inspect(self._execution))
        return state

    async def _find_out_who_killed(self) -> None:
        if await self._was_out_of_memory():
            self.end(EndReason.MEMORY)
        # Answers with an error when the whole container was ended.
        await self._around.engine.ask(lambda api: api.top(self._around.container))

    async def _was_out_of_memory(self) -> bool:
        """Whether the kernel ended a process of the container for want of memory since the command began."""
        wanted = {"container": self._around.container, "event": "oom"}
        since, until = self._began_at // 10**9, time.time_ns() // 10**9 + 1
        events = await self._around.engine.ask(
            lambda api: list(api.events(since=since, until=until, filters=wanted, decode=True))
        )
        return any(event["timeNano"] >= self._began_at for event in events)

    def _end_of(self, status: int | None, reason: EndReason) -> Ended:
        seconds = self._loop.time() - self._began
        match reason:
            case EndReason.EXITED if status is not None:
                return Ended(status, reason, seconds)
            case EndReason.WALL_TIME:
                return Ended(TIME_LIMIT_STATUS, reason, seconds)
            case _:
                return Ended(KILLED_STATUS, reason, seconds)


async def launched(
    settings: dict[str, Any], around: Surroundings, *, limits: Limits, wall_seconds: float
) -> ContainerProcess:
    """Start it; it runs when this returns. Not to be cancelled.

    Raises `SandboxUnavailable` and `EngineRefused`; nothing runs then.
    """
    engine = around.engine
    tty: bool = settings["tty"]
    made = await engine.ask(lambda api: api.exec_create(around.container, **settings))
    stream = await engine.start(made["Id"], tty=tty)
    process = ContainerProcess(made["Id"], stream, around, tty=tty, limits=limits)
    try:
        await process.begin(wall_seconds)
    except BaseException:
        await process.give_up()
        raise
    return process
