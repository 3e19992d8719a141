"""`darner serve`: the webhook, the workers and the health of both, in one process."""

from typing import Annotated

import typer

from app.cli.complaint import REFUSED, complain
from app.settings import Settings, SettingsRefused, load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (DARNER_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (DARNER_PORT).")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
) -> None:
    """Take webhooks and run turns, until interrupted. What is under way is continued at the next start."""
    try:
        settings = load_settings()
    except SettingsRefused as error:
        raise complain(str(error)) from None
    # Not before the settings are known to be good: these imports cost seconds.
    import uvicorn

    from app.engine import AlreadyRunning, claimed
    from app.log import configure_logging
    from app.wiring import build

    configure_logging(secrets=lambda: settings.secrets, as_json=log_json)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    _refuse_unconfined(settings)
    try:
        # The server claims the database itself; asked here, a second one is told in one sentence.
        with claimed(settings.sql_url):
            pass
        uvicorn.run(
            build(settings),
            host=host or settings.host,
            port=port if port is not None else settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    except (SettingsRefused, AlreadyRunning) as error:
        raise complain(str(error)) from None


def _refuse_unconfined(settings: Settings) -> None:
    """A server that would have to refuse every turn does not start; what is merely weak is logged."""
    import asyncio
    import logging

    from app.confinement import confinement_checks

    log = logging.getLogger(__name__)
    failed = []
    for check in asyncio.run(confinement_checks(settings)):
        if check.result == "failed":
            failed.append(str(check))
        elif check.result == "warning":
            fields = {"check": check.name, "detail": check.detail, "remedy": check.remedy}
            log.warning("sandbox.warning", extra={"fields": fields})
    if failed:
        told = "\n".join(f"  {line}" for line in failed)
        raise complain(f"No turn can be confined here, so the server does not start.\n{told}", status=REFUSED)
