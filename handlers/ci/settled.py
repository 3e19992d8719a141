"""Has CI on a head settled? Which of its checks failed, that are not our own?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

QUIET: Final = timedelta(seconds=60)
"""So long nothing may have happened: a workflow that another one starts needs some seconds to appear."""
PATIENCE: Final = timedelta(hours=6)
"""What has not ended by then never will: the longest that GitHub lets a job run on its own runners."""

FAILED: Final = frozenset({"failure", "error", "timed_out", "startup_failure"})
"""What asks for a repair. `cancelled` was somebody's will, `action_required` waits for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check run, check suite, workflow run or commit status of `head`, in GitHub's words."""

    source: Literal["check_run", "check_suite", "workflow_run", "status"]
    id: int
    name: str
    """A status's context; a suite has its App's name."""
    head: str
    status: str
    """`completed`, or any word of GitHub's for what is still to end: `queued`, `in_progress`, `pending`…"""
    conclusion: str | None
    """A status's state where it is final: `success`, `failure`, `error`."""
    app_id: int | None = None
    suite: int | None = None
    """The check suite that a check run or a workflow run belongs to."""
    workflow: str = ""
    """The name of the workflow that a check run is a job of; empty: of none, or nobody has told."""
    runs: int | None = None
    """Of a suite: how many check runs it has. One that its App never used is queued for ever, with none."""
    attempt: int = 1
    origin: str = ""
    """Of a workflow run and its jobs: which workflow, begun by what; else empty."""
    said: str = ""
    """Of a status: its description, and where to read more."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    """Of a workflow run: when its newest attempt began."""
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Superseded:
    """The head is not the newest any more: nothing is done for it."""

    newest: str


@dataclass(frozen=True, slots=True)
class Unsettled:
    waiting_for: tuple[str, ...]
    """The names of what still runs; empty when only the quiet period lacks."""
    look_again: datetime
    """When to look, should no event come before."""


@dataclass(frozen=True, slots=True)
class Settled:
    failed: tuple[Check, ...]
    """Check runs and statuses first; a suite or workflow run only where nothing in it tells more."""
    abandoned: tuple[str, ...] = ()
    """What never ended, and is not waited for any more."""


def with_workflows(checks: Sequence[Check]) -> list[Check]:
    """`checks`, the check runs among them with their workflow: they share a check suite with its run."""
    runs = {check.suite: check for check in checks if check.source == "workflow_run" and check.suite}
    return [
        replace(check, workflow=runs[check.suite].name, origin=runs[check.suite].origin)
        if check.source == "check_run" and check.suite in runs
        else check
        for check in checks
    ]


def judge_settled(
    checks: Sequence[Check],
    *,
    head: str,
    newest: str,
    own_app: int | None,
    own_names: frozenset[str],
    now: datetime,
    quiet: timedelta = QUIET,
    patience: timedelta = PATIENCE,
) -> Superseded | Unsettled | Settled:
    """Whether all that runs for `head` has ended, `quiet` ago at least.

    `own_app` is the bot's own App, `own_names` the names of its checks and contexts where it is none: they
    are neither waited for nor repaired. Times have a zone.
    """
    if head != newest:
        return Superseded(newest)
    latest = _latest(
        check for check in checks if check.head == head and not _is_ours(check, own_app, own_names)
    )
    running = [check for check in latest if check.status != "completed" and not _is_idle_suite(check)]
    abandoned = [check for check in running if check.created_at and check.created_at + patience <= now]
    waited_for = [check for check in running if check not in abandoned]
    if waited_for:
        # One that does not say since when it runs is given the whole patience, counted from now.
        ends = min((check.created_at or now) + patience for check in waited_for)
        return Unsettled(_names(waited_for), ends)
    calm = max((check.completed_at + quiet for check in latest if check.completed_at), default=now)
    if calm > now:
        return Unsettled((), calm)
    return Settled(_failed(latest), _names(abandoned))


def _is_ours(check: Check, own_app: int | None, own_names: frozenset[str]) -> bool:
    return (own_app is not None and check.app_id == own_app) or check.name in own_names


def _is_idle_suite(check: Check) -> bool:
    return check.source == "check_suite" and not check.runs


def _latest(checks: Iterable[Check]) -> list[Check]:
    """The newest of each name: a check that was run again counts by its last attempt.

    What one workflow does for a push and what it does for a pull request are two, and so are two workflows'
    jobs of one name.
    """
    latest: dict[tuple[str, int | None, str, str, str], Check] = {}
    for check in sorted(checks, key=lambda one: (one.attempt, one.id)):
        # Two suites of one App are two workflows, not two attempts.
        name = str(check.id) if check.source == "check_suite" else check.name
        latest[check.source, check.app_id, check.workflow, check.origin, name] = check
    return sorted(latest.values(), key=lambda one: (_ORDER.index(one.source), one.name, one.id))


_ORDER: Final = ("check_run", "status", "workflow_run", "check_suite")


def _failed(latest: Sequence[Check]) -> tuple[Check, ...]:
    # Where an App tells of single runs, its suite says no more than these, and may be behind them.
    telling = {check.app_id for check in latest if check.source == "check_run"}
    failed = [
        check
        for check in latest
        if check.conclusion in FAILED
        and (check.source != "check_suite" or check.app_id not in telling or _is_unstarted(check))
    ]
    single = [check for check in failed if check.source in ("check_run", "status")]
    # A workflow that could not even start has no check run that would tell of it.
    unstarted = [check for check in failed if check not in single and _is_unstarted(check)]
    if single or unstarted:
        return (*single, *_without_repeats(unstarted))
    return _without_repeats(failed)


def _is_unstarted(check: Check) -> bool:
    return check.conclusion == "startup_failure"


def _without_repeats(failed: Sequence[Check]) -> tuple[Check, ...]:
    """Workflow runs where there are some: the suite of a workflow run says the same again."""
    runs = tuple(check for check in failed if check.source == "workflow_run")
    return runs or tuple(failed)


def _names(checks: Iterable[Check]) -> tuple[str, ...]:
    return tuple(sorted({check.name for check in checks}))
