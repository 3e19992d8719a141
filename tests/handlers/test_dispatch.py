"""The day of a comment, decision by decision: an event and a view in, the whole list of effects out."""

from dataclasses import replace
from typing import Any

import pytest

from handlers import comments, reasons
from handlers.broker import Judgement, Refused
from handlers.checks import RETRY_BUTTON, STOP_BUTTON
from handlers.comments import Progress, Published, Unpublished
from handlers.dispatch import dispatch
from handlers.effects import (
    CheckAction,
    CompactThread,
    EditComment,
    Effect,
    EffectAdapter,
    Ignore,
    OpenPull,
    PostComment,
    PushResult,
    React,
    ReactionTarget,
    Requester,
    StartTurn,
    SteerTurn,
    StopTurn,
    Trigger,
    WriteCheckRun,
)
from handlers.events import (
    Actor,
    InternalEventAdapter,
    Pinged,
    PullReady,
    PushRefused,
    ResultPushed,
    TurnEnded,
    Unhandled,
)
from handlers.view import Branch, RepositoryConfig, TurnBrief, View
from handlers.wishes import Ceiling, Wishes
from harness.items import Completed, Declined, Exhausted, Failed, Stopped, Waiting
from sandbox.base import SandboxMode
from tests.handlers.people import (
    BASE_SHA,
    DARNER,
    DEPENDABOT,
    EVE,
    FIX,
    FORK_PULL,
    HEAD_SHA,
    HOST,
    ISSUE,
    MAIN_SHA,
    NEW_SHA,
    NOON,
    OCTOCAT,
    PRIVATE,
    PULL,
    PULL_VIEW,
    WORKFLOW,
    WRITER_VIEW,
    ended,
    opened,
    reviewed,
    said,
    start_on_issue,
    start_on_pull,
)

ACT = "42/7/issue_comment/55/created/2026-11-22T12:00:00Z"
NOTHING = Judgement((), (), ())
ALL = Judgement((FIX.path,), (), ())


def turn_of(effects: list[Effect]) -> StartTurn:
    return next(effect for effect in effects if isinstance(effect, StartTurn))


def kinds(effects: list[Effect]) -> list[str]:
    return [effect.type for effect in effects]


def answer_to(effects: list[Effect]) -> str:
    return next(effect.body for effect in effects if isinstance(effect, PostComment))


def test_a_writers_mention_on_an_issue_starts_a_turn() -> None:
    """A turn pinned to the default branch as it is now; eyes and one progress comment while it begins."""
    effects = dispatch(said("@darner fix the failing test"), WRITER_VIEW)

    start = StartTurn(
        key=f"{ACT}:turn",
        turn_id=turn_of(effects).turn_id,
        repository_id=42,
        repository="octo/calc",
        installation_id=5,
        number=7,
        is_pull=False,
        title=ISSUE.title,
        request="fix the failing test",
        requester=Requester(1, "octocat", "write"),
        trigger=Trigger("issue_comment", 55, f"{HOST}/octo/calc/issues/7#issuecomment-55", NOON),
        mode=SandboxMode.WORKSPACE_WRITE,
        base_ref="main",
        base_sha=MAIN_SHA,
        instructions_sha=MAIN_SHA,
        config_sha=MAIN_SHA,
        progress_key=f"{ACT}:progress",
        subject_body=ISSUE.body,
    )
    assert effects == [
        start,
        React(key=f"{ACT}:react", target=ReactionTarget("issue_comment", 55), content="eyes"),
        PostComment(
            key=f"{ACT}:progress",
            number=7,
            body=comments.progress(Progress(phase="queued", start=start)),
            requester="octocat",
        ),
    ]


