"""Reviews: when one begins by itself, and what is done with what it found. Decides; posts nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal
from urllib.parse import urlsplit

from handlers import comments_review as words
from handlers import reasons
from handlers.checks import STOP_BUTTON
from handlers.effects import (
    CheckAction,
    EditComment,
    Effect,
    Ignore,
    LineComment,
    PostComment,
    PostReview,
    RecordReview,
    Requester,
    SettleThread,
    StartTurn,
    StopTurn,
    Trigger,
    WriteCheckRun,
)
from handlers.events import (
    PlacedFinding,
    PullChanged,
    ReviewPosted,
    SubjectOpened,
    ThreadSettled,
    TurnEnded,
)
from handlers.ingest import act_of, ignored
from handlers.on_budget import why_nothing_starts
from handlers.permissions import STANDING
from handlers.review.fingerprints import place_of
from handlers.review.memory import LastReview, Reading, Remembered, RowState, Shown
from handlers.review.result import Became, ReviewResult
from handlers.review.selection import Candidate as Chosen
from handlers.review.selection import Quiet, Summarised
from handlers.review.settings import Candidate, ReviewMode, why_not_unasked
from handlers.review.standing import Known, State
from handlers.review_keys import summary_key, thread_name, turn_id_of
from handlers.view import View
from handlers.written import narrowest
from harness.findings import SEVERITIES, Severity
from harness.items import Exhausted, Stopped, Waiting
from sandbox.base import SandboxMode

SUPERSEDED: Final = "a newer head"
"""Who stops the review of a head that is not the newest any more."""
REVIEW_CHECK: Final = "Darner review"
AGAIN_BUTTON: Final = CheckAction("review", "Review again", "Read all of it once more")
FIX_BUTTON: Final = CheckAction("fix", "Fix findings", "Mend the open findings on this branch")
URGENT: Final = frozenset(("P0", "P1"))


def mode_here(view: View, repository: str) -> ReviewMode:
    """What operator and repository allow after all."""
    return narrowest(view.bot.ceiling.review_of(repository), view.config.review.mode)


def on_pull_changed(event: PullChanged | SubjectOpened, view: View) -> list[Effect]:
    """Whether a review begins by itself. What is known of the pull request is as the forge has it now."""
    why = _why_not(event, view)
    if why is not None:
        stops = _superseded(view, "") if why == reasons.BECAME_DRAFT else []
        return [*stops, ignored(event, why)]
    pull = view.pull
    if pull is None:
        return [ignored(event, reasons.REVIEWS_NOT_UNASKED)]
    at = event.at if isinstance(event, PullChanged) else event.updated_at
    start = review_turn(
        view,
        act=f"{act_of(event)}:review",
        repository_id=event.repository.id,
        repository=event.repository.full_name,
        installation_id=event.installation_id,
        number=event.subject.number,
        requester=Requester(pull.author_id, pull.author, "none"),
        trigger=Trigger("subject", event.subject.number, event.subject.url, at),
        is_unasked=True,
    )
    return [*_superseded(view, pull.head.sha), start, *queued_review_check(start)]


def _why_not(event: PullChanged | SubjectOpened, view: View) -> str | None:
    pull = view.pull
    if pull is None or view.default_branch is None:
        return reasons.NOTHING_TO_REVIEW
    if isinstance(event, PullChanged) and event.action == "drafted" and not view.config.review.drafts:
        return reasons.BECAME_DRAFT
    if not view.config.enabled or view.config_error:
        return reasons.DISABLED
    candidate = Candidate(
        author=pull.author,
        title=pull.title,
        labels=pull.labels,
        is_draft=pull.is_draft,
        is_open=pull.is_open,
    )
    mode = mode_here(view, event.repository.full_name)
    if why := why_not_unasked(candidate, view.config.review, mode):
        return why
    if view.thread.stopped_by is not None:
        return reasons.STOPPED_HERE
    if view.thread.is_archived:
        return reasons.ARCHIVED
    is_other_base = isinstance(event, PullChanged) and event.action == "rebased"
    if view.memory.last is not None and view.memory.last.head_sha == pull.head.sha and not is_other_base:
        return reasons.REVIEWED_ALREADY
    if any(turn.state != "ended" and turn.sha == pull.head.sha for turn in view.turns):
        return reasons.REVIEW_AT_WORK
    return reasons.BUDGET_SPENT if why_nothing_starts(view) else None


def _superseded(view: View, head: str) -> list[Effect]:
    """Reviews of other heads than this one have lost their point."""
    return [
        StopTurn(key=f"{turn.id}:superseded", turn_id=turn.id, author=SUPERSEDED)
        for turn in view.turns
        if turn.state != "ended" and turn.sha not in ("", head) and turn.stopping_by is None
    ]


def review_turn(
    view: View,
    *,
    act: str,
    repository_id: int,
    repository: str,
    installation_id: int | None,
    number: int,
    requester: Requester,
    trigger: Trigger,
    is_unasked: bool,
    is_full: bool = False,
    finding: str = "",
    review_thread: int | None = None,
) -> StartTurn:
    """A read-only turn that is pinned to the head as it is now."""
    if view.pull is None or view.default_branch is None:
        raise ValueError("a review needs a pull request and a default branch")
    pull = view.pull
    return StartTurn(
        key=f"{act}:turn",
        turn_id=turn_id_of(act),
        repository_id=repository_id,
        repository=repository,
        installation_id=installation_id,
        number=number,
        is_pull=True,
        title=pull.title,
        request="review" if not finding else f"judge finding {finding}",
        requester=requester,
        trigger=trigger,
        mode=SandboxMode.READ_ONLY,
        base_ref=pull.base.name if pull.is_fork else pull.head.name,
        base_sha=pull.head.sha,
        instructions_sha=pull.base.sha,
        config_sha=view.default_branch.sha,
        progress_key=f"{act}:progress",
        is_fork=pull.is_fork,
        subject_body=pull.body,
        kind="review",
        is_unasked=is_unasked,
        is_full=is_full,
        finding=finding,
        review_thread=review_thread,
    )


def queued_review_check(start: StartTurn) -> list[Effect]:
    """The check run of a review that begins; forks' heads take none."""
    if start.is_fork:
        return []
    return [
        WriteCheckRun(
            key=f"{start.turn_id}:review:check:queued",
            external_id=start.turn_id,
            head_sha=start.base_sha,
            status="queued",
            conclusion=None,
            title=words.CHECK_QUEUED,
            summary=words.check_of_turn(start.turn_id),
            name=REVIEW_CHECK,
            actions=(STOP_BUTTON,),
        )
    ]


