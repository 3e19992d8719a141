"""Plays the CI of a story by hand: jobs that end as the story says, with the logs that it wants."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from demo.forge.actions import artifacts, statuses, workflows
from demo.forge.seed import acting
from demo.forge.state import CheckRun, Repository, WorkflowRun
from tests.stories.world import PATIENCE_SECONDS, POLL_SECONDS, World

STAMP = "2026-11-22T10:00:00.0000000Z"


def pytest_log(test: str, *, said: str = "assert 10 == 11") -> str:
    """A job's log in which one test fails."""
    lines = [
        "##[group]Run pytest -q",
        "pytest -q",
        "##[endgroup]",
        "F                                                                        [100%]",
        "=================================== FAILURES ===================================",
        f"{f' {test} ':_^80}",
        "",
        f"    def {test}():",
        f">       {said}",
        f"E       {said}",
        "",
        "tests/test_spacing.py:4: AssertionError",
        "=========================== short test summary info ============================",
        f"FAILED tests/test_spacing.py::{test} - {said}",
        "1 failed in 0.01s",
        "##[error]Process completed with exit code 1.",
    ]
    return "".join(f"{STAMP} {line}\n" for line in lines)


def record(world: World, repository: str) -> Repository:
    found = world.forge.state.repository(*repository.split("/"))
    assert found is not None
    return found


async def begin(
    world: World,
    repository: str,
    *,
    sha: str,
    branch: str,
    jobs: tuple[str, ...] = ("test",),
    workflow: str = "CI",
    event: Literal["push", "pull_request"] = "push",
) -> WorkflowRun:
    """A workflow run whose jobs are all at work."""
    cole = world.forge.state.user("cole")
    assert cole is not None

    def queue() -> WorkflowRun:
        state = world.forge.state
        run = workflows.queue_run(
            state,
            record(world, repository),
            head_sha=sha,
            head_branch=branch,
            jobs=jobs,
            actor=cole,
            name=workflow,
            event=event,
        )
        for job in workflows.jobs_of(state, run):
            workflows.begin_job(state, job)
        return run

    return await asyncio.to_thread(queue)


async def end(world: World, run: WorkflowRun, failing: Mapping[str, str] | None = None) -> None:
    """End the jobs of the run's newest attempt that are not over: `failing` by name, with their logs."""
    failing = failing or {}

    def finish() -> None:
        state = world.forge.state
        newest = state.get(WorkflowRun, run.id)
        for job in workflows.jobs_of(state, newest):
            if state.get(CheckRun, job.check_run_id).status == "completed":
                continue
            log = failing.get(job.name)
            conclusion: Literal["failure", "success"] = "success" if log is None else "failure"
            workflows.finish_job(state, job, conclusion=conclusion, log=log or "fine\n")

    await asyncio.to_thread(finish)


async def leave(world: World, run: WorkflowRun, name: str, archive: bytes, *, expired: bool = False) -> None:
    """The run has an artifact of this name, whose time is over if it is `expired`."""

    def upload() -> None:
        left = artifacts.upload(world.forge.state, run, name=name, archive=archive)
        if expired:
            artifacts.expire(world.forge.state, left)

    await asyncio.to_thread(upload)


async def ran(
    world: World, repository: str, *, sha: str, branch: str, failing: Mapping[str, str] | None = None
) -> WorkflowRun:
    """A whole run: of the job `test`, and those that fail."""
    jobs = tuple(dict.fromkeys(("test", *(failing or {}))))
    run = await begin(world, repository, sha=sha, branch=branch, jobs=jobs)
    await end(world, run, failing)
    return run


async def status(
    world: World, repository: str, sha: str, state: Literal["pending", "failure"], *, said: str = ""
) -> None:
    """What a CI system outside of GitHub says."""
    cole = world.forge.state.user("cole")
    assert cole is not None
    actor = acting(world.forge.state, cole)
    await asyncio.to_thread(
        statuses.create_status,
        actor,
        record(world, repository),
        sha=sha,
        state=state,
        context="other-ci",
        description=said or None,
    )


async def end_one(world: World, run: WorkflowRun, name: str, log: str) -> None:
    """One job fails; the others go on."""

    def finish() -> None:
        [job] = [job for job in workflows.jobs_of(world.forge.state, run) if job.name == name]
        workflows.finish_job(world.forge.state, job, conclusion="failure", log=log)

    await asyncio.to_thread(finish)


async def until_again(world: World, run: WorkflowRun) -> None:
    """Return when somebody has the failed jobs run again."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while world.forge.state.get(WorkflowRun, run.id).attempt == run.attempt:
            await asyncio.sleep(POLL_SECONDS)
