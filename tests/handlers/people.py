"""The people, places and events that the handler stories are about."""

from dataclasses import replace
from typing import Final

from handlers.effects import Requester, StartTurn, Trigger
from handlers.events import (
    Actor,
    Comment,
    IssueCommented,
    ProposedChange,
    Repository,
    ReviewCommented,
    Subject,
    SubjectOpened,
    TurnEnded,
)
from handlers.view import Bot, Branch, PullFacts, View
from harness.items import Completed, Outcome, Usage
from sandbox.base import SandboxMode

OCTOCAT: Final = Actor(1, "octocat", "User")
EVE: Final = Actor(666, "eve", "User")
DEPENDABOT: Final = Actor(49699333, "dependabot[bot]", "Bot")
DARNER: Final = Bot(id=99, login="darner[bot]", mention="darner")
REPOSITORY: Final = Repository(42, "octo/calc", "main", private=False)
PRIVATE: Final = replace(REPOSITORY, private=True)
HOST: Final = "http://forge.test:8080"
MAIN_SHA: Final = "a" * 40
HEAD_SHA: Final = "b" * 40
BASE_SHA: Final = "c" * 40
NEW_SHA: Final = "d" * 40
NOON: Final = "2026-11-22T12:00:00Z"

ISSUE: Final = Subject(
    number=7,
    is_pull=False,
    title="Median of an even list is wrong",
    body="`median([1, 2, 3, 4])` gives 3.",
    author=EVE,
    url=f"{HOST}/octo/calc/issues/7",
    is_open=True,
)
PULL: Final = replace(
    ISSUE, number=8, is_pull=True, title="Faster median", url=f"{HOST}/octo/calc/pull/8", body="Faster."
)
OWN_PULL: Final = PullFacts(
    head=Branch("faster", HEAD_SHA),
    base=Branch("main", BASE_SHA),
    is_fork=False,
)
FORK_PULL: Final = replace(OWN_PULL, is_fork=True)
WRITER_VIEW: Final = View(bot=DARNER, permission="write", default_branch=Branch("main", MAIN_SHA))
PULL_VIEW: Final = replace(WRITER_VIEW, pull=OWN_PULL)


def comment_by(actor: Actor, body: str) -> Comment:
    return Comment(55, body, actor, f"{ISSUE.url}#issuecomment-55", NOON, NOON)


def said(
    body: str, *, by: Actor = OCTOCAT, on: Subject = ISSUE, edited_from: str | None = None
) -> IssueCommented:
    return IssueCommented(
        repository=REPOSITORY,
        actor=by,
        installation_id=5,
        subject=on,
        comment=comment_by(by, body),
        edited_from=edited_from,
    )


def opened(body: str, *, by: Actor = OCTOCAT) -> SubjectOpened:
    return SubjectOpened(
        repository=REPOSITORY,
        actor=by,
        installation_id=5,
        subject=replace(ISSUE, body=body, author=by),
        updated_at=NOON,
    )


def reviewed(body: str, *, by: Actor = OCTOCAT) -> ReviewCommented:
    return ReviewCommented(
        repository=REPOSITORY,
        actor=by,
        installation_id=5,
        subject=PULL,
        comment=comment_by(by, body),
        path="calc/median.py",
        line=3,
        diff_hunk="@@ -1,3 +1,3 @@\n-a\n+b",
        thread_root=44,
    )


def start_on_issue() -> StartTurn:
    return StartTurn(
        key="42/7/issue_comment/55/created/2026-11-22T12:00:00Z:turn",
        turn_id="0ca1",
        repository_id=42,
        repository="octo/calc",
        installation_id=5,
        number=7,
        is_pull=False,
        title=ISSUE.title,
        request="fix the failing test",
        requester=Requester(1, "octocat", "write"),
        trigger=Trigger("issue_comment", 55, f"{ISSUE.url}#issuecomment-55", NOON),
        mode=SandboxMode.WORKSPACE_WRITE,
        base_ref="main",
        base_sha=MAIN_SHA,
        instructions_sha=MAIN_SHA,
        config_sha=MAIN_SHA,
        progress_key="42/7:progress",
        subject_body=ISSUE.body,
    )


def start_on_pull() -> StartTurn:
    return replace(
        start_on_issue(),
        number=8,
        is_pull=True,
        title=PULL.title,
        base_ref="faster",
        base_sha=HEAD_SHA,
        instructions_sha=BASE_SHA,
        progress_key="42/8:progress",
        subject_body=PULL.body,
    )


COMPLETED: Final = Completed("The middle was off by one.")
FIX: Final = ProposedChange("calc/median.py", "update", "100644", 120, added_lines=2, removed_lines=1)
WORKFLOW: Final = ProposedChange(".github/workflows/ci.yml", "update", "100644", 80)


def ended(start: StartTurn, *changes: ProposedChange, outcome: Outcome = COMPLETED) -> TurnEnded:
    return TurnEnded(
        start=start,
        outcome=outcome,
        usage=Usage(input_tokens=1000, output_tokens=234),
        steps=3,
        seconds=42.0,
        changes=changes,
        protected_patch="--- a/.github/workflows/ci.yml\n+++ b/.github/workflows/ci.yml\n+x\n",
        commands_run=("pytest -q → passed",),
    )
