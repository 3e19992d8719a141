"""Directing a thread, decision by decision: a command and a view in, the whole list of effects out."""

from dataclasses import replace
from typing import Final

import pytest

from handlers import comments, comments_control, reasons
from handlers.checks import STOP_BUTTON
from handlers.ci.settings import CiMode, CiSettings
from handlers.ci.task import CiTask
from handlers.comments import Progress
from handlers.dispatch import dispatch
from handlers.effects import (
    Decide,
    ForgetThread,
    HoldThread,
    Ignore,
    LookAtChecks,
    PauseTurn,
    PostComment,
    React,
    ReactionTarget,
    Requester,
    ResumeTurn,
    StartTurn,
    StopTurn,
    Trigger,
    UndoTurn,
    WriteCheckRun,
)
from handlers.events import ButtonPressed, InternalEventAdapter, OperatorAsked, UndoEnded
from handlers.grammar import Fork, Pause, Retry, Undo
from handlers.on_control import starts_by_itself, turn_meant
from handlers.on_turn_end import push_of
from handlers.view import (
    Account,
    AskedRequest,
    Landing,
    RepositoryConfig,
    Target,
    ThreadFacts,
    TurnBrief,
    View,
)
from handlers.wanted import Wanted, written
from harness.items import Completed, Failed, Stopped
from tests.handlers.people import (
    EVE,
    HEAD_SHA,
    HOST,
    MAIN_SHA,
    NEW_SHA,
    NOON,
    OCTOCAT,
    PULL,
    PULL_VIEW,
    REPOSITORY,
    WRITER_VIEW,
    said,
    start_on_issue,
    start_on_pull,
)

ACT: Final = "42/7/issue_comment/55/created/2026-11-22T12:00:00Z"
ON_PULL: Final = "42/8/issue_comment/55/created/2026-11-22T12:00:00Z"
RUNNING: Final = TurnBrief("0ca1", "running", 1.0, 2.0)
FAILED: Final = TurnBrief("0ca1", "ended", 1.0, 2.0, 3.0, Failed("The model is away.", "0ca1/3"))
TARGET: Final = Target(start_on_issue(), FAILED.outcome)
LANDED: Final = Landing("0ca1", "darner/7-0ca1", NEW_SHA, MAIN_SHA)


def at_work(**fields: str) -> View:
    return replace(WRITER_VIEW, turns=(replace(RUNNING, **fields),))  # type: ignore[arg-type]


def react(content: str = "+1") -> React:
    made = React(key=f"{ACT}:react", target=ReactionTarget("issue_comment", 55), content="+1")
    return replace(made, content=content)  # type: ignore[arg-type]


def answer(body: str) -> PostComment:
    return PostComment(key=f"{ACT}:answer", number=7, body=body, requester="octocat")


def test_stop_ends_the_turn_and_holds_the_thread() -> None:
    assert dispatch(said("@darner stop"), at_work()) == [
        StopTurn(key=f"{ACT}:stop:0ca1", turn_id="0ca1", author="octocat"),
        HoldThread(key=f"{ACT}:hold", by="octocat"),
        react(),
    ]


def test_stop_ends_all_that_runs_or_waits_and_says_which() -> None:
    """Whatever it is; what has ended is not told again, and what is ending is not stopped twice."""
    turns = (
        FAILED,
        replace(RUNNING, id="aaaa"),
        TurnBrief("bbbb", "waiting", 3.0, kind="review"),
        TurnBrief("cccc", "waiting", 4.0, stopping_by="eve"),
    )

    assert dispatch(said("@darner stop"), replace(WRITER_VIEW, turns=turns)) == [
        StopTurn(key=f"{ACT}:stop:aaaa", turn_id="aaaa", author="octocat"),
        StopTurn(key=f"{ACT}:stop:bbbb", turn_id="bbbb", author="octocat"),
        HoldThread(key=f"{ACT}:hold", by="octocat"),
        react(),
        answer(
            "All that had not ended here ends: turn `aaaa` (which was at work), turn `bbbb` (which waited) "
            "and turn `cccc` (stopped by eve before). What each of them has done so far follows."
        ),
    ]


