"""A commit is taken back on top of its branch: by a new commit, or not at all."""

import pytest

from sandbox.git.mirror import Identity, Mirror
from sandbox.git.revert import (
    InConflict,
    NothingLeft,
    NotThere,
    Reverted,
    TakenBack,
    TakenBackBefore,
    take_back,
)
from tests.sandbox_git.origin import Origin

DARNER = Identity("darner[bot]", "1+darner[bot]@users.noreply.github.com")
LINES = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"


async def _undone(mirror: Mirror, *, head: str, sha: str, parent: str) -> Reverted:
    return await take_back(
        mirror,
        head=head,
        sha=sha,
        parent=parent,
        trailer="Darner-Undo: 0ca1",
        message="Undo\n\nDarner-Undo: 0ca1\n",
        author=DARNER,
        date=1_700_000_500,
    )


async def test_at_the_head_the_tree_before_it_comes_back(origin: Origin, mirror: Mirror) -> None:
    """With modes, links and deletions: the very tree."""
    parent = origin.commit({"a.txt": LINES, "gone.txt": "x\n", "run.sh": "true\n"}, executable=("run.sh",))
    sha = origin.commit({"a.txt": "other\n", "gone.txt": None, "new.txt": "n\n"}, links={"link": "a.txt"})
    await mirror.fetch(origin.remote, sha)

    made = await _undone(mirror, head=sha, sha=sha, parent=parent)

    assert isinstance(made, TakenBack)
    assert await mirror.changes(parent, made.sha) == ()
    assert len(await mirror.changes(sha, made.sha)) == 4


async def test_what_came_later_stays(origin: Origin, mirror: Mirror) -> None:
    """Elsewhere, and in other lines of the same file. The next undo finds this one."""
    parent = origin.commit({"a.txt": LINES})
    sha = origin.commit({"a.txt": LINES.replace("two", "2")})
    head = origin.commit({"a.txt": LINES.replace("two", "2").replace("six", "6"), "b.txt": "b\n"})
    await mirror.fetch(origin.remote, head)

    made = await _undone(mirror, head=head, sha=sha, parent=parent)

    assert isinstance(made, TakenBack)
    assert await mirror.read(made.sha, "a.txt", limit=1000) == LINES.replace("six", "6").encode()
    assert await mirror.read(made.sha, "b.txt", limit=1000) == b"b\n"
    again = await _undone(mirror, head=made.sha, sha=sha, parent=parent)
    assert again == TakenBackBefore(made.sha)


async def test_the_same_lines_are_a_conflict(origin: Origin, mirror: Mirror) -> None:
    """Nothing is made; the paths are told."""
    parent = origin.commit({"a.txt": LINES})
    sha = origin.commit({"a.txt": LINES.replace("two", "2")})
    head = origin.commit({"a.txt": LINES.replace("two", "zwei")})
    await mirror.fetch(origin.remote, head)

    assert await _undone(mirror, head=head, sha=sha, parent=parent) == InConflict(("a.txt",))


@pytest.mark.parametrize("is_rewritten", [True, False], ids=["rewritten", "undone by hand"])
async def test_nothing_is_made_where_nothing_is_left(
    origin: Origin, mirror: Mirror, is_rewritten: bool
) -> None:
    """A branch that lost the commit, or had it taken back by a person."""
    parent = origin.commit({"a.txt": LINES})
    sha = origin.commit({"a.txt": LINES.replace("two", "2")})
    await mirror.fetch(origin.remote, sha)
    if is_rewritten:
        origin.git("reset", "--quiet", "--hard", parent)
    head = origin.commit({"a.txt": LINES, "b.txt": "b\n"})
    await mirror.fetch(origin.remote, head)

    made = await _undone(mirror, head=head, sha=sha, parent=parent)

    assert made == (NotThere() if is_rewritten else NothingLeft())
