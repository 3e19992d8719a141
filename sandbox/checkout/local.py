"""A turn on a local directory: it works on a copy, and what changed is put into the directory at the end.

Always a copy, whether the directory is a git repository or not: that is one way instead of two, the sandbox's
user may be another one than the directory's, and a turn that is interrupted leaves the directory as it was.
The directory's `.git` is never written, and git is never run on it: its objects and a copy of its index are
shown read-only to the commands of the turn.
"""

import asyncio
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sandbox.base import FileEdit, Policy, RemoveFile, SandboxMode, Workspace, WriteFile
from sandbox.checkout import make_directories
from sandbox.checkout.compare import judge, walk_tree
from sandbox.checkout.git_view import write_view
from sandbox.checkout.ignored import IgnoreRules
from sandbox.checkout.removal import remove_tree
from sandbox.files import CheckoutFiles, is_git_name
from sandbox.git import Git
from sandbox.result import (
    LINK,
    MAX_ENTRIES,
    ChangedFile,
    Known,
    ResultRefused,
    Stamp,
    blob_id,
    file_mode,
    open_below,
    opened,
    read_content,
    settle,
    stamp_of,
)

__all__ = ["ChangedFile", "LocalWorkspace", "adopt"]

_CACHES: Final = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", "node_modules"})
"""What is in these is left out even where it existed before; every other file that existed counts."""
_SHA: Final = re.compile(r"[0-9a-f]{40}")
_CHANGED_MEANWHILE: Final = "changed in the directory while the turn ran; it was left as it is"


@dataclass(frozen=True, slots=True)
class LocalWorkspace:
    """A copy of a directory for one turn."""

    workspace: Workspace
    source: Path
    """The directory itself."""
    _frame: Path = field(repr=False)
    _known: Mapping[bytes, Known] = field(repr=False)
    _originals: Mapping[bytes, Stamp] = field(repr=False)
    """What the files of `source` looked like when they were copied."""

    async def changes(self) -> tuple[ChangedFile, ...]:
        """What differs from the directory as it was copied, sorted by path; without ignored new files."""
        rules = IgnoreRules(self._frame / "ignore", Git(self._frame / "rules"), self._rule_file)
        with opened(self.workspace.tree) as root:
            found = await walk_tree(root, self._known, rules)
            return await judge(root, found, self._original_content, self._present)

    async def finish(self) -> tuple[ChangedFile, ...]:
        """Put what changed into the directory and tell it.

        What cannot be put there, or was changed there meanwhile, is told with its problem and left alone.
        Raises `PathRefused` when the directory cannot be written; usually nothing was written then.
        """
        changes = await self.changes()
        return await asyncio.to_thread(self._apply, changes)

    async def remove(self) -> None:
        """Delete the copy. Safe to call twice."""
        await remove_tree(self._frame)

    async def _present(self, added: Collection[bytes], gone: Collection[bytes]) -> set[bytes]:
        del added
        return {*self._known} - {*gone}

    async def _rule_file(self, path: bytes) -> bytes | None:
        return await asyncio.to_thread(self._read_rule_file, path)

    def _read_rule_file(self, path: bytes) -> bytes | None:
        if path not in self._known:
            return None
        with opened(self.source) as root:
            content = read_content(root, path)
        return None if content is None or content.mode == "120000" else content.data

    async def _original_content(self, path: bytes, before: Known) -> bytes | None:
        del before
        return await asyncio.to_thread(self._read_original, path)

    def _read_original(self, path: bytes) -> bytes | None:
        with opened(self.source) as root:
            content = read_content(root, path)
        return None if content is None else content.data

    def _apply(self, changes: Sequence[ChangedFile]) -> tuple[ChangedFile, ...]:
        told = tuple(self._checked(change) for change in changes)
        sound = [change for change in told if change.problem is None]
        in_the_way = self._in_the_way(sound)
        files = CheckoutFiles(self.source, Policy(SandboxMode.WORKSPACE_WRITE))
        files.apply([RemoveFile(change.path) for change in in_the_way])
        self._prune(in_the_way)
        files.apply(
            [
                edit
                for change in sound
                if (edit := _edit_for(change)) is not None
                and not (change.kind == "delete" and change in in_the_way)
            ]
        )
        self._prune([change for change in sound if change.kind == "delete"])
        for change in sound:
            if change.mode == "120000" and change.data is not None:
                self._put_link(change.path, change.data)
        return told

    def _in_the_way(self, changes: Sequence[ChangedFile]) -> list[ChangedFile]:
        """What must go before anything is written: links, and what changes between file and directory."""
        added = frozenset(change.path for change in changes if change.kind != "delete")
        above_added = frozenset(parent for path in added for parent in _parents(path))
        return [
            change
            for change in changes
            if (change.kind == "update" and self._was_link(change))
            or (
                change.kind == "delete"
                and (change.path in above_added or not added.isdisjoint(_parents(change.path)))
            )
        ]

    def _checked(self, change: ChangedFile) -> ChangedFile:
        if change.problem is not None:
            return change
        path = change.path.encode()
        with opened(self.source) as root:
            now = _stamp_below(root, path)
        if now == self._originals.get(path):
            return change
        return replace(change, mode="000000", data=None, problem=_CHANGED_MEANWHILE)

    def _was_link(self, change: ChangedFile) -> bool:
        before = self._known.get(change.path.encode())
        return before is not None and before.mode == LINK

    def _prune(self, deleted: Sequence[ChangedFile]) -> None:
        """Remove directories that a deletion emptied, as git would, unless the turn kept them."""
        parents = {parent for change in deleted for parent in _parents(change.path)}
        with opened(self.source) as root:
            for parent in sorted(parents, key=len, reverse=True):
                if (self.workspace.tree / parent).is_dir():
                    continue
                with suppress(OSError), _parent_below(root, parent) as (directory, name):
                    os.rmdir(name, dir_fd=directory)

    def _put_link(self, path: str, target: bytes) -> None:
        with opened(self.source) as root:
            for parent in reversed(_parents(path)):
                with suppress(FileExistsError), _parent_below(root, parent) as (directory, name):
                    os.mkdir(name, 0o755, dir_fd=directory)
            with _parent_below(root, path) as (directory, name):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
                os.symlink(target, name, dir_fd=directory)


