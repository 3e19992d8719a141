"""What a turn was asked about is over: the issue closed, the pull request merged, the request taken back.

A turn that waits ends with a word; one at work is told, and decides with what it knows whether its work still
counts. Only turns that were asked for before it: a request in a closed conversation is a request.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from handlers import comments, reasons
from handlers.effects import Effect, Ignore, SteerTurn, StopTurn
from handlers.events import (
    CommentDeleted,
    IssueCommented,
    Leaving,
    ReviewCommented,
    SubjectClosed,
    SubjectFound,
)
from handlers.ingest import act_of, ignored
from handlers.review_keys import turn_id_of
from handlers.view import TurnBrief, View

LATE_SECONDS: Final = 60.0
"""How long a request may have waited for us, and yet be older than the closing."""
COARSE_SECONDS: Final = 1.0
"""GitHub's clock has whole seconds."""


def on_subject_gone(event: SubjectClosed | SubjectFound | CommentDeleted, view: View) -> list[Effect]:
    match event:
        case SubjectClosed():
            told = _told(view, event.way, by=event.actor.login, at=event.at, slack=LATE_SECONDS)
            return told or [ignored(event, reasons.NO_TURN_WAITS)]
        case CommentDeleted():
            return _taken_back(event, view) or [ignored(event, reasons.NO_TURN_WAITS)]
        case SubjectFound():
            return _found(event, view) or [Ignore(key=_key_of(event), reason=reasons.NO_TURN_WAITS)]
        case _:
            assert_never(event)


def _found(event: SubjectFound, view: View) -> list[Effect]:
    by = event.by or comments.SOMEBODY
    told = _told(view, event.way, by=by, at=event.at, slack=COARSE_SECONDS) if event.way else []
    known = {effect.key for effect in told}
    withdrawn = [_stopped(turn, by) for turn in view.turns if turn.id in event.withdrawn and _waits(turn)]
    return [*told, *(stop for stop in withdrawn if stop.key not in known)]


def _key_of(event: SubjectFound) -> str:
    return f"found/{event.way}/{event.at}/{','.join(event.withdrawn)}:ignore"


def _taken_back(event: CommentDeleted, view: View) -> list[Effect]:
    """A request that was deleted before it was begun does not start; a turn at work is stopped by `stop`."""
    asked = _turns_asked_by(event)
    return [
        _stopped(turn, event.actor.login)
        for turn in view.turns
        if turn.id in asked and _waits(turn) and turn.started_at is None
    ]


def _told(view: View, way: Leaving, *, by: str, at: str, slack: float) -> list[Effect]:
    until = datetime.fromisoformat(at).timestamp() + slack if at else float("inf")
    return [
        _stopped(turn, by) if _waits(turn) else _steered(turn, way, by)
        for turn in view.turns
        if turn.state != "ended" and turn.created_at <= until
    ]


def _waits(turn: TurnBrief) -> bool:
    return turn.state == "waiting"


def _stopped(turn: TurnBrief, by: str) -> StopTurn:
    return StopTurn(key=gone_key(turn.id), turn_id=turn.id, author=by)


def _steered(turn: TurnBrief, way: Leaving, by: str) -> SteerTurn:
    return SteerTurn(key=gone_key(turn.id), turn_id=turn.id, author=by, text=comments.subject_gone(way, by))


def gone_key(turn: str) -> str:
    """A turn is told once, by whichever way it came to be known."""
    return f"{turn}:gone"


def _turns_asked_by(event: CommentDeleted) -> set[str]:
    """The ids that turns have which this comment asked for: as it was written, or by an edit of it."""
    comment = event.comment
    written = _as_said(event, edited=False, comment_at=comment.created_at)
    edited = _as_said(event, edited=True, comment_at=comment.updated_at)
    return {turn_id_of(act_of(written)), turn_id_of(act_of(edited))}


def _as_said(event: CommentDeleted, *, edited: bool, comment_at: str) -> IssueCommented | ReviewCommented:
    comment = replace(event.comment, updated_at=comment_at)
    edited_from = "" if edited else None
    if event.is_in_review:
        return ReviewCommented(
            repository=event.repository,
            actor=event.actor,
            installation_id=event.installation_id,
            subject=event.subject,
            comment=comment,
            path="",
            line=None,
            diff_hunk="",
            thread_root=comment.id,
            edited_from=edited_from,
        )
    return IssueCommented(
        repository=event.repository,
        actor=event.actor,
        installation_id=event.installation_id,
        subject=event.subject,
        comment=comment,
        edited_from=edited_from,
    )
