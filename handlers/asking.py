"""Puts to people what a turn asks of them: while it runs, and for what was held back when it ended."""

from handlers import comments, comments_requests, reasons
from handlers.broker import Judgement, approval_hash
from handlers.checks import waiting_check
from handlers.comments import Publication, Published, Unpublished
from handlers.delivery import LONGEST_PATCH
from handlers.effects import AskApproval, EditComment, Effect, Ignore, PostComment
from handlers.events import TurnEnded
from handlers.permissions import Refusal
from handlers.policy import resolve, situation_of, trigger_of
from handlers.view import View
from handlers.wanted import Wanted, written
from harness.approvals import request_id
from harness.items import ApprovalRequest, Completed, Exhausted
from sandbox.base import SandboxMode


def ask_people(ended: TurnEnded, asked: ApprovalRequest, view: View) -> list[Effect]:
    """A parked turn's request: stored, and asked for where the turn was asked for."""
    start = ended.start
    name = request_id(start.turn_id, asked.id)
    if any(brief.id == start.turn_id and brief.state == "ended" for brief in view.turns):
        # Stopped before anybody could be asked.
        return [Ignore(key=f"{start.turn_id}:unasked:{name}", reason=reasons.TURN_OVER)]
    state = comments.Progress(
        phase="waiting",
        start=start,
        seconds=ended.seconds,
        plan=ended.plan,
        note=comments_requests.waiting_for_people(name, asked.kind),
    )
    return [
        AskApproval(
            key=f"{start.turn_id}:ask:{name}",
            request_id=name,
            turn_id=start.turn_id,
            kind=asked.kind,
            asked=written(Wanted(asked.wanted, start.requester.id)),
            digest=asked.digest,
            head_sha=start.base_sha,
            until=asked.until,
        ),
        EditComment(
            key=f"{start.turn_id}:progress:asked:{name}",
            posted_key=start.progress_key,
            body=comments.progress(state),
            requester=start.requester.login,
        ),
        PostComment(
            key=f"{start.turn_id}:asked:{name}",
            number=start.number,
            body=comments_requests.asking(start, name, asked, mention=view.bot.mention),
            review_thread=start.review_thread,
            requester=start.requester.login,
        ),
        # A question takes words; there is no button for those.
        *([] if asked.kind == "question" else waiting_check(start, name, state.note)),
    ]


def ask_for_held(
    ended: TurnEnded, view: View, publication: Publication, judgement: Judgement
) -> AskApproval | None:
    """The request for what was held back; None where it cannot be approved by a comment.

    Only what a person can see whole is offered: the patch is shown uncut, and has every held file in it.
    """
    start = ended.start
    is_offered = (
        bool(judgement.held)
        and isinstance(ended.outcome, Completed | Exhausted)
        and not isinstance(publication, Unpublished)
        and not start.is_fork
        and start.mode is not SandboxMode.READ_ONLY
        and 0 < len(ended.protected_patch) <= LONGEST_PATCH
        and set(judgement.held) <= set(ended.protected)
        and may_ask(ended, view)
    )
    if not is_offered:
        return None
    branch = publication.branch if isinstance(publication, Published) else ""
    return AskApproval(
        key=f"{start.turn_id}:ask:held",
        request_id=request_id(start.turn_id, "held"),
        turn_id=start.turn_id,
        kind="held",
        asked=written(Wanted(judgement.held, start.requester.id, branch)),
        digest=approval_hash(ended.protected_patch),
        head_sha=publication.sha if isinstance(publication, Published) else start.base_sha,
        until=None,
    )


def may_ask(ended: TurnEnded, view: View) -> bool:
    """Whether the settings let such a turn ask people."""
    start = ended.start
    resolved = resolve(
        situation_of(view, repository=start.repository, trigger=trigger_of(start), is_fork=start.is_fork)
    )
    return not isinstance(resolved, Refusal) and resolved.askable.may_ask
