"""A turn's own checkout: made by the host's git before any agent was there, read back as plain data after.

The host's git never runs in the tree again: what changed is found by comparing the tree with what was
written, and what is to be ignored is asked of the base commit's rules, in a directory the agent never sees.
"""

import asyncio
import hashlib
import os
import shutil
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox.base import OBJECTS, FileTooLarge, SandboxError, Workspace
from sandbox.git import Git, end
from sandbox.mirror import ATTRIBUTES, EXCLUDES, Mirror
from sandbox.result import (
    GITLINK,
    MAX_ADDED,
    MAX_FILE_BYTES,
    MAX_RESULT_BYTES,
    ChangedFile,
    Content,
    Kind,
    Known,
    ResultRefused,
    Scan,
    directories_of,
    is_unchanged,
    line_counts,
    opened,
    path_problem,
    read_content,
    scan,
    settle,
    shown,
    stamp_of,
    twins,
)

__all__ = ["ChangedFile", "Checkout", "Workspace", "check_out", "remove_tree", "reopen"]

_SMALL: Final = 1024 * 1024
_LISTING: Final = 256 * 1024 * 1024
_QUICK: Final = 120.0
_CHECK_OUT: Final = 900.0
# Files of a fresh checkout carry this time (2000-01-01): so an edit within the same second is always seen, by
# git's index inside and by tools that compare times in whole seconds (Python's bytecode cache is one).
_CHECKED_OUT_AT: Final = 946_684_800
_VIEW_CONFIG: Final = """\
[core]
\trepositoryformatversion = 0
\tbare = false
\tfilemode = true
\tsymlinks = true
\tlogAllRefUpdates = false
\tcheckStat = minimal
\ttrustctime = false
\tautocrlf = false
\thooksPath = /dev/null
[gc]
\tauto = 0
"""
# The entry of an index, version 2: https://git-scm.com/docs/index-format
_ENTRY: Final = struct.Struct(">10L20sH")
_ENTRY_STAT: Final = struct.Struct(">10L")
_HEADER: Final = struct.Struct(">4sLL")
_NANO: Final = 1_000_000_000
_LOW: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of one commit, handed to one turn."""

    workspace: Workspace
    sha: str
    directory: Path
    _mirror: Mirror = field(repr=False)

    async def changes(self, tree: int | None = None) -> tuple[ChangedFile, ...]:
        """What the tree holds that the commit does not, sorted by path; ignored files are left out.

        `tree` is the checkout as its sandbox shows it (`Sandbox.tree`); without layers the path will do.

        What cannot be delivered is listed with its problem. Raises `ResultRefused` for a tree of no measure.
        """
        known = await asyncio.to_thread(_known_files, self.directory / "record")
        rules = IgnoreRules(self.directory / "ignore", self._mirror.git, self._rule_files(known))
        with opened(self.workspace.tree if tree is None else tree) as root:
            return await compare(root, known, rules, self._base_content)

    async def remove(self) -> None:
        """Delete all of it, whatever the agent did to modes and depth. Safe to call twice."""
        await remove_tree(self.directory)

    def _rule_files(self, known: Mapping[bytes, Known]) -> "RuleFiles":
        async def rule_files() -> Mapping[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            for path, before in known.items():
                if path.rpartition(b"/")[2] != b".gitignore" or before.object_id is None:
                    continue
                if before.mode in {0o100644, 0o100755}:
                    with suppress(FileTooLarge):
                        found[path] = await self._mirror.read_blob(before.object_id, limit=_SMALL) or b""
            return found

        return rule_files

    async def _base_content(self, path: bytes, before: Known) -> bytes | None:
        del path
        if before.object_id is None or before.mode == GITLINK:
            return None
        try:
            return await self._mirror.read_blob(before.object_id, limit=MAX_FILE_BYTES)
        except FileTooLarge:
            return None


RuleFiles = Callable[[], Awaitable[Mapping[bytes, bytes]]]
BaseContent = Callable[[bytes, Known], Awaitable[bytes | None]]


async def check_out(mirror: Mirror, sha: str, directory: Path, *, owner_uid: int | None) -> Checkout:
    """Write the files of `sha` into `directory` (new or empty), owned by `owner_uid` where given.

    Raises `RefUnknown` when the mirror lacks the commit and `GitFailed` when git refuses its paths.
    """
    sha = await mirror.resolve(sha)
    workspace = Workspace(
        tree=directory / "tree",
        scratch=directory / "scratch",
        git=directory / "git",
        objects=mirror.objects,
    )
    index = directory / "git" / "index"
    async with AsyncExitStack() as on_failure:
        on_failure.push_async_callback(remove_tree, directory)
        await asyncio.to_thread(make_directories, directory, owner_uid)
        await asyncio.to_thread(write_view, directory / "git", head=f"{sha}\n")
        # One process reads the commit, writes its files and the index with their stat data.
        await mirror.git.run(
            "read-tree",
            "-m",
            "-u",
            sha,
            limit=_SMALL,
            seconds=_CHECK_OUT,
            environment={"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(workspace.tree)},
        )
        await asyncio.to_thread(_hand_over, workspace.tree, index, owner_uid)
        await asyncio.to_thread(_record, index, directory)
        on_failure.pop_all()
    return Checkout(workspace, sha, directory, mirror)


def reopen(mirror: Mirror, sha: str, directory: Path) -> Checkout | None:
    """The checkout that an earlier process made in `directory`, as its turn left it; None if there is none.

    `sha` is what it was made from. The record is written last, so a checkout that has one is complete.
    """
    if not (directory / "record").is_file():
        return None
    workspace = Workspace(
        tree=directory / "tree",
        scratch=directory / "scratch",
        git=directory / "git",
        objects=mirror.objects,
    )
    return Checkout(workspace, sha, directory, mirror)


def make_directories(directory: Path, owner_uid: int | None) -> None:
    """The frame of a workspace: what is the agent's, what it may see, and what is the host's alone."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ignore").mkdir()
    for name in ("tree", "scratch", "scratch/tmp", "scratch/home"):
        (directory / name).mkdir()
        (directory / name).chmod(0o755)
        if owner_uid is not None:
            os.chown(directory / name, owner_uid, owner_uid)


