"""What every driver shows a command and gives it: places, variables, protections. Starts nothing itself."""

import errno
import os
import posixpath
import re
import resource
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandbox import syscalls
from sandbox.base import (
    WORKSPACE,
    Cache,
    Command,
    CommandRefused,
    PathRefused,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
)
from sandbox.files import BENEATH, open_beneath

HOME: Final = "/home/agent"
TEMPORARY: Final = "/tmp"  # noqa: S108
"""Inside, where it is the turn's own."""
SEARCH_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
DEFAULT_SANDBOX_UID: Final = 65533
"""Who commands run as when the service is root: a number that no account has."""

SHARED_MEMORY_BYTES: Final = 256 * 1024**2
RUN_BYTES: Final = 16 * 1024**2
_OPEN_FILES: Final = 65_536

ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "CI": "1",
        "EDITOR": "false",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "LOGNAME": "agent",
        "PAGER": "cat",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHELL": "/bin/bash",
        "TMPDIR": TEMPORARY,
        "USER": "agent",
    }
)
"""Beside PATH and TERM, and what the policy and the command add."""

LONGEST_ARGUMENT: Final = 128 * 1024
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PINNED: Final = BENEATH | syscalls.RESOLVE_NO_SYMLINKS


@dataclass(frozen=True, slots=True)
class Protection:
    """A mount above the checkout: a protected path, or a parent of one that is mounted on itself."""

    path: str
    descriptor: int
    """Of what is there, found without following a link."""
    is_read_only: bool


def open_files() -> int:
    """How many a process of a command may have open: at most half of what the service and its keepers may.

    The kernel refuses to pass a descriptor on when all processes of the user together have more of them under
    way than the one that asks may have open. So no command can keep the others' from being started.
    """
    return min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2)


def refuse_unspeakable(argv: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise `CommandRefused` for words that cannot be passed on as they are."""
    if not argv or not argv[0]:
        raise CommandRefused("there is no program to run")
    for name, value in environment.items():
        if VARIABLE.fullmatch(name) is None or "\0" in value:
            raise CommandRefused(f"{name!r} cannot be set in the environment")
    for argument in argv:
        if "\0" in argument:
            raise CommandRefused("an argument contains a NUL character")
        if len(os.fsencode(argument)) >= LONGEST_ARGUMENT:
            raise CommandRefused("an argument is longer than 128 KiB; put the text into a file")


def wall_seconds_of(command: Command, policy: Policy) -> float:
    """The tighter of both limits."""
    most = policy.limits.wall_seconds
    return most if command.wall_seconds is None else min(most, command.wall_seconds)


def workdir_in(tree: int, workdir: str) -> str:
    """Its absolute path inside. Raises `PathRefused` when it is not a directory of the checkout."""
    if "\0" in workdir:
        raise PathRefused(workdir.replace("\0", "\\0"), "not a path")
    shown = posixpath.normpath(posixpath.join(WORKSPACE, workdir))
    if shown != WORKSPACE and not shown.startswith(f"{WORKSPACE}/"):
        raise PathRefused(workdir, "outside the checkout")
    try:
        found = open_beneath(tree, posixpath.relpath(shown, WORKSPACE), os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        why = (
            "leads outside the checkout" if error.errno == errno.EXDEV else "not a directory of the checkout"
        )
        raise PathRefused(workdir, why) from error
    os.close(found)
    return shown


@contextmanager
def protections(tree: int, policy: Policy, *, has_git_view: bool) -> Iterator[tuple[Protection, ...]]:
    """The protected paths that are there, each after its parents; open while the context is.

    A parent is mounted on itself, which pins it: else `mv .github x; mkdir .github` would do.
    """
    with ExitStack() as stack:
        found = []
        if policy.mode is SandboxMode.WORKSPACE_WRITE:
            for protection in _protections(tree, policy.protected_paths, has_git_view=has_git_view):
                stack.callback(os.close, protection.descriptor)
                found.append(protection)
        yield tuple(found)


def make_missing(workspace: Workspace, *, owner: int | None) -> None:
    """The directories that a driver shows things at, or shows."""
    for directory in (workspace.scratch / "tmp", workspace.scratch / "home"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if owner is not None:
            os.chown(directory, owner, owner)
    if workspace.git is not None:
        place = workspace.tree / ".git"
        if place.is_symlink() or not (place.is_dir() or not place.exists()):
            raise SandboxUnavailable(
                "The checkout has a .git of its own, where the view of the history would be shown.",
                remedy="Make the checkout without one.",
            )
        place.mkdir(mode=0o755, exist_ok=True)


def make_cache_places(home: Path, caches: Sequence[Cache], *, owner: int | None) -> None:
    """The directories that caches are shown at. The home may hold anything: nothing there is followed.

    Raises `SandboxUnavailable`. Whoever mounts would follow a link, even out of what becomes the sandbox.
    """
    if not caches:
        return
    directory = _own_directory(home, ".cache", mode=0o700, owner=owner)
    try:
        for cache in caches:
            os.close(_own_directory(f"/proc/self/fd/{directory}", cache.name, mode=0o755, owner=owner))
    finally:
        os.close(directory)


def refuse_wrong_owner(workspace: Workspace, policy: Policy, *, owner: int | None) -> None:
    """Raise `SandboxUnavailable` instead of opening a sandbox in which no write would work."""
    if owner is None or policy.mode is SandboxMode.READ_ONLY:
        return
    actual = workspace.tree.stat().st_uid
    if actual != owner:
        raise SandboxUnavailable(
            f"The checkout belongs to user {actual}, but commands run as user {owner}.",
            remedy=f"Give the checkout to user {owner}, or run the service as an ordinary user.",
        )


def refuse_missing(extra: Sequence[Path]) -> None:
    """Raise `SandboxUnavailable` where the operator shows a directory that is not there."""
    for path in extra:
        if not path.is_absolute() or not path.is_dir():
            raise SandboxUnavailable(
                f"{path} is to be shown to turns, and is not the absolute path of a directory.",
                remedy="Correct DARNER_SANDBOX_READ_ONLY.",
            )


def _own_directory(parent: Path | str, name: str, *, mode: int, owner: int | None) -> int:
    """A descriptor of it, made if there is nothing of the name."""
    place = Path(parent, name)
    with suppress(FileExistsError):
        place.mkdir(mode=mode)
    try:
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxUnavailable(
            f"The home of the turn has a {name} that is no directory: {error.strerror}.",
            remedy="Start the turn anew.",
        ) from error
    if owner is not None:
        os.fchown(directory, owner, owner)
    return directory


def _protections(tree: int, paths: tuple[str, ...], *, has_git_view: bool) -> Iterator[Protection]:
    seen: set[str] = set()
    for path in paths:
        if path == ".git" and has_git_view:
            continue
        descriptor = _open_plain(tree, path)
        if descriptor is None:
            continue
        for parent in _parents(path):
            pinned = None if parent in seen else _open_plain(tree, parent)
            if pinned is not None:
                seen.add(parent)
                yield Protection(parent, pinned, is_read_only=False)
        yield Protection(path, descriptor, is_read_only=True)


def _open_plain(tree: int, path: str) -> int | None:
    """The file or directory itself; None for nothing, or for something that a mount must not touch."""
    try:
        descriptor = open_beneath(tree, path, os.O_PATH | os.O_NOFOLLOW, resolve=_PINNED)
    except OSError:
        return None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return descriptor
    os.close(descriptor)
    return None


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])