def test_a_mention_on_a_pull_request_works_on_its_head_under_its_bases_instructions() -> None:
    effects = dispatch(said("@darner fix it", on=PULL), PULL_VIEW)

    start = turn_of(effects)
    assert (start.base_ref, start.base_sha, start.instructions_sha, start.is_fork) == (
        "faster",
        HEAD_SHA,
        BASE_SHA,
        False,
    )
    # The repository's settings are the default branch's, whatever branch the pull request is for.
    assert start.config_sha == MAIN_SHA
    assert effects[3] == WriteCheckRun(
        key=f"{start.turn_id}:check:queued",
        external_id=start.turn_id,
        head_sha=HEAD_SHA,
        status="queued",
        conclusion=None,
        title="Queued",
        summary=comments.check_summary(start),
        actions=(STOP_BUTTON,),
    )
    assert kinds(effects) == ["start_turn", "react", "post_comment", "write_check_run"]


def test_a_mention_on_a_line_of_a_diff_is_answered_there() -> None:
    effects = dispatch(reviewed("@darner simplify"), PULL_VIEW)

    start = turn_of(effects)
    assert (start.review_thread, start.path, start.diff_hunk) == (
        44,
        "calc/median.py",
        "@@ -1,3 +1,3 @@\n-a\n+b",
    )
    assert isinstance(effects[2], PostComment)
    assert effects[2].review_thread == 44
    assert effects[1] == React(
        key="42/8/review_comment/55/created/2026-11-22T12:00:00Z:react",
        target=ReactionTarget("review_comment", 55),
        content="eyes",
    )


def test_a_mention_in_an_issues_own_text_counts() -> None:
    effects = dispatch(opened("It is wrong.\n\n@darner fix it"), WRITER_VIEW)

    assert effects[1] == React(
        key="42/7/subject/7/created/2026-11-22T12:00:00Z:react",
        target=ReactionTarget("subject", 7),
        content="eyes",
    )
    assert turn_of(effects).request == "fix it"


def test_a_writer_on_a_forks_head_gets_a_turn_that_will_not_push_there() -> None:
    effects = dispatch(said("@darner fix it", on=PULL), replace(WRITER_VIEW, pull=FORK_PULL))

    start = turn_of(effects)
    assert (start.is_fork, start.base_ref, start.base_sha) == (True, "main", HEAD_SHA)
    assert kinds(effects) == ["start_turn", "react", "post_comment"]


ENDED = (TurnBrief(id="cafe", state="ended", created_at=1.0, started_at=2.0, ended_at=3.0),)
AT_WORK = (TurnBrief(id="beef", state="running", created_at=1_000_000.0, started_at=1_000_001.0),)


def test_a_writers_mention_steers_the_turn_at_work() -> None:
    """No second turn: the model at work reads it, and whoever wrote is told so."""
    effects = dispatch(said("@darner also the docs"), replace(WRITER_VIEW, turns=AT_WORK))

    [steer] = [effect for effect in effects if isinstance(effect, SteerTurn)]
    assert (steer.turn_id, steer.author) == ("beef", "octocat")
    assert steer.text.endswith("writes while you work:\n\nalso the docs")
    assert kinds(effects) == ["steer_turn", "react", "post_comment"]
    assert "turn `beef` is at work and reads this" in answer_to(effects)


def test_what_one_person_says_within_a_minute_is_acknowledged_in_one_comment() -> None:
    """Each mention is passed on and seen; the comment that says so has one key, and so is posted once."""

    def steered(comment: int, at: str, by: Actor = OCTOCAT) -> list[Effect]:
        event = said("@darner also the docs", by=by)
        written = replace(event.comment, id=comment, created_at=at, updated_at=at)
        return dispatch(replace(event, comment=written), replace(WRITER_VIEW, turns=AT_WORK))

    burst = [steered(comment, f"2026-11-22T12:00:0{comment}Z") for comment in range(5)]
    assert len({effect.key for effects in burst for effect in effects if effect.type == "steer_turn"}) == 5
    assert len({effect.key for effects in burst for effect in effects if effect.type == "react"}) == 5
    [shared] = {effect.key for effects in burst for effect in effects if effect.type == "post_comment"}

    later = steered(9, "2026-11-22T12:01:00Z")
    other = steered(8, "2026-11-22T12:00:05Z", by=EVE)
    assert shared not in {effect.key for effect in (*later, *other)}


