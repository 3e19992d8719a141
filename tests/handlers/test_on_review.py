"""When a review begins by itself, and what people's words about a finding come to."""

from dataclasses import replace
from typing import Any, Final

import pytest

from handlers import comments_review, reasons
from handlers.dispatch import dispatch
from handlers.effects import (
    EditComment,
    Effect,
    Ignore,
    PostComment,
    RecordReview,
    StartTurn,
    StopTurn,
    WriteCheckRun,
)
from handlers.events import (
    Actor,
    PullAction,
    PullChanged,
    ReviewCommented,
    ReviewPosted,
    ThreadSettled,
    TurnEnded,
)
from handlers.on_review import SUPERSEDED
from handlers.review.fingerprints import fingerprint
from handlers.review.memory import LastReview, Memory, Remembered
from handlers.review.result import Became, ReviewResult
from handlers.review.settings import ReviewMode, ReviewSettings
from handlers.review.standing import Known
from handlers.view import PullFacts, RepositoryConfig, ThreadFacts, TurnBrief, View
from handlers.wishes import Ceiling
from harness.findings import Finding, Severity
from harness.items import Completed, Failed, Outcome, Stopped, Usage
from sandbox.base import SandboxMode
from tests.handlers.people import (
    DARNER,
    EVE,
    HEAD_SHA,
    HOST,
    NEW_SHA,
    NOON,
    OCTOCAT,
    OWN_PULL,
    PULL,
    PULL_VIEW,
    REPOSITORY,
    comment_by,
    opened,
)

OF_EVE: Final[PullFacts] = replace(OWN_PULL, title="Faster median", author="eve", author_id=EVE.id)
AUTO: Final = RepositoryConfig(review=ReviewSettings(mode=ReviewMode.AUTO))
VIEW: Final[View] = replace(PULL_VIEW, pull=OF_EVE, config=AUTO, permission="read")
FINDING: Final = Finding(
    path="calc.py", start_line=1, end_line=1, severity="P1", confidence=0.9, title="It fails", why="On `[]`."
)
KNOWN: Final = Known(id="3f2a91c0", finding=FINDING, fingerprint=fingerprint(FINDING, "total / 0\n"))
SAID: Final = Remembered(known=KNOWN, shown="inline", comment=70, url=f"{HOST}/octo/calc/pull/8#r70")


def changed(action: PullAction = "pushed", *, by: Actor = EVE) -> PullChanged:
    return PullChanged(
        repository=REPOSITORY,
        actor=by,
        installation_id=5,
        subject=PULL,
        action=action,
        head_sha=HEAD_SHA,
        at=NOON,
    )


def reply(body: str, *, by: Actor = EVE) -> ReviewCommented:
    return ReviewCommented(
        repository=REPOSITORY,
        actor=by,
        installation_id=5,
        subject=PULL,
        comment=comment_by(by, body),
        path="calc.py",
        line=1,
        diff_hunk="@@ -1 +1 @@",
        thread_root=70,
    )


def remembering(*findings: Remembered, head: str = NEW_SHA, **view: Any) -> View:
    memory = Memory(last=LastReview(turn="t0", head_sha=head), findings=findings, summary_url="u")
    return replace(VIEW, memory=memory, **view)


def started(effects: list[Effect]) -> StartTurn | None:
    return next((effect for effect in effects if isinstance(effect, StartTurn)), None)


def why(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, Ignore)]


def recorded(effects: list[Effect]) -> Remembered:
    [record] = [effect for effect in effects if isinstance(effect, RecordReview)]
    [one] = record.findings
    return one


def test_a_push_begins_a_review_of_the_head_as_it_is() -> None:
    """Read-only, in the author's name and on their account, whatever rights they have."""
    start = started(dispatch(changed(), VIEW))

    assert start is not None
    assert (start.kind, start.mode, start.is_unasked) == ("review", SandboxMode.READ_ONLY, True)
    assert (start.base_sha, start.requester.id) == (HEAD_SHA, EVE.id)


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (replace(VIEW, config=RepositoryConfig()), "Reviews are made on demand here"),
        (replace(VIEW, config=RepositoryConfig(enabled=False)), reasons.DISABLED),
        (replace(VIEW, config_error="line 1"), reasons.DISABLED),
        (replace(VIEW, pull=replace(OF_EVE, is_draft=True)), "The pull request is a draft."),
        (replace(VIEW, pull=replace(OF_EVE, is_open=False)), "The pull request is closed."),
        (replace(VIEW, pull=None), reasons.NOTHING_TO_REVIEW),
        (replace(VIEW, thread=ThreadFacts(stopped_by="maya")), reasons.STOPPED_HERE),
        (replace(VIEW, thread=ThreadFacts(is_archived=True)), reasons.ARCHIVED),
        (remembering(head=HEAD_SHA), reasons.REVIEWED_ALREADY),
        (
            replace(VIEW, turns=(TurnBrief("t1", "running", 1.0, kind="review", sha=HEAD_SHA),)),
            reasons.REVIEW_AT_WORK,
        ),
    ],
)
def test_what_begins_no_review_is_told(view: View, reason: str) -> None:
    effects = dispatch(changed(), view)

    assert started(effects) is None
    assert why(effects)[0].startswith(reason)


