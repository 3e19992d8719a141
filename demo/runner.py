"""Plays the CI of a local forge: a workflow run for each new head, and its jobs one after the other.

Knows what GitHub's logs look like, not how a command is run: that is given, so that what a branch holds is
never run outside of a sandbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from demo.forge.actions import artifacts, workflows
from demo.forge.git import Git
from demo.forge.state import Issue, Repository, State, Step, User, WorkflowJob, WorkflowRun

POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    exit_status: int
    output: str
    artifacts: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    """What it has left to be uploaded: files by their path, under the artifact's name."""


Execute = Callable[[str, str, tuple[str, ...]], Awaitable[Ran]]
"""Runs a command on a commit: the repository's full name, the SHA, the command line."""


@dataclass(frozen=True, slots=True)
class _Head:
    repo: Repository
    sha: str
    branch: str
    pusher: User


class Runner:
    """CI for all repositories of a forge: `jobs` are their names and command lines."""

    def __init__(self, state: State, execute: Execute, *, jobs: Mapping[str, tuple[str, ...]]) -> None:
        self._state = state
        self._execute = execute
        self._jobs = jobs

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for new heads and waiting jobs until the block ends."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            for head in self._heads():
                self._queue(head)
            for job in workflows.waiting_jobs(self._state):
                await self._play(job)
            await asyncio.sleep(POLL_SECONDS)

    def _heads(self) -> list[_Head]:
        """Of the open pull requests; what a fork proposes waits for a person, as on GitHub."""
        found = []
        with self._state.lock:
            for issue in self._state.all(Issue):
                pull = issue.pull
                if pull is None or issue.state != "open" or pull.head_repo_id != issue.repo_id:
                    continue
                repo = self._state.get(Repository, issue.repo_id)
                pusher = self._state.get(User, issue.author_id)
                found.append(_Head(repo, pull.head_sha, pull.head_ref, pusher))
        return found

    def _queue(self, head: _Head) -> None:
        with self._state.lock:
            is_known = any(self._state.where(WorkflowRun, repo_id=head.repo.id, head_sha=head.sha))
            if is_known or not Git(self._state.git_dir(head.repo)).has(head.sha):
                return
            workflows.queue_run(
                self._state,
                head.repo,
                head_sha=head.sha,
                head_branch=head.branch,
                jobs=tuple(self._jobs),
                actor=head.pusher,
                event="pull_request",
            )

    async def _play(self, job: WorkflowJob) -> None:
        repo = self._state.get(Repository, job.repo_id)
        run = self._state.get(WorkflowRun, job.run_id)
        command = self._jobs[job.name]
        await asyncio.to_thread(workflows.begin_job, self._state, job)
        ran = await self._execute(self._state.full_name(repo), run.head_sha, command)
        for name, files in ran.artifacts.items():
            archive = artifacts.packed(files)
            await asyncio.to_thread(artifacts.upload, self._state, run, name=name, archive=archive)
        is_fine = ran.exit_status == 0
        step = Step(name=f"Run {' '.join(command)}", number=1, conclusion="success" if is_fine else "failure")
        await asyncio.to_thread(
            workflows.finish_job,
            self._state,
            job,
            conclusion="success" if is_fine else "failure",
            log=framed(command, ran, at=self._state.clock()),
            steps=(step,),
        )


def framed(command: tuple[str, ...], ran: Ran, *, at: datetime) -> str:
    """The output as a job's log has it: a time before each line, and GitHub's own lines around."""
    shown = " ".join(command)
    lines = [f"##[group]Run {shown}", shown, "##[endgroup]", *ran.output.splitlines()]
    if ran.exit_status:
        lines.append(f"##[error]Process completed with exit code {ran.exit_status}.")
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.0000000Z")
    return "".join(f"{stamp} {line}\n" for line in lines)
