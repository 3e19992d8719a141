"""The button "Commit suggestion": a commit on the pull request's branch with the suggested text."""

from __future__ import annotations

from demo.forge import shapes
from demo.forge.actions import repos
from demo.forge.actions.actor import Actor
from demo.forge.git import Git
from demo.forge.refusals import Refused
from demo.forge.state import Issue, Repository, ReviewComment, User
from demo.forge.suggestion import lines_of, suggested


def commit_suggestion(actor: Actor, issue: Issue, said: ReviewComment) -> str:
    """The commit's SHA. GitHub has no API for this: it is for the pages alone."""
    state, pull = actor.state, shapes.pull_of(issue)
    with state.lock:
        text, lines = suggested(said.body), lines_of(said)
        if issue.state != "open" or text is None or lines is None:
            raise Refused(422, "This suggestion cannot be applied any more.")
        repo = state.get(Repository, pull.head_repo_id or issue.repo_id)
        git = Git(state.git_dir(repo))
        entry = git.entry(pull.head_sha, said.path)
        if entry is None:
            raise Refused(422, "This suggestion cannot be applied any more.")
        first, last = lines
        present = git.blob(entry.sha).splitlines(keepends=True)
        present[first - 1 : last] = [text.encode()]
        author = state.get(User, said.author_id)
        message = f"Apply suggestion to {said.path}\n\nCo-authored-by: {author.login} <{author.email or ''}>"
        return repos.commit_files(
            actor,
            repo,
            branch=pull.head_ref,
            message=message,
            files={said.path: b"".join(present)},
            expected_head=pull.head_sha,
        )
