"""Checks have ended: look when all of them have, understand what failed, and do what the counters allow.

`handlers.ci` judges; this chooses effects. Nothing is repaired that nobody opted into: the repository's file
within the operator's ceiling says `off`, `offer` or `auto`.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, assert_never

from handlers import comments, comments_ci, reasons
from handlers.checks import queued_check
from handlers.ci.attempts import (
    Attempt,
    CallPerson,
    Counters,
    Repair,
    RerunFailedJobs,
    SaySameOnBase,
    Stop,
    next_step,
)
from handlers.ci.classes import Evidence, classify, ledger_key
from handlers.ci.excerpt import FailedJob, excerpt_of
from handlers.ci.facts import CiFacts, Tried
from handlers.ci.failures import Failure, fingerprint_of
from handlers.ci.offers import button_id, offer_id
from handlers.ci.settings import CiMode
from handlers.ci.settled import FAILED, Settled, Superseded, Unsettled
from handlers.ci.task import LOGS_INSIDE, CiJob, CiTask, log_name
from handlers.effects import (
    CheckAction,
    CiAsked,
    EditComment,
    Effect,
    Ignore,
    LookAtChecks,
    NoteChecks,
    PostComment,
    Requester,
    RerunJobs,
    StartTurn,
    Trigger,
    WriteCheckRun,
)
from handlers.events import CheckReported, ChecksDue
from handlers.ingest import act_of, ignored
from handlers.on_budget import why_nothing_starts
from handlers.on_control import starts_by_itself
from handlers.permissions import STANDING, Refusal
from handlers.policy import resolve, situation_of
from handlers.view import View
from handlers.written import narrowest

LONGEST_WAIT: Final = 600.0
"""Seconds until the next look at checks that still run, should no webhook come before."""
TURN_WAIT: Final = 60.0
"""Seconds until the next look while a turn of the thread is at work."""
MOST_ROUNDS: Final = 200
"""Looks at one head that nobody asked for: more than a day of them."""


def on_checks(event: CheckReported | ChecksDue, view: View) -> list[Effect]:
    """A check that has ended is reason for a look at all of them; what is due is that look."""
    if isinstance(event, CheckReported):
        return on_check_reported(event, view)
    return _Due(event, view).effects()


def on_check_reported(event: CheckReported, view: View) -> list[Effect]:
    """Whether it is worth a look at the whole; which thread it belongs to."""
    settings = view.config.ci
    number = event.number or (view.ci_pull or 0)
    if why := _why_not_looked_at(event, view, number):
        return [ignored(event, why)]
    return [
        LookAtChecks(
            key=f"{act_of(event)}:look",
            number=number,
            branch="" if number else event.branch,
            sha=event.sha,
            after=settings.quiet.total_seconds(),
        )
    ]


def mode_of(view: View, repository: str) -> CiMode:
    """What may happen by itself here: the repository's wish within the operator's ceiling."""
    if view.config_error or not view.config.enabled:
        return CiMode.OFF
    return narrowest(view.bot.ceiling.ci_repair_of(repository), view.config.ci.mode)


def _why_not_looked_at(event: CheckReported, view: View, number: int) -> str | None:
    mode = mode_of(view, event.repository.full_name)
    if mode is CiMode.OFF:
        return reasons.CI_OFF
    is_single = event.source in ("check_run", "status")
    if is_single and event.conclusion in FAILED and not view.config.ci.may_repair(event.name):
        return reasons.CI_NOT_THIS_CHECK
    if not number and not (mode is CiMode.AUTO and view.config.ci.repairs_branch(event.branch)):
        return reasons.CI_NO_PULL
    return starts_by_itself(view.thread)


def may_act(event: ChecksDue, view: View) -> bool:
    """Whether a look would do something about failed checks; else what they say need not be read."""
    if event.asked is not None:
        return True
    is_on = mode_of(view, event.repository) is not CiMode.OFF
    return is_on and starts_by_itself(view.thread) is None and view.task_at_work is None


def is_request(words: str) -> bool:
    """Whether `words` ask for the repair of failed checks, and for nothing else."""
    return _REQUEST.fullmatch(" ".join(words.casefold().split())) is not None


_REQUEST: Final = re.compile(
    r"(?:please )?(?:fix|repair|mend) (?:the )?(?:failed |failing )?(?:ci|checks)[.!]?"
)


def _why_not_any_more(asked: CiAsked, view: View) -> str | None:
    """CI may run for hours before what was asked for begins: whether it is still wanted, and allowed."""
    if view.thread.stopped_by is not None and not asked.was_stopped:
        return reasons.STOPPED_HERE
    if not view.config.enabled:
        return reasons.DISABLED
    return None if STANDING[view.permission] == "writer" else reasons.NEEDS_WRITE


def may_be_asked(view: View, repository: str) -> bool:
    """Whether people can ask for it; else such words are a request like any other."""
    return view.bot.ceiling.ci_repair_of(repository) is not CiMode.OFF


def look_after_resume(act: str, view: View, *, repository: str, number: int) -> list[Effect]:
    """What failed while nothing was to start by itself is looked at once it may."""
    was_held = starts_by_itself(view.thread) is not None
    if not was_held or view.pull is None or mode_of(view, repository) is CiMode.OFF:
        return []
    head = view.pull.head.sha
    return [LookAtChecks(key=f"{act}:look", number=number, branch="", sha=head, after=0.0)]


def look_for(asked: CiAsked, number: int, sha: str) -> LookAtChecks:
    """A look at the head's checks at once, for a person."""
    return LookAtChecks(key=f"{asked.act}:look", number=number, branch="", sha=sha, after=0.0, asked=asked)


