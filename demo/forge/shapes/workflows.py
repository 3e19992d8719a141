"""Workflow runs, their jobs, and commit statuses as GitHub writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from demo.forge.git import Git
from demo.forge.shapes.accounts import Json, node_id, stamp, user_by_id
from demo.forge.shapes.checks import pulls_at, status_of
from demo.forge.shapes.repositories import (
    commit,
    html_url,
    short_branch,
    simple_commit,
    simple_repository,
    url,
)
from demo.forge.state import (
    Artifact,
    CheckRun,
    CommitStatus,
    Repository,
    State,
    WorkflowJob,
    WorkflowRun,
)


def workflow_id(run: WorkflowRun) -> int:
    """A workflow is a file: its number is made of the repository's and the path."""
    return run.repo_id * 1000 + sum(run.path.encode()) % 1000


def workflow(state: State, repo: Repository, *, of: WorkflowRun) -> Json:
    here = f"{url(state, repo)}/actions/workflows/{workflow_id(of)}"
    web = html_url(state, repo)
    return {
        "id": workflow_id(of),
        "node_id": node_id("Workflow", workflow_id(of)),
        "name": of.name,
        "path": of.path,
        "state": "active",
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.created_at),
        "url": here,
        "html_url": f"{web}/blob/{repo.default_branch}/{of.path}",
        "badge_url": f"{web}/workflows/{quote(of.name)}/badge.svg",
    }


def workflow_status(state: State, run: WorkflowRun) -> str:
    return status_of(_shown(state, run))


# The worst conclusion of the jobs is the run's.
_WORST_FIRST = ("failure", "timed_out", "cancelled", "success", "skipped")


def workflow_conclusion(state: State, run: WorkflowRun) -> str | None:
    if workflow_status(state, run) != "completed":
        return None
    found = {shown.conclusion for shown in _shown(state, run)}
    return next((conclusion for conclusion in _WORST_FIRST if conclusion in found), "success")


def _shown(state: State, run: WorkflowRun) -> list[CheckRun]:
    """The check runs of the newest attempt: those run again, and those that were taken over."""
    newest = {job.name: job for job in state.where(WorkflowJob, run_id=run.id)}
    return [state.get(CheckRun, job.check_run_id) for job in newest.values()]


def workflow_run(state: State, repo: Repository, *, of: WorkflowRun) -> Json:
    here = f"{url(state, repo)}/actions/runs/{of.id}"
    head = Git(state.git_dir(repo)).commit(of.head_sha)
    previous = f"{here}/attempts/{of.attempt - 1}" if of.attempt > 1 else None
    return {
        "id": of.id,
        "name": of.name,
        "node_id": node_id("WorkflowRun", of.id),
        "check_suite_id": of.suite_id,
        "check_suite_node_id": node_id("CheckSuite", of.suite_id),
        "head_branch": of.head_branch,
        "head_sha": of.head_sha,
        "path": of.path,
        "run_number": of.number,
        "run_attempt": of.attempt,
        "referenced_workflows": [],
        "event": of.event,
        "status": workflow_status(state, of),
        "conclusion": workflow_conclusion(state, of),
        "workflow_id": workflow_id(of),
        "url": here,
        "html_url": f"{html_url(state, repo)}/actions/runs/{of.id}",
        "pull_requests": pulls_at(state, repo, sha=of.head_sha),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "actor": user_by_id(state, of.actor_id),
        "triggering_actor": user_by_id(state, of.actor_id),
        "run_started_at": stamp(_attempt_began(state, of)),
        "jobs_url": f"{here}/jobs",
        "logs_url": f"{here}/logs",
        "check_suite_url": f"{url(state, repo)}/check-suites/{of.suite_id}",
        "artifacts_url": f"{here}/artifacts",
        "cancel_url": f"{here}/cancel",
        "rerun_url": f"{here}/rerun",
        "previous_attempt_url": previous,
        "workflow_url": f"{url(state, repo)}/actions/workflows/{workflow_id(of)}",
        "head_commit": simple_commit(head),
        "repository": simple_repository(state, repo),
        "head_repository": simple_repository(state, state.get(Repository, of.head_repo_id)),
        "display_title": head.message.splitlines()[0] if head.message else of.name,
    }


