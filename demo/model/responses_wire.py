"""Renders an answer as the Responses wire: the events of api.openai.com, in its order. Sends nothing."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from demo.model.answer import Answer, MadeCall, OfferedTool, pieces
from demo.model.conversation import ENCRYPTED_PREFIX
from demo.model.session import Failure

Event = dict[str, Any]


def offered_tools(request: Mapping[str, Any]) -> dict[str, OfferedTool]:
    return {
        tool["name"]: OfferedTool(tool["type"], first_argument(tool.get("parameters")))
        for tool in request.get("tools") or []
        if tool.get("type") in ("function", "custom")
    }


def first_argument(schema: Any) -> str:
    """The name of the first required property, or of the first one."""
    names = [*((schema or {}).get("required") or ()), *((schema or {}).get("properties") or ())]
    return names[0] if names else "input"


def events_of(
    answer: Answer, request: Mapping[str, Any], *, created: int, fault: Failure | None
) -> list[Event]:
    """The whole stream. With a `fault` it breaks off where the fault says, in the way the fault says."""
    envelope = _envelope(answer, request, created)
    opened = {**envelope, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    opened["incomplete_details"] = None
    stream: list[Event] = [
        {"type": "response.created", "response": opened},
        {"type": "response.in_progress", "response": opened},
    ]
    for index, item in enumerate(output_items(answer, encryption="stream")):
        stream.extend(_item_events(item, index))
    is_whole = answer.stop == "completed"
    stream.append({"type": "response.completed" if is_whole else "response.incomplete", "response": envelope})
    if fault is not None:
        stream = [*stream[: max(fault.after_events, 2)], *_failure(fault, opened)]
    return [{**event, "sequence_number": number} for number, event in enumerate(stream)]


def body_of(answer: Answer, request: Mapping[str, Any], *, created: int) -> Event:
    """The answer to a request without `stream`."""
    return _envelope(answer, request, created)


def output_items(answer: Answer, *, encryption: str) -> list[Event]:
    """The finished items. `encryption` names the copy: the real service encrypts reasoning anew for each."""
    items: list[Event] = []
    if answer.reasoning:
        sealed = hashlib.sha256(f"{answer.seed}/{encryption}".encode()).digest()
        items.append(
            {
                "id": answer.id("rs"),
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": answer.reasoning}],
                "encrypted_content": ENCRYPTED_PREFIX + base64.urlsafe_b64encode(sealed * 4).decode(),
            }
        )
    if answer.text or answer.refusal:
        items.append(_message(answer))
    items.extend(_call(answer, call, place) for place, call in enumerate(answer.calls))
    return items


def _message(answer: Answer) -> Event:
    part: Event = (
        {"type": "refusal", "refusal": answer.refusal}
        if answer.refusal
        else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    )
    return {
        "id": answer.id("msg"),
        "type": "message",
        "role": "assistant",
        "status": "completed" if answer.stop == "completed" else "incomplete",
        "content": [part],
    }


def _call(answer: Answer, call: MadeCall, place: int) -> Event:
    if call.kind == "custom":
        return {
            "id": answer.id("ctc", place),
            "type": "custom_tool_call",
            "call_id": call.call_id,
            "name": call.name,
            "input": call.arguments,
        }
    return {
        "id": answer.id("fc", place),
        "type": "function_call",
        "status": "completed",
        "call_id": call.call_id,
        "name": call.name,
        "arguments": call.arguments,
    }


def _item_events(item: Event, index: int) -> Iterator[Event]:
    place = {"output_index": index}
    inside = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            begun = {**item, "summary": []}
            yield {"type": "response.output_item.added", **place, "item": begun}
            for summary_index, part in enumerate(item["summary"]):
                yield from _summary_events(part, {**inside, "summary_index": summary_index})
        case "message":
            yield {
                "type": "response.output_item.added",
                **place,
                "item": {**item, "status": "in_progress", "content": []},
            }
            for content_index, part in enumerate(item["content"]):
                yield from _part_events(part, {**inside, "content_index": content_index})
        case "function_call":
            yield {
                "type": "response.output_item.added",
                **place,
                "item": {**item, "status": "in_progress", "arguments": ""},
            }
            for piece in pieces(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **inside, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **inside, "arguments": item["arguments"]}
        case "custom_tool_call":
            yield {"type": "response.output_item.added", **place, "item": {**item, "input": ""}}
            for piece in pieces(item["input"]):
                yield {"type": "response.custom_tool_call_input.delta", **inside, "delta": piece}
            yield {"type": "response.custom_tool_call_input.done", **inside, "input": item["input"]}
        case _:
            raise AssertionError(item["type"])
    yield {"type": "response.output_item.done", **place, "item": item}


def _summary_events(part: Event, inside: Event) -> Iterator[Event]:
    yield {"type": "response.reasoning_summary_part.added", **inside, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield {"type": "response.reasoning_summary_text.delta", **inside, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **inside, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **inside, "part": part}


def _part_events(part: Event, inside: Event) -> Iterator[Event]:
    if part["type"] == "refusal":
        yield {"type": "response.content_part.added", **inside, "part": {**part, "refusal": ""}}
        for piece in pieces(part["refusal"]):
            yield {"type": "response.refusal.delta", **inside, "delta": piece}
        yield {"type": "response.refusal.done", **inside, "refusal": part["refusal"]}
    else:
        yield {"type": "response.content_part.added", **inside, "part": {**part, "text": ""}}
        for piece in pieces(part["text"]):
            yield {"type": "response.output_text.delta", **inside, "delta": piece, "logprobs": []}
        yield {"type": "response.output_text.done", **inside, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **inside, "part": part}


def _failure(fault: Failure, opened: Event) -> list[Event]:
    match fault.how:
        case "failed":
            error = {"code": fault.code, "message": fault.message}
            return [{"type": "response.failed", "response": {**opened, "status": "failed", "error": error}}]
        case "error":
            return [{"type": "error", "code": fault.code, "message": fault.message, "param": None}]
        case "unexplained":
            return [{"error": {}}]


def _envelope(answer: Answer, request: Mapping[str, Any], created: int) -> Event:
    reasons = {"completed": None, "length": "max_output_tokens", "content_filter": "content_filter"}
    reason = reasons[answer.stop]
    return {
        "id": answer.id("resp"),
        "object": "response",
        "created_at": created,
        "completed_at": created if reason is None else None,
        "status": "completed" if reason is None else "incomplete",
        "background": False,
        "error": None,
        "incomplete_details": reason and {"reason": reason},
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": None,
        "metadata": request.get("metadata") or {},
        "model": request["model"],
        "output": output_items(answer, encryption="envelope"),
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": request.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools") or [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }
