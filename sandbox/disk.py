"""Tells when a turn has put too much on the disk. Never deletes anything.

The size of a directory tree can only be found by walking it, which costs; how full its file system is costs
one call, but is everybody's doing, and what neighbours delete hides what a turn adds. So the tree is walked
every second, or less often when that would take more than a twentieth of a processor; and the file system is
asked every quarter of a second, to walk sooner when enough has been added there that it could be this turn's.

A turn's layers and its /tmp are walked in milliseconds, so too much is found within a second and a quarter. A
checkout of 100,000 files that is not in layers takes its second, and may be looked at only every twenty.
"""

import asyncio
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import syscalls
from sandbox.files import BENEATH, open_beneath

_PAUSE: Final = 0.25
_USUAL_PAUSE: Final = 1.0
_REST: Final = 20
"""A walk that took a second of a processor is not repeated for twenty."""
_PARTS: Final = 4
"""A walk is due when this part of the room that was left may have been taken."""
_MOST_ENTRIES: Final = 200_000
_BLOCK: Final = 512
_UNFOLLOWED: Final = BENEATH | syscalls.RESOLVE_NO_SYMLINKS
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """A directory whose files count."""

    path: Path
    since: float = 0.0
    """Only those that were made or changed after this time. (Nobody can set that date of a file back.)"""


@asynccontextmanager
async def watched(
    places: Sequence[Place], limit: int, *, is_needed: Callable[[], bool], exceeded: Callable[[], None]
) -> AsyncIterator[None]:
    """Call `exceeded` each time that more than `limit` bytes are found to be there, and more than before.

    Looks only while `is_needed`. Raises `OSError` when a place cannot be opened.
    """
    stopping = threading.Event()
    roots: list[tuple[int, float]] = []
    try:
        roots.extend((os.open(place.path, _DIRECTORY), place.since) for place in places)
        watch = _Watch(roots, limit, stopping)
        watching = asyncio.create_task(watch.run(is_needed, exceeded))
        try:
            yield
        finally:
            stopping.set()
            watching.cancel()
            await asyncio.wait((watching,))
    finally:
        for root, _ in roots:
            os.close(root)


class _Watch:
    def __init__(self, roots: Sequence[tuple[int, float]], limit: int, stopping: threading.Event) -> None:
        self._roots = roots
        self._limit = limit
        self._stopping = stopping
        self._full_at_first = self._full()
        self._lowest = self._full_at_first
        """Since the last walk."""
        self._found = 0
        self._tolerated = limit
        self._earliest = self._latest = 0.0

    async def run(self, is_needed: Callable[[], bool], exceeded: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(_PAUSE)
            if not is_needed() or not self._is_time_to_walk():
                continue
            self._lowest = self._full()
            walk = asyncio.create_task(asyncio.to_thread(self._measure))
            try:
                self._found, took = await asyncio.shield(walk)
            except asyncio.CancelledError:
                # The thread has the directories open.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((walk,))
                raise
            self._walked(took)
            if self._found > self._tolerated:
                exceeded()
            # What comes next may be the command that tidies up.
            self._tolerated = max(self._found, self._limit)

    def _is_time_to_walk(self) -> bool:
        full = self._full()
        self._lowest = min(self._lowest, full)
        room = max(self._limit - self._found, self._limit // _PARTS)
        now = time.monotonic()
        is_much = self._found > self._limit or full - self._lowest >= room // _PARTS
        return now >= (self._earliest if is_much else self._latest)

    def _walked(self, took: float) -> None:
        now = time.monotonic()
        self._earliest = now + _PARTS * took
        self._latest = now + max(_USUAL_PAUSE, _REST * took)

    def _full(self) -> int:
        """Bytes used on the file systems concerned."""
        used = {}
        for root, _ in self._roots:
            state = os.fstatvfs(root)
            used[state.f_fsid] = (state.f_blocks - state.f_bfree) * state.f_frsize
        return sum(used.values())

    def _measure(self) -> tuple[int, float]:
        """Bytes, and the seconds of a processor that finding them took: not those of waiting for one."""
        began = time.thread_time()
        walks = [_walk(root, since, self._stopping) for root, since in self._roots]
        found = sum(size for size, _ in walks)
        if not all(is_complete for _, is_complete in walks):
            # Something is hidden from us, so all that was added to the disk is held against the turn.
            found = max(found, self._full() - self._full_at_first)
        return found, time.thread_time() - began


def _walk(root: int, since: float, stopping: threading.Event) -> tuple[int, bool]:
    """The bytes that its files take, and whether all of them could be seen. Follows no link."""
    total = 0
    left = _MOST_ENTRIES
    is_complete = True
    linked: set[tuple[int, int]] = set()
    pending = ["."]
    while pending and not stopping.is_set():
        path = pending.pop()
        try:
            directory = open_beneath(root, path, _DIRECTORY, resolve=_UNFOLLOWED)
        except FileNotFoundError:
            continue
        except OSError:
            is_complete = False
            continue
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    left -= 1
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            pending.append(f"{path}/{entry.name}")
                        total += _size(status, since, linked)
        finally:
            os.close(directory)
        if left < 0:
            return total, False
    return total, is_complete


def _size(status: os.stat_result, since: float, linked: set[tuple[int, int]]) -> int:
    if status.st_ctime < since:
        return 0
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        key = (status.st_dev, status.st_ino)
        if key in linked:
            return 0
        linked.add(key)
    # An empty file is not nothing either.
    return (status.st_blocks + 1) * _BLOCK
