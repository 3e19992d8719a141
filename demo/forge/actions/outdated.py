"""Keeps review comments on their lines when a pull request's head moves, or marks them outdated."""

from __future__ import annotations

from dataclasses import replace

from demo.forge.diff import anchors, moved
from demo.forge.git import Git
from demo.forge.shapes import compared, pull_of
from demo.forge.state import Issue, Pull, Repository, Side, State


def follow_head(state: State, repo: Repository, *, issue: Issue, before: Pull) -> None:
    """Move each comment with its line; one whose line is gone, or no longer in the diff, is outdated."""
    pull = pull_of(issue)
    comments = [said for said in state.review_comments(issue) if said.line is not None]
    if not comments:
        return
    git = Git(state.git_dir(repo))
    between = {
        change.previous or change.path: change for change in git.changes(before.head_sha, pull.head_sha)
    }
    shown = {
        file.path: file.patch for file in compared(state.git_dir(repo), pull.base_sha, pull.head_sha).files
    }
    for said in comments:
        change = between.get(said.path)
        patch = change.patch if change else None
        line = _line(said.side, said.line, patch=patch)
        start = _line(said.start_side or said.side, said.start_line, patch=patch)
        anchor = anchors(shown.get(said.path)).get((said.side, line)) if line is not None else None
        if anchor is None or (said.start_line is not None and start is None):
            state.put(replace(said, line=None, start_line=None, position=None))
            continue
        state.put(
            replace(said, line=line, start_line=start, position=anchor.position, commit_sha=pull.head_sha)
        )


def _line(side: Side, line: int | None, *, patch: str | None) -> int | None:
    """Left lines belong to the base and stay; right lines move with the change of the head."""
    if line is None or side == "LEFT":
        return line
    return moved(patch, line)