def write_view(git: Path, *, head: str, objects: str = OBJECTS) -> None:
    """A git directory that only reads: no remotes, no hooks, objects borrowed from the store at `objects`."""
    for directory in (git, git / "info", git / "refs", git / "objects", git / "objects/info"):
        directory.mkdir()
        directory.chmod(0o755)
    for name, text in (
        ("HEAD", head),
        ("config", _VIEW_CONFIG),
        ("info/attributes", ATTRIBUTES),
        ("info/exclude", EXCLUDES),
        ("objects/info/alternates", f"{objects}\n"),
    ):
        (git / name).write_text(text, encoding="utf-8")
        (git / name).chmod(0o644)


def _hand_over(tree: Path, index: Path, owner_uid: int | None) -> None:
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
            os.utime(path, (_CHECKED_OUT_AT, _CHECKED_OUT_AT), dir_fd=root, follow_symlinks=False)
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


def _record(index: Path, directory: Path) -> None:
    """Keep the index as it is now where no agent sees it; being there, it is whole."""
    shutil.copyfile(index, directory / "record.new")
    (directory / "record.new").rename(directory / "record")


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


def _known_files(record: Path) -> dict[bytes, Known]:
    known: dict[bytes, Known] = {}
    for _, path, fields, object_id in _entries(record.read_bytes()):
        change_s, change_ns, modified_s, modified_ns, _, inode, mode, _, _, size = fields
        stamp = (change_s * _NANO + change_ns, modified_s * _NANO + modified_ns, inode, size)
        known[path] = Known(mode, object_id.hex(), stamp)
    return known


class IgnoreRules:
    """Which new paths nobody wants: the base's rules, asked of git in a directory of the host's."""

    def __init__(self, directory: Path, git: Git, rule_files: RuleFiles) -> None:
        self._directory = directory
        self._git = git
        self._rule_files = rule_files
        self._ready = False

    async def ignored(self, paths: Sequence[bytes]) -> set[bytes]:
        """Those of `paths` that a rule matches; directories are given with a slash at the end."""
        if not paths:
            return set()
        if not self._ready:
            await asyncio.to_thread(_write_rules, self._directory, await self._rule_files())
            self._ready = True
        # This command knows no literal paths; the leading dot keeps a name like `:(top)` from being magic.
        output = await self._git.run(
            "check-ignore",
            "--no-index",
            "-z",
            "--stdin",
            stdin=b"".join(b"./%b\0" % path for path in paths),
            limit=_LISTING,
            seconds=_QUICK,
            accept=(0, 1),
            environment={
                "GIT_WORK_TREE": str(self._directory),
                "GIT_INDEX_FILE": "/dev/null",
                "GIT_LITERAL_PATHSPECS": "0",
            },
        )
        return {path.removeprefix(b"./") for path in output.split(b"\0")} - {b""}


