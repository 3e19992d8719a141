"""Someone addressed the bot: answer a command, refuse quietly, or start a turn pinned to what is there."""

from dataclasses import replace
from typing import Literal, assert_never

from handlers import (
    comments,
    comments_ci,
    comments_control,
    comments_requests,
    comments_review,
    on_answer,
    on_checks,
    on_companion,
    reasons,
)
from handlers.asked import Mentioning, by_text, trigger_of
from handlers.checks import queued_check
from handlers.effects import (
    CiAsked,
    CompactThread,
    Effect,
    PostComment,
    React,
    ReactionTarget,
    Requester,
    StartTurn,
    SteerTurn,
)
from handlers.events import ReviewCommented
from handlers.grammar import (
    Approve,
    Budget,
    Command,
    Compact,
    Companion,
    Deny,
    DidYouMean,
    Empty,
    Forget,
    Fork,
    Help,
    Pause,
    Request,
    Resume,
    Retry,
    Review,
    ShowPolicy,
    Status,
    Stop,
    Unclear,
    Undo,
    Why,
    parse_command,
)
from handlers.hidden import remove_hidden
from handlers.ingest import act_of, ignored, request_of, triage
from handlers.on_budget import budgeted, why_nothing_starts
from handlers.on_control import HEEDED_ALWAYS, WRITERS_ONLY, Control, control
from handlers.on_review_asked import asks_to_fix, finding_of, on_disagreement, review_asked
from handlers.permissions import STANDING, Refusal
from handlers.policy import Layer, Resolved, resolve, situation_of
from handlers.review_keys import turn_id_of
from handlers.view import TurnBrief, View


def on_mention(event: Mentioning, view: View) -> list[Effect]:
    """Refusals come before everything that costs something."""
    set_aside = triage(event, view.bot)
    text = request_of(event, view.bot)
    if set_aside is not None or text is None:
        return [set_aside or ignored(event, reasons.NO_MENTION)]
    is_fork = view.pull is not None and view.pull.is_fork
    resolved = resolve(situation_of(view, repository=event.repository.full_name, is_fork=is_fork))
    if isinstance(resolved, Refusal):
        return _refused(event, view)
    command = parse_command(text)
    if isinstance(command, HEEDED_ALWAYS):
        return _obeyed(event, view, command, resolved)
    if view.config_error:
        return answered(event, comments.config_broken(view.config_error), "confused")
    if not view.config.enabled:
        return [ignored(event, reasons.DISABLED)]
    return _obeyed(event, view, command, resolved)


def on_plain_reply(event: ReviewCommented, view: View) -> list[Effect]:
    """A reply in a finding's thread needs no mention: `fix` is a request, all else is about the finding."""
    set_aside = triage(event, view.bot)
    if set_aside is not None:
        return [set_aside]
    if finding_of(event, view) is None:
        return [ignored(event, reasons.NOT_A_FINDING)]
    if not asks_to_fix(event.comment.body):
        return on_disagreement(event, view)
    is_fork = view.pull is not None and view.pull.is_fork
    resolved = resolve(situation_of(view, repository=event.repository.full_name, is_fork=is_fork))
    if isinstance(resolved, Refusal) or not _may_direct(view):
        return _refused(event, view)
    if view.config_error or not view.config.enabled:
        return [ignored(event, reasons.DISABLED)]
    return _asked(event, view, request=event.comment.body, resolved=resolved)


def _obeyed(event: Mentioning, view: View, command: Command, resolved: Resolved) -> list[Effect]:
    mention = view.bot.mention
    if isinstance(command, WRITERS_ONLY) and not _may_direct(view):
        return _refused(event, view)
    match command:
        case Request(text=request):
            return _asked(event, view, request=request, resolved=resolved)
        case Approve() | Deny() | Companion():
            return _about_requests(event, view, command)
        case Compact():
            return _compacted(event, view)
        case Budget():
            return _budgeted(event, view, command)
        case (
            Stop()
            | Pause()
            | Resume()
            | Retry()
            | Fork()
            | Undo()
            | Forget()
            | Why()
            | ShowPolicy()
            | Status()
        ):
            return _directed(event, view, command, resolved)
        case Help():
            return answered(event, comments.help_text(mention, is_writer=_may_direct(view)), "+1")
        case Empty():
            return answered(event, comments.nothing_asked(mention), "confused")
        case Unclear(word=word):
            return answered(event, comments.unclear(mention, word), "confused")
        case DidYouMean(word=word, suggestion=suggestion):
            return answered(
                event, comments.did_you_mean(mention, word=word, suggestion=suggestion), "confused"
            )
        case Review(is_full=is_full):
            return review_asked(event, view, is_full=is_full)
        case _:
            assert_never(command)


