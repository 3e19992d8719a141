"""`POST /webhook`: verify the raw bytes, parse, store with a wake-up, acknowledge. Acts on nothing itself.

A plain ASGI endpoint: a framework's request handling costs more than all the rest (measured in `bench/`).
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from app.engine import WakeUps
from app.letters import wake_for
from app.queues import Queue
from app.store import backlog, ci, deliveries, inbox, reviews, turns
from app.store.database import Database
from app.store.deliveries import DeliveryRow
from app.store.places import RepositoryRef
from handlers import reasons
from handlers.ci.offers import pull_of_offer
from handlers.ci.settled import FAILED, QUIET
from handlers.events import (
    ButtonPressed,
    CheckReported,
    CommentDeleted,
    ExternalEvent,
    Pinged,
    PullChanged,
    ReviewCommented,
    SubjectClosed,
    ThreadSettled,
    Unhandled,
)
from handlers.grammar import parse_command
from handlers.ingest import (
    BadPayload,
    action_of,
    is_plain_reply,
    parse,
    reason_to_ignore,
    request_of,
    semantic_key,
    text_of,
    thread_name_of,
    thread_of,
    verify_signature,
)
from handlers.on_checks import comment_key
from handlers.review_keys import thread_name
from handlers.view import Bot

log = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 25 * 1024 * 1024
"""GitHub sends no more. https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap"""


_CLOCKS_APART: Final = 5.0
"""Seconds by which the clocks of two processes may differ."""
LONGEST_UNQUIET: Final = 10
"""Times the quiet seconds: a branch that never falls quiet is looked at all the same."""
STANDING_EVENTS: Final = frozenset({"installation", "installation_repositories", "repository"})
"""They concern no conversation, and perhaps all of a repository's. Apps are always told the first two."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    message: str


