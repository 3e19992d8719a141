"""Check runs, suites and annotations as GitHub writes them."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from demo.forge.git import Git
from demo.forge.shapes.accounts import Json, app_by_id, node_id, stamp
from demo.forge.shapes.pulls import pull_minimal
from demo.forge.shapes.repositories import html_url, simple_commit, simple_repository, url
from demo.forge.state import Annotation, CheckRun, CheckSuite, Issue, Repository, State


def pulls_at(state: State, repo: Repository, *, sha: str) -> list[Json]:
    """The open pull requests of this repository's own branches with this head; none for forks."""
    return [
        pull_minimal(state, repo, of=issue)
        for issue in state.where(Issue, repo_id=repo.id, state="open")
        if issue.pull and issue.pull.head_sha == sha and issue.pull.head_repo_id == repo.id
    ]


def check_run(state: State, repo: Repository, *, of: CheckRun) -> Json:
    here = f"{url(state, repo)}/check-runs/{of.id}"
    page = f"{html_url(state, repo)}/runs/{of.id}"
    return {
        "id": of.id,
        "name": of.name,
        "node_id": node_id("CheckRun", of.id),
        "head_sha": of.head_sha,
        "external_id": of.external_id,
        "url": here,
        "html_url": page,
        "details_url": of.details_url or page,
        "status": of.status,
        "conclusion": of.conclusion,
        "started_at": stamp(of.started_at),
        "completed_at": stamp(of.completed_at),
        "output": {
            "title": of.title,
            "summary": of.summary,
            "text": of.text,
            "annotations_count": len(of.annotations),
            "annotations_url": f"{here}/annotations",
        },
        "check_suite": {"id": of.suite_id},
        "app": app_by_id(state, of.app_id),
        "pull_requests": pulls_at(state, repo, sha=of.head_sha),
    }


def webhook_check_run(state: State, repo: Repository, *, of: CheckRun) -> Json:
    """As in webhooks: with more of its suite."""
    suite = state.get(CheckSuite, of.suite_id)
    return check_run(state, repo, of=of) | {
        "check_suite": {
            "id": suite.id,
            "node_id": node_id("CheckSuite", suite.id),
            "head_branch": suite.head_branch,
            "head_sha": suite.head_sha,
            "status": suite_status(state, suite),
            "conclusion": suite_conclusion(state, suite),
            "url": f"{url(state, repo)}/check-suites/{suite.id}",
            "before": suite.before,
            "after": suite.head_sha,
            "pull_requests": pulls_at(state, repo, sha=suite.head_sha),
            "app": app_by_id(state, suite.app_id),
            "created_at": stamp(suite.created_at),
            "updated_at": stamp(suite.updated_at),
        }
    }


def annotation(state: State, repo: Repository, *, sha: str, of: Annotation) -> Json:
    return {
        "path": of.path,
        "blob_href": f"{html_url(state, repo)}/blob/{sha}/{quote(of.path)}",
        "start_line": of.start_line,
        "start_column": of.start_column,
        "end_line": of.end_line,
        "end_column": of.end_column,
        "annotation_level": of.level,
        "title": of.title,
        "message": of.message,
        "raw_details": of.raw_details,
    }


def status_of(runs: Iterable[CheckRun]) -> str:
    """Of what these check runs belong to: a suite, a workflow run."""
    statuses = {run.status for run in runs}
    if statuses <= {"queued"}:
        return "queued"
    return "completed" if statuses == {"completed"} else "in_progress"


def suite_status(state: State, suite: CheckSuite) -> str:
    return status_of(state.where(CheckRun, suite_id=suite.id))


# The worst conclusion of the runs is the suite's.
_WORST_FIRST = ("failure", "timed_out", "cancelled", "action_required", "success", "neutral", "skipped")


def suite_conclusion(state: State, suite: CheckSuite) -> str | None:
    if suite_status(state, suite) != "completed":
        return None
    found = {run.conclusion for run in state.where(CheckRun, suite_id=suite.id)}
    return next((conclusion for conclusion in _WORST_FIRST if conclusion in found), "neutral")


def webhook_check_suite(state: State, repo: Repository, *, of: CheckSuite) -> Json:
    """As in webhooks: without the repository, which stands beside it."""
    return _suite(state, repo, of=of)


def check_suite(state: State, repo: Repository, *, of: CheckSuite) -> Json:
    return _suite(state, repo, of=of) | {"repository": simple_repository(state, repo)}


def _suite(state: State, repo: Repository, *, of: CheckSuite) -> Json:
    here = f"{url(state, repo)}/check-suites/{of.id}"
    head = Git(state.git_dir(repo)).commit(of.head_sha)
    return {
        "id": of.id,
        "node_id": node_id("CheckSuite", of.id),
        "head_branch": of.head_branch,
        "head_sha": of.head_sha,
        "status": suite_status(state, of),
        "conclusion": suite_conclusion(state, of),
        "url": here,
        "before": of.before,
        "after": of.head_sha,
        "pull_requests": pulls_at(state, repo, sha=of.head_sha),
        "app": app_by_id(state, of.app_id),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "latest_check_runs_count": sum(1 for _ in state.where(CheckRun, suite_id=of.id)),
        "check_runs_url": f"{here}/check-runs",
        "head_commit": simple_commit(head),
    }