def on_review_end(event: TurnEnded, view: View) -> list[Effect]:
    """A review is over: its comments go out first, all else follows when the forge has them."""
    start, outcome, result = event.start, event.outcome, event.review
    if isinstance(outcome, Waiting):
        return [
            Ignore(key=f"{start.turn_id}:waits:{event.steps}", reason=f"The review waits: {outcome.reason}")
        ]
    if isinstance(outcome, Stopped):
        is_superseded = outcome.by == SUPERSEDED
        reason = reasons.SUPERSEDED_REVIEW if is_superseded else f"Stopped by {outcome.by}."
        closed = _closed(start, "cancelled", words.CHECK_STOPPED, reason)
        return [*_freed(start, view), *closed, _ended_silently(start, reason)]
    if result is None:
        return _failed(event, view)
    match result.verdict:
        case "unchanged":
            return _nothing_new(event, result, view)
        case "too_large":
            return [
                *_closed(start, _unread(view), words.CHECK_TOO_LARGE, result.note),
                _ended_silently(start, result.note),
            ]
        case "judged":
            return _second_word(event, result, view)
        case "reviewed":
            if start.is_unasked and (view.pull is None or not view.pull.is_open):
                reason = reasons.NOTHING_TO_REVIEW
                return [
                    *_closed(start, "cancelled", words.CHECK_STOPPED, reason),
                    _ended_silently(start, reason),
                ]
            if start.is_unasked and view.pull is not None and view.pull.head.sha != start.base_sha:
                # A push came between: it has its own review, which knows what this one would have said.
                reason = reasons.SUPERSEDED_REVIEW
                return [
                    *_closed(start, "cancelled", words.CHECK_STOPPED, reason),
                    _ended_silently(start, reason),
                ]
            return [_review_of(start, result)]


