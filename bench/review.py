"""From a request for a review to the model's first request, for pull requests of 10, 100 and 1,000 files.

Forge, server and model endpoint each in a process of its own. Each head is new to the server: what is
measured includes fetching it, reading its diff and its files, and composing the first message.
"""

import asyncio
import subprocess
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.endpoint import Endpoint, endpoint
from bench.figure import Figure, median
from bench.first_request import POLL_SECONDS, settings
from bench.hosting import FILES_PER_DIRECTORY, Hosting, hosting
from bench.spawn import child, free_port, listening
from demo.forge import git
from demo.forge.person import Person, signed_in

REPOSITORY: Final = "maya/reviewed"
FILES: Final = 2_000
SIZES: Final = (10, 100, 1_000)
TRIES: Final = 3
PATIENCE_SECONDS: Final = 120.0
TARGET_MS: Final = 2_000.0
"""At the largest size."""


async def measure() -> list[Figure]:
    """One figure a size."""
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
        async with AsyncExitStack() as stack:
            home, port = Path(directory), free_port()
            model = await stack.enter_async_context(endpoint({"review": []}))
            forge = await stack.enter_async_context(
                hosting(
                    home / "forge",
                    repository=REPOSITORY,
                    files=FILES,
                    webhook_url=f"http://127.0.0.1:{port}/webhook",
                )
            )
            environment = settings(home / "darner", forge, model, script="review")
            await stack.enter_async_context(
                child("app", "serve", "--port", str(port), environment=environment)
            )
            await listening(port)
            maya = await stack.enter_async_context(
                signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"])
            )
            clone = await asyncio.to_thread(_cloned, home / "clone", forge)
            # Makes the mirror, and whatever else is made once.
            await _reviewed(maya, forge, model, clone, branch="warm", files=1)
            return [await _figure(maya, forge, model, clone, size) for size in SIZES]


async def _figure(maya: Person, forge: Hosting, model: Endpoint, clone: Path, size: int) -> Figure:
    samples = [
        await _reviewed(maya, forge, model, clone, branch=f"change-{size}-{number}", files=size)
        for number in range(TRIES)
    ]
    value = median([wait for wait, _ in samples]) * 1000
    is_judged = size == max(SIZES)
    return Figure(
        f"review.first_request.{size}_files",
        value,
        "ms",
        target=f"<= {TARGET_MS:.0f} ms" if is_judged else "",
        ok=value <= TARGET_MS if is_judged else None,
        note=f"best {min(wait for wait, _ in samples) * 1000:.0f} ms; request of {samples[0][1]:,} bytes",
    )


async def _reviewed(
    maya: Person, forge: Hosting, model: Endpoint, clone: Path, *, branch: str, files: int
) -> tuple[float, int]:
    """Seconds from the webhook to the request for a new pull request, and the request's bytes."""
    await asyncio.to_thread(_pushed, clone, branch, files)
    number = await maya.opens_pull(REPOSITORY, head=branch, base="main", title=f"Change {branch}")
    comment = await maya.says(REPOSITORY, number, "@darner review")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any("**Review**" in said.body for said in await maya.reads(REPOSITORY, number)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no review of #{number}")
        await asyncio.sleep(POLL_SECONDS)
    [asked] = await model.asked("review")
    return asked.arrived - (await forge.sent())[comment], asked.size


def _cloned(directory: Path, forge: Hosting) -> Path:
    scheme, _, place = forge.url.partition("://")
    url = f"{scheme}://maya:{forge.tokens['maya']}@{place}/{REPOSITORY}.git"
    _git(directory.parent, "clone", "-q", url, str(directory))
    return directory


def _pushed(clone: Path, branch: str, files: int) -> None:
    """A branch that changes so many files, a few lines each."""
    _git(clone, "checkout", "-q", "-B", branch, "origin/main")
    for number in range(files):
        part, name = divmod(number, FILES_PER_DIRECTORY)
        path = clone / f"src/part_{part:04d}/module_{name:03d}.py"
        path.write_text(
            path.read_text() + f"\n\ndef {branch.replace('-', '_')}() -> int:\n    return {number}\n"
        )
    _git(clone, "add", "-A")
    who = ("-c", "user.name=maya", "-c", "user.email=maya@example.com")
    _git(clone, *who, "commit", "-q", "-m", f"Change {files} files")
    _git(clone, "push", "-q", "origin", branch)


def _git(directory: Path, *arguments: str) -> None:
    subprocess.run((git.program(), *arguments), cwd=directory, env=git.environment(), check=True, timeout=300)
