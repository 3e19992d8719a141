"""The work tree as it was after a step: kept at the cost of what changed, and brought back exactly.

A snapshot is a list of the paths that differ from the commit, with the content of each in a store of the
host's, outside of every sandbox. Left out, and left alone when one is brought back: files that are ignored
(what builds leave behind), what git could not hold anyway (devices, `.git` look-alikes), and the modes of
directories that the commit has. A file larger than `MAX_FILE_BYTES`, or that would make the store larger than
`MAX_STORE_BYTES`, is noted but not kept; bringing back leaves it as it is then.

Where there is an `Elsewhere`, whatever a snapshot needs is there, too, when it has its name: another machine
can bring it back. Only what is new goes there at each step.
"""

import asyncio
import errno
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, cast, get_args

from sandbox.base import SandboxError
from sandbox.checkout import Checkout
from sandbox.checkout.compare import Differences
from sandbox.checkout.full_tree import CHECKED_OUT_AT
from sandbox.durable import sync_names, write_whole
from sandbox.result import (
    GITLINK,
    LINK,
    MAX_FILE_BYTES,
    ChangedFile,
    Known,
    Stamp,
    directories_of,
    open_below,
    opened,
)

UNCHANGED: Final = hashlib.sha256(b"").hexdigest()[:20]
"""The snapshot of a tree that is as its commit has it."""
MAX_STORE_BYTES: Final = 1_000_000_000
_CLOCK_REALTIME_COARSE: Final = 5
"""https://man7.org/linux/man-pages/man2/clock_gettime.2.html; Python has no name for it."""
_NAME_LENGTH: Final = 20
_STAGED: Final = ".darner-restored-"


class Elsewhere(Protocol):
    """A store of one turn's snapshots that other machines reach. Names are relative, with slashes."""

    async def put(self, files: Mapping[str, Path]) -> None:
        """Have all of these there when it returns. Raises `OSError`."""
        ...

    async def get(self, name: str) -> bytes | None:
        """None when it is not there. Raises `OSError`."""
        ...


Kind = Literal["file", "link", "directory", "gone", "other"]


