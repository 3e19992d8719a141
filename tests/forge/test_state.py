"""What is left when the forge has been away, and how lines are counted in a patch."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from demo.forge.diff import anchors, line_at, moved
from demo.forge.git import EMPTY_TREE, Git, Person
from tests.forge.world import FILES, clone, open_pull, running_world


def test_a_forge_started_again_knows_everything(tmp_path: Path) -> None:
    """Issues, comments, reactions, pull requests, tokens and commits outlive the process."""
    home = tmp_path / "home"
    with running_world(home) as before:
        name = before.create("kept", scratch=tmp_path)
        repo = before.client("maya").get_repo(name)
        pull = open_pull(repo, branch="fix", files={"new.py": "1\n"})
        comment = repo.get_issue(pull.number).create_comment("remember me")
        comment.create_reaction("heart")
        tokens, app_id, number = before.forge.tokens, before.forge.seeded.app.id, repo.id

    with running_world(home) as after:
        again = after.client("maya").get_repo(name)
        seen = again.get_pull(pull.number)
        assert (after.forge.tokens, after.forge.seeded.app.id, again.id) == (tokens, app_id, number)
        assert (seen.title, seen.head.sha) == (pull.title, pull.head.sha)
        assert [said.body for said in seen.get_issue_comments()] == ["remember me"]
        assert seen.get_issue_comments()[0].reactions["heart"] == 1
        assert again.create_issue("next").number == pull.number + 1
        assert (clone(after, name, tmp_path / "work", token=None).directory / "calc.py").read_text() == (
            FILES["calc.py"]
        )


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "@@ -1 +1 @@", "diff --git a b", "+", "-"]), max_size=12)


@given(before=LINES, after=LINES)
def test_lines_are_found_where_git_put_them(before: list[str], after: list[str]) -> None:
    """Every anchor of a patch names a line that says what the patch says; unmoved lines keep their text."""
    patch = _patch(before, after)
    for (side, line), anchor in anchors(patch).items():
        text = (before if side == "LEFT" else after)[line - 1]
        assert anchor.diff_hunk.split("\n")[-1][1:] == text
        assert line_at(patch, anchor.position) is not None
    for number, text in enumerate(before, start=1):
        new = moved(patch, number)
        assert new is None or after[new - 1] == text


def _patch(before: list[str], after: list[str]) -> str | None:
    lines = list(difflib.unified_diff(before, after, lineterm="", n=1))
    return "\n".join(lines[2:]) or None


def test_a_patch_knows_binary_renamed_and_odd_names(tmp_path: Path) -> None:
    """Files with blanks, quotes and other alphabets, renames and binaries come out of git as they are."""
    git = Git(tmp_path / "odd.git")
    git.create(default_branch="main")
    who = Person(name="Maya", email="maya@example.com", date=datetime(2026, 1, 2, tzinfo=UTC))

    def commit(parent: str | None, files: dict[str, bytes | None]) -> str:
        tree = git.changed_tree(parent or EMPTY_TREE, files)
        parents = (parent,) if parent else ()
        return git.commit_tree(tree, parents=parents, message="x", author=who, committer=who)

    text = b"".join(b"%d\n" % number for number in range(20))
    first = commit(None, {'sp ace "q".txt': b"1\n", "größe.txt": b"1\n", "old.txt": text, "bin": b"\0\1"})
    second = commit(
        first,
        {
            'sp ace "q".txt': b"diff --git a/x b/x\n",
            "größe.txt": None,
            "old.txt": None,
            "new.txt": text,
            "bin": b"\0\2",
        },
    )

    assert [(file.path, file.previous, file.status, file.patch) for file in git.changes(first, second)] == [
        ("bin", None, "modified", None),
        ("größe.txt", None, "removed", "@@ -1 +0,0 @@\n-1"),
        ("new.txt", "old.txt", "renamed", None),
        ('sp ace "q".txt', None, "modified", "@@ -1 +1 @@\n-1\n+diff --git a/x b/x"),
    ]
