"""Confines commands with a Docker Engine: a container for each open sandbox, an `exec` for each command.

The container has no network, no capability, a read-only root and the same system call policy as the other
driver; commands see the checkout at `WORKSPACE`, the turn's own /tmp and home, and an image's programs. It
dies with its sandbox and with the service.

The Engine must be this machine's, since it mounts the service's directories. Ending one command of several
that run at once takes a service that is root there; another one ends the whole container in that case.
"""

import asyncio
import os
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from sandbox import disk, syscalls
from sandbox.base import Check, Command, EndReason, Policy, SandboxMode, SandboxUnavailable, Workspace
from sandbox.commands import Commands
from sandbox.container.command import ContainerProcess, Surroundings, launched
from sandbox.container.doctor import CONTAINER_INVARIANTS, engine_checks
from sandbox.container.engine import SECONDS, Engine, EngineRefused, Stream, closing, finished
from sandbox.container.layout import (
    container_settings,
    environment_of,
    etc_files,
    execution_settings,
    places,
)
from sandbox.container.orphans import Ownership, remove
from sandbox.container.processes import ControlGroup, Keepers, doomed, end_doomed
from sandbox.doctor import inside_checks
from sandbox.egress import PROXY_PORT, Egress, Resolve, egress, proxy_environment
from sandbox.etc import laid_out
from sandbox.files import CheckoutFiles
from sandbox.inside import (
    DEFAULT_SANDBOX_UID,
    make_cache_places,
    make_missing,
    protections,
    refuse_missing,
    refuse_unspeakable,
    refuse_wrong_owner,
    wall_seconds_of,
    workdir_in,
)

DEFAULT_IMAGE: Final = "darner-sandbox"
"""What the `sandbox` stage of the project's Dockerfile is tagged as."""

_SECONDS_BETWEEN_SWEEPS: Final = 600.0
_SECONDS_TO_BE_KEPT: Final = 60.0
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_FOUND: Final = 404


class DockerDriver:
    """The `Driver` for images, and with `runtime="runsc"` for a kernel of their own.

    `state` is a directory of the service's, by which containers of its earlier lives are known. `resolve`
    looks names of allowed hosts up; the machine's own resolver does unless given.
    """

    def __init__(
        self,
        *,
        address: str = "",
        image: str = "",
        runtime: str = "",
        state: Path | None = None,
        extra_read_only: tuple[Path, ...] = (),
        sandbox_uid: int = DEFAULT_SANDBOX_UID,
        seconds: float = SECONDS,
        resolve: Resolve | None = None,
    ) -> None:
        if sandbox_uid == 0:
            raise ValueError("a sandbox never runs as root")
        self.image = image or DEFAULT_IMAGE
        self.runtime = runtime
        self._address = address
        self._state = state
        self._extra_read_only = extra_read_only
        self._sandbox_uid = sandbox_uid
        self._seconds = seconds
        self._resolve = resolve
        self._prepared: _Prepared | None = None
        self._swept = -_SECONDS_BETWEEN_SWEEPS
        self._preparing = asyncio.Lock()

    @property
    def name(self) -> str:
        return "docker"

    @property
    def owner_uid(self) -> int | None:
        """Who a checkout must belong to: None is the service's own user, as whom commands then run."""
        return self._sandbox_uid if os.geteuid() == 0 else None

    async def can_layer(self, directory: Path) -> bool:
        """No: an overlay that the service mounted would outlive its death."""
        del directory
        return False

    @asynccontextmanager
    async def open(self, workspace: Workspace, policy: Policy) -> AsyncIterator["DockerSandbox"]:
        """See `Driver.open`. Makes what is missing in `workspace.scratch`."""
        _refuse_what_this_cannot(workspace, policy)
        refuse_wrong_owner(workspace, policy, owner=self.owner_uid)
        refuse_missing(self._extra_read_only)
        prepared = await self._prepare()
        with _opened(workspace.tree) as tree:
            ground = _Ground(
                prepared=prepared,
                workspace=workspace,
                policy=policy,
                tree=tree,
                image=policy.image or self.image,
                runtime=self.runtime,
                state=self._state,
                extra_read_only=self._extra_read_only,
                owner=self.owner_uid,
                resolve=self._resolve,
            )
            sandbox = DockerSandbox(ground)
            try:
                await sandbox.build()
                watch = disk.watched(
                    _writable_places(workspace),
                    policy.limits.disk_bytes,
                    is_needed=lambda: sandbox.commands.is_busy,
                    exceeded=lambda: sandbox.commands.end_all(EndReason.DISK),
                )
                async with watch:
                    yield sandbox
            finally:
                await sandbox.close()

    async def check(self) -> tuple[Check, ...]:
        """See `Driver.check`."""
        try:
            engine = (await self._prepare()).engine
        except SandboxUnavailable as error:
            return (Check("Docker Engine", "failed", error.reason, error.remedy),)
        checks = await engine_checks(engine, runtime=self.runtime, ends_alone=os.geteuid() == 0)
        if any(check.result == "failed" for check in checks):
            return checks
        inside = await inside_checks(self, owner_uid=self.owner_uid, invariants=CONTAINER_INVARIANTS)
        return (*checks, *inside)

    async def _prepare(self) -> "_Prepared":
        async with self._preparing:
            if self._prepared is None:
                owner = await asyncio.to_thread(Ownership, self._state)
                self._prepared = _Prepared(Engine(self._address, seconds=self._seconds), owner)
            if time.monotonic() - self._swept > _SECONDS_BETWEEN_SWEEPS:
                await self._prepared.ownership.sweep(self._prepared.engine)
                self._swept = time.monotonic()
            return self._prepared


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Found out once for each driver."""

    engine: Engine
    ownership: Ownership


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a sandbox's container is made from, each time that one is made."""

    prepared: _Prepared
    workspace: Workspace
    policy: Policy
    tree: int
    image: str
    runtime: str
    state: Path | None
    extra_read_only: tuple[Path, ...]
    owner: int | None
    resolve: Resolve | None

    @property
    def uid(self) -> int:
        """Whom commands run as, inside and outside: the Engine's users are the machine's."""
        return os.geteuid() if self.owner is None else self.owner


