"""Judges one request, answer or webhook by GitHub's REST and webhook descriptions; it sends nothing."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from tests.github.deviations import Deviation, KnownDeviations
from tests.github.dialect import Document, Json, Path, SchemaError, is_object, pointer

DATA: Final = File(__file__).parent.parent / "data" / "github"
API_VERSION: Final = "2022-11-28"

Rule: TypeAlias = Literal["route", "path", "query", "header", "body", "member", "status", "media"]

# Sub-resources that the trimmed description leaves out, and that a multi-segment parameter would swallow.
_LEFT_OUT: Final = re.compile(
    r"/branches/.+/(rename|protection/.+)$|/commits/.+/branches-where-head$|/contents/.+\.\./|/git/ref/$"
)
# What any operation may be answered with, described or not: bad JSON, no credentials, permissions, limits,
# (https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api), caches, moved repositories.
_ERRORS_EVERYWHERE: Final = {400, 401, 403, 422, 429, 500, 502, 503, 504}
_ERROR_SHAPES: Final = ("basic-error", "validation-error", "validation-error-simple")
_EMPTY_EVERYWHERE: Final = {304}
_MOVED: Final = {301, 307}
# Custom media types that the guides describe but the description does not list:
# https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types
_CUSTOM_MEDIA: Final = {
    "pulls/get": {"application/vnd.github.diff", "application/vnd.github.patch"},
    "repos/get-content": {"application/vnd.github.raw", "application/vnd.github.raw+json"},
    "repos/get-readme": {"application/vnd.github.raw", "application/vnd.github.raw+json"},
}


@dataclass(frozen=True)
class Violation:
    """One way in which an exchange is not as GitHub describes; if excused, GitHub itself is known for it."""

    rule: Rule
    where: str
    problem: str
    excuse: Deviation | None = None

    def __str__(self) -> str:
        return f"{self.rule} {self.where}: {self.problem}" if self.where else f"{self.rule}: {self.problem}"


@dataclass(frozen=True)
class Parameter:
    name: str
    place: Literal["path", "query", "header"]
    is_required: bool
    schema: Mapping[str, Json]


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    template: str
    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]
    body: Json
    is_body_required: bool
    responses: Mapping[str, Json]

    def of(self, place: Literal["path", "query", "header"]) -> list[Parameter]:
        return [parameter for parameter in self.parameters if parameter.place == place]


class Descriptions:
    """GitHub's REST and webhook descriptions, ready to judge. Made by `Descriptions.load`."""

    def __init__(self, *, rest: Document, webhooks: Document, deviations: KnownDeviations) -> None:
        self._rest = rest
        self._webhooks = webhooks
        self.deviations = deviations
        self.operations: Final = tuple(sorted(_operations(rest), key=_specificity))
        self._by_method: dict[str, list[Operation]] = {}
        for operation in self.operations:
            self._by_method.setdefault(operation.method, []).append(operation)

    @classmethod
    def load(cls, directory: File = DATA) -> "Descriptions":
        def read(name: str) -> dict[str, Json]:
            content: dict[str, Json] = orjson.loads((directory / name).read_bytes())
            return content

        return cls(
            rest=Document("urn:github:rest", read("openapi.trimmed.json")),
            webhooks=Document("urn:github:webhooks", read("webhooks.openapi.trimmed.json")),
            deviations=KnownDeviations.read(orjson.loads((directory / "known-deviations.json").read_bytes())),
        )

    def match(self, method: str, path: str) -> Operation | None:
        """The operation of a path below the API's root; `/repositories/ID/…` is `/repos/OWNER/NAME/…`."""
        plain = re.sub(r"^/repositories/[^/]+", "/repos/by-id/by-id", urlsplit(path).path)
        if _LEFT_OUT.search(plain):
            return None
        named = self._by_method.get(method.upper(), [])
        return next((operation for operation in named if operation.pattern.fullmatch(plain)), None)

    def check_request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> list[Violation]:
        """All that is forbidden in a request to `url`, the path and query below the API's root."""
        operation = self.match(method, url)
        if operation is None:
            return [Violation("route", "", f"GitHub describes no {method.upper()} {urlsplit(url).path}")]
        return [
            *_header_violations(headers),
            *self._path_violations(operation, urlsplit(url).path),
            *self._query_violations(operation, urlsplit(url).query),
            *self._body_violations(operation, body),
        ]

    def check_response(
        self, operation: Operation, status: int, headers: Mapping[str, str], body: bytes
    ) -> list[Violation]:
        """All in which an answer differs from the description, members that it does not name included."""
        media = _header(headers, "content-type").partition(";")[0].strip().lower()
        described = self._response(operation, status)
        if described is None:
            return self._undescribed_answer(operation, status, body=body)
        content = described.get("content")
        if not is_object(content) or not content:
            return self._unexpected_body(status, body)
        if status < 300 and media in _CUSTOM_MEDIA.get(operation.id, ()):
            return []
        chosen = _media_type(content, media, header=_header(headers, "x-github-media-type"))
        if chosen is None:
            return [
                Violation(
                    "media", "", f"{status} answers with {media or 'no media type'}, not {', '.join(content)}"
                )
            ]
        schema = chosen.get("schema") if is_object(chosen) else None
        if schema is None or not media.endswith("json"):
            return []
        found = self._judged(self._rest, schema, body, name=operation.id, deviations=self.deviations.rest)
        # Every error carries its status since 2024, also where the description has not caught up.
        return [one for one in found if status < 400 or (one.rule, one.where) != ("member", "status")]

    def check_webhook(
        self, event: str, payload: Mapping[str, object], headers: Mapping[str, str]
    ) -> list[Violation]:
        """All in which a delivery differs from what is described for its event, or from GitHub's headers."""
        action = payload.get("action")
        name = f"{event}.{action}" if isinstance(action, str) else event
        schema = self._webhook_schema(event, action)
        found = list(self._delivery_header_violations(event, payload, headers))
        if schema is None:
            return [*found, Violation("route", "", f"GitHub describes no event {name}")]
        return [
            *found,
            *self._verdict(self._webhooks, schema, payload, name=name, deviations=self.deviations.webhooks),
        ]

    def _webhook_schema(self, event: str, action: object) -> Json:
        # `pull_request_review_requested` could be an action of two events by its spelling: hence x-event.
        names = [f"{event}_{action}", event] if isinstance(action, str) else [event]
        for name in names:
            try:
                described = self._webhooks.at(pointer("webhooks", name.replace("_", "-"), "post"))
            except KeyError:
                continue
            if is_object(described) and described.get("x-event") == event:
                return self._webhooks.at(
                    pointer("webhooks", name.replace("_", "-"), "post", "requestBody", "content")
                    + pointer("application/json", "schema")
                )
        return None

    def _path_violations(self, operation: Operation, path: str) -> Iterator[Violation]:
        found = operation.pattern.fullmatch(re.sub(r"^/repositories/[^/]+", "/repos/by-id/by-id", path))
        values = found.groupdict() if found else {}
        for parameter in operation.of("path"):
            text = unquote(values.get(parameter.name, ""))
            yield from self._value_violations("path", parameter, text)

    def _query_violations(self, operation: Operation, query: str) -> Iterator[Violation]:
        described = {parameter.name: parameter for parameter in operation.of("query")}
        sent = parse_qsl(query, keep_blank_values=True)
        for name, text in sent:
            if name not in described:
                yield Violation("query", name, f"{operation.id} has no such query parameter")
            else:
                yield from self._value_violations("query", described[name], text)
        for name, parameter in described.items():
            if parameter.is_required and name not in dict(sent):
                yield Violation("query", name, "is required")

    def _value_violations(
        self, rule: Literal["path", "query"], parameter: Parameter, text: str
    ) -> Iterator[Violation]:
        value = _typed(text, parameter.schema.get("type"))
        for error in self._rest.errors(parameter.schema, value):
            yield Violation(rule, parameter.name, error.message)

    def _body_violations(self, operation: Operation, body: bytes) -> list[Violation]:
        if not body.strip():
            return [Violation("body", "", "is required")] if operation.is_body_required else []
        if operation.body is None:
            return (
                []
                if body.strip() in {b"{}", b"null"}
                else [Violation("body", "", f"{operation.id} takes no body")]
            )
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return [Violation("body", "", f"is not JSON: {error}")]
        if isinstance(value, list) and operation.id in self.deviations.bare_array_bodies:
            value = {"labels": value}
        return self._verdict(self._rest, operation.body, value, name=operation.id, deviations=())

    def _response(self, operation: Operation, status: int) -> Mapping[str, Json] | None:
        described = self._rest.resolved(operation.responses.get(str(status)))
        return described if is_object(described) else None

    def _undescribed_answer(self, operation: Operation, status: int, *, body: bytes) -> list[Violation]:
        if status in _EMPTY_EVERYWHERE:
            return self._unexpected_body(status, body)
        if status in _ERRORS_EVERYWHERE | _MOVED or (status == 404 and self.deviations.any_undocumented_404):
            return self._error_violations(operation, body) if status < 500 else []
        return [Violation("status", str(status), f"{operation.id} is not described to answer so")]

    def _error_violations(self, operation: Operation, body: bytes) -> list[Violation]:
        """None if the body is an error of any shape that GitHub has; else what keeps it from the plainest."""
        judged = [
            self._judged(
                self._rest,
                self._rest.at(pointer("components", "schemas", shape)),
                body,
                name=operation.id,
                deviations=(),
            )
            for shape in _ERROR_SHAPES
        ]
        kept = [[one for one in found if (one.rule, one.where) != ("member", "status")] for found in judged]
        return [] if not all(kept) else kept[0]

    def _unexpected_body(self, status: int, body: bytes) -> list[Violation]:
        if not body or (status == 404 and self.deviations.any_undocumented_404) or 300 <= status < 400:
            return []
        return [Violation("body", "", f"{status} is described to have none")]

    def _judged(
        self, document: Document, schema: Json, body: bytes, *, name: str, deviations: Sequence[Deviation]
    ) -> list[Violation]:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return [Violation("body", "", f"is not JSON: {error}")]
        return self._verdict(document, schema, value, name=name, deviations=deviations)

    def _verdict(
        self, document: Document, schema: Json, value: object, *, name: str, deviations: Sequence[Deviation]
    ) -> list[Violation]:
        return [
            *(
                _violation(error, name=name, deviations=deviations)
                for error in document.errors(schema, value)
                if not _is_an_error_of_two_shapes(error, value)
            ),
            *(
                Violation("member", _spelled(where), "is in no description")
                for where in document.undocumented(schema, value)
            ),
        ]

    def _delivery_header_violations(
        self, event: str, payload: Mapping[str, object], headers: Mapping[str, str]
    ) -> Iterator[Violation]:
        described = self._webhooks.at("x-delivery-headers")
        for header in described if isinstance(described, list) else []:
            name = str(header["name"]) if is_object(header) else ""
            text = _header(headers, name)
            if not text and name.lower() == "x-hub-signature-256" and _is_unsigned(payload):
                continue
            if not text:
                yield Violation("header", name, "is required")
            elif not re.fullmatch(wanted := _delivery_header_pattern(name.lower(), event), text):
                yield Violation("header", name, f"{text} is not of the form {wanted}")


