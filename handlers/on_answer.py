"""Someone answers what a turn has asked of people: by `approve` or `deny`, or a question in free words.

Who may is decided by the permission as the forge tells it now, not by that of the time when it was asked.
"""

from dataclasses import dataclass
from typing import Literal

from handlers import comments_requests as told
from handlers.effects import Decide, Requester
from handlers.events import Actor
from handlers.grammar import Approve, Deny
from handlers.hidden import remove_hidden
from handlers.permissions import STANDING
from handlers.view import OF_RESULTS, AskedRequest, View
from handlers.wanted import wanted_of


@dataclass(frozen=True, slots=True)
class Reply:
    """What is decided, if anything, and what the person is told."""

    said: str
    decision: Decide | None = None

    @property
    def reaction(self) -> Literal["+1", "confused"]:
        is_taken = self.decision is not None and self.decision.state != "void"
        return "+1" if is_taken else "confused"


def on_answer(command: Approve | Deny, view: View, *, act: str, actor: Actor) -> Reply:
    """The answer of a person who may give one."""
    mention = view.bot.mention
    open_ids = tuple(request.id for request in view.requests if request.state == "open")
    if command.request is None and len(open_ids) != 1:
        return Reply(told.which_one(open_ids, mention=mention))
    named = command.request or open_ids[0]
    request = next((one for one in view.requests if one.id == named), None)
    if request is None:
        return Reply(told.unknown(named, open_ids, mention=mention))
    if request.state != "open":
        return Reply(told.is_decided(request, mention=mention))
    if command.request is None and request.kind == "companion":
        # What it would bring is told with its name: a bare word is no leave for that.
        return Reply(told.wants_its_id(request, mention=mention))
    if request.kind not in OF_RESULTS and _has_ended(view, request.turn):
        return Reply(told.turn_is_over(request, mention=mention))
    by = Requester(actor.id, actor.login, view.permission)
    key = f"{act}:decide"
    if isinstance(command, Deny):
        decision = Decide(
            key=key,
            request_id=request.id,
            turn_id=request.turn,
            state="denied",
            by=by,
            words=remove_hidden(command.why).text,
        )
        return Reply(told.denied(request), decision)
    if request.kind == "question":
        return Reply(told.is_a_question(request, mention=mention))
    if not told.is_shown_whole(wanted_of(request).wanted):
        return Reply(told.is_not_shown_whole(request, mention=mention))
    if (head := _moved_head(view, request)) is not None:
        words = "the head of the pull request has moved since it was asked"
        void = Decide(key=key, request_id=request.id, turn_id=request.turn, state="void", by=by, words=words)
        return Reply(told.head_has_moved(request, head, mention=mention), void)
    decision = Decide(key=key, request_id=request.id, turn_id=request.turn, state="approved", by=by)
    return Reply(told.approved(request), decision)


def open_question(view: View, actor: Actor) -> AskedRequest | None:
    """The question that this person's next words answer, if they may: a writer, or who asked for the turn."""
    for request in view.requests:
        is_open = request.state == "open" and not _has_ended(view, request.turn)
        if is_open and request.kind == "question":
            is_asker = wanted_of(request).asker == actor.id
            return request if is_asker or STANDING[view.permission] == "writer" else None
    return None


def waits_for(view: View, turn: str) -> AskedRequest | None:
    """The open request that keeps a turn parked."""
    return next((one for one in view.requests if one.state == "open" and one.turn == turn), None)


def answer(request: AskedRequest, view: View, text: str, *, act: str, actor: Actor) -> Reply:
    """Free words, while a question is open."""
    decision = Decide(
        key=f"{act}:decide",
        request_id=request.id,
        turn_id=request.turn,
        state="answered",
        by=Requester(actor.id, actor.login, view.permission),
        words=remove_hidden(text).text,
    )
    return Reply(told.answered(request), decision)


def _has_ended(view: View, turn: str) -> bool:
    return any(brief.id == turn and brief.state == "ended" for brief in view.turns)


def _moved_head(view: View, request: AskedRequest) -> str | None:
    """Where the pull request's head is now, if it is no longer where this was asked.

    What a turn on an issue asks about is its own branch: nobody else's push touches it, and the push of what
    was held back has a lease.
    """
    if view.pull is None or view.pull.head.sha == request.head_sha:
        return None
    if request.kind == "held" and wanted_of(request).branch not in {"", view.pull.head.name}:
        # It goes to a companion branch.
        return None
    return view.pull.head.sha
