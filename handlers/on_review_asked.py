"""People and a review: somebody asks for one, answers a finding, or wants it mended."""

import re
from dataclasses import replace
from typing import Final

from handlers import comments, reasons
from handlers import comments_review as words
from handlers.asked import Asked, Mentioning, answer_to, by_text, reaction_to
from handlers.checks import queued_check
from handlers.effects import Effect, PostComment, RecordReview, Requester, StartTurn, Trigger
from handlers.events import ReviewCommented
from handlers.ingest import act_of, ignored
from handlers.on_budget import why_nothing_starts
from handlers.on_review import mode_here, queued_review_check, review_turn
from handlers.permissions import STANDING
from handlers.policy import Resolved
from handlers.review.memory import Remembered
from handlers.review.settings import ReviewMode
from handlers.review_keys import turn_id_of
from handlers.view import View

_FIX: Final = re.compile(
    r"(?:please\s+)?(?:fix|mend|repair)(?:\s+(?:it|this|that))?(?:,?\s*please)?[\s.!]*", re.IGNORECASE
)
_AGREES: Final = re.compile(
    r"(?:ok(?:ay)?|thanks?(?: you)?|thx|good catch|agreed|done|fixed|will (?:fix|do)|yes|right|true"
    r"|nice(?: catch| find)?)[\s.!,]*",
    re.IGNORECASE,
)
"""Replies that settle nothing and want no answer."""


def asks_to_fix(text: str) -> bool:
    """Whether a reply in a finding's thread is the word `fix`."""
    return _FIX.fullmatch(text.strip().strip("`")) is not None


def finding_of(event: Mentioning, view: View) -> Remembered | None:
    """The finding in whose thread something was said."""
    return view.memory.by_comment(event.thread_root) if isinstance(event, ReviewCommented) else None


def review_asked(event: Mentioning, view: View, *, is_full: bool) -> list[Effect]:
    """`review`: a look at the pull request as it is now, whatever the filters for unasked ones say."""
    asked = by_text(event, view)
    if not event.subject.is_pull:
        return answer_to(asked, words.only_pulls(view.bot.mention), "confused")
    return begun(
        asked,
        view,
        repository_id=event.repository.id,
        repository=event.repository.full_name,
        installation_id=event.installation_id,
        is_full=is_full,
        trigger=asked.trigger,
    )


def begun(
    asked: Asked,
    view: View,
    *,
    repository_id: int,
    repository: str,
    installation_id: int | None,
    is_full: bool,
    trigger: Trigger | None,
) -> list[Effect]:
    """A review that a person asked for, or why there is none."""
    mention = view.bot.mention
    if mode_here(view, repository) is ReviewMode.OFF:
        by_operator = view.bot.ceiling.review_of(repository) is ReviewMode.OFF
        return answer_to(asked, words.reviews_off(mention, by_operator=by_operator), "confused")
    if view.pull is None:
        return answer_to(asked, comments.pull_unreadable(), "confused")
    if view.default_branch is None:
        return answer_to(asked, comments.nothing_to_work_on(), "confused")
    head = view.pull.head.sha
    at_work = next((turn for turn in view.turns if turn.state != "ended" and turn.sha == head), None)
    if at_work is not None and not is_full:
        return answer_to(asked, words.at_work_already(at_work.id))
    if refusal := why_nothing_starts(view):
        return answer_to(asked, refusal, "confused")
    start = review_turn(
        view,
        act=f"{asked.act}:review",
        repository_id=repository_id,
        repository=repository,
        installation_id=installation_id,
        number=asked.number,
        requester=asked.requester or Requester(view.pull.author_id, view.pull.author, "none"),
        trigger=trigger or Trigger("subject", asked.number, "", ""),
        is_unasked=False,
        is_full=is_full,
        review_thread=asked.review_thread,
    )
    return [start, *reaction_to(asked, "eyes"), *queued_review_check(start)]


def on_disagreement(event: ReviewCommented, view: View) -> list[Effect]:
    """A person's plain reply in a finding's thread: judged once by a small turn, never a third round."""
    found = finding_of(event, view)
    if found is None:
        return [ignored(event, reasons.NOT_A_FINDING)]
    pull = view.pull
    if pull is None or view.default_branch is None:
        return [ignored(event, reasons.NOTHING_TO_REVIEW)]
    if found.known.state != "open" or found.has_answered or found.disputed_by:
        return [ignored(event, reasons.FINDING_SETTLED)]
    if _AGREES.fullmatch(event.comment.body.strip()):
        return [ignored(event, reasons.NO_DISAGREEMENT)]
    is_author = event.actor.id == pull.author_id
    if not is_author and STANDING[view.permission] != "writer" and view.permission != "triage":
        return [ignored(event, reasons.NOT_THEIRS_TO_DISPUTE)]
    if not view.config.enabled or view.config_error:
        return [ignored(event, reasons.DISABLED)]
    if mode_here(view, event.repository.full_name) is ReviewMode.OFF:
        return [ignored(event, reasons.REVIEWS_NOT_UNASKED)]
    if view.thread.stopped_by is not None or view.thread.is_archived:
        return [ignored(event, reasons.STOPPED_HERE)]
    if why_nothing_starts(view):
        return [ignored(event, reasons.BUDGET_SPENT)]
    asked = by_text(event, view)
    disputed = replace(found, disputed_by=event.actor.login)
    start = review_turn(
        view,
        act=f"{act_of(event)}:judge",
        repository_id=event.repository.id,
        repository=event.repository.full_name,
        installation_id=event.installation_id,
        number=event.subject.number,
        requester=Requester(event.actor.id, event.actor.login, view.permission),
        trigger=asked.trigger or Trigger("subject", asked.number, event.subject.url, ""),
        is_unasked=True,
        finding=found.id,
        review_thread=event.thread_root,
    )
    record = RecordReview(key=f"{act_of(event)}:disputed", last=None, findings=(disputed,))
    return [record, start, *reaction_to(asked, "eyes")]


def fix_all(asked: Asked, reviewed: StartTurn, view: View, resolved: Resolved) -> list[Effect]:
    """The button of the review's check run: one turn mends every open finding, by the rules of a mention."""
    open_ones = [each for each in view.memory.findings if each.known.state == "open"]
    if not open_ones:
        return answer_to(asked, words.nothing_to_fix())
    if view.pull is None or view.default_branch is None or asked.requester is None:
        return answer_to(asked, comments.pull_unreadable(), "confused")
    if refusal := why_nothing_starts(view):
        return answer_to(asked, refusal, "confused")
    pull = view.pull
    act = f"{asked.act}:fix"
    start = replace(
        reviewed,
        key=f"{act}:turn",
        turn_id=turn_id_of(act),
        title=pull.title,
        request=words.fix_request([(each.id, each.known.finding) for each in open_ones]),
        requester=asked.requester,
        mode=resolved.policy.mode,
        base_ref=pull.base.name if pull.is_fork else pull.head.name,
        base_sha=pull.head.sha,
        instructions_sha=pull.base.sha,
        config_sha=view.default_branch.sha,
        progress_key=f"{act}:progress",
        is_fork=pull.is_fork,
        subject_body=pull.body,
        review_thread=None,
        kind="task",
        is_unasked=False,
        is_full=False,
        finding="",
    )
    note = "" if view.running_turn is None else comments.queued_behind(view.running_turn)
    body = comments.progress(comments.Progress(phase="queued", start=start, note=note))
    progress = PostComment(
        key=start.progress_key, number=start.number, body=body, requester=start.requester.login
    )
    return [start, progress, *queued_check(start, note)]
