"""Drives a thread's inbox: claims a letter, fetches the view, asks the handlers, stores and performs effects.

Effects of one thread are done in order; one that must wait (a rate limit) holds the later ones. What is given
up is an event of its own, so that whoever asked hears of it.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from sqlalchemy import Connection

from app import letters
from app.ci_view import ChecksLook
from app.engine import Queue, WakeUps
from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.particulars import Particulars, particulars_of
from app.perform import Performed, Performer
from app.results import StoreAway
from app.spending import Payer, Spending
from app.stopping import stop
from app.store import (
    charges,
    ci,
    compacting,
    deliveries,
    forgetting,
    inbox,
    messages,
    outbox,
    requests,
    reviews,
    threads,
    turns,
)
from app.store.database import Database
from app.store.inbox import Letter
from app.store.outbox import Pending
from app.store.places import RepositoryRef
from app.store.requests import AlreadyDecided
from app.store.turns import TurnOver
from app.view import fetch_view
from handlers.dispatch import dispatch
from handlers.effects import (
    AskApproval,
    CompactThread,
    Decide,
    EditComment,
    Effect,
    EffectAdapter,
    ForgetThread,
    HoldThread,
    Ignore,
    LookAtChecks,
    NoteChecks,
    OpenPull,
    PauseTurn,
    PostComment,
    PostReview,
    PushResult,
    React,
    RecordReview,
    RerunJobs,
    ResumeTurn,
    SetBudget,
    SettleThread,
    StartTurn,
    SteerTurn,
    StopTurn,
    UndoTurn,
    WriteCheckRun,
)
from handlers.events import (
    ButtonPressed,
    ChecksDue,
    EffectFailed,
    Event,
    HeldApproved,
    InternalEvent,
    IssueCommented,
    OperatorAsked,
    PlacedFinding,
    PullChanged,
    ResultPushed,
    ReviewCommented,
    ReviewPosted,
    SubjectOpened,
    TurnEnded,
    TurnEvent,
    UndoEnded,
    ended_of,
)
from handlers.ingest import branch_thread, parse, set_aside
from handlers.on_handling_failed import on_handling_failed
from handlers.view import AskedRequest, Bot, TurnBrief, View
from harness.protocols import OwnershipLost
from sandbox.base import SandboxError
from sandbox.git import GitFailed

log = logging.getLogger(__name__)

ATTEMPTS: Final = 8
"""Tries before a fault of our own, or something merely nice to have, is given up: two minutes."""
PATIENT_ATTEMPTS: Final = 300
"""Tries while the forge is out of order: with the longest pause, about a day."""
GIT_ATTEMPTS: Final = 30
"""Tries of a git that could not: hours. It may be the network, or a disk that an operator must look after."""
_BASE_IS_GONE: Final = '"field": "base"'
"""In GitHub's refusal of a pull request. https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request"""
LOOKS_AT_EFFECTS: Final = frozenset({"Retry", "Fork", "Undo", "Forget", "retry", "rerequested"})
"""Commands, and buttons, that go by what was pushed before, or delete it: they come after all of it."""
LONGEST_LOOK: Final = 6 * 3600.0
"""How long a head whose checks never fall quiet waits for its look."""
LONGEST_PAUSE: Final = 300.0
LONGEST_OBEYED: Final = 3600.0
"""Of a `Retry-After`."""


_Outward = (
    React
    | PostComment
    | EditComment
    | UndoTurn
    | PushResult
    | OpenPull
    | WriteCheckRun
    | PostReview
    | SettleThread
    | RerunJobs
    | Ignore
)
"""What the performer does, when the decision is stored. An effect that is neither is a type error."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why something was not done, and how often it is worth trying."""

    text: str
    attempts: int
    after: float | None = None


