"""Webhooks that came while nobody listened: the forge keeps them for days, and sends them again when asked.

GitHub does not repeat a failed delivery by itself:
https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

from app.forge_error import ForgeError
from app.store import deliveries
from app.store.database import Database
from app.tokens import Sent, Tokens

log = logging.getLogger(__name__)

KEPT_SECONDS: Final = 3 * 24 * 3600.0
"""For how long GitHub can send a delivery again."""
EVERY_SECONDS: Final = 600.0
TRIES: Final = 5
"""Of one webhook: what was refused so often is not refused by chance."""


class Missed:
    """Asks for what was not taken, at the start and from time to time. For Apps; see `Tokens.sent`."""

    def __init__(
        self,
        database: Database,
        tokens: Tokens,
        *,
        now: Callable[[], float] = time.time,
        is_my_turn: Callable[[str, float], Awaitable[bool]] | None = None,
    ) -> None:
        self._is_my_turn = is_my_turn
        self._database = database
        self._tokens = tokens
        self._now = now

    async def watch(self) -> None:
        """For as long as the server runs."""
        while True:
            try:
                # Of several processes one asks.
                if self._is_my_turn is None or await self._is_my_turn("darner-missed", EVERY_SECONDS / 2):
                    await self.recover()
            except ForgeError as error:
                # The next round asks again; what fails is kept by the forge for days.
                log.warning("missed.not_asked", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(EVERY_SECONDS)

    async def recover(self) -> list[str]:
        """Have every webhook that was never taken sent again; their GUIDs. Raises `ForgeError`."""
        sent = await asyncio.to_thread(self._tokens.sent, since=self._now() - KEPT_SECONDS)
        asked: list[str] = []
        for newest in _never_taken(sent):
            # Taken, and only the answer was lost.
            if await self._is_known(newest.guid):
                continue
            await asyncio.to_thread(self._tokens.send_again, newest.id)
            asked.append(newest.guid)
        if asked:
            log.info("missed.asked_for", extra={"fields": {"deliveries": len(asked)}})
        return asked

    async def _is_known(self, guid: str) -> bool:
        return await self._database.read(lambda connection: deliveries.find(connection, guid)) is not None


def _never_taken(sent: list[Sent]) -> list[Sent]:
    """Of each webhook that no try delivered, and that is worth another, the newest try; oldest first."""
    tries: dict[str, list[Sent]] = defaultdict(list)
    for one in sent:
        tries[one.guid].append(one)
    hopeful = [
        max(group, key=lambda one: one.id)
        for group in tries.values()
        if len(group) < TRIES and not any(one.was_taken for one in group)
    ]
    return sorted(hopeful, key=lambda one: one.id)