def _directed(event: Mentioning, view: View, command: Control, resolved: Resolved) -> list[Effect]:
    effects = control(by_text(event, view), view, command, resolved)
    if isinstance(command, Resume):
        repository, number = event.repository.full_name, event.subject.number
        effects += on_checks.look_after_resume(act_of(event), view, repository=repository, number=number)
    return effects


def _asked(event: Mentioning, view: View, *, request: str, resolved: Resolved) -> list[Effect]:
    """A new turn; or a word to the one at work, from somebody who may direct it."""
    finding = finding_of(event, view)
    if finding is not None and asks_to_fix(request):
        request = comments_review.fix_request([(finding.id, finding.known.finding)])
    if (question := on_answer.open_question(view, event.actor)) is not None:
        act = act_of(event)
        return _replied(event, on_answer.answer(question, view, request, act=act, actor=event.actor))
    if view.task_at_work is not None and _may_direct(view):
        return _steer(event, view, view.task_at_work, request)
    if on_checks.is_request(request) and on_checks.may_be_asked(view, event.repository.full_name):
        return _checks_asked(event, view)
    return _start(event, view, request=request, resolved=resolved)


def _checks_asked(event: Mentioning, view: View) -> list[Effect]:
    """The repair of failed checks: what they say is looked at first."""
    if not _may_direct(view):
        return _refused(event, view)
    if view.pull is None:
        return answered(event, comments_ci.not_a_pull(view.bot.mention), "confused")
    asked = CiAsked(
        act=act_of(event),
        by=Requester(event.actor.id, event.actor.login, view.permission),
        trigger=trigger_of(event),
        review_thread=event.thread_root if isinstance(event, ReviewCommented) else None,
        was_stopped=view.thread.stopped_by is not None,
    )
    return [_reaction(event, "eyes"), on_checks.look_for(asked, event.subject.number, view.pull.head.sha)]


def _decided(event: Mentioning, view: View, command: Approve | Deny) -> list[Effect]:
    # A person's word is wanted: no bot has one, whatever its rights.
    if not _may_direct(view) or event.actor.kind != "User":
        return _refused(event, view)
    return _replied(event, on_answer.on_answer(command, view, act=act_of(event), actor=event.actor))


def _replied(event: Mentioning, reply: on_answer.Reply) -> list[Effect]:
    decision: list[Effect] = [] if reply.decision is None else [reply.decision]
    return decision + answered(event, reply.said, reply.reaction)


def _about_requests(event: Mentioning, view: View, command: Approve | Deny | Companion) -> list[Effect]:
    if not isinstance(command, Companion):
        return _decided(event, view, command)
    if not _may_direct(view):
        return _refused(event, view)
    asked, said = on_companion.companion_wanted(view, act=act_of(event))
    effects: list[Effect] = [] if asked is None else [asked]
    return effects + answered(event, said, "confused" if asked is None else "+1")


def _compacted(event: Mentioning, view: View) -> list[Effect]:
    if not _may_direct(view):
        return _refused(event, view)
    if not view.turns:
        return answered(event, comments.nothing_to_compact(view.bot.mention), "confused")
    turn = view.running_turn
    effect = CompactThread(key=f"{act_of(event)}:compact", turn_id=turn, author=event.actor.login)
    return [effect, *answered(event, comments.compacting(turn), "+1")]


def _budgeted(event: Mentioning, view: View, command: Budget) -> list[Effect]:
    if not _may_direct(view):
        return _refused(event, view)
    setting, said = budgeted(
        command,
        view,
        repository=event.repository.full_name,
        act=act_of(event),
        author=event.actor.login,
    )
    is_understood = setting is not None or command == Budget()
    effects: list[Effect] = [setting] if setting is not None else []
    return effects + answered(event, said, "+1" if is_understood else "confused")


def _may_direct(view: View) -> bool:
    """A turn of others is for people with write permission to steer and to stop."""
    return STANDING[view.permission] == "writer"


def _steer(event: Mentioning, view: View, turn: TurnBrief, request: str) -> list[Effect]:
    """A mention while a turn is at work is for that turn: the model reads it before its next step."""
    review = event if isinstance(event, ReviewCommented) else None
    text = comments.steering(
        event.actor.login,
        remove_hidden(request).text,
        path=review.path if review else "",
        hunk=review.diff_hunk if review else "",
    )
    return [
        SteerTurn(key=f"{act_of(event)}:steer", turn_id=turn.id, author=event.actor.login, text=text),
        _reaction(event, "eyes"),
        _passed_on(event, view, turn),
    ]