def test_an_admitted_reader_waits_behind_the_turn_at_work() -> None:
    """Somebody else's turn is not theirs to direct: they get a turn of their own, after it."""
    bot = replace(WRITER_VIEW.bot, ceiling=replace(WRITER_VIEW.bot.ceiling, admits_readers=True))
    view = replace(WRITER_VIEW, permission="read", bot=bot, turns=AT_WORK)

    effects = dispatch(said("@darner explain it"), view)

    assert "Another turn (`beef`) is at work" in answer_to(effects)
    assert turn_of(effects).mode is SandboxMode.READ_ONLY


def test_stop_ends_the_turn_at_work() -> None:
    effects = dispatch(said("@darner stop"), replace(WRITER_VIEW, turns=AT_WORK))

    [stop] = [effect for effect in effects if isinstance(effect, StopTurn)]
    assert (stop.turn_id, stop.author) == ("beef", "octocat")
    assert kinds(effects) == ["stop_turn", "hold_thread", "react"]


@pytest.mark.parametrize(("turns", "turn"), [(AT_WORK, "beef"), (ENDED, None)])
def test_compact_is_for_the_turn_at_work_or_the_next_one(
    turns: tuple[TurnBrief, ...], turn: str | None
) -> None:
    effects = dispatch(said("@darner compact"), replace(WRITER_VIEW, turns=turns))

    [compact] = [effect for effect in effects if isinstance(effect, CompactThread)]
    assert (compact.turn_id, compact.author) == (turn, "octocat")
    assert kinds(effects) == ["compact_thread", "react", "post_comment"]
    assert ("before its next step" if turn else "my next turn here begins") in answer_to(effects)


def test_stop_with_nothing_at_work_says_so() -> None:
    effects = dispatch(said("@darner stop"), WRITER_VIEW)

    assert "Nothing is at work here." in answer_to(effects)


@pytest.mark.parametrize("words", ["stop", "compact", "also the docs"])
def test_a_stranger_neither_stops_nor_steers(words: str) -> None:
    """The turn at work hears nothing of it."""
    effects = dispatch(said(f"@darner {words}"), replace(WRITER_VIEW, permission="read", turns=AT_WORK))

    assert kinds(effects) == ["ignore", "react"]


def test_status_tells_the_turns_newest_first() -> None:
    ended = TurnBrief(
        id="cafe",
        state="ended",
        created_at=999_000.0,
        started_at=999_001.0,
        ended_at=999_091.0,
        outcome=Completed("Done."),
    )

    effects = dispatch(said("@darner status"), replace(WRITER_VIEW, turns=(ended, *AT_WORK)))

    assert answer_to(effects).splitlines()[2:] == [
        "| `beef` | ⏳ at work | 1970-01-12 13:46 UTC |  |",
        "| `cafe` | ✅ done | 1970-01-12 13:30 UTC | 1 min 30 s |",
    ]


def test_the_same_event_always_gives_the_same_effects_with_keys_of_their_own() -> None:
    effects = dispatch(said("@darner fix it", on=PULL), PULL_VIEW)

    assert dispatch(said("@darner fix it", on=PULL), PULL_VIEW) == effects
    assert len({effect.key for effect in effects}) == len(effects)
    assert [EffectAdapter.validate_json(EffectAdapter.dump_json(effect)) for effect in effects] == effects


@pytest.mark.parametrize(
    ("words", "reaction", "told"),
    [
        ("help", "+1", "Write access to this repository is needed"),
        ("", "confused", "You named me, and that was all"),
        ("hlep", "confused", "Did you mean `@darner help`?"),
        ("review", "confused", "I review pull requests: write `@darner review` on one."),
        ("pause", "confused", "Nothing is at work here, so there is nothing to pause."),
        ("resume", "confused", "Nothing is paused or stopped here."),
        ("retry", "confused", "I have not worked here yet"),
        ("compact", "confused", "I have not worked in this conversation yet"),
        ("status", "+1", "I have not worked in this conversation yet."),
    ],
)
def test_every_command_is_answered(words: str, reaction: str, told: str) -> None:
    effects = dispatch(said(f"@darner {words}"), WRITER_VIEW)

    assert kinds(effects) == ["react", "post_comment"]
    assert isinstance(effects[0], React)
    assert effects[0].content == reaction
    assert told in answer_to(effects)


