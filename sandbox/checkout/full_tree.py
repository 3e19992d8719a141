"""All files of a commit written into a directory, and what they looked like then.

git does it once, before any agent was there, and leaves an index that is valid where the files are shown.
"""

import asyncio
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sandbox.base import SandboxError
from sandbox.git.mirror import Mirror
from sandbox.result import GITLINK, Known, directories_of, opened, settle, stamp_of

# Files of a fresh checkout carry this time (2000-01-01): so an edit within the same second is always seen, by
# git's index inside and by tools that compare times in whole seconds (Python's bytecode cache is one).
CHECKED_OUT_AT: Final = 946_684_800
_SMALL: Final = 1024 * 1024
_CHECK_OUT: Final = 900.0
# The entry of an index, version 2: https://git-scm.com/docs/index-format
_ENTRY: Final = struct.Struct(">10L20sH")
_ENTRY_STAT: Final = struct.Struct(">10L")
_HEADER: Final = struct.Struct(">4sLL")
_NANO: Final = 1_000_000_000
_LOW: Final = 0xFFFFFFFF


async def write_full_tree(mirror: Mirror, sha: str, tree: Path, index: Path, owner_uid: int | None) -> int:
    """Write the files of `sha` into `tree` (empty), owned by `owner_uid` where given; tell how many.

    Raises `GitFailed` when git refuses its paths.
    """
    # One process reads the commit, writes its files and the index with their stat data.
    await mirror.git.run(
        "read-tree",
        "-m",
        "-u",
        sha,
        limit=_SMALL,
        seconds=_CHECK_OUT,
        environment={"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(tree)},
    )
    return await asyncio.to_thread(_hand_over, tree, index, owner_uid)


def _hand_over(tree: Path, index: Path, owner_uid: int | None) -> int:
    """Give the files their owner and their time, and write what they look like now into the index.

    No agent has been here, and git lets no path lead through a symlink: plain relative paths are safe.
    """
    data = bytearray(index.read_bytes())
    newest = 0
    with opened(tree) as root:
        paths = []
        for offset, path, fields, _ in _entries(data):
            paths.append(path)
            mode = fields[6]
            if mode == GITLINK:
                continue
            if owner_uid is not None:
                os.chown(path, owner_uid, owner_uid, dir_fd=root, follow_symlinks=False)
            os.utime(path, (CHECKED_OUT_AT, CHECKED_OUT_AT), dir_fd=root, follow_symlinks=False)
            status = os.stat(path, dir_fd=root, follow_symlinks=False)
            change, modification, inode, size = stamp_of(status)
            newest = max(newest, change)
            _ENTRY_STAT.pack_into(
                data,
                offset,
                *divmod(change, _NANO),
                *divmod(modification, _NANO),
                status.st_dev & _LOW,
                inode,
                mode,
                status.st_uid,
                status.st_gid,
                size,
            )
        if owner_uid is not None:
            for parent in directories_of(paths) - {b""}:
                os.chown(parent, owner_uid, owner_uid, dir_fd=root, follow_symlinks=False)
    data[-20:] = hashlib.sha1(data[:-20], usedforsecurity=False).digest()
    index.write_bytes(data)
    index.chmod(0o644)
    settle(index, newest)
    return len(paths)


def known_files(index: Path) -> dict[bytes, Known]:
    """What `index` says of each file."""
    known: dict[bytes, Known] = {}
    for _, path, fields, object_id in _entries(index.read_bytes()):
        change_s, change_ns, modified_s, modified_ns, _, inode, mode, _, _, size = fields
        stamp = (change_s * _NANO + change_ns, modified_s * _NANO + modified_ns, inode, size)
        known[path] = Known(mode, object_id.hex(), stamp)
    return known


def _entries(index: bytes | bytearray) -> Iterator[tuple[int, bytes, tuple[int, ...], bytes]]:
    """Offset, path, stat data and object id of every entry of an index of version 2 or 3."""
    signature, version, count = _HEADER.unpack_from(index)
    if signature != b"DIRC" or version not in {2, 3}:
        raise SandboxError(f"an index of version {version} cannot be read")
    at = _HEADER.size
    for _ in range(count):
        fields = _ENTRY.unpack_from(index, at)
        flags = fields[11]
        start = at + _ENTRY.size + (2 if flags & 0x4000 else 0)
        length = flags & 0x0FFF
        end = start + length if length < 0x0FFF else index.index(b"\0", start)
        yield at, bytes(index[start:end]), fields[:10], fields[10]
        at += (end - at + 8) & ~7
