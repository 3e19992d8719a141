"""What Apps do with check runs, and what people do with their buttons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from demo.forge import shapes
from demo.forge.actions.actor import CHECKS_WRITE, Actor
from demo.forge.announce import announce
from demo.forge.git import Git
from demo.forge.refusals import Refused, invalid, no_commit, not_accessible
from demo.forge.state import (
    Annotation,
    CheckAction,
    CheckRun,
    CheckStatus,
    CheckSuite,
    Repository,
)

# https://docs.github.com/en/rest/checks/runs#create-a-check-run
MOST_ANNOTATIONS = 50
MOST_ACTIONS = 3
LONGEST_TEXT = 65_535
CONCLUSIONS = frozenset(
    {
        "action_required",
        "cancelled",
        "failure",
        "neutral",
        "success",
        "skipped",
        "stale",
        "timed_out",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a request says of a run; None leaves the member as it is."""

    name: str | None = None
    details_url: str | None = None
    external_id: str | None = None
    status: CheckStatus | None = None
    conclusion: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: Sequence[Annotation] = ()
    actions: Sequence[CheckAction] | None = None


def create_check_run(
    actor: Actor, repo: Repository, *, head_sha: str, report: Report, suite_id: int | None = None
) -> CheckRun:
    """In the App's suite for the commit, unless another of its suites is named."""
    state = actor.state
    with state.lock:
        app_id = _require_app(actor, repo)
        git = Git(state.git_dir(repo))
        if not git.has(head_sha):
            raise no_commit(head_sha)
        _check(report)
        named = state.find(CheckSuite, suite_id)
        suite = named or _suite(actor, repo, app_id=app_id, head_sha=head_sha)
        run = CheckRun(
            id=state.next_id(),
            repo_id=repo.id,
            suite_id=suite.id,
            app_id=app_id,
            name=report.name or "",
            head_sha=head_sha,
            started_at=state.clock(),
        )
        run = state.put(_reported(actor, run, report))
        _tell(actor, repo, run=run, action="created")
        if run.status == "completed":
            _tell(actor, repo, run=run, action="completed")
        return run


def update_check_run(actor: Actor, run: CheckRun, *, report: Report) -> CheckRun:
    """Change a run of one's own; annotations are added to those it has."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, run.repo_id)
        if _require_app(actor, repo) != run.app_id:
            sentence = (
                f"Invalid app_id `{actor.viewer.app_id}` - check run can only be modified by the GitHub App "
                "that created it."
            )
            raise Refused(403, sentence)
        _check(report)
        was_completed = run.status == "completed"
        run = state.put(_reported(actor, run, report))
        if run.status == "completed" and not was_completed:
            _tell(actor, repo, run=run, action="completed")
        return run


def rerequest(actor: Actor, run: CheckRun) -> None:
    """The "Re-run" button: the App that owns the run is told."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, run.repo_id)
        actor.require(repo, needs=CHECKS_WRITE, role="write")
        members = {"check_run": shapes.webhook_check_run(state, repo, of=run)}
        announce(
            actor, repo, event="check_run", action="rerequested", members=members, only_app_id=run.app_id
        )


def request_action(actor: Actor, run: CheckRun, *, identifier: str) -> None:
    """One of the run's own buttons."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, run.repo_id)
        actor.require(repo, needs=CHECKS_WRITE, role="write")
        if identifier not in {action.identifier for action in run.actions}:
            raise invalid("CheckRun", "invalid", field="requested_action", value=identifier)
        announce(
            actor,
            repo,
            event="check_run",
            action="requested_action",
            members={
                "check_run": shapes.webhook_check_run(state, repo, of=run),
                "requested_action": {"identifier": identifier},
            },
            only_app_id=run.app_id,
        )


def _require_app(actor: Actor, repo: Repository) -> int:
    actor.require(repo, needs=CHECKS_WRITE)
    if actor.viewer.app_id is None:
        raise Refused(403, "You must authenticate via a GitHub App.")
    if not actor.may(repo, needs=CHECKS_WRITE, role="write"):
        raise not_accessible()
    return actor.viewer.app_id


def _check(report: Report) -> None:
    if len(report.annotations) > MOST_ANNOTATIONS:
        raise Refused(
            422,
            f"Invalid request.\n\nNo more than {MOST_ANNOTATIONS} items are allowed; "
            f"{len(report.annotations)} were supplied.",
        )
    if report.actions is not None and len(report.actions) > MOST_ACTIONS:
        raise Refused(
            422,
            f"Invalid request.\n\nNo more than {MOST_ACTIONS} items are allowed; "
            f"{len(report.actions)} were supplied.",
        )
    for action in report.actions or ():
        for name, text, most in (
            ("label", action.label, 20),
            ("description", action.description, 40),
            ("identifier", action.identifier, 20),
        ):
            if len(text) > most:
                raise Refused(422, f"Invalid request.\n\nOnly {most} characters are allowed for {name}.")
    for name, long in (("summary", report.summary), ("text", report.text)):
        if long is not None and len(long.encode()) > LONGEST_TEXT:
            message = f"{name} exceeds a maximum bytesize of {LONGEST_TEXT}"
            raise invalid("CheckRun", "invalid", field=name, message=message)
    if report.conclusion is not None and report.conclusion not in CONCLUSIONS:
        raise invalid("CheckRun", "invalid", field="conclusion", value=report.conclusion)
    if report.status == "completed" and report.conclusion is None:
        raise invalid("CheckRun", "missing_field", field="conclusion")


def _reported(actor: Actor, run: CheckRun, report: Report) -> CheckRun:
    # A conclusion completes the run, whatever status is given with it.
    status = "completed" if report.conclusion is not None else report.status or run.status
    now = actor.state.clock()
    restarted = status != "completed"
    return replace(
        run,
        name=report.name or run.name,
        details_url=report.details_url or run.details_url,
        external_id=report.external_id if report.external_id is not None else run.external_id,
        status=status,
        conclusion=None if restarted else report.conclusion or run.conclusion,
        started_at=report.started_at or run.started_at,
        completed_at=None if restarted else report.completed_at or run.completed_at or now,
        title=report.title if report.title is not None else run.title,
        summary=report.summary if report.summary is not None else run.summary,
        text=report.text if report.text is not None else run.text,
        annotations=(*run.annotations, *report.annotations),
        actions=tuple(report.actions) if report.actions is not None else run.actions,
    )


def _suite(actor: Actor, repo: Repository, *, app_id: int, head_sha: str) -> CheckSuite:
    """The App's suite for this commit, made with its first run."""
    state = actor.state
    now = state.clock()
    for suite in state.where(CheckSuite, repo_id=repo.id, app_id=app_id, head_sha=head_sha):
        return suite
    heads = Git(state.git_dir(repo)).refs("refs/heads")
    branch = next((name.removeprefix("refs/heads/") for name, sha in heads.items() if sha == head_sha), None)
    return state.put(
        CheckSuite(
            id=state.next_id(),
            repo_id=repo.id,
            app_id=app_id,
            head_sha=head_sha,
            head_branch=branch,
            created_at=now,
            updated_at=now,
        )
    )


def _tell(actor: Actor, repo: Repository, *, run: CheckRun, action: str) -> None:
    members = {"check_run": shapes.webhook_check_run(actor.state, repo, of=run)}
    announce(actor, repo, event="check_run", action=action, members=members)
