"""The checkouts of running turns: made ready while the model reads, kept until the outcome is stored."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from app.caches import make_caches
from sandbox.base import Driver, Policy, Sandbox, SandboxError
from sandbox.checkout import Checkout, check_out, remove_tree, reopen
from sandbox.layers import LayerStore
from sandbox.mirror import Mirror

log = logging.getLogger(__name__)

HEAD_START_SECONDS: Final = 0.1
"""That the first request has before the checkout is begun, unless a tool wants it sooner: writing thousands
of files makes the journal wait for the disk (measured: 60 ms), and a model takes longer to answer anyway."""


class PendingWorkspace:
    """A workspace that may still be in the making."""

    def __init__(self, task: asyncio.Task[tuple[Checkout, Sandbox]], wanted: asyncio.Event) -> None:
        self._task = task
        self._wanted = wanted

    async def sandbox(self) -> Sandbox:
        return (await self._made())[1]

    async def checkout(self) -> Checkout:
        return (await self._made())[0]

    async def _made(self) -> tuple[Checkout, Sandbox]:
        self._wanted.set()
        return await asyncio.shield(self._task)


class Workspaces:
    """One directory a turn, named after it."""

    def __init__(self, home: Path, driver: Driver) -> None:
        self._directory = home / "checkouts"
        self._driver = driver

    @asynccontextmanager
    async def opened(
        self, turn: str, sha: str, mirror: Mirror, policy: Policy
    ) -> AsyncIterator[PendingWorkspace]:
        """The turn's checkout and sandbox, being made ready. The sandbox ends here; the checkout stays."""
        stack = AsyncExitStack()
        wanted = asyncio.Event()

        async def prepare() -> tuple[Checkout, Sandbox]:
            with suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), HEAD_START_SECONDS)
            checkout = await self._checkout(turn, sha, mirror)
            make_caches(policy, owner_uid=self._driver.owner_uid)
            sandbox = await stack.enter_async_context(self._driver.open(checkout.workspace, policy))
            return checkout, sandbox

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
        return sorted(path.name for path in self._directory.iterdir()) if self._directory.is_dir() else []

    async def remove(self, turn: str) -> None:
        try:
            await remove_tree(self._directory / turn)
        except (SandboxError, OSError, TimeoutError) as error:
            # Only room on the disk; the next start tries again.
            log.warning("checkout.kept", extra={"fields": {"turn": turn, "error": str(error)}})

    async def _checkout(self, turn: str, sha: str, mirror: Mirror) -> Checkout:
        """What the turn had before its worker died, else a new one."""
        directory = self._directory / turn
        self._directory.mkdir(parents=True, exist_ok=True)
        owner = self._driver.owner_uid
        can_layer = await self._driver.can_layer(self._directory)
        layers = LayerStore(mirror, owner_uid=owner) if can_layer else None
        if kept := await reopen(mirror, sha, directory, layers=layers):
            return kept
        await remove_tree(directory)
        return await check_out(mirror, sha, directory, owner_uid=owner, layers=layers)
