"""Confines commands with bubblewrap: each a process tree in fresh namespaces. Never runs one without.

What a command sees: /usr and a small /etc read-only, the checkout at `WORKSPACE`, the turn's own /tmp and
home, its own /proc and /dev, no network, an environment made from nothing. What bounds it: a system call
filter, resource limits, control groups where the service may make them, and its death with the sandbox, the
service or the time limit.
"""

import asyncio
import errno
import os
import posixpath
import re
import shutil
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import cgroups, doctor, syscalls
from sandbox.base import (
    OBJECTS,
    WORKSPACE,
    Check,
    Command,
    CommandRefused,
    EndReason,
    PathRefused,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
)
from sandbox.etc import EtcFile, etc_snapshot, laid_out
from sandbox.files import BENEATH, CheckoutFiles, open_beneath
from sandbox.process import ConfinedProcess, Launch, launch, until_gone
from sandbox.seccomp import filter_program
from sandbox.starter import Starter, open_starter, system_links

HOME: Final = "/home/agent"
INNER_UID: Final = 1000
DEFAULT_SANDBOX_UID: Final = 65533
"""Who commands run as when the service is root: a number that no account has."""

# Inside, where both are the turn's or the command's own.
_TEMPORARY: Final = "/tmp"  # noqa: S108
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108
_SHARED_MEMORY_BYTES: Final = 256 * 1024**2
_RUN_BYTES: Final = 16 * 1024**2
_LONGEST_ARGUMENT: Final = 128 * 1024
_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PINNED: Final = BENEATH | syscalls.RESOLVE_NO_SYMLINKS
# bubblewrap's --new-session makes its own first process the leader, without a terminal. Only in a session
# with one does Ctrl-C reach the command.
_IN_TERMINAL: Final = ("/usr/bin/setsid", "--ctty", "--")
_ENVIRONMENT: Final = {
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
    "TMPDIR": _TEMPORARY,
    "USER": "agent",
}


