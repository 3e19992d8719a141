"""A request's history, whichever wire it came by: what the script needs in order to know where it stands.

Reads requests as strictly as api.openai.com does where a client's mistake would otherwise go unseen (calls
without output, outputs without call); finer checks are the tests'.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from demo.model.session import Branch, Session, Turn


class RequestRefused(Exception):
    """The request is one that api.openai.com would answer with status 400."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        self.message = message
        self.param = param
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Said:
    """The user, or whoever instructs."""

    text: str


@dataclass(frozen=True, slots=True)
class Made:
    """A message or a call of the model."""

    is_call: bool = False


@dataclass(frozen=True, slots=True)
class Returned:
    """A tool's output."""

    text: str


Part = Said | Made | Returned


@dataclass(frozen=True, slots=True)
class Position:
    """Where a conversation stands in a session."""

    step: int
    turn: Turn
    outputs: tuple[str, ...]
    """What the tools returned since the last answer."""
    said: tuple[str, ...] = ()
    """All that the user said."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the user, and all that came after it."""

    words: str
    conversation: tuple[Part, ...]


def requests_in(conversation: Sequence[Part]) -> list[Asked]:
    """What the user asked for, newest first: the opening text, and what follows a last word of the model.

    Texts between calls and answers steer; they ask for nothing new.
    """
    opening = next((at for at, part in enumerate(conversation) if isinstance(part, Said)), None)
    if opening is None:
        return []
    starts = [opening]
    for at in range(opening + 1, len(conversation)):
        before = conversation[at - 1]
        if isinstance(conversation[at], Said) and isinstance(before, Made) and not before.is_call:
            starts.append(at)
    return [
        Asked(_request_in(_saying(conversation, at)), tuple(conversation[at:])) for at in reversed(starts)
    ]


def _saying(conversation: Sequence[Part], at: int) -> str:
    """All that is said before the next answer: instructions may come as a text of their own."""
    said: list[str] = []
    for part in conversation[at:]:
        if not isinstance(part, Said):
            break
        said.append(part.text)
    return "\n".join(said)


_CLOSING: Final = re.compile(r"\n</([\w-]+)>\s*\Z")
_OPENING: Final = re.compile(r"<[\w-]+[^<>\n]*>\n")


def _request_in(text: str) -> str:
    """Where a text is made of tagged blocks, the request is the last one; the others are what it is about.

    From the end: a review's text is a whole change, in which much looks like a tag.
    """
    closing = _CLOSING.search(text, max(0, text.rfind("\n</")))
    if closing is None:
        return text
    begins = [found.start() for found in re.finditer(rf"<{closing[1]}(?![\w-])", text[: closing.start()])]
    opening = _OPENING.match(text, begins[-1], closing.start()) if begins else None
    return text if opening is None else text[opening.end() : closing.start()]


def position_in(session: Session, conversation: Sequence[Part]) -> Position:
    """The answer to give now. Depends on the request alone: a restart or a resumed turn changes nothing."""
    at, outputs = _skip_to_made(conversation, 0)
    said = tuple(part.text for part in conversation if isinstance(part, Said))
    step = 0
    for step, scripted in enumerate(session.turns):
        turn = _chosen(scripted, outputs)
        if turn is None:
            break
        if at == len(conversation):
            return Position(step, turn, outputs, said)
        at, outputs = _skip_answer(conversation, at, turn.items)
        if turn.is_last:
            break
    else:
        step = len(session.turns)
    return Position(step, Turn(text=session.epilogue), outputs, said)


def _chosen(scripted: Turn | Branch, outputs: Sequence[str]) -> Turn | None:
    alternatives = scripted.either if isinstance(scripted, Branch) else (scripted,)
    return next((turn for turn in alternatives if turn.when is None or turn.when.holds(outputs)), None)


def _skip_answer(conversation: Sequence[Part], at: int, items: int) -> tuple[int, tuple[str, ...]]:
    outputs: list[str] = []
    while items and at < len(conversation):
        part = conversation[at]
        if isinstance(part, Made):
            items -= 1
        elif isinstance(part, Returned):
            # Calls that were made together may be told pair by pair.
            outputs.append(part.text)
        at += 1
    at, last = _skip_to_made(conversation, at)
    return at, (*outputs, *last)