def test_the_stop_button_ends_the_turn_that_it_belongs_to() -> None:
    """Also one that waits behind another, which goes on."""
    waiting = TurnBrief("0ca1", "waiting", 3.0)
    view = replace(WRITER_VIEW, turns=(replace(RUNNING, id="aaaa"), waiting), target=TARGET)

    stop, hold = dispatch(button("stop"), view)
    [late] = dispatch(button("stop"), replace(view, turns=(view.turns[0], FAILED)))

    assert isinstance(stop, StopTurn)
    assert (stop.turn_id, stop.author) == ("0ca1", "octocat")
    assert isinstance(hold, HoldThread)
    assert isinstance(late, PostComment)
    assert "Turn `0ca1` has ended already; nothing was stopped." in late.body


def test_a_second_stop_says_who_was_first() -> None:
    assert dispatch(said("@darner stop"), at_work(stopping_by="eve")) == [
        HoldThread(key=f"{ACT}:hold", by="octocat"),
        react(),
        answer("Turn `0ca1` is ending already: eve has stopped it."),
    ]


def test_pause_is_for_a_turn_that_goes_on() -> None:
    """Not for one that is paused, or is ending, or is not there."""
    assert dispatch(said("@darner pause"), at_work()) == [
        PauseTurn(key=f"{ACT}:pause", turn_id="0ca1", author="octocat"),
        react(),
        answer(comments_control.pausing("0ca1", "darner")),
    ]
    for view, told in (
        (at_work(paused_by="eve"), comments_control.paused_before("0ca1", "eve", "darner")),
        (at_work(stopping_by="eve"), comments_control.stop_asked_before("0ca1", "eve")),
        (WRITER_VIEW, comments_control.nothing_to_pause("darner")),
    ):
        assert dispatch(said("@darner pause"), view) == [react("confused"), answer(told)]


def test_resume_undoes_what_holds() -> None:
    """The pause of a turn, the stop of the thread, both, or nothing; never a turn that was stopped."""
    stopped = ThreadFacts(stopped_by="eve")
    let_go = ResumeTurn(key=f"{ACT}:resume", turn_id="0ca1", author="octocat")
    free = HoldThread(key=f"{ACT}:hold", by=None)

    paused = dispatch(said("@darner resume"), replace(at_work(paused_by="eve"), thread=stopped))
    ending = replace(at_work(stopping_by="eve", paused_by="eve"), thread=stopped)

    assert paused == [
        let_go,
        free,
        react(),
        answer("Turn `0ca1` goes on. What starts by itself may start here again."),
    ]
    assert dispatch(said("@darner resume"), ending) == [
        free,
        react(),
        answer(
            "What starts by itself may start here again. Turn `0ca1` was stopped and stays so; "
            "`@darner retry` goes on from where it ended."
        ),
    ]
    assert dispatch(said("@darner resume"), WRITER_VIEW) == [
        react("confused"),
        answer(comments_control.nothing_to_resume("darner")),
    ]


def test_resume_looks_at_what_has_failed_meanwhile() -> None:
    """Where failed checks are looked after, by comment and at the machine; not where nothing was held."""
    config = RepositoryConfig(ci=CiSettings(mode=CiMode.AUTO))
    view = replace(PULL_VIEW, config=config, thread=ThreadFacts(stopped_by="eve"))

    asked = dispatch(said("@darner resume", on=PULL), view)
    told = dispatch(OperatorAsked(key="cli/1", text="resume", start=start_on_issue()), view)
    off = dispatch(said("@darner resume", on=PULL), replace(view, config=RepositoryConfig()))
    free = dispatch(said("@darner resume", on=PULL), replace(view, thread=ThreadFacts()))

    assert [
        [(look.sha, look.after, look.asked) for look in effects if isinstance(look, LookAtChecks)]
        for effects in (asked, told, off, free)
    ] == [[(HEAD_SHA, 0.0, None)], [(HEAD_SHA, 0.0, None)], [], []]


def test_nothing_starts_by_itself_in_a_thread_that_is_held() -> None:
    assert starts_by_itself(ThreadFacts()) is None
    assert starts_by_itself(ThreadFacts(stopped_by="eve")) == reasons.STOPPED_HERE
    assert starts_by_itself(ThreadFacts(is_archived=True)) == reasons.ARCHIVED