def test_a_stranger_gets_a_reaction_and_no_debate() -> None:
    effects = dispatch(said("@darner fix it", by=EVE), replace(WRITER_VIEW, permission="read"))

    assert effects == [
        Ignore(key=f"{ACT}:ignore", reason=reasons.NEEDS_WRITE),
        React(key=f"{ACT}:react", target=ReactionTarget("issue_comment", 55), content="confused"),
    ]


@pytest.mark.parametrize(
    ("permission", "repository"), [("triage", said("").repository), ("triage", PRIVATE), ("read", PRIVATE)]
)
def test_a_collaborator_without_write_access_is_told_the_one_thing_that_helps(
    permission: Any, repository: Any
) -> None:
    event = replace(said("@darner fix it", by=EVE), repository=repository)

    effects = dispatch(event, replace(WRITER_VIEW, permission=permission))

    assert kinds(effects) == ["ignore", "react", "post_comment"]
    assert answer_to(effects) == comments.needs_write()


def test_a_repositorys_wish_for_more_is_pinned_to_be_told_and_changes_nothing_else() -> None:
    """The turn starts under what is allowed."""
    wishes = Wishes(allowed_hosts=("pypi.org",), limits={"cpus": 64.0})
    wishing = replace(WRITER_VIEW, config=RepositoryConfig(wishes=wishes))
    plain = dispatch(said("@darner fix it"), WRITER_VIEW)
    start = turn_of(dispatch(said("@darner fix it"), wishing))

    assert start.not_granted == (
        "cpus 64: 2 at most, by default",
        "network pypi.org: the operator allows no host",
    )
    assert replace(start, not_granted=()) == turn_of(plain)


def test_a_reader_may_ask_for_a_read_only_turn_where_the_operator_admits_it() -> None:
    view = replace(WRITER_VIEW, permission="read", bot=replace(DARNER, ceiling=Ceiling(admits_readers=True)))

    assert turn_of(dispatch(said("@darner explain", by=EVE), view)).mode is SandboxMode.READ_ONLY


def test_a_broken_repository_file_is_told_to_the_one_who_asked() -> None:
    """Its wishes narrow; as long as they cannot be read, nothing is started."""
    effects = dispatch(said("@darner fix it"), replace(WRITER_VIEW, config_error="`modee` is not a setting."))

    assert kinds(effects) == ["react", "post_comment"]
    assert "`modee` is not a setting." in answer_to(effects)


@pytest.mark.parametrize(
    ("event", "view", "reason"),
    [
        (said("thanks"), WRITER_VIEW, reasons.NO_MENTION),
        (said("`@darner fix`"), WRITER_VIEW, reasons.NO_MENTION),
        (said("@darner fix", by=DEPENDABOT), WRITER_VIEW, reasons.BOT_NOT_LISTED),
        (said("@darner fix", edited_from="@darner fi"), WRITER_VIEW, reasons.MENTION_NOT_NEW),
        (
            said("@darner fix"),
            replace(WRITER_VIEW, config=RepositoryConfig(enabled=False)),
            reasons.DISABLED,
        ),
        (Pinged(zen="x"), View(bot=DARNER), reasons.PINGED),
        (
            Unhandled(
                event="push", action=None, repository=None, actor=None, number=None, installation_id=None
            ),
            View(bot=DARNER),
            reasons.UNHANDLED,
        ),
    ],
)
def test_what_is_left_alone_has_a_reason(event: Any, view: View, reason: str) -> None:
    effects = dispatch(event, view)

    assert [(effect.type, getattr(effect, "reason", "")) for effect in effects] == [("ignore", reason)]


@pytest.mark.parametrize(
    ("view", "on"), [(replace(WRITER_VIEW, default_branch=None), ISSUE), (WRITER_VIEW, PULL)]
)
def test_without_a_commit_to_work_on_no_turn_starts(view: View, on: Any) -> None:
    effects = dispatch(said("@darner fix it", on=on), view)

    assert kinds(effects) == ["react", "post_comment"]
    assert answer_to(effects).startswith("**Error**")


