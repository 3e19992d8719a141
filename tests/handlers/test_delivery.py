"""The delivery ladder: which rung holds, by facts; and the way down from one that did not."""

from dataclasses import replace

import pytest

from handlers.comments import final
from handlers.comments_fork import Patched, Suggested
from handlers.delivery import AsPatch, AsSuggestions, ForkFacts, Rung, rung_of
from handlers.dispatch import dispatch
from handlers.effects import Effect, PostComment, PostReview
from handlers.events import InternalEventAdapter, SuggestionsPosted, TurnEnded
from handlers.fork_suggestions import ProposedSuggestion
from handlers.publish import judgement_of
from handlers.view import Branch, View
from tests.handlers.people import (
    FIX,
    FORK_PULL,
    HEAD_SHA,
    NEW_SHA,
    WORKFLOW,
    WRITER_VIEW,
    ended,
    start_on_pull,
)

PART = ProposedSuggestion(path=FIX.path, line=3, start_line=None, block="```suggestion\nmiddle\n```")
FORK_VIEW = replace(WRITER_VIEW, pull=FORK_PULL)
PATCH = "--- a/calc/median.py\n+++ b/calc/median.py\n+middle\n"
ENDED = replace(ended(replace(start_on_pull(), is_fork=True), FIX), patch=PATCH, suggestions=(PART,))
OPEN = ForkFacts(deliver=(FIX.path,), is_open=True, has_moved=False, suggestions=(PART,))


@pytest.mark.parametrize(
    ("facts", "rung"),
    [
        (OPEN, AsSuggestions((PART,))),
        (replace(OPEN, suggestions=()), AsPatch()),
        (replace(OPEN, is_open=False), AsPatch()),
        (replace(OPEN, has_moved=True), AsPatch()),
        (replace(OPEN, were_refused=True), AsPatch()),
        (replace(OPEN, deliver=(FIX.path, "calc/mode.py")), AsPatch()),
    ],
    ids=["small", "not small", "closed", "moved", "refused", "a part of it"],
)
def test_the_highest_rung_that_holds(facts: ForkFacts, rung: Rung) -> None:
    assert rung_of(facts) == rung


def _said(effects: list[Effect]) -> str:
    return next(one.body for one in effects if isinstance(one, PostComment))


def _answer(event: TurnEnded, publication: Suggested | Patched, view: View = FORK_VIEW) -> str:
    return final(event, publication, judgement=judgement_of(event, view), mention="darner")


def test_a_small_change_is_one_review_of_suggestions() -> None:
    [review] = dispatch(ENDED, FORK_VIEW)

    assert isinstance(review, PostReview)
    assert (review.number, review.head_sha, review.is_whole) == (8, HEAD_SHA, True)
    [comment] = review.comments
    assert (comment.path, comment.line, comment.side) == (FIX.path, 3, "RIGHT")
    assert comment.body.startswith("```suggestion\nmiddle\n```\n")
    effects = dispatch(SuggestionsPosted(ended=ENDED), FORK_VIEW)
    assert _said(effects) == _answer(ENDED, Suggested(1))
    assert _said(effects).startswith("✅ **Done** · 42 s · 1 suggestion\n")
    assert "accept it in [Files changed](http://forge.test:8080/octo/calc/pull/8/files)" in _said(effects)


def test_suggestions_that_the_forge_does_not_take_become_the_patch() -> None:
    """Nothing is lost, and it is said why."""
    refused = SuggestionsPosted(ended=ENDED, refused="Unprocessable Entity: line must be part of the diff")

    said = _said(dispatch(refused, FORK_VIEW))

    assert "GitHub took no suggestions on these lines. It said: Unprocessable Entity: line must" in said
    assert f"```diff\n{PATCH.strip()}\n```" in said
    assert "`git apply --index darner.patch`" in said


def test_a_head_that_moved_meanwhile_gets_the_patch_and_is_told_for_what() -> None:
    moved = replace(FORK_PULL, head=Branch("faster", NEW_SHA))

    said = _said(dispatch(ENDED, replace(FORK_VIEW, pull=moved)))

    assert "The head was pushed to while I worked; this is for `bbbbbbb`, what I worked on." in said
    assert PATCH.strip() in said


def test_what_is_held_back_stays_held_back_on_a_fork() -> None:
    """Suggestions carry what may go out; a workflow is for a person, as ever."""
    event = replace(ENDED, changes=(FIX, WORKFLOW))

    said = _said(dispatch(SuggestionsPosted(ended=event), FORK_VIEW))

    assert said.startswith("✋ **Done with open points** · 42 s · 1 suggestion\n")
    assert "Held back, because only a person may change protected files: `.github/workflows/ci.yml`" in said
    assert "approve" not in said


def test_what_happened_survives_its_storage() -> None:
    event = SuggestionsPosted(ended=ENDED, refused="no")

    assert InternalEventAdapter.validate_json(InternalEventAdapter.dump_json(event)) == event
