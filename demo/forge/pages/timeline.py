"""What happened on an issue or pull request, in the order a reader should see it; it changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from demo.forge.git import Commit, Git
from demo.forge.state import (
    CheckRun,
    Comment,
    Issue,
    Label,
    Pull,
    Repository,
    Review,
    ReviewComment,
    State,
    ThreadResolution,
    TimelineEvent,
    User,
)

COMMITS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """The review comments on one line, first one first."""

    comments: tuple[ReviewComment, ...]
    is_resolved: bool

    @property
    def first(self) -> ReviewComment:
        return self.comments[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    when: datetime
    comment: Comment
    kind: Literal["comment"] = "comment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    when: datetime
    review: Review
    threads: tuple[Thread, ...]
    kind: Literal["review"] = "review"


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    when: datetime
    id: int
    actor_id: int
    words: str
    label: Label | None = None
    icon: Literal["dot", "closed", "merged", "open"] = "dot"
    kind: Literal["event"] = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    when: datetime
    commit: Commit
    kind: Literal["commit"] = "commit"


Entry = Said | Reviewed | Happened | Pushed
_WORDS = {
    "closed": "closed this",
    "reopened": "reopened this",
    "merged": "merged this",
    "locked": "locked the conversation",
    "unlocked": "unlocked the conversation",
    "labeled": "added",
    "unlabeled": "removed",
    "ready_for_review": "marked this as ready for review",
    "convert_to_draft": "marked this as a draft",
    "head_ref_deleted": "deleted the branch",
    "head_ref_restored": "restored the branch",
    "head_ref_force_pushed": "force-pushed the branch",
}


def entries(state: State, issue: Issue) -> list[Entry]:
    """Everything below the description, oldest first."""
    found: list[Entry] = [Said(when=said.created_at, comment=said) for said in state.comments(issue)]
    found += [
        _happened(state, event) for event in state.where(TimelineEvent, issue_id=issue.id) if _is_shown(event)
    ]
    if issue.pull is not None:
        found += _reviewed(state, issue)
        found += [
            Pushed(when=commit.committer.date, commit=commit)
            for commit in commits(state, issue.repo_id, issue.pull)
        ]
    return sorted(found, key=_order)


def _order(entry: Entry) -> tuple[datetime, int]:
    """By time; within one second by id, since the forge counts all its records with one counter."""
    match entry:
        case Said():
            return entry.when, entry.comment.id
        case Reviewed():
            return entry.when, entry.review.id
        case Happened():
            return entry.when, entry.id
        case Pushed():
            return entry.when, 0


def commits(state: State, repo_id: int, pull: Pull) -> list[Commit]:
    """The pull request's commits, oldest first."""
    git = Git(state.git_dir(state.get(Repository, repo_id)))
    return git.log(f"{pull.base_sha}..{pull.head_sha}", limit=COMMITS_SHOWN)[::-1]


def threads(state: State, issue: Issue) -> list[Thread]:
    """All review threads, in the order they were begun."""
    grouped: dict[int, list[ReviewComment]] = {}
    pending = {review.id for review in state.reviews(issue) if review.state == "PENDING"}
    for comment in state.review_comments(issue):
        if comment.review_id not in pending:
            grouped.setdefault(comment.thread_id, []).append(comment)
    return [
        Thread(comments=tuple(comments), is_resolved=state.find(ThreadResolution, thread_id) is not None)
        for thread_id, comments in grouped.items()
    ]


def latest_checks(state: State, repo: Repository, *, head_sha: str) -> list[CheckRun]:
    """The newest run of each name."""
    newest = {(run.app_id, run.name): run for run in state.check_runs(repo, head_sha)}
    return sorted(newest.values(), key=lambda run: run.name)


def standing(checks: Sequence[CheckRun]) -> str:
    """How many checks came to what, the worst first: `1 failed, 2 passed`."""
    counts = Counter(_word_for(run) for run in checks)
    return ", ".join(f"{counts[word]} {word}" for word in _STANDINGS if counts[word])


_STANDINGS = ("failed", "still to end", "neutral", "skipped", "passed")


def _word_for(run: CheckRun) -> str:
    if run.status != "completed":
        return "still to end"
    return {"success": "passed", "neutral": "neutral", "skipped": "skipped"}.get(
        run.conclusion or "", "failed"
    )


def _reviewed(state: State, issue: Issue) -> Iterator[Reviewed]:
    begun = threads(state, issue)
    for review in state.reviews(issue):
        if review.submitted_at is None:
            continue
        here = tuple(thread for thread in begun if thread.first.review_id == review.id)
        # A reply makes a review of its own with nothing in it: the thread shows the reply already.
        if review.body or here or review.state != "COMMENTED":
            yield Reviewed(when=review.submitted_at, review=review, threads=here)


def _is_shown(event: TimelineEvent) -> bool:
    return event.event not in {"mentioned", "subscribed", "reviewed", "commented", "committed"}


def _happened(state: State, event: TimelineEvent) -> Happened:
    words = _WORDS.get(event.event, event.event.replace("_", " "))
    if event.event == "renamed":
        words = f"changed the title from “{event.before}” to “{event.after}”"
    elif event.user_id is not None and (user := state.find(User, event.user_id)):
        words = f"{words} {user.login}"
    elif event.sha:
        words = f"{words} in {event.sha[:7]}"
    return Happened(
        when=event.created_at,
        id=event.id,
        actor_id=event.actor_id,
        words=words,
        label=state.find(Label, event.label_id),
        icon="merged" if event.event == "merged" else "closed" if event.event == "closed" else "dot",
    )