def test_a_finished_turn_on_an_issue_is_pushed_to_a_branch_of_its_own() -> None:
    """Only what may go; the branch must not exist."""
    effects = dispatch(ended(start_on_issue(), FIX, WORKFLOW), WRITER_VIEW)

    assert effects == [
        PushResult(
            key="0ca1:push",
            turn_id="0ca1",
            branch="darner/7-0ca1",
            parent=MAIN_SHA,
            expected=None,
            paths=("calc/median.py",),
            message=(
                "Median of an even list is wrong\n\n"
                "Requested in #7.\n\n"
                "Darner-Turn: 0ca1\n"
                f"Darner-Trigger: {HOST}/octo/calc/issues/7#issuecomment-55\n"
                "Co-authored-by: octocat <1+octocat@users.noreply.github.com>\n"
            ),
        )
    ]


def test_a_finished_turn_on_a_pull_request_is_pushed_only_to_the_head_it_began_at() -> None:
    effects = dispatch(ended(start_on_pull(), FIX), PULL_VIEW)

    assert len(effects) == 1
    assert isinstance(effects[0], PushResult)
    assert (effects[0].branch, effects[0].parent, effects[0].expected) == ("faster", HEAD_SHA, HEAD_SHA)


def test_nothing_is_pushed_to_the_default_branch() -> None:
    """A pull request from `main` into a release branch gets a companion, and is told why."""
    view = replace(PULL_VIEW, default_branch=Branch("faster", HEAD_SHA))
    event = ended(start_on_pull(), FIX)

    [push] = dispatch(event, view)

    assert isinstance(push, PushResult)
    assert (push.branch, push.expected) == ("darner/8-0ca1", None)
    [pull] = dispatch(ResultPushed(ended=event, push=push, sha=NEW_SHA), view)
    assert isinstance(pull, OpenPull)
    ready = PullReady(
        pushed=ResultPushed(ended=event, push=push, sha=NEW_SHA), pull=pull, number=12, url=f"{HOST}/x"
    )
    final = answer_to(dispatch(ready, view))
    assert "The branch `faster` is the default branch, so I left it alone" in final


def last_words(
    event: TurnEnded, publication: Published | Unpublished | None, judgement: Judgement = ALL
) -> list[Effect]:
    """Progress comment closed, one new comment with the result."""
    start = event.start
    note = comments.outcome_word(event, publication, judgement=judgement)
    return [
        EditComment(
            key="0ca1:progress:ended",
            posted_key=start.progress_key,
            body=comments.progress(Progress(phase="ended", start=start, seconds=42.0, note=note)),
            requester="octocat",
        ),
        PostComment(
            key="0ca1:final",
            number=start.number,
            body=comments.final(event, publication, judgement=judgement, mention="darner"),
            requester="octocat",
        ),
    ]


def check_on(
    sha: str,
    event: TurnEnded,
    word: str,
    *,
    summary: str = "",
    conclusion: Any = "success",
    actions: tuple[CheckAction, ...] = (),
) -> Effect:
    return WriteCheckRun(
        key=f"0ca1:check:{sha[:12]}",
        external_id="0ca1",
        head_sha=sha,
        status="completed",
        conclusion=conclusion,
        title=word,
        summary=comments.check_summary(event.start, summary),
        actions=actions,
    )


def pushed(event: TurnEnded, branch: str) -> ResultPushed:
    push = dispatch(event, PULL_VIEW)[0]
    assert isinstance(push, PushResult)
    return ResultPushed(ended=event, push=replace(push, branch=branch), sha=NEW_SHA)


