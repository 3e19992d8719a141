"""A companion pull request for a fork's result: asked for, approved by id, looked at again, opened once."""

from dataclasses import replace

import pytest

from handlers import reasons
from handlers.delivery import LONGEST_PATCH, UNREAD
from handlers.dispatch import dispatch
from handlers.effects import (
    AskApproval,
    Decide,
    Effect,
    ForkHead,
    OpenPull,
    PostComment,
    PushResult,
    Requester,
    StartTurn,
)
from handlers.events import (
    EffectFailed,
    HeldApproved,
    PullReady,
    PushRefused,
    ResultPushed,
    TurnEnded,
)
from handlers.view import AskedRequest, Branch, Landing, RepositoryConfig, Target, View
from handlers.wanted import read
from harness.items import Exhausted, Stopped
from tests.handlers.people import (
    COMPLETED,
    EVE,
    FIX,
    FORK_PULL,
    HEAD_SHA,
    MAIN_SHA,
    NEW_SHA,
    OCTOCAT,
    PULL,
    WORKFLOW,
    WRITER_VIEW,
    ended,
    said,
    start_on_pull,
)

START = replace(start_on_pull(), is_fork=True, base_ref="main")
ENDED = replace(ended(START, FIX), patch="+middle\n", snapshot="5" * 40, head_touches=("Makefile",))
LONG = replace(ENDED, patch="+x\n" * LONGEST_PATCH)
PULL_OF_EVE = replace(FORK_PULL, author="eve", author_id=EVE.id)
VIEW = replace(WRITER_VIEW, pull=PULL_OF_EVE)
TARGET = Target(start=START, outcome=COMPLETED, ended=ENDED)
ASKING_VIEW = replace(VIEW, target=TARGET)
WISH = said("@darner companion", on=PULL)


def _said(effects: list[Effect]) -> str:
    return next(one.body for one in effects if isinstance(one, PostComment))


def _asked(event: TurnEnded = LONG, view: View = VIEW) -> AskApproval:
    return next(one for one in dispatch(event, view) if isinstance(one, AskApproval))


def _open(asked: AskApproval) -> AskedRequest:
    return AskedRequest(
        id=asked.request_id,
        turn=asked.turn_id,
        kind=asked.kind,
        asked=asked.asked,
        digest=asked.digest,
        head_sha=asked.head_sha,
        state="open",
        until=2e9,
    )


def _approved(event: TurnEnded = LONG) -> HeldApproved:
    asked = _asked(event)
    return HeldApproved(
        ended=event,
        request_id=asked.request_id,
        digest=asked.digest,
        asked=asked.asked,
        head_sha=asked.head_sha,
        by=Requester(OCTOCAT.id, OCTOCAT.login, "write"),
        kind="companion",
    )


def _push() -> PushResult:
    [push] = dispatch(_approved(), VIEW)
    assert isinstance(push, PushResult)
    return push


def test_a_patch_that_no_comment_holds_asks_for_leave_and_says_what_it_would_mean() -> None:
    """Nothing is pushed; whoever answers is told of the secrets, the head, and of what its commits change."""
    effects = dispatch(LONG, VIEW)

    assert [one.type for one in effects] == ["ask_approval", "edit_comment", "post_comment"]
    asked, body = _asked(), _said(effects)
    assert (asked.kind, asked.head_sha, read(asked.asked).wanted) == ("companion", HEAD_SHA, (FIX.path,))
    assert read(asked.asked).branch == "darner/8-0ca1"
    assert "The change is too long for a comment, which shows its beginning." in body
    assert "This repository's CI runs the contributor's code there, and mine, with the secrets" in body
    assert "The contributor's own commits change what is protected here: `Makefile`." in body
    assert f"`@darner approve {asked.request_id}` within" in body
    assert f"(`{asked.digest}`, on `bbbbbbb`)" in body
    assert "Of my change you have seen the beginning only" in body
    assert "git apply" not in body
    assert body.index(asked.request_id) < body.index("<summary>The patch</summary>")
    assert len(body) < 15_000


