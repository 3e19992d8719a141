"""The directory where a repository's layers lie: which there are, who stands on them, and what goes when.

A layer with its name is complete. Checkouts mark what they stand on with a link to themselves; one that
leads nowhere is nobody's any more, so nothing has to be given back, and a crash leaves nothing held.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.base import SandboxError
from sandbox.checkout.removal import left_aside, remove_tree, set_aside
from sandbox.git.filelock import locked

KEPT_BASES: Final = 3
KEPT_DELTAS: Final = 24
"""Of one repository, beside those that checkouts use."""
_FRESH: Final = ".new-"
_QUICK: Final = 120.0
_BUILD: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Borrowed:
    """The layers of one commit, kept for as long as the directory of whoever borrowed them exists."""

    lower: tuple[Path, ...]
    """Topmost first."""
    git: Path
    """The view of the repository at this commit, with an index that is valid for these files."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One directory of layers. Several processes may use it."""

    directory: Path

    def base(self, sha: str) -> Path:
        return self.directory / f"base-{sha}"

    def delta(self, base: str, sha: str) -> Path:
        return self.directory / f"delta-{base}-{sha}"

    def bases(self) -> list[tuple[str, Path]]:
        """The commits that have one."""
        return [(path.name.removeprefix("base-"), path) for path in self.directory.glob("base-*")]

    async def borrow(self, sha: str, user: Path) -> Borrowed | None:
        """The layers of a commit if they are there, marked as used by the directory `user`."""
        async with self._lock("using", _QUICK):
            return await asyncio.to_thread(self._borrow, sha, user)

    @asynccontextmanager
    async def building(self) -> AsyncIterator[None]:
        """Only one builds, and nothing is retired meanwhile; what one before left half built is gone."""
        async with self._lock("building", _BUILD):
            await self._remove_half_built()
            yield

    def fresh(self) -> Path:
        """The name of a layer in the making."""
        return self.directory / f"{_FRESH}{secrets.token_hex(8)}"

    async def tidy(self) -> None:
        """Remove what has not been used for long, and what a killed process left. Takes its time."""
        with suppress(TimeoutError):  # somebody builds: another time
            async with locked(self.directory / "building.lock", seconds=0):
                await self._remove_half_built()
                async with self._lock("using", _QUICK):
                    await asyncio.to_thread(self._retire)
        for directory in left_aside(self.directory):
            await remove_tree(directory)

    def _borrow(self, sha: str, user: Path) -> Borrowed | None:
        for layer in (self.base(sha), *self.directory.glob(f"delta-*-{sha}")):
            if not layer.is_dir():
                continue
            below = [] if layer == self.base(sha) else [self._base_of(layer)]
            if not all(base.is_dir() for base in below):
                set_aside(layer)
                continue
            (layer / "users" / secrets.token_hex(8)).symlink_to(user.absolute())
            for each in (layer, *below):
                os.utime(each)
            return Borrowed(tuple(each / "tree" for each in (layer, *below)), layer / "git")
        return None

    def _base_of(self, delta: Path) -> Path:
        return self.base(delta.name.split("-")[1])

    def _retire(self) -> None:
        """Rename away what is too much: the least recently used first, never what a checkout stands on."""
        deltas = {layer: _is_used(layer) for layer in self.directory.glob("delta-*")}
        spare = [layer for layer, is_used in deltas.items() if not is_used]
        for layer in sorted(spare, key=_last_used, reverse=True)[KEPT_DELTAS:]:
            set_aside(layer)
        needed = {self._base_of(layer) for layer, is_used in deltas.items() if is_used}
        spare = [base for _, base in self.bases() if base not in needed and not _is_used(base)]
        for base in sorted(spare, key=_last_used, reverse=True)[KEPT_BASES:]:
            for layer in self.directory.glob(f"delta-{base.name.removeprefix('base-')}-*"):
                set_aside(layer)
            set_aside(base)

    async def _remove_half_built(self) -> None:
        for directory in self.directory.glob(f"{_FRESH}*"):
            await remove_tree(directory)

    @asynccontextmanager
    async def _lock(self, name: str, seconds: float) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(locked(self.directory / f"{name}.lock", seconds=seconds))
            except TimeoutError:
                raise SandboxError(f"another process holds {self.directory / name}.lock") from None
            yield


def shelf_of(mirror: Path, owner_uid: int | None) -> Shelf:
    """Where the layers of a mirror lie, of files that belong to `owner_uid`."""
    owner = "" if owner_uid is None else f"-{owner_uid}"
    return Shelf(mirror.with_suffix(f".layers{owner}"))


def shelves_in(mirrors: Path) -> Iterator[Shelf]:
    """All that lie beside mirrors."""
    for directory in mirrors.glob("*.layers*"):
        yield Shelf(directory)


def _last_used(layer: Path) -> float:
    return layer.stat().st_mtime


def _is_used(layer: Path) -> bool:
    """Whether a checkout stands on it; marks of those that are gone are removed."""
    is_used = False
    for mark in (layer / "users").iterdir():
        if mark.exists():
            is_used = True
        else:
            mark.unlink()
    return is_used