@dataclass(frozen=True, slots=True)
class _Container:
    """One that runs."""

    name: str
    keepers: Keepers
    group: ControlGroup | None
    """None where the service cannot end single processes."""
    image_environment: tuple[str, ...]
    egress: Egress | None


class DockerSandbox:
    """The `Sandbox` that `DockerDriver.open` gives."""

    def __init__(self, ground: _Ground) -> None:
        self._ground = ground
        self._engine = ground.prepared.engine
        self._files = CheckoutFiles(ground.tree, ground.policy, ground.owner)
        self.commands: Commands[ContainerProcess] = Commands()
        self._container: _Container | None = None
        self._resources = AsyncExitStack()
        self._building = asyncio.Lock()
        self._starting_or_clearing = asyncio.Lock()

    @property
    def policy(self) -> Policy:
        return self._ground.policy

    @property
    def files(self) -> CheckoutFiles:
        return self._files

    @property
    def tree(self) -> int:
        return self._ground.tree

    async def build(self) -> None:
        """Start the container. Raises `SandboxUnavailable`."""
        async with self._building:
            await self._build()

    async def start(self, command: Command) -> ContainerProcess:
        """See `Sandbox.start`."""
        self.commands.refuse_when_closed()
        refuse_unspeakable(command.argv, command.environment)
        workdir = workdir_in(self._ground.tree, command.workdir)
        container = await self._running()
        if not self.commands.is_busy and any(process.wanted_memory for process in self.commands):
            # What fills it may be in no process: shared memory, a queue, a file in /dev/shm.
            await self._discard(container)
            container = await self._running()
        try:
            process = await self._launched(command, container, workdir)
        except (EngineRefused, SandboxUnavailable) as error:
            if self.commands.is_busy and await self._runs(container):
                raise _unavailable(error) from error
            # Its keeper was ended, by the kernel's want of memory or from outside. Another one may do.
            await self._discard(container)
            process = await self._launched_anew(command, workdir)
        await self.commands.add(process)
        return process

    async def close(self) -> None:
        """End every process of the sandbox. Safe to call twice."""
        self.commands.close()
        async with self._building:
            await self._end_container()
        for process in self.commands:
            await process.gone()

    async def _runs(self, container: _Container) -> bool:
        """Whether it is still there for others, whom its end would end."""
        try:
            found = await self._engine.ask(lambda api: api.inspect_container(container.name))
        except EngineRefused:
            return False
        return bool(found["State"]["Running"])

    async def _running(self) -> _Container:
        """The container, made anew when there is none."""
        async with self._building:
            self.commands.refuse_when_closed()
            return self._container or await self._build()

    async def _launched_anew(self, command: Command, workdir: str) -> ContainerProcess:
        try:
            return await self._launched(command, await self._running(), workdir)
        except EngineRefused as error:
            raise _unavailable(error) from error

    async def _launched(self, command: Command, container: _Container, workdir: str) -> ContainerProcess:
        ground = self._ground
        environment = environment_of(
            container.image_environment,
            ground.policy,
            command.environment,
            tty=command.tty,
            extra_read_only=ground.extra_read_only,
            proxy=proxy_environment() if container.egress else {},
        )
        settings = execution_settings(
            command.argv, workdir=workdir, tty=command.tty, environment=environment, uid=ground.uid
        )

        async def clear(launcher: int | None) -> None:
            await self._clear(container, launcher)

        around = Surroundings(
            engine=self._engine,
            container=container.name,
            clear=clear,
            notices=container.egress.take_refusals if container.egress else _nothing,
        )
        wall_seconds = wall_seconds_of(command, ground.policy)
        limits = ground.policy.limits
        begin = partial(launched, settings, around, limits=limits, wall_seconds=wall_seconds)
        starting = asyncio.ensure_future(self._alone(begin))
        try:
            return await finished(starting)
        except asyncio.CancelledError:
            if starting.exception() is None:
                await starting.result().kill()
            raise

    async def _alone(self, begin: Callable[[], Awaitable[ContainerProcess]]) -> ContainerProcess:
        """Nothing can be started in a container that is stopped to be cleared."""
        async with self._starting_or_clearing:
            return await begin()

    async def _clear(self, container: _Container, launcher: int | None) -> None:
        """End what a command has left, or all of it. Where that cannot be done alone, end the container."""
        async with self._starting_or_clearing:
            if container.group is None:
                is_clear = launcher is None and not await self._has_stragglers(container)
            else:
                ending = asyncio.to_thread(end_doomed, container.group, container.keepers, launcher)
                is_clear = await _succeeds(ending)
            if not is_clear:
                await self._discard(container)

    async def _has_stragglers(self, container: _Container) -> bool:
        """As the Engine sees it, with everything stopped meanwhile."""
        await self._engine.ask(lambda api: api.pause(container.name))
        try:
            answer = await self._engine.ask(lambda api: api.top(container.name, ps_args="-eo pid,ppid"))
        finally:
            await self._engine.ask(lambda api: api.unpause(container.name))
        parents = {int(row[0]): int(row[1]) for row in answer["Processes"]}
        return bool(doomed(parents, container.keepers))

    async def _discard(self, container: _Container) -> None:
        """End it with everything in it. The next command gets another one."""
        async with self._building:
            if self._container is container:
                await self._end_container()

    async def _end_container(self) -> None:
        self._container = None
        try:
            await self._resources.aclose()
        except EngineRefused as error:
            raise _unavailable(error) from error

    async def _build(self) -> _Container:
        self._resources = AsyncExitStack()
        try:
            self._container = await self._resources.enter_async_context(_running(self._ground))
        except EngineRefused as error:
            raise _unavailable(error) from error
        return self._container