@pytest.mark.parametrize(
    "view",
    [
        replace(VIEW, pull=replace(PULL_OF_EVE, is_open=False)),
        replace(VIEW, pull=replace(PULL_OF_EVE, head=Branch("faster", NEW_SHA))),
    ],
    ids=["closed", "moved"],
)
def test_where_it_could_not_be_opened_nobody_is_asked(view: View) -> None:
    effects = dispatch(LONG, view)

    assert [one.type for one in effects] == ["edit_comment", "post_comment"]
    assert "approve" not in _said(effects)


def test_somebody_who_may_write_can_ask_for_one() -> None:
    """The wish is no leave yet: it is answered by the request, with all that it means."""
    effects = dispatch(WISH, ASKING_VIEW)

    [asked] = [one for one in effects if isinstance(one, AskApproval)]
    assert asked.turn_id == START.turn_id
    assert not [one for one in effects if isinstance(one, PushResult | StartTurn)]
    assert "with the secrets and rights" in _said(effects)
    assert "the beginning only" not in _said(effects)
    again = dispatch(WISH, replace(ASKING_VIEW, requests=(_open(asked),)))
    assert not [one for one in again if isinstance(one, AskApproval)]
    assert f"asked for already, as request `{asked.request_id}`" in _said(again)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (None, "There is no result here that a companion pull request could hold"),
        (replace(TARGET, ended=None), "There is no result here"),
        (replace(TARGET, ended=replace(ENDED, start=replace(START, is_fork=False))), "There is no result"),
        (replace(TARGET, ended=replace(ENDED, outcome=Stopped("octocat"))), "There is no result here"),
        (replace(TARGET, ended=replace(ENDED, changes=())), "There is no result here"),
        (
            replace(TARGET, ended=replace(ENDED, head_touches=(WORKFLOW.path,))),
            "The contributor's own commits change what is protected here: `.github/workflows/ci.yml`.",
        ),
        (replace(TARGET, ended=replace(ENDED, head_touches=(UNREAD,))), "I open no companion of #8."),
        (
            replace(TARGET, landing=Landing("0ca1", "faster", NEW_SHA, MAIN_SHA)),
            "The result of turn `0ca1` is on `faster` already, at `ddddddd`.",
        ),
    ],
    ids=[
        "no turn",
        "forgotten",
        "no fork",
        "stopped",
        "nothing left",
        "CI is changed",
        "not read",
        "delivered",
    ],
)
def test_there_must_be_something_to_put_into_it(target: Target | None, told: str) -> None:
    effects = dispatch(WISH, replace(VIEW, target=target))

    assert not [one for one in effects if isinstance(one, AskApproval)]
    assert told in _said(effects)


def test_a_reader_may_not_ask() -> None:
    effects = dispatch(said("@darner companion", by=EVE, on=PULL), replace(ASKING_VIEW, permission="read"))

    assert {one.type for one in effects} == {"ignore", "react"}


def test_a_bare_approve_is_no_leave_for_it() -> None:
    """Whoever approves has to name it, though it is the only one that is open."""
    asked = _asked()
    view = replace(VIEW, requests=(_open(asked),))

    bare = dispatch(said("@darner approve", on=PULL), view)
    named = dispatch(said(f"@darner approve {asked.request_id}", on=PULL), view)

    assert not [one for one in bare if isinstance(one, Decide)]
    assert "I need the request's own id" in _said(bare)
    assert f"`@darner approve {asked.request_id}`" in _said(bare)
    assert [one.state for one in named if isinstance(one, Decide)] == ["approved"]


def test_a_push_to_the_head_voids_it() -> None:
    asked = _asked()
    moved = replace(PULL_OF_EVE, head=Branch("faster", NEW_SHA))
    view = replace(VIEW, pull=moved, requests=(_open(asked),))

    effects = dispatch(said(f"@darner approve {asked.request_id}", on=PULL), view)

    assert [one.state for one in effects if isinstance(one, Decide)] == ["void"]


