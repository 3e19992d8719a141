"""A model endpoint's limit, heard by one turn and kept by all: those of other processes too.

The loop knows nothing of it: a request that would only be refused fails at once as the endpoint would have
failed it, with the time that is left. A short wait is slept through, a long one parks the turn.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from app.store import throttles
from app.store.database import Database
from harness.items import HistoryEntry
from harness.protocols import Model, ModelError, ModelRequest, ModelResponse

log = logging.getLogger(__name__)

SPREAD: Final = 0.2
"""Of the time that is left: by as much at most one waits longer than another, so that not all ask at once."""
LONGEST_SPREAD: Final = 5.0
LONGEST_OBEYED: Final = 24 * 3600.0


class SharedModel:
    """`harness.protocols.Model` behind its endpoint's limit."""

    def __init__(
        self,
        model: Model,
        database: Database,
        *,
        base_url: str,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._model = model
        self._database = database
        # Without what may stand before the host: a name is shown to people.
        self._limit: Final = f"model/{urlsplit(base_url).netloc.rpartition('@')[2]}"
        self._now = now
        self._jitter = jitter

    @property
    def name(self) -> str:
        return self._model.name

    def encode(self, entry: HistoryEntry) -> bytes:
        return self._model.encode(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        """Ask, unless the endpoint has said to wait. Raises `ModelError`."""
        await self._check()
        try:
            return await self._model.respond(request, on_text=on_text)
        except ModelError as error:
            if error.fault in {"rate_limited", "overloaded"} and error.retry_after:
                await self._hold(min(error.retry_after, LONGEST_OBEYED))
            raise

    async def _check(self) -> None:
        held = await self._database.read(lambda connection: throttles.find(connection, self._limit))
        left = held.blocked_until - self._now()
        if left > 0:
            wait = left + min(SPREAD * left, LONGEST_SPREAD) * self._jitter()
            raise ModelError("rate_limited", "the endpoint told another turn to wait", retry_after=wait)

    async def _hold(self, seconds: float) -> None:
        now = self._now()
        await self._database.write(
            lambda connection: throttles.block(connection, self._limit, wait=seconds, now=now)
        )
        log.warning("model.limited", extra={"fields": {"limit": self._limit, "seconds": round(seconds, 1)}})