@asynccontextmanager
async def _running(ground: _Ground) -> AsyncIterator[_Container]:
    """A container that runs, and is gone with all its processes when the context ends."""
    engine = ground.prepared.engine
    image_environment = await _environment_of_image(engine, ground.image)
    settings = await asyncio.to_thread(_settings, ground)
    name = f"darner-{secrets.token_hex(8)}"
    async with AsyncExitStack() as stack:
        stack.push_async_callback(remove, engine, name)
        await engine.ask(lambda api: api.create_container_from_config(settings, name), takes_long=True)
        # Before the start: should the service die now, so will the container.
        keeper = await stack.enter_async_context(closing(await engine.attach(name)))
        await engine.ask(lambda api: api.start(name), takes_long=True)
        await _kept(keeper)
        found = await engine.ask(lambda api: api.inspect_container(name))
        first: int = found["State"]["Pid"]
        group = ControlGroup.of(first, found["Id"])
        others = await _keepers_of(engine, name, first)
        listening = None
        if ground.policy.allowed_hosts:
            listener = await asyncio.to_thread(_listener_in, first, group)
            listening = await stack.enter_async_context(
                egress(listener, ground.policy.allowed_hosts, resolve=ground.resolve)
            )
        yield _Container(name, Keepers(first, others), group, image_environment, listening)


def _writable_places(workspace: Workspace) -> tuple[disk.Place, ...]:
    """Where commands can write. Of the checkout only what changes from now on."""
    scratch = (disk.Place(workspace.scratch / name) for name in ("tmp", "home"))
    return (disk.Place(workspace.tree, since=time.time()), *scratch)