def _review_of(start: StartTurn, result: ReviewResult) -> PostReview:
    hosts = (words.host_of(start.trigger.url),)
    return PostReview(
        key=f"{start.turn_id}:review",
        turn_id=start.turn_id,
        number=start.number,
        head_sha=start.base_sha,
        body=words.review_body(len(result.selection.inline)),
        comments=tuple(
            LineComment(
                finding=each.candidate.id,
                path=each.anchored.path,
                side=each.anchored.side,
                line=each.anchored.line,
                start_line=each.anchored.start_line,
                body=words.inline_comment(each, own_hosts=hosts),
            )
            for each in result.selection.inline
        ),
    )


def _ended_silently(start: StartTurn, reason: str) -> Ignore:
    return Ignore(key=f"{start.turn_id}:review:ended", reason=reason)


def _closed(
    start: StartTurn, conclusion: Literal["neutral", "cancelled", "failure"], title: str, summary: str
) -> list[Effect]:
    """The check run of a review that says nothing else."""
    if start.is_fork or start.finding:
        return []
    return [
        WriteCheckRun(
            key=f"{start.turn_id}:review:check",
            external_id=start.turn_id,
            head_sha=start.base_sha,
            status="completed",
            conclusion=conclusion,
            title=title,
            summary=summary,
            name=REVIEW_CHECK,
            actions=(AGAIN_BUTTON,),
        )
    ]


def _freed(start: StartTurn, view: View) -> list[Effect]:
    """A disagreement that was not judged is as if nobody had disagreed yet: said again, it is judged."""
    found = next((each for each in view.memory.findings if each.id == start.finding), None)
    if found is None or found.has_answered:
        return []
    freed = replace(found, disputed_by="")
    return [RecordReview(key=f"{start.turn_id}:freed", last=None, findings=(freed,))]


def _failed(event: TurnEnded, view: View) -> list[Effect]:
    start = event.start
    if start.finding:
        return [*_freed(start, view), _said(start, words.not_judged(event.outcome))]
    told = words.not_reviewed(event.outcome)
    effects = _closed(start, "neutral", words.CHECK_FAILED, told)
    if start.is_unasked:
        return [*effects, _ended_silently(start, told)]
    return [*effects, _said(start, told)]


def _said(start: StartTurn, text: str) -> PostComment:
    """To whoever asked."""
    return PostComment(
        key=f"{start.turn_id}:review:said",
        number=start.number,
        body=text,
        review_thread=start.review_thread,
        requester=start.requester.login,
    )


def _nothing_new(event: TurnEnded, result: ReviewResult, view: View) -> list[Effect]:
    start = event.start
    told = words.nothing_new(start.base_sha)
    before = view.memory.last.reading if view.memory.last is not None else Reading()
    last = LastReview(turn=start.turn_id, head_sha=start.base_sha, patches=result.patches, reading=before)
    effects: list[Effect] = [RecordReview(key=f"{start.turn_id}:record", last=last, findings=())]
    if not start.is_fork:
        effects.append(
            WriteCheckRun(
                key=f"{start.turn_id}:review:check",
                external_id=start.turn_id,
                head_sha=start.base_sha,
                status="completed",
                conclusion=words.check_conclusion(_open(view), blocking=_blocking(view)),
                title=words.CHECK_NOTHING_NEW,
                summary=told,
                name=REVIEW_CHECK,
                actions=_buttons(view.memory.findings),
            )
        )
    return effects if start.is_unasked else [*effects, _said(start, words.read_again(told, view.bot.mention))]


def _unread(view: View) -> Literal["neutral", "failure"]:
    """Of a change that is too large to be read: no larger push frees it of what blocks."""
    return "failure" if frozenset(_open(view)) & _blocking(view) else "neutral"


def _open(view: View) -> list[Severity]:
    return [each.severity for each in view.memory.findings if each.known.state == "open"]


