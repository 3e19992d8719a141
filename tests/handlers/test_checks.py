"""What is done about checks: events and facts in, effects out."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest

from handlers import comments_ci, reasons
from handlers.ci.attempts import Attempt, Limits
from handlers.ci.excerpt import FailedJob
from handlers.ci.facts import CiFacts, CiMemory, FailedRun, Tried
from handlers.ci.failures import Failure, JobLog, fingerprint_of
from handlers.ci.settings import CiMode, CiSettings
from handlers.ci.settled import Check, Settled, Superseded, Unsettled
from handlers.dispatch import dispatch
from handlers.effects import (
    CiAsked,
    EditComment,
    Effect,
    Ignore,
    LookAtChecks,
    NoteChecks,
    PostComment,
    Requester,
    RerunJobs,
    StartTurn,
    Trigger,
    WriteCheckRun,
)
from handlers.events import CheckReported, ChecksDue
from handlers.ingest import triage
from handlers.on_checks import is_request, may_act
from handlers.view import RepositoryConfig, ThreadFacts, TurnBrief, View
from handlers.wishes import Ceiling
from harness.budget import Allowance
from tests.handlers.people import DARNER, FORK_PULL, HEAD_SHA, NOON, OCTOCAT, PULL, PULL_VIEW, REPOSITORY

AUTO: Final = RepositoryConfig(ci=CiSettings(mode=CiMode.AUTO))
OFFER: Final = RepositoryConfig(ci=CiSettings(mode=CiMode.OFFER))
FAILURE: Final = Failure(
    tool="pytest", kind="test", test="tests/test_rows.py::test_row", message="assert 1 == 2"
)
FINGERPRINT: Final = fingerprint_of([FAILURE])
TEST: Final = "pytest: tests/test_rows.py::test_row"
JOB: Final = FailedJob("test", JobLog(failures=(FAILURE,)), None)
SETTLED: Final = Settled(
    (Check(source="check_run", id=3, name="test", head=HEAD_SHA, status="completed", conclusion="failure"),)
)
FACTS: Final = CiFacts(
    is_open=True,
    title="Faster median",
    url=PULL.url,
    verdict=SETTLED,
    jobs=(JOB,),
    job_ids=(9,),
    runs=(FailedRun(5, 1),),
    conclusions=("failure",),
    now=NOON,
)
DUE: Final = ChecksDue(
    repository_id=42, repository="octo/calc", installation_id=None, number=8, branch="", sha=HEAD_SHA
)
REPORTED: Final = CheckReported(
    repository=REPOSITORY,
    actor=OCTOCAT,
    installation_id=None,
    source="check_run",
    id=3,
    name="test",
    app_slug="github-actions",
    sha=HEAD_SHA,
    branch="faster",
    conclusion="failure",
    number=8,
    at=NOON,
)
ASKED: Final = CiAsked(
    "42/8/asked", Requester(1, "octocat", "write"), Trigger("issue_comment", 55, PULL.url, NOON)
)
SPENT: Final = Allowance(scope="repository", unit="tokens", used=10, allowed=10)


def view(config: RepositoryConfig = AUTO, facts: CiFacts | None = FACTS) -> View:
    return replace(PULL_VIEW, config=config, permission="none", ci=facts)


def remembering(**members: object) -> CiFacts:
    return replace(FACTS, memory=replace(CiMemory(), **members))  # type: ignore[arg-type]


def tried(turn: str, *, left: str | None = None, money: float = 0.0) -> Tried:
    return Tried(FINGERPRINT, Attempt(turn, f"I tried {turn}.", left), money, 60.0, is_over=True)


def said(effects: list[Effect]) -> list[str]:
    return [effect.body for effect in effects if isinstance(effect, PostComment)]


def ignored(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, Ignore)]


def started(effects: list[Effect]) -> list[StartTurn]:
    return [effect for effect in effects if isinstance(effect, StartTurn)]


def test_a_failed_check_is_looked_at_when_nothing_more_is_heard() -> None:
    assert dispatch(REPORTED, view()) == [
        LookAtChecks(
            key=f"42/ci/{HEAD_SHA}/check_run/3/{NOON}:look", number=8, branch="", sha=HEAD_SHA, after=60.0
        )
    ]


@pytest.mark.parametrize(
    ("event", "config", "thread", "why"),
    [
        (REPORTED, RepositoryConfig(), ThreadFacts(), reasons.CI_OFF),
        (REPORTED, replace(AUTO, enabled=False), ThreadFacts(), reasons.CI_OFF),
        (
            REPORTED,
            RepositoryConfig(ci=CiSettings(mode=CiMode.AUTO, ignored_checks=("te*",))),
            ThreadFacts(),
            reasons.CI_NOT_THIS_CHECK,
        ),
        (replace(REPORTED, number=None), AUTO, ThreadFacts(), reasons.CI_NO_PULL),
        (REPORTED, AUTO, ThreadFacts(stopped_by="octocat"), reasons.STOPPED_HERE),
    ],
)
def test_every_no_has_its_reason(
    event: CheckReported, config: RepositoryConfig, thread: ThreadFacts, why: str
) -> None:
    assert ignored(dispatch(event, replace(view(config), thread=thread))) == [why]


def test_our_own_check_is_set_aside_at_once() -> None:
    aside = triage(replace(REPORTED, app_slug="darner"), DARNER)

    assert aside is not None
    assert aside.reason == reasons.OWN_CHECK


def test_the_operators_word_is_the_most_that_is_done() -> None:
    bot = replace(DARNER, ceiling=Ceiling(ci_repair=CiMode.OFFER))

    effects = dispatch(DUE, replace(view(), bot=bot))

    assert started(effects) == []
    assert said(effects)[0].startswith("🔧 **Checks fail**")


def test_a_branch_is_looked_at_where_the_settings_name_it() -> None:
    config = RepositoryConfig(ci=CiSettings(mode=CiMode.AUTO, branches=("main",)))
    [look] = dispatch(replace(REPORTED, number=None, branch="main"), view(config))

    assert isinstance(look, LookAtChecks)
    assert (look.number, look.branch) == (0, "main")


def test_unsettled_checks_are_looked_at_later_and_old_heads_never() -> None:
    soon = Unsettled(("slow",), datetime(2026, 11, 22, 12, 1, tzinfo=UTC))

    [look] = dispatch(DUE, view(facts=replace(FACTS, verdict=soon)))
    old = dispatch(DUE, view(facts=replace(FACTS, verdict=Superseded("f" * 40))))

    assert isinstance(look, LookAtChecks)
    assert (look.after, look.round) == (60.0, 1)
    assert ignored(old) == [reasons.CI_MOVED_ON]


def test_a_repair_starts_once_for_a_head_and_failure() -> None:
    [start] = started(dispatch(DUE, view()))
    again = replace(view(), turns=(TurnBrief(start.turn_id, "ended", 1.0),))

    assert start.ci is not None
    assert (start.ci.attempt, start.ci.of, start.ci.by_itself, start.requester.login) == (
        1,
        3,
        True,
        "darner[bot]",
    )
    assert ignored(dispatch(DUE, again)) == [reasons.CI_TRIED]


def test_a_fork_is_not_worked_on_unasked() -> None:
    fork = replace(view(), pull=FORK_PULL)

    assert started(dispatch(DUE, fork)) == []
    asked = dispatch(replace(DUE, asked=ASKED), replace(fork, permission="write"))
    assert [start.is_fork for start in started(asked)] == [True]


def test_a_spent_budget_starts_nothing_and_is_said() -> None:
    effects = dispatch(DUE, replace(view(), allowances=(SPENT,)))

    assert started(effects) == []
    assert ignored(effects) == [reasons.BUDGET_SPENT]


@pytest.mark.parametrize(
    ("attempts", "limits", "why"),
    [
        ((tried("a"), tried("b"), tried("c")), Limits(), "3 repairs were tried, which is the limit"),
        ((tried("a", left=FINGERPRINT),), Limits(), "The same failure came back unchanged"),
        ((tried("a", money=2.0),), Limits(money=1.5), "2.00 in money are spent on this failure"),
    ],
)
def test_a_person_is_called_once_with_what_was_tried(
    attempts: tuple[Tried, ...], limits: Limits, why: str
) -> None:
    config = RepositoryConfig(ci=CiSettings(mode=CiMode.AUTO, limits=limits))

    effects = dispatch(DUE, view(config, remembering(tried=attempts)))
    later = dispatch(DUE, view(config, remembering(tried=attempts, called=frozenset({FINGERPRINT}))))

    assert started(effects) == []
    [called] = said(effects)
    assert why in called
    assert "Turn `a`: I tried a." in called
    assert [note.calls_person for note in effects if isinstance(note, NoteChecks)] == [True]
    assert said(later) == []


def test_jobs_run_again_once_a_head() -> None:
    lost = JobLog(failures=(), complaints=("The runner has received a shutdown signal",))
    facts = replace(FACTS, jobs=(FailedJob("test", lost, None),))

    first = dispatch(DUE, view(facts=facts))
    known = replace(facts, memory=CiMemory(fingerprint="x", reruns=1))
    second = dispatch(DUE, view(facts=known))

    assert [effect.run for effect in first if isinstance(effect, RerunJobs)] == [5]
    assert not [effect for effect in second if isinstance(effect, RerunJobs)]
    assert not started(second)


def test_what_passes_on_the_same_commit_is_a_flake() -> None:
    passed = replace(remembering(fingerprint=FINGERPRINT, tests=(TEST,), has_comment=True), jobs=())

    effects = dispatch(DUE, view(facts=passed))

    assert [note.flaked for note in effects if isinstance(note, NoteChecks)] == [(TEST,)]
    [edit] = [effect for effect in effects if isinstance(effect, EditComment)]
    assert edit.body.startswith("✅ All checks pass")


def test_a_conversation_has_one_comment_about_checks() -> None:
    effects = dispatch(DUE, view(OFFER, remembering(has_comment=True)))

    assert said(effects) == []
    assert [effect.posted_key for effect in effects if isinstance(effect, EditComment)] == ["ci/42-8:comment"]


def test_the_comment_says_again_what_it_said_of_this_head_before() -> None:
    failing, passing = remembering(has_comment=True), replace(remembering(has_comment=True), jobs=())
    looks = [failing, passing, failing]

    edits = [
        effect
        for minute, facts in enumerate(looks)
        for effect in dispatch(DUE, view(OFFER, replace(facts, now=f"2026-11-22T10:0{minute}:00Z")))
        if isinstance(effect, EditComment)
    ]

    assert [edit.body[:1] for edit in edits] == ["🔧", "✅", "🔧"]
    assert len({edit.key for edit in edits}) == 3


def test_while_a_turn_works_nobody_reads_what_failed() -> None:
    """Such a look is repeated every minute, and a log may have many megabytes."""
    at_work = replace(view(facts=replace(FACTS, jobs=())), turns=(TurnBrief("a", "running", 1.0),))

    assert not may_act(DUE, at_work)
    assert [(type(effect), getattr(effect, "after", None)) for effect in dispatch(DUE, at_work)] == [
        (LookAtChecks, 60.0)
    ]
    assert may_act(DUE, view())
    assert may_act(replace(DUE, asked=ASKED), at_work)
    assert not may_act(DUE, view(RepositoryConfig()))
    assert not may_act(DUE, replace(view(), thread=ThreadFacts(stopped_by="maya")))


def test_what_was_asked_for_is_still_wanted_when_the_checks_have_ended() -> None:
    """A `stop`, or a right that is lost, while CI runs: no turn begins."""
    due, writer = replace(DUE, asked=ASKED), replace(view(), permission="write")
    stopped = replace(writer, thread=ThreadFacts(stopped_by="maya"))
    despite = replace(due, asked=replace(ASKED, was_stopped=True))

    assert len(started(dispatch(due, writer))) == 1
    assert ignored(dispatch(due, stopped)) == [reasons.STOPPED_HERE]
    assert len(started(dispatch(despite, stopped))) == 1
    assert ignored(dispatch(due, replace(writer, permission="read"))) == [reasons.NEEDS_WRITE]
    disabled = replace(writer, config=RepositoryConfig(enabled=False))
    assert ignored(dispatch(due, disabled)) == [reasons.DISABLED]


def test_a_branch_may_have_backticks_in_its_name() -> None:
    told = comments_ci.same_on_base([JOB], sha=HEAD_SHA, base="a`b`c", mention="darner")

    assert told.startswith("🔁 **Checks fail on ``a`b`c`` too**")


def test_of_a_branch_a_person_is_told_on_its_commit() -> None:
    due = replace(DUE, number=0, branch="main")
    facts = replace(remembering(tried=(tried("a", left=FINGERPRINT),)))

    effects = dispatch(due, replace(view(facts=facts), pull=None))

    assert said(effects) == []
    [told] = [effect for effect in effects if isinstance(effect, WriteCheckRun)]
    assert told.head_sha == HEAD_SHA
    assert "The same failure came back unchanged" in told.summary


@pytest.mark.parametrize(
    ("words", "is_one"),
    [
        ("fix ci", True),
        ("Please fix the failing checks.", True),
        ("repair the CI", True),
        ("fix ci on the release branch", False),
        ("fix the failing test", False),
    ],
)
def test_which_words_ask_for_it(words: str, *, is_one: bool) -> None:
    assert is_request(words) is is_one