class Intake:
    """The webhook endpoint."""

    def __init__(
        self,
        database: Database,
        wake_ups: WakeUps,
        *,
        secrets: Sequence[str],
        bot: Callable[[], Bot],
        on_standing_changed: Callable[[], None] = lambda: None,
        quiet_seconds: float = 0.0,
    ) -> None:
        """`on_standing_changed`: called when repositories may have been gained, lost, moved or archived.

        `quiet_seconds`: how long nothing more must be pushed to a branch before a push to it is looked at.
        """
        self._on_standing_changed = on_standing_changed
        self._quiet_seconds = quiet_seconds
        self._database = database
        self._wake_ups = wake_ups
        self._secrets = tuple(secrets)
        self._bot = bot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._answer(scope, receive)
        body = json.dumps({"message": reply.message}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        body = await _read_body(headers, receive)
        if body is None:
            return Reply(413, "The body is larger than the 25 MB that GitHub sends at most.")
        if not verify_signature(body, headers.get("x-hub-signature-256"), self._secrets):
            log.warning("webhook.refused", extra={"fields": {"reason": "signature", "bytes": len(body)}})
            return Reply(401, "The signature does not match. Is DARNER_WEBHOOK_SECRET the webhook's secret?")
        guid = headers.get("x-github-delivery", "")
        name = headers.get("x-github-event", "")
        if not guid or not name:
            return Reply(
                400, "X-GitHub-Event or X-GitHub-Delivery is missing: this is not a GitHub delivery."
            )
        if not headers.get("content-type", "").startswith("application/json"):
            return Reply(415, "Set the webhook's content type to application/json.")
        return await self._accept(guid, name, body)

    async def take(self, guid: str, name: str, body: bytes) -> bool:
        """A delivery that came by another way, and has no signature; False when it was known, or refused."""
        return (await self._accept(guid, name, body)).status == 202

    async def _accept(self, guid: str, name: str, body: bytes) -> Reply:
        now = time.time()
        try:
            event = parse(name, body)
        except BadPayload as error:
            row = _refused_row(guid, name, body, reason=str(error), now=now)
            known = await self._database.write(lambda connection: deliveries.insert(connection, row)) is None
            return Reply(200, "Known already.") if known else Reply(400, f"{error}")
        row = _row(guid, name, body, event, self._bot(), now=now)
        accepted = await self._database.write(lambda connection: self._store(connection, row, event))
        if accepted is None:
            return Reply(200, "Known already.")
        if name in STANDING_EVENTS:
            self._on_standing_changed()
        if accepted.state == "pending" and accepted.thread is not None:
            self._wake_ups.nudge(Queue.EVENTS, accepted.thread)
            # What is set aside is in the ledger; only what may matter is worth a line.
            fields = {"guid": guid, "event": name, "command": accepted.command, "thread": accepted.thread}
            log.info("delivery.accepted", extra={"fields": fields})
        return Reply(200, "pong") if isinstance(event, Pinged) else Reply(202, "Accepted.")

    def _store(self, connection: Connection, row: DeliveryRow, event: ExternalEvent) -> DeliveryRow | None:
        """The row as stored, with its letter and wake-up; None when the GUID was known."""
        if isinstance(event, ButtonPressed) and row.state == "pending":
            row = _placed(connection, row, event)
        # What is over matters only where something goes on: most that is closed was never ours.
        needs_work = isinstance(event, SubjectClosed | CommentDeleted) and row.state == "pending"
        if needs_work and not backlog.is_at_work(connection, row.thread or ""):
            row = replace(row, semantic_key=None, state="ignored", reason=reasons.NO_TURN_WAITS)
        if _is_for_findings_only(event, self._bot()) and row.state == "pending":
            root = event.thread_root if isinstance(event, ReviewCommented | ThreadSettled) else 0
            if not reviews.has_finding_at(connection, row.thread or "", root):
                row = replace(row, semantic_key=None, state="ignored", reason=reasons.NOT_A_FINDING)
        if row.state == "pending" and isinstance(event, CheckReported) and _is_idle(connection, event):
            row = replace(row, semantic_key=None, state="ignored", reason=reasons.CHECK_NOT_AWAITED)
        if (
            row.state == "pending"
            and isinstance(event, CheckReported)
            and _is_seen_soon(connection, event, row)
        ):
            row = replace(row, semantic_key=None, state="ignored", reason=reasons.CHECK_SEEN_SOON)
        if row.semantic_key and (first := deliveries.first_of_act(connection, row.semantic_key)):
            if first == row.guid:
                return None
            row = _duplicate_of(row, first)
        delivery = deliveries.insert(connection, row)
        if delivery is None:
            return None
        if row.state == "pending" and row.thread and row.repository_id and row.repository:
            place = RepositoryRef(row.repository_id, row.repository, row.installation_id)
            inbox.open_thread(connection, row.thread, place, number=row.number, now=row.received_at)
            self._put(connection, row.thread, delivery, event, now=row.received_at)
        return row

    def _put(
        self, connection: Connection, thread: str, delivery: int, event: ExternalEvent, *, now: float
    ) -> None:
        """Pushes come in numbers: the newest is handled, when the branch is quiet."""
        if not isinstance(event, PullChanged) or event.action != "pushed" or not self._quiet_seconds:
            letter = inbox.put_delivery(connection, thread, delivery, now=now)
            wake_for(connection, self._wake_ups, thread, letter)
            return
        letter, due = inbox.put_quiet(
            connection,
            thread,
            delivery,
            kind="push",
            quiet=self._quiet_seconds,
            longest=LONGEST_UNQUIET * self._quiet_seconds,
            now=now,
        )
        wake_for(connection, self._wake_ups, thread, letter, delay=max(0.0, due - now))


def _row(guid: str, name: str, body: bytes, event: ExternalEvent, bot: Bot, *, now: float) -> DeliveryRow:
    place = thread_of(event)
    # Before the forge has told who we are nothing can be sorted out: the handler looks again.
    can_tell = bot.id is not None or isinstance(event, Pinged | Unhandled)
    ignored = reason_to_ignore(event, bot) if can_tell else None
    request = None if ignored else request_of(event, bot)
    actor = None if isinstance(event, Pinged) else event.actor
    repository = None if isinstance(event, Pinged) else event.repository
    return DeliveryRow(
        guid=guid,
        semantic_key=None if ignored else semantic_key(event),
        event=name,
        action=action_of(event),
        repository_id=repository.id if repository else None,
        repository=repository.full_name if repository else None,
        number=place[1] if place else None,
        actor_id=actor.id if actor else None,
        actor=actor.login if actor else None,
        installation_id=None if isinstance(event, Pinged) else event.installation_id,
        received_at=now,
        body=body,
        state="ignored" if ignored else "pending",
        reason=ignored or "",
        # PostgreSQL has no NUL in a text.
        text=text_of(event)[:2000].replace("\0", "") if request is not None else "",
        command=type(parse_command(request)).__name__ if request is not None else "",
        thread=thread_name_of(event),
    )


def _is_for_findings_only(event: ExternalEvent, bot: Bot) -> bool:
    """A word in a thread on lines that only means something if the thread is a finding's."""
    if isinstance(event, ReviewCommented):
        return is_plain_reply(event) and request_of(event, bot) is None
    return isinstance(event, ThreadSettled)


def _placed(connection: Connection, row: DeliveryRow, event: ButtonPressed) -> DeliveryRow:
    """With the conversation of the turn, or of the pull request, that the check run names."""
    thread = turns.thread_of(connection, event.external_id, repository=event.repository.id)
    if thread is None and (offered := pull_of_offer(event.external_id)) is not None:
        thread = thread_name(event.repository.id, offered)
    if thread is None:
        return replace(row, state="ignored", reason=reasons.NOT_OUR_CHECK)
    return replace(row, thread=thread, number=int(thread.split("-")[1]), command=event.button)


def _is_idle(connection: Connection, event: CheckReported) -> bool:
    """Most checks pass, and matter to nobody; those of a head that is looked after do."""
    return event.conclusion not in FAILED and not ci.is_watched(
        connection, event.repository.id, event.sha, comment=comment_key(f"ci/{thread_name_of(event)}")
    )


def _is_seen_soon(connection: Connection, event: CheckReported, row: DeliveryRow) -> bool:
    """Checks end in numbers; that a look is due soon needs to be found out once, not for each of them.

    One that may be at work already has perhaps not seen this check: that is no look to come.
    """
    soon = row.received_at + QUIET.total_seconds()
    return ci.is_look_due(
        connection, event.repository.id, event.sha, after=row.received_at + _CLOCKS_APART, before=soon
    )


def _refused_row(guid: str, name: str, body: bytes, *, reason: str, now: float) -> DeliveryRow:
    return DeliveryRow(
        guid=guid,
        event=name,
        received_at=now,
        body=body,
        state="refused",
        reason=reason,
    )


def _duplicate_of(row: DeliveryRow, first: str) -> DeliveryRow:
    return replace(row, semantic_key=None, state="duplicate", reason=f"{reasons.DUPLICATE} ({first})")


async def _read_body(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """The raw bytes; None when there are more than GitHub ever sends."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY_BYTES:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
