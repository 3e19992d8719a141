"""The commands of one open sandbox, as every driver keeps count of them. Starts and confines nothing."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from sandbox.base import EndReason, SandboxUnavailable


class Running(Protocol):
    """What is asked of a driver's own process."""

    @property
    def is_over(self) -> bool: ...

    def end(self, reason: EndReason) -> None:
        """Ask for its end."""
        ...

    async def kill(self) -> None:
        """End it, and wait until it is gone."""
        ...


P = TypeVar("P", bound=Running)


class Commands(Generic[P]):
    """Those that were started, until the sandbox is closed."""

    def __init__(self) -> None:
        self._started: set[P] = set()
        self._is_open = True

    def __iter__(self) -> Iterator[P]:
        return iter(self._started)

    @property
    def is_busy(self) -> bool:
        """Whether one is running."""
        return any(not process.is_over for process in self._started)

    def refuse_when_closed(self) -> None:
        """Raises `SandboxUnavailable`."""
        if not self._is_open:
            raise SandboxUnavailable("The sandbox is closed.", remedy="Open another one.")

    async def add(self, process: P) -> None:
        """Count a new one; if the sandbox was closed meanwhile, it ends at once."""
        if not self._is_open:
            await process.kill()
        self._started = {known for known in self._started if not known.is_over} | {process}

    def end_all(self, reason: EndReason) -> None:
        """Ask for the end of every one."""
        for process in self._started:
            process.end(reason)

    def close(self) -> None:
        """End all, and let none begin any more."""
        self._is_open = False
        self.end_all(EndReason.KILLED)