def _passed_on(event: Mentioning, view: View, turn: TurnBrief) -> PostComment:
    """One comment for all that somebody says within a minute: its key is the minute's."""
    waited = on_answer.waits_for(view, turn.id)
    told, state = comments.steered(turn.id), ""
    if turn.paused_by is not None:
        told, state = comments_control.kept_for_later(turn.id, view.bot.mention), ":paused"
    elif waited is not None:
        told = comments_requests.steered_while_open(waited, mention=view.bot.mention)
        state = f":{waited.id}"
    said = _comment(event, told, "steered")
    minute = trigger_of(event).at[: len("2026-11-22T18:00")]
    key = f"{turn.id}:steered:{event.actor.id}:{said.review_thread or ''}:{minute}{state}"
    return replace(said, key=key)


def _refused(event: Mentioning, view: View) -> list[Effect]:
    """Quiet: a reaction, and one line only to whom it helps. Strangers get no debate."""
    effects: list[Effect] = [
        ignored(event, reasons.NEEDS_WRITE),
        _reaction(event, "confused"),
    ]
    is_collaborator = view.permission == "triage" or event.repository.private
    if is_collaborator and view.permission != "none":
        effects.append(_comment(event, comments.needs_write(), "refused"))
    return effects


def answered(event: Mentioning, body: str, reaction: Literal["+1", "confused"]) -> list[Effect]:
    """A reaction and one comment, where it was asked."""
    return [_reaction(event, reaction), _comment(event, body, "answer")]


def _start(event: Mentioning, view: View, *, request: str, resolved: Resolved) -> list[Effect]:
    if event.subject.is_pull and view.pull is None:
        return answered(event, comments.pull_unreadable(), "confused")
    if view.default_branch is None:
        return answered(event, comments.nothing_to_work_on(), "confused")
    if refusal := why_nothing_starts(view):
        return [ignored(event, reasons.BUDGET_SPENT), *answered(event, refusal, "confused")]
    start = _turn(event, view, request=request, resolved=resolved)
    note = "" if view.running_turn is None else comments.queued_behind(view.running_turn)
    progress = comments.progress(comments.Progress(phase="queued", start=start, note=note))
    # The turn first: the model reads while the reaction and the comment are posted.
    return [
        start,
        _reaction(event, "eyes"),
        PostComment(
            key=start.progress_key,
            number=start.number,
            body=progress,
            review_thread=start.review_thread,
            requester=start.requester.login,
        ),
        *queued_check(start, note),
    ]


def _turn(event: Mentioning, view: View, *, request: str, resolved: Resolved) -> StartTurn:
    """Everything pinned: the head that is there, the text as the payload had it, the requester's right."""
    if view.default_branch is None:
        raise ValueError("a turn needs a commit to work on")
    act = act_of(event)
    is_fork = view.pull is not None and view.pull.is_fork
    pull = view.pull if event.subject.is_pull else None
    if pull is None:
        base, sha, instructions = view.default_branch.name, view.default_branch.sha, view.default_branch.sha
    else:
        base = pull.base.name if is_fork else pull.head.name
        sha, instructions = pull.head.sha, pull.base.sha
    review = event if isinstance(event, ReviewCommented) else None
    return StartTurn(
        key=f"{act}:turn",
        turn_id=turn_id_of(act),
        repository_id=event.repository.id,
        repository=event.repository.full_name,
        installation_id=event.installation_id,
        number=event.subject.number,
        is_pull=event.subject.is_pull,
        title=event.subject.title,
        request=request,
        requester=Requester(event.actor.id, event.actor.login, view.permission),
        trigger=trigger_of(event),
        mode=resolved.policy.mode,
        not_granted=tuple(
            f"{missed.asked}: {missed.why}" for missed in resolved.not_granted if missed.layer is Layer.FILE
        ),
        base_ref=base,
        base_sha=sha,
        instructions_sha=instructions,
        config_sha=view.default_branch.sha,
        progress_key=f"{act}:progress",
        review_thread=review.thread_root if review else None,
        diff_hunk=review.diff_hunk if review else "",
        path=review.path if review else "",
        is_fork=is_fork,
        subject_body=event.subject.body,
    )


def _reaction(event: Mentioning, content: Literal["eyes", "confused", "+1"]) -> React:
    trigger = trigger_of(event)
    return React(
        key=f"{act_of(event)}:react", target=ReactionTarget(trigger.kind, trigger.id), content=content
    )


def _comment(event: Mentioning, body: str, what: str) -> PostComment:
    return PostComment(
        key=f"{act_of(event)}:{what}",
        number=event.subject.number,
        body=body,
        review_thread=event.thread_root if isinstance(event, ReviewCommented) else None,
        requester=event.actor.login,
    )
