"""The leases of this process: taken, renewed together by one task, lost when somebody else took them.

On PostgreSQL a thread is driven under a lease, whatever process of whatever machine does it. See
`app.store.leases` for the rows and `app.store.fence` for what a lease protects.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.store import leases as rows
from app.store.database import Database
from app.store.fence import LeaseLost
from app.store.leases import Places, Refusal

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 8.0
"""How long a process may be silent before others take its threads over."""
RENEW_SECONDS: Final = 2.0
MARGIN_SECONDS: Final = 1.5
"""Before the end of a lease nothing is sent any more: a request needs time to arrive."""


def name_of_process() -> str:
    """New at every start: two processes are never taken for one another."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _elapsed() -> float:
    """Seconds that go on while the process is stopped, or the machine asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _nothing() -> None:
    pass


@dataclass(slots=True, eq=False)
class Lease:
    """One lease as this process knows it: a fence around what is done under it."""

    name: str
    owner: str
    good_until: float
    on_lost: Callable[[], object] = _nothing
    """Called once, when somebody else has it."""
    is_lost: bool = field(default=False)

    def require(self) -> None:
        if self.is_lost or _elapsed() >= self.good_until:
            raise LeaseLost

    def hold(self, connection: Connection) -> None:
        if self.is_lost or not rows.hold(connection, self.name, self.owner):
            raise LeaseLost

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.on_lost()


class Leases:
    """Those of one process. `keep` runs for as long as any may be held."""

    def __init__(self, database: Database, worker: str) -> None:
        self.worker: Final = worker
        self._database = database
        self._held: dict[str, Lease] = {}
        self._taking: set[str] = set()

    async def take(self, name: str, *, places: Places | None = None) -> Lease | Refusal:
        """The lease, or why not. Ask once at a time for a name."""
        owner = secrets.token_hex(8)
        asked = _elapsed()
        self._taking.add(name)
        try:
            refusal = await self._database.alone(
                lambda connection: rows.take(
                    connection, name, owner=owner, worker=self.worker, seconds=LEASE_SECONDS, places=places
                )
            )
            if refusal is not None:
                return refusal
            lease = Lease(name, owner, asked + LEASE_SECONDS - MARGIN_SECONDS)
            self._held[name] = lease
            return lease
        finally:
            self._taking.discard(name)

    async def release(self, lease: Lease) -> bool:
        """Give it back; whether somebody wanted it meanwhile. What cannot be given back runs out."""
        self._held.pop(lease.name, None)
        if lease.is_lost:
            return False
        try:
            return await self._database.write(
                lambda connection: rows.release(connection, lease.name, lease.owner)
            )
        except SQLAlchemyError as error:
            log.warning("lease.not_released", extra={"fields": {"lease": lease.name, "error": str(error)}})
            return True

    async def keep(self) -> None:
        """Renew what is held and say that this process lives, until cancelled."""
        while True:
            try:
                await self._renew()
            except SQLAlchemyError as error:
                # The database is away: the leases run out if that lasts, and nobody can take them meanwhile.
                log.warning("lease.not_renewed", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(RENEW_SECONDS)

    async def leave(self) -> None:
        """Give everything back, at the end."""

        def write(connection: Connection) -> None:
            rows.release_all(connection, self.worker)
            rows.leave(connection, self.worker)

        try:
            await self._database.write(write)
        except SQLAlchemyError as error:
            log.warning("lease.not_released", extra={"fields": {"error": str(error)}})

    async def _renew(self) -> None:
        asked = _elapsed()
        before = dict(self._held)

        def write(connection: Connection) -> dict[str, str]:
            rows.sign_of_life(connection, self.worker, host=socket.gethostname())
            return dict(rows.renew(connection, self.worker, seconds=LEASE_SECONDS))

        owned = await self._database.write(write)
        for name, lease in before.items():
            if owned.get(name) == lease.owner:
                lease.good_until = asked + LEASE_SECONDS - MARGIN_SECONDS
            elif self._held.get(name) is lease:
                log.warning("lease.lost", extra={"fields": {"lease": name}})
                lease.lose()
        forgotten = owned.keys() - self._held.keys() - self._taking - before.keys()
        if forgotten:
            # A release that did not get through.
            await self._database.write(
                lambda connection: rows.release_all(connection, self.worker, forgotten)
            )
