"""Makes a turn ready: its commit in the mirror, its policy, the logs it is shown, the review or briefing."""

import logging
import secrets
from dataclasses import dataclass, replace

from app.briefing import gather
from app.caches import caches_of
from app.ci_logs import TurnLogs
from app.going_on import LeftBefore, left_by
from app.reviewing import Review, Reviewing
from app.runtime import Runtime
from app.store import requests, turns
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from app.turn_policy import policy_of
from handlers.briefing import compose
from handlers.effects import StartTurn
from harness.approvals import Askable
from sandbox.base import Policy
from sandbox.git.mirror import Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a turn begins with."""

    mirror: Mirror
    policy: Policy
    askable: Askable
    approved_paths: tuple[str, ...]
    brought: tuple[ChangedFile, ...]
    """Files of the turn that it goes on from."""
    review: Review | None
    request: str
    """What the model is told first; empty where a review is settled without the model."""


class Opening:
    """Makes turns ready."""

    def __init__(self, runtime: Runtime, reviewing: Reviewing, logs: TurnLogs) -> None:
        self._runtime = runtime
        self._reviewing = reviewing
        self._logs = logs

    async def ready(self, row: TurnRow, start: StartTurn, place: RepositoryRef) -> Ready:
        """Raises `ForgeError`, `SandboxError`, `StoreAway`, `ConfigRefused` and `TurnRefused`."""
        mirror = await self._runtime.mirrors.fetched(
            place, start.base_sha, start.instructions_sha, start.config_sha or start.instructions_sha
        )
        approved = await self._runtime.database.read(
            lambda connection: requests.approved_of_turn(connection, row.id)
        )
        resolved = await policy_of(
            start,
            mirror,
            ceiling=self._runtime.bot().ceiling,
            repository=place.full_name,
            caches=caches_of(self._runtime.home, str(place.id)),
            approved=approved,
        )
        policy = await self._logs.laid(start, place, resolved.policy)
        left_before = await left_by(self._runtime.database, self._runtime.results, place, start)
        review = None
        if start.kind == "review":
            review = await self._reviewing.prepared(row, start, place, mirror, self._runtime.bot())
        if review is not None and review.settled is not None:
            request = ""
        else:
            request = row.request or await self._compose(
                row, start, place, mirror, policy, left_before, review
            )
        return Ready(
            mirror=mirror,
            policy=policy,
            askable=resolved.askable,
            approved_paths=resolved.approved_paths,
            brought=left_before.files,
            review=review,
            request=request,
        )

    async def _compose(
        self,
        row: TurnRow,
        start: StartTurn,
        place: RepositoryRef,
        mirror: Mirror,
        policy: Policy,
        left_before: LeftBefore,
        review: Review | None,
    ) -> str:
        """The briefing, stored before it is used: a resumed turn is told the very same."""
        if review is not None:
            told = await self._reviewing.briefing(review, place, mirror, self._runtime.bot())
            await self._runtime.database.write(lambda connection: turns.set_request(connection, row.id, told))
            return told
        going_on = left_before.told(start) if start.continues else ""
        if left_before.is_briefed:
            # Its history begins with the briefing of the turn that it goes on from.
            await self._runtime.database.write(
                lambda connection: turns.set_request(connection, row.id, going_on)
            )
            return going_on
        material = await gather(
            start, github=self._runtime.github, place=place, mirror=mirror, bot=self._runtime.bot().id
        )
        briefing = compose(replace(material, policy=policy), nonce=secrets.token_hex(4))
        log.info("turn.briefed", extra={"fields": {"turn": row.id, "report": str(briefing.report)}})
        text = f"{briefing.text}\n\n{going_on}" if going_on else briefing.text
        await self._runtime.database.write(lambda connection: turns.set_request(connection, row.id, text))
        return text