def _is_an_error_of_two_shapes(error: SchemaError, value: object) -> bool:
    """`oneOf` a basic error and a basic error with more optional members takes every basic error twice."""
    return error.keyword == "twice" and not error.where and isinstance(value, dict) and "message" in value


def _operations(document: Document) -> Iterator[Operation]:
    paths = document.at("paths")
    for template, methods in paths.items() if is_object(paths) else ():
        for method, described in methods.items() if is_object(methods) else ():
            if is_object(described):
                yield _operation(document, template, method=method, described=described)


def _operation(document: Document, template: str, *, method: str, described: Mapping[str, Json]) -> Operation:
    listed = described.get("parameters")
    raw = [document.resolved(parameter) for parameter in (listed if isinstance(listed, list) else [])]
    parameters = [parameter for parameter in raw if is_object(parameter)]
    wide = {str(parameter["name"]) for parameter in parameters if parameter.get("x-multi-segment") is True}
    body = described.get("requestBody")
    content = body.get("content") if is_object(body) else None
    json_body = content.get("application/json") if is_object(content) else None
    responses = described["responses"]
    return Operation(
        id=str(described["operationId"]),
        method=method.upper(),
        template=template,
        pattern=_path_pattern(template, wide),
        parameters=tuple(_parameter(parameter) for parameter in parameters),
        body=json_body.get("schema") if is_object(json_body) else None,
        is_body_required=is_object(body) and body.get("required") is True,
        responses=responses if is_object(responses) else {},
    )