def _attempt_began(state: State, run: WorkflowRun) -> datetime:
    began = [job.created_at for job in state.where(WorkflowJob, run_id=run.id) if job.attempt == run.attempt]
    return min(began, default=run.created_at)


def workflow_job(state: State, repo: Repository, *, of: WorkflowJob) -> Json:
    run, shown = state.get(WorkflowRun, of.run_id), state.get(CheckRun, of.check_run_id)
    here = f"{url(state, repo)}/actions"
    steps = [
        {
            "name": step.name,
            "status": "completed",
            "conclusion": step.conclusion,
            "number": step.number,
            "started_at": stamp(shown.started_at),
            "completed_at": stamp(shown.completed_at),
        }
        for step in of.steps
    ]
    return {
        "id": of.id,
        "run_id": run.id,
        "run_url": f"{here}/runs/{run.id}",
        "run_attempt": of.attempt,
        "node_id": node_id("CheckRun", of.id),
        "head_sha": run.head_sha,
        "url": f"{here}/jobs/{of.id}",
        "html_url": f"{html_url(state, repo)}/runs/{shown.id}",
        "status": shown.status,
        "conclusion": shown.conclusion,
        "created_at": stamp(of.created_at),
        "started_at": stamp(shown.started_at or of.created_at),
        "completed_at": stamp(shown.completed_at),
        "name": of.name,
        "steps": steps,
        "check_run_url": f"{url(state, repo)}/check-runs/{shown.id}",
        "labels": ["ubuntu-latest"],
        "runner_id": 1,
        "runner_name": "local",
        "runner_group_id": 1,
        "runner_group_name": "Default",
        "workflow_name": run.name,
        "head_branch": run.head_branch,
    }


def artifact(state: State, repo: Repository, *, of: Artifact) -> Json:
    run = state.get(WorkflowRun, of.run_id)
    here = f"{url(state, repo)}/actions/artifacts/{of.id}"
    return {
        "id": of.id,
        "node_id": node_id("Artifact", of.id),
        "name": of.name,
        "size_in_bytes": of.size,
        "url": here,
        "archive_download_url": f"{here}/zip",
        "expired": of.expires_at <= state.clock(),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
        "expires_at": stamp(of.expires_at),
        "digest": of.digest,
        "workflow_run": {
            "id": run.id,
            "repository_id": repo.id,
            "head_repository_id": run.head_repo_id,
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
        },
    }


def commit_status(state: State, repo: Repository, *, of: CommitStatus) -> Json:
    return _status(state, repo, of) | {"creator": user_by_id(state, of.creator_id)}


def _status(state: State, repo: Repository, of: CommitStatus) -> Json:
    return {
        "url": f"{url(state, repo)}/statuses/{of.sha}",
        "avatar_url": None,
        "id": of.id,
        "node_id": node_id("StatusContext", of.id),
        "state": of.state,
        "description": of.description,
        "target_url": of.target_url,
        "context": of.context,
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
    }


def combined_status(state: State, repo: Repository, *, sha: str, latest: Sequence[CommitStatus]) -> Json:
    """The worst of the newest of each context."""
    states = {status.state for status in latest}
    worst = "failure" if states & {"error", "failure"} else "pending"
    return {
        "state": "success" if states == {"success"} else worst,
        "statuses": [_status(state, repo, one) for one in latest],
        "sha": sha,
        "total_count": len(latest),
        "repository": simple_repository(state, repo),
        "commit_url": f"{url(state, repo)}/commits/{sha}",
        "url": f"{url(state, repo)}/commits/{sha}/status",
    }


def webhook_status(state: State, repo: Repository, *, of: CommitStatus) -> Json:
    """The members of a `status` webhook besides repository and sender."""
    git = Git(state.git_dir(repo))
    heads = git.refs("refs/heads")
    names = [name.removeprefix("refs/heads/") for name, sha in heads.items() if sha == of.sha]
    return {
        "id": of.id,
        "sha": of.sha,
        "name": state.full_name(repo),
        "avatar_url": None,
        "target_url": of.target_url,
        "context": of.context,
        "description": of.description,
        "state": of.state,
        "commit": commit(state, repo, commit=git.commit(of.sha)),
        "branches": [short_branch(state, repo, name=name, sha=of.sha) for name in names],
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
    }
