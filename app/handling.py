"""Handles a letter: fetches the view of what happened, asks the handlers; what goes wrong is tried again."""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from app.ci_view import ChecksLook
from app.deciding import Decisions, thread_of
from app.engine import WakeUps
from app.forge_error import ForgeError
from app.github import GitHub
from app.moved import has_moved
from app.particulars import Particulars, particulars_of
from app.queues import Queue
from app.retry import PATIENT_TRIES, TRIES, Fault
from app.spending import Payer, Spending
from app.store import deliveries, inbox, outbox, requests, turns
from app.store.database import Database
from app.store.inbox import Letter
from app.store.places import RepositoryRef
from app.store.requests import AlreadyDecided
from app.store.turns import TurnOver
from app.view import fetch_view
from handlers.dispatch import dispatch
from handlers.effects import Decide, Effect, LookAtChecks, ResumeTurn, StartTurn, StopTurn
from handlers.events import (
    ButtonPressed,
    ChecksDue,
    Event,
    IssueCommented,
    OperatorAsked,
    PullChanged,
    ReviewCommented,
    SubjectOpened,
)
from handlers.ingest import parse, set_aside
from handlers.on_handling_failed import on_handling_failed
from handlers.view import AskedRequest, Bot, TurnBrief, View
from harness.protocols import OwnershipLost

log = logging.getLogger(__name__)


class Handling:
    """Of the letters of all threads."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        github: GitHub,
        *,
        bot: Callable[[], Bot],
        spending: Spending,
        now: Callable[[], float],
    ) -> None:
        self._database = database
        self._wake_ups = wake_ups
        self._github = github
        self._bot = bot
        self._spending = spending
        self._now = now
        self._checks = ChecksLook(github, database, now)
        self._decisions = Decisions(wake_ups, bot=bot, now=now)

    async def handle(self, thread: str, place: RepositoryRef, letter: Letter) -> None:
        """One event: view, decision, effects. The handler border: a fault is recorded and tried again."""
        try:
            chosen = await self._choose(thread, place, letter)
        except ForgeError as error:
            if await has_moved(self._github, self._database, place, error):
                return
            tries = PATIENT_TRIES if error.is_passing else TRIES
            fault = Fault(str(error), tries, error.retry_after)
            await self._put_off(thread, letter, fault)
        except OwnershipLost:
            raise
        except Exception:
            reference = secrets.token_hex(4)
            fields = {"reference": reference, "thread": thread, "letter": letter.id}
            log.exception("event.handler_failed", extra={"fields": fields})
            fault = Fault(f"internal error, reference {reference}", TRIES)
            await self._put_off(thread, letter, fault)
        else:
            try:
                await self._database.write(
                    lambda connection: self._decisions.store(connection, thread, letter, chosen)
                )
            except (TurnOver, AlreadyDecided):
                # It ended, or was answered, between the look and the decision: look again.
                return
            for look in chosen:
                if isinstance(look, LookAtChecks):
                    self._wake_ups.nudge(Queue.EVENTS, thread_of(place, look), after=look.after)
            if any(isinstance(effect, StartTurn | Decide | StopTurn | ResumeTurn) for effect in chosen):
                self._wake_ups.nudge(Queue.TURNS, thread)

    async def _choose(self, thread: str, place: RepositoryRef, letter: Letter) -> Sequence[Effect]:
        event = await self._event(letter)
        bot = self._bot()
        if aside := set_aside(event, bot):
            return [aside]

        def look(
            connection: Connection,
        ) -> tuple[list[TurnBrief], tuple[AskedRequest, ...], Particulars]:
            known = turns.briefs_of(connection, thread)
            asked = requests.of_thread(connection, thread, now=self._now())
            asking = letter.delivery
            found = particulars_of(connection, thread, event, bot, briefs=known, delivery=asking)
            return known, tuple(asked), found

        known, asked, found = await self._database.read(look)
        view = await fetch_view(
            event,
            github=self._github,
            place=place,
            bot=bot,
            turns=known,
            requests=asked,
            target=found.target,
        )
        view = replace(
            view, thread=found.thread, target=found.target, account=found.account, memory=found.memory
        )
        if isinstance(event, ChecksDue):
            facts = await self._checks.facts(event, view, thread=thread, place=place, bot=bot)
            view = replace(view, ci=facts)
        return dispatch(event, await self._with_budgets(view, event, thread, place))

    async def _with_budgets(self, view: View, event: Event, thread: str, place: RepositoryRef) -> View:
        """What is spent matters where somebody asks for something."""
        match event:
            case IssueCommented() | ReviewCommented() | SubjectOpened() | ButtonPressed():
                actor = event.actor.id
            case PullChanged():
                # What begins by itself is its author's.
                actor = view.pull.author_id if view.pull is not None else event.actor.id
            case ChecksDue():
                actor = event.asked.by.id if event.asked else self._bot().id or 0
            case OperatorAsked():
                # What goes on is in the name of whoever asked for it.
                actor = event.start.requester.id
            case _:
                return view
        payer = Payer(thread=thread, place=place, actor=actor)
        allowances = await self._database.read(
            lambda connection: self._spending.allowances(connection, payer, with_open_ones=True)
        )
        return replace(view, allowances=allowances)

    async def _event(self, letter: Letter) -> Event:
        if letter.event is not None:
            return letter.event
        if letter.delivery is None:
            msg = f"letter {letter.id} has neither a delivery nor an event"
            raise ValueError(msg)
        delivery = letter.delivery
        _, name, body = await self._database.read(lambda connection: deliveries.read(connection, delivery))
        return parse(name, body)

    async def _put_off(self, thread: str, letter: Letter, fault: Fault) -> None:
        """Leave it for later; after too many tries say so to whoever waits."""
        if fault.is_final(letter.attempts):
            await self._give_up(thread, letter, fault)
            return
        delay = fault.pause(letter.attempts)
        until = self._now() + delay

        def postpone(connection: Connection) -> None:
            inbox.postpone(connection, letter.id, until=until)
            wake = f"letter-{letter.id}-{letter.attempts + 1}"
            self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=wake, delay=delay)

        await self._database.write(postpone)
        self._wake_ups.nudge(Queue.EVENTS, thread, after=delay)
        fields = {"thread": thread, "letter": letter.id, "fault": fault.text, "delay": delay}
        log.warning("event.postponed", extra={"fields": fields})

    async def _give_up(self, thread: str, letter: Letter, fault: Fault) -> None:
        try:
            last_words = on_handling_failed(await self._event(letter), fault=fault.text)
        except Exception:
            # What cannot even be read has nobody to answer to; the ledger has it.
            log.exception("event.unreadable", extra={"fields": {"thread": thread, "letter": letter.id}})
            last_words = []

        def give_up(connection: Connection) -> None:
            outbox.put(connection, thread, last_words, cause=letter.id, now=self._now())
            inbox.mark(connection, letter.id, "failed")
            if letter.delivery is not None:
                reason = f"Given up after {letter.attempts + 1} tries: {fault.text}"
                deliveries.decide(connection, letter.delivery, state="failed", reason=reason)

        await self._database.write(give_up)
        fields = {"thread": thread, "letter": letter.id, "fault": fault.text}
        log.error("event.given_up", extra={"fields": fields})