class _Due:
    """One look at one head."""

    def __init__(self, event: ChecksDue, view: View) -> None:
        self._event = event
        self._view = view
        self._mode = mode_of(view, event.repository)
        self._settings = view.config.ci
        self._asked = event.asked
        place = f"{event.repository_id}-{event.number}" + (f"-{event.branch}" if event.branch else "")
        self._place = f"ci/{place}"
        self._lead = self._asked.lead if self._asked else ""
        self._act = self._asked.act if self._asked else f"{self._place}/{event.sha[:12]}"

    def effects(self) -> list[Effect]:
        facts, view = self._view.ci, self._view
        if self._asked is None:
            if self._mode is CiMode.OFF:
                return [self._ignore(reasons.CI_OFF)]
            if why := starts_by_itself(view.thread):
                return [self._ignore(why)]
        elif why := _why_not_any_more(self._asked, view):
            return [self._ignore(why)]
        if facts is None or not facts.is_open:
            return [self._ignore(reasons.CI_GONE)]
        match facts.verdict:
            case Superseded(newest=newest):
                said = self._say(comments_ci.moved_on(self._event.sha, newest))
                return [self._ignore(reasons.CI_MOVED_ON), *said]
            case Unsettled(look_again=at):
                wait = (at - _moment(facts.now)).total_seconds()
                return self._later(min(max(wait, 0.0), LONGEST_WAIT), reasons.CI_WAITS)
            case Settled(failed=failed):
                if failed and self._asked is None and view.task_at_work is not None:
                    return self._later(TURN_WAIT, reasons.CI_WAITS_FOR_TURN)
                if not facts.jobs:
                    return self._fine(facts)
                return self._failed(facts)
            case _:
                assert_never(facts.verdict)

    def _fine(self, facts: CiFacts) -> list[Effect]:
        memory, sha = facts.memory, self._event.sha
        effects: list[Effect] = [self._ignore(reasons.CI_FINE)]
        if memory.fingerprint:
            # The same commit has failed before: what failed is a flake.
            effects.append(self._note("", flaked=memory.tests))
        elif memory.pushed_by:
            effects.append(self._note("", left_of=memory.pushed_by))
        if memory.has_comment:
            effects.append(self._edit(comments_ci.fine_again(sha), "fine"))
        effects += self._offer_over(facts, comments_ci.OFFER_FINE, comments_ci.fine_again(sha), "success")
        return [*effects, *self._say(comments_ci.no_failure(sha))]

    def _failed(self, facts: CiFacts) -> list[Effect]:
        view, memory = self._view, facts.memory
        failures = [failure for job in facts.jobs for failure in job.log.failures]
        fingerprint = fingerprint_of(failures or [_unnamed(job) for job in facts.jobs])
        if facts.open_pull is not None:
            return [self._ignore(reasons.CI_OPEN_PULL)]
        has_failed_again = memory.reruns > 0 and memory.fingerprint != ""
        classified = classify(
            Evidence(
                failures=tuple(failures),
                on_base=facts.on_base,
                ledger=memory.ledger,
                rerun="failed" if has_failed_again else "none",
                conclusions=facts.conclusions,
                said=tuple(said for job in facts.jobs for said in (*job.log.complaints, job.log.tail)),
            )
        )
        counters = self._counters(facts, fingerprint)
        is_fork = view.pull is not None and view.pull.is_fork
        may_rerun = (
            self._settings.rerun and bool(facts.runs) and self._mode is CiMode.AUTO and self._asked is None
        )
        step = next_step(
            classified,
            counters,
            self._settings.limits,
            may_rerun=may_rerun and not is_fork,
            asked=self._asked is not None,
        )
        tests = tuple(sorted({key for one in failures if (key := ledger_key(one)) is not None}))
        note = self._note(fingerprint, tests=tests, left_of=memory.pushed_by)
        match step:
            case RerunFailedJobs(reason=reason):
                return [self._note(fingerprint, tests=tests, has_rerun=True), *self._run_again(facts, reason)]
            case SaySameOnBase():
                base = view.pull.base.name if view.pull else self._event.branch
                told = comments_ci.same_on_base(
                    facts.jobs, sha=self._event.sha, base=base, mention=view.bot.mention
                )
                return [note, *self._tell(facts, told, fingerprint), *self._button(facts, told)]
            case Stop(reason=reason):
                if fingerprint in memory.called:
                    return [note, self._ignore(reason)]
                told = comments_ci.left_alone(
                    facts.jobs, reason, sha=self._event.sha, mention=view.bot.mention
                )
                return [note, *self._tell(facts, told, fingerprint), *self._button(facts, told)]
            case CallPerson(reason=reason, tried=tried):
                return self._call(facts, fingerprint, tests, reason, tried)
            case Repair():
                return [*self._repair(facts, fingerprint, tests, step, counters)]
            case _:
                assert_never(step)

    def _counters(self, facts: CiFacts, fingerprint: str) -> Counters:
        """Of this failure; what our own commit has left counts from now on."""
        memory = facts.memory
        mine = [one for one in memory.tried if one.fingerprint == fingerprint]
        attempts = tuple(
            Attempt(one.attempt.turn_id, one.attempt.said, fingerprint)
            if one.attempt.turn_id == memory.pushed_by
            else one.attempt
            for one in mine
        )
        return Counters(
            fingerprint=fingerprint,
            attempts=attempts,
            attempts_together=len(memory.tried),
            money=sum(one.money for one in mine),
            seconds=sum(one.seconds for one in mine),
            reruns=memory.reruns,
            person_called=fingerprint in memory.called,
        )

    def _repair(
        self, facts: CiFacts, fingerprint: str, tests: tuple[str, ...], step: Repair, counters: Counters
    ) -> list[Effect]:
        """A turn; or the offer of one."""
        event, view = self._event, self._view
        note = self._note(fingerprint, tests=tests, left_of=facts.memory.pushed_by)
        if self._asked is None:
            is_fork = view.pull is not None and view.pull.is_fork
            if is_fork:
                told = comments_ci.not_on_forks(facts.jobs, sha=event.sha, mention=view.bot.mention)
                return [note, *self._tell(facts, told, fingerprint)]
            if self._mode is not CiMode.AUTO:
                told = comments_ci.offer(
                    facts.jobs,
                    sha=event.sha,
                    limits=self._settings.limits,
                    number=step.number,
                    mention=view.bot.mention,
                )
                return [note, *self._tell(facts, told, fingerprint), *self._button(facts, told)]
        start = self._turn(facts, fingerprint, step, counters)
        if start is None:
            return [note, self._ignore(reasons.CI_NOT_ON_FORKS)]
        if any(turn.id == start.turn_id for turn in view.turns):
            return [note, self._ignore(reasons.CI_TRIED)]
        if at_it := next((one for one in facts.memory.tried if _is_at(one, fingerprint)), None):
            told = comments_ci.at_work_already(at_it.attempt.turn_id)
            return [note, self._ignore(reasons.CI_AT_WORK), *self._say(told)]
        if refusal := why_nothing_starts(view):
            return [note, self._ignore(reasons.BUDGET_SPENT), *self._tell(facts, refusal, fingerprint)]
        effects: list[Effect] = [
            start,
            self._note(fingerprint, tests=tests, left_of=facts.memory.pushed_by, attempt=start.turn_id),
        ]
        if not event.number:
            return effects
        waiting = "" if view.running_turn is None else comments.queued_behind(view.running_turn)
        effects.append(
            PostComment(
                key=start.progress_key,
                number=start.number,
                body=self._lead
                + comments.progress(comments.Progress(phase="queued", start=start, note=waiting)),
                review_thread=start.review_thread,
                requester=start.requester.login,
            )
        )
        effects += queued_check(start, waiting)
        told = comments_ci.at_work(start.turn_id, sha=event.sha, number=step.number, of=step.of)
        effects += self._offer_over(facts, comments_ci.OFFER_TAKEN, told, "neutral")
        if facts.memory.has_comment:
            effects.append(self._edit(told, f"turn:{start.turn_id}"))
        return effects

    def _turn(self, facts: CiFacts, fingerprint: str, step: Repair, counters: Counters) -> StartTurn | None:
        """Everything pinned; None where the rules allow no such turn."""
        event, view = self._event, self._view
        pull = view.pull
        is_fork = pull is not None and pull.is_fork
        resolved = resolve(
            situation_of(
                view,
                repository=event.repository,
                trigger="ci_fix" if self._asked is None else "mention",
                is_fork=is_fork,
            )
        )
        if isinstance(resolved, Refusal) or view.default_branch is None:
            return None
        act = f"{self._act}/{fingerprint}"
        jobs, named = _with_paths(facts)
        task = CiTask(
            fingerprint=fingerprint,
            attempt=step.number,
            of=step.of,
            excerpt=excerpt_of(named),
            jobs=jobs,
            by_itself=self._asked is None,
        )
        bot = view.bot
        asked = self._asked
        return StartTurn(
            key=f"{act}:turn",
            turn_id=hashlib.sha256(act.encode()).hexdigest()[:12],
            repository_id=event.repository_id,
            repository=event.repository,
            installation_id=event.installation_id,
            number=event.number,
            is_pull=bool(event.number),
            title=facts.title,
            request=comments_ci.request(
                facts.jobs,
                attempt=step.number,
                tried=counters.attempts,
                base=comments_ci.base_told(facts.on_base is not None),
            ),
            requester=asked.by if asked else Requester(bot.id or 0, bot.login, "none"),
            trigger=(asked.trigger if asked else None)
            or Trigger("subject", event.number, facts.url, facts.now),
            mode=resolved.policy.mode,
            base_ref=_base_ref(view, event.branch),
            base_sha=event.sha,
            instructions_sha=pull.base.sha if pull else event.sha,
            config_sha=view.default_branch.sha,
            progress_key=f"{act}:progress",
            review_thread=asked.review_thread if asked else None,
            is_fork=is_fork,
            ci=task,
        )

    def _call(
        self,
        facts: CiFacts,
        fingerprint: str,
        tests: tuple[str, ...],
        reason: str,
        tried: Sequence[Attempt],
    ) -> list[Effect]:
        """A person, once for each failure; somebody who asked is always told."""
        note = self._note(fingerprint, tests=tests, left_of=facts.memory.pushed_by, calls_person=True)
        said = comments_ci.called(
            facts.jobs, reason, tried, sha=self._event.sha, mention=self._view.bot.mention
        )
        if not self._event.number:
            return [note, self._on_commit(said, fingerprint)]
        key = f"{self._asked.act if self._asked else self._place}/{fingerprint}:called"
        return [
            note,
            *self._offer_over(facts, comments_ci.OFFER_ENDED, said, "neutral"),
            PostComment(
                key=key,
                number=self._event.number,
                body=self._lead + said,
                review_thread=self._asked.review_thread if self._asked else None,
                requester=self._asked.by.login if self._asked else "",
            ),
        ]

    def _run_again(self, facts: CiFacts, reason: str) -> list[Effect]:
        return [
            *(
                RerunJobs(key=f"{self._act}:rerun:{run.id}", run=run.id, attempt=run.attempt)
                for run in facts.runs
            ),
            self._ignore(f"{reason} The failed jobs are run again."),
        ]

    def _tell(self, facts: CiFacts, body: str, fingerprint: str) -> list[Effect]:
        """In the thread's one comment about checks; of a branch, on its commit. Whoever asked is answered."""
        if self._asked is not None:
            return self._say(body)
        if not self._event.number:
            return [self._on_commit(body, fingerprint)]
        if facts.memory.has_comment:
            return [self._edit(body, fingerprint)]
        return [PostComment(key=comment_key(self._place), number=self._event.number, body=body)]

    def _button(self, facts: CiFacts, told: str) -> list[Effect]:
        """The same as a check run of the head, with the button that accepts it; forks' heads take none."""
        pull = self._view.pull
        if pull is None or pull.is_fork:
            return []
        repair = CheckAction(
            button_id(len(facts.memory.tried) + 1), "Repair", "Have the failed checks repaired"
        )
        return [
            self._offer_check(facts, comments_ci.OFFERED, comments_ci.with_button(told), "neutral", repair)
        ]

    def _offer_over(
        self, facts: CiFacts, title: str, told: str, conclusion: Literal["neutral", "success"]
    ) -> list[Effect]:
        """What has become of the offer, where this head has one."""
        return [self._offer_check(facts, title, told, conclusion)] if facts.memory.has_offer else []

    def _offer_check(
        self,
        facts: CiFacts,
        title: str,
        told: str,
        conclusion: Literal["neutral", "success"],
        *actions: CheckAction,
    ) -> WriteCheckRun:
        event = self._event
        key = offer_key(self._place, event.sha)
        return WriteCheckRun(
            # What was said of this head before may have to be said again.
            key=f"{key}:{title}:{facts.now}" if facts.memory.has_offer else key,
            external_id=offer_id(event.number, event.sha),
            head_sha=event.sha,
            status="completed",
            conclusion=conclusion,
            title=title,
            summary=told,
            actions=actions,
            name="Darner repair",
        )

    def _edit(self, body: str, what: str) -> EditComment:
        # By the moment of the look: what was said of this head before may have to be said again.
        moment = self._view.ci.now if self._view.ci is not None else ""
        key = f"{self._place}/{self._event.sha[:12]}:{what}:{moment}"
        return EditComment(key=key, posted_key=comment_key(self._place), body=body)

    def _on_commit(self, body: str, fingerprint: str) -> WriteCheckRun:
        return WriteCheckRun(
            key=f"{self._act}/{fingerprint}:told",
            external_id=f"ci-{self._event.sha[:12]}",
            head_sha=self._event.sha,
            status="completed",
            conclusion="neutral",
            title="Not repaired",
            summary=body,
        )

    def _say(self, body: str) -> list[Effect]:
        """An answer to whoever asked."""
        asked = self._asked
        if asked is None:
            return []
        return [
            PostComment(
                key=f"{asked.act}:answer",
                number=self._event.number,
                body=self._lead + body,
                review_thread=asked.review_thread,
                requester=asked.by.login,
            )
        ]

    def _later(self, wait: float, reason: str) -> list[Effect]:
        event = self._event
        if event.round >= MOST_ROUNDS:
            return [self._ignore(reason)]
        return [
            LookAtChecks(
                key=f"{self._act}:look:{event.round + 1}",
                number=event.number,
                branch=event.branch,
                sha=event.sha,
                after=wait,
                round=event.round + 1,
                asked=self._asked,
            )
        ]

    def _note(
        self,
        fingerprint: str,
        *,
        tests: tuple[str, ...] = (),
        flaked: tuple[str, ...] = (),
        has_rerun: bool = False,
        attempt: str = "",
        left_of: str = "",
        calls_person: bool = False,
    ) -> NoteChecks:
        return NoteChecks(
            key=f"{self._act}:note:{self._event.round}:{fingerprint}",
            repository_id=self._event.repository_id,
            sha=self._event.sha,
            fingerprint=fingerprint,
            tests=tests,
            flaked=flaked,
            has_rerun=has_rerun,
            attempt=attempt,
            left_of=left_of,
            calls_person=calls_person,
        )

    def _ignore(self, reason: str) -> Ignore:
        return Ignore(key=f"{self._act}:ignore:{self._event.round}", reason=reason)