async def adopt(directory: Path, frame: Path, *, owner_uid: int | None = None) -> LocalWorkspace:
    """Copy the files of `directory` into `frame` (new or empty), for a user `owner_uid` where given.

    Raises `ResultRefused` for a directory with more files than a result may have.
    """
    directory = directory.resolve(strict=True)
    async with AsyncExitStack() as on_failure:
        on_failure.push_async_callback(remove_tree, frame)
        adopted = await asyncio.to_thread(_adopt, directory, frame, owner_uid)
        on_failure.pop_all()
    return adopted


def _adopt(directory: Path, frame: Path, owner_uid: int | None) -> LocalWorkspace:
    make_directories(frame, owner_uid)
    # Of the host's alone: a repository without objects, whose rules for what to ignore can be asked.
    write_view(frame / "rules", head="ref: refs/heads/main\n")
    known: dict[bytes, Known] = {}
    originals: dict[bytes, Stamp] = {}
    for name, status in _copied(directory, frame / "tree", owner_uid):
        path, copy = os.fsencode(name), frame / "tree" / name
        mode = file_mode(status)
        object_id = blob_id(os.fsencode(copy.readlink())) if mode == LINK else None
        is_tracked = _CACHES.isdisjoint(name.split("/"))
        known[path] = Known(mode, object_id, stamp_of(copy.lstat()), is_tracked)
        originals[path] = stamp_of(status)
    objects = _write_git_view(directory, frame / "git")
    workspace = Workspace(
        tree=frame / "tree",
        scratch=frame / "scratch",
        git=frame / "git" if objects is not None else None,
        objects=objects,
    )
    settle(frame / "settled", max((before.stamp[0] for before in known.values()), default=0))
    return LocalWorkspace(workspace, directory, frame, known, originals)


