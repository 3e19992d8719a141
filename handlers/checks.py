"""The check runs of a turn while it is not over, and the buttons of all of them."""

from typing import Final

from handlers import comments
from handlers.effects import CheckAction, Effect, StartTurn, WriteCheckRun

STOP_BUTTON: Final = CheckAction("stop", "Stop", "End this turn; its work is shown")
RETRY_BUTTON: Final = CheckAction("retry", "Retry", "Go on from where this turn ended")


def queued_check(start: StartTurn, note: str) -> list[Effect]:
    """The check run of a turn that begins, on the head it works on; forks' heads take none."""
    if not start.is_pull or start.is_fork:
        return []
    return [
        WriteCheckRun(
            key=f"{start.turn_id}:check:queued",
            external_id=start.turn_id,
            head_sha=start.base_sha,
            status="queued",
            conclusion=None,
            title=comments.check_title("queued"),
            summary=comments.check_summary(start, note),
            actions=(STOP_BUTTON,),
        )
    ]


def waiting_check(start: StartTurn, request: str, told: str) -> list[Effect]:
    """The check run of a turn that has asked for leave; its buttons answer that one request."""
    if not start.is_pull or start.is_fork:
        return []
    approve = CheckAction(f"approve {request}", "Approve", "Allow what this turn has asked for")
    deny = CheckAction(f"deny {request}", "Deny", "This turn goes on without")
    return [
        WriteCheckRun(
            key=f"{start.turn_id}:check:asked:{request}",
            external_id=start.turn_id,
            head_sha=start.base_sha,
            status="queued",
            conclusion=None,
            title=comments.check_title("waiting"),
            summary=comments.check_summary(start, told),
            actions=(approve, deny, STOP_BUTTON),
        )
    ]
