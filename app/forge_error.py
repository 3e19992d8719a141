"""Every way the forge fails, as the questions that matter: does it pass, and when? Asks nothing itself."""

import json
import time
from typing import Any, Final, Literal

import requests
from github.GithubException import GithubException, RateLimitExceededException

ForgeFault = Literal["missing", "denied", "invalid", "conflict", "limited", "broken", "signed_out", "moved"]
"""`limited`, `broken` and `signed_out` pass with time, `moved` with the new name; the others stay."""

UNNAMED_WAIT: Final = 60.0
"""Seconds, at least, when the forge limits and names no time."""

RAISED: Final = (GithubException, requests.RequestException, AssertionError, ValueError)
"""What PyGithub raises: its own, its transport's, for a redirect to another host, for JSON that is none."""


class ForgeError(Exception):
    """The forge did not do it. `is_passing` says whether to try again."""

    def __init__(
        self,
        fault: ForgeFault,
        message: str,
        *,
        status: int,
        retry_after: float | None = None,
        is_told: bool = True,
        is_exhausted: bool = False,
    ) -> None:
        """`is_told`: `retry_after` is the forge's word; `is_exhausted`: the hour's requests are used up."""
        self.is_told: Final = is_told
        self.is_exhausted: Final = is_exhausted
        self.fault: Final = fault
        self.message: Final = message
        self.status: Final = status
        self.retry_after: Final = retry_after
        super().__init__(f"{status} {message}" if status else message)

    @property
    def is_passing(self) -> bool:
        return self.fault in {"limited", "broken", "signed_out"}


def forge_error(error: Exception) -> ForgeError:
    """`error` (one of `RAISED`) in our words."""
    if isinstance(error, ForgeError):
        return error
    if isinstance(error, GithubException):
        return _from_answer(error)
    if isinstance(error, requests.RequestException):
        return ForgeError("broken", f"the forge did not answer ({type(error).__name__})", status=0)
    return ForgeError("broken", f"the forge's answer makes no sense ({type(error).__name__})", status=0)


def _from_answer(error: GithubException) -> ForgeError:
    status = error.status
    message = _message(error)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if status == 429 or (status == 403 and _is_limit(error, message, headers)):
        told = _told_wait(headers)
        return ForgeError(
            "limited",
            message,
            status=status,
            retry_after=UNNAMED_WAIT if told is None else told,
            is_told=told is not None,
            is_exhausted=headers.get("x-ratelimit-remaining") == "0",
        )
    if status >= 500 or status == 408:
        return ForgeError("broken", message, status=status, retry_after=_retry_after(headers))
    faults: dict[int, ForgeFault] = {
        # A token that was revoked, or is being replaced: what is under way must outlast that.
        401: "signed_out",
        403: "denied",
        404: "missing",
        409: "conflict",
        410: "missing",
        422: "invalid",
    }
    return ForgeError(faults.get(status, "invalid"), message, status=status)


def _is_limit(error: GithubException, message: str, headers: dict[str, str]) -> bool:
    """https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#rate-limit-errors"""
    words = ("rate limit", "abuse detection", "login attempts exceeded")
    return (
        isinstance(error, RateLimitExceededException)
        or "retry-after" in headers
        or any(said in message.lower() for said in words)
    )


def _told_wait(headers: dict[str, str]) -> float | None:
    """https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""
    if (after := _retry_after(headers)) is not None:
        return after
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(1.0, float(reset) - time.time())
    return None


def _retry_after(headers: dict[str, str]) -> float | None:
    after = headers.get("retry-after", "")
    return float(after) if after.isdecimal() else None


def _message(error: GithubException) -> str:
    data: Any = error.data
    if not isinstance(data, dict):
        # Not GitHub's own words: a proxy's page, as a rule.
        return f"status {error.status}"
    detail = data.get("errors")
    text = str(data.get("message", f"status {error.status}"))
    return f"{text} {json.dumps(detail)[:300]}" if detail else text