def _parameter(described: Mapping[str, Json]) -> Parameter:
    place, schema = described["in"], described["schema"]
    if place not in {"path", "query", "header"} or not is_object(schema):
        raise ValueError(f"cannot judge a parameter in {place}")
    return Parameter(
        name=str(described["name"]),
        place=place,  # type: ignore[arg-type]
        is_required=described.get("required") is True,
        schema=schema,
    )


def _path_pattern(template: str, wide: set[str]) -> re.Pattern[str]:
    def expression(part: str) -> str:
        if not part.startswith("{"):
            return re.escape(part)
        name = part[1:-1]
        # `GET …/contents/` with an empty path is the root directory (recorded).
        width = ".*" if name == "path" else ".+" if name in wide else "[^/]+"
        return f"(?P<{name}>{width})"

    return re.compile("".join(expression(part) for part in re.split(r"(\{[^}]+\})", template) if part))


def _specificity(operation: Operation) -> tuple[int, int]:
    """Orders operations so that a literal segment is tried before a parameter that would match it too."""
    segments = operation.template.split("/")
    literals = sum(1 for segment in segments if not segment.startswith("{"))
    return (-literals, -len(segments))


def _header_violations(headers: Mapping[str, str]) -> Iterator[Violation]:
    # https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#headers
    if not _header(headers, "user-agent"):
        yield Violation("header", "User-Agent", "is required: GitHub refuses a request without it")
    version = _header(headers, "x-github-api-version")
    if version and version != API_VERSION:
        yield Violation("header", "X-GitHub-Api-Version", f"{version} is not the described {API_VERSION}")


