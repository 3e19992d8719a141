"""The checkouts of running turns: made ready while the model reads, kept until the outcome is stored."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.caches import make_caches
from app.turn_report import TreeState
from sandbox.base import Driver, Policy, Sandbox, SandboxError, SandboxMode
from sandbox.checkout import Checkout, check_out, reopen
from sandbox.checkout.layer_shelf import shelves_in
from sandbox.checkout.layers import LayerStore
from sandbox.checkout.removal import is_aside, left_aside, remove_tree, set_aside
from sandbox.checkout.snapshots import Elsewhere, Snapshots, SnapshotUnknown
from sandbox.git.mirror import Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)

HEAD_START_SECONDS: Final = 0.1
"""That the first request has before the checkout is begun, unless a tool wants it sooner: writing thousands
of files makes the journal wait for the disk (measured: 60 ms), and a model takes longer to answer anyway."""


@dataclass(frozen=True, slots=True)
class _Made:
    checkout: Checkout
    sandbox: Sandbox
    snapshots: Snapshots | None
    """None where nothing can change."""


class PendingWorkspace:
    """A workspace that may still be in the making."""

    def __init__(self, task: asyncio.Task[_Made], wanted: asyncio.Event) -> None:
        self._task = task
        self._wanted = wanted

    async def sandbox(self) -> Sandbox:
        return (await self._made()).sandbox

    async def checkout(self) -> Checkout:
        return (await self._made()).checkout

    async def snapshot(self) -> str | None:
        """See `harness.protocols.Session.snapshot`."""
        try:
            made = await self._made()
            return None if made.snapshots is None else await made.snapshots.take(made.sandbox.tree)
        except (SandboxError, OSError) as error:
            log.warning("snapshot.not_taken", extra={"fields": {"error": str(error)}})
            return None

    async def _made(self) -> _Made:
        self._wanted.set()
        return await asyncio.shield(self._task)


class FilesLost(SandboxError):
    """Whoever had the turn is gone, and its files with it."""

    def __init__(self, turn: str) -> None:
        super().__init__(
            f"the files of turn {turn} were on a machine that is gone, and the store does not have them. "
            "Do all processes have the same DARNER_STORE_URL, or the same DARNER_HOME?"
        )


class Workspaces:
    """One directory a turn, named after it."""

    def __init__(self, home: Path, driver: Driver) -> None:
        self._directory = home / "checkouts"
        self._mirrors = home / "mirrors"
        self._driver = driver
        self._removing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(
        self,
        turn: str,
        sha: str,
        mirror: Mirror,
        policy: Policy,
        state: TreeState | None = None,
        *,
        elsewhere: Elsewhere | None = None,
        brought: Sequence[ChangedFile] = (),
    ) -> AsyncIterator[PendingWorkspace]:
        """The turn's checkout and sandbox, being made ready. The sandbox ends here; the checkout stays.

        `state` is what the files of a checkout that is there already are brought to; None: as they are.
        With `elsewhere` a checkout that another machine had is made anew; `FilesLost` where that cannot be.
        `brought` is what another turn had changed, and this one begins with.
        """
        stack = AsyncExitStack()
        wanted = asyncio.Event()

        async def prepare() -> _Made:
            with suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), HEAD_START_SECONDS)
            checkout, is_kept = await self._checkout(turn, sha, mirror)
            make_caches(policy, owner_uid=self._driver.owner_uid)
            sandbox = await stack.enter_async_context(self._driver.open(checkout.workspace, policy))
            if policy.mode is SandboxMode.READ_ONLY:
                return _Made(checkout, sandbox, None)
            snapshots = Snapshots(checkout, self._driver.owner_uid, elsewhere)
            if elsewhere is not None and not is_kept and state is None:
                raise FilesLost(turn)
            is_fresh = not is_kept
            if state is not None and (is_kept or (elsewhere is not None and state.snapshot is not None)):
                await _bring_back(snapshots, state, sandbox, turn)
                is_fresh = state.snapshot is None
            if brought and is_fresh:
                await snapshots.lay(brought, sandbox.tree)
            return _Made(checkout, sandbox, snapshots)

        task = asyncio.create_task(prepare())
        try:
            yield PendingWorkspace(task, wanted)
        finally:
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await stack.aclose()

    def kept(self) -> list[str]:
        """The turns that have a checkout now."""
        found = self._directory.iterdir() if self._directory.is_dir() else ()
        return sorted(path.name for path in found if not is_aside(path))

    async def remove(self, turn: str) -> None:
        """Give up the turn's checkout at once; its files go in the background."""
        try:
            await asyncio.to_thread(set_aside, self._directory / turn)
        except OSError as error:
            # Only room on the disk; the next start tries again.
            log.warning("checkout.kept", extra={"fields": {"turn": turn, "error": str(error)}})
        self.sweep()

    def sweep(self) -> None:
        """Begin to remove what is given up, by this process or one before it."""
        task = asyncio.create_task(self._remove_aside())
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def close(self) -> None:
        """Stop removing; the next start goes on with it."""
        for task in self._removing:
            task.cancel()
        await asyncio.gather(*self._removing, return_exceptions=True)

    async def _remove_aside(self) -> None:
        for directory in left_aside(self._directory):
            try:
                await remove_tree(directory)
            except (SandboxError, TimeoutError) as error:
                log.warning(
                    "checkout.left", extra={"fields": {"directory": str(directory), "error": str(error)}}
                )
        for shelf in shelves_in(self._mirrors):
            try:
                await shelf.tidy()
            except (SandboxError, OSError) as error:
                log.warning("layers.not_tidied", extra={"fields": {"error": str(error)}})

    async def _checkout(self, turn: str, sha: str, mirror: Mirror) -> tuple[Checkout, bool]:
        """What the turn had before its worker died (then True), else a new one."""
        directory = self._directory / turn
        self._directory.mkdir(parents=True, exist_ok=True)
        layers = await self._layers(mirror)
        if kept := await reopen(mirror, sha, directory, layers=layers):
            return kept, True
        await remove_tree(directory)
        return await check_out(mirror, sha, directory, owner_uid=self._driver.owner_uid, layers=layers), False

    async def _layers(self, mirror: Mirror) -> LayerStore | None:
        """None where the driver can show none."""
        if not await self._driver.can_layer(self._directory):
            return None
        return LayerStore(mirror, owner_uid=self._driver.owner_uid)


async def _bring_back(snapshots: Snapshots, state: TreeState, sandbox: Sandbox, turn: str) -> None:
    """What the turn's steps had made of its files; half of a step that was cut off is gone."""
    try:
        await snapshots.restore(state.snapshot, sandbox.tree)
    except SnapshotUnknown:
        if snapshots.elsewhere is not None:
            # What is here may be of a time before another machine went on with the turn.
            raise FilesLost(turn) from None
        log.warning("snapshot.not_restored", extra={"fields": {"turn": turn, "error": "it is not there"}})
    except (SandboxError, OSError) as error:
        # The files are as they were found: better than none, and the model is told to look.
        log.warning("snapshot.not_restored", extra={"fields": {"turn": turn, "error": str(error)}})
