"""What the checkouts of a repository share: whole trees of commits, and thin layers from one to the next.

A *base* is a commit's tree, written once. A *delta* holds what another commit changes over a base, with
overlayfs' marks for what it deletes. Both are the host's: owned by the sandbox's user, so that what is copied
up belongs to it, but shown to nobody except as the lower layers of an overlay. Nothing here is written again.

https://docs.kernel.org/filesystems/overlayfs.html
"""

import asyncio
import os
import shutil
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.base import SandboxError
from sandbox.checkout.full_tree import CHECKED_OUT_AT, write_full_tree
from sandbox.checkout.git_view import write_view
from sandbox.checkout.layer_shelf import Borrowed, shelf_of
from sandbox.checkout.removal import remove_tree
from sandbox.git import GitFailed
from sandbox.git.mirror import Mirror
from sandbox.result import GITLINK, directories_of, opened

_SMALL: Final = 1024 * 1024
_DIFF: Final = 64 * 1024 * 1024
_QUICK: Final = 120.0
_BUILD: Final = 1800.0
_TREE: Final = 0o40000
_NEAR_ENOUGH: Final = 500
_NEAR_SHARE: Final = 8
"""A delta may hold so many files, or this part of the tree (one in so many); else a new base pays better."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One line of `git diff-tree --raw -t`."""

    path: bytes
    old_mode: int
    new_mode: int


@dataclass(frozen=True, slots=True)
class _Delta:
    commit: str
    base: Path
    changes: Sequence[_Change]


class LayerStore:
    """The layers of one mirror's commits. Several processes may use one; each layer is made once."""

    def __init__(self, mirror: Mirror, *, owner_uid: int | None) -> None:
        self._mirror = mirror
        self._owner_uid = owner_uid
        self._shelf = shelf_of(mirror.directory, owner_uid)

    async def borrow(self, sha: str, *, user: Path) -> Borrowed:
        """The layers of a commit, made if they are not there, and kept while the directory `user` exists.

        Raises `GitFailed` when git refuses the commit's paths.
        """
        self._shelf.directory.mkdir(parents=True, exist_ok=True)
        if borrowed := await self._shelf.borrow(sha, user):
            return borrowed
        async with self._shelf.building():
            if borrowed := await self._shelf.borrow(sha, user):
                return borrowed
            near = await self._nearest(sha)
            if near is None:
                await self._build_base(sha)
            else:
                await self._build_delta(sha, near)
            if borrowed := await self._shelf.borrow(sha, user):
                return borrowed
        raise SandboxError(f"the layers of {sha} went away as soon as they were made")

    async def _nearest(self, sha: str) -> _Delta | None:
        """The base that the commit differs least from, if that is little enough."""
        found: list[_Delta] = []
        for commit, base in self._shelf.bases():
            changes = await self._changes(commit, sha)
            if changes is None or _puts_submodule_over_files(changes):
                continue
            files = int((base / "files").read_text())
            if len(changes) <= max(_NEAR_ENOUGH, files // _NEAR_SHARE):
                found.append(_Delta(commit, base, changes))
        return min(found, key=lambda delta: len(delta.changes), default=None)

    async def _changes(self, old: str, new: str) -> Sequence[_Change] | None:
        """What differs between two commits, directories too; None when that cannot be told, or is vast."""
        try:
            raw = await self._mirror.git.run(
                "diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", old, new, limit=_DIFF, seconds=_QUICK
            )
        except GitFailed:
            return None
        return await asyncio.to_thread(_parsed, raw)

    async def _build_base(self, sha: str) -> None:
        async with self._fresh(sha) as fresh:
            tree, index = fresh / "tree", fresh / "git" / "index"
            files = await write_full_tree(self._mirror, sha, tree, index, self._owner_uid)
            # Where the view of the history is shown: made here, it is in no turn's upper directory.
            (tree / ".git").mkdir()
            (fresh / "files").write_text(str(files))
            fresh.rename(self._shelf.base(sha))

    async def _build_delta(self, sha: str, near: _Delta) -> None:
        async with self._fresh(sha) as fresh:
            tree, index = fresh / "tree", fresh / "git" / "index"
            await asyncio.to_thread(shutil.copyfile, near.base / "git" / "index", index)
            places = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(tree)}
            await self._git("read-tree", "-i", "-m", near.commit, sha, environment=places)
            written = [change.path for change in near.changes if change.new_mode not in {0, _TREE}]
            await self._git("checkout-index", "--force", "-z", "--stdin", stdin=written, environment=places)
            await asyncio.to_thread(_finish_delta, tree, near.changes, self._owner_uid)
            files = [change.path for change in near.changes if change.new_mode not in {0, _TREE, GITLINK}]
            # The files are as they will stay: what they look like goes into the index.
            await self._git("update-index", "-z", "--stdin", stdin=files, environment=places)
            index.chmod(0o644)
            fresh.rename(self._shelf.delta(near.commit, sha))

    async def _git(self, *arguments: str, environment: dict[str, str], stdin: Sequence[bytes] = ()) -> None:
        await self._mirror.git.run(
            *arguments,
            stdin=b"".join(path + b"\0" for path in stdin),
            limit=_SMALL,
            seconds=_BUILD,
            environment=environment,
        )

    @asynccontextmanager
    async def _fresh(self, sha: str) -> AsyncIterator[Path]:
        """A layer in the making; gone at the end, unless it was given its name."""
        fresh = self._shelf.fresh()
        try:
            await asyncio.to_thread(self._make_frame, fresh, sha)
            yield fresh
        finally:
            if fresh.exists():
                await asyncio.shield(remove_tree(fresh))

    def _make_frame(self, fresh: Path, sha: str) -> None:
        for directory in (fresh, fresh / "tree", fresh / "users"):
            directory.mkdir(mode=0o755)
        (fresh / "tree").chmod(0o755)
        if self._owner_uid is not None:
            os.chown(fresh / "tree", self._owner_uid, self._owner_uid)
        write_view(fresh / "git", head=f"{sha}\n")


