"""What a scripted model says: sessions as plain values, and as plain files. Knows neither wire."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

_STRICT: Final = ConfigDict(extra="forbid")


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class FromOutput:
    """Stands for an argument that the script cannot know: the last match in the newest tool outputs.

    The first group of `from_output`, or the whole match; a number when it reads as one.
    """

    from_output: str


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class FromRequest:
    """The same, found in what the user has said: the last match, always as text."""

    from_request: str


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedCall:
    """A tool call. `arguments` as text is sent as it stands, malformed or not."""

    name: str
    arguments: Mapping[str, FromOutput | FromRequest | object] | str = field(
        default_factory=lambda: MappingProxyType({})
    )
    input: str | None = None
    """The text of a freeform call; a JSON argument where the request offers the tool as a function."""


# Faults: what goes wrong with an answer. Each strikes `times` requests for a step, then the answer comes.


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpError:
    """An answer that is no success, with the body that api.openai.com would send."""

    kind: Literal["http"] = "http"
    status: int
    code: str | None = None
    type: str = "invalid_request_error"
    param: str | None = None
    message: str = "The scripted model was told to fail."
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    times: int = 1


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The stream ends after so many events: cleanly, by a dropped connection, or inside the next event."""

    kind: Literal["cut"] = "cut"
    after_events: int
    how: Literal["clean", "dropped", "inside_event"] = "dropped"
    times: int = 1


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """After so many events, one that is not JSON; the rest follows."""

    kind: Literal["garbage"] = "garbage"
    after_events: int
    times: int = 1


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """After so many events, silence; the rest follows."""

    kind: Literal["stall"] = "stall"
    after_events: int
    seconds: float
    times: int = 1


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error told in a stream that began well: `response.failed`, an `error` event, or `{"error": {}}`."""

    kind: Literal["failure"] = "failure"
    after_events: int = 2
    code: str = "server_error"
    message: str = "The scripted model was told to fail."
    how: Literal["failed", "error", "unexplained"] = "failed"
    times: int = 1


Fault = HttpError | Cut | Garbage | Stall | Failure
FaultAdapter: Final[TypeAdapter[Fault]] = TypeAdapter(Annotated[Fault, Field(discriminator="kind")])


def rate_limited(retry_after: float, *, times: int = 1) -> HttpError:
    return HttpError(
        status=429,
        code="rate_limit_exceeded",
        type="requests",
        message=f"Rate limit reached. Please try again in {retry_after:g}s.",
        headers={"retry-after": f"{retry_after:g}"},
        times=times,
    )


def out_of_quota(*, times: int = 1) -> HttpError:
    return HttpError(
        status=429,
        code="insufficient_quota",
        type="insufficient_quota",
        message="You exceeded your current quota, please check your plan and billing details.",
        times=times,
    )


def context_overflow(*, times: int = 1) -> HttpError:
    return HttpError(
        status=400,
        code="context_length_exceeded",
        message="Your input exceeds the context window of this model.",
        times=times,
    )


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A condition on the tool outputs that came since the last answer. Both parts must hold."""

    output_contains: str | None = None
    output_lacks: str | None = None

    def holds(self, outputs: Sequence[str]) -> bool:
        has_it = self.output_contains is None or any(self.output_contains in output for output in outputs)
        lacks_it = self.output_lacks is None or not any(self.output_lacks in output for output in outputs)
        return has_it and lacks_it


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer of the model."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    refusal: str = ""
    stop: Literal["completed", "length", "content_filter"] = "completed"
    when: When | None = None
    fault: Annotated[Fault, Field(discriminator="kind")] | None = None
    is_last: bool = False
    """Nothing but the epilogue follows, whatever turns the session has."""

    @property
    def items(self) -> int:
        """How many items of a request's history this answer becomes (reasoning may be dropped on the way)."""
        return bool(self.text or self.refusal) + len(self.calls)


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Answers to choose from: the first whose `when` holds (one without always does)."""

    either: tuple[Turn, ...]


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A model's part in a conversation, answer by answer.

    It is played when a request names it as its model, or names the model `scripted` and every pattern of
    `match` is found in what the user asked for last.
    """

    name: str
    turns: tuple[Turn | Branch, ...]
    match: tuple[str, ...] | None = None
    """Patterns; case does not matter. Without: by name only. Empty: where no other session fits."""
    gap_seconds: float = 0.0
    """Between two events."""
    epilogue: str = "This scripted session is over: it has no further answer."

    def fits(self, request: str) -> bool:
        if self.match is None:
            return False
        return all(re.search(pattern, request, re.IGNORECASE) for pattern in self.match)


class SessionFileInvalid(Exception):
    """A session file does not say what a session file says."""


_ADAPTER: Final[TypeAdapter[Session]] = TypeAdapter(Session)


def load_sessions(folder: Path) -> tuple[Session, ...]:
    """The sessions of every `*.yaml` in `folder`, by name. Raises `SessionFileInvalid`."""
    return tuple(_load(path) for path in sorted(folder.glob("*.yaml")))


def _load(path: Path) -> Session:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _ADAPTER.validate_python({"name": path.stem, **read})
    except (yaml.YAMLError, TypeError, ValidationError) as error:
        raise SessionFileInvalid(f"{path}: {error}") from error
