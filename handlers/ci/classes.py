"""Whose is a failure: the code's, a flake's, the runner's, somebody else's? By evidence, with the reason."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from handlers.ci.failures import Failure

FLAKES_TO_BELIEVE: Final = 2
"""On so many commits a test must have both failed and passed before its next failure is called flaky."""


class FailureClass(StrEnum):
    DETERMINISTIC = "deterministic"
    FLAKY = "flaky"
    INFRASTRUCTURE = "infrastructure"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class FlakeRecord:
    """What the ledger knows of one test, over all heads of the repository."""

    passed: int = 0
    failed: int = 0
    flaked: int = 0
    """On how many commits it both failed and passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of the failed checks of one head."""

    failures: tuple[Failure, ...]
    on_base: frozenset[str] | None = None
    """Fingerprints of what fails on the base too; None when nobody looked."""
    ledger: Mapping[str, FlakeRecord] | None = None
    """By `ledger_key`; None when nothing is on record."""
    rerun: Literal["none", "passed", "failed"] = "none"
    """How the failed jobs ended when they were run again on the same head."""
    conclusions: tuple[str, ...] = ()
    """GitHub's conclusions of the failed jobs: `failure`, `timed_out`, `cancelled`, `startup_failure`…"""
    said: tuple[str, ...] = ()
    """What the runner complained of, and the last lines of each job's log."""


@dataclass(frozen=True, slots=True)
class Classified:
    what: FailureClass
    reason: str
    """A sentence for people."""
    same_on_base: bool = False
    """Every failure is on the base branch too."""


def ledger_key(failure: Failure) -> str | None:
    """By what the ledger counts a test, the same in every run, whatever it says. None for what is no test."""
    return f"{failure.tool}: {failure.test}" if failure.kind == "test" and failure.test else None


def classify(evidence: Evidence) -> Classified:
    """The class that the strongest evidence speaks for: what happened, what was said, then the record."""
    same_on_base = _is_same_on_base(evidence)
    what, reason = _judged(evidence)
    return Classified(what, reason, same_on_base)


def _is_same_on_base(evidence: Evidence) -> bool:
    if not evidence.failures or evidence.on_base is None:
        return False
    return all(failure.fingerprint in evidence.on_base for failure in evidence.failures)


def _judged(evidence: Evidence) -> tuple[FailureClass, str]:
    if evidence.rerun == "passed":
        return FailureClass.FLAKY, "The failed jobs passed when they were run again on the same commit."
    if "startup_failure" in evidence.conclusions:
        return (
            FailureClass.DETERMINISTIC,
            "The workflow could not start: its file is not one that GitHub takes.",
        )
    sign = _common_sign(evidence)
    if sign is not None:
        return sign.what, f"The log says that {sign.means}."
    if not evidence.failures and evidence.conclusions and set(evidence.conclusions) <= _ENDED_FROM_OUTSIDE:
        return (
            FailureClass.INFRASTRUCTURE,
            "The jobs were ended from outside, and no tool reported a failure.",
        )
    flaky = [failure for failure in evidence.failures if _is_known_flake(failure, evidence.ledger or {})]
    if flaky and len(flaky) == len(evidence.failures):
        return FailureClass.FLAKY, _told_flaky(flaky, evidence.ledger or {})
    return FailureClass.DETERMINISTIC, _why_deterministic(evidence, len(flaky))


_ENDED_FROM_OUTSIDE: Final = frozenset({"timed_out", "cancelled"})


def _is_known_flake(failure: Failure, ledger: Mapping[str, FlakeRecord]) -> bool:
    record = ledger.get(ledger_key(failure) or "")
    return record is not None and record.flaked >= FLAKES_TO_BELIEVE


def _told_flaky(flaky: list[Failure], ledger: Mapping[str, FlakeRecord]) -> str:
    if len(flaky) > 1:
        return f"All {len(flaky)} tests that fail have failed and passed on the same commit before."
    record = ledger[ledger_key(flaky[0]) or ""]
    return f"The test has failed and passed on the same commit before, {record.flaked} times."


