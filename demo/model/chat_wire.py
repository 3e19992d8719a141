"""Renders an answer as the Chat Completions wire: the chunks of api.openai.com, in order. Sends nothing."""

from collections.abc import Mapping
from typing import Any

from demo.model.answer import Answer, OfferedTool, pieces
from demo.model.responses_wire import first_argument
from demo.model.session import Failure

Chunk = dict[str, Any]


def offered_tools(request: Mapping[str, Any]) -> dict[str, OfferedTool]:
    return {
        tool["function"]["name"]: OfferedTool("function", first_argument(tool["function"].get("parameters")))
        for tool in request.get("tools") or []
        if tool.get("type") == "function"
    }


def chunks_of(
    answer: Answer, request: Mapping[str, Any], *, created: int, fault: Failure | None
) -> list[Chunk]:
    """The whole stream but its `[DONE]`. With a `fault` it breaks off where the fault says."""
    tells_usage = bool((request.get("stream_options") or {}).get("include_usage"))
    head: Chunk = {
        "id": answer.id("chatcmpl").replace("_", "-"),
        "object": "chat.completion.chunk",
        "created": created,
        "model": request["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }
    usage = {"usage": None} if tells_usage else {}

    def chunk(delta: Chunk, finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**head, "choices": [choice], **usage}

    stream = [chunk({"role": "assistant", "content": None if answer.calls else "", "refusal": None})]
    stream += [chunk({"content": piece}) for piece in pieces(answer.text)]
    stream += [chunk({"refusal": piece}) for piece in pieces(answer.refusal)]
    for index, call in enumerate(answer.calls):
        opening = {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        stream.append(chunk({"tool_calls": [{"index": index, **opening}]}))
        stream += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in pieces(call.arguments)
        ]
    stream.append(chunk({}, _finish_reason(answer)))
    if tells_usage:
        stream.append({**head, "choices": [], "usage": _usage(answer)})
    if fault is not None:
        error = {} if fault.how == "unexplained" else {"code": fault.code, "message": fault.message}
        stream = [*stream[: fault.after_events], {"error": error}]
    return stream


def body_of(answer: Answer, request: Mapping[str, Any], *, created: int) -> Chunk:
    """The answer to a request without `stream`."""
    message: Chunk = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": answer.refusal or None,
        "annotations": [],
    }
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in answer.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {
        "id": answer.id("chatcmpl").replace("_", "-"),
        "object": "chat.completion",
        "created": created,
        "model": request["model"],
        "choices": [choice],
        "usage": _usage(answer),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _finish_reason(answer: Answer) -> str:
    if answer.stop != "completed":
        return answer.stop
    return "tool_calls" if answer.calls else "stop"


def _usage(answer: Answer) -> Chunk:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
