"""Confines commands with bubblewrap: built once for a turn, then each command in a process tree of its own.

What a command sees: /usr and a small /etc read-only, the checkout at `WORKSPACE`, the turn's own /tmp and
home, its own processes in /proc, no network or a proxy's port, an environment made from nothing. What bounds
it: a system call filter, resource limits, control groups where the service may make them, and its death with
the sandbox, the service or the time limit. Never runs one without.

bubblewrap makes the namespaces and mounts of the turn; a keeper (`sandbox.keeper`) stays in them and starts
each command in a further mount and PID namespace, with the protected paths of that moment read-only.
"""

import asyncio
import errno
import os
import posixpath
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import cgroups, doctor
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
from sandbox.egress import PROXY_PORT, Resolve, egress, proxy_environment
from sandbox.etc import EtcFile, etc_snapshot, laid_out
from sandbox.files import CheckoutFiles, open_beneath
from sandbox.keeper import wire
from sandbox.keepers import Keeper, Zygote, open_keeper, start_zygote
from sandbox.process import ConfinedProcess, Launch, launch, until_gone
from sandbox.seccomp import filter_program

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
# Beside /usr; on most systems links into it.
_SYSTEM_NAMES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
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
    only to a service that is root. `interpreter` runs the keepers. `resolve` looks names of
    allowed hosts up; the machine's own resolver does unless given.
    """

    def __init__(
        self,
        *,
        extra_read_only: tuple[Path, ...] = (),
        state: Path | None = None,
        sandbox_uid: int = DEFAULT_SANDBOX_UID,
        program: str = "bwrap",
        interpreter: str = sys.executable,
        resolve: Resolve | None = None,
    ) -> None:
        if sandbox_uid == 0:
            raise ValueError("a sandbox never runs as root")
        self.extra_read_only = extra_read_only
        self.program = program
        self._state = state
        self._sandbox_uid = sandbox_uid
        self._interpreter = interpreter
        self._resolve = resolve
        self._prepared: _Prepared | None = None
        self._zygote: Zygote | None = None
        self._preparing = asyncio.Lock()
        self._layerable: dict[int, bool] = {}

    @property
    def name(self) -> str:
        return "bubblewrap"

    @property
    def owner_uid(self) -> int | None:
        """Who a checkout must belong to: None is the service's own user, as whom commands then run."""
        return self._sandbox_uid if os.geteuid() == 0 else None

    async def can_layer(self, directory: Path) -> bool:
        """See `Driver.can_layer`. Tried once for each file system."""
        device = directory.stat().st_dev
        if device not in self._layerable:
            self._layerable[device] = await self._try_overlay(directory)
        return self._layerable[device]

    @asynccontextmanager
    async def open(self, workspace: Workspace, policy: Policy) -> AsyncIterator["BubblewrapSandbox"]:
        """See `Driver.open`. Makes what is missing in `workspace.scratch`."""
        prepared, zygote = await self._ready()
        owner = self.owner_uid
        _refuse_wrong_owner(workspace, policy, owner=owner)
        sources = await asyncio.to_thread(self._sources, workspace, policy, prepared)
        group = _limited_group(prepared.hierarchies, policy)
        request = self._request(workspace, policy, prepared, sources)
        request["groups"] = [str(directory) for directory in group.directories]
        try:
            async with AsyncExitStack() as stack:
                keeper = await stack.enter_async_context(open_keeper(zygote, request))
                take_notices: Callable[[], tuple[str, ...]] = tuple
                if keeper.listener is not None:
                    listener = socket.socket(fileno=os.dup(keeper.listener))
                    proxy = await stack.enter_async_context(
                        egress(listener, policy.allowed_hosts, resolve=self._resolve)
                    )
                    take_notices = proxy.take_refusals
                ground = _Ground(
                    keeper=keeper,
                    environment=self._environment(policy),
                    has_git_view=workspace.git is not None,
                    group=group,
                    owner=owner,
                    take_notices=take_notices,
                )
                sandbox = BubblewrapSandbox(policy, ground)
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

    async def _ready(self) -> tuple["_Prepared", Zygote]:
        async with self._preparing:
            if self._prepared is None:
                self._prepared = await asyncio.to_thread(_prepared, self.program)
            if self._zygote is None or not self._zygote.is_alive:
                self._zygote = await start_zygote(self._interpreter)
            return self._prepared, self._zygote

    async def _try_overlay(self, directory: Path) -> bool:
        _, zygote = await self._ready()
        with tempfile.TemporaryDirectory(prefix=".overlay-", dir=directory) as name:
            places = {part: str(Path(name, part)) for part in ("lower", "upper", "work", "tree")}
            for place in places.values():
                Path(place).mkdir()
            try:
                async with open_keeper(zygote, {"overlay": places}):
                    return True
            except SandboxUnavailable:
                return False

    def _sources(self, workspace: Workspace, policy: Policy, prepared: "_Prepared") -> dict[str, Path]:
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
        if policy.mode is not SandboxMode.READ_ONLY:
            sources |= {_cache(number): cache.source for number, cache in enumerate(policy.caches)}
        return sources | {_extra(number): path.resolve() for number, path in enumerate(self.extra_read_only)}

    def _request(
        self, workspace: Workspace, policy: Policy, prepared: "_Prepared", sources: Mapping[str, Path]
    ) -> wire.Message:
        """What `sandbox.keeper.ground` is to build."""
        layers = workspace.layers
        return {
            "sources": {name: str(path) for name, path in sources.items()},
            "layers": None
            if layers is None
            else {
                "lower": [str(path) for path in layers.lower],
                "upper": str(layers.upper),
                "work": str(layers.work),
            },
            "user": self.owner_uid,
            "system": _system_links(),
            "whole": _top_level() if policy.mode is SandboxMode.FULL_ACCESS else (),
            "program": prepared.program,
            "options": tuple(_options(policy, sources, self.extra_read_only)),
            "shares_network": policy.mode is SandboxMode.FULL_ACCESS,
            "listen": PROXY_PORT if _is_proxied(policy) else None,
            "filter": prepared.filter_program.hex(),
        }

    def _environment(self, policy: Policy) -> dict[str, str]:
        """What every command of a turn finds in its environment."""
        path = ":".join((*(f"{extra}/bin" for extra in self.extra_read_only), *_PATH))
        proxy = proxy_environment() if _is_proxied(policy) else {}
        home = {"HOME": _home(policy)}
        return {"PATH": path, **_ENVIRONMENT, **home, **proxy, **policy.environment}

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

    keeper: Keeper
    environment: Mapping[str, str]
    has_git_view: bool
    group: cgroups.Group
    owner: int | None
    take_notices: Callable[[], tuple[str, ...]]


