"""The delivery ladder: which rung holds, by facts; and the way down from one that did not."""

from dataclasses import replace
from typing import Literal

import pytest

from handlers.ci.task import CiTask
from handlers.comments import final
from handlers.comments_fork import Patched, Suggested
from handlers.delivery import (
    LONGEST_PATCH,
    AskForCompanion,
    AsPatch,
    AsSuggestions,
    ForkFacts,
    Rung,
    ToFork,
    rung_of,
)
from handlers.dispatch import dispatch
from handlers.effects import Effect, ForkHead, PostComment, PostReview, PushResult, UndoTurn
from handlers.events import (
    EffectFailed,
    InternalEventAdapter,
    PushRefused,
    ResultPushed,
    SuggestionsPosted,
    TurnEnded,
)
from handlers.fork_suggestions import ProposedSuggestion
from handlers.publish import judgement_of
from handlers.view import Branch, Landing, Target, View
from tests.handlers.people import (
    COMPLETED,
    FIX,
    FORK_PULL,
    HEAD_SHA,
    NEW_SHA,
    PULL,
    WORKFLOW,
    WRITER_VIEW,
    ended,
    said,
    start_on_pull,
)

PART = ProposedSuggestion(path=FIX.path, line=3, start_line=None, block="```suggestion\nmiddle\n```")
FORK_VIEW = replace(WRITER_VIEW, pull=FORK_PULL)
PATCH = "--- a/calc/median.py\n+++ b/calc/median.py\n+middle\n"
ENDED = replace(ended(replace(start_on_pull(), is_fork=True), FIX), patch=PATCH, suggestions=(PART,))
REPAIR = CiTask(fingerprint="f", attempt=1, of=3, excerpt="", jobs=(), by_itself=False)
FORK = ForkHead(id=77, full_name="eve/calc", installation=6)
OPEN = ForkFacts(deliver=(FIX.path,), is_open=True, has_moved=False, suggestions=(PART,))
LONG = replace(OPEN, suggestions=(), patch_length=LONGEST_PATCH + 1, may_ask_people=True)


