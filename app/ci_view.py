"""What is known of a head's checks: asked of the forge, logs and reports read, and out of the store."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from app.ci_reports import failures_reported
from app.forge_error import ForgeError
from app.github import Client, GitHub
from app.github_checks import (
    Job,
    ReportedRun,
    checks_of,
    failed_jobs,
    log_chunks,
    open_pull_of,
    pull_state,
    reported,
)
from app.store import ci, landings
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.ci.annotations import complaints_in, told_by
from handlers.ci.classes import ledger_key
from handlers.ci.excerpt import FailedJob
from handlers.ci.facts import CiFacts, FailedRun
from handlers.ci.failures import Failure, JobLog
from handlers.ci.logs import LogReader
from handlers.ci.reports import shared_out
from handlers.ci.settings import CiSettings
from handlers.ci.settled import FAILED, Check, Settled, Superseded, judge_settled
from handlers.events import ChecksDue
from handlers.on_checks import comment_key, may_act, offer_key
from handlers.view import Bot, View

log = logging.getLogger(__name__)

MOST_JOBS: Final = 20
"""Of which logs are read."""
MOST_LOG_BYTES: Final = 64 * 1024 * 1024
"""Of one job's log that are read."""
_WITHOUT_FAILURES: Final = frozenset({"success", "skipped", "neutral"})
"""Workflow runs that end so have no failed job."""


@dataclass(frozen=True, slots=True)
class _Report:
    job: FailedJob
    log_id: int | None
    conclusion: str
    run: int | None
    """The workflow run that it is of."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a failed check says before the reports of its run are known."""

    check: Check
    job: Job | None
    run: int | None
    log: JobLog
    has_log: bool
    own: ReportedRun

    @property
    def report(self) -> _Report:
        failures = (*self.log.failures, *told_by(self.own.annotations, self.log.failures))
        complaints = tuple(dict.fromkeys((*self.log.complaints, *complaints_in(self.own.annotations))))
        if self.job is not None and not failures and not complaints:
            complaints = tuple(f"The step {step!r} failed." for step in self.job.failed_steps)
        whole = replace(self.log, failures=failures, complaints=complaints)
        return _Report(
            FailedJob(self.check.name, whole, None),
            self.job.id if self.job is not None and self.has_log else None,
            self.check.conclusion or "",
            self.run,
        )