def _blocking(view: View) -> frozenset[Severity]:
    least = view.config.review.blocking
    return frozenset(each for each in SEVERITIES if least is not None and each <= least)


def on_review_posted(event: ReviewPosted, view: View) -> list[Effect]:
    """The comments stand: remember them, answer the earlier ones, bring summary and check run up to date."""
    ended = event.ended
    start, result = ended.start, ended.review
    if result is None:
        return [_ended_silently(start, reasons.NOTHING_TO_REVIEW)]
    earlier = {each.id: each for each in view.memory.findings}
    now = {each.id: _after(earlier[each.id], each, start) for each in result.became if each.id in earlier}
    if all(turn.kind != "review" or turn.state == "ended" for turn in view.turns if turn.id != start.turn_id):
        # Nobody is going to judge them any more: this review has not.
        now = {
            name: each if each.has_answered else replace(each, disputed_by="") for name, each in now.items()
        }
    fresh = _fresh(start, result, event.placed)
    every = [*(now.get(each.id, each) for each in view.memory.findings), *fresh]
    became = {each.id: each for each in result.became}
    reading = Reading(
        files=result.files_read,
        states={each.id: _row_state(each, became.get(each.id), is_new=each in fresh) for each in every},
        unread=result.unread,
        note=result.note or (words.CUT_SHORT if isinstance(ended.outcome, Exhausted) else ""),
    )
    last = LastReview(turn=start.turn_id, head_sha=start.base_sha, patches=result.patches, reading=reading)
    record = RecordReview(key=f"{start.turn_id}:record", last=last, findings=(*now.values(), *fresh))
    effects: list[Effect] = [record]
    for each in result.became:
        if each.id in earlier:
            effects += _answers(start, each, earlier[each.id])
    told = {each.candidate.id: each for each in result.selection.summarised}
    summary = _summary(
        last, every, web=_web(start), told=told, states=reading.states, mention=view.bot.mention
    )
    effects.append(_summary_effect(start, words.summary(summary, own_hosts=_hosts(start)), view))
    urgent = sum(1 for each in fresh if each.severity in URGENT)
    if urgent and view.memory.summary_url:
        pointer = words.pointer(urgent, summary_url=view.memory.summary_url)
        effects.append(PostComment(key=f"{start.turn_id}:review:pointer", number=start.number, body=pointer))
    if not start.is_fork:
        dropped = words.not_posted(result.selection.dropped)
        effects.append(_check(last, summary, every, view, key=start.turn_id, dropped=dropped))
    return effects


def _hosts(start: StartTurn) -> tuple[str, ...]:
    return (words.host_of(start.trigger.url),)


def _after(earlier: Remembered, became: Became, start: StartTurn) -> Remembered:
    """An earlier finding as it is after this review."""
    states: dict[str, State] = {"fixed": "fixed", "withdrawn": "withdrawn"}
    if became.what == "unchanged":
        return earlier
    known = Known(
        id=earlier.id,
        finding=became.finding,
        fingerprint=became.fingerprint,
        state=states.get(became.what, "open"),
        by_judgement=became.by_judgement,
    )
    return replace(
        earlier,
        known=known,
        sha=start.base_sha if became.what == "fixed" else "",
        has_answered=earlier.has_answered or became.holds or became.what == "withdrawn",
    )


def _fresh(start: StartTurn, result: ReviewResult, placed: tuple[PlacedFinding, ...]) -> list[Remembered]:
    """What nobody had said before, with where it is said now."""
    where = {each.finding: each for each in placed}

    def remembered(each: Chosen, shown: Shown, reason: str = "") -> Remembered:
        at = where.get(each.id)
        known = Known(id=each.id, finding=each.finding, fingerprint=result.fingerprints[each.id])
        return Remembered(
            known=known,
            shown=at.shown if at is not None else shown,
            comment=at.comment if at is not None else None,
            url=at.url if at is not None else "",
            reason=at.reason if at is not None else reason,
            turn=start.turn_id,
        )

    chosen = result.selection
    return [
        *(remembered(each.candidate, "inline") for each in chosen.inline),
        *(remembered(each.candidate, "summary", each.reason) for each in chosen.summarised),
        *(remembered(each.candidate, "quiet") for each in chosen.quiet),
    ]


