"""What one turn may do: from what it is pinned to, and what the operator allows now."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.briefing import pinned_config
from handlers.effects import StartTurn
from handlers.permissions import STANDING, Permission, Refusal
from handlers.policy import Approved, Resolved, Situation, resolve, trigger_of
from handlers.view import AskedRequest
from handlers.wanted import wanted_of
from handlers.wishes import Ceiling, Wishes
from sandbox.base import SandboxMode
from sandbox.git.mirror import Mirror

log = logging.getLogger(__name__)

_PERMISSIONS: Final[dict[str, Permission]] = {name: name for name in STANDING}


class TurnRefused(Exception):
    """The operator's settings allow this turn no more."""


async def policy_of(
    start: StartTurn,
    mirror: Mirror,
    *,
    ceiling: Ceiling,
    repository: str,
    caches: Path,
    approved: Sequence[AskedRequest] = (),
) -> Resolved:
    """The turn's policy. All of it is pinned but the operator's ceiling, which holds as it is now, and what
    people have `approved` since.

    So a turn that was asked for under wider settings does not get what they no longer give.
    Raises `TurnRefused` and `ConfigRefused`.
    """
    config = await pinned_config(mirror, start)
    situation = Situation(
        ceiling=ceiling,
        repository=repository,
        file=config.wishes,
        asked=Wishes(mode=start.mode),
        trigger=trigger_of(start),
        permission=_PERMISSIONS.get(start.requester.permission, "none"),
        is_fork=start.is_fork,
        caches=caches,
        approved=tuple(map(_approved, approved)),
    )
    found = resolve(situation)
    if isinstance(found, Refusal):
        raise TurnRefused("The settings of this server do not allow such a turn any more.")
    _log(start, found, config.ignored)
    return found


def _approved(request: AskedRequest) -> Approved:
    wanted = wanted_of(request).wanted
    return Approved(
        by=request.decided_by,
        hosts=wanted if request.kind == "network" else (),
        paths=wanted if request.kind == "paths" else (),
    )


def _log(start: StartTurn, found: Resolved, ignored: tuple[str, ...]) -> None:
    policy = found.policy
    fields = {
        "turn": start.turn_id,
        "mode": policy.mode.value,
        "allowed_hosts": " ".join(policy.allowed_hosts),
        "caches": " ".join(cache.name for cache in policy.caches),
        "image": policy.image or "",
        "approvals": found.approvals,
        "approved": "; ".join(f"{what} by {who}" for what, who in found.approved_by.items()),
        "not_granted": "; ".join((*map(str, found.not_granted), *ignored)),
    }
    is_open = policy.mode is SandboxMode.FULL_ACCESS
    log.log(logging.WARNING if is_open else logging.INFO, "turn.policy", extra={"fields": fields})
