"""Where the commands of one sandbox are started from. Never changes the mounts or the user of the service.

bubblewrap is started from an operating system thread kept for one sandbox: it dies with that thread
(`PR_SET_PDEATHSIG` is about threads), hence with the sandbox and with the service.

When the service is root the thread gives that up: to the kernel a thread has a user and a mount namespace of
its own. The namespace holds the system and the sandbox's directories side by side and nothing else of the
host, so that they can lie where that user could not reach them. The kernel marks the whole process as not
dumpable then, so nobody of that user may look into it:
https://man7.org/linux/man-pages/man2/pr_set_dumpable.2const.html
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from sandbox import syscalls
from sandbox.base import SandboxUnavailable
from sandbox.cgroups import Group

_Result = TypeVar("_Result")

# Beside /usr; on most systems links into it.
_SYSTEM_NAMES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# A directory that every host has; covered in the new namespace only, nothing is created in the host's.
_STAGE: Final = "/tmp"  # noqa: S108
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Starter:
    """A waiting thread, and the directories it was given, open in its mount namespace."""

    descriptors: Mapping[str, int]
    _thread: ThreadPoolExecutor

    def call(self, function: Callable[[], _Result]) -> _Result:
        """Run it there and wait: for what takes a millisecond."""
        return self._thread.submit(function).result()


@contextmanager
def open_starter(sources: Mapping[str, Path], *, user: int | None, group: Group) -> Iterator[Starter]:
    """A starter that shows `sources`, as `user` where given. Raises `SandboxUnavailable` when it cannot."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox") as thread:
        try:
            thread.submit(group.take_this_thread).result()
            if user is None:
                descriptors = _opened(sources)
            else:
                descriptors = thread.submit(_withdrawn, sources, user).result()
        except OSError as error:
            raise SandboxUnavailable(
                f"What the sandbox should show cannot be opened: {error}.",
                remedy="Run the service as an ordinary user, or as root with CAP_SYS_ADMIN and CAP_SETUID.",
            ) from error
        try:
            yield Starter(descriptors, thread)
        finally:
            _close_all(descriptors)


def system_links() -> Mapping[str, str | None]:
    """`/bin` and the like: what it links to, or None for a directory of its own."""
    found: dict[str, str | None] = {}
    for name in _SYSTEM_NAMES:
        path = Path("/", name)
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = None
    return found


def _opened(sources: Mapping[str, Path]) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        for name, path in sources.items():
            found[name] = os.open(path, _DIRECTORY)
    except OSError:
        _close_all(found)
        raise
    return found


def _withdrawn(sources: Mapping[str, Path], user: int) -> dict[str, int]:
    """Leave the host's mounts and root's rights behind. For a new thread only: there is no way back."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    # The thread's own from here on, like its working directory.
    os.umask(0o022)
    syscalls.mount(None, "/", None, flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    origins = _opened(sources)
    try:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("tmpfs", _STAGE, "tmpfs", flags=flags, options="mode=0755,size=1m")
        # bubblewrap builds its new root at the path of the same name.
        Path(_STAGE + _STAGE).mkdir()
        for path in ("/usr", "/proc", "/dev"):
            _bind(path, path)
        for name, target in system_links().items():
            if target is None:
                _bind(f"/{name}", f"/{name}")
            else:
                Path(f"{_STAGE}/{name}").symlink_to(target)
        for name, descriptor in origins.items():
            _bind(f"/proc/thread-self/fd/{descriptor}", f"/{name}")
    finally:
        _close_all(origins)
    os.chdir(_STAGE)
    # Stacked on each other, then the old one taken away: https://man7.org/linux/man-pages/man2/pivot_root.2.html
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".", flags=syscalls.MNT_DETACH)
    os.chdir("/")
    descriptors = _opened({name: Path("/", name) for name in sources})
    try:
        syscalls.become(user)
    except OSError:
        _close_all(descriptors)
        raise
    return descriptors


def _bind(source: str, target: str) -> None:
    point = _STAGE + target
    Path(point).mkdir()
    syscalls.mount(source, point, None, flags=syscalls.MS_BIND | syscalls.MS_REC)


def _close_all(found: Mapping[str, int]) -> None:
    for descriptor in found.values():
        os.close(descriptor)
