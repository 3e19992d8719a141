"""Tells whose the processes of a container are, and ends those of one command. Starts nothing.

The Engine cannot end what it has started with `exec`. So each command runs below a launcher of its own, which
inherits the children that lose their parent (a subreaper): every process hangs below the launcher of the
command that started it, or, when that launcher is gone, below the container's first process. Processes cannot
move below another launcher. What hangs below the first process, other than the one it was made to keep, is a
straggler: https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html

All are stopped while they are looked at: a process that forks and ends all the time would never be met.
"""

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECONDS_TO_STOP: Final = 5.0
_SECONDS_TO_END: Final = 10.0
_PAUSE: Final = 0.001
_LOOKS: Final = 50


@dataclass(frozen=True, slots=True)
class Keepers:
    """What a container consists of while no command runs."""

    first: int
    """Its first process, by the host's numbers, as all here."""
    others: frozenset[int]


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The control group of a container, where the service is root on the Engine's machine."""

    directory: Path
    version: int

    @classmethod
    def of(cls, first: int, container: str) -> "ControlGroup | None":
        """None where the service may not stop and end the container's processes."""
        if os.geteuid() != 0:
            return None
        try:
            lines = Path(f"/proc/{first}/cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        paths = {name: path for line in lines for names, path in [_parted(line)] for name in names}
        for kind, point, options in _mounts():
            if kind == "cgroup" and "freezer" in options and container in paths.get("freezer", ""):
                return cls(Path(point + paths["freezer"]), 1)
            if kind == "cgroup2" and "freezer" not in paths and container in paths.get("", ""):
                return cls(Path(point + paths[""]), 2)
        return None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nothing of the container runs meanwhile. For one at a time. Raises `OSError` and `TimeoutError`."""
        try:
            deadline = time.monotonic() + _SECONDS_TO_STOP
            while not self._stops():
                if time.monotonic() > deadline:
                    raise TimeoutError("the container's processes do not stop")
                # Who starts a program waits for its own threads, and who looks at it waits for it: those
                # cannot be stopped after what they wait for.
                self.go_on()
                time.sleep(_PAUSE)
            yield
        finally:
            self.go_on()

    def go_on(self) -> None:
        """Let what was stopped run. Raises `OSError`."""
        self._write("THAWED" if self.version == 1 else "0")

    def processes(self) -> dict[int, int]:
        """Those alive, each with its parent."""
        found: dict[int, int] = {}
        for word in (self.directory / "cgroup.procs").read_text(encoding="ascii").split():
            with suppress(OSError):
                status = Path(f"/proc/{word}/stat").read_text(encoding="utf-8", errors="replace")
                # After the name, which may contain anything.
                state, parent = status.rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    found[int(word)] = int(parent)
        return found

    def _stops(self) -> bool:
        self._write("FROZEN" if self.version == 1 else "1")
        for _ in range(_LOOKS):
            if self._is_stopped():
                return True
            time.sleep(_PAUSE)
        return False

    def _write(self, word: str) -> None:
        name = "freezer.state" if self.version == 1 else "cgroup.freeze"
        (self.directory / name).write_text(word, encoding="ascii")

    def _is_stopped(self) -> bool:
        if self.version == 1:
            state = (self.directory / "freezer.state").read_text(encoding="ascii")
            return state.strip() == "FROZEN"
        events = (self.directory / "cgroup.events").read_text(encoding="ascii")
        return "frozen 1" in events.splitlines()


def doomed(parents: Mapping[int, int], keepers: Keepers, launcher: int | None = None) -> set[int]:
    """The stragglers among processes (each with its parent), and the whole command of `launcher`."""
    return {
        process
        for process in parents
        if process != keepers.first
        and process not in keepers.others
        and _top(process, parents, keepers.first) in {keepers.first, launcher}
    }


def end_doomed(group: ControlGroup, keepers: Keepers, launcher: int | None = None) -> None:
    """Kill them all at one moment and wait until they are gone. Raises `OSError` and `TimeoutError`."""
    ends: list[int] = []
    with ExitStack() as stack:
        with group.stopped():
            for process in doomed(group.processes(), keepers, launcher):
                with suppress(ProcessLookupError):
                    end = os.pidfd_open(process)
                    stack.callback(os.close, end)
                    signal.pidfd_send_signal(end, signal.SIGKILL)
                    ends.append(end)
        _wait_for(ends)


def _wait_for(ends: list[int]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_END
    for end in ends:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError("killed processes do not end")


def _top(process: int, parents: Mapping[int, int], first: int) -> int:
    """The launcher above it, or the first process. A launcher's own parent is not of the container."""
    while process != first and parents[process] in parents:
        process = parents[process]
    return process


def _parted(line: str) -> tuple[list[str], str]:
    _, controllers, path = line.split(":", 2)
    return controllers.split(","), path


def _mounts() -> Iterator[tuple[str, str, list[str]]]:
    """The control group hierarchies: kind, mount point and options."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind.startswith("cgroup"):
            yield kind, before.split(" ")[4], options.split(",")