def _skip_to_made(conversation: Sequence[Part], at: int) -> tuple[int, tuple[str, ...]]:
    outputs: list[str] = []
    while at < len(conversation) and not isinstance(part := conversation[at], Made):
        if isinstance(part, Returned):
            outputs.append(part.text)
        at += 1
    return at, tuple(outputs)


def conversation_of_responses(request: Mapping[str, Any]) -> list[Part]:
    """The parts of a Responses request. Raises `RequestRefused`."""
    given = request.get("input", [])
    if isinstance(given, str):
        return [Said(given)]
    if not isinstance(given, list):
        raise RequestRefused("Invalid type for 'input': expected a string or an array.", param="input")
    parts: list[Part] = []
    open_calls: set[str] = set()
    known_calls: set[str] = set()
    for place, item in enumerate(given):
        parts.extend(_part_of_item(item, place=place, open_calls=open_calls, known_calls=known_calls))
    if open_calls:
        raise RequestRefused(f"No tool output found for function call {min(open_calls)}.", param="input")
    return parts


def _part_of_item(item: Any, *, place: int, open_calls: set[str], known_calls: set[str]) -> list[Part]:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    match kind:
        case "message":
            return [Made() if item.get("role") == "assistant" else Said(_text_of(item.get("content")))]
        case "function_call" | "custom_tool_call":
            open_calls.add(item["call_id"])
            known_calls.add(item["call_id"])
            return [Made(is_call=True)]
        case "function_call_output" | "custom_tool_call_output":
            if item["call_id"] not in known_calls:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise RequestRefused(message, param="input")
            open_calls.discard(item["call_id"])
            return [Returned(_text_of(item.get("output")))]
        case "reasoning":
            _check_encrypted(item.get("encrypted_content"))
            return []
        case _:
            message = f"Invalid value for 'input[{place}].type': {kind!r}."
            raise RequestRefused(message, param=f"input[{place}]")


ENCRYPTED_PREFIX = "gAAAAAscripted"
"""How the model knows its own encrypted reasoning."""


def _check_encrypted(content: object) -> None:
    if not isinstance(content, str) or not content.startswith(ENCRYPTED_PREFIX):
        message = "The encrypted content could not be verified."
        raise RequestRefused(message, code="invalid_encrypted_content")


def conversation_of_chat(request: Mapping[str, Any]) -> list[Part]:
    """The parts of a Chat Completions request. Raises `RequestRefused`."""
    parts: list[Part] = []
    awaited: list[str] = []
    for place, message in enumerate(request.get("messages") or []):
        role = message.get("role")
        if awaited and role != "tool":
            raise RequestRefused(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
                " 'tool_call_id'. The following tool_call_ids did not have response messages: "
                + ", ".join(awaited),
                param=f"messages.[{place}].role",
            )
        match role:
            case "assistant":
                parts.extend([Made()] if message.get("content") or message.get("refusal") else [])
                awaited = [call["id"] for call in message.get("tool_calls") or []]
                parts.extend(Made(is_call=True) for _ in awaited)
            case "tool":
                if message.get("tool_call_id") not in awaited:
                    raise RequestRefused(
                        "Invalid parameter: messages with role 'tool' must be a response to a preceding"
                        " message with 'tool_calls'.",
                        param=f"messages.[{place}].role",
                    )
                awaited.remove(message["tool_call_id"])
                parts.append(Returned(_text_of(message.get("content"))))
            case "user" | "system" | "developer":
                parts.append(Said(_text_of(message.get("content"))))
            case _:
                raise RequestRefused(f"Invalid value: {role!r}.", param=f"messages[{place}].role")
    if awaited:
        raise RequestRefused(f"No tool message follows the calls {', '.join(awaited)}.", param="messages")
    return parts


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or [] if isinstance(part, dict) and "text" in part)