def _answers(start: StartTurn, became: Became, earlier: Remembered) -> list[Effect]:
    """In the finding's own thread, what became of it; nothing where that is what stands there already."""
    if earlier.comment is None:
        return []
    sha, finding = start.base_sha, became.finding
    url = words.permalink(_web(start), sha, place_of(finding))
    is_resolved: bool | None
    match became.what:
        case "fixed" if became.by_judgement:
            said, is_resolved = words.fixed_reply(sha, why=became.why), True
        case "fixed":
            said, is_resolved = words.gone_reply(sha), True
        case "withdrawn":
            said, is_resolved = words.withdrawn_reply(became.why), True
        case "reopened":
            said, is_resolved = words.reopened_reply(sha, url=url), False
        case "moved" if finding.path != earlier.known.finding.path:
            said, is_resolved = words.moved_reply(place_of(finding), url=url), None
        case "open" | "moved" if became.holds and not earlier.has_answered:
            said, is_resolved = words.new_evidence_reply(became.why), None
        case _:
            return []
    effects: list[Effect] = [
        PostComment(
            key=f"{start.turn_id}:finding:{earlier.id}",
            number=start.number,
            body=said,
            review_thread=earlier.comment,
        )
    ]
    if is_resolved is not None:
        effects.append(
            SettleThread(
                key=f"{start.turn_id}:settle:{earlier.id}",
                number=start.number,
                comment=earlier.comment,
                is_resolved=is_resolved,
            )
        )
    return effects


def _web(start: StartTurn) -> str:
    parts = urlsplit(start.trigger.url)
    return f"{parts.scheme}://{parts.netloc}/{start.repository}"


def _summary(
    last: LastReview,
    every: Sequence[Remembered],
    *,
    web: str,
    told: Mapping[str, Summarised],
    states: Mapping[str, RowState],
    mention: str,
) -> words.Summary:
    summarised = []
    rows = []
    for each in every:
        finding = each.known.finding
        url = words.permalink(web, last.head_sha, place_of(finding))
        is_open = each.known.state == "open"
        if each.shown == "summary" and is_open:
            one = told.get(each.id) or Summarised(candidate=Chosen(each.id, finding), reason=each.reason)
            summarised.append((one, url))
        elif each.shown != "quiet":
            rows.append(
                words.Row(
                    id=each.id,
                    severity=each.severity,
                    title=finding.title,
                    place=place_of(finding),
                    state=states.get(each.id, each.known.state),
                    url=each.url or url,
                    sha=each.sha,
                    by=each.by,
                )
            )
    return words.Summary(
        head_sha=last.head_sha,
        rows=tuple(rows),
        summarised=tuple(summarised),
        files_read=last.reading.files,
        unread=last.reading.unread,
        quiet=sum(1 for each in every if each.shown == "quiet" and each.known.state == "open"),
        note=last.reading.note,
        mention=mention,
    )


def _row_state(each: Remembered, became: Became | None, *, is_new: bool) -> RowState:
    if each.known.state != "open":
        return each.known.state
    if is_new:
        return "new"
    if became is not None and became.what in ("moved", "reopened"):
        return became.what
    return "open"


def _summary_effect(start: StartTurn, body: str, view: View) -> Effect:
    """The one comment, made once and edited from then on."""
    key = summary_key(thread_name(start.repository_id, start.number))
    if view.memory.summary_url:
        return EditComment(key=f"{start.turn_id}:review:summary", posted_key=key, body=body)
    return PostComment(key=key, number=start.number, body=body)


def _check(
    last: LastReview,
    summary: words.Summary,
    every: Sequence[Remembered],
    view: View,
    *,
    key: str,
    dropped: str = "",
) -> WriteCheckRun:
    open_ones = [each for each in every if each.known.state == "open"]
    quiet = [
        Quiet(candidate=Chosen(each.id, each.known.finding)) for each in open_ones if each.shown == "quiet"
    ]
    return WriteCheckRun(
        key=f"{key}:review:check",
        external_id=last.turn,
        head_sha=last.head_sha,
        status="completed",
        conclusion=words.check_conclusion([each.severity for each in open_ones], blocking=_blocking(view)),
        title=words.check_title(summary),
        summary=words.check_of_turn(last.turn, words.verdict(summary) + dropped),
        name=REVIEW_CHECK,
        actions=_buttons(every),
        annotations=tuple(words.annotation(each) for each in quiet),
    )