class EventsWorker:
    """The `Queue.EVENTS` drive."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        github: GitHub,
        performer: Performer,
        limits: ForgeLimits,
        *,
        bot: Callable[[], Bot],
        spending: Spending,
        now: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._database = database
        self._wake_ups = wake_ups
        self._github = github
        self._performer = performer
        self._bot = bot
        self._spending = spending
        self._now = now
        self._checks = ChecksLook(github, database, now)

    async def drive(self, thread: str) -> None:
        """Work until nothing is left that may be done now."""
        while True:
            place, pending, letter = await self._database.read(
                lambda connection: (
                    inbox.place_of(connection, thread),
                    outbox.next_pending(connection, thread),
                    inbox.next_letter(connection, thread, now=self._now()),
                )
            )
            is_free = pending is not None and pending.not_before <= self._now()
            if pending is not None and is_free and await self._may_go(thread, place, pending):
                await self._perform(thread, place, pending)
            elif letter is not None and self._is_due(letter, pending):
                await self._handle(thread, place, letter)
            else:
                # Whoever postponed it has enqueued the wake-up for then.
                if pending is not None and not is_free and pending.slot is not None:
                    # Its time was moved back while it waited.
                    self._wake_ups.nudge(Queue.EVENTS, thread, after=pending.not_before - self._now())
                return

    def _is_due(self, letter: Letter, pending: Pending | None) -> bool:
        """Whether it is the letter's time, also while an effect waits for the forge's limits.

        What it is decided to do goes out behind what waits; but a turn is stopped, steered or answered at
        once. Only what looks at the effects themselves waits until they are done.
        """
        if letter.not_before > self._now():
            return False
        asks_operator = isinstance(letter.event, OperatorAsked)
        return pending is None or not (asks_operator or letter.command in LOOKS_AT_EFFECTS)

    async def _handle(self, thread: str, place: RepositoryRef, letter: Letter) -> None:
        """One event: view, decision, effects. The handler border: a fault is recorded and tried again."""
        try:
            chosen = await self._choose(thread, place, letter)
        except ForgeError as error:
            if await self._has_moved(place, error):
                return
            attempts = PATIENT_ATTEMPTS if error.is_passing else ATTEMPTS
            fault = _Fault(str(error), attempts, error.retry_after)
            await self._put_off_letter(thread, letter, fault)
        except OwnershipLost:
            raise
        except Exception:
            reference = secrets.token_hex(4)
            fields = {"reference": reference, "thread": thread, "letter": letter.id}
            log.exception("event.handler_failed", extra={"fields": fields})
            fault = _Fault(f"internal error, reference {reference}", ATTEMPTS)
            await self._put_off_letter(thread, letter, fault)
        else:
            try:
                await self._database.write(
                    lambda connection: self._decide(connection, thread, letter, chosen)
                )
            except (TurnOver, AlreadyDecided):
                # It ended, or was answered, between the look and the decision: look again.
                return
            for look in chosen:
                if isinstance(look, LookAtChecks):
                    self._wake_ups.nudge(Queue.EVENTS, _thread_of(place, look), after=look.after)
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

    def _decide(self, connection: Connection, thread: str, letter: Letter, chosen: Sequence[Effect]) -> None:
        """Effects, the turn they start, the letter and the delivery's decision: one transaction."""
        outbox.put(connection, thread, chosen, cause=letter.id, now=self._now())
        for effect in chosen:
            match effect:
                case StartTurn():
                    self._start(connection, thread, effect, cause=letter.id)
                case SteerTurn() | StopTurn() | PauseTurn() | ResumeTurn():
                    self._speak(connection, thread, effect)
                case HoldThread():
                    threads.hold(connection, thread, by=effect.by)
                case ForgetThread():
                    forgetting.forget(connection, thread)
                case AskApproval():
                    self._ask(connection, thread, effect, cause=letter.id)
                case Decide():
                    self._take_answer(connection, thread, effect)
                case RecordReview():
                    reviews.record(connection, thread, effect, now=self._now())
                case CompactThread():
                    self._ask_compaction(connection, thread, effect)
                case SetBudget():
                    charges.set_budget(connection, thread, tokens=effect.tokens, micros=effect.micros)
                case _:
                    self._note_checks(connection, thread, effect, cause=letter.id)
        inbox.mark(connection, letter.id, "handled")
        if letter.delivery is not None:
            reasons = [effect.reason for effect in chosen if isinstance(effect, Ignore)]
            started = [effect.turn_id for effect in chosen if isinstance(effect, StartTurn)]
            decided = [f"Request {e.request_id}: {e.state}." for e in chosen if isinstance(e, Decide)]
            done = [f"Started turn {turn}." for turn in started] + decided
            reason = "; ".join(reasons) or " ".join(done) or "Answered."
            deliveries.decide(connection, letter.delivery, state="handled", reason=reason)

    def _start(self, connection: Connection, thread: str, start: StartTurn, *, cause: int) -> None:
        """Nothing of it is outside of the store: to be done it need not be tried."""
        body = EffectAdapter.dump_json(start).decode()
        origin = inbox.origin_of(connection, cause)
        is_new = turns.queue(
            connection,
            start.turn_id,
            thread,
            start=body,
            origin=origin,
            now=self._now(),
            follows=start.follows or None,
            kind=start.kind,
        )
        if is_new:
            if start.kind == "task":
                compacting.hand_over(connection, thread, start.turn_id, now=self._now())
            self._wake_ups.enqueue(connection, Queue.TURNS, thread, wake=f"turn-{start.turn_id}")

    def _ask(self, connection: Connection, thread: str, asked: AskApproval, *, cause: int) -> None:
        now = self._now()
        until = now + self._bot().ceiling.approval_seconds if asked.until is None else asked.until
        requests.ask(connection, thread, asked, cause=cause, until=until, now=now)

    def _take_answer(self, connection: Connection, thread: str, answer: Decide) -> None:
        """The first answer counts; what it was waited for goes on. Raises `AlreadyDecided`."""
        now = self._now()
        decided = requests.decide(
            connection, answer.request_id, answer.state, by=answer.by.login, words=answer.words, now=now
        )
        request = decided.request
        if request.kind != "held":
            self._wake(connection, thread, request.turn, wake=f"answer-{request.id}")
            return
        asking = inbox.event_of(connection, decided.cause)
        if not isinstance(asking, TurnEvent):
            return
        if request.state == "approved":
            approved = HeldApproved(
                ended=ended_of(asking),
                request_id=request.id,
                digest=request.digest,
                asked=request.asked,
                head_sha=request.head_sha,
                by=answer.by,
            )
            origin = inbox.origin_of(connection, decided.cause)
            letters.post(connection, self._wake_ups, thread, approved, origin=origin, now=now)

    def _wake(self, connection: Connection, thread: str, turn: str, *, wake: str) -> None:
        """A parked turn need not wait for its time."""
        if turns.unpark(connection, turn):
            self._wake_ups.enqueue(connection, Queue.TURNS, thread, wake=wake)

    def _speak(
        self, connection: Connection, thread: str, effect: SteerTurn | StopTurn | PauseTurn | ResumeTurn
    ) -> None:
        """Say it to a turn that has not ended. Raises `TurnOver`: then nothing of the decision is kept."""
        turns.hold_open(connection, effect.turn_id)
        turn, author, key, now = effect.turn_id, effect.author, effect.key, self._now()
        match effect:
            case SteerTurn():
                messages.steer(connection, turn, author=author, text=effect.text, key=key, now=now)
            case StopTurn():
                queue = stop(connection, turn, author=author, key=key, now=now)
                if queue is not None:
                    self._wake_ups.enqueue(connection, queue, thread, wake=f"stop-{key}")
            case PauseTurn():
                messages.pause(connection, turn, author=author, key=key, now=now)
            case ResumeTurn():
                messages.resume(connection, turn, author=author, key=key, now=now)
                self._wake(connection, thread, turn, wake=f"resume-{key}")
            case _:
                assert_never(effect)

    def _ask_compaction(self, connection: Connection, thread: str, effect: CompactThread) -> None:
        """Raises `TurnOver`, as `_speak` does."""
        if effect.turn_id is None:
            compacting.ask_thread(connection, thread, author=effect.author)
            return
        turns.hold_open(connection, effect.turn_id)
        compacting.ask_turn(connection, effect.turn_id, author=effect.author, key=effect.key, now=self._now())

    def _note_checks(
        self, connection: Connection, thread: str, effect: LookAtChecks | NoteChecks | _Outward, *, cause: int
    ) -> None:
        match effect:
            case LookAtChecks():
                self._look_later(connection, thread, effect, cause=cause)
            case NoteChecks():
                ci.note(connection, thread, effect, now=self._now())
            case _:
                pass

    def _look_later(self, connection: Connection, thread: str, look: LookAtChecks, *, cause: int) -> None:
        """A letter for then, in the thread of the head: of those that wait for one head the newest stays."""
        place, now = inbox.place_of(connection, thread), self._now()
        due = ChecksDue(
            repository_id=place.id,
            repository=place.full_name,
            installation_id=place.installation,
            number=look.number,
            branch=look.branch,
            sha=look.sha,
            round=look.round,
            asked=look.asked,
        )
        target = _thread_of(place, look)
        inbox.open_thread(connection, target, place, number=look.number, now=now)
        ci.watch(connection, place.id, look.sha)
        letter, at = inbox.put_quiet_event(
            connection,
            target,
            due,
            kind=ci.look_kind(look.sha) + (f"/{look.asked.act}" if look.asked else ""),
            quiet=look.after,
            longest=LONGEST_LOOK,
            origin=inbox.origin_of(connection, cause),
            now=now,
        )
        letters.wake_for(connection, self._wake_ups, target, letter, delay=max(0.0, at - now))

    async def _put_off_letter(self, thread: str, letter: Letter, fault: _Fault) -> None:
        """Leave it for later; after too many tries say so to whoever waits."""
        if letter.attempts + 1 >= fault.attempts:
            await self._give_up_letter(thread, letter, fault)
            return
        delay = _pause(letter.attempts, fault)
        until = self._now() + delay

        def postpone(connection: Connection) -> None:
            inbox.postpone(connection, letter.id, until=until)
            wake = f"letter-{letter.id}-{letter.attempts + 1}"
            self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=wake, delay=delay)

        await self._database.write(postpone)
        self._wake_ups.nudge(Queue.EVENTS, thread, after=delay)
        fields = {"thread": thread, "letter": letter.id, "fault": fault.text, "delay": delay}
        log.warning("event.postponed", extra={"fields": fields})

    async def _give_up_letter(self, thread: str, letter: Letter, fault: _Fault) -> None:
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

    async def _may_go(self, thread: str, place: RepositoryRef, pending: Pending) -> bool:
        """Whether the forge's limits let the effect go now: then its try is counted. Else it waits."""
        until = await self._database.write(lambda connection: self._limits.admit(connection, pending, place))
        wait = until - self._now()
        if wait > 0:
            # What waits longer than a nudge may is found by the engine's sweep.
            self._wake_ups.nudge(Queue.EVENTS, thread, after=wait)
        return wait <= 0

    async def _perform(self, thread: str, place: RepositoryRef, pending: Pending) -> None:
        """Do an effect whose try is counted."""
        try:
            performed = await self._performer.perform(pending, thread, place)
        except ForgeError as error:
            if await self._has_moved(place, error):
                return
            fault = _Fault(str(error), _worth(pending.effect, error), error.retry_after)
            await self._put_off(thread, pending, fault)
        except SandboxError as error:
            # Any other refusal than git's is about the result itself, and stays.
            attempts = GIT_ATTEMPTS if isinstance(error, GitFailed | StoreAway) else 1
            await self._put_off(thread, pending, _Fault(str(error), attempts))
        except OwnershipLost:
            raise
        except Exception:
            # The border again: whatever an effect raises, the thread's others must not be stuck behind it.
            reference = secrets.token_hex(4)
            fields = {"reference": reference, "thread": thread, "key": pending.effect.key}
            log.exception("effect.crashed", extra={"fields": fields})
            fault = _Fault(f"internal error, reference {reference}", ATTEMPTS)
            await self._put_off(thread, pending, fault)
        else:
            await self._finish(thread, pending, performed)

    async def _finish(self, thread: str, pending: Pending, performed: Performed) -> None:
        """The effect is done; what happened by it goes into the inbox in the same transaction."""

        def finish(connection: Connection) -> None:
            now = self._now()
            outbox.finish(connection, pending.id, performed.result, now=now)
            if performed.event is not None:
                origin = inbox.origin_of(connection, pending.cause)
                letters.post(connection, self._wake_ups, thread, performed.event, origin=origin, now=now)

        await self._database.write(finish)

    async def _put_off(self, thread: str, pending: Pending, fault: _Fault) -> None:
        """Leave it for later; after too many tries it has failed, and that is an event."""
        gives_up = pending.attempts + 1 >= fault.attempts
        delay = _pause(pending.attempts, fault)

        def record(connection: Connection) -> None:
            now = self._now()
            if not gives_up:
                outbox.postpone(connection, pending.id, error=fault.text, until=now + delay)
                wake = f"effect-{pending.id}-{pending.attempts + 1}"
                self._wake_ups.enqueue(connection, Queue.EVENTS, thread, wake=wake, delay=delay)
                return
            outbox.fail(connection, pending.id, error=fault.text, now=now)
            if failed := _failure(connection, pending, fault):
                origin = inbox.origin_of(connection, pending.cause)
                letters.post(connection, self._wake_ups, thread, failed, origin=origin, now=now)

        await self._database.write(record)
        self._wake_ups.nudge(Queue.EVENTS, thread, after=delay)
        fields = {"thread": thread, "key": pending.effect.key, "fault": fault.text, "delay": delay}
        log.warning("effect.given_up" if gives_up else "effect.postponed", extra={"fields": fields})

    async def _has_moved(self, place: RepositoryRef, error: ForgeError) -> bool:
        """Whether the repository has another name by now: its threads know it then, and try again."""
        if error.fault not in {"moved", "missing"}:
            return False
        try:
            found = await self._github.located(place)
        except ForgeError:
            return False
        if found == place:
            return False
        await self._database.write(lambda connection: inbox.rename_repository(connection, found))
        log.info("repository.moved", extra={"fields": {"from": place.full_name, "to": found.full_name}})
        return True


