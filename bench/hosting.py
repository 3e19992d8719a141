"""A forge in a process of its own, with one big repository in it; tells when it sent which webhook."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.spawn import Child, child, tell_parent, told
from demo import forge
from demo.forge import git

FILES_PER_DIRECTORY: Final = 200
SECRET: Final = "a webhook secret of the bench"  # noqa: S105 - of no other use


@dataclass(frozen=True, slots=True)
class Hosting:
    """The running forge."""

    url: str
    app_id: int
    app_key: str
    tokens: Mapping[str, str]
    _process: Child

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/v3"

    async def sent(self) -> dict[int, float]:
        """When the webhook about each new comment was sent, by the comment's id and the shared clock."""
        return {int(comment): at for comment, at in (await self._process.ask("sent")).items()}


@asynccontextmanager
async def hosting(home: Path, *, repository: str, files: int, webhook_url: str) -> AsyncIterator[Hosting]:
    """A forge whose `repository` holds so many files."""
    async with child("bench.hosting", str(home), repository, str(files), webhook_url) as process:
        told_us = await process.hear()
        yield Hosting(**told_us, _process=process)


def import_stream(files: int) -> Iterator[bytes]:
    """One commit with so many small files, for `git fast-import`."""
    message, zero = b"Many files", b"bench <bench@localhost> 1700000000 +0000"
    yield b"commit refs/heads/main\ncommitter %s\ndata %d\n%s\n" % (zero, len(message), message)
    for number in range(files):
        directory, name = divmod(number, FILES_PER_DIRECTORY)
        content = b"def answer_%d() -> int:\n    return %d\n" % (number, number)
        path = b"src/part_%04d/module_%03d.py" % (directory, name)
        yield b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(content), content)


def _fill(directory: Path, files: int) -> None:
    with subprocess.Popen(
        (git.program(), "fast-import", "--quiet", "--force"),
        cwd=directory,
        env=git.environment(),
        stdin=subprocess.PIPE,
    ) as process:
        if process.stdin is None:
            raise TypeError("a pipe was asked for")
        process.stdin.writelines(import_stream(files))
        process.stdin.close()
        if process.wait(timeout=300) != 0:
            raise RuntimeError("git fast-import failed")


async def _serve(home: Path, repository: str, files: int, webhook_url: str) -> None:
    sent: dict[int, float] = {}

    def on_webhook(event: str, payload: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        del headers
        if event == "issue_comment" and payload["action"] == "created":
            sent[payload["comment"]["id"]] = time.monotonic()

    async with forge.serve(
        home, on_webhook=[on_webhook], webhook_url=webhook_url, webhook_secret=SECRET
    ) as running:
        made = running.create_repository(repository)
        await asyncio.to_thread(_fill, running.state.git_dir(made), files)
        app = running.seeded.app
        tell_parent(
            {
                "url": running.url,
                "app_id": app.id,
                "app_key": app.private_key,
                "tokens": dict(running.tokens),
            }
        )
        async for _ in told():
            tell_parent(sent)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))