def _parsed(raw: bytes) -> list[_Change]:
    """Lines as https://git-scm.com/docs/diff-format describes them: a colon and words, NUL, the path, NUL."""
    fields = raw.split(b"\0")
    found = []
    for words, path in zip(fields[:-1:2], fields[1:-1:2], strict=True):
        old_mode, new_mode = words.removeprefix(b":").split(b" ")[:2]
        found.append(_Change(path, int(old_mode, 8), int(new_mode, 8)))
    return found


def _puts_submodule_over_files(changes: Sequence[_Change]) -> bool:
    """Whether a submodule's empty directory comes where files were: they would shine through."""
    gone = {change.path for change in changes if change.old_mode == _TREE and change.new_mode == 0}
    return any(change.new_mode == GITLINK and change.path in gone for change in changes)


def _finish_delta(tree: Path, changes: Sequence[_Change], owner_uid: int | None) -> None:
    """Owner and time of what git wrote, and a whiteout for each file or directory that is gone.

    No agent has been here, and git lets no path lead through a symlink: plain relative paths are safe.
    """
    present = {change.path for change in changes if change.new_mode != 0}
    emptied = {change.path for change in changes if change.new_mode == 0 and change.old_mode == _TREE}
    gone = [
        change.path
        for change in changes
        if change.new_mode == 0
        and change.path not in present
        and emptied.isdisjoint(directories_of([change.path]))
    ]
    with opened(tree) as root:
        for path in gone:
            parent = os.fsdecode(path.rpartition(b"/")[0])
            Path(f"/proc/self/fd/{root}/{parent}").mkdir(parents=True, exist_ok=True)
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0), dir_fd=root)
        for path in present:
            if not stat.S_ISDIR(os.stat(path, dir_fd=root, follow_symlinks=False).st_mode):
                os.utime(path, (CHECKED_OUT_AT, CHECKED_OUT_AT), dir_fd=root, follow_symlinks=False)
        if owner_uid is not None:
            for path in (present | directories_of([*present, *gone])) - {b""}:
                os.chown(path, owner_uid, owner_uid, dir_fd=root, follow_symlinks=False)