def _copied(source: Path, target: Path, owner_uid: int | None) -> Iterator[tuple[str, os.stat_result]]:
    """Copy files and symlinks, never what git owns; tell each one's path and how the original looked."""
    waiting = [""]
    entries = 0
    while waiting:
        directory = waiting.pop()
        for entry in _entries_of(source / directory):
            entries += 1
            if entries > MAX_ENTRIES:
                raise ResultRefused(f"{source} holds more than {MAX_ENTRIES} entries")
            name = f"{directory}/{entry.name}" if directory else entry.name
            status = entry.stat(follow_symlinks=False)
            if is_git_name(entry.name) or not _is_copied(status):
                continue
            try:
                if stat.S_ISDIR(status.st_mode):
                    (target / name).mkdir()
                    waiting.append(name)
                else:
                    shutil.copy2(source / name, target / name, follow_symlinks=False)
            except (FileNotFoundError, PermissionError):
                continue  # gone meanwhile, or not the user's to read: then not the turn's either
            if owner_uid is not None:
                os.chown(target / name, owner_uid, owner_uid, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                yield name, status


def _entries_of(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, PermissionError):
        return []


def _is_copied(status: os.stat_result) -> bool:
    return stat.S_IFMT(status.st_mode) in {stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR}


def _write_git_view(directory: Path, view: Path) -> Path | None:
    """Describe the directory's repository to the turn; None where that cannot be done simply."""
    git = _git_directory(directory / ".git")
    if git is None:
        return None
    common = _linked(git, "commondir") or git
    objects = common / "objects"
    alternates = objects / "info" / "alternates"
    head = _head(git, common)
    if head is None or not objects.is_dir() or alternates.exists() or any(git.glob("sharedindex.*")):
        return None
    write_view(view, head=head)
    for origin, name in ((git, "index"), (common, "shallow")):
        if (origin / name).is_file():
            shutil.copyfile(origin / name, view / name)
            (view / name).chmod(0o644)
    return objects


def _git_directory(place: Path) -> Path | None:
    """The git directory a `.git` stands for: itself, or the one that its `gitdir:` line names."""
    if place.is_symlink() or not place.exists():
        return None
    if place.is_dir():
        return place
    text = place.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("gitdir: "):
        return None
    target = (place.parent / text.removeprefix("gitdir: ").strip()).resolve()
    return target if target.is_dir() else None


def _linked(git: Path, name: str) -> Path | None:
    if not (git / name).is_file():
        return None
    return (git / (git / name).read_text(encoding="utf-8", errors="replace").strip()).resolve()


def _head(git: Path, common: Path) -> str | None:
    """What HEAD of the view holds: the commit, or the name of a branch that has none yet."""
    if not (git / "HEAD").is_file():
        return None
    text = (git / "HEAD").read_text(encoding="utf-8", errors="replace").strip()
    ref = text.removeprefix("ref: ")
    if ref != text:
        loose = common / ref
        found = loose.read_text(encoding="utf-8").strip() if loose.is_file() else _packed(common, ref)
        if found is None:
            return f"{text}\n"
        text = found
    return f"{text}\n" if _SHA.fullmatch(text) else None


def _packed(common: Path, ref: str) -> str | None:
    packed = common / "packed-refs"
    if not packed.is_file():
        return None
    for line in packed.read_text(encoding="utf-8", errors="replace").splitlines():
        sha, _, name = line.partition(" ")
        if name == ref:
            return sha
    return None


def _edit_for(change: ChangedFile) -> FileEdit | None:
    if change.kind == "delete":
        return RemoveFile(change.path)
    if change.data is None or change.mode == "120000":
        return None
    return WriteFile(change.path, change.data, executable=change.mode == "100755")


def _parents(path: str) -> list[str]:
    """The directories above `path`, nearest first, the root left out."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


@contextmanager
def _parent_below(root: int, path: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that holds `path`, and the name in it."""
    parent, _, name = path.rpartition("/")
    directory = open_below(root, os.fsencode(parent or "."), os.O_PATH | os.O_DIRECTORY)
    try:
        yield directory, name
    finally:
        os.close(directory)


def _stamp_below(root: int, path: bytes) -> Stamp | None:
    """How the file at `path` looks; None when there is none. A directory is no file."""
    try:
        found = open_below(root, path, os.O_PATH)
    except OSError:
        return None
    try:
        status = os.fstat(found)
        return None if stat.S_ISDIR(status.st_mode) else stamp_of(status)
    finally:
        os.close(found)
