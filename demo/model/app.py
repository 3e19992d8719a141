"""The scripted model's server: an OpenAI-compatible endpoint that plays sessions, on both wires.

Its answers depend on the request alone; only faults and the journal of requests have a memory.
"""

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, assert_never

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.model import chat_wire, responses_wire
from demo.model.answer import Answer, answer_for
from demo.model.conversation import (
    Part,
    Position,
    RequestRefused,
    conversation_of_chat,
    conversation_of_responses,
    position_in,
    requests_in,
)
from demo.model.session import (
    Cut,
    Failure,
    Fault,
    FaultAdapter,
    Garbage,
    HttpError,
    Session,
    Stall,
    load_sessions,
)

SESSIONS: Final = Path(__file__).with_name("sessions")
"""The sessions that come with the demo."""

BY_CONTENT: Final = "scripted"
"""The model name that leaves the choice of a session to what the user says."""

_EXCHANGES_KEPT: Final = 512

WireName = Literal["responses", "chat"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what was sent back."""

    wire: WireName
    request: Mapping[str, Any]
    headers: Mapping[str, str]
    """Lower-case; without `authorization`."""
    status: int
    events: tuple[bytes, ...]
    """The data of each event that was sent whole; for an answer without a stream, its body."""
    fault: Fault | None
    is_whole: bool
    """Whether everything meant to be sent was sent: the client may go away, and a fault may cut."""


class Observer(Protocol):
    """Is told of each exchange when it is over."""

    def __call__(self, exchange: Exchange) -> None: ...


class ScriptedModel:
    """The application. Made by `create_app`."""

    def __init__(
        self, sessions: Sequence[Session], *, observer: Observer | None, now: Callable[[], float]
    ) -> None:
        self._sessions = tuple(sessions)
        self._observer = observer
        self._now = now
        self._struck: Counter[tuple[object, ...]] = Counter()
        self._queued: deque[Fault] = deque()
        self.exchanges: deque[Exchange] = deque(maxlen=_EXCHANGES_KEPT)
        """The newest exchanges, oldest first."""
        self._asgi: ASGIApp = Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/_requests", self._requests, methods=["GET", "DELETE"]),
                Route("/_faults", self._faults, methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._asgi(scope, receive, send)

    def teach(self, *sessions: Session) -> None:
        """Let these be played too, from the next request on."""
        self._sessions += sessions

    def strike(self, *faults: Fault) -> None:
        """Let the next requests meet these faults, each `times` times, whatever the session says."""
        for fault in faults:
            self._queued.extend([fault] * fault.times)

    async def _models(self, _request: Request) -> Response:
        names = [BY_CONTENT, *(session.name for session in self._sessions)]
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "darner"} for name in names]
        return JSONResponse({"object": "list", "data": models})

    async def _requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.exchanges.clear()
        told = [
            {"wire": exchange.wire, "status": exchange.status, "request": dict(exchange.request)}
            for exchange in self.exchanges
        ]
        return JSONResponse(told)

    async def _faults(self, request: Request) -> Response:
        try:
            self.strike(FaultAdapter.validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"error": {"message": str(error)}}, status_code=422)
        return JSONResponse({"queued": len(self._queued)}, status_code=202)

    async def _responses(self, request: Request) -> Response:
        return await self._answer(request, "responses")

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, "chat")

    async def _answer(self, request: Request, wire: WireName) -> Response:
        raw = await request.body()
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        body: dict[str, Any] = {}
        try:
            _check_authorization(request)
            body = _object_in(raw)
            conversation = _conversation_of(wire, body)
            session, part = self._played(body.get("model"), conversation)
            position = position_in(session, part)
        except _HttpRefusal as refusal:
            self._record(Exchange(wire, body, headers, refusal.status, (refusal.body,), None, True))
            return Response(refusal.body, refusal.status, media_type="application/json")
        seed = hashlib.sha256(raw).hexdigest()
        fault = self._fault_now(position, (session.name, *conversation))
        if isinstance(fault, HttpError):
            return self._fail(Exchange(wire, body, headers, fault.status, (), fault, True), fault)
        answer = answer_for(
            position,
            seed=seed,
            tools=_WIRES[wire].offered_tools(body),
            input_bytes=len(raw),
            is_first=position.step == 0,
        )
        if not body.get("stream"):
            whole = orjson.dumps(_WIRES[wire].body_of(answer, body, created=int(self._now())))
            self._record(Exchange(wire, body, headers, 200, (whole,), fault, True))
            return Response(whole, media_type="application/json")
        events = self._events(wire, answer, body, fault)
        stream = _Stream(events, wire=wire, fault=fault, gap_seconds=session.gap_seconds)

        def record(sent: tuple[bytes, ...], is_whole: bool) -> None:
            self._record(Exchange(wire, body, headers, 200, sent, fault, is_whole))

        return _StreamedAnswer(stream, record)

    def _played(self, model: object, conversation: Sequence[Part]) -> tuple[Session, Sequence[Part]]:
        """The session that is on, and the part of the conversation that belongs to it."""
        for session in self._sessions:
            if session.name == model:
                return session, conversation
        if model == BY_CONTENT:
            for asked in requests_in(conversation):
                if fitting := [session for session in self._sessions if session.fits(asked.words)]:
                    return max(fitting, key=lambda session: len(session.match or ())), asked.conversation
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise _refusal(404, message, code="model_not_found")

    def _fault_now(self, position: Position, asked: tuple[object, ...]) -> Fault | None:
        if self._queued:
            return self._queued.popleft()
        fault = position.turn.fault
        if fault is None or self._struck[asked] >= fault.times:
            return None
        self._struck[asked] += 1
        return fault

    def _fail(self, exchange: Exchange, fault: HttpError) -> Response:
        error = {"message": fault.message, "type": fault.type, "param": fault.param, "code": fault.code}
        body = orjson.dumps({"error": error})
        self._record(
            Exchange(exchange.wire, exchange.request, exchange.headers, fault.status, (body,), fault, True)
        )
        return Response(body, fault.status, headers=dict(fault.headers), media_type="application/json")

    def _events(
        self, wire: WireName, answer: Answer, body: Mapping[str, Any], fault: Fault | None
    ) -> list[Any]:
        failure = fault if isinstance(fault, Failure) else None
        created = int(self._now())
        match wire:
            case "responses":
                return responses_wire.events_of(answer, body, created=created, fault=failure)
            case "chat":
                return chat_wire.chunks_of(answer, body, created=created, fault=failure)
        assert_never(wire)

    def _record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if self._observer is not None:
            self._observer(exchange)


def create_app(
    sessions: Path | Sequence[Session] = SESSIONS,
    *,
    observer: Observer | None = None,
    now: Callable[[], float] = time.time,
) -> ScriptedModel:
    """The scripted model as an ASGI application. `sessions` is a folder of session files, or sessions."""
    played = load_sessions(sessions) if isinstance(sessions, Path) else sessions
    return ScriptedModel(played, observer=observer, now=now)


_WIRES: Final = {"responses": responses_wire, "chat": chat_wire}


class _HttpRefusal(Exception):
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        super().__init__(status)


def _refusal(status: int, message: str, *, code: str | None, param: str | None = None) -> _HttpRefusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _HttpRefusal(status, orjson.dumps({"error": error}))


def _check_authorization(request: Request) -> None:
    if not request.headers.get("authorization", "").startswith("Bearer "):
        raise _refusal(401, "You didn't provide an API key.", code="invalid_api_key")


def _object_in(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise _refusal(400, "We could not parse the JSON body of your request.", code=None)
    return body


def _conversation_of(wire: WireName, body: Mapping[str, Any]) -> list[Part]:
    try:
        return conversation_of_responses(body) if wire == "responses" else conversation_of_chat(body)
    except RequestRefused as refused:
        raise _refusal(400, refused.message, code=refused.code, param=refused.param) from refused


@dataclass(frozen=True, slots=True)
class _Stream:
    """The events as bytes, with what the fault does to them."""

    events: Sequence[Any]
    wire: WireName
    fault: Fault | None
    gap_seconds: float

    async def frames(self) -> AsyncIterator[tuple[bytes, bytes | None]]:
        """Each piece to send, with the event's data where the piece is a whole event."""
        for place, event in enumerate(self.events):
            match self.fault:
                case Cut(after_events=after, how=how) if place == after:
                    if how == "inside_event":
                        frame = self._frame(event)
                        yield frame[: len(frame) // 2], None
                    return
                case Garbage(after_events=after) if place == after:
                    yield b'data: {"type": "response.out\n\n', None
                case Stall(after_events=after, seconds=seconds) if place == after:
                    await asyncio.sleep(seconds)
                case _:
                    pass
            yield self._frame(event), orjson.dumps(event)
            await asyncio.sleep(self.gap_seconds)
        if self.wire == "chat":
            yield b"data: [DONE]\n\n", b"[DONE]"

    @property
    def ends_cleanly(self) -> bool:
        return not isinstance(self.fault, Cut) or self.fault.how == "clean"

    def _frame(self, event: Any) -> bytes:
        lines = [b"data: " + orjson.dumps(event), b"", b""]
        if self.wire == "responses" and "type" in event:
            lines.insert(0, f"event: {event['type']}".encode())
        return b"\n".join(lines)


class _StreamedAnswer(Response):
    """Sends the stream; where it is to break, it stops in the midst, and the server drops the connection."""

    media_type = "text/event-stream"

    def __init__(self, stream: _Stream, record: Callable[[tuple[bytes, ...], bool], None]) -> None:
        super().__init__()
        self._stream = stream
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sent: list[bytes] = []
        is_whole = False
        try:
            async for piece, data in self._stream.frames():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if data is not None:
                    sent.append(data)
            is_whole = not isinstance(self._stream.fault, Cut)
        finally:
            # Before the last byte: whoever has read the answer finds it in the journal.
            self._record(tuple(sent), is_whole)
        if self._stream.ends_cleanly:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