def _buttons(findings: Iterable[Remembered]) -> tuple[CheckAction, ...]:
    is_fixable = any(each.known.state == "open" and each.shown != "quiet" for each in findings)
    return (AGAIN_BUTTON, FIX_BUTTON) if is_fixable else (AGAIN_BUTTON,)


def _second_word(event: TurnEnded, result: ReviewResult, view: View) -> list[Effect]:
    """Somebody disagreed: the agent has judged once, and now it is for people to decide."""
    start = event.start
    earlier = next((each for each in view.memory.findings if each.id == start.finding), None)
    became = next((each for each in result.became if each.id == start.finding), None)
    if earlier is None or earlier.known.state != "open":
        return [_ended_silently(start, reasons.FINDING_SETTLED)]
    if became is None:
        kept = replace(earlier, has_answered=True)
        record = RecordReview(key=f"{start.turn_id}:record", last=None, findings=(kept,))
        return [record, _said(start, words.undecided()), _ended_silently(start, reasons.NOT_JUDGED)]
    after = replace(_after(earlier, became, start), has_answered=True)
    record = RecordReview(key=f"{start.turn_id}:record", last=None, findings=(after,))
    thread = thread_name(start.repository_id, start.number)
    restated = _restated(after, view, key=start.turn_id, thread=thread, web=_web(start))
    return [record, *_answers(start, became, earlier), *restated]


def _restated(after: Remembered, view: View, *, key: str, thread: str, web: str) -> list[Effect]:
    """The summary and the check run of the last review, once one of its findings stands otherwise."""
    last = view.memory.last
    if last is None or not view.memory.summary_url:
        return []
    every = [after if each.id == after.id else each for each in view.memory.findings]
    states = last.reading.states | {after.id: _row_state(after, None, is_new=False)}
    summary = _summary(last, every, web=web, told={}, states=states, mention=view.bot.mention)
    effects: list[Effect] = [
        EditComment(
            key=f"{key}:review:summary",
            posted_key=summary_key(thread),
            body=words.summary(summary, own_hosts=(words.host_of(web),)),
        )
    ]
    if view.pull is not None and not view.pull.is_fork:
        check = _check(last, summary, every, view, key=key)
        # Those that it has stay: the forge only ever adds to them.
        effects.append(replace(check, annotations=()))
    return effects


def on_thread_settled(event: ThreadSettled, view: View) -> list[Effect]:
    """A person has resolved a finding's thread: it is dismissed, and stays so until they open it again.

    GitHub lets a pull request's author resolve threads, too; what keeps it from being merged is no outsider's
    to take away.
    https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests/commenting-on-a-pull-request#resolving-conversations
    """
    found = view.memory.by_comment(event.thread_root)
    if found is None:
        return [ignored(event, reasons.NO_FINDING_THERE)]
    state = found.known.state
    if event.is_resolved and state == "open" and STANDING[view.permission] != "writer":
        return [ignored(event, reasons.NOT_THEIRS_TO_DISMISS)]
    if event.is_resolved and state == "open":
        after = replace(found, known=replace(found.known, state="dismissed"), by=event.actor.login)
        reason = reasons.FINDING_DISMISSED
    elif not event.is_resolved and state == "dismissed":
        after = replace(found, known=replace(found.known, state="open"), by="")
        reason = reasons.ONLY_OPENED_AGAIN
    else:
        return [ignored(event, reasons.FINDING_SETTLED)]
    record = RecordReview(key=f"{act_of(event)}:record", last=None, findings=(after,))
    web = event.subject.url.partition("/pull/")[0]
    thread = thread_name(event.repository.id, event.subject.number)
    restated = _restated(after, view, key=act_of(event), thread=thread, web=web)
    return [record, ignored(event, reason), *restated]
