"""Stores what the handlers decided of a letter: effects, turns, what they are told, the letter's end."""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

from sqlalchemy import Connection

from app import letters
from app.engine import WakeUps
from app.queues import Queue
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
from app.store.inbox import Letter
from app.store.places import RepositoryRef
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
    LiftBudget,
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
from handlers.events import ChecksDue, HeldApproved, TurnEvent, ended_of
from handlers.ingest import branch_thread
from handlers.view import Bot

LONGEST_LOOK: Final = 6 * 3600.0
"""How long a head whose checks never fall quiet waits for its look."""

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


class Decisions:
    """Of the letters of all threads: what is stored of each, in the transaction that marks it handled."""

    def __init__(self, wake_ups: WakeUps, *, bot: Callable[[], Bot], now: Callable[[], float]) -> None:
        self._wake_ups = wake_ups
        self._bot = bot
        self._now = now

    def store(self, connection: Connection, thread: str, letter: Letter, chosen: Sequence[Effect]) -> None:
        """Effects, the turn they start, the letter and the delivery's decision: one transaction.

        Raises `TurnOver` and `AlreadyDecided`: then nothing is stored, and the letter is for another look.
        """
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
                case SetBudget() | LiftBudget():
                    _allow(connection, thread, effect)
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
        if request.kind not in {"held", "companion"}:
            self._wake(connection, thread, request.turn, wake=f"answer-{request.id}")
            return
        asking = inbox.event_of(connection, decided.cause)
        # A person's comment may have asked.
        ended = (
            ended_of(asking)
            if isinstance(asking, TurnEvent)
            else inbox.end_of_turn(connection, thread, request.turn)
        )
        if request.state == "approved" and ended is not None:
            approved = HeldApproved(
                ended=ended,
                request_id=request.id,
                digest=request.digest,
                asked=request.asked,
                head_sha=request.head_sha,
                by=answer.by,
                kind="companion" if request.kind == "companion" else "held",
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
        target = thread_of(place, look)
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


def thread_of(place: RepositoryRef, look: LookAtChecks) -> str:
    """Where the head's own letter goes."""
    return f"{place.id}-{look.number}" if look.number else branch_thread(place.id, look.branch)


def _allow(connection: Connection, thread: str, effect: SetBudget | LiftBudget) -> None:
    if isinstance(effect, LiftBudget):
        charges.lift_budget(connection, thread)
    else:
        charges.set_budget(connection, thread, tokens=effect.tokens, micros=effect.micros)
