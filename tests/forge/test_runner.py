"""The forge's CI: each new head is run, and what came of it stands where GitHub would show it."""

from __future__ import annotations

import asyncio
import io
import zipfile

from demo.forge.actions import artifacts, workflows
from demo.forge.state import Artifact, CheckRun, WorkflowRun
from demo.runner import Ran, Runner
from tests.forge.world import World, open_pull


def test_each_head_is_run_once_and_its_log_reads_as_githubs(world: World, repository: str) -> None:
    """A pull request opens and fails; the log has times, the command, and the exit status."""
    pull = open_pull(world.client("cole").get_repo(repository), branch="fix", files={"new.py": "1\n"})
    state = world.forge.state
    asked: list[tuple[str, str, tuple[str, ...]]] = []

    async def execute(name: str, sha: str, command: tuple[str, ...]) -> Ran:
        if name == repository:
            asked.append((name, sha, command))
        return Ran(1, "E   assert 1 == 2\n", {"junit": {"out/report.xml": b"<testsuite/>"}})

    async def until_run() -> WorkflowRun:
        async with asyncio.timeout(60), Runner(state, execute, jobs={"test": ("pytest", "-q")}).running():
            while True:
                for run in state.where(WorkflowRun, head_sha=pull.head.sha):
                    shown = [state.get(CheckRun, job.check_run_id) for job in workflows.jobs_of(state, run)]
                    if all(one.status == "completed" for one in shown):
                        return run
                await asyncio.sleep(0.01)

    run = asyncio.run(until_run())

    [job] = workflows.jobs_of(state, run)
    [left] = state.where(Artifact, run_id=run.id)
    lines = [line.partition(" ")[2] for line in job.log.splitlines()]
    assert asked == [(repository, pull.head.sha, ("pytest", "-q"))]
    assert lines == [
        "##[group]Run pytest -q",
        "pytest -q",
        "##[endgroup]",
        "E   assert 1 == 2",
        "##[error]Process completed with exit code 1.",
    ]
    assert state.get(CheckRun, job.check_run_id).conclusion == "failure"
    with zipfile.ZipFile(io.BytesIO(artifacts.archive_of(state, left))) as archive:
        assert (left.name, archive.read("out/report.xml")) == ("junit", b"<testsuite/>")
