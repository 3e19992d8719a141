"""GraphQL as one ASGI application: who asks, what the schema allows, and GitHub's way to tell errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson
from graphql import (
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from starlette.responses import Response as Sent
from starlette.types import Receive, Scope, Send

from demo.forge import shapes
from demo.forge.faults import FaultKind, Faults
from demo.forge.graphql.asking import Asking, node_id, type_name
from demo.forge.graphql.connection import TypedError
from demo.forge.graphql.fields import FIELDS, QUERY
from demo.forge.graphql.threads import THREAD_MUTATIONS
from demo.forge.graphql.writes import MUTATIONS as OTHER_MUTATIONS
from demo.forge.identity import viewer_of
from demo.forge.refusals import Refused, not_found
from demo.forge.rest.api import BAD_GATEWAY, Observer, Request, Response, broken_answer, drop, read_body
from demo.forge.state import State

MUTATIONS: Final = {**OTHER_MUTATIONS, **THREAD_MUTATIONS}
_TYPES: Final = {401: "FORBIDDEN", 403: "FORBIDDEN", 404: "NOT_FOUND"}
_DOCS: Final = "https://docs.github.com/graphql"
_JSON: Final = {"content-type": "application/json; charset=utf-8"}
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Graphql:
    """Answers at `/api/graphql`; `observers` hear of each exchange, as those of the REST API do."""

    def __init__(self, state: State, *, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self.observers: list[Observer] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope["method"])
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await read_body(receive)
        fault = self._faults.take(method, str(scope["path"]))
        if fault is not None and fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        answer = broken_answer(fault, clock=self._state.clock)
        if answer is None:
            answer = await asyncio.to_thread(self.respond, method, headers=headers, body=body)
            if fault is not None and fault.kind is FaultKind.DROP_AFTER_WRITE:
                await drop(send)
                return
            if fault is not None and fault.kind is FaultKind.BAD_GATEWAY_AFTER_WRITE:
                answer = BAD_GATEWAY
        sent = Sent(answer.body, status_code=answer.status, headers=dict(answer.headers))
        await sent(scope, receive, send)
        seen = Request(
            method=method, path="/graphql", query="", headers=headers, body=body, operation="graphql"
        )
        for observer in self.observers:
            observer(seen, answer)

    def respond(self, method: str, *, headers: Mapping[str, str], body: bytes) -> Response:
        """The answer to one request. Nobody may ask without a token, not even for what is public."""
        try:
            viewer = viewer_of(self._state, headers.get("authorization"))
        except Refused as refusal:
            return _answer(refusal.status, refusal.body())
        if viewer.user is None:
            message = "This endpoint requires you to be authenticated."
            return _answer(401, {"message": message, "documentation_url": _DOCS})
        if method != "POST":
            return _answer(404, not_found().body())
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _answer(400, {"message": "Problems parsing JSON", "documentation_url": _DOCS})
        if not isinstance(sent, dict) or not isinstance(sent.get("query"), str):
            return _answer(
                200, {"errors": [{"message": "A query attribute must be specified and must be a string."}]}
            )
        with self._state.lock:
            return _answer(200, self._execute(Asking(self._state, viewer), sent))

    def _execute(self, asking: Asking, sent: Mapping[str, Any]) -> dict[str, object]:
        try:
            document = parse(sent["query"])
        except GraphQLError as error:
            return {"errors": [_told(error)]}
        if problems := validate(_schema(), document):
            return {"errors": [_told(problem) for problem in problems]}
        result = execute_sync(
            _schema(),
            document,
            context_value=asking,
            variable_values=sent.get("variables") or {},
            operation_name=sent.get("operationName"),
            field_resolver=_resolve,
            type_resolver=lambda value, *_: type_name(value),
        )
        answer: dict[str, object] = {"data": result.data}
        if result.errors:
            answer["errors"] = [_told(error) for error in result.errors]
        return answer


def _resolve(source: object, info: GraphQLResolveInfo[Asking], **arguments: object) -> object:
    """One field: a resolver of its own, else the record's member of that name."""
    asking = info.context
    kind, name = info.parent_type.name, info.field_name
    try:
        if kind == "Mutation" and name in MUTATIONS:
            return _performed(asking, name, arguments)
        if kind == "Query" and name in QUERY:
            return QUERY[name](asking, source, arguments)
        if name == "id" and type_name(source) is not None:
            return node_id(source)
        if (own := FIELDS.get(kind, {}).get(name)) is not None:
            return own(asking, source, arguments)
    except Refused as refusal:
        raise TypedError(_TYPES.get(refusal.status, "UNPROCESSABLE"), _sentence(refusal)) from refusal
    if isinstance(source, Mapping):
        return source.get(name)
    member = _CAMEL.sub(r"_\1", name).lower()
    if not hasattr(source, member):
        raise TypedError("NOT_BUILT", f"The local forge has no answer to {kind}.{name}.")
    return getattr(source, member)


def _performed(asking: Asking, name: str, arguments: Mapping[str, Any]) -> Mapping[str, object]:
    given = arguments["input"]
    return {**MUTATIONS[name](asking, given), "clientMutationId": given.get("clientMutationId")}


def _sentence(refusal: Refused) -> str:
    details = [error if isinstance(error, str) else str(error.get("message", "")) for error in refusal.errors]
    return " ".join(filter(None, [refusal.message, *details]))


def _told(error: GraphQLError) -> dict[str, object]:
    """One entry of `errors`, with the `type` that GitHub adds to what the specification asks for."""
    told: dict[str, object] = {}
    typed = error if isinstance(error, TypedError) else error.original_error
    if isinstance(typed, TypedError):
        told["type"] = typed.type
    if error.path is not None:
        told["path"] = error.path
    if error.locations:
        told["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    return told | {"message": error.message}


def _answer(status: int, body: Mapping[str, object]) -> Response:
    return Response(status=status, headers=_JSON, body=orjson.dumps(body))


@cache
def _schema() -> GraphQLSchema:
    """Built when the first question comes: a forge that is asked none starts the sooner."""
    schema = build_schema(
        resources.files("demo.forge").joinpath("data/schema.graphql").read_text(encoding="utf-8")
    )
    for name in ("DateTime", "GitTimestamp"):
        scalar = schema.type_map[name]
        if isinstance(scalar, GraphQLScalarType):
            scalar.coerce_output_value = _stamped
    return schema


def _stamped(value: object) -> object:
    return shapes.stamp(value) if isinstance(value, datetime) else value