class BubblewrapSandbox:
    """The `Sandbox` that `BubblewrapDriver.open` gives."""

    def __init__(self, policy: Policy, ground: _Ground) -> None:
        self._policy = policy
        self._ground = ground
        self._files = CheckoutFiles(ground.keeper.tree, policy, ground.owner)
        self._protected = _protected(policy, has_git_view=ground.has_git_view)
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
        return self._ground.keeper.tree

    async def start(self, command: Command) -> ConfinedProcess:
        """See `Sandbox.start`."""
        if not self._is_open:
            raise SandboxUnavailable("The sandbox is closed.", remedy="Open another one.")
        _refuse_unspeakable(command)
        process = await launch(self._launch(command, _workdir_in(self.tree, command.workdir)))
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

    def _launch(self, command: Command, workdir: str) -> Launch:
        limits = self._policy.limits
        wall_seconds = limits.wall_seconds
        if command.wall_seconds is not None:
            wall_seconds = min(wall_seconds, command.wall_seconds)
        shown = {"PWD": workdir, "TERM": "xterm-256color" if command.tty else "dumb"}
        return Launch(
            keeper=self._ground.keeper.channel,
            argv=command.argv,
            environment={**shown, **self._ground.environment, **command.environment},
            workdir=workdir,
            protected=self._protected,
            limits=limits,
            wall_seconds=wall_seconds,
            tty=command.tty,
            memory_kills=self._ground.group.memory_kills,
            take_notices=self._ground.take_notices,
        )


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