def _is_unsigned(payload: Mapping[str, object]) -> bool:
    """Whether this is the ping of a hook without secret: only then is there nothing to sign with."""
    hook = payload.get("hook")
    config = hook.get("config") if isinstance(hook, dict) else None
    return isinstance(config, dict) and "secret" not in config


def _delivery_header_pattern(name: str, event: str) -> str:
    # https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
    return {
        "x-github-event": re.escape(event),
        "x-github-delivery": r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}",
        "x-hub-signature-256": r"sha256=[0-9a-f]{64}",
        "user-agent": r"GitHub-Hookshot/.+",
        "x-github-hook-id": r"\d+",
        "x-github-hook-installation-target-id": r"\d+",
        "x-github-hook-installation-target-type": r"repository|organization|integration|business",
    }.get(name, ".+")


def _media_type(content: Mapping[str, Json], media: str, *, header: str) -> Json:
    if "param=object" in header and "application/vnd.github.object" in content:
        return content["application/vnd.github.object"]
    return content.get(media)


def _typed(text: str, kind: Json) -> Json:
    if kind == "integer" and re.fullmatch(r"-?\d+", text):
        return int(text)
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


def _violation(error: SchemaError, *, name: str, deviations: Sequence[Deviation]) -> Violation:
    excuse = next((known for known in deviations if known.excuses(name, error)), None)
    return Violation("body", _spelled(error.where), error.message, excuse)


def _spelled(where: Path) -> str:
    return "/".join("*" if isinstance(step, int) else step for step in where)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")
