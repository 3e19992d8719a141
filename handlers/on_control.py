"""Somebody directs the thread or its turn at work: stop, pause, resume, retry, fork, undo, forget, questions.

Each is acknowledged with exactly what it did. Who may is decided before: writers, and the operator.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

from handlers import comments, comments_control, reasons
from handlers.asked import Asked, answer_to, comment_to, reaction_to
from handlers.checks import queued_check
from handlers.effects import (
    Effect,
    ForgetThread,
    HoldThread,
    PauseTurn,
    PostComment,
    ResumeTurn,
    StartTurn,
    StopTurn,
    UndoTurn,
)
from handlers.grammar import (
    Command,
    Companion,
    Forget,
    Fork,
    Pause,
    Resume,
    Retry,
    ShowPolicy,
    Status,
    Stop,
    Undo,
    Why,
)
from handlers.hidden import remove_hidden
from handlers.on_budget import why_nothing_starts
from handlers.policy import Resolved
from handlers.view import Landing, Target, ThreadFacts, TurnBrief, View
from harness.items import Completed
from sandbox.base import SandboxMode

Control = Stop | Pause | Resume | Retry | Fork | Undo | Forget | Why | ShowPolicy | Status
WRITERS_ONLY: Final = Stop | Pause | Resume | Retry | Fork | Undo | Forget | Why
"""Commands that direct others' turns, or tell of what others did."""
HEEDED_ALWAYS: Final = Stop | Pause | Forget | Why
"""Commands that start nothing: they count also where `.github/darner.yml` is broken or says no."""


def control(asked: Asked, view: View, command: Control, resolved: Resolved) -> list[Effect]:
    match command:
        case Stop():
            return _stop(asked, view)
        case Pause():
            return _pause(asked, view)
        case Resume():
            return _resume(asked, view)
        case Retry():
            return _retry(asked, view, resolved)
        case Fork():
            return _fork(asked, view, command, resolved)
        case Undo():
            return _undo(asked, view, command)
        case Forget():
            return _forget(asked, view)
        case Why(named=named):
            told = view.account
            if told is None:
                return answer_to(asked, comments_control.nothing_known(named), "confused")
            return answer_to(asked, comments_control.account(told))
        case ShowPolicy():
            return answer_to(asked, comments_control.policy_table(resolved, view.config, login=asked.author))
        case Status():
            lines = [
                comments.thread_status(view.turns, mention=view.bot.mention),
                *comments_control.standing(view),
            ]
            return answer_to(asked, "\n\n".join(lines))
        case _:
            assert_never(command)


def starts_by_itself(thread: ThreadFacts) -> str | None:
    """Why nothing may start in the thread that nobody asks for; None when it may.

    What Darner begins by itself (a review, the repair of a failed check) asks here first; what a person asks
    for in words does not.
    """
    if thread.stopped_by is not None:
        return reasons.STOPPED_HERE
    return reasons.ARCHIVED if thread.is_archived else None


def turn_meant(command: Command, turns: Sequence[TurnBrief], landings: Sequence[Landing]) -> str | None:
    """Id of the turn that a command is about; None for commands about none, and where there is none."""
    match command:
        case Retry() | Fork(turn=None) | Companion(turn=None):
            return next((turn.id for turn in reversed(turns) if turn.state == "ended"), None)
        case Undo(turn=None):
            left = [landing for landing in landings if not landing.undone_by]
            return next((landing.turn for landing in reversed(left or landings)), None)
        case Fork(turn=named) | Undo(turn=named) | Companion(turn=named):
            return next((turn.id for turn in turns if turn.id == named), None)
        case _:
            return None


def _stop(asked: Asked, view: View) -> list[Effect]:
    """All of the thread's turns that have not ended, whichever of them is at work."""
    turns = [turn for turn in view.turns if turn.state != "ended"]
    if not turns:
        mention, stopped_by = view.bot.mention, view.thread.stopped_by
        if stopped_by is not None:
            return answer_to(asked, comments_control.held_already(stopped_by, mention), "confused")
        held = comments_control.held(mention)
        return [HoldThread(key=f"{asked.act}:hold", by=asked.author), *answer_to(asked, held)]
    return stopping(asked, turns, mention=view.bot.mention)


