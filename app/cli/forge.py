"""`darner forge`: the local GitHub alone, with people to act as and a repository to try things on."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.settings import default_home

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
    asyncio.run(_serve(port, home or default_home() / "forge", webhook_url, webhook_secret))


async def _serve(port: int, home: Path, webhook_url: str, webhook_secret: str) -> None:
    import secrets

    from demo import forge as local
    from demo import story

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    secret = webhook_secret or secrets.token_hex(16)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
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
            "export DARNER_MODEL=… OPENAI_BASE_URL=… OPENAI_API_KEY=…",
            "darner serve",
        ):
            console.print(f"  {line}")
        console.print("\nCtrl-C ends it; what was said and pushed is kept.")
        await stopped.wait()