class BubblewrapDriver:
    """The default `Driver`: no daemon, no image.

    `extra_read_only` are further directories of the host to show at their own paths, for tools outside of
    /usr; their `bin` is put on the search path. `state` is a directory of the service's, made when needed,
    that keeps what all sandboxes share; without it each turn's scratch gets its own. `sandbox_uid` matters
    only to a service that is root.
    """

    def __init__(
        self,
        *,
        extra_read_only: tuple[Path, ...] = (),
        state: Path | None = None,
        sandbox_uid: int = DEFAULT_SANDBOX_UID,
        program: str = "bwrap",
    ) -> None:
        if sandbox_uid == 0:
            raise ValueError("a sandbox never runs as root")
        self.extra_read_only = extra_read_only
        self.program = program
        self._state = state
        self._sandbox_uid = sandbox_uid
        self._prepared: _Prepared | None = None

    @property
    def name(self) -> str:
        return "bubblewrap"

    @property
    def owner_uid(self) -> int | None:
        """Who a checkout must belong to: None is the service's own user, as whom commands then run."""
        return self._sandbox_uid if os.geteuid() == 0 else None

    async def can_layer(self, directory: Path) -> bool:
        """See `Driver.can_layer`."""
        del directory
        return False

    @asynccontextmanager
    async def open(self, workspace: Workspace, policy: Policy) -> AsyncIterator["BubblewrapSandbox"]:
        """See `Driver.open`. Makes what is missing in `workspace.scratch`."""
        if self._prepared is None:
            self._prepared = await asyncio.to_thread(_prepared, self.program)
        owner = self.owner_uid
        _refuse_wrong_owner(workspace, policy, owner=owner)
        sources = await asyncio.to_thread(self._sources, workspace, self._prepared)
        group = _limited_group(self._prepared.hierarchies, policy)
        try:
            with open_starter(sources, user=owner, group=group) as starter:
                ground = _Ground(
                    program=self._prepared.program,
                    starter=starter,
                    shown_extras={_extra(n): str(path) for n, path in enumerate(self.extra_read_only)},
                    filter_program=self._prepared.filter_program,
                    group=group,
                    owner=owner,
                )
                sandbox = BubblewrapSandbox(workspace, policy, ground)
                try:
                    yield sandbox
                finally:
                    await sandbox.close()
        finally:
            await asyncio.to_thread(cgroups.remove_group, group)

    async def check(self) -> tuple[Check, ...]:
        """See `Driver.check`."""
        program = await asyncio.to_thread(doctor.program_check, self.program)
        if program.result == "failed":
            return (program,)
        limits = doctor.limits_check(cgroups.writable_hierarchies())
        return (program, limits, *await doctor.inside_checks(self, owner_uid=self.owner_uid))

    def _sources(self, workspace: Workspace, prepared: "_Prepared") -> dict[str, Path]:
        """The directories to show, by the names they go by here; what is missing is made."""
        _make_missing(workspace, owner=self.owner_uid)
        sources = {
            "tree": workspace.tree,
            "etc": laid_out(prepared.etc, self._shared() or workspace.scratch),
            "temporary": workspace.scratch / "tmp",
            "home": workspace.scratch / "home",
        }
        if workspace.git is not None:
            sources["git"] = workspace.git
        if workspace.objects is not None:
            sources["objects"] = workspace.objects
        return sources | {_extra(number): path.resolve() for number, path in enumerate(self.extra_read_only)}

    def _shared(self) -> Path | None:
        """Where turns share what is the same for all of them."""
        if self._state is not None:
            self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._state


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Found out once for each driver."""

    program: str
    etc: tuple[EtcFile, ...]
    filter_program: bytes
    hierarchies: tuple[cgroups.Hierarchy, ...]


@dataclass(frozen=True, slots=True)
class _Ground:
    """Made once for each sandbox."""

    program: str
    starter: Starter
    shown_extras: Mapping[str, str]
    filter_program: bytes
    group: cgroups.Group
    owner: int | None


class BubblewrapSandbox:
    """The `Sandbox` that `BubblewrapDriver.open` gives."""

    def __init__(self, workspace: Workspace, policy: Policy, ground: _Ground) -> None:
        self._policy = policy
        self._ground = ground
        self._files = CheckoutFiles(ground.starter.descriptors["tree"], policy, ground.owner)
        self._fixed_options = tuple(_fixed_options(ground))
        self._processes: set[ConfinedProcess] = set()
        self._is_open = True

    @property
    def policy(self) -> Policy:
        return self._policy

    @property
    def files(self) -> CheckoutFiles:
        return self._files

    @property
    def tree(self) -> int:
        return self._ground.starter.descriptors["tree"]

    async def start(self, command: Command) -> ConfinedProcess:
        """See `Sandbox.start`."""
        if not self._is_open:
            raise SandboxUnavailable("The sandbox is closed.", remedy="Open another one.")
        _refuse_unspeakable(command)
        with self._tree_options(command) as (tree_options, descriptors):
            process = await launch(self._launch(command, tree_options, descriptors))
        if not self._is_open:
            await process.kill()
        self._processes = {known for known in self._processes if not known.is_over} | {process}
        return process

    async def close(self) -> None:
        """End every process of the sandbox. Safe to call twice."""
        self._is_open = False
        for process in self._processes:
            process.end(EndReason.KILLED)
        await until_gone(self._processes)

    def _launch(
        self, command: Command, tree_options: tuple[str, ...], descriptors: tuple[int, ...]
    ) -> Launch:
        limits = self._policy.limits
        wall_seconds = limits.wall_seconds
        if command.wall_seconds is not None:
            wall_seconds = min(wall_seconds, command.wall_seconds)
        return Launch(
            starter=self._ground.starter,
            program=self._ground.program,
            options=(*self._fixed_options, *tree_options, *_environment_options(command, self._ground)),
            argv=(*_IN_TERMINAL, *command.argv) if command.tty else command.argv,
            descriptors=(*self._ground.starter.descriptors.values(), *descriptors),
            filter_program=self._ground.filter_program,
            limits=limits,
            wall_seconds=wall_seconds,
            tty=command.tty,
            terminal_owner=self._ground.owner,
            group=self._ground.group,
        )

    @contextmanager
    def _tree_options(self, command: Command) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
        """The checkout as it is now. What earlier commands made of it is never followed as a link."""
        found = self._ground.starter.descriptors
        tree = found["tree"]
        workdir = _workdir_in(tree, command.workdir)
        bind = "--ro-bind-fd" if self._policy.mode is SandboxMode.READ_ONLY else "--bind-fd"
        options = [bind, str(tree), WORKSPACE]
        with ExitStack() as stack:
            opened: list[int] = []
            if self._policy.mode is SandboxMode.WORKSPACE_WRITE:
                for protection in self._protections(tree):
                    stack.callback(os.close, protection.descriptor)
                    opened.append(protection.descriptor)
                    bind = "--ro-bind-fd" if protection.is_read_only else "--bind-fd"
                    options += [bind, str(protection.descriptor), f"{WORKSPACE}/{protection.path}"]
            if "git" in found:
                options += ["--ro-bind-fd", str(found["git"]), f"{WORKSPACE}/.git"]
            options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", workdir]
            yield tuple(options), tuple(opened)

    def _protections(self, tree: int) -> Iterator["_Protection"]:
        """Protected paths that are there, each after its parents.

        A parent is mounted on itself, which pins it: else `mv .github x; mkdir .github` would do.
        """
        seen: set[str] = set()
        has_git_view = "git" in self._ground.starter.descriptors
        for path in self._policy.protected_paths:
            if path == ".git" and has_git_view:
                continue
            descriptor = _open_plain(tree, path)
            if descriptor is None:
                continue
            for parent in _parents(path):
                pinned = None if parent in seen else _open_plain(tree, parent)
                if pinned is not None:
                    seen.add(parent)
                    yield _Protection(parent, pinned, is_read_only=False)
            yield _Protection(path, descriptor, is_read_only=True)


@dataclass(frozen=True, slots=True)
class _Protection:
    path: str
    descriptor: int
    is_read_only: bool


def _prepared(program: str) -> _Prepared:
    found = shutil.which(program)
    if found is None:
        raise SandboxUnavailable(
            "bubblewrap is not installed.", remedy="Install it: `apt install bubblewrap` (0.8 or newer)."
        )
    hierarchies = cgroups.writable_hierarchies()
    cgroups.sweep(hierarchies)
    return _Prepared(
        program=found,
        etc=etc_snapshot(),
        filter_program=filter_program(),
        hierarchies=hierarchies,
    )


def _extra(number: int) -> str:
    return f"extra{number}"


def _refuse_wrong_owner(workspace: Workspace, policy: Policy, *, owner: int | None) -> None:
    if owner is None or policy.mode is SandboxMode.READ_ONLY:
        return
    actual = workspace.tree.stat().st_uid
    if actual != owner:
        raise SandboxUnavailable(
            f"The checkout belongs to user {actual}, but commands run as user {owner}.",
            remedy=f"Give the checkout to user {owner}, or run the service as an ordinary user.",
        )


def _make_missing(workspace: Workspace, *, owner: int | None) -> None:
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


def _limited_group(hierarchies: tuple[cgroups.Hierarchy, ...], policy: Policy) -> cgroups.Group:
    try:
        return cgroups.make_group(hierarchies, policy.limits)
    except OSError as error:
        raise SandboxUnavailable(
            f"The control group of the turn could not be made: {error}.",
            remedy="Free control groups that are no longer used, or raise the host's limit.",
        ) from error


def _fixed_options(ground: _Ground) -> Iterator[str]:
    found = ground.starter.descriptors
    yield from ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts")
    yield from ("--unshare-cgroup-try", "--disable-userns", "--die-with-parent", "--new-session")
    yield from (
        "--hostname",
        "sandbox",
        "--uid",
        str(INNER_UID),
        "--gid",
        str(INNER_UID),
        "--cap-drop",
        "ALL",
    )
    yield from ("--ro-bind", "/usr", "/usr")
    for name, target in system_links().items():
        yield from (("--ro-bind", f"/{name}") if target is None else ("--symlink", target))
        yield f"/{name}"
    yield from ("--ro-bind-fd", str(found["etc"]), "/etc")
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", _SHARED_MEMORY)
    yield from ("--size", str(_RUN_BYTES), "--tmpfs", "/run")
    yield from ("--dir", "/var", "--symlink", "../tmp", "/var" + _TEMPORARY)
    yield from ("--bind-fd", str(found["temporary"]), _TEMPORARY)
    yield from ("--bind-fd", str(found["home"]), HOME)
    if "objects" in found:
        yield from ("--ro-bind-fd", str(found["objects"]), OBJECTS)
    for name, path in ground.shown_extras.items():
        yield from ("--ro-bind-fd", str(found[name]), path)


def _environment_options(command: Command, ground: _Ground) -> Iterator[str]:
    path = ":".join((*(f"{extra}/bin" for extra in ground.shown_extras.values()), *_PATH))
    term = "xterm-256color" if command.tty else "dumb"
    yield "--clearenv"
    for name, value in ({"PATH": path, "TERM": term} | _ENVIRONMENT | dict(command.environment)).items():
        yield from ("--setenv", name, value)


def _refuse_unspeakable(command: Command) -> None:
    """Words that cannot be passed on as they are. A NUL would turn one argument into an option of ours."""
    if not command.argv or not command.argv[0]:
        raise CommandRefused("there is no program to run")
    for name, value in command.environment.items():
        if _VARIABLE.fullmatch(name) is None or "\0" in value:
            raise CommandRefused(f"{name!r} cannot be set in the environment")
    for argument in command.argv:
        if "\0" in argument:
            raise CommandRefused("an argument contains a NUL character")
        if len(os.fsencode(argument)) >= _LONGEST_ARGUMENT:
            raise CommandRefused("an argument is longer than 128 KiB; put the text into a file")


def _workdir_in(tree: int, workdir: str) -> str:
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