def stopping(asked: Asked, turns: Sequence[TurnBrief], *, mention: str) -> list[Effect]:
    """End these, none of which has ended, and keep anything from starting by itself."""
    stops: list[Effect] = [
        StopTurn(key=f"{asked.act}:stop:{turn.id}", turn_id=turn.id, author=asked.author)
        for turn in turns
        if turn.stopping_by is None
    ]
    effects = [*stops, HoldThread(key=f"{asked.act}:hold", by=asked.author)]
    match turns:
        case [TurnBrief(id=turn, kind="review", stopping_by=None)]:
            # It has no last words.
            return [*effects, *answer_to(asked, comments_control.stopping_review(turn, mention))]
        case [TurnBrief(stopping_by=None)]:
            # The turn's last words follow within seconds, and say all of it.
            return [*effects, *reaction_to(asked, "+1")]
        case [TurnBrief(id=turn, stopping_by=str(by))]:
            return [*effects, *answer_to(asked, comments_control.stop_asked_before(turn, by))]
        case _:
            return [*effects, *answer_to(asked, comments_control.stopping(turns))]


def _pause(asked: Asked, view: View) -> list[Effect]:
    mention, turn = view.bot.mention, view.at_work
    if turn is None:
        return answer_to(asked, comments_control.nothing_to_pause(mention), "confused")
    if turn.stopping_by is not None:
        said = comments_control.stop_asked_before(turn.id, turn.stopping_by)
        return answer_to(asked, said, "confused")
    if turn.paused_by is not None:
        said = comments_control.paused_before(turn.id, turn.paused_by, mention)
        return answer_to(asked, said, "confused")
    pause = PauseTurn(key=f"{asked.act}:pause", turn_id=turn.id, author=asked.author)
    return [pause, *answer_to(asked, comments_control.pausing(turn.id, mention))]


def _resume(asked: Asked, view: View) -> list[Effect]:
    turn = view.at_work
    is_ending = turn is not None and turn.stopping_by is not None
    paused = turn.id if turn is not None and turn.paused_by is not None and not is_ending else None
    was_held = view.thread.stopped_by is not None or view.thread.is_archived
    if paused is None and not was_held:
        return answer_to(asked, comments_control.nothing_to_resume(view.bot.mention), "confused")
    effects: list[Effect] = []
    if paused is not None:
        effects.append(ResumeTurn(key=f"{asked.act}:resume", turn_id=paused, author=asked.author))
    if was_held:
        effects.append(HoldThread(key=f"{asked.act}:hold", by=None))
    said = comments_control.resumed(
        turn=paused,
        ending=turn.id if turn is not None and is_ending else None,
        was_held=was_held,
        mention=view.bot.mention,
    )
    return [*effects, *answer_to(asked, said)]


def _retry(asked: Asked, view: View, resolved: Resolved) -> list[Effect]:
    mention, target = view.bot.mention, view.target
    if view.at_work is not None:
        return answer_to(asked, comments_control.retry_at_work(view.at_work.id, mention), "confused")
    if target is None:
        return answer_to(asked, comments_control.nothing_to_retry(mention), "confused")
    if not target.start.request:
        return answer_to(asked, comments_control.forgotten_turn(target.start.turn_id, mention), "confused")
    if isinstance(target.outcome, Completed):
        return answer_to(asked, comments_control.retry_of_done(target.start.turn_id, mention), "confused")
    landing = target.landing
    start = _going_on(asked, view, target, resolved)
    is_companion = landing is not None and target.start.is_fork and landing.fork is None
    if landing is not None and not is_companion:
        # It had pushed what it had: this turn's work comes on top of that.
        is_on_base = target.start.is_pull and landing.branch == target.start.base_ref
        own_pull = is_on_base or landing.fork is not None
        sha = landing.undone_by or landing.sha
        start = replace(start, base_sha=sha, onto="" if own_pull else landing.branch)
    return _started(
        asked, view, target, replace(start, follows=target.start.turn_id if target.follows else "")
    )