def _write_rules(directory: Path, rule_files: Mapping[bytes, bytes]) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()
    for path, data in rule_files.items():
        place = Path(os.fsdecode(os.fsencode(directory) + b"/" + path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


async def compare(
    root: int, known: Mapping[bytes, Known], rules: IgnoreRules, base_content: BaseContent
) -> tuple[ChangedFile, ...]:
    """Every difference between the directory `root` and the `known` files, sorted by path."""
    found = await _walk(root, known, rules)
    deleted = [
        path
        for path, before in known.items()
        if path not in found.seen and before.mode != GITLINK and not _is_below(path, found.unread)
    ]
    ignored = await rules.ignored(
        [
            *found.strangers,
            *(path for path in (*found.suspects, *deleted) if not known[path].tracked),
        ]
    )
    touched = [path for path in (*found.suspects, *found.strangers) if path not in ignored]
    if sum(1 for path in found.strangers if path not in ignored) > MAX_ADDED:
        raise ResultRefused(f"the turn left more than {MAX_ADDED} new files")
    contents = await asyncio.to_thread(_read_all, root, touched, known)
    contents.update((path, None) for path in deleted if path not in ignored)
    changes = [
        _broken(path, "update" if path in known else "add", problem)
        for path, problem in found.problems.items()
    ]
    for path, content in contents.items():
        change = await _change_of(path, content, known.get(path), base_content)
        if change is not None:
            changes.append(change)
    return _without_twins(sorted(changes, key=lambda change: change.path), known, deleted)


async def _walk(root: int, known: Mapping[bytes, Known], rules: IgnoreRules) -> Scan:
    """The whole tree, but for ignored directories without a known file: those are not even entered."""
    known_directories = await asyncio.to_thread(directories_of, known)
    found = Scan()
    start = [b""]
    while start:
        await asyncio.to_thread(scan, root, start, known, known_directories, found)
        strange, found.strange_directories = found.strange_directories, []
        ignored = await rules.ignored([directory + b"/" for directory in strange])
        start = [directory for directory in strange if directory + b"/" not in ignored]
    return found


def _is_below(path: bytes, directories: Sequence[bytes]) -> bool:
    return any(path.startswith(directory + b"/") for directory in directories)


def _read_all(root: int, paths: Sequence[bytes], known: Mapping[bytes, Known]) -> dict[bytes, Content | None]:
    """What is at each path; files whose content turns out to be what it was are left out."""
    contents: dict[bytes, Content | None] = {}
    total = 0
    for path in paths:
        before = known.get(path)
        if before is not None and is_unchanged(root, path, before):
            continue
        content = read_content(root, path)
        if content is not None and content.data is not None:
            total += len(content.data)
            if total > MAX_RESULT_BYTES:
                total -= len(content.data)
                problem = f"the changes together are larger than {MAX_RESULT_BYTES // 1_000_000} MB"
                content = Content("000000", None, problem)
        contents[path] = content
    return contents


async def _change_of(
    path: bytes, content: Content | None, before: Known | None, base_content: BaseContent
) -> ChangedFile | None:
    if content is None and before is None:
        return None
    kind: Kind = "add" if before is None else "delete" if content is None else "update"
    problem = path_problem(path) or (content.problem if content is not None else None)
    if problem is not None:
        return _broken(path, kind, problem)
    old = b"" if before is None else await base_content(path, before)
    new = b"" if content is None else content.data
    if before is not None and content is not None and old == new and f"{before.mode:o}" == content.mode:
        return None
    added, removed = (0, 0) if old is None or new is None else line_counts(old, new)
    return ChangedFile(
        path=path.decode(),
        kind=kind,
        mode="000000" if content is None else content.mode,
        data=None if content is None else content.data,
        added_lines=added,
        removed_lines=removed,
    )


def _broken(path: bytes, kind: Kind, problem: str) -> ChangedFile:
    return ChangedFile(path=shown(path), kind=kind, mode="000000", data=None, problem=problem)


def _without_twins(
    changes: Sequence[ChangedFile], known: Mapping[bytes, Known], deleted: Sequence[bytes]
) -> tuple[ChangedFile, ...]:
    """The changes, with a problem on each new path that differs from another one by case only."""
    added = [change.path.encode() for change in changes if change.kind == "add" and change.problem is None]
    found = twins(added, {*known, *added} - {*deleted}) if added else {}
    return tuple(
        _broken(change.path.encode(), "add", f"differs by case only from {shown(twin)}")
        if (twin := found.get(change.path.encode())) is not None and change.kind == "add"
        else change
        for change in changes
    )


async def remove_tree(directory: Path) -> None:
    """Delete a directory that an agent wrote in. `rm` follows no symlink and is not stopped by depth."""
    if await _tool("rm", "-rf", "--", str(directory)) == 0:
        return
    await _tool("chmod", "-R", "u+rwX", "--", str(directory))
    if await _tool("rm", "-rf", "--", str(directory)) != 0:
        raise SandboxError(f"{directory} cannot be removed")


async def _tool(*argv: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_QUICK):
            return await process.wait()
    finally:
        await end(process)
