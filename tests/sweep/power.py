"""The power fails: of all that was written, only what was synced is there.

A writer runs under strace, which tells what it wrote and what it synced. After its death, whatever was not
synced is zeroed, cut off or unnamed, as the worst disk would have it; then a database is opened on what is
left. A disk that lies about syncing, or that keeps half of a sector, is not played.
"""

import asyncio
import hashlib
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from app.store import turns
from app.store.database import Database
from harness.items import Notice
from tests.stories.by_hand import PROJECT
from tests.sweep.deaths import Ran

CALLS: Final = "pwrite64,write,fsync,fdatasync,rename,ftruncate"
LINE: Final = re.compile(r"(\d+) +(<\.\.\. )?(\w+)(?: resumed>|\()(.*)")
WRITTEN: Final = re.compile(r'\d+<([^>]*)>, ""\.\.\., (\d+)(?:, (\d+))?')
DESCRIPTOR: Final = re.compile(r"\d+<([^>]*)>")
RENAMED: Final = re.compile(r'"([^"]*)", "([^"]*)"')

Range = tuple[int, int | None]


@dataclass
class Disk:
    """What has not reached it."""

    below: str
    unsynced: dict[str, list[Range]] = field(default_factory=lambda: defaultdict(list))
    unnamed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By directory, the files that were renamed in it since it was synced."""
    _syncing: dict[str, tuple[str, list[Range], set[str]]] = field(default_factory=dict)

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            if found := LINE.match(line):
                process, resumed, call, rest = found.groups()
                self._call(process, call, rest, is_end=bool(resumed))

    def _call(self, process: str, call: str, rest: str, *, is_end: bool) -> None:
        if call in {"fsync", "fdatasync"}:
            if not is_end and (found := DESCRIPTOR.match(rest)):
                path = found[1]
                self._syncing[process] = path, list(self.unsynced[path]), set(self.unnamed[path])
            if rest.endswith("= 0"):
                path, ranges, names = self._syncing.pop(process)
                self.unsynced[path] = [each for each in self.unsynced[path] if each not in ranges]
                self.unnamed[path] -= names
        elif is_end:
            return
        elif call == "rename" and (found := RENAMED.match(rest)):
            self.unsynced[found[2]] = self.unsynced.pop(found[1], [])
            self.unnamed[os.path.dirname(found[2])].add(found[2])  # noqa: PTH120
        elif found := WRITTEN.match(rest):
            path, length, offset = found.groups()
            if path.startswith(self.below):
                written = (0, None) if offset is None else (int(offset), int(length))
                self.unsynced[path].append(written)

    def lose(self) -> int:
        """Take away what was not synced; how many writes and names that were."""
        lost = 0
        for path, ranges in self.unsynced.items():
            lost += len(ranges)
            with suppress(FileNotFoundError):
                for offset, length in ranges:
                    _zero(path, offset, length)
        for path in {
            path for paths in self.unnamed.values() for path in paths if path.startswith(self.below)
        }:
            lost += 1
            Path(path).unlink(missing_ok=True)
        return lost


def _zero(path: str, offset: int, length: int | None) -> None:
    if length is None:
        os.truncate(path, offset)
        return
    with open(path, "r+b") as file:  # noqa: PTH123
        file.seek(offset)
        file.write(bytes(length))


async def cut(home: Path, random: Random) -> Ran:
    """A writer dies with the machine; what it had been told is kept must be there, and whole."""
    begun = time.monotonic()
    home.mkdir()
    trace = home.parent / f"{home.name}.trace"
    writer = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-q", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(trace)),
        *(sys.executable, "-m", "tests.sweep.writer", str(home), f"{random.uniform(0.5, 2.0):.3f}"),
        stdout=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    told, _ = await writer.communicate()
    disk = Disk(str(home))
    disk.follow(trace.read_text(errors="replace").splitlines())
    lost = disk.lose()
    (home / "darner.db-shm").unlink(missing_ok=True)
    acknowledged = int(told.split()[-1]) if told.split() else 0
    faults = await _faults(home, acknowledged)
    name = "a power cut (SQLite, and files that the journal names)"
    steps = (f"{acknowledged} acknowledged, {lost} writes lost",)
    return Ran(name, steps, tuple(faults), time.monotonic() - begun)


async def _faults(home: Path, acknowledged: int) -> list[str]:
    with Database(f"sqlite:///{home / 'darner.db'}") as database:
        entries = await database.read(lambda connection: turns.entries_of(connection, "turn"))
    faults = [] if acknowledged else ["nothing was written"]
    if len(entries) < acknowledged:
        faults.append(f"{acknowledged} entries acknowledged, {len(entries)} there")
    for entry in entries:
        assert isinstance(entry.item, Notice)
        kept = home / "kept" / entry.item.text
        if not kept.exists() or hashlib.sha256(kept.read_bytes()).hexdigest() != kept.name:
            faults.append(f"entry {entry.item.id} names a file that is not whole")
    return faults