def _fork(asked: Asked, view: View, command: Fork, resolved: Resolved) -> list[Effect]:
    mention, target = view.bot.mention, view.target
    if target is None:
        said = comments_control.nothing_to_retry(mention)
        if command.turn is not None:
            said = comments_control.no_such_turn(command.turn, mention)
        return answer_to(asked, said, "confused")
    if target.outcome is None:
        return answer_to(asked, comments_control.not_ended(target.start.turn_id, mention), "confused")
    start = _going_on(asked, view, target, resolved)
    start = replace(start, follows=target.start.turn_id, words=remove_hidden(command.text).text)
    return _started(asked, view, target, start)


def _going_on(asked: Asked, view: View, target: Target, resolved: Resolved) -> StartTurn:
    """A turn of its own, pinned where the other one was, under the rights and rules of now."""
    before = target.start
    return replace(
        before,
        key=f"{asked.act}:turn",
        turn_id=hashlib.sha256(asked.act.encode()).hexdigest()[:12],
        requester=asked.requester or before.requester,
        trigger=asked.trigger or before.trigger,
        # A turn that was to look only (a review, say) is not made to write by being repeated.
        mode=before.mode if before.mode is SandboxMode.READ_ONLY else resolved.policy.mode,
        config_sha=view.default_branch.sha if view.default_branch else before.config_sha,
        progress_key=f"{asked.act}:progress",
        review_thread=asked.review_thread,
        not_granted=(),
        continues=before.turn_id,
        follows="",
        onto="",
        words="",
    )


def _started(asked: Asked, view: View, target: Target, start: StartTurn) -> list[Effect]:
    if not target.start.request:
        said = comments_control.forgotten_turn(target.start.turn_id, view.bot.mention)
        return answer_to(asked, said, "confused")
    if refusal := why_nothing_starts(view):
        return answer_to(asked, refusal, "confused")
    note = "" if view.running_turn is None else comments.queued_behind(view.running_turn)
    aims_at_head = start.is_pull and not start.follows and not start.onto
    if not note and aims_at_head and view.pull is not None and view.pull.head.sha != start.base_sha:
        note = comments_control.moved_meanwhile(start.base_ref)
        if start.is_fork:
            note = comments_control.moved_meanwhile_in_fork(view.pull.head.name)
    progress = PostComment(
        key=start.progress_key,
        number=start.number,
        body=f"{asked.lead}{comments.progress(comments.Progress(phase='queued', start=start, note=note))}",
        review_thread=start.review_thread,
        requester=start.requester.login,
    )
    return [start, *reaction_to(asked, "eyes"), progress, *queued_check(start, note)]


def _undo(asked: Asked, view: View, command: Undo) -> list[Effect]:
    mention, target = view.bot.mention, view.target
    if target is None:
        said = comments_control.nothing_pushed(mention)
        if command.turn is not None:
            said = comments_control.no_such_turn(command.turn, mention)
        return answer_to(asked, said, "confused")
    landing = target.landing
    if landing is None:
        said = comments_control.turn_pushed_nothing(target.start.turn_id)
        return answer_to(asked, said, "confused")
    if landing.undone_by:
        return answer_to(asked, comments_control.undone_before(landing), "confused")
    if landing.fork is not None and not (view.pull is not None and view.pull.lets_maintainers_push):
        return answer_to(asked, comments_control.fork_is_closed(landing), "confused")
    undo = UndoTurn(
        key=f"{asked.act}:undo",
        turn_id=landing.turn,
        number=asked.number,
        branch=landing.branch,
        sha=landing.sha,
        parent=landing.parent,
        message=comments_control.undo_message(target.start, landing, asked.requester),
        requester=comment_to(asked, "").requester,
        review_thread=asked.review_thread,
        fork=landing.fork,
    )
    if target.start.ci is None or not target.start.ci.by_itself:
        return [undo, *reaction_to(asked, "eyes")]
    # Else it would come back by itself: what it repaired fails again.
    hold = HoldThread(key=f"{asked.act}:hold", by=asked.author)
    return [hold, undo, *reaction_to(asked, "eyes")]


def _forget(asked: Asked, view: View) -> list[Effect]:
    if view.at_work is not None:
        said = comments_control.forget_at_work(view.at_work.id, view.bot.mention)
        return answer_to(asked, said, "confused")
    forget = ForgetThread(key=f"{asked.act}:forget")
    return [forget, *answer_to(asked, comments_control.forgotten(len(view.turns)))]