@pytest.mark.parametrize(
    ("facts", "rung"),
    [
        (replace(OPEN, fork=FORK), ToFork(FORK)),
        (replace(OPEN, fork=FORK, suggestions=(), has_moved=True), ToFork(FORK)),
        (replace(OPEN, fork=FORK, was_pushed=True), AsSuggestions((PART,))),
        (replace(OPEN, fork=FORK, is_second_attempt=True), AsSuggestions((PART,))),
        (replace(OPEN, fork=FORK, is_open=False), AsPatch()),
        (OPEN, AsSuggestions((PART,))),
        (replace(OPEN, suggestions=()), AsPatch()),
        (replace(OPEN, is_open=False), AsPatch()),
        (replace(OPEN, has_moved=True), AsPatch()),
        (replace(OPEN, were_refused=True), AsPatch()),
        (replace(OPEN, deliver=(FIX.path, "calc/mode.py")), AsPatch()),
        (replace(LONG, patch_length=LONGEST_PATCH), AsPatch()),
        (LONG, AskForCompanion()),
        (replace(LONG, may_ask_people=False), AsPatch()),
    ],
    ids=[
        "installed",
        "the lease tells",
        "not taken",
        "second attempt",
        "installed, closed",
        "small",
        "not small",
        "closed",
        "moved",
        "refused",
        "a part of it",
        "just fits",
        "too long",
        "too long, nobody to ask",
    ],
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


def test_what_was_protected_when_the_turn_ended_is_in_no_patch_and_not_delivered() -> None:
    """The settings may have been loosened since: what is shown and what is said must be one."""
    event = replace(ENDED, changes=(FIX,), protected=(FIX.path,), patch="", suggestions=())

    said = _said(dispatch(event, FORK_VIEW))

    assert f"Held back, because only a person may change protected files: `{FIX.path}`" in said
    assert "as a patch" not in said


def test_what_happened_survives_its_storage() -> None:
    event = SuggestionsPosted(ended=ENDED, refused="no")

    assert InternalEventAdapter.validate_json(InternalEventAdapter.dump_json(event)) == event


def _push() -> PushResult:
    """What a fork that may be pushed to gets."""
    [push] = dispatch(ENDED, replace(FORK_VIEW, fork=FORK))
    assert isinstance(push, PushResult)
    return push


def test_a_fork_that_the_app_is_installed_on_gets_a_commit_on_its_branch() -> None:
    """With a lease on the head, and no check run: a fork's commits take none."""
    push = _push()

    assert (push.fork, push.branch, push.parent, push.expected) == (FORK, "faster", HEAD_SHA, HEAD_SHA)
    assert push.paths == (FIX.path,)
    effects = dispatch(ResultPushed(ended=ENDED, push=push, sha=NEW_SHA), FORK_VIEW)
    assert [one.type for one in effects] == ["edit_comment", "post_comment"]
    assert _said(effects).startswith("✅ **Done** · 42 s · `eve/calc:faster` at `ddddddd` · 1 file (+2 −1)")  # noqa: RUF001


def test_what_the_forks_branch_says_of_the_head_outweighs_what_the_pull_request_says() -> None:
    """GitHub brings a pull request's head up to date later: suggestions would be outdated at once."""
    refused = PushRefused(ended=ENDED, push=_push(), reason="head_moved", detail=NEW_SHA)

    said = _said(dispatch(refused, FORK_VIEW))

    assert said.count("in the meantime, so I left it alone.") == 1
    assert "The head was pushed to while I worked; this is for `bbbbbbb`, what I worked on." in said
    assert PATCH.strip() in said


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("denied", "The fork did not take my push to `eve/calc:faster`. GitHub said: `no`"),
        ("branch_protected", "`eve/calc:faster` is protected, so I left it alone. GitHub said: `no`"),
    ],
)
def test_a_push_that_the_fork_refuses_takes_the_next_rung_and_is_told(
    reason: Literal["denied", "branch_protected"], told: str
) -> None:
    refused = PushRefused(ended=ENDED, push=_push(), reason=reason, detail="no")

    [review] = dispatch(refused, FORK_VIEW)

    assert isinstance(review, PostReview)
    assert told in _said(dispatch(SuggestionsPosted(ended=ENDED, push=refused), FORK_VIEW))
    last = SuggestionsPosted(ended=ENDED, push=refused, refused="Unprocessable Entity")
    assert told in _said(dispatch(last, FORK_VIEW))
    assert PATCH.strip() in _said(dispatch(last, FORK_VIEW))


def test_a_push_that_was_given_up_takes_the_next_rung_too() -> None:
    failed = EffectFailed(ended=replace(ENDED, suggestions=()), effect=_push(), detail="timed out")

    said = _said(dispatch(failed, FORK_VIEW))

    assert "I could not push to `eve/calc:faster`. GitHub said: `timed out`" in said
    assert PATCH.strip() in said


def test_a_repair_is_put_on_the_forks_new_head_if_its_files_are_the_same_there() -> None:
    start = replace(ENDED.start, ci=REPAIR)
    moved = PushRefused(ended=replace(ENDED, start=start), push=_push(), reason="head_moved", detail=NEW_SHA)

    [again] = dispatch(moved, FORK_VIEW)

    assert isinstance(again, PushResult)
    assert (again.fork, again.parent, again.expected, again.replays) == (FORK, NEW_SHA, NEW_SHA, True)


def test_undo_in_a_fork_needs_what_the_push_needed() -> None:
    """The author may have closed the door since."""
    landing = Landing("0ca1", "faster", NEW_SHA, HEAD_SHA, fork=FORK)
    target = Target(start=ENDED.start, outcome=COMPLETED, landing=landing)
    open_pull = replace(FORK_PULL, lets_maintainers_push=True)
    asked = said("@darner undo", on=PULL)

    done = dispatch(asked, replace(FORK_VIEW, target=target, pull=open_pull))
    closed = dispatch(asked, replace(FORK_VIEW, target=target))

    [undo] = [one for one in done if isinstance(one, UndoTurn)]
    assert (undo.fork, undo.branch, undo.sha) == (FORK, "faster", NEW_SHA)
    assert not [one for one in closed if isinstance(one, UndoTurn)]
    assert "is in the fork `eve/calc`" in _said(closed)
