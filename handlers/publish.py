"""The last words of a turn: progress comment, final comment and check run, for whichever way it ended."""

from dataclasses import replace
from typing import Literal

from handlers import comments, comments_ci, comments_requests
from handlers.asking import ask_for_held
from handlers.broker import Judgement, judge
from handlers.checks import RETRY_BUTTON
from handlers.comments import Publication, Published, Unpublished
from handlers.effects import EditComment, Effect, PostComment, StartTurn, WriteCheckRun
from handlers.events import TurnEnded
from handlers.policy import protected_paths, situation_of, trigger_of
from handlers.view import View
from harness.items import Completed, Stopped


def judgement_of(ended: TurnEnded, view: View) -> Judgement:
    """What of the turn's changes may go out under the repository's rules as they are now."""
    situation = situation_of(
        view,
        repository=ended.start.repository,
        trigger=trigger_of(ended.start),
        is_fork=ended.start.is_fork,
    )
    opened = frozenset(ended.approved_paths)
    protected = [path for path in protected_paths(situation) if path not in opened]
    # What asks less of the code is for a person, as protected files are.
    weakened = [one.path for one in ended.weakened if one.path not in opened]
    everything = [change.path for change in ended.changes] if "" in weakened else []
    return judge(ended.changes, [*protected, *filter(None, weakened), *everything])


def last_words(
    ended: TurnEnded, view: View, publication: Publication, *, judgement: Judgement
) -> list[Effect]:
    """Close the progress comment, tell the result in one new comment, complete the check run."""
    start = ended.start
    word = comments.outcome_word(ended, publication, judgement=judgement)
    closed = comments.Progress(
        phase="ended",
        start=start,
        seconds=ended.seconds,
        plan=ended.plan,
        note=word,
        allowances=ended.allowances,
    )
    asked = ask_for_held(ended, view, publication, judgement)
    take_held = ""
    if asked is not None:
        hours = view.bot.ceiling.approval_seconds / 3600
        take_held = comments_requests.how_to_take_held(
            asked.request_id, asked.digest, mention=view.bot.mention, hours=hours
        )
    if ended.weakened and judgement.held:
        take_held = f"{comments_ci.weakened(ended.weakened)}\n\n{take_held}".strip()
    number = start.number or (publication.pull_number if isinstance(publication, Published) else 0) or 0
    effects: list[Effect] = [] if asked is None else [asked]
    effects += [
        EditComment(
            key=f"{start.turn_id}:progress:ended",
            posted_key=start.progress_key,
            body=comments.progress(closed),
            requester=start.requester.login,
        ),
    ]
    if number:
        said = comments.final(
            ended,
            publication,
            judgement=judgement,
            mention=view.bot.mention,
            take_held=take_held,
            is_held=view.thread.stopped_by is not None,
        )
        effects.append(final_comment(replace(start, number=number), said))
    # A check run belongs to a commit; a commit that no pull request shows needs none. Forks' heads take none.
    # Of a branch without one, nothing else tells what came of the turn.
    is_shown = start.is_pull or not start.number
    shas = [start.base_sha] if is_shown and not start.is_fork else []
    if isinstance(publication, Published) and not publication.fork:
        shas.append(publication.sha)
    return effects + [_check_run(ended, word, sha, publication) for sha in shas]


def final_comment(start: StartTurn, body: str) -> PostComment:
    """The one new comment at the end of a turn, where it was asked for."""
    return PostComment(
        key=f"{start.turn_id}:final",
        number=start.number,
        body=body,
        review_thread=start.review_thread,
        requester=start.requester.login,
    )


def _check_run(ended: TurnEnded, word: str, sha: str, publication: Publication) -> WriteCheckRun:
    start = ended.start
    where = "" if not isinstance(publication, Published) else f"The result is `{publication.sha[:7]}`."
    return WriteCheckRun(
        key=f"{start.turn_id}:check:{sha[:12]}",
        external_id=start.turn_id,
        head_sha=sha,
        status="completed",
        conclusion=_conclusion(ended, publication),
        title=comments.check_title("ended", word),
        summary=comments.check_summary(start, where),
        actions=() if isinstance(ended.outcome, Completed) or not start.number else (RETRY_BUTTON,),
    )


def _conclusion(ended: TurnEnded, publication: Publication) -> Literal["success", "neutral", "cancelled"]:
    """Never `failure`: a required check that blocks a merge because the bot failed would be a nuisance."""
    if isinstance(ended.outcome, Stopped):
        return "cancelled"
    if isinstance(ended.outcome, Completed) and not isinstance(publication, Unpublished):
        return "success"
    return "neutral"
