"""A turn's policy from what it is pinned to, under the operator's settings as they are when it runs."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from app.turn_policy import TurnRefused, policy_of
from handlers.config import ConfigRefused
from handlers.effects import EffectAdapter, Requester, StartTurn
from handlers.wishes import Ceiling, Wishes
from sandbox.base import Policy, SandboxMode
from sandbox.git.mirror import Mirror
from tests.handlers.people import start_on_issue
from tests.sandbox_git.origin import Origin

GENEROUS: Final = Ceiling(
    allowed_hosts=("pypi.org", "example.org"),
    images=("python:*",),
    open_names=("RAILS_*",),
    caches=("pip",),
)
FILE: Final = "network: [pypi.org]\nprotected_paths: [deploy]\ndevcontainer: true\n"
DEVCONTAINER: Final = '{"image": "python:3.13", "containerEnv": {"RAILS_ENV": "test"}} // ours'


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Mirror]:
    mirror = Mirror(tmp_path / "mirror.git", protocols=("file",))
    yield mirror
    await mirror.close()


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin.git")


async def pinned(mirror: Mirror, origin: Origin, file: str) -> StartTurn:
    """A turn that was asked for while the default branch had this file."""
    files = {".github/darner.yml": file, ".devcontainer/devcontainer.json": DEVCONTAINER}
    sha = origin.commit(files)
    await mirror.ensure(origin.remote)
    await mirror.fetch(origin.remote, sha)
    return replace(start_on_issue(), base_sha=sha, instructions_sha=sha, config_sha=sha)


async def policy(start: StartTurn, mirror: Mirror, ceiling: Ceiling = GENEROUS) -> Policy:
    found = await policy_of(start, mirror, ceiling=ceiling, repository="octo/calc", caches=Path("/caches/42"))
    return found.policy


async def test_the_pinned_commits_file_counts_and_no_later_one(mirror: Mirror, origin: Origin) -> None:
    """What is merged while the turn waits does not change it; the devcontainer is read at the same commit."""
    start = await pinned(mirror, origin, FILE)
    later = await pinned(mirror, origin, "network: off\n")

    found = await policy(start, mirror)

    assert later.config_sha != start.config_sha
    assert found.allowed_hosts == ("pypi.org",)
    assert "deploy" in found.protected_paths
    assert (found.image, dict(found.environment)) == ("python:3.13", {"RAILS_ENV": "test"})
    assert [cache.source for cache in found.caches] == [Path("/caches/42/own/pip")]
    assert (await policy(later, mirror)).allowed_hosts == ()


async def test_what_the_operator_has_taken_away_since_is_gone(mirror: Mirror, origin: Origin) -> None:
    """And what the turn was not granted when it was asked for, it does not get later."""
    start = await pinned(mirror, origin, FILE)
    narrower = replace(GENEROUS, scopes={"octo": Wishes(mode=SandboxMode.READ_ONLY)})
    wider = replace(GENEROUS, mode=SandboxMode.FULL_ACCESS)

    assert (await policy(start, mirror, narrower)).mode is SandboxMode.READ_ONLY
    assert (await policy(start, mirror, wider)).mode is SandboxMode.WORKSPACE_WRITE


async def test_a_reader_who_is_admitted_no_more_has_no_turn(mirror: Mirror, origin: Origin) -> None:
    """The setting was taken back while the turn waited."""
    start = await pinned(mirror, origin, "")
    asked = replace(start, requester=Requester(7, "reader", "read"), mode=SandboxMode.READ_ONLY)

    assert (await policy(asked, mirror, replace(GENEROUS, admits_readers=True))).allowed_hosts == ()
    with pytest.raises(TurnRefused):
        await policy(asked, mirror)


async def test_a_file_that_cannot_be_read_gives_no_policy(mirror: Mirror, origin: Origin) -> None:
    """It may have narrowed something: the turn ends instead of running under the defaults."""
    start = await pinned(mirror, origin, "mood: read-only\n")

    with pytest.raises(ConfigRefused, match="`mood` is not a setting"):
        await policy(start, mirror)


async def test_a_turn_that_was_stored_before_there_were_policies_still_loads() -> None:
    """What an older server wrote has none of the newer words."""
    stored = EffectAdapter.dump_python(start_on_issue(), mode="json")
    del stored["not_granted"]

    assert EffectAdapter.validate_python(stored) == start_on_issue()
