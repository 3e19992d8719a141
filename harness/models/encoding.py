"""JSON as both wires send it: deterministic, so that each request's history is a prefix of the next one's."""

import hashlib
import json

from harness.items import Call, Image


def compact_json(value: object) -> bytes:
    """Equal values give equal bytes; a lone surrogate, which no server takes, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def arguments_of(call: Call) -> str:
    """The call's arguments as a JSON object's text.

    vLLM's and llama.cpp's chat templates parse the arguments of earlier calls: one malformed call in the
    history would have every later request refused.
    """
    try:
        is_object = isinstance(json.loads(call.arguments), dict)
    except ValueError:
        is_object = False
    return call.arguments if is_object else compact_json({"input": call.arguments}).decode()


def data_url_of(image: Image) -> str:
    return f"data:{image.media_type};base64,{image.base64}"


def call_id_for(given: str | None, *, used: set[str], history: bytes, place: int) -> str:
    """The id the server gave; where it gave none or gave it twice, one that the same answer derives again."""
    if given and given not in used:
        return given
    return "call_" + hashlib.sha256(b"%d:" % place + history).hexdigest()[:24]
