"""The review engine's anchors beside the forge's own rule: what it calls a place, the forge takes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from github import GithubException
from github.PullRequest import PullRequest

from handlers.review.anchors import Anchored, anchor, is_commentable
from handlers.review.diff import DIFF_ARGUMENTS, FileDiff, by_path, parse_diff
from harness.findings import Side
from tests.forge.world import FILES, World, clone

SIDES: tuple[Side, ...] = ("LEFT", "RIGHT")


@pytest.fixture
def changed(world: World, repository: str, tmp_path: Path) -> tuple[PullRequest, dict[str, FileDiff]]:
    """A pull request with every kind of change, seen by its reviewer, and its diff by git."""
    git = clone(world, repository, tmp_path / "work", token=world.forge.tokens["maya"])
    numbers = [f"line {number}" for number in range(1, 121)]
    base = {"long.py": "\n".join(numbers), "old name.txt": "\n".join("abcdefgh"), "gone.py": "bye\n"}
    git.commit({**base, "logo.png": b"\0old", "was_text": "text\n"}, "Base")
    git.push("HEAD:main")
    numbers[9:12] = ["ten", "eleven", "eleven and a half", "twelve\r", "\f"]
    del numbers[60:63]
    numbers.append("no newline")
    git.run("mv", "old name.txt", "new name.txt")
    (git.directory / "gone.py").unlink()
    (git.directory / "was_text").unlink()
    (git.directory / "was_text").symlink_to("long.py")
    changes = {"long.py": "\n".join(numbers), "new name.txt": "\n".join("abcdefgH"), "new.py": "a\nb\n"}
    git.commit({**changes, "logo.png": b"\0new", "calc.py": FILES["calc.py"][7:]}, "Change everything")
    git.push("HEAD:change")
    diff = git.run("diff", *DIFF_ARGUMENTS, "HEAD^", "HEAD").stdout
    made = world.client("maya").get_repo(repository).create_pull(base="main", head="change", title="All")
    pull = world.client("cole").get_repo(repository).get_pull(made.number)
    return pull, dict(by_path(parse_diff(diff)))


def drafted(placed: Anchored) -> dict[str, Any]:
    draft: dict[str, Any] = {"path": placed.path, "side": placed.side, "line": placed.line, "body": "Here."}
    if placed.start_line is not None:
        draft |= {"start_line": placed.start_line, "start_side": placed.side}
    return draft


def test_whatever_is_anchored_is_taken_in_one_review(
    changed: tuple[PullRequest, dict[str, FileDiff]],
) -> None:
    """Places by dice, moved into the diff where that is allowed: the forge refuses none of them."""
    pull, files = changed
    dice = random.Random(7)
    wanted = [
        (dice.choice([*files]), dice.choice(SIDES), dice.randint(1, dice.choice((15, 125))))
        for _ in range(300)
    ]
    placed = [
        anchor(files[path], side=side, start_line=line, end_line=line + dice.choice((0, 0, 1, 4)))
        for path, side, line in wanted
    ]
    anchored = [each for each in placed if isinstance(each, Anchored)]

    drafts = [drafted(each) for each in anchored]
    review = pull.create_review(body="All.", event="COMMENT", comments=drafts)  # type: ignore[arg-type]

    assert len(list(pull.get_single_review_comments(review.id))) == len(anchored)
    assert len(anchored) > 50
    assert {each.path for each in anchored} == set(files) - {"logo.png", "was_text"}


NOWHERE: tuple[tuple[str, Side, int | None, int], ...] = (
    ("long.py", "RIGHT", None, 40),
    ("long.py", "RIGHT", 12, 60),
    ("long.py", "RIGHT", 12, 12),
    ("long.py", "LEFT", None, 125),
    ("gone.py", "RIGHT", None, 1),
    ("new.py", "LEFT", None, 1),
    ("logo.png", "RIGHT", None, 1),
    ("was_text", "RIGHT", None, 1),
)


def test_what_is_no_place_is_refused(changed: tuple[PullRequest, dict[str, FileDiff]]) -> None:
    pull, files = changed

    for path, side, start, line in NOWHERE:
        draft = drafted(Anchored(path=path, side=side, line=line, start_line=start))
        assert not is_commentable(files[path], side=side, line=line, start_line=start)
        with pytest.raises(GithubException) as refused:
            pull.create_review(body="All.", event="COMMENT", comments=[draft])  # type: ignore[list-item]
        assert refused.value.status == 422