def _cache(number: int) -> str:
    return f"cache{number}"


def _home(policy: Policy) -> str:
    # With the host's /home there, no directory can be added to it.
    return "/agent" if policy.mode is SandboxMode.FULL_ACCESS else HOME


def _is_proxied(policy: Policy) -> bool:
    return bool(policy.allowed_hosts) and policy.mode is not SandboxMode.FULL_ACCESS


def _protected(policy: Policy, *, has_git_view: bool) -> tuple[str, ...]:
    """What is made read-only inside a writable checkout; the view of `.git` is so already."""
    if policy.mode is SandboxMode.READ_ONLY:
        return ()
    return tuple(path for path in policy.protected_paths if not (path == ".git" and has_git_view))


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


def _options(policy: Policy, sources: Mapping[str, Path], extras: tuple[Path, ...]) -> Iterator[object]:
    """bubblewrap's. A source is named as an object; the keeper puts its descriptor there."""
    yield from ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
    yield from ("--disable-userns", "--die-with-parent", "--new-session", "--hostname", "sandbox")
    yield from ("--uid", str(INNER_UID), "--gid", str(INNER_UID), "--cap-drop", "ALL")
    if policy.mode is SandboxMode.FULL_ACCESS:
        for name in _top_level():
            yield from ("--bind", name, name)
        for name, target in _system_links().items():
            if target is not None:
                yield from ("--symlink", target, f"/{name}")
    else:
        yield "--unshare-net"
        yield from ("--ro-bind", "/usr", "/usr")
        for name, target in _system_links().items():
            yield from (("--ro-bind", f"/{name}") if target is None else ("--symlink", target))
            yield f"/{name}"
        yield from _shown("--ro-bind-fd", "etc", "/etc")
        yield from ("--size", str(_RUN_BYTES), "--tmpfs", "/run")
        yield from ("--dir", "/var", "--symlink", "../tmp", "/var" + _TEMPORARY)
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", _SHARED_MEMORY)
    yield from _shown("--bind-fd", "temporary", _TEMPORARY)
    yield from _shown("--bind-fd", "home", _home(policy))
    for number, cache in enumerate(policy.caches):
        if _cache(number) in sources:
            yield from _shown("--bind-fd", _cache(number), f"{_home(policy)}/.cache/{cache.name}")
    if "objects" in sources:
        yield from _shown("--ro-bind-fd", "objects", OBJECTS)
    for number, path in enumerate(extras):
        yield from _shown("--ro-bind-fd", _extra(number), str(path))
    is_writable = policy.mode is not SandboxMode.READ_ONLY
    yield from _shown("--bind-fd" if is_writable else "--ro-bind-fd", "tree", WORKSPACE)
    if "git" in sources:
        yield from _shown("--ro-bind-fd", "git", f"{WORKSPACE}/.git")
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def _shown(option: str, source: str, place: str) -> Iterator[object]:
    yield from (option, {"source": source}, place)


def _system_links() -> Mapping[str, str | None]:
    """`/bin` and the like: what it links to, or None for a directory of its own."""
    found: dict[str, str | None] = {}
    for name in _SYSTEM_NAMES:
        path = Path("/", name)
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = None
    return found


def _top_level() -> tuple[str, ...]:
    """The host's own directories, without those that every sandbox has for itself."""
    own = {"proc", "dev", "tmp", *WORKSPACE.split("/"), "agent"}
    found = (path for path in sorted(Path("/").iterdir()) if path.name not in own)
    return tuple(str(path) for path in found if path.is_dir() and not path.is_symlink())


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
