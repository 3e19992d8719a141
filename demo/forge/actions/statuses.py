"""Commit statuses: what CI systems outside of GitHub say of a commit."""

from __future__ import annotations

from typing import Literal

from demo.forge import shapes
from demo.forge.actions.actor import STATUSES_WRITE, Actor
from demo.forge.announce import announce
from demo.forge.git import Git
from demo.forge.refusals import no_commit
from demo.forge.state import CommitStatus, Repository, State

StatusState = Literal["error", "failure", "pending", "success"]


def create_status(
    actor: Actor,
    repo: Repository,
    *,
    sha: str,
    state: StatusState,
    context: str = "default",
    description: str | None = None,
    target_url: str | None = None,
) -> CommitStatus:
    records = actor.state
    with records.lock:
        actor.require(repo, needs=STATUSES_WRITE, role="write")
        if not Git(records.git_dir(repo)).has(sha):
            raise no_commit(sha)
        status = records.put(
            CommitStatus(
                id=records.next_id(),
                repo_id=repo.id,
                sha=sha,
                state=state,
                context=context,
                description=description,
                target_url=target_url,
                creator_id=actor.user.id,
                created_at=records.clock(),
            )
        )
        members = shapes.webhook_status(records, repo, of=status)
        announce(actor, repo, event="status", action=None, members=members)
        return status


def statuses_of(state: State, repo: Repository, sha: str) -> list[CommitStatus]:
    """All of a commit, newest first."""
    return list(reversed(list(state.where(CommitStatus, repo_id=repo.id, sha=sha))))


def latest_of(state: State, repo: Repository, sha: str) -> list[CommitStatus]:
    """The newest of each context."""
    newest: dict[str, CommitStatus] = {}
    for status in statuses_of(state, repo, sha):
        newest.setdefault(status.context, status)
    return list(newest.values())
