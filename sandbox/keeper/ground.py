"""What all commands of one sandbox stand on: its cgroup, mounts and namespaces. Done once, in a fresh keeper.

When the service is root the keeper gives that up: it moves into a mount namespace that holds the system and
the sandbox's directories side by side and nothing else of the host, so that they can lie where the sandbox's
user could not reach them. Then bubblewrap builds the sandbox proper; the keeper joins its namespaces, which
stay for as long as it does, and bubblewrap may go.

System calls needed beyond those of ordinary programs: clone, unshare and setns with namespace flags, mount
(overlay included), umount2, pivot_root, capset, seccomp, and pidfd_open.
"""

import errno
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sandbox import syscalls
from sandbox.keeper import wire

# A directory that every host has; covered in the new namespace only, nothing is created in the host's.
_STAGE: Final = "/tmp"  # noqa: S108
# In it, beside directories of the host.
_ORIGINS: Final = "/.origins"
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_REASON: Final = 4000
_TERMINALS: Final = "/dev/pts"
_MOST_TERMINALS: Final = 48
"""Of one sandbox. The kernel has 3072 for all sandboxes together: /proc/sys/kernel/pty."""
_JOINED: Final = syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
# Files keep their owner when they are changed in the upper layer by root; a directory can be renamed.
_ROOT_OVERLAY: Final = "redirect_dir=on,metacopy=off,index=off,xino=off"
_USER_OVERLAY: Final = "userxattr"


class NotBuilt(Exception):
    """bubblewrap gave up, with these words of its own."""


class Ground(NamedTuple):
    """What the service gets of a built sandbox."""

    handed: tuple[int, ...]
    """The checkout as commands see it, then the listening socket if one was asked for."""


def build(request: wire.Message) -> Ground:
    """Build the sandbox around this process. Raises `OSError` and `NotBuilt`; there is no way back."""
    for directory in request["groups"]:
        _write(f"{directory}/cgroup.procs", str(os.getpid()))
    found = _sources(request)
    child, bubblewrap, stdin = _built_by_bubblewrap(request, found)
    _join(child, shares_network=request["shares_network"])
    os.close(child)
    os.close(stdin)
    os.waitpid(bubblewrap, 0)
    os.chdir("/")
    _bound_terminals()
    syscalls.forbid_capabilities()
    handed = [found.pop("tree")]
    _close_all(found)
    if request["listen"] is not None:
        handed.append(_listening(request["listen"]))
    return Ground(tuple(handed))


def tried(request: wire.Message) -> Ground:
    """Only see whether an overlay can be mounted from these directories. Raises `OSError`."""
    places: Mapping[str, str] = request["overlay"]
    options = own_mounts()
    overlay(places["tree"], (places["lower"],), places["upper"], places["work"], options=options)
    return Ground((_opened_at(places["tree"]),))


def overlay(directory: str, lower: Sequence[str], upper: str, work: str, *, options: str) -> None:
    """Show the layers at `directory`. Raises `OSError`."""
    layers = [_opened_at(path) for path in (*lower, upper, work)]
    try:
        # By descriptor: a path may hold a comma or a colon, and all options together have one page.
        names = [f"/proc/self/fd/{layer}" for layer in layers]
        *below, above, beside = names
        places = f"lowerdir={':'.join(below)},upperdir={above},workdir={beside}"
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("overlay", directory, "overlay", flags=flags, options=f"{places},{options}")
    finally:
        for layer in layers:
            os.close(layer)


def own_mounts() -> str:
    """Move into a mount namespace of this process's own; the options that overlays need in it."""
    if os.geteuid() == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        options = _ROOT_OVERLAY
    else:
        _unshare_as_oneself()
        options = _USER_OVERLAY
    syscalls.mount(None, "/", None, flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    return options


def _sources(request: wire.Message) -> dict[str, int]:
    """What is to be shown, open in the mount namespace that bubblewrap starts from."""
    sources: Mapping[str, str] = request["sources"]
    layers: Mapping[str, Any] | None = request["layers"]
    user: int | None = request["user"]
    if user is None and layers is None:
        return _opened(sources)
    options = own_mounts()
    if layers is not None:
        overlay(sources["tree"], layers["lower"], layers["upper"], layers["work"], options=options)
    # Found anew, the tree is the overlay and no longer what lies below it.
    found = _opened(sources)
    if user is None:
        return found
    return _withdrawn(request, found, user)


def _unshare_as_oneself() -> None:
    user, group = os.geteuid(), os.getegid()
    syscalls.set_dumpable(True)
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")
    finally:
        syscalls.set_dumpable(False)


def _withdrawn(request: wire.Message, origins: Mapping[str, int], user: int) -> dict[str, int]:
    """Leave the host's mounts and root's rights behind."""
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", _STAGE, "tmpfs", flags=flags, options="mode=0755,size=1m")
    # bubblewrap builds its new root at the path of the same name.
    os.mkdir(_STAGE + _STAGE)  # noqa: PTH102
    links: Mapping[str, str | None] = request["system"]
    places = [f"/{name}" for name, target in links.items() if target is None]
    for path in dict.fromkeys(("/usr", "/proc", "/dev", *places, *request["whole"])):
        _bind(path, path)
    for name, target in links.items():
        if target is not None:
            os.symlink(target, f"{_STAGE}/{name}")  # noqa: PTH211
    os.mkdir(_STAGE + _ORIGINS)  # noqa: PTH102
    for name, descriptor in origins.items():
        _bind(f"/proc/self/fd/{descriptor}", f"{_ORIGINS}/{name}")
    _close_all(origins)
    os.chdir(_STAGE)
    # Stacked on each other, then the old one taken away: https://man7.org/linux/man-pages/man2/pivot_root.2.html
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".", flags=syscalls.MNT_DETACH)
    os.chdir("/")
    found = _opened({name: f"{_ORIGINS}/{name}" for name in origins})
    syscalls.become(user)
    return found


