"""Confines commands with bubblewrap: built once for a turn, then each command in a process tree of its own.

What a command sees: /usr and a small /etc read-only, the checkout at `WORKSPACE`, the turn's own /tmp and
home, its own processes in /proc, no network or a proxy's port, an environment made from nothing. What bounds
it: a system call filter, resource limits, control groups where the service may make them, and its death with
the sandbox, the service or the time limit. Never runs one without.

bubblewrap makes the namespaces and mounts of the turn; a keeper (`sandbox.keeper`) stays in them and starts
each command in further mount, PID and IPC namespaces, with the protected paths of that moment read-only.

Full access shows the host's own directories, writable, in the place of /usr and /etc, and its network. /tmp,
/run, /dev and /proc stay the turn's own, and so do its user, its home (/agent), its environment, the system
call filter, every limit and the protected paths.
"""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import cgroups, disk, doctor, inside
from sandbox.base import (
    OBJECTS,
    WORKSPACE,
    Check,
    Command,
    CommandRefused,
    EndReason,
    Policy,
    SandboxMode,
    SandboxUnavailable,
    Workspace,
)
from sandbox.checkout.removal import remove_forgotten
from sandbox.commands import Commands
from sandbox.egress import PROXY_PORT, Resolve, egress, proxy_environment
from sandbox.etc import EtcFile, etc_snapshot, laid_out
from sandbox.files import CheckoutFiles
from sandbox.keeper import wire
from sandbox.keepers import Keeper, Zygote, open_keeper, start_zygote
from sandbox.process import ConfinedProcess, Launch, launch, until_gone
from sandbox.seccomp import filter_program

INNER_UID: Final = 1000

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108
# Beside /usr; on most systems links into it.
_SYSTEM_NAMES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


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
        sandbox_uid: int = inside.DEFAULT_SANDBOX_UID,
        program: str = "bwrap",
        interpreter: str = sys.executable,
        resolve: Resolve | None = None,
        audit: bool = True,
    ) -> None:
        if sandbox_uid == 0:
            raise ValueError("a sandbox never runs as root")
        self.extra_read_only = extra_read_only
        self.program = program
        self._state = state
        self._sandbox_uid = sandbox_uid
        self._interpreter = interpreter
        self._resolve = resolve
        self._audit = audit
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
        inside.refuse_wrong_owner(workspace, policy, owner=owner)
        inside.refuse_missing(self.extra_read_only)
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
                    is_audited=self._audit,
                )
                sandbox = BubblewrapSandbox(policy, ground)
                stack.push_async_callback(sandbox.close)
                watch = disk.watched(
                    _places(workspace),
                    policy.limits.disk_bytes,
                    is_needed=lambda: sandbox.commands.is_busy,
                    exceeded=lambda: sandbox.commands.end_all(EndReason.DISK),
                )
                async with watch:
                    yield sandbox
        finally:
            await asyncio.to_thread(cgroups.remove_group, group)

    async def check(self) -> tuple[Check, ...]:
        """See `Driver.check`."""
        program = await asyncio.to_thread(doctor.program_check, self.program)
        if program.result == "failed":
            return (program,)
        limits = doctor.limits_check(cgroups.writable_hierarchies())
        layers = await self._layers_check()
        return (program, limits, layers, *await doctor.inside_checks(self, owner_uid=self.owner_uid))

    async def _layers_check(self) -> Check:
        name = "checkouts in layers"
        try:
            if await self.can_layer(self._shared() or Path(tempfile.gettempdir())):
                return Check(name, "ok", "a turn's checkout is an overlay and copies no file")
        except SandboxUnavailable as error:
            return Check(name, "failed", error.reason, doctor.hint_for(error.reason, otherwise=error.remedy))
        return Check(
            name,
            "warning",
            "overlays are refused here, so each turn writes all files of its checkout",
            "Use Linux 5.11 or newer, with the service's data on ext4, xfs, btrfs or tmpfs.",
        )

    async def _ready(self) -> tuple["_Prepared", Zygote]:
        async with self._preparing:
            if self._prepared is None:
                self._prepared = await asyncio.to_thread(_prepared, self.program)
        return self._prepared, await self._running_zygote()

    async def _running_zygote(self) -> Zygote:
        async with self._preparing:
            if self._zygote is None or not self._zygote.is_alive:
                self._zygote = await start_zygote(
                    self._interpreter, commands_as=self._sandbox_uid if os.geteuid() == 0 else os.geteuid()
                )
            return self._zygote

    async def _try_overlay(self, directory: Path) -> bool:
        zygote = await self._running_zygote()
        await remove_forgotten(directory, ".overlay-*")
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
        inside.make_missing(workspace, owner=self.owner_uid)
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
            inside.make_cache_places(workspace.scratch / "home", policy.caches, owner=self.owner_uid)
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
        path = ":".join((*(f"{extra}/bin" for extra in self.extra_read_only), *inside.SEARCH_PATH))
        proxy = proxy_environment() if _is_proxied(policy) else {}
        home = {"HOME": _home(policy)}
        return {"PATH": path, **inside.ENVIRONMENT, **home, **proxy, **policy.environment}

    def _shared(self) -> Path | None:
        """Where turns share what is the same for all of them."""
        if self._state is not None:
            try:
                self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise SandboxUnavailable(
                    f"{self._state} cannot be made: {error.strerror}.",
                    remedy="Let the directory above it belong to the user of the service.",
                ) from error
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
    is_audited: bool


