"""A turn on a fork's pull request has a result: take the delivery ladder down to the rung that holds."""

from typing import assert_never

from handlers import comments_fork as words
from handlers.broker import Judgement
from handlers.comments_fork import Patched, Suggested
from handlers.delivery import AsPatch, AsSuggestions, ForkFacts, rung_of
from handlers.effects import Effect, LineComment, PostReview
from handlers.events import SuggestionsPosted, TurnEnded
from handlers.fork_suggestions import ProposedSuggestion
from handlers.publish import judgement_of, last_words
from handlers.view import View


def deliver_to_fork(
    ended: TurnEnded, view: View, judgement: Judgement, *, no_suggestions: str = ""
) -> list[Effect]:
    """The next thing to do. `no_suggestions`: why the forge has taken none of them."""
    start = ended.start
    has_moved = view.pull is not None and view.pull.head.sha != start.base_sha
    facts = ForkFacts(
        deliver=judgement.deliver,
        is_open=view.pull is not None and view.pull.is_open,
        has_moved=has_moved,
        suggestions=ended.suggestions,
        were_refused=bool(no_suggestions),
    )
    rung = rung_of(facts)
    match rung:
        case AsSuggestions(suggestions=suggestions):
            return [_review(ended, suggestions)]
        case AsPatch():
            notes = [words.has_moved(start.base_sha)] if has_moved else []
            notes += [words.suggestions_refused(no_suggestions)] if no_suggestions else []
            return last_words(ended, view, Patched(tuple(notes)), judgement=judgement)
        case _:
            assert_never(rung)


def on_suggestions_posted(event: SuggestionsPosted, view: View) -> list[Effect]:
    """They stand, and that is said; or the next rung is taken."""
    ended = event.ended
    judgement = judgement_of(ended, view)
    if event.refused:
        return deliver_to_fork(ended, view, judgement, no_suggestions=event.refused)
    judgement = judgement.with_delivered([*{each.path: None for each in ended.suggestions}])
    return last_words(ended, view, Suggested(len(ended.suggestions)), judgement=judgement)


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
