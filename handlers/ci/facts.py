"""What a handler may know of the checks of a head: fetched and counted by the worker, immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from handlers.ci.attempts import Attempt
from handlers.ci.classes import FlakeRecord
from handlers.ci.excerpt import FailedJob
from handlers.ci.settled import Settled, Superseded, Unsettled


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A workflow run with failed jobs, which can be run again."""

    id: int
    attempt: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One repair that this thread has tried, and what it cost."""

    fingerprint: str
    attempt: Attempt
    money: float
    seconds: float
    is_over: bool
    """Whether its turn has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiMemory:
    """What earlier looks have left."""

    fingerprint: str = ""
    """What failed on this very head, when it was last looked at."""
    tests: tuple[str, ...] = ()
    """Of that, by `ledger_key`."""
    reruns: int = 0
    """Of this head's failed jobs."""
    tried: tuple[Tried, ...] = ()
    """In this thread, oldest first."""
    called: frozenset[str] = frozenset()
    """Fingerprints for which a person was called here."""
    ledger: Mapping[str, FlakeRecord] = field(default_factory=lambda: MappingProxyType({}))
    pushed_by: str = ""
    """The turn whose commit this head is; empty: none of ours."""
    has_comment: bool = False
    """Whether the thread has its one comment about checks."""
    has_offer: bool = False
    """Whether this head has the check run that offers a repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiFacts:
    """The checks of one head, all of them."""

    is_open: bool
    """Whether the pull request is open, or the branch there."""
    title: str
    url: str
    """Of the pull request, or of the branch's commit."""
    verdict: Superseded | Unsettled | Settled
    jobs: tuple[FailedJob, ...] = ()
    """Of what failed and is looked after."""
    job_ids: tuple[int | None, ...] = ()
    """Of each of `jobs`, where its log can be had."""
    runs: tuple[FailedRun, ...] = ()
    conclusions: tuple[str, ...] = ()
    on_base: frozenset[str] | None = None
    """Fingerprints of what fails on the base; None: nobody knows."""
    open_pull: int | None = None
    """Of a branch: the pull request of an earlier repair, if it is open."""
    now: str = ""
    """As GitHub would write it."""
    memory: CiMemory = field(default_factory=CiMemory)