def _built_by_bubblewrap(request: wire.Message, found: Mapping[str, int]) -> tuple[int, int, int]:
    """A pidfd of the new sandbox's first process, bubblewrap's number, and what keeps both: its input.

    What runs inside, for a moment, is `cat`: it answers when all is built, and ends with its input.
    """
    info, info_end = os.pipe()
    stdin_end, stdin = os.pipe()
    stdout, stdout_end = os.pipe()
    stderr, stderr_end = os.pipe()
    arguments = os.memfd_create("arguments")
    options = [
        str(found[option["source"]]) if isinstance(option, dict) else option for option in request["options"]
    ]
    options += ["--info-fd", str(info_end)]
    os.write(arguments, b"".join(os.fsencode(option) + b"\0" for option in options))
    os.lseek(arguments, 0, os.SEEK_SET)
    for descriptor in (info_end, arguments, *found.values()):
        os.set_inheritable(descriptor, True)
    bubblewrap = os.posix_spawn(
        request["program"],
        (request["program"], "--args", str(arguments), "--", "/usr/bin/cat"),
        {"PATH": "/usr/bin:/bin"},
        file_actions=(
            (os.POSIX_SPAWN_DUP2, stdin_end, 0),
            (os.POSIX_SPAWN_DUP2, stdout_end, 1),
            (os.POSIX_SPAWN_DUP2, stderr_end, 2),
        ),
    )
    for descriptor in (info_end, stdin_end, stdout_end, stderr_end, arguments):
        os.close(descriptor)
    for descriptor in found.values():
        os.set_inheritable(descriptor, False)
    if not _answers(stdin, stdout):
        words = os.read(stderr, _LONGEST_REASON).decode(errors="replace").strip()
        raise NotBuilt(words or "bubblewrap ended without a word")
    first_process = os.pidfd_open(_child_pid(os.read(info, 4096)))
    for descriptor in (info, stdout, stderr):
        os.close(descriptor)
    return first_process, bubblewrap, stdin


def _answers(stdin: int, stdout: int) -> bool:
    try:
        os.write(stdin, b"?")
    except BrokenPipeError:
        return False
    return bool(os.read(stdout, 1))


def _child_pid(info: bytes) -> int:
    pid: int = wire.parsed(info)["child-pid"]
    return pid


def _join(child: int, *, shares_network: bool) -> None:
    flags = _JOINED if shares_network else _JOINED | syscalls.CLONE_NEWNET
    try:
        syscalls.set_namespaces(child, flags | syscalls.CLONE_NEWCGROUP)
    except OSError as error:
        # bubblewrap was asked to *try* a cgroup namespace.
        if error.errno != errno.EPERM:
            raise
        syscalls.set_namespaces(child, flags)


def _bound_terminals() -> None:
    """Fewer than bubblewrap's, which nobody can change here any more: in mounts of the keeper's own."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    flags = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
    options = f"newinstance,mode=620,ptmxmode=666,max={_MOST_TERMINALS}"
    syscalls.mount("devpts", _TERMINALS, "devpts", flags=flags, options=options)


def _listening(port: int) -> int:
    """A socket of the sandbox's own network, for the service to accept from."""
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    return listener.detach()


def _opened(sources: Mapping[str, str]) -> dict[str, int]:
    return {name: _opened_at(path) for name, path in sources.items()}


def _opened_at(path: str) -> int:
    return os.open(path, _DIRECTORY)


def _bind(source: str, target: str) -> None:
    point = _STAGE + target
    os.mkdir(point)  # noqa: PTH102
    syscalls.mount(source, point, None, flags=syscalls.MS_BIND | syscalls.MS_REC)


def _close_all(found: Mapping[str, int]) -> None:
    for descriptor in found.values():
        os.close(descriptor)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