def comment_key(place: str) -> str:
    """Of the one comment about checks that a conversation has."""
    return f"{place}:comment"


def offer_key(place: str, sha: str) -> str:
    """Of the check run by which a repair of this head was offered first."""
    return f"{place}/{sha[:12]}:offer"


def _is_at(one: Tried, fingerprint: str) -> bool:
    return one.fingerprint == fingerprint and not one.is_over


def _base_ref(view: View, branch: str) -> str:
    if view.pull is None:
        return branch
    return view.pull.base.name if view.pull.is_fork else view.pull.head.name


def _with_paths(facts: CiFacts) -> tuple[tuple[CiJob, ...], list[FailedJob]]:
    """The jobs whose logs are laid into the sandbox, and all of them as the model is told of them."""
    jobs: list[CiJob] = []
    named: list[FailedJob] = []
    for position, (job, number) in enumerate(zip(facts.jobs, facts.job_ids, strict=True), start=1):
        if number is None:
            named.append(job)
            continue
        file = log_name(position, job.name)
        jobs.append(CiJob(number, job.name, file))
        named.append(FailedJob(job.name, job.log, f"{LOGS_INSIDE}/{file}"))
    return tuple(jobs), named


def _unnamed(job: FailedJob) -> Failure:
    """What stands for a job of which no failure is known: by its name and what the runner complained of."""
    said = job.log.complaints[0] if job.log.complaints else "failed"
    return Failure(tool=job.name, kind="other", message=said)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.now(UTC)
