"""The files of one commit, read from the mirror directory by directory, as far as somebody asks for them.

So a question about a few paths costs as little in a large repository as in a small one.
"""

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sandbox.git.mirror import Mirror
from sandbox.result import GITLINK, Known, folded

_TREE: Final = 0o40000
_LARGE: Final = 64 * 1024
"""Bytes of a tree object that are taken apart in a thread of their own."""


class Entry(NamedTuple):
    """What a directory of the commit holds under a name."""

    mode: int
    object_id: str


class CommitTree:
    """One commit. Belongs to one event loop; remembers each directory that it was asked for."""

    def __init__(self, mirror: Mirror, sha: str) -> None:
        self._mirror = mirror
        self._sha = sha
        self._listings: dict[bytes, Mapping[bytes, Entry]] = {}
        self._folds: dict[bytes, Mapping[str, list[bytes]]] = {}

    async def file(self, path: bytes) -> Known | None:
        """The file, symlink or submodule at `path`; None where there is none."""
        entry = await self._entry(path)
        if entry is None or entry.mode == _TREE:
            return None
        size = 0 if entry.mode == GITLINK else await self._mirror.size_of(entry.object_id)
        return Known(entry.mode, entry.object_id, (0, 0, 0, size))

    async def is_directory(self, path: bytes) -> bool:
        """Whether the commit has files below `path`."""
        if path == b"":
            return True
        entry = await self._entry(path)
        return entry is not None and entry.mode == _TREE

    async def below(self, directory: bytes) -> dict[bytes, Known]:
        """Every file and symlink below a directory; nothing where the commit has no such directory."""
        found: dict[bytes, Known] = {}
        waiting = [directory] if await self.is_directory(directory) else []
        while waiting:
            parent = waiting.pop()
            for name, entry in (await self._listing(parent)).items():
                path = joined(parent, name)
                if entry.mode == _TREE:
                    waiting.append(path)
                elif entry.mode != GITLINK and (known := await self.file(path)) is not None:
                    found[path] = known
        return found

    async def look_alikes(self, added: Collection[bytes], gone: Collection[bytes]) -> set[bytes]:
        """Paths of the commit, not in `gone`, that differ by case only from a part of an added one."""
        found: set[bytes] = set()
        for path in added:
            parent = b""
            for name in path.split(b"/"):
                if not await self.is_directory(parent):
                    break
                for twin in (await self._folded(parent)).get(folded(name), ()):
                    if twin != name and await self._is_left(joined(parent, twin), gone):
                        found.add(joined(parent, twin))
                parent = joined(parent, name)
        return found

    async def _is_left(self, path: bytes, gone: Collection[bytes]) -> bool:
        if not await self.is_directory(path):
            return path not in gone
        return any(file not in gone for file in await self.below(path))

    async def _entry(self, path: bytes) -> Entry | None:
        parent, _, name = path.rpartition(b"/")
        if not name or not await self.is_directory(parent):
            return None
        return (await self._listing(parent)).get(name)

    async def _listing(self, directory: bytes) -> Mapping[bytes, Entry]:
        if directory not in self._listings:
            if directory == b"":
                tree = await self._mirror.read_tree(f"{self._sha}^{{tree}}")
            else:
                entry = await self._entry(directory)
                tree = b"" if entry is None else await self._mirror.read_tree(entry.object_id)
            parsed = await asyncio.to_thread(_entries, tree) if len(tree) > _LARGE else _entries(tree)
            self._listings[directory] = parsed
        return self._listings[directory]

    async def _folded(self, directory: bytes) -> Mapping[str, list[bytes]]:
        if directory not in self._folds:
            by_fold: dict[str, list[bytes]] = {}
            for name in await self._listing(directory):
                by_fold.setdefault(folded(name), []).append(name)
            self._folds[directory] = by_fold
        return self._folds[directory]


def joined(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in a directory; the root is empty."""
    return directory + b"/" + name if directory else name


def _entries(tree: bytes) -> Mapping[bytes, Entry]:
    """A tree object as git stores it: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects"""
    found: dict[bytes, Entry] = {}
    at = 0
    while at < len(tree):
        space = tree.index(b" ", at)
        end = tree.index(b"\0", space)
        found[tree[space + 1 : end]] = Entry(int(tree[at:space], 8), tree[end + 1 : end + 21].hex())
        at = end + 21
    return MappingProxyType(found)
