"""A turn's own checkout: made by the host's git before any agent was there, read back as plain data after.

The host's git never runs in the tree again: what changed is found by comparing the tree with what was
written, and what is to be ignored is asked of the base commit's rules, in a directory the agent never sees.

There are two kinds. Where the driver can show layers, the files are those of a base that turns share
(`sandbox.checkout.layers`), and the turn has an upper directory of its own. Elsewhere each turn gets all of
them.
"""

import asyncio
import os
import shutil
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox.base import FileTooLarge, Layers, Workspace
from sandbox.checkout.commit_tree import CommitTree
from sandbox.checkout.compare import Differences, judge, walk_tree
from sandbox.checkout.full_tree import known_files, write_full_tree
from sandbox.checkout.git_view import write_view
from sandbox.checkout.ignored import IgnoreRules
from sandbox.checkout.layers import LayerStore
from sandbox.checkout.removal import remove_tree
from sandbox.checkout.upper import walk_upper
from sandbox.git.mirror import Mirror
from sandbox.result import GITLINK, MAX_FILE_BYTES, ChangedFile, Known, opened

__all__ = ["ChangedFile", "Checkout", "Workspace", "check_out", "remove_tree", "reopen"]

_SMALL: Final = 1024 * 1024
_LAYERED: Final = "layered"
"""In the directory of a checkout: it has layers, and is complete."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of one commit, handed to one turn."""

    workspace: Workspace
    sha: str
    directory: Path
    _mirror: Mirror = field(repr=False)
    _base: CommitTree = field(repr=False)
    _rules: IgnoreRules = field(repr=False)
    _known: dict[bytes, Known] = field(repr=False)
    """Every file, for a checkout without layers; read when it is first needed."""

    async def changes(self, tree: int | None = None) -> tuple[ChangedFile, ...]:
        """What the tree holds that the commit does not, sorted by path; ignored files are left out.

        `tree` is the checkout as its sandbox shows it (`Sandbox.tree`); without layers the path will do.

        What cannot be delivered is listed with its problem. Raises `ResultRefused` for a tree of no measure.
        """
        if tree is None and self.workspace.layers is not None:
            raise ValueError("the files of a layered checkout are to be seen through its sandbox only")
        with opened(self.workspace.tree if tree is None else tree) as root:
            return await judge(root, await self.differences(root), self.base_content, self._present)

    async def differences(self, tree: int) -> Differences:
        """Where the tree may differ from the commit. Raises `ResultRefused`."""
        if self.workspace.layers is not None:
            return await walk_upper(self.workspace.layers.upper, tree, self._base, self._rules)
        await self._know_all()
        return await walk_tree(tree, self._known, self._rules)

    async def known(self, path: bytes) -> Known | None:
        """What the commit has at `path`."""
        return await self._base.file(path)

    async def base_content(self, path: bytes, before: Known) -> bytes | None:
        """What the commit holds of a file; None for one that is too large, or no file."""
        del path
        if before.object_id is None or before.mode == GITLINK:
            return None
        try:
            return await self._mirror.read_blob(before.object_id, limit=MAX_FILE_BYTES)
        except FileTooLarge:
            return None

    async def remove(self) -> None:
        """Delete all of it, whatever the agent did to modes and depth. Safe to call twice."""
        await remove_tree(self.directory)

    async def _present(self, added: Collection[bytes], gone: Collection[bytes]) -> set[bytes]:
        return await self._base.look_alikes(added, gone)

    async def _know_all(self) -> None:
        if not self._known:
            self._known.update(await asyncio.to_thread(known_files, self.directory / "record"))


async def check_out(
    mirror: Mirror, sha: str, directory: Path, *, owner_uid: int | None, layers: LayerStore | None = None
) -> Checkout:
    """Make a checkout of `sha` in `directory` (new or empty), its files owned by `owner_uid` where given.

    With `layers` the driver must be able to show them; without, all files are written here.
    Raises `RefUnknown` when the mirror lacks the commit and `GitFailed` when git refuses its paths.
    """
    sha = await mirror.resolve(sha)
    async with AsyncExitStack() as on_failure:
        on_failure.push_async_callback(remove_tree, directory)
        await asyncio.to_thread(make_directories, directory, owner_uid)
        if layers is None:
            await asyncio.to_thread(write_view, directory / "git", head=f"{sha}\n")
            index = directory / "git" / "index"
            await write_full_tree(mirror, sha, directory / "tree", index, owner_uid)
            await asyncio.to_thread(_record, index, directory)
            workspace = _full_workspace(mirror, directory)
        else:
            await asyncio.to_thread(_make_upper, directory, owner_uid)
            workspace = await _layered_workspace(mirror, sha, directory, layers)
            (directory / _LAYERED).touch()
        on_failure.pop_all()
    return _checkout(mirror, sha, directory, workspace)


async def reopen(
    mirror: Mirror, sha: str, directory: Path, *, layers: LayerStore | None = None
) -> Checkout | None:
    """The checkout that an earlier process made in `directory`, as its turn left it; None if there is none.

    `sha` is what it was made from. What marks it is written last, so a checkout that has it is complete.
    None also for one with layers that cannot be shown any more.
    """
    if (directory / "record").is_file():
        workspace = _full_workspace(mirror, directory)
    elif (directory / _LAYERED).exists() and layers is not None:
        workspace = await _layered_workspace(mirror, sha, directory, layers)
    else:
        return None
    return _checkout(mirror, sha, directory, workspace)


def _checkout(mirror: Mirror, sha: str, directory: Path, workspace: Workspace) -> Checkout:
    base = CommitTree(mirror, sha)

    async def rule_file(path: bytes) -> bytes | None:
        before = await base.file(path)
        if before is None or before.object_id is None or before.mode not in {0o100644, 0o100755}:
            return None
        try:
            return await mirror.read_blob(before.object_id, limit=_SMALL)
        except FileTooLarge:
            return None

    rules = IgnoreRules(directory / "ignore", mirror.git, rule_file)
    return Checkout(workspace, sha, directory, mirror, base, rules, {})


def _full_workspace(mirror: Mirror, directory: Path) -> Workspace:
    return Workspace(
        tree=directory / "tree",
        scratch=directory / "scratch",
        git=directory / "git",
        objects=mirror.objects,
    )


async def _layered_workspace(mirror: Mirror, sha: str, directory: Path, layers: LayerStore) -> Workspace:
    borrowed = await layers.borrow(sha, user=directory)
    return Workspace(
        tree=directory / "tree",
        scratch=directory / "scratch",
        git=borrowed.git,
        objects=mirror.objects,
        layers=Layers(lower=borrowed.lower, upper=directory / "upper", work=directory / "work"),
    )


def make_directories(directory: Path, owner_uid: int | None) -> None:
    """The frame of a workspace: what is the agent's, what it may see, and what is the host's alone."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ignore").mkdir()
    for name in ("tree", "scratch", "scratch/tmp", "scratch/home"):
        _make_owned(directory / name, owner_uid)


def _make_upper(directory: Path, owner_uid: int | None) -> None:
    _make_owned(directory / "upper", owner_uid)
    (directory / "work").mkdir()


def _make_owned(directory: Path, owner_uid: int | None) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    if owner_uid is not None:
        os.chown(directory, owner_uid, owner_uid)


def _record(index: Path, directory: Path) -> None:
    """Keep the index as it is now where no agent sees it; being there, it is whole."""
    shutil.copyfile(index, directory / "record.new")
    (directory / "record.new").rename(directory / "record")
