"""`darner forge`: the local GitHub alone, with people to act as and a repository to try things on."""

import asyncio
import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from app.cli.complaint import complain
from app.settings import SettingsRefused, load_settings

REPOSITORY = "maya/purl"


def forge(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8585,
    home: Annotated[
        Path | None, typer.Option(help="Where its world is kept (default: below DARNER_HOME).")
    ] = None,
    webhook_url: Annotated[
        str, typer.Option(help="Where its webhooks go: your server's /webhook.")
    ] = "http://127.0.0.1:8484/webhook",
    webhook_secret: Annotated[str, typer.Option(help="Their secret; one is made up without.")] = "",
) -> None:
    """Run a GitHub on this machine: issues, pull requests, real git, webhooks, and pages to look at."""
    world = home or _world_below_home()
    try:
        with _claimed(world):
            asyncio.run(_serve(port, world, webhook_url, webhook_secret))
    except BlockingIOError:
        told = f"Another forge keeps its world in {world}. Stop it, or give this one a --home of its own."
        raise complain(told, status=1) from None
    except OSError as error:
        told = f"The forge cannot listen on port {port} and keep its world in {world}: {error.strerror}."
        raise complain(f"{told} Take another with --port or --home.", status=1) from None


def _world_below_home() -> Path:
    try:
        return load_settings().home / "forge"
    except SettingsRefused as error:
        raise complain(str(error)) from None


@contextmanager
def _claimed(world: Path) -> Iterator[None]:
    """Two forges on one world would take each other's webhooks. Raises `BlockingIOError`."""
    world.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (world / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


async def _serve(port: int, home: Path, webhook_url: str, webhook_secret: str) -> None:
    import secrets

    from demo import forge as local
    from demo import story

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    secret = webhook_secret or secrets.token_hex(16)
    async with local.serve(home, port=port, webhook_url=webhook_url, webhook_secret=secret) as running:
        if running.state.repository(*REPOSITORY.split("/")) is None:
            running.create_repository(REPOSITORY, directory=story.REPOSITORY)
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"The forge is at [bold]{running.url}[/]; try {running.url}/{REPOSITORY}/issues\n")
        console.print("People and their tokens:")
        for login, token in running.tokens.items():
            console.print(f"  {login:<12} {token}", markup=False)
        console.print("\nA server for it (its webhooks go to " + webhook_url + "):")
        for line in (
            f"export DARNER_GITHUB_URL={running.url}",
            f"export DARNER_GITHUB_TOKEN={running.tokens['darner[bot]']}",
            f"export DARNER_WEBHOOK_SECRET={secret}",
            *_server_port(webhook_url),
            "export DARNER_MODEL=… OPENAI_BASE_URL=… OPENAI_API_KEY=…",
            "darner serve",
        ):
            console.print(f"  {line}")
        console.print("\nNo model at hand? `python -m demo.model` plays one, and prints the line to use it.")
        console.print("\nCtrl-C ends it; what was said and pushed is kept.")
        await stopped.wait()


def _server_port(webhook_url: str) -> list[str]:
    """A server of this machine has to listen where the webhooks go."""
    where = urlsplit(webhook_url)
    is_here = where.hostname in {"127.0.0.1", "localhost"}
    return [f"export DARNER_PORT={where.port}"] if is_here and where.port not in {None, 8484} else []