def test_what_was_approved_goes_to_a_new_branch_and_a_draft_that_names_its_author() -> None:
    push = _push()

    assert (push.fork, push.branch, push.parent, push.expected) == (None, "darner/8-0ca1", HEAD_SHA, None)
    assert push.paths == (FIX.path,)
    assert "Approved-by: octocat" in push.message
    pushed = ResultPushed(ended=LONG, push=push, sha=NEW_SHA)
    [pull] = dispatch(pushed, VIEW)
    assert isinstance(pull, OpenPull)
    assert (pull.head, pull.base) == ("darner/8-0ca1", "main")
    assert pull.body.startswith("A companion of #8 by eve, which comes from a fork: eve's commits up to")
    ready = PullReady(pushed=pushed, pull=pull, number=9, url="http://forge.test:8080/octo/calc/pull/9")
    assert "[#9](http://forge.test:8080/octo/calc/pull/9), a draft" in _said(dispatch(ready, VIEW))


@pytest.mark.parametrize(
    ("event", "view", "why"),
    [
        (_approved(), replace(VIEW, permission="read"), reasons.APPROVER_LOST_RIGHT),
        (_approved(), replace(VIEW, config=RepositoryConfig(enabled=False)), reasons.SETTINGS_CHANGED),
        (_approved(), replace(VIEW, pull=replace(PULL_OF_EVE, is_open=False)), reasons.PULL_CLOSED),
        (_approved(), replace(VIEW, pull=None), reasons.PULL_CLOSED),
        (
            _approved(),
            replace(VIEW, pull=replace(PULL_OF_EVE, head=Branch("faster", NEW_SHA))),
            reasons.HEAD_MOVED,
        ),
        (
            replace(_approved(), ended=replace(LONG, head_touches=(WORKFLOW.path,))),
            VIEW,
            reasons.CHANGES_CI,
        ),
        (replace(_approved(), ended=replace(LONG, snapshot="6" * 40)), VIEW, reasons.OTHER_PATCH),
        (replace(_approved(), ended=replace(LONG, changes=(WORKFLOW,))), VIEW, reasons.OTHER_PATCH),
    ],
    ids=[
        "right lost",
        "switched off",
        "closed",
        "gone",
        "moved",
        "CI is changed",
        "another result",
        "other files",
    ],
)
def test_all_is_looked_at_again_before_anything_is_written(event: HeldApproved, view: View, why: str) -> None:
    effects = dispatch(event, view)

    assert [one.type for one in effects] == ["post_comment"]
    assert why in _said(effects)


def test_a_branch_that_the_forge_does_not_take_is_told() -> None:
    """Such as one whose contributor has changed a workflow: the App may not push those."""
    push = _push()
    refused = PushRefused(ended=LONG, push=push, reason="denied", detail="refusing to allow a GitHub App")
    failed = EffectFailed(ended=LONG, effect=push, detail="timed out")

    assert "GitHub did not let me push the branch. It said: `refusing to" in _said(dispatch(refused, VIEW))
    assert "timed out" in _said(dispatch(failed, VIEW))


def test_what_is_held_back_is_in_no_companion() -> None:
    asked = _asked(replace(LONG, changes=(FIX, WORKFLOW)))

    assert read(asked.asked).wanted == (FIX.path,)


def test_a_retry_stands_on_the_contributors_head_and_not_on_the_companion() -> None:
    """What is shown of it is for the pull request that was asked on."""
    spent = Exhausted("steps", 40, "Half of it.")
    landing = Landing("0ca1", "darner/8-0ca1", NEW_SHA, HEAD_SHA)
    target = Target(start=START, outcome=spent, landing=landing)

    effects = dispatch(said("@darner retry", on=PULL), replace(VIEW, target=target))

    [start] = [one for one in effects if isinstance(one, StartTurn)]
    assert (start.base_sha, start.onto, start.is_fork) == (HEAD_SHA, "", True)


def test_a_retry_on_a_forks_branch_stands_on_what_was_pushed_there() -> None:
    spent = Exhausted("steps", 40, "Half of it.")
    fork = ForkHead(id=77, full_name="eve/calc", installation=6)
    landing = Landing("0ca1", "faster", NEW_SHA, HEAD_SHA, fork=fork)
    target = Target(start=START, outcome=spent, landing=landing)

    effects = dispatch(said("@darner retry", on=PULL), replace(VIEW, target=target))

    [start] = [one for one in effects if isinstance(one, StartTurn)]
    assert (start.base_sha, start.onto) == (NEW_SHA, "")
    assert "The fork's branch `faster` has been pushed to since" in _said(effects)
