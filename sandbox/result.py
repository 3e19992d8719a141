"""Read what a turn left in its checkout, as data; never follow a link, open a device or run anything in it.

Every path is resolved by the kernel beneath the root's descriptor, without symlinks and on one file system; a
file is looked at before it is opened.
"""

import errno
import hashlib
import os
import stat
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from sandbox import syscalls
from sandbox.base import SandboxError
from sandbox.files import BENEATH, is_git_name, open_beneath

MAX_FILE_BYTES: Final = 50_000_000
MAX_RESULT_BYTES: Final = 200_000_000
MAX_ENTRIES: Final = 1_000_000
MAX_ADDED: Final = 50_000
"""New files; each costs the service some 3 kB of memory, whatever is in it."""
MAX_DEPTH: Final = 100
_MAX_LINK_BYTES: Final = 4096
GITLINK: Final = 0o160000
LINK: Final = 0o120000
_MAX_HASHED: Final = 2_000_000_000
_CHUNK: Final = 1024 * 1024
_LOW: Final = 0xFFFFFFFF
_EXACT_EDITS: Final = 300
_EXACT_LINES: Final = 20_000

Kind = Literal["add", "update", "delete"]
Mode = Literal["100644", "100755", "120000", "000000"]
Stamp = tuple[int, int, int, int]
"""Change time, modification time, inode and size: the first cannot be set by whoever owns the file."""


class ResultRefused(SandboxError):
    """The tree cannot be read as a result at all."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One difference between a checkout and the commit it was made from."""

    path: str
    """Relative, with slashes. With a `problem` it is for showing only: odd bytes are escaped."""
    kind: Kind
    mode: Mode
    """`000000` for a deletion and for what git cannot hold."""
    data: bytes | None = field(repr=False)
    """The content; the target of a symlink; None for a deletion or with a problem."""
    problem: str | None = None
    """Why this cannot be delivered."""
    added_lines: int = 0
    removed_lines: int = 0


class Known(NamedTuple):
    """A file as it was when the checkout was made. A tuple, because there may be a hundred thousand."""

    mode: int
    object_id: str | None
    stamp: Stamp
    tracked: bool = True


@dataclass(slots=True)
class Scan:
    """What one walk found. Paths are bytes as the kernel has them."""

    seen: set[bytes] = field(default_factory=set)
    """Known paths that are still there in some form, changed or not."""
    suspects: list[bytes] = field(default_factory=list)
    """Known paths whose stamp differs."""
    strangers: list[bytes] = field(default_factory=list)
    """Files nobody knows."""
    strange_directories: list[bytes] = field(default_factory=list)
    """Directories without a known file below; not yet entered."""
    entered: list[bytes] = field(default_factory=list)
    """Those of them that are not ignored."""
    stamps: dict[bytes, Stamp] = field(default_factory=dict)
    """How suspects and strangers looked."""
    problems: dict[bytes, str] = field(default_factory=dict)
    unread: list[bytes] = field(default_factory=list)
    """Directories that could not be entered: nothing below counts as deleted."""
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """A file as found: its git mode and its bytes, or why there are none."""

    mode: Mode
    data: bytes | None
    problem: str | None = None


def stamp_of(status: os.stat_result) -> Stamp:
    """The part of `status` that tells whether a file was touched, as wide as a git index keeps it."""
    return (
        status.st_ctime_ns & ((_LOW << 32) | _LOW),
        status.st_mtime_ns & ((_LOW << 32) | _LOW),
        status.st_ino & _LOW,
        status.st_size & _LOW,
    )


def settle(probe: Path, newest: int) -> None:
    """Wait until the kernel's clock has passed `newest`, the latest change time of a checkout.

    It ticks coarsely (every 1 to 10 ms): a file changed in the tick it was written in would keep its stamp.
    `probe` is a file of the host's on the same file system.
    """
    while True:
        probe.touch()
        if stamp_of(probe.stat())[0] > newest:
            return
        time.sleep(0.001)


