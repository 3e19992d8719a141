"""Bounds the memory, processors and processes of a turn as a whole, where control groups can be written.

Never required: without them each process is still bounded, and the service's own container bounds the sum.
"""

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from sandbox.base import Limits

_PREFIX: Final = "darner-"
_REMOVAL_TRIES: Final = 400
_REMOVAL_PAUSE: Final = 0.005
_MEMORY_EVENTS: Final = {1: "memory.oom_control", 2: "memory.events"}
CONTROLLERS: Final = frozenset({"cpu", "memory", "pids"})
_CPU_PERIOD: Final = 100_000
"""Microseconds; the kernel's own default."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A control group of the service's in which it may make others."""

    version: Literal[1, 2]
    controllers: frozenset[str]
    directory: Path


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of one turn. Its keeper joins them once; what it starts is born in them.

    That is why: moving a process makes every processor wait for the others, some milliseconds.
    """

    directories: tuple[Path, ...] = ()
    memory_events: Path | None = None
    """Where the kernel counts what it had to do for want of memory."""

    def memory_kills(self) -> int:
        """How many processes the kernel has ended here for want of memory, where it tells."""
        if self.memory_events is None:
            return 0
        with suppress(OSError):
            for line in self.memory_events.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0


def writable_hierarchies(proc: Path = Path("/proc/self")) -> tuple[Hierarchy, ...]:
    """Where this service may bound a turn as a whole; empty where it may not."""
    own = dict(_own_groups((proc / "cgroup").read_text(encoding="utf-8")))
    found: list[Hierarchy] = []
    for line in (proc / "mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, point = before.split(" ")[3:5]
        if kind == "cgroup2" and "" in own:
            found += _v2(Path(point), _below(root, own[""]))
        elif kind == "cgroup":
            for controller in sorted(CONTROLLERS & set(options.split(",")) & own.keys()):
                directory = Path(point) / _below(root, own[controller])
                if os.access(directory, os.W_OK):
                    found.append(Hierarchy(1, frozenset({controller}), directory))
    return tuple(found)


def make_group(hierarchies: Sequence[Hierarchy], limits: Limits) -> Group:
    """New groups for one turn. Raises `OSError` when one cannot be made; then none is left."""
    made: list[Path] = []
    memory_events: Path | None = None
    try:
        for hierarchy in hierarchies:
            directory = _new_directory(hierarchy.directory)
            made.append(directory)
            _bound(hierarchy, directory, limits)
            if "memory" in hierarchy.controllers:
                memory_events = directory / _MEMORY_EVENTS[hierarchy.version]
    except OSError:
        for directory in made:
            with suppress(OSError):
                directory.rmdir()
        raise
    return Group(tuple(made), memory_events)


def remove_group(group: Group) -> None:
    """Remove the groups of a turn that is over. May wait: the kernel tells of an end before it is one."""
    for directory in group.directories:
        for _ in range(_REMOVAL_TRIES):
            try:
                directory.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(_REMOVAL_PAUSE)
            else:
                break


def sweep(hierarchies: Iterable[Hierarchy]) -> None:
    """Remove what services that were killed have left. Only empty groups can be removed at all."""
    for hierarchy in hierarchies:
        for directory in hierarchy.directory.glob(f"{_PREFIX}*-*"):
            owner = directory.name.removeprefix(_PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                with suppress(OSError):
                    directory.rmdir()


def _new_directory(parent: Path) -> Path:
    for number in itertools.count():
        directory = parent / f"{_PREFIX}{os.getpid()}-{number}"
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise AssertionError("counting has no end")


def _bound(hierarchy: Hierarchy, directory: Path, limits: Limits) -> None:
    if "pids" in hierarchy.controllers:
        _write(directory / "pids.max", limits.processes)
    if "cpu" in hierarchy.controllers:
        quota = int(limits.cpus * _CPU_PERIOD)
        if hierarchy.version == 1:
            _write(directory / "cpu.cfs_period_us", _CPU_PERIOD)
            _write(directory / "cpu.cfs_quota_us", quota)
        else:
            _write(directory / "cpu.max", f"{quota} {_CPU_PERIOD}")
    if "memory" not in hierarchy.controllers:
        return
    if hierarchy.version == 1:
        _write(directory / "memory.limit_in_bytes", limits.memory_bytes)
        # Absent when the kernel does not count swap.
        with suppress(FileNotFoundError):
            _write(directory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        return
    _write(directory / "memory.max", limits.memory_bytes)
    with suppress(FileNotFoundError):
        _write(directory / "memory.swap.max", 0)


def _v2(point: Path, own: PurePosixPath) -> Iterator[Hierarchy]:
    """The group above ours, or ours, when it was delegated: https://systemd.io/CGROUP_DELEGATION/.

    A group that holds processes cannot be divided, so a unit needs `Delegate=yes` with `DelegateSubgroup=`.
    """
    for directory in dict.fromkeys((point / own.parent, point / own)):
        control = directory / "cgroup.subtree_control"
        with suppress(OSError):
            offered = set((directory / "cgroup.controllers").read_text(encoding="ascii").split())
            wanted = CONTROLLERS & offered
            if not wanted or not _is_delegated(directory):
                continue
            control.write_text(" ".join(f"+{name}" for name in sorted(wanted)), encoding="ascii")
            yield Hierarchy(2, frozenset(wanted), directory)
            return


def _is_delegated(directory: Path) -> bool:
    """Whether it is ours to divide. Root could write anywhere, and must not reorganise the host."""
    if os.geteuid() != 0:
        return os.access(directory, os.W_OK)
    for attribute in ("trusted.delegate", "user.delegate"):
        with suppress(OSError):
            if os.getxattr(directory, attribute) == b"1":
                return True
    return False


def _own_groups(text: str) -> Iterator[tuple[str, PurePosixPath]]:
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, PurePosixPath(path)


def _below(root: str, path: PurePosixPath) -> PurePosixPath:
    """The group's place under a mount point that shows the hierarchy from `root` on."""
    with suppress(ValueError):
        return path.relative_to(root)
    return PurePosixPath()


def _write(path: Path, value: int | str) -> None:
    path.write_text(str(value), encoding="ascii")
