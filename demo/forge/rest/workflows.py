"""Workflow runs, jobs and their logs over REST."""

from __future__ import annotations

from demo.forge import shapes
from demo.forge.actions import artifacts
from demo.forge.actions import workflows as act
from demo.forge.logs import address_of
from demo.forge.refusals import not_found
from demo.forge.rest.call import Answer, Call, Operation, operation
from demo.forge.state import Artifact, WorkflowJob, WorkflowRun


def _shape(call: Call, run: WorkflowRun) -> dict[str, object]:
    return shapes.workflow_run(call.state, call.repo, of=run)


def list_runs(call: Call) -> Answer:
    runs = list(reversed(list(call.state.where(WorkflowRun, repo_id=call.repo.id))))
    if sha := call.query.get("head_sha"):
        runs = [run for run in runs if run.head_sha == sha]
    if branch := call.query.get("branch"):
        runs = [run for run in runs if run.head_branch == branch]
    if event := call.query.get("event"):
        runs = [run for run in runs if run.event == event]
    if status := call.query.get("status"):
        runs = [
            run
            for run in runs
            if status
            in {shapes.workflow_status(call.state, run), shapes.workflow_conclusion(call.state, run)}
        ]
    listed, headers = call.page(runs, lambda run: _shape(call, run))
    return Answer(body={"total_count": len(runs), "workflow_runs": listed}, headers=headers)


def get_run(call: Call) -> Answer:
    return Answer(body=_shape(call, _run(call)))


def _run(call: Call) -> WorkflowRun:
    return call.named(WorkflowRun, "run_id")


def list_jobs(call: Call) -> Answer:
    run = _run(call)
    jobs = act.jobs_of(call.state, run)
    if call.query.get("filter", "latest") == "all":
        jobs = list(call.state.where(WorkflowJob, run_id=run.id))
    listed, headers = call.page(jobs, lambda job: shapes.workflow_job(call.state, call.repo, of=job))
    return Answer(body={"total_count": len(jobs), "jobs": listed}, headers=headers)


def get_job(call: Call) -> Answer:
    return Answer(body=shapes.workflow_job(call.state, call.repo, of=_job(call)))


def _job(call: Call) -> WorkflowJob:
    return call.named(WorkflowJob, "job_id")


def job_logs(call: Call) -> Answer:
    """A redirect to where the text lies; that address works without a credential, for a minute."""
    job = _job(call)
    act.log_of(call.actor, job)
    return Answer(status=302, text="", headers={"location": address_of(call.state, job)})


def list_artifacts(call: Call) -> Answer:
    """Of all attempts, newest first."""
    run = _run(call)
    found = list(reversed(list(call.state.where(Artifact, run_id=run.id))))
    if name := call.query.get("name"):
        found = [one for one in found if one.name == name]
    if call.query.get("direction", "desc") == "asc":
        found.reverse()
    listed, headers = call.page(found, lambda one: shapes.artifact(call.state, call.repo, of=one))
    return Answer(body={"total_count": len(found), "artifacts": listed}, headers=headers)


def download_artifact(call: Call) -> Answer:
    """A redirect, as with a log; the only format is `zip`."""
    found = call.named(Artifact, "artifact_id")
    if call.params["archive_format"] != "zip":
        raise not_found()
    artifacts.require_kept(call.state, found)
    return Answer(status=302, text="", headers={"location": address_of(call.state, found)})


def rerun(call: Call) -> Answer:
    act.run_again(call.actor, _run(call), only_failed=False)
    return Answer(status=201, body={})


def rerun_failed(call: Call) -> Answer:
    act.run_again(call.actor, _run(call), only_failed=True)
    return Answer(status=201, body={})


_ACTIONS = "/repos/{owner}/{repo}/actions"
_RUN = f"{_ACTIONS}/runs/{{run_id}}"
_JOB = f"{_ACTIONS}/jobs/{{job_id}}"

OPERATIONS: tuple[Operation, ...] = (
    operation("actions/list-workflow-runs-for-repo", "GET", f"{_ACTIONS}/runs", route=list_runs),
    operation("actions/get-workflow-run", "GET", _RUN, route=get_run),
    operation("actions/list-jobs-for-workflow-run", "GET", f"{_RUN}/jobs", route=list_jobs),
    operation("actions/get-job-for-workflow-run", "GET", _JOB, route=get_job),
    operation("actions/download-job-logs-for-workflow-run", "GET", f"{_JOB}/logs", route=job_logs),
    operation("actions/list-workflow-run-artifacts", "GET", f"{_RUN}/artifacts", route=list_artifacts),
    operation(
        "actions/download-artifact",
        "GET",
        f"{_ACTIONS}/artifacts/{{artifact_id}}/{{archive_format}}",
        route=download_artifact,
    ),
    operation("actions/re-run-workflow", "POST", f"{_RUN}/rerun", route=rerun),
    operation("actions/re-run-workflow-failed-jobs", "POST", f"{_RUN}/rerun-failed-jobs", route=rerun_failed),
)
