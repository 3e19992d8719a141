"""The logs of failed jobs, as files that a turn's sandbox shows: a directory a turn, made once."""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from app.forge_error import ForgeError
from app.github import Client, GitHub
from app.github_checks import log_chunks
from app.store.places import RepositoryRef
from handlers.ci.task import LOGS, CiJob
from handlers.effects import StartTurn
from sandbox.base import Cache, Policy
from sandbox.checkout.removal import remove_tree

log = logging.getLogger(__name__)

MOST_BYTES: Final = 20 * 1024 * 1024
"""Of one log."""


class TurnLogs:
    """Below `home`, by turn."""

    def __init__(self, home: Path, github: GitHub) -> None:
        self._home = home / "ci-logs"
        self._github = github

    async def laid(self, start: StartTurn, place: RepositoryRef, policy: Policy) -> Policy:
        """`policy`, with the logs that the turn's task names to be seen. Raises `ForgeError`.

        What the agent makes of its copy is its own business: the directory is not written twice.
        """
        if start.ci is None or not start.ci.jobs:
            return policy
        directory = self._home / start.turn_id
        if not directory.exists():
            await self._fetch(start.ci.jobs, directory, place)
        return replace(policy, caches=(*policy.caches, Cache(directory, LOGS)))

    async def remove(self, turn: str) -> None:
        """The turn has ended."""
        directory = self._home / turn
        if directory.exists():
            await remove_tree(directory)

    def kept(self) -> list[str]:
        """The turns that have logs here now, and what a crash has left half made."""
        return [path.name for path in self._home.iterdir()] if self._home.is_dir() else []

    async def _fetch(self, jobs: Sequence[CiJob], directory: Path, place: RepositoryRef) -> None:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o711)
        making = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=".making-", dir=self._home))
        try:
            for job in jobs:
                await self._fetch_one(job, making / job.file, place)
            await asyncio.to_thread(os.rename, making, directory)
        finally:
            await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)

    async def _fetch_one(self, job: CiJob, path: Path, place: RepositoryRef) -> None:
        def write(client: Client) -> None:
            left = MOST_BYTES
            with path.open("wb") as file:
                for chunk in log_chunks(client, job.id):
                    file.write(chunk[:left])
                    left -= len(chunk)
                    if left <= 0:
                        file.write(b"\n[cut: the log goes on]\n")
                        break
            path.chmod(0o444)

        try:
            await self._github.run(place, write)
        except ForgeError as error:
            if error.fault not in {"missing", "denied"}:
                raise
            path.write_text("The forge does not have this log any more.\n")
            log.info("ci.log_gone", extra={"fields": {"job": job.id, "error": str(error)}})
