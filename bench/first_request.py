"""From a comment to the model's first request, on a repository of 100,000 files whose mirror is warm.

Forge, server and model endpoint each in a process of its own; the server is `darner serve`. The clock starts
when the forge is about to send the webhook and stops when the endpoint has the request.
"""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.endpoint import Asked, Endpoint, endpoint
from bench.figure import Figure, median, percentile
from bench.hosting import SECRET, Hosting, hosting
from bench.spawn import child, free_port, listening
from demo.forge.person import Person, signed_in

REPOSITORY: Final = "maya/large"
FILES: Final = 100_000
TITLE: Final = "`spread` loses a stitch"
BODY: Final = "11 stitches and 3 increases come out as 10 stitches."
REQUEST: Final = "@darner fix the failing test"
TRIES: Final = 5
PATIENCE_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.2
TARGET_MS: Final = 100.0
TARGET_BYTES: Final = 8_000


async def measure() -> list[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as directory:
        async with AsyncExitStack() as stack:
            home, port = Path(directory), free_port()
            checkouts = home / "darner" / "checkouts"
            model = await stack.enter_async_context(endpoint({"done": []}))
            forge = await stack.enter_async_context(
                hosting(
                    home / "forge",
                    repository=REPOSITORY,
                    files=FILES,
                    webhook_url=f"http://127.0.0.1:{port}/webhook",
                )
            )
            await stack.enter_async_context(
                child(
                    "app", "serve", "--port", str(port), environment=settings(home / "darner", forge, model)
                )
            )
            await listening(port)
            maya = await stack.enter_async_context(
                signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"])
            )
            await _asked_once(
                maya, forge, model, checkouts
            )  # Makes the mirror, and whatever else is made once.
            samples = [await _asked_once(maya, forge, model, checkouts) for _ in range(TRIES)]
    return _figures(samples)


def settings(home: Path, forge: Hosting, model: Endpoint, *, script: str = "done") -> dict[str, str]:
    """The environment of a `darner serve` that works for `forge` with `model`."""
    return {
        "DARNER_HOME": str(home),
        "DARNER_GITHUB_URL": forge.url,
        "DARNER_GITHUB_APP_ID": str(forge.app_id),
        "DARNER_GITHUB_APP_KEY": forge.app_key,
        "DARNER_WEBHOOK_SECRET": SECRET,
        "DARNER_MODEL": "scripted",
        "OPENAI_BASE_URL": model.url(script),
        "OPENAI_API_KEY": "none",
    }


async def _asked_once(maya: Person, forge: Hosting, model: Endpoint, checkouts: Path) -> tuple[float, Asked]:
    """Seconds from webhook to request on a new issue, and the request; returns when all else is over too."""
    number = await maya.opens_issue(REPOSITORY, TITLE, BODY)
    comment = await maya.says(REPOSITORY, number, REQUEST)
    await _answered(maya, number)
    await _removed(checkouts)
    [asked] = await model.asked("done")
    return asked.arrived - (await forge.sent())[comment], asked


async def _answered(maya: Person, number: int) -> None:
    """Return when the bot has said in the conversation what the model's last words were."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if any("Done." in said.body for said in await maya.reads(REPOSITORY, number)):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"no answer on issue {number}")


async def _removed(checkouts: Path) -> None:
    """Return when no checkout of 100,000 files is being removed any more: the next try is on a quiet disk."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(checkouts.iterdir()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{checkouts} is not removed")
        await asyncio.sleep(POLL_SECONDS)


def _figures(samples: list[tuple[float, Asked]]) -> list[Figure]:
    waits = [wait for wait, _ in samples]
    size = median([asked.size for _, asked in samples])
    value = median(waits) * 1000
    return [
        Figure(
            "first_request.after_webhook",
            value,
            "ms",
            target=f"<= {TARGET_MS:.0f} ms",
            ok=value <= TARGET_MS,
            note=f"{FILES} files; best {min(waits) * 1000:.0f}, p90 {percentile(waits, 0.9) * 1000:.0f} ms",
        ),
        Figure("first_request.size", size, "bytes", target=f"<= {TARGET_BYTES}", ok=size <= TARGET_BYTES),
    ]
