"""Workflow runs: the forge runs nothing itself; whoever plays the runner tells what came of the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from demo.forge import shapes
from demo.forge.actions import apps, checks
from demo.forge.actions.actor import ACTIONS_WRITE, Actor
from demo.forge.announce import announce
from demo.forge.git import Git
from demo.forge.refusals import Refused, no_commit, not_found
from demo.forge.state import (
    Annotation,
    App,
    CheckRun,
    CheckSuite,
    Repository,
    State,
    Step,
    User,
    Viewer,
    WorkflowJob,
    WorkflowRun,
)

RUNNER_SLUG = "github-actions"
Conclusion = Literal["success", "failure", "cancelled", "timed_out", "skipped"]


def queue_run(
    state: State,
    repo: Repository,
    *,
    head_sha: str,
    head_branch: str,
    jobs: Sequence[str],
    actor: User,
    event: Literal["push", "pull_request"] = "push",
    name: str = "CI",
    path: str = ".github/workflows/ci.yml",
    head_repo: Repository | None = None,
) -> WorkflowRun:
    """A new run with its jobs, all queued."""
    with state.lock:
        if not Git(state.git_dir(repo)).has(head_sha):
            raise no_commit(head_sha)
        runner = _runner(state, repo)
        now = state.clock()
        suite = state.put(
            CheckSuite(
                id=state.next_id(),
                repo_id=repo.id,
                app_id=runner.id,
                head_sha=head_sha,
                head_branch=head_branch,
                created_at=now,
                updated_at=now,
            )
        )
        number = sum(1 for _ in state.where(WorkflowRun, repo_id=repo.id, path=path)) + 1
        run = state.put(
            WorkflowRun(
                id=state.next_id(),
                repo_id=repo.id,
                suite_id=suite.id,
                number=number,
                name=name,
                path=path,
                event=event,
                head_sha=head_sha,
                head_branch=head_branch,
                head_repo_id=(head_repo or repo).id,
                actor_id=actor.id,
                created_at=now,
                updated_at=now,
            )
        )
        _tell_run(state, repo, run, "requested")
        for job in jobs:
            _queue_job(state, repo, run, job)
        return run


def jobs_of(state: State, run: WorkflowRun, *, attempt: int | None = None) -> list[WorkflowJob]:
    """Of one attempt (the newest unless told): those run again, and those taken over as they were."""
    wanted = run.attempt if attempt is None else attempt
    newest: dict[str, WorkflowJob] = {}
    for job in state.where(WorkflowJob, run_id=run.id):
        if job.attempt <= wanted:
            newest[job.name] = job
    return list(newest.values())


def begin_job(state: State, job: WorkflowJob) -> None:
    """The runner has taken it."""
    with state.lock:
        repo, run = state.get(Repository, job.repo_id), state.get(WorkflowRun, job.run_id)
        was_queued = shapes.workflow_status(state, run) == "queued"
        report = checks.Report(status="in_progress", started_at=state.clock())
        checks.update_check_run(_acting(state, repo), state.get(CheckRun, job.check_run_id), report=report)
        if was_queued:
            _tell_run(state, repo, run, "in_progress")


def finish_job(
    state: State,
    job: WorkflowJob,
    *,
    conclusion: Conclusion,
    log: str,
    steps: Sequence[Step] = (),
    annotations: Sequence[Annotation] = (),
) -> None:
    """The job is over; with the last one the run is, and everybody is told."""
    with state.lock:
        repo, run = state.get(Repository, job.repo_id), state.get(WorkflowRun, job.run_id)
        state.put(replace(job, log=log, steps=tuple(steps)))
        report = checks.Report(conclusion=conclusion, annotations=annotations)
        checks.update_check_run(_acting(state, repo), state.get(CheckRun, job.check_run_id), report=report)
        run = state.put(replace(run, updated_at=state.clock()))
        if shapes.workflow_status(state, run) != "completed":
            return
        suite = state.put(replace(state.get(CheckSuite, run.suite_id), updated_at=state.clock()))
        members = {"check_suite": shapes.webhook_check_suite(state, repo, of=suite)}
        announce(_acting(state, repo), repo, event="check_suite", action="completed", members=members)
        _tell_run(state, repo, run, "completed")


def run_again(actor: Actor, run: WorkflowRun, *, only_failed: bool) -> WorkflowRun:
    """A new attempt, of all jobs or of those that did not succeed."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, run.repo_id)
        actor.require(repo, needs=ACTIONS_WRITE, role="write")
        if shapes.workflow_status(state, run) != "completed":
            raise Refused(403, "This workflow is already running")
        chosen = [
            job
            for job in jobs_of(state, run)
            if not only_failed
            or state.get(CheckRun, job.check_run_id).conclusion not in {"success", "skipped"}
        ]
        if not chosen:
            raise Refused(403, "The workflow run has no failed jobs to run again")
        run = state.put(replace(run, attempt=run.attempt + 1, updated_at=state.clock()))
        for job in chosen:
            _queue_job(state, repo, run, job.name)
        _tell_run(state, repo, run, "requested")
        return run


