"""What a fork's pull request itself changes, of which no companion may be made unseen."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from app.fork_results import MOST_TOUCHED, offered
from handlers.delivery import UNREAD
from sandbox.git.mirror import Mirror
from sandbox.result import ChangedFile
from tests.handlers.people import start_on_pull
from tests.sandbox_git.origin import Origin

WORKFLOW = ".github/workflows/ci.yml"


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Mirror]:
    mirror = Mirror(tmp_path / "mirror.git", protocols=("file",))
    yield mirror
    await mirror.close()


async def touched(
    mirror: Mirror, origin: Origin, changes: Mapping[str, str | None], *, result: tuple[ChangedFile, ...] = ()
) -> tuple[str, ...]:
    base = origin.commit({"calc.py": "1\n", WORKFLOW: "on: push\n"})
    head = origin.commit(changes, branch="faster")
    await mirror.ensure(origin.remote)
    await mirror.fetch(origin.remote, base, head)
    start = replace(start_on_pull(), instructions_sha=base, base_sha=head, is_fork=True)
    patch = await mirror.diff_of(head, result, limit=60_000) if result else ""
    found = await offered(mirror, start, result, patch, protected=("deploy",), diff_bytes=1_000)
    return found.head_touches


async def test_what_is_protected_is_found_also_behind_a_file_too_long_for_a_diff(
    mirror: Mirror, tmp_path: Path
) -> None:
    """The contributor chooses names and sizes: what comes first in a diff may be all that is read of it."""
    changes = {"!a": "short\n", "#b": "x" * 5_000, WORKFLOW: "on: [push]\n", "deploy/key": "k\n"}
    result = (ChangedFile("calc.py", "update", "100644", b"2\n"),)

    found = await touched(mirror, Origin(tmp_path / "origin.git"), changes, result=result)

    assert found == (WORKFLOW, "deploy/key")


async def test_a_workflow_that_goes_or_gets_another_name_is_touched(mirror: Mirror, tmp_path: Path) -> None:
    """Also where the turn has nothing that may go out yet: rules may be another's by the time of leave."""
    changes = {WORKFLOW: None, "docs/ci.yml": "on: push\n"}

    assert await touched(mirror, Origin(tmp_path / "origin.git"), changes) == (WORKFLOW,)


async def test_of_more_names_than_are_kept_a_companion_is_never_made(mirror: Mirror, tmp_path: Path) -> None:
    """The workflow's name comes last: what is not looked at may be anything."""
    origin = Origin(tmp_path / "origin.git")
    changes = {f"deploy/{number}": "x\n" for number in range(MOST_TOUCHED + 1)}

    assert (await touched(mirror, origin, changes))[-1] == UNREAD
