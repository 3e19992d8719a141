"""What overlayfs wrote for a turn, as the list of where its tree may differ: nothing else is looked at.

The list comes from the upper directory; what is really there is then read through the merged tree, so nothing
that an agent could plant among overlayfs' own marks is ever taken for content. At worst more is compared.
https://docs.kernel.org/filesystems/overlayfs.html
"""

import asyncio
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sandbox.checkout.commit_tree import CommitTree, joined
from sandbox.checkout.compare import Differences, broken
from sandbox.checkout.ignored import IgnoreRules
from sandbox.files import is_git_name
from sandbox.result import (
    GITLINK,
    MAX_DEPTH,
    MAX_ENTRIES,
    ResultRefused,
    Stamp,
    is_empty_directory,
    open_below,
    opened,
    stamp_of,
)

_MARKS: Final = ("trusted.overlay.", "user.overlay.")
"""Of a service that is root, and of an ordinary user."""
_GIT_DIRECTORY: Final = "a git directory, or something that some systems take for one"


class _Place(NamedTuple):
    """A directory to look into: in the upper one, or, where that does not tell all, in the merged tree."""

    path: bytes
    is_merged: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    path: bytes
    kind: Literal["whiteout", "directory", "file"]
    stamp: Stamp
    hides_lower: bool = False
    """A directory below which nothing of the lower one is left, but for what it holds itself."""
    is_merged: bool = False
    """A directory whose contents only the merged tree tells: it was renamed, or lies in one that was."""
    is_empty: bool = False


async def walk_upper(upper: Path, merged: int, base: CommitTree, rules: IgnoreRules) -> Differences:
    """Where the tree `merged` may differ from `base`. Raises `ResultRefused` if there is no end to it."""
    with opened(upper) as root:
        return await _Walk(root, merged, base, rules).run()


class _Walk:
    def __init__(self, upper: int, merged: int, base: CommitTree, rules: IgnoreRules) -> None:
        self._roots = (upper, merged)
        self._base = base
        self._rules = rules
        self._found = Differences()
        self._entries = 0

    async def run(self) -> Differences:
        waiting = [_Place(b"", is_merged=False)]
        while waiting:
            entries = await asyncio.to_thread(self._list, waiting)
            strange: list[_Place] = []
            waiting = []
            for entry in entries:
                if (place := await self._sort(entry)) is not None:
                    is_known = await self._base.is_directory(place.path)
                    (waiting if is_known else strange).append(place)
            ignored = await self._rules.ignored([place.path + b"/" for place in strange])
            entered = [place for place in strange if place.path + b"/" not in ignored]
            self._found.directories += [place.path for place in entered]
            waiting += entered
        ignored = await self._rules.ignored(self._found.strangers)
        self._found.strangers = [path for path in self._found.strangers if path not in ignored]
        return self._found

    async def _sort(self, entry: _Entry) -> _Place | None:
        """Note what the entry may have changed; tell the directory to go on with."""
        path = entry.path
        known = await self._base.file(path)
        if entry.kind == "directory":
            if is_git_name(os.fsdecode(path.rpartition(b"/")[2])):
                if not (path == b".git" and entry.is_empty):  # else the mount point of the read-only view
                    self._found.problems.append(broken(path, "add", _GIT_DIRECTORY))
                return None
            if known is not None and known.mode != GITLINK:
                self._found.suspects[path] = known
            if entry.hides_lower:
                self._found.suspects.update(await self._base.below(path))
            if path.count(b"/") >= MAX_DEPTH:
                self._found.problems.append(
                    broken(path, "add", f"nested deeper than {MAX_DEPTH} directories")
                )
                return None
            return _Place(path, entry.is_merged)
        if known is None:
            self._found.suspects.update(await self._base.below(path))
        elif known.mode != GITLINK or entry.kind != "whiteout":
            self._found.suspects[path] = known
            self._found.stamps[path] = entry.stamp
        if entry.kind == "file" and known is None and not (path == b".git" and entry.is_empty):
            self._found.strangers.append(path)
            self._found.stamps[path] = entry.stamp
        return None

    def _list(self, places: Sequence[_Place]) -> list[_Entry]:
        found: list[_Entry] = []
        for place in places:
            try:
                found += self._list_one(place)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    continue
                problem = f"a directory that cannot be read: {error.strerror or error}"
                self._found.problems.append(broken(place.path, "add", problem))
        return found

    def _list_one(self, place: _Place) -> Iterator[_Entry]:
        root = self._roots[place.is_merged]
        flags = os.O_RDONLY | os.O_DIRECTORY
        descriptor = os.dup(root) if place.path == b"" else open_below(root, place.path, flags)
        try:
            with os.scandir(descriptor) as listed:
                names = [entry.name for entry in listed]
            self._entries += len(names)
            if self._entries > MAX_ENTRIES:
                raise ResultRefused(f"the turn wrote more than {MAX_ENTRIES} entries")
            for name in names:
                path = joined(place.path, os.fsencode(name))
                # What went away meanwhile is not there; the others are.
                with suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    yield _entry(path, status, place, descriptor, name)
        finally:
            os.close(descriptor)


def _entry(path: bytes, status: os.stat_result, place: _Place, directory: int, name: str) -> _Entry:
    stamp = stamp_of(status)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0 and not place.is_merged:
        return _Entry(path, "whiteout", stamp)
    if not stat.S_ISDIR(status.st_mode):
        return _Entry(path, "file", stamp, is_empty=status.st_size == 0 and stat.S_ISREG(status.st_mode))
    marks = set() if place.is_merged else _marks(directory, name)
    return _Entry(
        path,
        "directory",
        stamp,
        hides_lower=not marks.isdisjoint({"opaque", "redirect"}),
        is_merged=place.is_merged or "redirect" in marks,
        is_empty=path == b".git" and is_empty_directory(directory, path),
    )


def _marks(directory: int, name: str) -> set[str]:
    """The names of overlayfs' own attributes on a directory; one that an agent set costs only work."""
    try:
        attributes = os.listxattr(f"/proc/self/fd/{directory}/{name}", follow_symlinks=False)
    except OSError as error:
        # As an ordinary user one cannot ask of a directory without the right to read it.
        if error.errno in {errno.EACCES, errno.EPERM, errno.ENOENT}:
            return set()
        raise
    return {attribute.removeprefix(mark) for attribute in attributes for mark in _MARKS}