def test_an_issues_result_becomes_a_draft_pull_request_and_then_the_last_words() -> None:
    event = ended(start_on_issue(), FIX)
    result = pushed(event, "darner/7-0ca1")

    effects = dispatch(result, WRITER_VIEW)

    pull = OpenPull(
        key="0ca1:pull",
        turn_id="0ca1",
        head="darner/7-0ca1",
        base="main",
        title="Median of an even list is wrong (#7)",
        body=comments.pull_body(event, judgement=ALL, mention="darner"),
    )
    assert effects == [pull]

    ready = PullReady(pushed=result, pull=pull, number=9, url=f"{HOST}/octo/calc/pull/9")
    published = Published(
        branch="darner/7-0ca1", sha=NEW_SHA, pull_number=9, pull_url=f"{HOST}/octo/calc/pull/9"
    )
    assert dispatch(ready, WRITER_VIEW) == [
        *last_words(event, published),
        check_on(NEW_SHA, event, "✅ Done", summary="The result is `ddddddd`."),
    ]


def test_a_result_on_a_pull_requests_own_branch_needs_no_other() -> None:
    event = ended(start_on_pull(), FIX)

    effects = dispatch(pushed(event, "faster"), PULL_VIEW)

    assert effects == [
        *last_words(event, Published(branch="faster", sha=NEW_SHA)),
        check_on(HEAD_SHA, event, "✅ Done", summary="The result is `ddddddd`."),
        check_on(NEW_SHA, event, "✅ Done", summary="The result is `ddddddd`."),
    ]


def test_a_head_that_moved_is_left_alone_and_the_result_goes_beside_it() -> None:
    """Compare-and-swap failed: a companion branch from the pinned commit, a pull request against the head."""
    event = ended(start_on_pull(), FIX)
    push = dispatch(event, PULL_VIEW)[0]
    assert isinstance(push, PushResult)

    effects = dispatch(PushRefused(ended=event, push=push, reason="head_moved", detail="e" * 40), PULL_VIEW)

    companion = replace(push, key="0ca1:push:head_moved", branch="darner/8-0ca1", expected=None)
    assert effects == [companion]

    result = ResultPushed(ended=event, push=companion, sha=NEW_SHA)
    (pull,) = dispatch(result, PULL_VIEW)
    assert isinstance(pull, OpenPull)
    assert (pull.head, pull.base) == ("darner/8-0ca1", "faster")
    assert "meant for the branch `faster` of #8" in pull.body

    final = dispatch(PullReady(pushed=result, pull=pull, number=9, url=f"{HOST}/octo/calc/pull/9"), PULL_VIEW)
    body = answer_to(final)
    assert body.startswith("🔀 **Head moved** · 42 s · draft pull request [#9]")
    assert "The branch `faster` was pushed to while I worked, so I left it alone" in body


def test_a_protected_head_is_treated_the_same_way_and_named() -> None:
    event = ended(start_on_pull(), FIX)
    push = dispatch(event, PULL_VIEW)[0]
    assert isinstance(push, PushResult)
    refused = PushRefused(ended=event, push=push, reason="branch_protected", detail="GH006")

    (companion,) = dispatch(refused, PULL_VIEW)

    assert isinstance(companion, PushResult)
    ready = PullReady(
        pushed=ResultPushed(ended=event, push=companion, sha=NEW_SHA),
        pull=OpenPull(key="k", turn_id="0ca1", head="h", base="faster", title="t", body="b"),
        number=9,
        url=f"{HOST}/octo/calc/pull/9",
    )
    assert "The branch `faster` is protected, so I left it alone" in answer_to(dispatch(ready, PULL_VIEW))


@pytest.mark.parametrize("reason", ["denied", "head_moved", "branch_protected"])
def test_a_push_that_has_no_way_left_is_told(reason: Any) -> None:
    event = ended(start_on_issue(), FIX)
    push = dispatch(event, WRITER_VIEW)[0]
    assert isinstance(push, PushResult)

    effects = dispatch(PushRefused(ended=event, push=push, reason=reason, detail="remote: no"), WRITER_VIEW)

    assert effects == last_words(event, Unpublished(reason, "remote: no"))
    assert answer_to(effects).startswith("❌ **Not delivered**")
    assert "`remote: no`" in answer_to(effects)


