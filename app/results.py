"""What ended turns left, wherever it is wanted: as a commit in the mirror of the process that asks.

The commit is made of data, and the same data give the same commit: a process that has only the data makes it
anew, and knows by its name that it is the one.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from app.blobs import Blobs
from app.mirrors import Mirrors
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from sandbox.base import SandboxError
from sandbox.checkout.snapshots import Elsewhere
from sandbox.git.mirror import Identity, Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)

KEPT_DAYS: Final = 30
"""For how long what a turn left can be asked for by a machine that has not seen it."""


class ResultLost(SandboxError):
    """What the turn left is neither in this machine's mirror nor in the store."""

    def __init__(self, turn: str) -> None:
        super().__init__(
            f"what turn {turn} left is neither on this machine nor in the store. Do all processes have the "
            "same DARNER_STORE_URL, or the same DARNER_HOME?"
        )


class StoreAway(SandboxError):
    """The store could not be asked, or took nothing: it may later."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"the store of turns' files (DARNER_STORE_URL) fails: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class Results:
    """Those of one deployment. `blobs` is None where one process is all there is."""

    mirrors: Mirrors
    blobs: Blobs | None

    async def keep(self, row: TurnRow, mirror: Mirror, base: str, changes: Sequence[ChangedFile]) -> str:
        """Have what a turn left in the mirror, and for other machines; the commit's SHA.

        Raises `StoreAway`.
        """
        if self.blobs is not None:
            try:
                await asyncio.to_thread(self.blobs.put_bytes, _place(row), _packed(changes))
            except OSError as error:
                raise StoreAway(error) from error
        return await _committed(row, mirror, base, changes)

    async def mirror_with(self, place: RepositoryRef, row: TurnRow, base: str, *shas: str) -> Mirror:
        """The mirror, with what the turn left on `base` and these commits in it.

        Raises `ResultLost`; `StoreAway`, and `GitFailed` when the forge has to be asked and cannot be.
        """
        if row.snapshot is None:
            raise ResultLost(row.id)
        mirror = await self.mirrors.fetched(place, base, *shas)
        if await mirror.has_all(row.snapshot):
            return mirror
        data = None
        if self.blobs is not None:
            try:
                data = await asyncio.to_thread(self.blobs.get, _place(row))
            except OSError as error:
                raise StoreAway(error) from error
        changes = _unpacked(data) if data is not None else None
        if changes is None or await _committed(row, mirror, base, changes) != row.snapshot:
            raise ResultLost(row.id)
        log.info("result.fetched", extra={"fields": {"turn": row.id, "bytes": len(data or b"")}})
        return mirror

    def snapshots_of(self, turn: str) -> Elsewhere | None:
        """Where the turn's steps are kept for other machines."""
        return None if self.blobs is None else _TurnBlobs(self.blobs, f"turns/{turn}")

    async def forget_steps(self, turn: str) -> None:
        """The turn has ended: nobody goes on with it."""
        if self.blobs is None:
            return
        try:
            await asyncio.to_thread(self.blobs.remove, f"turns/{turn}")
        except OSError as error:
            # Only room; the next start looks again.
            log.warning("blobs.kept", extra={"fields": {"turn": turn, "error": str(error)}})

    async def forget(self, place: RepositoryRef, rows: Sequence[TurnRow]) -> None:
        """What these turns left can be asked for no more. Raises `StoreAway`."""
        mirror = self.mirrors.of(place)
        await mirror.ensure()
        for row in rows:
            if row.snapshot is not None:
                await mirror.drop(row.snapshot)
            if self.blobs is None:
                continue
            try:
                await asyncio.to_thread(self.blobs.remove, _place(row))
            except OSError as error:
                raise StoreAway(error) from error

    async def turns_with_steps(self) -> list[str]:
        """The turns whose steps are kept. Raises `OSError`."""
        return [] if self.blobs is None else await asyncio.to_thread(self.blobs.below, "turns")


async def forget_old(blobs: Blobs, today: date) -> None:
    """Remove results that nobody asks for any more. Raises `OSError`."""
    oldest = (today - timedelta(days=KEPT_DAYS)).isoformat()
    for day in await asyncio.to_thread(blobs.below, "results"):
        if day < oldest:
            await asyncio.to_thread(blobs.remove, f"results/{day}")


@dataclass(frozen=True, slots=True)
class _TurnBlobs:
    """`sandbox.checkout.snapshots.Elsewhere` of one turn."""

    blobs: Blobs
    prefix: str

    async def put(self, files: Mapping[str, Path]) -> None:
        named = {f"{self.prefix}/{name}": path for name, path in files.items()}
        await asyncio.to_thread(self.blobs.put, named)

    async def get(self, name: str) -> bytes | None:
        return await asyncio.to_thread(self.blobs.get, f"{self.prefix}/{name}")


def _place(row: TurnRow) -> str:
    return f"results/{datetime.fromtimestamp(row.created_at, UTC).date().isoformat()}/{row.id}"


async def _committed(row: TurnRow, mirror: Mirror, base: str, changes: Sequence[ChangedFile]) -> str:
    """The same wherever and however often it is made."""
    return await mirror.commit(
        parent=base,
        changes=changes,
        message=f"What turn {row.id} left",
        author=Identity("Darner", "darner@localhost"),
        date=int(row.created_at),
    )


def _packed(changes: Sequence[ChangedFile]) -> bytes:
    """A line of JSON, then the contents one after the other."""
    listed = [[c.path, c.kind, c.mode, None if c.data is None else len(c.data)] for c in changes]
    return json.dumps(listed).encode() + b"\n" + b"".join(change.data or b"" for change in changes)


def _unpacked(data: bytes) -> list[ChangedFile] | None:
    """None for what was cut off or is nothing of the kind; whether it is the right one, the commit tells."""
    head, _, contents = data.partition(b"\n")
    changes: list[ChangedFile] = []
    at = 0
    try:
        for path, kind, mode, size in json.loads(head):
            content = None if size is None else contents[at : at + size]
            at += size or 0
            changes.append(ChangedFile(path=path, kind=kind, mode=mode, data=content))
    except (ValueError, TypeError):
        return None
    return changes