@dataclass(frozen=True, slots=True)
class ChecksLook:
    """What is needed to look at checks."""

    github: GitHub
    database: Database
    now: Callable[[], float]

    async def facts(
        self, event: ChecksDue, view: View, *, thread: str, place: RepositoryRef, bot: Bot
    ) -> CiFacts:
        """All about the checks of `event.sha`. Raises `ForgeError`."""
        now = datetime.fromtimestamp(self.now(), UTC)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        slug = bot.login.removesuffix("[bot]") if bot.login.endswith("[bot]") else ""
        newest, title, url, is_open = await self._head(event, view, place)
        if not is_open or newest != event.sha:
            moved = Superseded(newest)
            return CiFacts(is_open=is_open, title=title, url=url, verdict=moved, now=stamp)
        settings = view.config.ci
        checks = await self.github.run(place, lambda client: checks_of(client, event.sha, own_slug=slug))
        verdict = judge_settled(
            checks,
            head=event.sha,
            newest=newest,
            own_app=None,
            own_names=frozenset(),
            now=now,
            quiet=settings.quiet,
        )
        facts = CiFacts(is_open=True, title=title, url=url, verdict=verdict, now=stamp)
        if isinstance(verdict, Settled) and may_act(event, view):
            facts = await self._understood(event, view, facts, verdict, checks, place, slug)
        return await self._remembered(event, facts, thread, place)

    async def _head(self, event: ChecksDue, view: View, place: RepositoryRef) -> tuple[str, str, str, bool]:
        """The newest commit, title and address of the pull request or branch, and whether it is open."""
        if event.number:
            state = await self.github.run(place, lambda client: pull_state(client, event.number))
            if state is None or view.pull is None:
                return "", "", "", False
            return view.pull.head.sha, state.title, state.url, state.is_open
        branch = await self.github.run(place, lambda client: client.branch(event.branch))
        url = f"{self.github.web_url}/{place.full_name}/commit/{event.sha}"
        title = f"Repair the checks of {event.branch}"
        return (branch.sha if branch else "", title, url, branch is not None)

    async def _understood(
        self,
        event: ChecksDue,
        view: View,
        facts: CiFacts,
        verdict: Settled,
        checks: list[Check],
        place: RepositoryRef,
        slug: str,
    ) -> CiFacts:
        reports = await self._reports(verdict.failed, checks, view.config.ci, place)
        if not reports:
            return facts
        latest = _latest_runs(checks)
        # What nobody wants looked after is not run again either, nor what somebody has cancelled.
        looked_after = {report.run for report in reports}
        runs = tuple(
            FailedRun(run.id, run.attempt)
            for run in latest
            if run.conclusion in FAILED and run.id in looked_after
        )
        on_base = None
        if event.number and view.pull is not None:
            on_base = await self._on_base(view, view.pull.base.name, place, slug)
        return replace(
            facts,
            jobs=tuple(report.job for report in reports),
            job_ids=tuple(report.log_id for report in reports),
            conclusions=tuple(report.conclusion for report in reports),
            runs=runs,
            on_base=on_base,
        )

    async def _on_base(self, view: View, name: str, place: RepositoryRef, slug: str) -> frozenset[str] | None:
        """What fails on the base branch now; None where its checks have not ended, or there are none."""
        base = await self.github.run(place, lambda client: client.branch(name))
        if base is None:
            return None
        checks = await self.github.run(place, lambda client: checks_of(client, base.sha, own_slug=slug))
        verdict = judge_settled(
            checks,
            head=base.sha,
            newest=base.sha,
            own_app=None,
            own_names=frozenset(),
            now=datetime.fromtimestamp(self.now(), UTC),
            quiet=view.config.ci.quiet,
        )
        if not isinstance(verdict, Settled) or not any(check.source != "check_suite" for check in checks):
            return None
        reports = await self._reports(verdict.failed, checks, view.config.ci, place)
        return frozenset(one.fingerprint for report in reports for one in report.job.log.failures)

    async def _reports(
        self, failed: tuple[Check, ...], checks: list[Check], settings: CiSettings, place: RepositoryRef
    ) -> list[_Report]:
        """What each failed check that is looked after says; jobs with their logs, runs with their reports."""
        jobs: dict[int, tuple[int, Job]] = {}
        latest = _latest_runs(checks)
        for run in latest:
            if run.conclusion in _WITHOUT_FAILURES:
                continue
            found = await self._failed_jobs(run.id, place)
            jobs |= {job.check_run: (run.id, job) for job in found}
        told: list[_Told] = []
        for check in failed:
            run_id, job = jobs.get(check.id, (None, None)) if check.source == "check_run" else (None, None)
            if check.source == "workflow_run":
                run_id = check.id
            if not _is_looked_after(check, settings):
                continue
            if len(told) >= MOST_JOBS:
                break
            told.append(await self._told(check, job, run_id, place))
        looked_after = {each.run for each in told}
        runs = [run for run in latest if run.id in looked_after]
        return _joined(told, runs, await failures_reported(self.github, place, runs, settings.reports))

    async def _failed_jobs(self, run: int, place: RepositoryRef) -> list[Job]:
        return await self.github.run(place, lambda client: failed_jobs(client, run))

    async def _told(self, check: Check, job: Job | None, run: int | None, place: RepositoryRef) -> _Told:
        own = ReportedRun(check.said, ())
        if check.source == "check_run":
            own = await self.github.run(place, lambda client: reported(client, check.id))
        read = await self._read(job.id, place) if job is not None else None
        log_read = read or JobLog(failures=(), tail=own.summary)
        return _Told(check, job, run, log_read, read is not None, own)

    async def _read(self, job: int, place: RepositoryRef) -> JobLog | None:
        """The log, parsed as it streams by; None where it is gone. Raises `ForgeError` where it may come."""

        def read(client: Client) -> JobLog:
            reader = LogReader(limit=MOST_LOG_BYTES)
            taken = 0
            for chunk in log_chunks(client, job):
                reader.feed(chunk)
                taken += len(chunk)
                if taken > MOST_LOG_BYTES:
                    break
            return reader.close()

        try:
            return await self.github.run(place, read)
        except ForgeError as error:
            if error.fault not in {"missing", "denied"}:
                raise
            log.info("ci.log_gone", extra={"fields": {"job": job, "error": str(error)}})
            return None

    async def _remembered(
        self, event: ChecksDue, facts: CiFacts, thread: str, place: RepositoryRef
    ) -> CiFacts:
        failures = [failure for job in facts.jobs for failure in job.log.failures]
        tests = {key for one in failures if (key := ledger_key(one)) is not None}
        place_key = f"ci/{event.repository_id}-{event.number}" + (f"-{event.branch}" if event.branch else "")

        memory = await self.database.read(
            lambda connection: ci.memory_of(
                connection,
                thread,
                repository=event.repository_id,
                sha=event.sha,
                tests=tests,
                comment=comment_key(place_key),
                offer=offer_key(place_key, event.sha),
            )
        )
        open_pull = None
        if not event.number and facts.jobs:
            branches = await self.database.read(
                lambda connection: [one.branch for one in landings.of_thread(connection, thread)]
            )
            if branches:
                open_pull = await self.github.run(place, lambda client: open_pull_of(client, branches[-5:]))
        return replace(facts, memory=memory, open_pull=open_pull)


def _is_looked_after(check: Check, settings: CiSettings) -> bool:
    if check.source == "workflow_run":
        return settings.repairs("", workflow=check.name)
    return settings.repairs(check.name, workflow=check.workflow)


def _joined(told: list[_Told], runs: list[Check], reported: dict[int, tuple[Failure, ...]]) -> list[_Report]:
    """The checks with what the reports of their runs add; what is nobody's stands for itself."""
    for run in runs:
        theirs = [place for place, each in enumerate(told) if each.run == run.id]
        logs, left = shared_out(reported.get(run.id, ()), [told[place].log for place in theirs])
        for place, log_of_it in zip(theirs, logs, strict=True):
            told[place] = replace(told[place], log=log_of_it)
        if left:
            name = f"{run.name} (test reports)"
            told.append(
                _Told(
                    replace(run, name=name), None, run.id, JobLog(failures=left), False, ReportedRun("", ())
                )
            )
    return [each.report for each in told]


def _latest_runs(checks: list[Check]) -> list[Check]:
    """Workflow runs that have ended, by their newest attempt; the newest of a workflow and what began it."""
    newest: dict[tuple[str, str], Check] = {}
    for check in sorted(checks, key=lambda one: (one.id, one.attempt)):
        if check.source == "workflow_run" and check.status == "completed":
            newest[check.origin, check.name] = check
    return list(newest.values())
