"""Workflow runs, jobs, logs and commit statuses: what a runner tells, and what is told of it."""

from __future__ import annotations

import httpx2
import pytest
from github import GithubException

from demo.forge.actions import artifacts, statuses, workflows
from demo.forge.seed import acting
from demo.forge.state import Annotation, Repository, Step, WorkflowRun
from tests.forge.world import World, open_pull

LOG = "2026-11-01T10:00:00.0000000Z E   assert 1 == 2\n"


@pytest.fixture
def failed(world: World, repository: str) -> WorkflowRun:
    """A run of two jobs on a pull request's head, one of which has failed."""
    pull = open_pull(world.client("cole").get_repo(repository), branch="fix", files={"new.py": "1\n"})
    state = world.forge.state
    cole = state.user("cole")
    repo = _record(world, repository)
    assert cole is not None
    run = workflows.queue_run(
        state, repo, head_sha=pull.head.sha, head_branch="fix", jobs=("test", "lint"), actor=cole
    )
    for job in workflows.waiting_jobs(state):
        workflows.begin_job(state, job)
        is_lint = job.name == "lint"
        note = Annotation(path="new.py", start_line=1, end_line=1, level="failure", message="assert 1 == 2")
        workflows.finish_job(
            state,
            job,
            conclusion="success" if is_lint else "failure",
            log="fine\n" if is_lint else LOG,
            steps=[Step(name="Run pytest", number=1, conclusion="failure")],
            annotations=() if is_lint else (note,),
        )
    return run


def _record(world: World, repository: str) -> Repository:
    owner, _, name = repository.partition("/")
    found = world.forge.state.repository(owner, name)
    assert found is not None
    return found


def test_a_failed_run_is_told_with_its_jobs(world: World, repository: str, failed: WorkflowRun) -> None:
    """By webhooks and over REST; its check runs carry the annotations."""
    bots = world.with_token(world.installation_token()).get_repo(repository)

    told = world.wait_for("workflow_run.completed", repository)["workflow_run"]
    suite = world.wait_for("check_suite.completed", repository)["check_suite"]
    [run] = bots.get_workflow_runs(head_sha=failed.head_sha)
    jobs = {job.name: job for job in run.jobs()}

    assert (told["conclusion"], told["run_attempt"], told["head_branch"]) == ("failure", 1, "fix")
    assert suite["conclusion"] == "failure"
    assert (jobs["test"].conclusion, jobs["lint"].conclusion) == ("failure", "success")
    assert [step.name for step in jobs["test"].steps] == ["Run pytest"]
    checks = bots.get_commit(failed.head_sha).get_check_runs(check_name="test")
    assert [note.message for note in checks[0].get_annotations()] == ["assert 1 == 2"]


def test_a_log_lies_at_an_address_of_its_own(world: World, repository: str, failed: WorkflowRun) -> None:
    """Whoever has the address may read it; an address that was made up is refused."""
    bots = world.with_token(world.installation_token()).get_repo(repository)
    [job] = [job for job in bots.get_workflow_run(failed.id).jobs() if job.name == "test"]

    address = job.logs_url()

    assert httpx2.get(address).text == LOG
    assert httpx2.get(address[:-1] + ("0" if address[-1] != "0" else "1")).status_code == 403


def test_what_a_run_has_left_lies_at_an_address_too(
    world: World, repository: str, failed: WorkflowRun
) -> None:
    """Listed by run, newest first; what has expired is listed, and gone."""
    state = world.forge.state
    archive = artifacts.packed({"a/report.xml": b"<testsuite/>"})
    old = artifacts.upload(state, failed, name="coverage", archive=b"PK")
    artifacts.upload(state, failed, name="junit", archive=archive)
    artifacts.expire(state, old)
    bots = world.with_token(world.installation_token()).get_repo(repository)

    junit, coverage = bots.get_workflow_run(failed.id).get_artifacts()
    _, headers, _ = bots.requester.requestJson("GET", f"{bots.url}/actions/artifacts/{junit.id}/zip")
    with pytest.raises(GithubException) as gone:
        bots.requester.requestJsonAndCheck("GET", f"{bots.url}/actions/artifacts/{coverage.id}/zip")
    with pytest.raises(GithubException) as unknown:
        bots.requester.requestJsonAndCheck("GET", f"{bots.url}/actions/artifacts/{failed.id}/zip")

    assert (junit.name, junit.expired, junit.size_in_bytes) == ("junit", False, len(archive))
    assert (coverage.name, coverage.expired) == ("coverage", True)
    assert httpx2.get(headers["location"]).content == archive
    assert (gone.value.status, unknown.value.status) == (410, 404)


def test_failed_jobs_run_again_as_another_attempt(world: World, repository: str, failed: WorkflowRun) -> None:
    """Only those that failed; the run is the same, and a run at work cannot be run again."""
    bots = world.with_token(world.installation_token()).get_repo(repository)
    run = bots.get_workflow_run(failed.id)

    assert run.rerun_failed_jobs()

    state = world.forge.state
    [job] = workflows.waiting_jobs(state)
    _, shown = run.requester.requestJsonAndCheck("GET", f"{bots.url}/actions/jobs/{job.id}")
    assert (shown["name"], shown["run_attempt"], shown["status"]) == ("test", 2, "queued")
    assert bots.get_workflow_run(failed.id).status in {"queued", "in_progress"}
    with pytest.raises(GithubException) as refused:
        run.requester.requestJsonAndCheck("POST", f"{run.url}/rerun-failed-jobs")
    assert refused.value.status == 403
    workflows.finish_job(state, job, conclusion="success", log="ok\n")
    assert bots.get_workflow_run(failed.id).conclusion == "success"
    assert bots.get_workflow_run(failed.id).rerun()
    assert [job.name for job in workflows.waiting_jobs(state)] == ["test", "lint"]


def test_the_newest_status_of_each_context_counts(world: World, repository: str) -> None:
    """And whoever may not write is refused."""
    state = world.forge.state
    repo = _record(world, repository)
    cole = state.user("cole")
    assert cole is not None
    client = world.client("maya").get_repo(repository)
    sha = client.get_branch("main").commit.sha
    statuses.create_status(acting(state, cole), repo, sha=sha, state="failure", context="ci/old")
    client.get_commit(sha).create_status("success", context="ci/old", description="better")
    client.get_commit(sha).create_status("pending", context="ci/new")

    combined = client.get_commit(sha).get_combined_status()
    told = world.wait_for("status", repository)

    assert combined.state == "pending"
    assert {one.context: one.state for one in combined.statuses} == {
        "ci/old": "success",
        "ci/new": "pending",
    }
    _, all_of_it = client.requester.requestJsonAndCheck("GET", f"{client.url}/commits/{sha}/statuses")
    assert [one["context"] for one in all_of_it] == ["ci/new", "ci/old", "ci/old"]
    assert told["sha"] == sha
    with pytest.raises(GithubException) as refused:
        world.client("oskar").get_repo(repository).get_commit(sha).create_status("success")
    assert refused.value.status in {403, 404}
