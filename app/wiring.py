"""The composition root: every part is made here, by hand, and handed what it needs."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp

from app.blobs import blobs_of
from app.confinement import mode_check, usable
from app.engine import Drive, TurnPlaces, WakeUps
from app.events_worker import EventsWorker
from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.http import Part, Probe, create_app
from app.intake import Intake
from app.metrics import render_metrics
from app.mirrors import Mirrors
from app.missed import Missed
from app.model_limits import SharedModel
from app.perform import Performer
from app.progress import Progress, Watcher
from app.queues import Queue
from app.reconcile import Reconciler
from app.results import Results, forget_old
from app.role import Role
from app.runtime import Runtime
from app.seat import seat_in
from app.settings import Settings, SettingsRefused
from app.spending import Spending
from app.store import backlog
from app.store.database import Database
from app.store.keys import key
from app.tokens import AppTokens, PersonalToken, Tokens
from app.turn_parts import api_key_of, driver_of, limits_of, model_of, room_of, rules_of
from app.turns_worker import TurnsWorker
from app.unheard import Unheard
from app.workspaces import Workspaces
from handlers.view import Bot
from harness.models.probe import endpoint_fault
from harness.protocols import Model

log = logging.getLogger(__name__)

GOOD_LOOK_SECONDS: Final = 60.0
"""How long a sandbox that was built and found sound counts as sound: building one takes a while."""
PRUNE_SECONDS: Final = 24 * 3600.0
"""Between two looks for results that nobody asks for any more."""
TIDY_SECONDS: Final = 300.0
"""Between two looks for checkouts of turns that have ended elsewhere."""
LONGEST_INTRODUCTION_PAUSE: Final = 10.0
"""Seconds between two tries to learn who we are; the first come sooner: no turn goes on before."""


def required(settings: Settings, role: Role) -> None:
    """Raises `SettingsRefused` naming everything that a process of this role cannot do without."""
    missing: list[str] = []
    if role.takes and not settings.webhook_secrets:
        missing.append(
            "DARNER_WEBHOOK_SECRET (the secret of the webhook; unsigned deliveries are never taken)"
        )
    if settings.github_token is None and settings.github_app_id is None:
        missing.append("DARNER_GITHUB_TOKEN, or DARNER_GITHUB_APP_ID with DARNER_GITHUB_APP_KEY")
    if role.works and not settings.model:
        missing.append("DARNER_MODEL (the name of the model at OPENAI_BASE_URL)")
    if role != Role() and not settings.database_url.startswith("postgresql"):
        missing.append("DARNER_DATABASE_URL (a PostgreSQL: SQLite is for one process that does everything)")
    if missing:
        raise SettingsRefused("These settings are missing: " + "; ".join(missing) + ".")


def build(settings: Settings, *, watcher: Watcher | None = None, role: Role | None = None) -> ASGIApp:
    """The whole server. Nothing is opened before its lifespan begins. Raises `SettingsRefused`."""
    role = role or Role(works=settings.work)
    server = server_of(settings, watcher=watcher, role=role)
    return create_app(
        intake=server.intake() if role.takes else None,
        probes=server.probes(),
        metrics=server.metrics,
        admin_token=settings.admin_token,
        lifespan=server.running,
    )


def server_of(settings: Settings, *, watcher: Watcher | None = None, role: Role) -> "Server":
    """The process without a face. Raises `SettingsRefused`."""
    required(settings, role)
    return Server(settings, watcher, role)


class Server:
    """The parts of one process, and their life."""

    def __init__(self, settings: Settings, watcher: Watcher | None, role: Role) -> None:
        self._settings = settings
        self._role = role
        self._watcher = watcher
        self._tokens = tokens_of(settings)
        self._driver = driver_of(settings)
        self._rules = rules_of(settings)
        self._blobs = blobs_of(settings)
        self.database = Database(settings.sql_url)
        places = TurnPlaces(settings.max_turns, settings.max_turns_total, settings.max_turns_repository)
        self.wake_ups = WakeUps(self.database, max_turns=places, works=role.works)
        self.limits = ForgeLimits(self.database, spacing=settings.write_spacing)
        self.github = GitHub(
            api_url=settings.api_url,
            web_url=settings.github_url,
            tokens=self._tokens,
            limits=self.limits,
        )
        self.reconciler = Reconciler(
            self.database,
            self.wake_ups,
            self.github,
            self.limits,
            every=60 * settings.reconcile_minutes,
            is_my_turn=self.wake_ups.is_first_in,
        )
        self.bot = _unknown_bot(settings)
        """Who Darner is; complete once the forge has told."""
        self._known = asyncio.Event()
        self._confines_until = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Workers, engine and store, for as long as the context lasts."""
        self._settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with AsyncExitStack() as stack:
            stack.enter_context(self.database)
            fresh = secrets.token_bytes(32)
            marker_key = await self.database.write(lambda connection: key(connection, "markers", fresh=fresh))
            drives = await self._drives(stack, marker_key) if self._role.works else {}
            introducing = asyncio.create_task(self._introduce())
            stack.push_async_callback(_end, introducing)
            await asyncio.wait([introducing], timeout=5)
            if introducing.done():
                introducing.result()
            stack.push_async_callback(self.wake_ups.stop)
            await self.wake_ups.start(drives, backlog=self._backlog, is_ready=self._known.is_set)
            watching = asyncio.create_task(self._watch_for_missed())
            stack.push_async_callback(_end, watching)
            pruning = asyncio.create_task(self._forget_old_results())
            stack.push_async_callback(_end, pruning)
            log.info("server.started", extra={"fields": {"bot": self.bot.login, "mention": self.bot.mention}})
            yield

    async def _drives(self, stack: AsyncExitStack, marker_key: bytes) -> Mapping[Queue, Drive]:
        """The workers, and the place on the disk that they work in."""
        home = self._settings.home
        seat = home if self.database.is_sqlite else stack.enter_context(seat_in(home))
        mirrors = Mirrors(seat, web_url=self._settings.github_url, tokens=self._tokens)
        stack.push_async_callback(mirrors.close)
        endpoint = await stack.enter_async_context(model_of(self._settings))
        model = SharedModel(endpoint, self.database, base_url=self._settings.openai_base_url)
        workspaces = Workspaces(seat, self._driver)
        stack.push_async_callback(workspaces.close)
        results = Results(mirrors, self._blobs)
        events, turns = self._workers(model, marker_key, mirrors, results, workspaces)
        await turns.remove_abandoned()
        if not self.database.is_sqlite:
            tidying = asyncio.create_task(_tidied(turns))
            stack.push_async_callback(_end, tidying)
        return {Queue.EVENTS: self._once_known(events.drive), Queue.TURNS: self._once_known(turns.drive)}

    def _workers(
        self, model: Model, marker_key: bytes, mirrors: Mirrors, results: Results, workspaces: Workspaces
    ) -> tuple[EventsWorker, TurnsWorker]:
        def bot() -> Bot:
            return self.bot

        performer = Performer(
            self.database,
            self.github,
            mirrors,
            results,
            bot=bot,
            marker_key=marker_key,
            secrets=self.secrets,
        )
        spending = Spending(lambda: self.bot.ceiling, limits_of(self._settings), time.time)
        runtime = Runtime(
            database=self.database,
            github=self.github,
            mirrors=mirrors,
            results=results,
            workspaces=workspaces,
            model=model,
            spending=spending,
            prices=self._settings.price_table,
            room=room_of(self._settings),
            rules=self._rules,
            bot=bot,
            home=self._settings.home,
            now=time.time,
        )
        progress = Progress(self.database, performer, self.limits, watcher=self._watcher)
        events = EventsWorker(
            self.database,
            self.wake_ups,
            self.github,
            performer,
            self.limits,
            bot=bot,
            spending=spending,
            now=time.time,
        )
        return (
            events,
            TurnsWorker(runtime, self.wake_ups, progress),
        )

    def _once_known(self, drive: Drive) -> Drive:
        """Nothing is decided before we know who we are: our own comments would look like others'."""

        async def waiting(thread: str) -> None:
            await self._known.wait()
            await drive(thread)

        return waiting

    async def _backlog(self) -> list[tuple[Queue, str]]:
        def due(connection: Connection) -> list[tuple[Queue, str]]:
            now = time.time()
            events = backlog.threads_with_events(connection, now=now)
            turns = backlog.threads_with_turns(connection, now=now)
            return [
                *((Queue.EVENTS, thread) for thread in events),
                *((Queue.TURNS, thread) for thread in turns),
            ]

        return await self.database.read(due)

    async def _introduce(self) -> None:
        """Ask the forge who we are, until it tells."""
        pause = 0.5
        while True:
            try:
                identity = await asyncio.to_thread(self._tokens.identity)
            except ForgeError as error:
                log.warning("forge.unreachable", extra={"fields": {"error": str(error)}})
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_INTRODUCTION_PAUSE)
                continue
            mention = self._settings.mention or identity.slug or "darner"
            self.bot = replace(self.bot, id=identity.id, login=identity.login, mention=mention)
            self._known.set()
            return

    async def _watch_for_missed(self) -> None:
        await self._known.wait()
        missed = Missed(self.database, self._tokens, is_my_turn=self.wake_ups.is_first_in)
        watches = [missed.watch(), self.reconciler.watch()]
        if self._settings.github_token is not None and self._role.takes:
            watches.append(self._unheard().watch())
        await asyncio.gather(*watches)

    def _unheard(self) -> Unheard:
        return Unheard(
            self.database,
            self.github,
            self.limits,
            take=self.intake().take,
            bot=lambda: self.bot,
            every=60 * self._settings.reconcile_minutes,
            is_my_turn=self.wake_ups.is_first_in,
        )

    def intake(self) -> Intake:
        """What takes deliveries."""
        return Intake(
            self.database,
            self.wake_ups,
            secrets=self._settings.webhook_secrets,
            bot=lambda: self.bot,
            on_standing_changed=self.reconciler.look_soon,
            quiet_seconds=self._settings.review_quiet_seconds,
        )

    async def _forget_old_results(self) -> None:
        """Once a day, by one of all processes."""
        if self._blobs is None or not self._role.works:
            return
        while True:
            if await self.wake_ups.is_first_in("darner-results", PRUNE_SECONDS / 2):
                try:
                    await forget_old(self._blobs, datetime.now(UTC).date())
                except OSError as error:
                    log.warning("blobs.not_pruned", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(PRUNE_SECONDS)

    def secrets(self) -> Sequence[str]:
        """Every live secret: what no text may hold."""
        return (*self._settings.secrets, *self._tokens.live())

    def probes(self) -> dict[str, Probe]:
        probes: dict[str, Probe] = {"database": self._probe_database, "forge": self._probe_forge}
        if self._role.works:
            probes |= {"sandbox": self._probe_sandbox, "model": self._probe_model}
        return probes

    async def metrics(self) -> str:
        currency = self._settings.currency
        return await self.database.read(lambda connection: render_metrics(connection, currency=currency))

    async def _probe_database(self) -> Part:
        try:
            await self.database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
        except SQLAlchemyError as error:
            return Part(result="failed", detail=type(error).__name__)
        return Part(result="ok")

    async def _probe_sandbox(self) -> Part:
        if time.monotonic() >= self._confines_until:
            if failed := await usable(self._driver, self._settings):
                return Part(result="failed", detail=str(failed))
            self._confines_until = time.monotonic() + GOOD_LOOK_SECONDS
        if mode_check(self._settings).result == "warning":
            return Part(result="warning", detail=f"{self._driver.name}, {self._settings.sandbox_mode}")
        return Part(result="ok", detail=self._driver.name)

    async def _probe_forge(self) -> Part:
        if self.bot.id is None:
            return Part(result="failed", detail=f"{self._settings.github_url} has not told who the token is")
        try:
            await asyncio.to_thread(self._tokens.check)
        except ForgeError as error:
            return Part(result="failed", detail=str(error))
        return Part(result="ok", detail=self.bot.login)

    async def _probe_model(self) -> Part:
        fault = await endpoint_fault(
            base_url=self._settings.openai_base_url, api_key=api_key_of(self._settings)
        )
        return Part(result="failed" if fault else "ok", detail=fault or self._settings.model)


def tokens_of(settings: Settings) -> Tokens:
    if settings.github_token is not None:
        return PersonalToken(settings.github_token, api_url=settings.api_url)
    if settings.github_app_id is None:
        msg = "there is neither a token nor an App"
        raise SettingsRefused(msg)
    try:
        pem = settings.app_key_pem
    except (OSError, UnicodeDecodeError) as error:
        fault = error.strerror if isinstance(error, OSError) else "the file holds no text"
        msg = f"DARNER_GITHUB_APP_KEY: {fault}; give the PEM text or a readable file."
        raise SettingsRefused(msg) from None
    try:
        return AppTokens(app_id=settings.github_app_id, private_key=pem, api_url=settings.api_url)
    except ValueError as error:
        msg = f"DARNER_GITHUB_APP_KEY: {error}; give the text of the .pem file, or its path."
        raise SettingsRefused(msg) from None


def _unknown_bot(settings: Settings) -> Bot:
    return Bot(
        id=None,
        login="darner",
        mention=settings.mention or "darner",
        allowed_bots=settings.allowed_bots,
        ceiling=settings.ceiling,
    )


async def _tidied(turns: TurnsWorker) -> None:
    """Other processes end turns that were begun here, when this one died before."""
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        try:
            await turns.remove_abandoned()
        except SQLAlchemyError as error:
            log.warning("checkouts.not_tidied", extra={"fields": {"error": type(error).__name__}})


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