def _settings(ground: _Ground) -> dict[str, Any]:
    workspace, policy = ground.workspace, ground.policy
    make_missing(workspace, owner=ground.owner)
    if policy.mode is SandboxMode.WORKSPACE_WRITE:
        make_cache_places(workspace.scratch / "home", policy.caches, owner=ground.owner)
    etc = laid_out(etc_files(ground.uid), ground.state or workspace.scratch)
    with protections(ground.tree, policy, has_git_view=workspace.git is not None) as protected:
        shown = tuple(places(workspace, policy, protected, etc=etc, extra_read_only=ground.extra_read_only))
    return container_settings(
        ground.image,
        policy,
        shown,
        uid=ground.uid,
        runtime=ground.runtime,
        labels=ground.prepared.ownership.labels,
    )


async def _environment_of_image(engine: Engine, image: str) -> tuple[str, ...]:
    try:
        found = await engine.ask(lambda api: api.inspect_image(image))
    except EngineRefused as error:
        if error.status != _NOT_FOUND:
            raise
        raise SandboxUnavailable(
            f"The Docker Engine at {engine.address} has no image {image}.",
            remedy=(
                f"Build it: `docker build --target sandbox --tag {image} .` in Darner's own directory."
                if image == DEFAULT_IMAGE
                else f"Fetch it: `docker pull {image}`."
            ),
        ) from error
    return tuple(found["Config"].get("Env") or ())


async def _kept(keeper: Stream) -> None:
    """Return when the keeper runs: what comes after it would not be told from what commands leave."""
    try:
        async with asyncio.timeout(_SECONDS_TO_BE_KEPT):
            is_kept = bool(await keeper.read())
    except TimeoutError:
        is_kept = False
    if not is_kept:
        raise SandboxUnavailable(
            "The container ended, or hung, as soon as it was started.",
            remedy="Use an image with a /bin/sh that this machine can run.",
        )


async def _keepers_of(engine: Engine, container: str, first: int) -> frozenset[int]:
    answer = await engine.ask(lambda api: api.top(container, ps_args="-eo pid,ppid"))
    return frozenset(int(row[0]) for row in answer["Processes"]) - {first}


def _listener_in(first: int, group: ControlGroup | None) -> socket.socket:
    """A socket that listens inside the container's network namespace; what comes in is accepted outside."""
    if group is None:
        raise SandboxUnavailable(
            "Only a service that is root on the Engine's machine can let a container reach hosts.",
            remedy="Run the service as root there, use the bubblewrap driver, or allow no hosts.",
        )
    made: list[socket.socket | OSError] = []

    def listen() -> None:
        try:
            namespace = os.open(f"/proc/{first}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                syscalls.set_namespaces(namespace, syscalls.CLONE_NEWNET)
            finally:
                os.close(namespace)
            made.append(socket.create_server(("127.0.0.1", PROXY_PORT)))
        except OSError as error:
            made.append(error)

    # A thread of its own, which ends with that namespace as its own.
    thread = threading.Thread(target=listen, name="listener")
    thread.start()
    thread.join()
    (found,) = made
    if isinstance(found, OSError):
        raise SandboxUnavailable(
            f"No proxy can be had inside the container: {found}.",
            remedy="Run the service as root with CAP_SYS_ADMIN, or allow no hosts.",
        ) from found
    return found


def _refuse_what_this_cannot(workspace: Workspace, policy: Policy) -> None:
    if policy.mode is SandboxMode.FULL_ACCESS:
        raise SandboxUnavailable(
            "A container cannot give the host's files and network, which danger-full-access asks for.",
            remedy="Use the bubblewrap driver for it, or another mode.",
        )
    if workspace.layers is not None:
        raise SandboxUnavailable(
            "The docker driver cannot show a checkout made of layers.",
            remedy="This is a fault of Darner's; please report it.",
        )


def _unavailable(error: EngineRefused | SandboxUnavailable) -> SandboxUnavailable:
    if isinstance(error, SandboxUnavailable):
        return error
    return SandboxUnavailable(
        f"The Docker Engine refused the sandbox: {error.words}",
        remedy="Run `darner doctor`, which tells what this machine lacks.",
    )


async def _succeeds(ending: Awaitable[None]) -> bool:
    try:
        await ending
    except (OSError, TimeoutError):
        return False
    return True


def _nothing() -> tuple[str, ...]:
    return ()


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    try:
        descriptor = os.open(directory, _DIRECTORY)
    except OSError as error:
        raise SandboxUnavailable(
            f"The checkout cannot be opened: {error}.", remedy="Make the checkout anew."
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