def _why_deterministic(evidence: Evidence, flaky: int) -> str:
    if flaky:
        others = len(evidence.failures) - flaky
        return f"Of what fails, {flaky} known to be flaky and {others} not."
    if evidence.rerun == "failed":
        return "It failed again when the failed jobs were run once more on the same commit."
    if evidence.failures and all(failure.kind != "test" for failure in evidence.failures):
        return "A compiler or a linter says it of the code itself."
    return "Nothing speaks for a flake, for the runner, or for a service elsewhere."


@dataclass(frozen=True, slots=True)
class _Sign:
    what: FailureClass
    means: str
    """Ends the sentence "The log says that …"."""
    pattern: re.Pattern[str]


def _common_sign(evidence: Evidence) -> _Sign | None:
    """What everything that failed shows; with no failure as data, what the runner and the logs' ends say."""
    if not evidence.failures:
        return _first_sign(evidence.said)
    signs = [_first_sign((failure.message, failure.details)) for failure in evidence.failures]
    return signs[0] if None not in signs else None


def _first_sign(texts: Iterable[str]) -> _Sign | None:
    kept = tuple(texts)
    return next((sign for sign in _SIGNS if any(sign.pattern.search(text) for text in kept)), None)


def _sign(what: FailureClass, means: str, *phrases: str) -> _Sign:
    return _Sign(what, means, re.compile("|".join(phrases), re.IGNORECASE))


_SIGNS: Final = (
    _sign(
        FailureClass.INFRASTRUCTURE,
        "the runner was lost",
        r"the (?:self-)?hosted runner[^\n]{0,80} lost communication",
        r"lost communication with the server",
        r"the runner has received a shutdown signal",
        r"the operation was canceled because the runner",
        r"runner[^\n]{0,40} did not (?:connect|acquire)",
    ),
    _sign(
        FailureClass.INFRASTRUCTURE,
        "the runner's disk is full",
        r"no space left on device",
        r"\bENOSPC\b",
        r"disk quota exceeded",
        r"there is not enough space on the disk",
    ),
    _sign(
        FailureClass.INFRASTRUCTURE,
        "the runner ran out of memory",
        r"\bOOM[- ]?kill",
        r"out of memory: killed process",
        r"process completed with exit code 137\b",
        r"cannot allocate memory",
        r"javascript heap out of memory",
    ),
    _sign(
        FailureClass.INFRASTRUCTURE,
        "the job ran out of time",
        r"has exceeded the maximum execution time",
        r"has timed out after \d+ minutes",
        r"the job running on runner [^\n]{0,120} has exceeded",
    ),
    _sign(
        FailureClass.INFRASTRUCTURE,
        "an action or a container could not be fetched",
        r"failed to download action",
        r"unable to resolve action",
        r"failed to initialize container",
        r"docker pull failed with exit code",
    ),
    _sign(
        FailureClass.EXTERNAL,
        "a service limits how often it may be asked",
        r"\b429\b[^\n]{0,20}too many requests",
        r"too many requests",
        r"toomanyrequests",
        r"(?:pull|api|secondary) rate limit",
        r"rate limit exceeded",
    ),
    _sign(
        FailureClass.EXTERNAL,
        "a host's name could not be resolved",
        r"could not resolve host",
        r"temporary failure in name resolution",
        r"name or service not known",
        r"\bEAI_AGAIN\b",
        r"getaddrinfo (?:ENOTFOUND|failed)",
        r"no such host",
        r"nodename nor servname provided",
    ),
    _sign(
        FailureClass.EXTERNAL,
        "a service elsewhere is out of order",
        r"\b(?:500 internal server error|502 bad gateway|504 gateway time-?out)",
        r"\b503 service (?:temporarily )?unavailable",
        r"(?:status(?: code)?|http(?: error)?|returned error|response(?: code)?)[: =]{1,3}5\d\d\b",
        r"npm err(?:or|!) code E5\d\d",
        r"received unexpected http status: 5\d\d",
    ),
    _sign(
        FailureClass.EXTERNAL,
        "a connection to a service elsewhere broke",
        r"connection (?:was )?reset by (?:peer|server)",
        r"\bECONNRESET\b",
        r"\bETIMEDOUT\b",
        r"tls handshake timeout",
        r"read timed out",
        r"connect(?:ion)? (?:attempt )?timed out",
        r"the remote end hung up unexpectedly",
    ),
)
"""Most certain first: a full disk also breaks connections."""