def test_words_to_a_paused_turn_are_kept() -> None:
    effects = dispatch(said("@darner in blue"), at_work(paused_by="eve"))

    assert effects[-1] == PostComment(
        key="0ca1:steered:1::2026-11-22T12:00:paused",
        number=7,
        body=comments_control.kept_for_later("0ca1", "darner"),
        requester="octocat",
    )


def going_on(**fields: object) -> StartTurn:
    start = replace(
        start_on_issue(),
        key=f"{ACT}:turn",
        turn_id=started(dispatch(said("@darner retry"), retry_view())).turn_id,
        trigger=Trigger("issue_comment", 55, f"{HOST}/octo/calc/issues/7#issuecomment-55", NOON),
        progress_key=f"{ACT}:progress",
        continues="0ca1",
    )
    return replace(start, **fields)  # type: ignore[arg-type]


def started(effects: object) -> StartTurn:
    assert isinstance(effects, list)
    return next(effect for effect in effects if isinstance(effect, StartTurn))


def retry_view(target: Target = TARGET) -> View:
    return replace(WRITER_VIEW, turns=(FAILED,), target=target)


def test_retry_goes_on_from_a_turn_that_failed() -> None:
    """Pinned where it was, in the name of whoever asks now."""
    start = going_on()

    assert dispatch(said("@darner retry"), retry_view()) == [
        start,
        react("eyes"),
        PostComment(
            key=f"{ACT}:progress",
            number=7,
            body=comments.progress(Progress(phase="queued", start=start)),
            requester="octocat",
        ),
    ]
    assert start.turn_id != "0ca1"
    assert "Goes on from where turn `0ca1` ended." in comments.progress(
        Progress(phase="working", start=start)
    )


def test_retry_of_a_turn_that_pushed_goes_on_top_of_that() -> None:
    """On the same branch, with lease."""
    start = started(dispatch(said("@darner retry"), retry_view(replace(TARGET, landing=LANDED))))

    assert start == going_on(base_sha=NEW_SHA, onto="darner/7-0ca1")
    push = push_of(start, ("a.py",))
    assert (push.branch, push.parent, push.expected) == ("darner/7-0ca1", NEW_SHA, NEW_SHA)


def test_retry_on_a_branch_that_has_moved_says_what_becomes_of_it() -> None:
    view = replace(
        PULL_VIEW, turns=(FAILED,), target=Target(replace(start_on_pull(), base_sha=NEW_SHA), None)
    )

    effects = dispatch(said("@darner retry", on=PULL), view)

    start = started(effects)
    note = comments_control.moved_meanwhile("faster")
    assert start.base_sha == NEW_SHA
    assert effects[2:] == [
        PostComment(
            key=f"{ON_PULL}:progress",
            number=8,
            body=comments.progress(Progress(phase="queued", start=start, note=note)),
            requester="octocat",
        ),
        WriteCheckRun(
            key=f"{start.turn_id}:check:queued",
            external_id=start.turn_id,
            head_sha=NEW_SHA,
            status="queued",
            conclusion=None,
            title="Queued",
            summary=comments.check_summary(start, note),
            actions=(STOP_BUTTON,),
        ),
    ]


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (at_work(), comments_control.retry_at_work("0ca1", "darner")),
        (WRITER_VIEW, comments_control.nothing_to_retry("darner")),
        (
            retry_view(replace(TARGET, outcome=Completed("Done."))),
            comments_control.retry_of_done("0ca1", "darner"),
        ),
        (
            retry_view(replace(TARGET, start=replace(start_on_issue(), request=""))),
            comments_control.forgotten_turn("0ca1", "darner"),
        ),
        (
            retry_view(Target(replace(start_on_issue(), request=""), Completed("Done."))),
            comments_control.forgotten_turn("0ca1", "darner"),
        ),
    ],
    ids=["at work", "no turn", "done", "forgotten", "done and forgotten"],
)
def test_retry_says_why_not(view: View, told: str) -> None:
    assert dispatch(said("@darner retry"), view) == [react("confused"), answer(told)]


