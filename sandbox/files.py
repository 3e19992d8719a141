"""Reads and changes the files of a checkout for our own tools. Never follows a path out of it or into `.git`.

The sandbox plants, the host opens: every path here was chosen by a model and every directory entry may have
been made by hostile code. So the kernel resolves each path beneath an open directory (`openat2`), what was
found is looked at before it is opened, and a write makes a new inode that is renamed into place.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, assert_never

from sandbox import syscalls
from sandbox.base import (
    WORKSPACE,
    FileContent,
    FileEdit,
    FileMissing,
    FileTooLarge,
    PathRefused,
    Policy,
    ReadOnly,
    RemoveFile,
    SandboxMode,
    SandboxUnavailable,
    WriteFile,
)

BENEATH: Final = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_XDEV

# Code points that HFS+ ignores in names, so that ".g\u200cit" is ".git" there:
# https://github.com/git/git/blob/master/utf8.c (next_hfs_char).
_IGNORED_BY_HFS: Final = dict.fromkeys(
    (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF)
)
_STAGED: Final = ".darner-staged-"
_BACKUP: Final = ".darner-former-"


def is_git_name(component: str) -> bool:
    """Whether some file system takes this name for `.git`: any case, NTFS short names and streams, HFS+."""
    for part in component.split("\\"):
        name = part.translate(_IGNORED_BY_HFS).split(":", 1)[0].rstrip(" .").casefold()
        if name in {".git", "git~1"}:
            return True
    return False


class CheckoutFiles:
    """The `Files` of one directory: a turn's checkout, or the plain directory that `darner patch` was given.

    `root` is its path, or an open descriptor of it that outlives this object.

    `owner_uid` is who new files are given to when the service is root: the user whom commands run as.
    """

    def __init__(self, root: Path | int, policy: Policy, owner_uid: int | None = None) -> None:
        self._root = root
        self._policy = policy
        self._owner_uid = owner_uid

    def read(self, path: str, *, limit: int) -> FileContent:
        """See `Files.read`. Looks at the file before it opens it: a FIFO or a device is never touched."""
        relative = relative_path(path)
        with self._open_root() as root, _entry(root, relative, shown=path) as found:
            _refuse_git(root, found, shown=path)
            status = os.fstat(found)
            _refuse_irregular(status, shown=path)
            if status.st_size > limit:
                raise FileTooLarge(path, limit)
            data = _read_up_to(found, limit + 1, shown=path)
        if len(data) > limit:
            raise FileTooLarge(path, limit)
        return FileContent(data=data, executable=bool(status.st_mode & stat.S_IXUSR))

    def apply(self, edits: Sequence[FileEdit]) -> None:
        """See `Files.apply`. Plans and stages all before the first name changes; a fault undoes it all."""
        if not edits:
            return
        if self._policy.mode is SandboxMode.READ_ONLY:
            raise ReadOnly(edits[0].path)
        with self._open_root() as root, ExitStack() as stack:
            change = stack.enter_context(_Change(root, self._owner_uid))
            for edit in edits:
                change.plan(edit)
            change.commit()

    @contextmanager
    def _open_root(self) -> Iterator[int]:
        if isinstance(self._root, int):
            yield self._root
            return
        try:
            root = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise PathRefused(str(self._root), "the checkout is not a directory") from error
        try:
            yield root
        finally:
            os.close(root)


def relative_path(path: str) -> str:
    """The path relative to the checkout, without naming `.git` anywhere. Raises `PathRefused`."""
    if not path or "\0" in path:
        raise PathRefused(path.replace("\0", "\\0"), "not a path")
    if path.startswith("/") and path != WORKSPACE and not path.startswith(f"{WORKSPACE}/"):
        raise PathRefused(path, "outside the checkout")
    inner = path.removeprefix(WORKSPACE).strip("/") if path.startswith("/") else path
    parts = [part for part in inner.split("/") if part not in {"", "."}]
    if any(is_git_name(part) for part in parts):
        raise PathRefused(path, ".git is not for tools to read or change")
    return "/".join(parts) or "."


def open_beneath(directory: int, path: str, flags: int, *, resolve: int = BENEATH) -> int:
    """`openat2` as this module uses it. Raises `OSError`, and `SandboxUnavailable` on a kernel without it."""
    try:
        return syscalls.openat2(directory, path, flags, resolve=resolve)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        raise SandboxUnavailable(
            "This kernel has no openat2, without which files of a checkout cannot be opened safely.",
            remedy="Use Linux 5.6 or newer, and a container profile that allows openat2.",
        ) from error


@dataclass(slots=True)
class _Target:
    """One name that will change: where it is, what is there now, and what was done so far."""

    shown: str
    directory: int
    name: str
    former: os.stat_result | None
    edit: FileEdit
    staged: str | None = None
    backup: str | None = None
    is_changed: bool = False


@dataclass(slots=True)
class _Change:
    """A set of edits on its way from plan to done. Leaving it before the end restores everything."""

    root: int
    owner_uid: int | None
    _targets: dict[tuple[str, str], _Target] = field(default_factory=dict)
    _made: list[tuple[int, str]] = field(default_factory=list)
    _open: list[int] = field(default_factory=list)
    _is_done: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._is_done:
                self._restore()
        finally:
            for descriptor in self._open:
                os.close(descriptor)

    def plan(self, edit: FileEdit) -> None:
        """Find where the edit goes and whether it may. A later edit of a file replaces an earlier one."""
        match edit:
            case WriteFile():
                target = self._target_of_write(edit)
            case RemoveFile():
                target = self._target_of_removal(edit)
            case _:
                assert_never(edit)
        key = (_path_of(target.directory), target.name)
        earlier = self._targets.get(key)
        is_gone = target.former is None if earlier is None else isinstance(earlier.edit, RemoveFile)
        if isinstance(edit, RemoveFile) and is_gone:
            raise FileMissing(edit.path)
        self._targets[key] = target

    def commit(self) -> None:
        """Stage every new inode, then change every name."""
        for number, target in enumerate(self._targets.values()):
            try:
                self._stage(target, number)
            except OSError as error:
                raise PathRefused(target.shown, f"cannot be written: {error.strerror}") from error
        for number, target in enumerate(self._targets.values()):
            try:
                self._rename(target, number)
            except OSError as error:
                raise PathRefused(target.shown, f"cannot be changed: {error.strerror}") from error
        self._is_done = True
        for target in self._targets.values():
            if target.backup is not None:
                _unlink_quietly(target.backup, target.directory)

    def _target_of_write(self, edit: WriteFile) -> _Target:
        relative = relative_path(edit.path)
        directory_path, _, name = relative.rpartition("/")
        if name in {"", ".", ".."}:
            raise PathRefused(edit.path, "not a file name")
        directory = self._directory(directory_path, shown=edit.path)
        former = _status_in(directory, name, shown=edit.path)
        if former is not None and stat.S_ISLNK(former.st_mode):
            directory, name = self._behind_link(relative, shown=edit.path)
            former = _status_in(directory, name, shown=edit.path)
        if former is not None:
            _refuse_irregular(former, shown=edit.path)
        return _Target(edit.path, directory, name, former, edit)

    def _target_of_removal(self, edit: RemoveFile) -> _Target:
        relative = relative_path(edit.path)
        directory_path, _, name = relative.rpartition("/")
        if name in {"", ".", ".."}:
            raise PathRefused(edit.path, "not a file name")
        with _entry(self.root, directory_path or ".", shown=edit.path) as found:
            _refuse_git(self.root, found, shown=edit.path)
            directory = os.dup(found)
        self._open.append(directory)
        former = _status_in(directory, name, shown=edit.path)
        # A symbolic link is removed itself, whatever it points at.
        if former is not None and not stat.S_ISLNK(former.st_mode):
            _refuse_irregular(former, shown=edit.path)
        return _Target(edit.path, directory, name, former, edit)

    def _directory(self, path: str, *, shown: str) -> int:
        """The directory at `path`, made when it is missing."""
        parts = path.split("/") if path else []
        directory = self._keep(open_beneath(self.root, ".", os.O_PATH | os.O_DIRECTORY))
        for depth, name in enumerate(parts, start=1):
            prefix = "/".join(parts[:depth])
            try:
                found = open_beneath(self.root, prefix, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                self._make_directory(directory, name, shown=shown)
                found = _open_entry(self.root, prefix, os.O_PATH | os.O_DIRECTORY, shown=shown)
            except OSError as error:
                raise _refusal(error, shown) from error
            directory = self._keep(found)
        _refuse_git(self.root, directory, shown=shown)
        return directory

    def _make_directory(self, directory: int, name: str, *, shown: str) -> None:
        _refuse_git(self.root, directory, shown=shown)
        try:
            os.mkdir(name, 0o755, dir_fd=directory)
        except FileExistsError:
            raise PathRefused(shown, f"{name} is a symbolic link to nothing") from None
        except OSError as error:
            raise PathRefused(shown, f"its directory cannot be made: {error.strerror}") from error
        self._made.append((directory, name))
        owner = self._owner_in(directory)
        if owner is not None:
            os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)

    def _behind_link(self, relative: str, *, shown: str) -> tuple[int, str]:
        """The directory and the name of the file that a symbolic link leads to."""
        with _entry(self.root, relative, shown=shown) as found:
            _refuse_git(self.root, found, shown=shown)
            inner = _path_of(found).removeprefix(_path_of(self.root)).strip("/")
        directory_path, _, name = inner.rpartition("/")
        flags = os.O_PATH | os.O_DIRECTORY
        directory = _open_entry(self.root, directory_path or ".", flags, shown=shown)
        return self._keep(directory), name

    def _stage(self, target: _Target, number: int) -> None:
        edit = target.edit
        if isinstance(edit, RemoveFile):
            return
        name = _unused_name(target.directory, _STAGED, number)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=target.directory)
        target.staged = name
        with os.fdopen(descriptor, "wb") as file:
            file.write(edit.data)
            file.flush()
            owner = self._owner_of(target)
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, _mode_for(edit, target.former))

    def _rename(self, target: _Target, number: int) -> None:
        directory = target.directory
        if target.former is not None:
            # A second name for the old inode: how it comes back when a later edit fails.
            backup = _unused_name(directory, _BACKUP, number)
            os.link(target.name, backup, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            target.backup = backup
        if target.staged is not None:
            os.rename(target.staged, target.name, src_dir_fd=directory, dst_dir_fd=directory)
            target.staged = None
        elif target.former is not None:
            os.unlink(target.name, dir_fd=directory)
        target.is_changed = True

    def _restore(self) -> None:
        for target in reversed(self._targets.values()):
            directory = target.directory
            if target.staged is not None:
                _unlink_quietly(target.staged, directory)
            if target.backup is not None and target.is_changed:
                os.rename(target.backup, target.name, src_dir_fd=directory, dst_dir_fd=directory)
            elif target.backup is not None:
                _unlink_quietly(target.backup, directory)
            elif target.is_changed:
                _unlink_quietly(target.name, directory)
        for directory, name in reversed(self._made):
            with suppress(OSError):
                os.rmdir(name, dir_fd=directory)

    def _owner_of(self, target: _Target) -> tuple[int, int] | None:
        if target.former is not None and self.owner_uid is None and os.geteuid() == 0:
            return target.former.st_uid, target.former.st_gid
        return self._owner_in(target.directory)

    def _owner_in(self, directory: int) -> tuple[int, int] | None:
        """Who a new entry belongs to: only root can choose, and must not leave files of its own behind."""
        if os.geteuid() != 0:
            return None
        if self.owner_uid is not None:
            return self.owner_uid, self.owner_uid
        status = os.fstat(directory)
        return status.st_uid, status.st_gid

    def _keep(self, descriptor: int) -> int:
        self._open.append(descriptor)
        return descriptor


@contextmanager
def _entry(root: int, relative: str, *, shown: str) -> Iterator[int]:
    found = _open_entry(root, relative, os.O_PATH, shown=shown)
    try:
        yield found
    finally:
        os.close(found)


def _open_entry(root: int, relative: str, flags: int, *, shown: str) -> int:
    try:
        return open_beneath(root, relative, flags)
    except OSError as error:
        raise _refusal(error, shown) from error


def _refusal(error: OSError, shown: str) -> FileMissing | PathRefused:
    match error.errno:
        case errno.ENOENT:
            return FileMissing(shown)
        case errno.EXDEV:
            return PathRefused(shown, "leads outside the checkout")
        case errno.ELOOP:
            return PathRefused(shown, "goes through a loop of symbolic links")
        case errno.ENOTDIR:
            return PathRefused(shown, "a part of the path is not a directory")
        case _:
            return PathRefused(shown, f"cannot be opened: {error.strerror}")


def _refuse_git(root: int, found: int, *, shown: str) -> None:
    """Where the path really led: a symbolic link with a harmless name may point into `.git`."""
    inner = _path_of(found).removeprefix(_path_of(root))
    if any(is_git_name(part) for part in inner.split("/") if part):
        raise PathRefused(shown, ".git is not for tools to read or change")


def _refuse_irregular(status: os.stat_result, *, shown: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise PathRefused(shown, "is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise PathRefused(shown, "is not a regular file")


def _read_up_to(found: int, size: int, *, shown: str) -> bytes:
    try:
        # Through the descriptor, so that it is the inode that was looked at.
        flags = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(f"/proc/self/fd/{found}", flags)
    except OSError as error:
        raise PathRefused(shown, f"cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        return file.read(size)


def _status_in(directory: int, name: str, *, shown: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(error, shown) from error


def _mode_for(edit: WriteFile, former: os.stat_result | None) -> int:
    # Never a set-id bit, whatever the old file had.
    mode = 0o644 if former is None else stat.S_IMODE(former.st_mode) & 0o777
    match edit.executable:
        case None:
            return mode
        case True:
            return mode | (mode & 0o444) >> 2
        case False:
            return mode & ~0o111


def _unused_name(directory: int, prefix: str, number: int) -> str:
    """A name that nothing has. Should something take it meanwhile, creating it fails, harmlessly."""
    while True:
        name = f"{prefix}{number}"
        if _status_in(directory, name, shown=name) is None:
            return name
        number += 1


def _unlink_quietly(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())
