"""`darner serve` and `darner worker`: what takes webhooks, what works on them, and the health of both."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.complaint import REFUSED, complain
from app.role import Role
from app.settings import Settings, SettingsRefused, load_settings

if TYPE_CHECKING:
    from app.wiring import Server

LogJson = Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (DARNER_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (DARNER_PORT).")] = None,
    no_work: Annotated[
        bool, typer.Option("--no-work", help="Take webhooks only: `darner worker` does the rest.")
    ] = False,
    log_json: LogJson = False,
) -> None:
    """Take webhooks and run turns, until interrupted. What is under way is continued at the next start."""
    settings = _settings()
    role = Role(works=settings.work and not no_work)
    _run(
        settings, role, host or settings.host, port if port is not None else settings.port, log_json=log_json
    )


def worker(
    host: Annotated[str | None, typer.Option(help="Address to listen on (DARNER_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Answer /healthz, /readyz and /metrics on this port; else on none.")
    ] = None,
    log_json: LogJson = False,
) -> None:
    """Run turns and answer, without taking webhooks, until interrupted: one of many on one PostgreSQL."""
    settings = _settings()
    _run(settings, Role(takes=False), host or settings.host, port, log_json=log_json)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsRefused as error:
        raise complain(str(error)) from None


def _run(settings: Settings, role: Role, host: str, port: int | None, *, log_json: bool) -> None:
    # Not before the settings are known to be good: these imports cost seconds.
    import uvicorn

    from app.claim import AlreadyRunning, claimed
    from app.log import configure_logging
    from app.store.reachable import DatabaseAway, reach
    from app.wiring import build, required, server_of

    configure_logging(secrets=lambda: settings.secrets, as_json=log_json)
    try:
        required(settings, role)
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        reach(settings.sql_url)
        if role.works:
            _refuse_unconfined(settings)
        # The server claims the database itself; asked here, a second one is told in one sentence.
        with claimed(settings.sql_url):
            pass
        if port is None:
            _until_told(server_of(settings, role=role))
            return
        uvicorn.run(
            build(settings, role=role),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    except (SettingsRefused, AlreadyRunning) as error:
        raise complain(str(error)) from None
    except DatabaseAway as error:
        raise complain(str(error), status=1) from None


def _until_told(server: "Server") -> None:
    """Work without a port, until SIGTERM or SIGINT."""
    import asyncio
    import signal

    async def work() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        async with server.running():
            await told.wait()

    asyncio.run(work())


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