def job_of(state: State, check_run: CheckRun) -> WorkflowJob | None:
    """The job that a check run shows."""
    return next(state.where(WorkflowJob, check_run_id=check_run.id), None)


def waiting_jobs(state: State) -> list[WorkflowJob]:
    """What a runner should take up, oldest first."""
    with state.lock:
        return [
            job for job in state.all(WorkflowJob) if state.get(CheckRun, job.check_run_id).status == "queued"
        ]


def log_of(actor: Actor, job: WorkflowJob) -> str:
    run = actor.state.get(CheckRun, job.check_run_id)
    if run.status != "completed":
        raise not_found()
    return job.log


def _is_fine(state: State, job: WorkflowJob) -> bool:
    return state.get(CheckRun, job.check_run_id).conclusion in {"success", "skipped"}


def _queue_job(state: State, repo: Repository, run: WorkflowRun, name: str) -> None:
    shown = checks.create_check_run(
        _acting(state, repo),
        repo,
        head_sha=run.head_sha,
        report=checks.Report(name=name),
        suite_id=run.suite_id,
    )
    state.put(
        WorkflowJob(
            id=state.next_id(),
            repo_id=repo.id,
            run_id=run.id,
            attempt=run.attempt,
            check_run_id=shown.id,
            name=name,
            created_at=state.clock(),
        )
    )


def _tell_run(state: State, repo: Repository, run: WorkflowRun, action: str) -> None:
    shown = shapes.workflow_run(state, repo, of=run)
    if action == "in_progress":
        # By GitHub's description this one alone has no title.
        del shown["display_title"]
    members = {"workflow": shapes.workflow(state, repo, of=run), "workflow_run": shown}
    sender = Actor(state, Viewer(user=state.get(User, run.actor_id)))
    announce(sender, repo, event="workflow_run", action=action, members=members)


def _runner(state: State, repo: Repository) -> App:
    """The App that the check runs of all jobs belong to; made with the first run."""
    found = next(state.where(App, slug=RUNNER_SLUG), None)
    owner = state.get(User, repo.owner_id)
    if found is None:
        found = apps.create_app(
            state,
            owner=owner,
            slug=RUNNER_SLUG,
            name="GitHub Actions",
            permissions={"checks": "write", "contents": "read", "actions": "write", "metadata": "read"},
            events=(),
        )
    if state.installation_for(found, repo) is None:
        apps.install(Actor(state, Viewer(user=owner)), found, account=owner)
    return found


def _acting(state: State, repo: Repository) -> Actor:
    runner = _runner(state, repo)
    installation = state.installation_for(runner, repo)
    viewer = Viewer(
        user=state.get(User, runner.bot_id), installation=installation, permissions=runner.permissions
    )
    return Actor(state, viewer)
