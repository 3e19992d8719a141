"""The order rules of both wires' streams, as observed at api.openai.com. Says what breaks them."""

from collections.abc import Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]

TERMINAL = ("response.completed", "response.incomplete", "response.failed", "error")
_TEXT = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.reasoning_summary_text": "text",
}
"""What streams in deltas, and the field that its `done` event tells whole."""


def responses_order_problems(events: Sequence[Event], *, is_whole: bool) -> list[str]:
    """What is wrong with the order of a Responses stream; one that was cut keeps it up to the cut."""
    order = _ResponsesOrder()
    for event in events:
        order.take(event)
    if is_whole and not order.is_over:
        order.problems.append("no terminal event")
    return order.problems


class _ResponsesOrder:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self.is_over = False
        self._count = 0
        self._response_id: str | None = None
        self._items: list[Event] = []
        self._open: Event | None = None
        self._parts = 0
        self._open_part: Event | None = None
        self._deltas = ""
        self._told: dict[str, str] = {}

    def take(self, event: Event) -> None:
        kind = event["type"]
        self._expect(not self.is_over, f"{kind} after the end")
        self._expect(event.get("sequence_number") == self._count, f"{kind} out of sequence")
        self._take_place(kind)
        self._count += 1
        if "response" in event:
            self._take_envelope(kind, event["response"])
        if kind in TERMINAL:
            self.is_over = True
        elif kind == "response.output_item.added":
            self._open_item(event)
        elif kind == "response.output_item.done":
            self._close_item(event)
        elif kind.endswith("part.added"):
            self._open_the_part(event)
        elif kind.endswith("part.done"):
            self._close_the_part(event)
        elif kind.endswith((".delta", ".done")):
            self._take_text(event, *kind.rsplit(".", 1))

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.problems.append(otherwise)

    def _take_place(self, kind: str) -> None:
        opening = ("response.created", "response.in_progress")
        expected = opening[self._count] if self._count < len(opening) else None
        if expected is not None:
            self._expect(kind == expected, f"{kind} where {expected} belongs")
        else:
            self._expect(kind not in opening, f"{kind} once more")

    def _take_envelope(self, kind: str, envelope: Event) -> None:
        self._response_id = self._response_id or envelope["id"]
        self._expect(envelope["id"] == self._response_id, f"{kind} of another response")
        status = kind.removeprefix("response.").replace("created", "in_progress")
        self._expect(envelope["status"] == status, f"{kind} says {envelope['status']}")
        if kind in ("response.completed", "response.incomplete"):
            self._expect(self._open is None, f"{kind} while an item is open")
            final = [_without_secret(item) for item in envelope["output"]]
            self._expect(final == [_without_secret(item) for item in self._items], "output is not its items")
            self._expect(envelope["usage"] is not None, f"{kind} without usage")
        else:
            self._expect(envelope["output"] == [], f"{kind} with output")

    def _open_item(self, event: Event) -> None:
        self._expect(self._open is None, "an item opens within another")
        self._expect(event["output_index"] == len(self._items), "an item at the wrong index")
        self._expect(event["item"].get("status", "in_progress") == "in_progress", "an item opens as finished")
        self._open = event["item"]
        self._parts, self._told = 0, {}

    def _close_item(self, event: Event) -> None:
        item = event["item"]
        opened = self._open or {}
        self._expect(
            (item.get("id"), item["type"]) == (opened.get("id"), opened.get("type")), "another item closes"
        )
        self._expect(event["output_index"] == len(self._items), "an item closes at the wrong index")
        self._expect(self._open_part is None, "an item closes with an open part")
        for name, text in self._told.items():
            self._expect(_text_in(item, name) == text, f"the item's {name} is not what was streamed")
        self._items.append(item)
        self._open = None

    def _open_the_part(self, event: Event) -> None:
        self._belongs(event)
        index = event.get("content_index", event.get("summary_index"))
        self._expect(self._open_part is None, "a part opens within another")
        self._expect(index == self._parts, "a part at the wrong index")
        self._open_part, self._deltas = event, ""
        self._parts += 1

    def _close_the_part(self, event: Event) -> None:
        self._belongs(event)
        self._expect(self._open_part is not None, "a part closes that is not open")
        part = event["part"]
        name = "refusal" if part["type"] == "refusal" else "text"
        self._expect(self._told.get(name, "").endswith(part[name]), "a part is not what was streamed")
        self._open_part = None

    def _take_text(self, event: Event, kind: str, stage: str) -> None:
        self._belongs(event)
        name = _TEXT[kind]
        needs_part = name in ("text", "refusal")
        self._expect(not needs_part or self._open_part is not None, f"{kind} outside of a part")
        if stage == "delta":
            self._expect(event["delta"] != "", f"{kind} with an empty delta")
            self._deltas += event["delta"]
            return
        self._expect(event[name] == self._deltas, f"{kind} is not the sum of its deltas")
        self._told[name] = self._told.get(name, "") + event[name]
        self._deltas = ""

    def _belongs(self, event: Event) -> None:
        opened = self._open or {}
        at_home = event["item_id"] == opened.get("id") and event["output_index"] == len(self._items)
        self._expect(at_home, f"{event['type']} of an item that is not open")


def _without_secret(item: Event) -> dict[str, Any]:
    # The real service encrypts reasoning anew for the final output (10 of 34 recorded streams).
    return {name: value for name, value in item.items() if name != "encrypted_content"}


def _text_in(item: Event, name: str) -> Any:
    if name in ("arguments", "input"):
        return item[name]
    parts = item.get("content") or item.get("summary") or []
    return "".join(part.get(name, "") for part in parts)


def chat_order_problems(events: Sequence[Any], *, is_whole: bool) -> list[str]:
    """What is wrong with the order of a Chat Completions stream; one that was cut keeps it up to the cut."""
    problems: list[str] = []
    is_done = bool(events) and events[-1] == b"[DONE]"
    chunks = events[:-1] if is_done else events
    if b"[DONE]" in chunks:
        return ["[DONE] in the midst"]
    if len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) > 1:
        problems.append("chunks of different answers")
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    problems += _choice_problems(choices)
    told = [place for place, chunk in enumerate(chunks) if chunk.get("usage")]
    if any(place != len(chunks) - 1 or chunks[place]["choices"] for place in told):
        problems.append("usage anywhere but on a last chunk of its own")
    if is_whole:
        problems += [] if is_done else ["no [DONE]"]
        finished = bool(choices) and choices[-1]["finish_reason"] is not None
        problems += [] if finished else ["no finish_reason"]
    return problems


def _choice_problems(choices: Sequence[Event]) -> list[str]:
    problems: list[str] = []
    calls = 0
    for place, choice in enumerate(choices):
        delta = choice["delta"]
        is_last = place == len(choices) - 1
        if choice["index"] != 0:
            problems.append("more than one choice")
        if ("role" in delta) != (place == 0):
            problems.append("the role anywhere but first")
        if choice["finish_reason"] is not None and (not is_last or delta):
            problems.append("a finish_reason that is not the end")
        for call in delta.get("tool_calls") or []:
            is_new = call["index"] == calls
            calls += is_new
            if call["index"] != calls - 1:
                problems.append("a tool call out of order")
            if is_new != ("id" in call) or is_new != ("name" in call["function"]):
                problems.append("a tool call's id and name anywhere but first")
    return problems