class BubblewrapSandbox:
    """The `Sandbox` that `BubblewrapDriver.open` gives."""

    def __init__(self, policy: Policy, ground: _Ground) -> None:
        self._policy = policy
        self._ground = ground
        self._files = CheckoutFiles(ground.keeper.tree, policy, ground.owner)
        self._protected = _protected(policy, has_git_view=ground.has_git_view)
        self.commands: Commands[ConfinedProcess] = Commands()

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
        self.commands.refuse_when_closed()
        inside.refuse_unspeakable(command.argv, command.environment)
        what = self._launch(command, inside.workdir_in(self.tree, command.workdir))
        try:
            process = await launch(what)
        except CommandRefused as refusal:
            if self.commands.is_busy:
                raise
            raise SandboxUnavailable(
                f"The turn can run nothing any more, though no command of it runs: {refusal}.",
                remedy="Keep the service's data on a disk: files in memory (tmpfs) are memory of the turn.",
            ) from refusal
        await self.commands.add(process)
        return process

    async def close(self) -> None:
        """End every process of the sandbox. Safe to call twice."""
        self.commands.close()
        await until_gone(self.commands)

    def _launch(self, command: Command, workdir: str) -> Launch:
        shown = {"PWD": workdir, "TERM": "xterm-256color" if command.tty else "dumb"}
        return Launch(
            keeper=self._ground.keeper,
            argv=command.argv,
            environment={**shown, **self._ground.environment, **command.environment},
            workdir=workdir,
            protected=self._protected,
            limits=self._policy.limits,
            wall_seconds=inside.wall_seconds_of(command, self._policy),
            tty=command.tty,
            owner=self._ground.owner,
            memory_kills=self._ground.group.memory_kills,
            take_notices=self._ground.take_notices,
            is_audited=self._ground.is_audited,
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
        # A service that is root shows bubblewrap what lies below /usr, and no links to there.
        program=str(Path(found).resolve()),
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
    return "/agent" if policy.mode is SandboxMode.FULL_ACCESS else inside.HOME


def _is_proxied(policy: Policy) -> bool:
    return bool(policy.allowed_hosts) and policy.mode is not SandboxMode.FULL_ACCESS


def _protected(policy: Policy, *, has_git_view: bool) -> tuple[str, ...]:
    """What is made read-only inside a writable checkout; the view of `.git` is so already."""
    if policy.mode is SandboxMode.READ_ONLY:
        return ()
    return tuple(path for path in policy.protected_paths if not (path == ".git" and has_git_view))


def _places(workspace: Workspace) -> tuple[disk.Place, ...]:
    """Where commands can write. Of a whole checkout only what changes from now on."""
    if workspace.layers is None:
        tree = disk.Place(workspace.tree, since=time.time())
    else:
        tree = disk.Place(workspace.layers.upper)
    return (tree, disk.Place(workspace.scratch / "tmp"), disk.Place(workspace.scratch / "home"))


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
        yield from ("--dir", "/var", "--symlink", "../tmp", "/var" + inside.TEMPORARY)
    yield from ("--proc", "/proc", "--dev", "/dev", "--size", str(inside.RUN_BYTES), "--tmpfs", "/run")
    yield from ("--size", str(inside.SHARED_MEMORY_BYTES), "--tmpfs", _SHARED_MEMORY)
    yield from _shown("--bind-fd", "temporary", inside.TEMPORARY)
    yield from _shown("--bind-fd", "home", _home(policy))
    for number, cache in enumerate(policy.caches):
        if _cache(number) in sources:
            yield from _shown("--bind-fd", _cache(number), f"{_home(policy)}/.cache/{cache.name}")
    if "objects" in sources:
        yield from _shown("--ro-bind-fd", "objects", OBJECTS)
    if policy.mode is not SandboxMode.FULL_ACCESS:
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
    own = {"proc", "dev", "run", "tmp", *WORKSPACE.split("/"), "agent"}
    found = (path for path in sorted(Path("/").iterdir()) if path.name not in own)
    return tuple(str(path) for path in found if path.is_dir() and not path.is_symlink())