class SnapshotUnknown(SandboxError):
    """There is no such snapshot, or part of it is lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no snapshot {name!r} of this checkout")


class NotRestored(SandboxError):
    """Some paths could not be brought back; all others were."""

    def __init__(self, failures: Mapping[bytes, str]) -> None:
        self.failures = failures
        first = "; ".join(f"{path!r}: {why}" for path, why in list(failures.items())[:3])
        super().__init__(f"{len(failures)} paths could not be brought back: {first}")


@dataclass(frozen=True, slots=True)
class _State:
    """What is at a path. Equal states are equal files."""

    kind: Kind
    mode: int = 0
    content: str = ""
    """Its name in the store; empty for what has none, or was too large to keep."""


_GONE: Final = _State("gone")


@dataclass(slots=True)
class Snapshots:
    """Those of one checkout. Belongs to one event loop."""

    checkout: Checkout
    owner_uid: int | None
    """Who files that come back are given to, as for `check_out`."""
    elsewhere: Elsewhere | None = None
    _is_elsewhere: set[str] = field(default_factory=set)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _seen: dict[bytes, tuple[Stamp, _State]] = field(default_factory=dict)
    """What was found at a path that has not been touched since."""
    _stored: int | None = None

    async def take(self, tree: int) -> str:
        """Keep what `tree` (the checkout as its sandbox shows it) is now; the same tree has the same name.

        Raises `ResultRefused` for a tree of no measure, and `OSError` when the disk takes no more.
        """
        async with self._lock:
            with opened(tree) as root:
                found = await self.checkout.differences(root)
                name, states = await asyncio.to_thread(self._take, root, found)
            if self.elsewhere is not None:
                await self._send(self.elsewhere, name, states)
            return name

    async def restore(self, name: str | None, tree: int) -> None:
        """Make `tree` what it was at that snapshot; None: what the commit holds.

        Nothing may run in it meanwhile. Raises `SnapshotUnknown` with nothing done, and `NotRestored`.
        """
        async with self._lock:
            if name is not None and self.elsewhere is not None:
                await self._bring(self.elsewhere, name)
            states = {} if name is None else await asyncio.to_thread(self._read, name)
            with opened(tree) as root:
                found = await self.checkout.differences(root)
                restoring = _Restoring(root, self.owner_uid)
                current = {**found.suspects, **dict.fromkeys(found.strangers)}
                await asyncio.to_thread(restoring.make_room, found, states)
                for path in sorted({*current, *states}):
                    await self._restore_one(restoring, path, states.get(path), current.get(path))
            self._seen.clear()
            if restoring.failures:
                raise NotRestored(restoring.failures)

    async def lay(self, files: Sequence[ChangedFile], tree: int) -> None:
        """Make these changes in `tree`. Nothing may run in it meanwhile; the same again changes nothing.

        Raises `NotRestored` for what could not be put there; all others were.
        """
        async with self._lock:
            with opened(tree) as root:
                restoring = _Restoring(root, self.owner_uid)
                await asyncio.to_thread(restoring.lay, files)
            self._seen.clear()
            if restoring.failures:
                raise NotRestored(restoring.failures)

    async def _restore_one(
        self, restoring: "_Restoring", path: bytes, state: _State | None, known: Known | None
    ) -> None:
        if state is None and known is not None and known.mode != GITLINK:
            data = await self.checkout.base_content(path, known)
            if data is not None:
                await asyncio.to_thread(restoring.put, path, _base_state(known), data, at=CHECKED_OUT_AT)
        elif state is not None and state.kind in {"file", "link"} and state.content:
            data = await asyncio.to_thread(self._content(state).read_bytes)
            await asyncio.to_thread(restoring.put, path, state, data)

    @property
    def _directory(self) -> Path:
        return self.checkout.directory / "snapshots"

    def _content(self, state: _State) -> Path:
        return self._directory / "content" / state.content

    async def _send(self, elsewhere: Elsewhere, name: str, states: Mapping[bytes, _State]) -> None:
        """The contents before the list that names them."""
        contents = {f"content/{state.content}" for state in states.values() if state.content}
        for names in (contents - self._is_elsewhere, {name} - self._is_elsewhere):
            if names:
                await elsewhere.put({each: self._directory / each for each in sorted(names)})
                self._is_elsewhere |= names

    async def _bring(self, elsewhere: Elsewhere, name: str) -> None:
        """Have what the snapshot needs here. Raises `SnapshotUnknown`."""
        (self._directory / "content").mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self._directory / name).exists():
            text = await elsewhere.get(name)
            if text is None or _name_of(text)[:_NAME_LENGTH] != name:
                raise SnapshotUnknown(name)
            await asyncio.to_thread(write_whole, self._directory / name, text)
        for state in (await asyncio.to_thread(self._listed, name)).values():
            if not state.content or self._content(state).exists():
                continue
            data = await elsewhere.get(f"content/{state.content}")
            if data is None or _name_of(data) != state.content:
                raise SnapshotUnknown(name)
            await asyncio.to_thread(write_whole, self._content(state), data)

    def _take(self, root: int, found: Differences) -> tuple[str, Mapping[bytes, _State]]:
        (self._directory / "content").mkdir(parents=True, exist_ok=True, mode=0o700)
        # The clock that stamps files: what changes from now on has this time or a later one.
        begun = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        states = {path: self._state_of(root, path, found, begun) for path in _files_of(found)}
        self._seen = {path: seen for path, seen in self._seen.items() if path in states}
        # Of the directories that the commit has, those that lost a file may be gone as well.
        emptied = directories_of(path for path, state in states.items() if state == _GONE) - {b""}
        for path in (*found.directories, *(emptied - states.keys())):
            states[path] = _state_at(root, path, self._store)
        text = b"".join(
            f"{state.kind} {state.mode:o} {state.content or '-'} ".encode() + path + b"\0"
            for path, state in sorted(states.items())
        )
        name = _name_of(text)[:_NAME_LENGTH]
        if not (self._directory / name).exists():
            # On the disk before anything speaks of it: the journal outlives a power cut, and so must this.
            sync_names(self._directory / "content")
            write_whole(self._directory / name, text)
            sync_names(self._directory)
        return name, states

    def _state_of(self, root: int, path: bytes, found: Differences, begun: int) -> _State:
        stamp = found.stamps.get(path)
        if stamp is not None and path in self._seen and self._seen[path][0] == stamp:
            return self._seen[path][1]
        state = _state_at(root, path, self._store)
        if stamp is not None and stamp[0] < begun:
            self._seen[path] = (stamp, state)
        return state

    def _store(self, data: bytes) -> str:
        """The content's name in the store; empty when there is no more room for it."""
        content = _name_of(data)
        place = self._directory / "content" / content
        if place.exists():
            return content
        if self._stored is None:
            self._stored = sum(each.stat().st_size for each in place.parent.iterdir())
        if self._stored + len(data) > MAX_STORE_BYTES:
            return ""
        write_whole(place, data)
        self._stored += len(data)
        return content

    def _read(self, name: str) -> dict[bytes, _State]:
        """Raises `SnapshotUnknown` where anything of it is missing or not what it was."""
        states = self._listed(name)
        for content in {state.content for state in states.values() if state.content}:
            try:
                data = (self._directory / "content" / content).read_bytes()
            except FileNotFoundError:
                raise SnapshotUnknown(name) from None
            if _name_of(data) != content:
                raise SnapshotUnknown(name)
        return states

    def _listed(self, name: str) -> dict[bytes, _State]:
        try:
            text = (self._directory / name).read_bytes()
        except FileNotFoundError:
            raise SnapshotUnknown(name) from None
        if _name_of(text)[:_NAME_LENGTH] != name:
            raise SnapshotUnknown(name)
        states: dict[bytes, _State] = {}
        for line in text.split(b"\0")[:-1]:
            kind, mode, content, path = line.split(b" ", 3)
            states[path] = _State(_kind(kind.decode()), int(mode, 8), content.decode().removeprefix("-"))
        return states


