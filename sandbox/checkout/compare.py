"""What a turn left, as changes: where its tree may differ is found elsewhere, and judged here, file by file.

Two ways find it: a walk over all files with their stamps (`walk_tree`), for a checkout of its own files, and
a walk over what overlayfs wrote (`sandbox.checkout.upper`), which costs nothing for what was not touched.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sandbox.checkout.ignored import IgnoreRules
from sandbox.result import (
    GITLINK,
    MAX_ADDED,
    MAX_RESULT_BYTES,
    ChangedFile,
    Content,
    Kind,
    Known,
    ResultRefused,
    Scan,
    Stamp,
    directories_of,
    is_unchanged,
    line_counts,
    path_problem,
    read_content,
    scan,
    shown,
    twins,
)

BaseContent = Callable[[bytes, Known], Awaitable[bytes | None]]
Present = Callable[[Collection[bytes], Collection[bytes]], Awaitable[set[bytes]]]
"""Paths that were there and are not among the second: at least those that could be twins of the first."""
TOO_MUCH: Final = f"the changes together are larger than {MAX_RESULT_BYTES // 1_000_000} MB"


@dataclass(slots=True)
class Differences:
    """Where a tree may differ from what it was made from; ignored paths are left out."""

    suspects: dict[bytes, Known] = field(default_factory=dict)
    """Known paths: changed, gone, or only touched."""
    strangers: list[bytes] = field(default_factory=list)
    """New files."""
    directories: list[bytes] = field(default_factory=list)
    """New directories."""
    problems: list[ChangedFile] = field(default_factory=list)
    stamps: dict[bytes, Stamp] = field(default_factory=dict)
    """How the files among these looked."""


async def walk_tree(root: int, known: Mapping[bytes, Known], rules: IgnoreRules) -> Differences:
    """Look at every file of the directory `root`. Raises `ResultRefused` if there is no end to it."""
    found = await _walk(root, known, rules)
    deleted = [
        path
        for path, before in known.items()
        if path not in found.seen and before.mode != GITLINK and not _is_below(path, found.unread)
    ]
    suspects = [*found.suspects, *deleted]
    ignored = await rules.ignored([*found.strangers, *(path for path in suspects if not known[path].tracked)])
    return Differences(
        suspects={path: known[path] for path in suspects if path not in ignored},
        strangers=[path for path in found.strangers if path not in ignored],
        directories=found.entered,
        problems=[
            broken(path, "update" if path in known else "add", problem)
            for path, problem in found.problems.items()
        ],
        stamps=found.stamps,
    )


async def judge(
    root: int, found: Differences, base_content: BaseContent, present: Present
) -> tuple[ChangedFile, ...]:
    """What really differs, sorted by path; what cannot be delivered with its problem."""
    if len(found.strangers) > MAX_ADDED:
        raise ResultRefused(f"the turn left more than {MAX_ADDED} new files")
    touched = [*found.suspects, *found.strangers]
    contents = await asyncio.to_thread(_read_all, root, touched, found.suspects)
    changes = list(found.problems)
    for path, content in contents.items():
        change = await _change_of(path, content, found.suspects.get(path), base_content)
        if change is not None:
            changes.append(change)
    gone = {path for path, content in contents.items() if content is None}
    return await _without_twins(sorted(changes, key=lambda change: change.path), gone, present)


def broken(path: bytes, kind: Kind, problem: str) -> ChangedFile:
    """A change that cannot be delivered."""
    return ChangedFile(path=shown(path), kind=kind, mode="000000", data=None, problem=problem)


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
        found.entered += start
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
        if content is None and before is not None and before.mode == GITLINK:
            continue
        if content is not None and content.data is not None:
            total += len(content.data)
            if total > MAX_RESULT_BYTES:
                total -= len(content.data)
                content = Content("000000", None, TOO_MUCH)
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
        return broken(path, kind, problem)
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


async def _without_twins(
    changes: Sequence[ChangedFile], gone: Collection[bytes], present: Present
) -> tuple[ChangedFile, ...]:
    """The changes, with a problem on each new path that differs from another one by case only."""
    added = [change.path.encode() for change in changes if change.kind == "add" and change.problem is None]
    found = twins(added, {*await present(added, gone), *added}) if added else {}
    return tuple(
        broken(change.path.encode(), "add", f"differs by case only from {shown(twin)}")
        if (twin := found.get(change.path.encode())) is not None and change.kind == "add"
        else change
        for change in changes
    )