def test_fork_is_a_second_attempt_on_its_own_branch() -> None:
    """Also of a turn that is done, and also on a pull request, whose branch it leaves alone."""
    view = retry_view(replace(TARGET, outcome=Completed("Done."), landing=LANDED))
    on_pull = replace(PULL_VIEW, turns=(FAILED,), target=Target(start_on_pull(), Completed("Done.")))

    start = started(dispatch(said("@darner fork 0ca10ca10ca1 without the lock"), view))
    push = push_of(start, ("a.py",))
    second = push_of(started(dispatch(said("@darner fork", on=PULL), on_pull)), ("a.py",))

    assert start == going_on(follows="0ca1", words="without the lock")
    assert (push.branch, push.expected) == (f"darner/7-{start.turn_id}", None)
    assert second.branch.startswith("darner/8-")
    assert (second.parent, second.expected) == (HEAD_SHA, None)


def test_a_retry_of_a_fork_stays_on_its_line() -> None:
    start = started(dispatch(said("@darner retry"), retry_view(replace(TARGET, follows="beef"))))

    assert (start.continues, start.follows) == ("0ca1", "0ca1")


def test_undo_takes_back_a_landing() -> None:
    view = retry_view(replace(TARGET, landing=LANDED))

    assert dispatch(said("@darner undo"), view) == [
        UndoTurn(
            key=f"{ACT}:undo",
            turn_id="0ca1",
            number=7,
            branch="darner/7-0ca1",
            sha=NEW_SHA,
            parent=MAIN_SHA,
            message=(
                "Undo: Median of an even list is wrong\n\n"
                "Takes back what turn 0ca1 pushed in dddddddddddd.\n\n"
                "Requested in #7.\n\n"
                "Darner-Undo: 0ca1\n"
                "Co-authored-by: octocat <1+octocat@users.noreply.github.com>\n"
            ),
            requester="octocat",
        ),
        react("eyes"),
    ]


def test_undo_of_a_repair_that_began_by_itself_keeps_it_from_coming_back() -> None:
    """What it repaired fails again: without a word the next repair would begin."""
    task = CiTask(fingerprint="f1", attempt=1, of=3, excerpt="", jobs=(), by_itself=True)
    repair = replace(TARGET, landing=LANDED, start=replace(TARGET.start, ci=task))

    hold, undo, seen = dispatch(said("@darner undo"), retry_view(repair))

    assert hold == HoldThread(key=f"{ACT}:hold", by="octocat")
    assert isinstance(undo, UndoTurn)
    assert seen == react("eyes")
    ended = UndoEnded(undo=undo, result="done", sha=HEAD_SHA, detail="")
    [word] = dispatch(ended, replace(WRITER_VIEW, thread=ThreadFacts(stopped_by="octocat")))
    assert isinstance(word, PostComment)
    assert word.body.endswith("Nothing starts here by itself until `@darner resume`.")


@pytest.mark.parametrize(
    ("words", "view", "told"),
    [
        ("undo", WRITER_VIEW, comments_control.nothing_pushed("darner")),
        ("undo 0123456789ab", WRITER_VIEW, comments_control.no_such_turn("0123456789ab", "darner")),
        ("undo", retry_view(), comments_control.turn_pushed_nothing("0ca1")),
        (
            "undo",
            retry_view(replace(TARGET, landing=replace(LANDED, undone_by=HEAD_SHA))),
            comments_control.undone_before(replace(LANDED, undone_by=HEAD_SHA)),
        ),
        ("fork", WRITER_VIEW, comments_control.nothing_to_retry("darner")),
        ("fork 0123456789ab", WRITER_VIEW, comments_control.no_such_turn("0123456789ab", "darner")),
        ("fork", retry_view(replace(TARGET, outcome=None)), comments_control.not_ended("0ca1", "darner")),
        ("forget", at_work(), comments_control.forget_at_work("0ca1", "darner")),
        ("why", WRITER_VIEW, comments_control.nothing_known(None)),
    ],
)
def test_what_cannot_be_done_is_told_with_the_reason(words: str, view: View, told: str) -> None:
    assert dispatch(said(f"@darner {words}"), view) == [react("confused"), answer(told)]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("done", "is undone: `bbbbbbb` on `darner/7-0ca1` takes back `ddddddd`."),
        ("done_before", "is undone already, by `bbbbbbb`"),
        ("conflict", "later commits on `darner/7-0ca1` change the same lines, in `a.py`"),
        ("nothing_left", "Nothing of turn `0ca1` is left"),
        ("branch_gone", "is gone"),
        ("not_there", "is not on `darner/7-0ca1` any more"),
        ("merged", "is merged"),
        ("head_moved", "is being pushed to. Write `@darner undo 0ca1` again."),
        ("denied", "GitHub did not let me push"),
        ("branch_protected", "is protected"),
        ("unavailable", "Write `@darner undo 0ca1` to try again."),
    ],
)
def test_every_end_of_an_undo_has_its_sentence(result: str, told: str) -> None:
    [undo, _] = dispatch(said("@darner undo"), retry_view(replace(TARGET, landing=LANDED)))
    assert isinstance(undo, UndoTurn)
    event = UndoEnded(undo=undo, result="done", sha=HEAD_SHA, detail="a.py")
    event = replace(event, result=result)  # type: ignore[arg-type]

    [comment] = dispatch(event, WRITER_VIEW)

    assert isinstance(comment, PostComment)
    assert told in comment.body
    assert InternalEventAdapter.validate_json(InternalEventAdapter.dump_json(event)) == event