@dataclass(slots=True)
class _Restoring:
    """Puts things back below one descriptor; what cannot be is noted, and the rest goes on."""

    root: int
    owner_uid: int | None
    failures: dict[bytes, str] = field(default_factory=dict)

    def make_room(self, found: Differences, states: Mapping[bytes, _State]) -> None:
        """Remove what was not there then, and what stands where something else was; make directories."""
        gone = {path for path, state in states.items() if state == _GONE}
        for path in _files_of(found):
            if path not in states and path not in found.suspects:
                self._noting(path, self._remove)
        for path in gone:
            self._noting(path, self._remove)
        for path in sorted({*found.directories, *gone}, key=len, reverse=True):
            if path in gone or path not in states:
                with suppress(OSError), self._parent(path) as (parent, name):
                    os.rmdir(name, dir_fd=parent)  # stays if something ignored is in it
        for path in sorted(path for path, state in states.items() if state.kind == "directory"):
            self._noting(path, self._make_directory)
            with suppress(OSError), self._parent(path + b"/.") as (directory, _):
                os.fchmod(directory, states[path].mode)

    def lay(self, files: Sequence[ChangedFile]) -> None:
        """Deletions first: a file may stand where a directory was."""
        for file in sorted(files, key=lambda file: file.kind != "delete"):
            path = os.fsencode(file.path)
            if file.kind == "delete":
                self._noting(path, self._remove)
            elif file.data is not None:
                is_link = file.mode == "120000"
                state = _State("link") if is_link else _State("file", int(file.mode[-3:], 8))
                self.put(path, state, file.data)

    def put(self, path: bytes, state: _State, data: bytes, *, at: int | None = None) -> None:
        """Have this file or symlink at `path`, with the time `at` where given."""

        def put(path: bytes) -> None:
            if _state_at(self.root, path, _name_of) == _State(state.kind, state.mode, _name_of(data)):
                return
            with self._parent(path, make=True) as (parent, name):
                self._clear(parent, name, keep_files=True)
                staged = f"{_STAGED}{secrets.token_hex(4)}"
                if state.kind == "link":
                    os.symlink(data, staged, dir_fd=parent)
                else:
                    _write_new(parent, staged, data, state.mode)
                if self.owner_uid is not None:
                    os.chown(staged, self.owner_uid, self.owner_uid, dir_fd=parent, follow_symlinks=False)
                if at is not None:
                    os.utime(staged, (at, at), dir_fd=parent, follow_symlinks=False)
                os.rename(staged, name, src_dir_fd=parent, dst_dir_fd=parent)

        self._noting(path, put)

    def _noting(self, path: bytes, act: Callable[[bytes], None]) -> None:
        try:
            act(path)
        except OSError as error:
            self.failures[path] = error.strerror or str(error)

    def _remove(self, path: bytes) -> None:
        """Whatever file is there; a directory stays."""
        with (
            suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError),
            self._parent(path) as (parent, name),
        ):
            os.unlink(name, dir_fd=parent)

    def _make_directory(self, path: bytes) -> None:
        with self._parent(path + b"/.", make=True):
            pass

    @contextmanager
    def _parent(self, path: bytes, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """The directory that holds `path`, and the name in it. Missing ones are made if asked for."""
        *parents, name = path.split(b"/")
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.root)
        try:
            for parent in parents:
                flags = os.O_RDONLY | os.O_DIRECTORY
                try:
                    below = open_below(descriptor, parent, flags)
                except OSError:
                    if not make:
                        raise
                    self._clear(descriptor, parent)
                    os.mkdir(parent, 0o755, dir_fd=descriptor)
                    below = open_below(descriptor, parent, flags)
                    if self.owner_uid is not None:
                        os.fchown(below, self.owner_uid, self.owner_uid)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _clear(self, parent: int, name: bytes, *, keep_files: bool = False) -> None:
        """Make way at a name: a directory with all that is in it, or a file that is no directory."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(os.fsdecode(name), dir_fd=parent)
        elif not keep_files:
            os.unlink(name, dir_fd=parent)


def _files_of(found: Differences) -> list[bytes]:
    return [*found.suspects, *found.strangers]


def _base_state(known: Known) -> _State:
    if known.mode == LINK:
        return _State("link")
    return _State("file", 0o755 if known.mode & 0o111 else 0o644)


def _state_at(root: int, path: bytes, store: Callable[[bytes], str]) -> _State:
    """What is at `path` below `root`; its content goes to `store`, which names it."""
    try:
        descriptor = open_below(root, path, os.O_PATH)
    except OSError as error:
        is_gone = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
        return _GONE if is_gone else _State("other")
    try:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode) & 0o777
        if stat.S_ISDIR(status.st_mode):
            return _State("directory", mode)
        if stat.S_ISLNK(status.st_mode):
            return _State("link", content=store(os.fsencode(os.readlink("", dir_fd=descriptor))))
        if not stat.S_ISREG(status.st_mode):
            return _State("other")
        if status.st_size > MAX_FILE_BYTES:
            return _State("file", mode)
        with Path(f"/proc/self/fd/{descriptor}").open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        return _State("file", mode, store(data) if len(data) <= MAX_FILE_BYTES else "")
    except PermissionError:
        return _State("other")
    finally:
        os.close(descriptor)


def _name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _kind(text: str) -> Kind:
    if text not in get_args(Kind):
        raise SnapshotUnknown(text)
    return cast("Kind", text)


def _write_new(directory: int, name: str, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=directory), "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