def blob_id(data: bytes) -> str:
    """The name git gives to `data` as a file (SHA-1 object format)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def opened(directory: Path | int) -> Iterator[int]:
    """A descriptor to read a directory with: one that the host made, or has open already."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    if isinstance(directory, int):
        descriptor = os.open(".", flags, dir_fd=directory)
    else:
        descriptor = os.open(directory, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_below(root: int, path: bytes, flags: int) -> int:
    """Open `path` below `root`; no component of it may be a symlink or lie on another file system."""
    resolve = BENEATH | syscalls.RESOLVE_NO_SYMLINKS
    return open_beneath(root, os.fsdecode(path), flags | os.O_NOFOLLOW, resolve=resolve)


def directories_of(paths: Iterable[bytes]) -> set[bytes]:
    """Every directory above any of `paths`, the root (empty) included."""
    found = {b""}
    for path in paths:
        parent = path.rpartition(b"/")[0]
        while parent not in found:
            found.add(parent)
            parent = parent.rpartition(b"/")[0]
    return found


def scan(
    root: int,
    start: Sequence[bytes],
    known: Mapping[bytes, Known],
    known_directories: Collection[bytes],
    found: Scan,
) -> None:
    """Walk the directories `start` below `root`, into `found`. Raises `ResultRefused` if it has no end."""
    waiting = list(start)
    while waiting:
        directory = waiting.pop()
        try:
            descriptor = (
                os.dup(root)
                if directory == b""
                else open_below(root, directory, os.O_RDONLY | os.O_DIRECTORY)
            )
        except OSError as error:
            found.problems[directory] = f"a directory that cannot be read: {error.strerror or error}"
            found.unread.append(directory)
            continue
        try:
            for path, entry in _entries_of(descriptor, directory, found):
                before = known.get(path)
                if before is None or entry.is_dir(follow_symlinks=False):
                    _sort(root, path, entry, known, known_directories, found=found, waiting=waiting)
                elif (stamp := _stamp_of_entry(entry)) is not None:
                    found.seen.add(path)
                    if stamp != before.stamp:
                        found.suspects.append(path)
                        found.stamps[path] = stamp
        finally:
            os.close(descriptor)


def _entries_of(descriptor: int, directory: bytes, found: Scan) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
    prefix = directory + b"/" if directory else b""
    encoding = sys.getfilesystemencoding()
    with os.scandir(descriptor) as entries:
        for entry in entries:
            found.entries += 1
            if found.entries > MAX_ENTRIES:
                raise ResultRefused(f"the checkout holds more than {MAX_ENTRIES} entries")
            yield prefix + entry.name.encode(encoding, "surrogateescape"), entry


def _stamp_of_entry(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        return stamp_of(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None


def _sort(
    root: int,
    path: bytes,
    entry: os.DirEntry[str],
    known: Mapping[bytes, Known],
    known_directories: Collection[bytes],
    *,
    found: Scan,
    waiting: list[bytes],
) -> None:
    """Anything but a known file that is still one."""
    if not entry.is_dir(follow_symlinks=False):
        if path == b".git" and _is_empty_file(entry):
            return  # the mount point of the read-only view
        found.strangers.append(path)
        if (stamp := _stamp_of_entry(entry)) is not None:
            found.stamps[path] = stamp
    elif is_git_name(entry.name):
        _note_git_directory(root, path, found)
    elif path.count(b"/") >= MAX_DEPTH:
        found.problems[path] = f"nested deeper than {MAX_DEPTH} directories"
        found.unread.append(path)
    elif path in known_directories:
        waiting.append(path)
    else:
        # Where a known path is a directory, it is a submodule's place, or there was a file, now gone.
        found.strange_directories.append(path)
        if path in known and known[path].mode == GITLINK:
            found.seen.add(path)


def _is_empty_file(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def is_empty_directory(root: int, path: bytes) -> bool:
    """Whether there is a directory at `path` below `root`, and nothing in it."""
    try:
        descriptor = open_below(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        with os.scandir(descriptor) as entries:
            return next(entries, None) is None
    finally:
        os.close(descriptor)


def _note_git_directory(root: int, path: bytes, found: Scan) -> None:
    if path == b".git" and is_empty_directory(root, path):
        return  # the mount point of the read-only view
    found.problems[path] = "a git directory, or something that some systems take for one"


def is_unchanged(root: int, path: bytes, before: Known) -> bool:
    """Whether the file at `path` has the kind, mode and content of `before`, read piece by piece."""
    if before.object_id is None:
        return False
    try:
        descriptor = open_below(root, path, os.O_PATH)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink("", dir_fd=descriptor))
            return before.mode == LINK and blob_id(target) == before.object_id
        is_same = before.mode == file_mode(status) and before.stamp[3] == status.st_size & _LOW
        if not stat.S_ISREG(status.st_mode) or not is_same or status.st_size > _MAX_HASHED:
            return False
        digest = hashlib.sha1(b"blob %d\0" % status.st_size, usedforsecurity=False)
        with Path(f"/proc/self/fd/{descriptor}").open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest() == before.object_id
    except OSError:
        return False
    finally:
        os.close(descriptor)


def file_mode(status: os.stat_result) -> int:
    """The mode git would give a regular file or a symlink."""
    if stat.S_ISLNK(status.st_mode):
        return LINK
    return 0o100755 if status.st_mode & 0o100 else 0o100644


def read_content(root: int, path: bytes) -> Content | None:
    """The file at `path` as git would hold it; None when there is none, or a directory.

    Opens regular files only.
    """
    try:
        descriptor = open_below(root, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symlink where a directory was
            return None
        return Content("000000", None, f"cannot be read: {error.strerror or error}")
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return None
        if stat.S_ISLNK(status.st_mode):
            return _link_content(path, os.fsencode(os.readlink("", dir_fd=descriptor)))
        if not stat.S_ISREG(status.st_mode):
            return Content("000000", None, f"{_file_type(status.st_mode)}, not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            return Content("000000", None, f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
        with Path(f"/proc/self/fd/{descriptor}").open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return Content("000000", None, f"cannot be read: {error.strerror or error}")
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        return Content("000000", None, f"larger than {MAX_FILE_BYTES // 1_000_000} MB")
    return Content("100755" if file_mode(status) == 0o100755 else "100644", data)


def _link_content(path: bytes, target: bytes) -> Content:
    if len(target) > _MAX_LINK_BYTES or path_problem(target.lstrip(b"/")) is not None:
        return Content("000000", None, "a symlink whose target is no plain path")
    if target.startswith(b"/"):
        return Content("000000", None, "a symlink to an absolute path")
    # The link's own directory is real, so leading `..` can be counted; behind a name, `..` may mean anything.
    parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == b"..":
        climbs += 1
    if climbs > path.count(b"/") or b".." in parts[climbs:]:
        return Content("000000", None, "a symlink that leads out of the checkout")
    if path.rpartition(b"/")[2].lower().startswith(b".git"):
        return Content("000000", None, "a symlink in the place of one of git's own files")
    return Content("120000", target)


def _file_type(mode: int) -> str:
    names = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return names.get(stat.S_IFMT(mode), "a special file")


def path_problem(path: bytes) -> str | None:
    """Why a path of this name cannot be delivered to every system; None when it can."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return "a name that is not valid UTF-8"
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        return "a name with a line break or control character"
    if "\\" in text:
        return "a name with a backslash"
    if any(is_git_name(part) for part in text.split("/")):
        return "a name that some systems take for a git directory"
    return None


def shown(path: bytes) -> str:
    """`path` for people: what cannot be printed is escaped."""
    text = path.decode(errors="backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def folded(path: bytes) -> str:
    """`path` as a file system that ignores case and composition would compare it."""
    return unicodedata.normalize("NFC", path.decode(errors="replace")).casefold()


def twins(added: Collection[bytes], present: Collection[bytes]) -> dict[bytes, bytes]:
    """For each of `added` the path in `present` (a file or a directory) that differs from it by case only."""
    if not added:
        return {}
    everything = {*present, *directories_of(present)} - {b""}
    by_fold: dict[str, set[bytes]] = {}
    for path in everything:
        by_fold.setdefault(folded(path), set()).add(path)
    found: dict[bytes, bytes] = {}
    for path in added:
        for prefix in (path, *(directories_of([path]) - {b""})):
            if others := by_fold.get(folded(prefix), set()) - {prefix}:
                found[path] = min(others)
    return found


def line_counts(before: bytes, after: bytes) -> tuple[int, int]:
    """Lines added and removed: by a shortest edit; for vast changes by counting differing lines."""
    if b"\0" in before[:8000] or b"\0" in after[:8000]:
        return 0, 0
    old, new = before.splitlines(), after.splitlines()
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    if not old or not new:
        return len(new), len(old)
    edits = _shortest_edit(old, new)
    if edits is not None:
        return (edits + len(new) - len(old)) // 2, (edits + len(old) - len(new)) // 2
    return (Counter(new) - Counter(old)).total(), (Counter(old) - Counter(new)).total()


def _shortest_edit(old: Sequence[bytes], new: Sequence[bytes]) -> int | None:
    """Length of the shortest script of insertions and deletions (Myers 1986, greedy); None if too long."""
    if len(old) + len(new) > _EXACT_LINES:
        return None
    reached = {1: 0}
    for edits in range(min(len(old) + len(new), _EXACT_EDITS) + 1):
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1])
            x = reached[diagonal + 1] if down else reached[diagonal - 1] + 1
            while x < len(old) and x - diagonal < len(new) and old[x] == new[x - diagonal]:
                x += 1
            if x >= len(old) and x - diagonal >= len(new):
                return edits
            reached[diagonal] = x
    return None
