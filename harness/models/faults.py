"""What an endpoint's refusal means: statuses, codes and messages become the faults that the loop acts on.

Knows no client library and does no I/O.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from harness.protocols import ModelError, ModelFault

# Codes and types as api.openai.com, Azure, llama.cpp and common gateways send them.
_BY_CODE: Final[Mapping[str, ModelFault]] = {
    "insufficient_quota": "quota",
    "billing_hard_limit_reached": "quota",
    "billing_not_active": "quota",
    "usage_limit_reached": "quota",
    "usage_not_included": "quota",
    "context_length_exceeded": "context_overflow",
    "exceed_context_size_error": "context_overflow",
    "string_above_max_length": "context_overflow",
    "content_policy_violation": "refused",
    "content_filter": "refused",
    "cyber_policy": "refused",
    "bio_policy": "refused",
    "misalignment_policy_violation": "refused",
    "invalid_prompt": "refused",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_error": "rate_limited",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "overloaded_error": "overloaded",
    "engine_overloaded": "overloaded",
    "invalid_api_key": "authentication",
    "authentication_error": "authentication",
    "permission_error": "authentication",
    "model_not_found": "invalid_request",
    "server_error": "server",
}
_BY_STATUS: Final[Mapping[int, ModelFault]] = {
    401: "authentication",
    402: "quota",
    403: "authentication",
    # A timed-out or conflicting request is worth another try, as the client library's own policy has it.
    408: "server",
    409: "server",
    425: "server",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}
# vLLM, Gemini's and Anthropic's compatible endpoints tell an overflow in words only.
_OVERFLOW: Final = re.compile(
    r"maximum context length|context (window|size|length)|prompt is too long|input token count .{0,40}exceeds"
    r"|input tokens exceed"
    # A request over the whole per-minute allowance never fits, however long one waits.
    r"|request too large",
    re.IGNORECASE,
)
# llama.cpp's status for it is 500, but the same request never becomes a better one.
_NEVER_TAKEN: Final = re.compile(r"(image|audio|video) input is not supported", re.IGNORECASE)
_TRY_AGAIN: Final = re.compile(
    r"try again in\s+(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?!s))?\s*(?:(?P<n>\d+(?:\.\d+)?)\s*(?P<unit>ms|s)\w*)?",
    re.IGNORECASE,
)
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)(ms|s))?")
_DETAIL_LIMIT: Final = 600


class Complaint(BaseModel):
    """The `error` object of an answer or an event; every field may be missing, null or of another type."""

    model_config = ConfigDict(frozen=True)

    code: str = ""
    type: str = ""
    param: str = ""
    message: str = ""

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: object) -> str:
        return value if isinstance(value, str) else "" if value is None else str(value)


def complaint_of(body: object) -> Complaint:
    """The complaint in an answer's body: under `error`, bare, or plain text."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            try:
                return Complaint.model_validate(dict(inner))
            except ValidationError:
                return Complaint()
        return Complaint(message=str(inner or ""))
    return Complaint(message=body if isinstance(body, str) else "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is no success."""

    status: int
    complaint: Complaint
    headers: Mapping[str, str]


class FieldRefused(ModelError):
    """The endpoint does not take one field of the request; nothing was run."""

    def __init__(self, field: str, detail: str) -> None:
        self.field = field
        super().__init__("invalid_request", detail)


def error_for_refusal(refusal: Refusal, *, now: float) -> ModelError:
    """What a 4xx or 5xx means. `now` (seconds since the epoch) reads a `Retry-After` that is a date."""
    fault = _fault_of(refusal.complaint, _fault_of_status(refusal.status))
    wait = _wait_from_headers(refusal.headers, now=now)
    if wait is None:
        wait = wait_from_message(refusal.complaint.message)
    if wait is None and refusal.status == 429:
        wait = _wait_for_reset(refusal.headers)
    detail = f"HTTP {refusal.status}{_described(refusal.complaint)}"
    if fault == "invalid_request" and refusal.complaint.param:
        return FieldRefused(refusal.complaint.param, detail)
    return ModelError(fault, detail, retry_after=wait)


def error_in_stream(complaint: Complaint) -> ModelError:
    """What an error inside an answer that began well means; an unexplained one is the server's."""
    fault = _fault_of(complaint, "server")
    wait = wait_from_message(complaint.message)
    described = _described(complaint).removeprefix(": ")
    return ModelError(
        fault, described or "the endpoint broke off with an error it does not explain", retry_after=wait
    )


def malformed(error: ValueError, what: str) -> ModelError:
    """`what` (an event, a chunk) could not be read; the endpoint's own text is not told."""
    if isinstance(error, ValidationError):
        return ModelError("malformed_answer", f"{what} has another shape than agreed ({error.title})")
    return ModelError("malformed_answer", f"{what} is not JSON")


def wait_from_message(message: str) -> float | None:
    """The seconds of "Please try again in 1m2.5s", which may be the only place that tells them."""
    found = _TRY_AGAIN.search(message)
    if found is None or not any(found.group("h", "m", "n")):
        return None
    last = float(found["n"] or 0) / (1000 if (found["unit"] or "").lower() == "ms" else 1)
    return int(found["h"] or 0) * 3600 + int(found["m"] or 0) * 60 + last


def _fault_of(complaint: Complaint, otherwise: ModelFault) -> ModelFault:
    fault = _BY_CODE.get(complaint.code) or _BY_CODE.get(complaint.type) or otherwise
    if fault == "server" and _NEVER_TAKEN.search(complaint.message):
        return "invalid_request"
    is_vague = fault in ("invalid_request", "rate_limited", "server")
    return "context_overflow" if is_vague and _OVERFLOW.search(complaint.message) else fault


def _fault_of_status(status: int) -> ModelFault:
    return _BY_STATUS.get(status) or ("server" if status >= 500 else "invalid_request")


def _wait_from_headers(headers: Mapping[str, str], *, now: float) -> float | None:
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None or (seconds := _number(value)) is not None:
        return seconds if value is not None else None
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _wait_for_reset(headers: Mapping[str, str]) -> float | None:
    """Until what is used up comes back, by the headers that api.openai.com and many gateways send.

    https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    waits = [
        _duration(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _duration(text: str) -> float | None:
    """`6m0s`, `1h2m`, `120ms`, or plain seconds."""
    if (seconds := _number(text)) is not None:
        return seconds
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        return None
    hours, minutes, last, unit = found.groups()
    rest = float(last or 0) / (1000 if unit == "ms" else 1)
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + rest


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _described(complaint: Complaint) -> str:
    label = complaint.code or complaint.type
    message = complaint.message.strip()
    if len(message) > _DETAIL_LIMIT:
        message = message[:_DETAIL_LIMIT] + " …"
    return "".join(f": {part}" for part in (label, message) if part)