def test_forget_deletes_and_says_what() -> None:
    assert dispatch(said("@darner forget"), retry_view()) == [
        ForgetThread(key=f"{ACT}:forget"),
        react(),
        answer(comments_control.forgotten(1)),
    ]


def test_why_tells_one_decision() -> None:
    told = Account(
        who="octocat",
        what="issue_comment.created",
        at=0.0,
        text="@darner fix `it` | now",
        decision="handled",
        reason="Started turn 0ca1.",
        turn="0ca1",
        turn_state="failed",
        turn_cause="The model is away.",
    )

    effects = dispatch(said("@darner why"), replace(WRITER_VIEW, account=told))

    assert effects == [react(), answer(comments_control.account(told))]
    assert "Turn `0ca1`: failed. The model is away." in comments_control.account(told)


@pytest.mark.parametrize(
    "words", ["stop", "pause", "resume", "retry", "fork", "undo", "why", "forget", "policy", "status"]
)
def test_an_outsider_directs_nothing(words: str) -> None:
    """Quietly: a reaction. Readers whom the operator admits may ask, and still direct nothing."""
    view = replace(retry_view(replace(TARGET, landing=LANDED)), permission="read")

    effects = dispatch(said(f"@darner {words}", by=EVE), view)

    assert effects == [Ignore(key=f"{ACT}:ignore", reason=reasons.NEEDS_WRITE), react("confused")]


@pytest.mark.parametrize("words", ["stop", "pause", "forget", "why"])
def test_what_starts_nothing_counts_under_a_broken_file_too(words: str) -> None:
    view = replace(WRITER_VIEW, config_error="`enabeld` is not a setting.")
    off = replace(WRITER_VIEW, config=RepositoryConfig(enabled=False))

    told = dispatch(said(f"@darner {words}"), WRITER_VIEW)

    assert dispatch(said(f"@darner {words}"), view) == told
    assert dispatch(said(f"@darner {words}"), off) == told


def button(name: str, *, turn: str = "0ca1") -> ButtonPressed:
    return ButtonPressed(
        repository=REPOSITORY,
        actor=OCTOCAT,
        installation_id=5,
        app_slug="darner",
        check_run=9,
        external_id=turn,
        head_sha=HEAD_SHA,
        button=name,
    )


def test_a_button_is_the_command_it_stands_for() -> None:
    """There is no text to react to; the comment says who pressed."""
    stop, hold = dispatch(button("stop"), replace(at_work(), target=TARGET))
    start, progress = dispatch(button("rerequested"), retry_view())

    assert isinstance(stop, StopTurn)
    assert isinstance(hold, HoldThread)
    assert isinstance(start, StartTurn)
    assert (start.continues, start.requester) == ("0ca1", Requester(1, "octocat", "write"))
    assert isinstance(progress, PostComment)
    assert progress.body.startswith("Asked by octocat with a button. ")


