"""How long an endpoint asks to wait, in each of the ways endpoints have of saying it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.faults import Complaint, Refusal, complaint_of, error_for_refusal, wait_from_message

NOON = 1_767_268_800.0
"""2026-01-01 12:00:00 UTC"""


def wait_for(headers: dict[str, str], message: str = "") -> float | None:
    refusal = Refusal(429, Complaint(message=message), headers)
    return error_for_refusal(refusal, now=NOON).retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m3.5s"}, 63.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_the_header_says_when(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, a date or milliseconds; nonsense is as good as nothing."""
    assert wait_for(headers) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 1.242s. Visit …", 1.242),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1h2m3s.", 3723.0),
        ("Try again in 35 seconds.", 35.0),
        ("Please try again in 2m.", 120.0),
        ("Please try again in a while.", None),
        ("Please try again later.", None),
    ],
)
def test_the_message_says_when(message: str, seconds: float | None) -> None:
    """Some tell it in words only; the header goes before them."""
    assert wait_from_message(message) == seconds
    assert wait_for({"retry-after": "7"}, message) == 7.0


@given(st.text())
def test_any_message_can_be_read(message: str) -> None:
    """No text of an endpoint is an error of ours."""
    assert (wait_from_message(message) or 0.0) >= 0.0


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_body_can_be_complained_of(body: object) -> None:
    """Whatever JSON an endpoint answers with, something is made of it."""
    assert error_for_refusal(Refusal(400, complaint_of(body), {}), now=NOON).detail.startswith("HTTP 400")


def test_a_long_message_is_cut() -> None:
    """An endpoint that quotes the whole request does not fill the journal."""
    error = error_for_refusal(Refusal(400, Complaint(message="x" * 10_000), {}), now=NOON)

    assert len(error.detail) < 700


def test_a_request_that_is_too_large_for_the_rate_limit_never_fits() -> None:
    """Waiting would not help: it is told as an overflow, not as a limit of the rate."""
    message = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 45000."
    refusal = Refusal(429, Complaint(code="rate_limit_exceeded", message=message), {})

    assert error_for_refusal(refusal, now=NOON).fault == "context_overflow"


def test_an_image_for_a_model_without_eyes_is_not_sent_again() -> None:
    """llama.cpp calls it a server error; asking six times for it would help nobody."""
    message = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"
    refusal = Refusal(500, complaint_of({"error": {"code": 500, "message": message}}), {})

    assert error_for_refusal(refusal, now=NOON).fault == "invalid_request"


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (400, Complaint(code="context_length_exceeded", message="Too many tokens.")),
        (400, Complaint(code="string_above_max_length", message="Invalid 'input[0].content'.")),
        (400, Complaint(type="exceed_context_size_error", message="The request is too much.")),
        (400, Complaint(message="This model's maximum context length is 4096 tokens. However, you asked")),
        (400, Complaint(message="Your input exceeds the context window of this model.")),
        (500, Complaint(message="the request exceeds the available context size, try increasing it")),
        (400, Complaint(message="The context length of 9000 tokens is more than the model takes.")),
        (400, Complaint(message="prompt is too long: 210000 tokens > 200000 maximum")),
        (400, Complaint(message="The input token count (1200000) exceeds the maximum of 1048576.")),
        (400, Complaint(message="Input tokens exceed the configured limit of 272000 tokens.")),
    ],
)
def test_a_history_that_is_too_long_is_told_apart(status: int, complaint: Complaint) -> None:
    """By code or type, else by the words that endpoints are known to use: it leads to a compaction."""
    assert error_for_refusal(Refusal(status, complaint, {}), now=NOON).fault == "context_overflow"


@pytest.mark.parametrize(
    ("status", "message", "fault"),
    [
        (400, "max_tokens is too large: 40000. The model supports at most 16384 tokens.", "invalid_request"),
        (400, "Invalid value: 'tool'.", "invalid_request"),
        (400, "The input token count is one. " + "x" * 50 + " exceeds", "invalid_request"),
        (401, "No key for the context window that you asked for.", "authentication"),
        (429, "Rate limit reached for tokens per minute.", "rate_limited"),
        (500, "The server had an error.", "server"),
    ],
)
def test_what_a_shorter_history_would_not_help_is_no_overflow(status: int, message: str, fault: str) -> None:
    assert error_for_refusal(Refusal(status, Complaint(message=message), {}), now=NOON).fault == fault