@pytest.mark.parametrize("most", [ReviewMode.OFF, ReviewMode.ON_DEMAND])
def test_the_operator_has_the_last_word(most: ReviewMode) -> None:
    """Without a look at the forge: the view is empty."""
    bot = replace(DARNER, ceiling=Ceiling(review=most))

    assert why(dispatch(changed(), View(bot=bot))) == [reasons.REVIEWS_NOT_UNASKED]


def test_a_newer_head_stops_the_review_of_the_older_one() -> None:
    """And only that: a task at work goes on."""
    review = TurnBrief("t1", "running", 1.0, kind="review", sha=NEW_SHA)
    task = TurnBrief("t2", "waiting", 2.0)

    effects = dispatch(changed(), replace(VIEW, turns=(review, task)))

    assert [(e.turn_id, e.author) for e in effects if isinstance(e, StopTurn)] == [("t1", SUPERSEDED)]
    assert started(effects) is not None


def test_a_pull_request_that_becomes_a_draft_is_left_alone() -> None:
    review = TurnBrief("t1", "running", 1.0, kind="review", sha=HEAD_SHA)

    effects = dispatch(changed("drafted"), replace(VIEW, turns=(review,)))

    assert [e.turn_id for e in effects if isinstance(e, StopTurn)] == ["t1"]
    assert why(effects) == [reasons.BECAME_DRAFT]


def test_a_new_pull_request_whose_text_asks_for_something_gets_both() -> None:
    """What is asked for in it, and its review."""
    event = replace(
        opened("@darner write tests", by=OCTOCAT), subject=replace(PULL, body="@darner write tests")
    )

    starts = [e for e in dispatch(event, replace(VIEW, permission="write")) if isinstance(e, StartTurn)]

    assert [start.kind for start in starts] == ["task", "review"]


def test_a_mention_while_a_review_is_at_work_is_a_turn_of_its_own() -> None:
    """Nobody can direct a review: it changes nothing and is not for them."""
    review = TurnBrief("t1", "running", 1.0, kind="review", sha=HEAD_SHA)
    view = replace(VIEW, permission="write", turns=(review,))

    start = started(dispatch(replace(reply("@darner write tests", by=OCTOCAT), thread_root=55), view))

    assert start is not None
    assert start.kind == "task"


def test_the_author_may_disagree_once() -> None:
    """The finding is judged in a small read-only turn; then it is for people."""
    effects = dispatch(reply("`total` is never 0."), remembering(SAID))

    start = started(effects)
    assert start is not None
    assert (start.finding, start.kind, start.mode) == ("3f2a91c0", "review", SandboxMode.READ_ONLY)
    assert recorded(effects).disputed_by == "eve"

    again = dispatch(reply("Still not."), remembering(recorded(effects)))

    assert why(again) == [reasons.FINDING_SETTLED]


def over(start: StartTurn, outcome: Outcome, review: ReviewResult | None = None) -> TurnEnded:
    return TurnEnded(
        start=start, outcome=outcome, usage=Usage(), steps=1, seconds=1.0, changes=(), review=review
    )


def judged(outcome: Outcome, view: View, *, result: ReviewResult | None = None) -> list[Effect]:
    """The end of the small turn that was to judge what eve disagrees with."""
    start = started(dispatch(reply("`total` is never 0."), remembering(SAID)))
    assert start is not None
    return dispatch(over(start, outcome, result), view)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Stopped(by="octocat"), []),
        (Failed(cause="the model is away.", reference="1a2b"), ["I could not look at it again: the"]),
    ],
    ids=["stopped", "failed"],
)
def test_a_disagreement_that_was_not_judged_can_be_said_again(outcome: Outcome, said: list[str]) -> None:
    disputed = replace(SAID, disputed_by="eve")

    effects = judged(outcome, remembering(disputed))

    assert recorded(effects) == SAID
    assert [e.body[:33] for e in effects if isinstance(e, PostComment) and e.review_thread == 70] == said


def test_a_disagreement_without_a_verdict_is_left_to_people() -> None:
    """The agent had its second word, and says that it has none."""
    disputed = replace(SAID, disputed_by="eve")

    effects = judged(Completed("Read."), remembering(disputed), result=ReviewResult(verdict="judged"))

    assert recorded(effects).has_answered
    [told] = [effect for effect in effects if isinstance(effect, PostComment)]
    assert (told.review_thread, told.body) == (70, comments_review.undecided())