def test_an_approve_button_answers_the_request_that_it_names() -> None:
    """No other one, and once."""
    asked = AskedRequest(
        "1a2b3c4d",
        "0ca1",
        "network",
        written(Wanted(("pypi.org",), 1)),
        "d" * 16,
        MAIN_SHA,
        "open",
        until=9e9,
    )
    view = replace(at_work(), target=TARGET, requests=(asked,))

    decision, comment = dispatch(button("approve 1a2b3c4d"), view)
    denied, _ = dispatch(button("deny 1a2b3c4d"), view)
    bot = replace(button("approve 1a2b3c4d"), actor=replace(OCTOCAT, kind="Bot"))
    listed = replace(view, bot=replace(view.bot, allowed_bots=frozenset({OCTOCAT.id})))
    [late] = dispatch(button("approve 1a2b3c4d"), replace(view, requests=(replace(asked, state="denied"),)))

    assert isinstance(decision, Decide)
    assert (decision.request_id, decision.state, decision.by.login) == ("1a2b3c4d", "approved", "octocat")
    assert isinstance(comment, PostComment)
    assert comment.body.startswith("Asked by octocat with a button. ")
    assert isinstance(late, PostComment)
    assert isinstance(denied, Decide)
    assert (denied.request_id, denied.state) == ("1a2b3c4d", "denied")
    assert [effect.type for effect in dispatch(bot, listed)] == ["ignore"]


@pytest.mark.parametrize(
    ("event", "view", "reason"),
    [
        (replace(button("stop"), app_slug="other"), retry_view(), reasons.NOT_OUR_CHECK),
        (button("stop"), WRITER_VIEW, reasons.NOT_OUR_CHECK),
        (button("lgtm"), retry_view(), reasons.UNKNOWN_BUTTON),
        (button("retry"), replace(retry_view(), permission="read"), reasons.NEEDS_WRITE),
    ],
    ids=["another App's", "unknown turn", "unknown button", "may not write"],
)
def test_other_buttons_are_ignored(event: ButtonPressed, view: View, reason: str) -> None:
    [ignored] = dispatch(event, view)

    assert isinstance(ignored, Ignore)
    assert ignored.reason == reason


def test_a_button_of_an_earlier_turn_says_so() -> None:
    [late] = dispatch(button("stop"), retry_view())
    [old] = dispatch(button("retry", turn="beef"), retry_view())

    assert isinstance(late, PostComment)
    assert late.body.endswith("Turn `0ca1` has ended already; nothing was stopped.")
    assert isinstance(old, PostComment)
    assert old.body.endswith(comments_control.not_the_last("beef", "0ca1"))


def test_the_operator_directs_in_the_requesters_name() -> None:
    event = OperatorAsked(key="cli/1", text="retry", start=start_on_issue())

    start, progress = dispatch(event, retry_view())

    assert isinstance(start, StartTurn)
    assert start.requester == start_on_issue().requester
    assert isinstance(progress, PostComment)
    assert progress.body.startswith("Asked by the operator. ")


def test_which_turn_a_command_means() -> None:
    turns = (replace(FAILED, id="aaaa"), replace(FAILED, id="bbbb", outcome=Stopped("eve")), RUNNING)
    undone = Landing("bbbb", "b", NEW_SHA, MAIN_SHA, undone_by=HEAD_SHA)
    landings = (Landing("aaaa", "a", NEW_SHA, MAIN_SHA), undone)

    assert turn_meant(Retry(), turns, landings) == "bbbb"
    assert turn_meant(Fork(), turns, landings) == "bbbb"
    assert turn_meant(Fork("aaaa"), turns, landings) == "aaaa"
    assert turn_meant(Fork("cccc"), turns, landings) is None
    assert turn_meant(Undo(), turns, landings) == "aaaa"
    assert turn_meant(Undo(), turns, (undone,)) == "bbbb"
    assert turn_meant(Pause(), turns, landings) is None


def test_status_tells_what_holds_and_what_waits() -> None:
    view = replace(at_work(paused_by="eve"), thread=ThreadFacts(stopped_by="octocat"))

    [_, comment] = dispatch(said("@darner status"), view)

    assert isinstance(comment, PostComment)
    assert "⏸ Turn `0ca1` is paused by eve; `@darner resume` lets it go on." in comment.body
    assert "🛑 Stopped by octocat: nothing starts here by itself until `@darner resume`." in comment.body


def test_help_shows_what_one_may_use() -> None:
    assert "`@darner undo [turn]`" in comments.help_text("darner")
    assert "undo" not in comments.help_text("darner", is_writer=False)
