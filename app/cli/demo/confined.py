"""Runs commands on commits of the forge: each in a fresh checkout and in the sandbox that turns have."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.settings import Settings
from app.turn_parts import driver_of
from sandbox.base import Command, Policy, SandboxMode
from sandbox.checkout import check_out
from sandbox.git import Remote
from sandbox.git.mirror import Mirror

if TYPE_CHECKING:
    from demo.runner import Ran

LIMIT_SECONDS: Final = 120.0
TIMED_OUT: Final = 124
"""As `timeout(1)` and `darner sandbox` have it."""


class Confined:
    """Fetches as anybody with the token would. One command at a time."""

    def __init__(self, settings: Settings, *, forge_url: str, token: str, home: Path) -> None:
        self._driver = driver_of(settings)
        self._forge_url = forge_url
        self._token = token
        self._home = home

    async def run(self, repository: str, sha: str, command: tuple[str, ...]) -> "Ran":
        from demo.runner import Ran

        mirror = Mirror(self._home / "mirrors" / f"{repository}.git")
        remote = Remote(f"{self._forge_url}/{repository}.git", "x-access-token", self._token)
        await mirror.ensure(remote)
        await mirror.fetch(remote, sha)
        owner = self._driver.owner_uid
        checkout = await check_out(mirror, sha, self._home / "checkout", owner_uid=owner)
        try:
            async with self._driver.open(checkout.workspace, Policy(SandboxMode.WORKSPACE_WRITE)) as box:
                process = await box.start(Command(command))
                ended = await process.wait(LIMIT_SECONDS)
                output = process.take_output().decode("utf-8", "replace")
        finally:
            await checkout.remove()
            await mirror.close()
        return Ran(TIMED_OUT if ended is None else ended.exit_status, output)
