"""A turn on a fork's pull request has a result: take the delivery ladder down to the rung that holds."""

from dataclasses import replace
from typing import assert_never

from handlers import comments
from handlers import comments_fork as words
from handlers.broker import Judgement
from handlers.comments_fork import Patched, Suggested
from handlers.delivery import (
    LONGEST_PATCH,
    AskForCompanion,
    AsPatch,
    AsSuggestions,
    ForkFacts,
    ToFork,
    rung_of,
)
from handlers.effects import Effect, ForkHead, LineComment, PostReview, PushResult, StartTurn
from handlers.events import EffectFailed, PushRefused, SuggestionsPosted, TurnEnded
from handlers.fork_suggestions import ProposedSuggestion
from handlers.on_companion import ask_for_companion, can_be_asked
from handlers.publish import judgement_of, last_words
from handlers.view import View

NotPushed = PushRefused | EffectFailed | None
"""What came of a push to the fork's branch that did not get there; None: none was tried."""


def deliver_to_fork(
    ended: TurnEnded, view: View, judgement: Judgement, *, push: NotPushed = None, no_suggestions: str = ""
) -> list[Effect]:
    """The next thing to do.

    `push` is what came of one to the fork's branch; `no_suggestions` is why the forge has taken none of them.
    """
    start, pull = ended.start, view.pull
    judgement = _as_kept_back(ended, judgement)
    if not judgement.deliver:
        return last_words(ended, view, None, judgement=judgement)
    has_moved = _has_moved(start, view, push)
    facts = ForkFacts(
        deliver=judgement.deliver,
        is_open=pull is not None and pull.is_open,
        has_moved=has_moved,
        fork=view.fork,
        is_second_attempt=bool(start.follows),
        was_pushed=push is not None,
        suggestions=ended.suggestions,
        were_refused=bool(no_suggestions),
        patch_length=len(ended.patch),
        may_ask_people=can_be_asked(ended, view, judgement),
    )
    rung = rung_of(facts)
    match rung:
        case ToFork(fork=fork) if pull is not None:
            return [_push(start, fork, pull.head.name, judgement.deliver)]
        case AsSuggestions(suggestions=suggestions):
            return [_review(ended, suggestions)]
        case ToFork() | AsPatch() | AskForCompanion():
            notes = [*_not_pushed(push), *([words.has_moved(start.base_sha)] if has_moved else [])]
            notes += [words.suggestions_refused(no_suggestions)] if no_suggestions else []
            patched = Patched(notes=tuple(notes), is_whole=len(ended.patch) <= LONGEST_PATCH)
            if not isinstance(rung, AskForCompanion):
                return last_words(ended, view, patched, judgement=judgement)
            asked, said = ask_for_companion(ended, view, judgement)
            return [asked, *last_words(ended, view, replace(patched, companion=said), judgement=judgement)]
        case _:
            assert_never(rung)


def on_suggestions_posted(event: SuggestionsPosted, view: View) -> list[Effect]:
    """They stand, and that is said; or the next rung is taken."""
    ended = event.ended
    judgement = _as_kept_back(ended, judgement_of(ended, view))
    if event.refused:
        return deliver_to_fork(ended, view, judgement, push=event.push, no_suggestions=event.refused)
    judgement = judgement.with_delivered([*{each.path: None for each in ended.suggestions}])
    suggested = Suggested(len(ended.suggestions), _not_pushed(event.push))
    return last_words(ended, view, suggested, judgement=judgement)


def _as_kept_back(ended: TurnEnded, judgement: Judgement) -> Judgement:
    """What was kept out of the patch when the turn ended stays held, whatever the settings say by now."""
    kept = frozenset(ended.protected)
    return Judgement(
        tuple(path for path in judgement.deliver if path not in kept),
        (*judgement.held, *(path for path in judgement.deliver if path in kept)),
        judgement.refused,
    )


def _has_moved(start: StartTurn, view: View, push: NotPushed) -> bool:
    """By the pull request, or by the fork's branch: GitHub brings the former up to date later."""
    if isinstance(push, PushRefused) and push.reason == "head_moved":
        return True
    return view.pull is not None and view.pull.head.sha != start.base_sha


def _not_pushed(push: NotPushed) -> tuple[str, ...]:
    match push:
        case None:
            return ()
        case PushRefused(push=tried, reason=reason, detail=detail):
            return (words.push_refused(tried, reason, detail),)
        case EffectFailed(effect=PushResult() as tried, detail=detail):
            return (words.push_refused(tried, "unavailable", detail),)
        case _:
            return ()


def _push(start: StartTurn, fork: ForkHead, branch: str, paths: tuple[str, ...]) -> PushResult:
    return PushResult(
        key=f"{start.turn_id}:push",
        turn_id=start.turn_id,
        branch=branch,
        parent=start.base_sha,
        # The lease: what the author has pushed meanwhile is never overwritten.
        expected=start.base_sha,
        paths=paths,
        message=comments.commit_message(start),
        fork=fork,
    )


def _review(ended: TurnEnded, suggestions: tuple[ProposedSuggestion, ...]) -> PostReview:
    start, count = ended.start, len(suggestions)
    return PostReview(
        key=f"{start.turn_id}:suggestions",
        turn_id=start.turn_id,
        number=start.number,
        head_sha=start.base_sha,
        body=words.review_body(start, count),
        comments=tuple(
            LineComment(
                finding=f"part-{at}",
                path=each.path,
                side="RIGHT",
                line=each.line,
                start_line=each.start_line,
                body=words.suggestion(each, at, count, start.turn_id),
            )
            for at, each in enumerate(suggestions, 1)
        ),
        is_whole=True,
    )