def _thread_of(place: RepositoryRef, look: LookAtChecks) -> str:
    """Where the head's own letter goes."""
    return f"{place.id}-{look.number}" if look.number else branch_thread(place.id, look.branch)


def _worth(effect: Effect, error: ForgeError) -> int:
    """How many tries."""
    match effect:
        case OpenPull() if not error.is_passing:
            # A branch that was pushed just now may not be known everywhere yet; the base was there before.
            return 1 if _BASE_IS_GONE in error.message else 4
        case PostComment() | PostReview() | PushResult() | UndoTurn() | OpenPull() | StartTurn() if (
            error.is_passing
        ):
            return PATIENT_ATTEMPTS
        case _:
            return ATTEMPTS if error.is_passing else 1


def _failure(connection: Connection, pending: Pending, fault: _Fault) -> InternalEvent | None:
    """What the handlers must know of an effect that was given up: whether a turn's result hangs on it."""
    effect = pending.effect
    if isinstance(effect, UndoTurn):
        return UndoEnded(undo=effect, result="unavailable", detail=fault.text)
    cause = inbox.event_of(connection, pending.cause)
    if not isinstance(cause, TurnEvent):
        # An answer of its own, not a turn's.
        return None
    if isinstance(effect, PostReview) and isinstance(cause, TurnEnded):
        # Nothing of it is lost: the summary has what could not stand on its lines.
        reason = f"the forge did not take it: {fault.text}"
        placed = [PlacedFinding(each.finding, "summary", None, "", reason) for each in effect.comments]
        return ReviewPosted(ended=cause, placed=tuple(placed))
    if not isinstance(effect, PushResult | OpenPull | PostComment):
        return None
    if ended_of(cause).start.kind == "review":
        # The next review brings its comments up to date.
        return None
    pushed = cause if isinstance(cause, ResultPushed) else None
    return EffectFailed(ended=ended_of(cause), effect=effect, detail=fault.text, pushed=pushed)


def _pause(attempts: int, fault: _Fault) -> float:
    """What the forge asked for, else 1, 2, 4 … seconds."""
    if fault.after is not None:
        return min(max(fault.after, 1.0), LONGEST_OBEYED)
    return min(LONGEST_PAUSE, 2.0 ** min(attempts, 20))