@pytest.mark.parametrize(
    ("outcome", "changes", "header"),
    [
        (Declined("No."), (FIX,), "🚫 **Declined**"),
        (Stopped("octocat"), (FIX,), "🛑 **Stopped by octocat**"),
        (Failed("The model endpoint is down.", "ab12"), (FIX,), "❌ **Failed**"),
        (Exhausted("steps", 200, "So far."), (), "⌛ **Out of budget**"),
    ],
)
def test_a_turn_that_did_not_complete_says_how_it_ended(outcome: Any, changes: Any, header: str) -> None:
    event = ended(start_on_issue(), *changes, outcome=outcome)

    effects = dispatch(event, WRITER_VIEW)

    assert effects == last_words(event, None, NOTHING)
    assert answer_to(effects).startswith(header)


def test_a_turn_that_reached_a_limit_delivers_what_it_has() -> None:
    event = ended(start_on_issue(), FIX, outcome=Exhausted("tokens", 4_000_000, "Half done."))

    assert kinds(dispatch(event, WRITER_VIEW)) == ["push_result"]


def test_a_parked_turn_shows_what_it_waits_for() -> None:
    event = ended(start_on_issue(), outcome=Waiting("Rate limit of the model until 12:05 UTC.", 1.0))

    (effect,) = dispatch(event, WRITER_VIEW)

    assert isinstance(effect, EditComment)
    assert "Rate limit of the model until 12:05 UTC." in effect.body


def test_protected_changes_alone_are_held_with_their_hash_and_patch() -> None:
    event = ended(start_on_issue(), WORKFLOW)

    effects = dispatch(event, WRITER_VIEW)

    assert effects == last_words(event, None, Judgement((), (WORKFLOW.path,), ()))
    body = answer_to(effects)
    assert body.startswith("✋ **Done with open points**")
    assert "only a person may change protected files: `.github/workflows/ci.yml`" in body
    assert "```diff\n--- a/.github/workflows/ci.yml" in body


def test_a_requester_who_lost_the_right_meanwhile_gets_no_push() -> None:
    """Rights are looked at again before a write in someone's name."""
    event = ended(start_on_issue(), FIX)

    effects = dispatch(event, replace(WRITER_VIEW, permission="read"))

    refused = Judgement((), (), (Refused(FIX.path, reasons.RIGHT_LOST),))
    assert effects == last_words(event, None, refused)
    assert answer_to(effects).startswith("🚫 **Refused by policy**")


def test_a_read_only_turn_pushes_nothing_whatever_it_left() -> None:
    event = ended(replace(start_on_issue(), mode=SandboxMode.READ_ONLY), FIX)

    assert kinds(dispatch(event, WRITER_VIEW)) == ["edit_comment", "post_comment"]


def test_a_forks_result_comes_as_a_patch() -> None:
    start = replace(start_on_pull(), is_fork=True)
    event = replace(ended(start, FIX), patch="--- a/x\n+++ b/x\n+y\n")

    effects = dispatch(event, replace(WRITER_VIEW, pull=FORK_PULL))

    assert kinds(effects) == ["edit_comment", "post_comment"]
    assert "where I cannot push; here is the change as a patch" in answer_to(effects)
    assert "```diff\n--- a/x" in answer_to(effects)


def test_a_stopped_turn_shows_its_work_and_publishes_nothing() -> None:
    start = replace(start_on_pull(), is_fork=True)
    event = replace(ended(start, FIX, outcome=Stopped("octocat")), patch="--- a/x\n+++ b/x\n+y\n")

    body = answer_to(dispatch(event, replace(WRITER_VIEW, pull=FORK_PULL)))

    assert "Nothing was published." in body
    assert "+++ b/x" in body


def test_a_failed_turn_on_a_pull_request_completes_its_check_without_blocking_a_merge() -> None:
    event = ended(start_on_pull(), outcome=Failed("It broke.", "ab12"))

    effects = dispatch(event, PULL_VIEW)

    check = check_on(HEAD_SHA, event, "❌ Failed", conclusion="neutral", actions=(RETRY_BUTTON,))
    assert effects[-1] == check


def test_internal_events_survive_their_storage() -> None:
    event = ended(start_on_issue(), FIX, WORKFLOW)
    result = pushed(event, "darner/7-0ca1")

    for stored in (event, result):
        assert InternalEventAdapter.validate_json(InternalEventAdapter.dump_json(stored)) == stored