@pytest.mark.parametrize("is_judged_later", [False, True])
def test_a_review_that_passes_a_disagreement_over_leaves_it_free(*, is_judged_later: bool) -> None:
    """So that it can be said again; not while the turn that judges it waits behind this one."""
    start = started(dispatch(changed(), VIEW))
    assert start is not None
    became = Became(id=SAID.id, what="open", finding=FINDING, fingerprint=KNOWN.fingerprint)
    ended = over(start, Completed("Read."), ReviewResult(verdict="reviewed", became=(became,)))
    waiting = (TurnBrief("t9", "waiting", 1.0, kind="review", sha=HEAD_SHA),) if is_judged_later else ()
    view = remembering(replace(SAID, disputed_by="eve"), turns=waiting)

    record = recorded(dispatch(ReviewPosted(ended=ended, placed=()), view))

    assert record.disputed_by == ("eve" if is_judged_later else "")


def test_an_unchanged_head_keeps_the_button_that_mends_what_is_open() -> None:
    start = started(dispatch(changed(), VIEW))
    assert start is not None
    ended = over(start, Completed("Read."), ReviewResult(verdict="unchanged"))

    [check] = [e for e in dispatch(ended, remembering(SAID)) if isinstance(e, WriteCheckRun)]

    assert [button.identifier for button in check.actions] == ["review", "fix"]


@pytest.mark.parametrize(("blocking", "conclusion"), [("P1", "failure"), (None, "neutral")])
def test_a_push_too_large_to_be_read_frees_nothing(blocking: Severity | None, conclusion: str) -> None:
    """What blocks stays open whatever is pushed on top of it."""
    start = started(dispatch(changed(), VIEW))
    assert start is not None
    ended = over(start, Completed("Read."), ReviewResult(verdict="too_large", note="It has 90,000 lines."))
    settings = replace(AUTO, review=replace(AUTO.review, blocking=blocking))

    effects = dispatch(ended, replace(remembering(SAID), config=settings))

    [check] = [effect for effect in effects if isinstance(effect, WriteCheckRun)]
    assert check.conclusion == conclusion


@pytest.mark.parametrize(
    ("body", "by", "reason"),
    [
        ("Good catch!", EVE, reasons.NO_DISAGREEMENT),
        ("I think it is fine.", OCTOCAT, reasons.NOT_THEIRS_TO_DISPUTE),
    ],
)
def test_replies_that_are_not_judged(body: str, by: Actor, reason: str) -> None:
    assert why(dispatch(reply(body, by=by), remembering(SAID))) == [reason]


def test_fix_is_a_request_with_the_rules_of_a_mention() -> None:
    """A writer's one word mends the finding; anybody else's does not."""
    start = started(dispatch(reply("Fix it, please."), remembering(SAID, permission="write")))

    assert start is not None
    assert (start.kind, start.review_thread) == ("task", 70)
    assert "- 3f2a91c0 (P1): calc.py:1-1: It fails. On `[]`." in start.request
    assert started(dispatch(reply("fix"), remembering(SAID))) is None


def settled(*, is_resolved: bool) -> ThreadSettled:
    return ThreadSettled(
        repository=REPOSITORY,
        actor=OCTOCAT,
        installation_id=5,
        subject=PULL,
        thread_root=70,
        is_resolved=is_resolved,
        at=NOON,
    )


def test_a_resolved_thread_dismisses_its_finding_until_it_is_opened_again() -> None:
    dismissed = recorded(dispatch(settled(is_resolved=True), remembering(SAID, permission="write")))

    assert (dismissed.known.state, dismissed.by) == ("dismissed", "octocat")

    reopened = recorded(dispatch(settled(is_resolved=False), remembering(dismissed)))

    assert (reopened.known.state, reopened.by) == ("open", "")


def test_a_dismissal_is_seen_in_the_summary_and_lets_the_check_pass() -> None:
    """Not only at the next push: the check may be what keeps the pull request from being merged."""
    settings = replace(AUTO, review=replace(AUTO.review, blocking="P1"))

    effects = dispatch(settled(is_resolved=True), remembering(SAID, config=settings, permission="write"))

    [summary] = [effect for effect in effects if isinstance(effect, EditComment)]
    [check] = [effect for effect in effects if isinstance(effect, WriteCheckRun)]
    assert "dismissed" in summary.body
    assert (check.external_id, check.head_sha, check.conclusion) == ("t0", NEW_SHA, "success")
    again = recorded(effects)
    [check] = [
        effect
        for effect in dispatch(settled(is_resolved=False), remembering(again, config=settings))
        if isinstance(effect, WriteCheckRun)
    ]
    assert check.conclusion == "failure"


def test_who_may_not_write_dismisses_nothing() -> None:
    """GitHub lets a pull request's author resolve its threads; the check is not theirs to pass."""
    settings = replace(AUTO, review=replace(AUTO.review, blocking="P1"))

    [effect] = dispatch(settled(is_resolved=True), remembering(SAID, config=settings))

    assert isinstance(effect, Ignore)
    assert effect.reason == reasons.NOT_THEIRS_TO_DISMISS
