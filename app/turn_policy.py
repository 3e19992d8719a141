"""What one turn may do: from what it is pinned to, and what the operator allows now."""

import logging
from pathlib import Path
from typing import Final

from app.briefing import pinned_config
from handlers.effects import StartTurn
from handlers.permissions import STANDING, Permission, Refusal
from handlers.policy import Resolved, Situation, resolve
from handlers.wishes import Ceiling, Wishes
from sandbox.base import Policy, SandboxMode
from sandbox.git.mirror import Mirror

log = logging.getLogger(__name__)

_PERMISSIONS: Final[dict[str, Permission]] = {name: name for name in STANDING}


class TurnRefused(Exception):
    """The operator's settings allow this turn no more."""


async def policy_of(
    start: StartTurn, mirror: Mirror, *, ceiling: Ceiling, repository: str, caches: Path
) -> Policy:
    """The turn's policy. All of it is pinned but the operator's ceiling, which holds as it is now.

    So a turn that was asked for under wider settings does not get what they no longer give.
    Raises `TurnRefused` and `ConfigRefused`.
    """
    config = await pinned_config(mirror, start)
    situation = Situation(
        ceiling=ceiling,
        repository=repository,
        file=config.wishes,
        asked=Wishes(mode=start.mode),
        permission=_PERMISSIONS.get(start.requester.permission, "none"),
        is_fork=start.is_fork,
        caches=caches,
    )
    found = resolve(situation)
    if isinstance(found, Refusal):
        raise TurnRefused("The settings of this server do not allow such a turn any more.")
    _log(start, found, config.ignored)
    return found.policy


def _log(start: StartTurn, found: Resolved, ignored: tuple[str, ...]) -> None:
    policy = found.policy
    fields = {
        "turn": start.turn_id,
        "mode": policy.mode.value,
        "allowed_hosts": " ".join(policy.allowed_hosts),
        "caches": " ".join(cache.name for cache in policy.caches),
        "image": policy.image or "",
        "not_granted": "; ".join((*map(str, found.not_granted), *ignored)),
    }
    is_open = policy.mode is SandboxMode.FULL_ACCESS
    log.log(logging.WARNING if is_open else logging.INFO, "turn.policy", extra={"fields": fields})
