"""Takes one commit back on top of a branch, in the mirror: by a new commit, or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.git import GitFailed
from sandbox.git.commits import Identity
from sandbox.git.mirror import Mirror

_SMALL: Final = 4 * 1024 * 1024
_QUICK: Final = 60.0
_MOST_COMMITS: Final = 2000
_NOBODY: Final = Identity("nobody", "nobody@localhost")


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The new commit; nothing has been pushed."""

    sha: str


@dataclass(frozen=True, slots=True)
class TakenBackBefore:
    sha: str


@dataclass(frozen=True, slots=True)
class InConflict:
    """Later commits change the same lines."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NothingLeft:
    """The branch has nothing of the commit any more."""


@dataclass(frozen=True, slots=True)
class NotThere:
    """The commit is no ancestor of the head."""


Reverted = TakenBack | TakenBackBefore | InConflict | NothingLeft | NotThere


async def take_back(
    mirror: Mirror,
    *,
    head: str,
    sha: str,
    parent: str,
    trailer: str,
    message: str,
    author: Identity,
    date: int,
) -> Reverted:
    """A commit on `head` without what `sha` changed over `parent`.

    `trailer` is a line of `message`: a commit since `sha` that has it took it back before. All three commits
    must be in the mirror. Raises `GitFailed`.
    """
    git = mirror.git
    is_ancestor = await git.finish("merge-base", "--is-ancestor", sha, head, limit=_SMALL, seconds=_QUICK)
    if is_ancestor.exit_status != 0:
        return NotThere()
    if (before := await _taken_back_by(mirror, sha, head, trailer)) is not None:
        return TakenBackBefore(before)
    trees = {name: await _tree(mirror, name) for name in (head, sha, parent)}
    merged: str | InConflict = trees[parent]
    if head != sha:
        merged = await _merged(mirror, base=trees[sha], ours=trees[head], theirs=trees[parent])
    if isinstance(merged, InConflict):
        return merged
    if merged == trees[head]:
        return NothingLeft()
    made = await _commit(mirror, merged, head, message=message, author=author, date=date)
    return TakenBack(made)


async def _taken_back_by(mirror: Mirror, sha: str, head: str, trailer: str) -> str | None:
    log = await mirror.git.run(
        "log",
        f"--max-count={_MOST_COMMITS}",
        "--format=%H%n%B%x00",
        f"{sha}..{head}",
        limit=_SMALL,
        seconds=_QUICK,
    )
    for entry in log.decode(errors="replace").split("\0"):
        lines = entry.strip("\n").split("\n")
        if trailer in lines[1:]:
            return lines[0]
    return None


async def _tree(mirror: Mirror, sha: str) -> str:
    output = await mirror.git.run("rev-parse", "--verify", f"{sha}^{{tree}}", limit=_SMALL, seconds=_QUICK)
    return output.decode().strip()


async def _merged(mirror: Mirror, *, base: str, ours: str, theirs: str) -> str | InConflict:
    """The tree of a three-way merge.

    By commits made for it: git before 2.40 cannot be told the base.
    https://git-scm.com/docs/git-merge-tree
    """
    root = await _commit(mirror, base, None, message="base", author=_NOBODY, date=0)
    sides = [
        await _commit(mirror, tree, root, message="side", author=_NOBODY, date=0) for tree in (ours, theirs)
    ]
    arguments = ("merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", *sides)
    finished = await mirror.git.finish(*arguments, limit=_SMALL, seconds=_QUICK)
    if finished.exit_status not in {0, 1} or finished.cut:
        raise GitFailed(arguments, finished.exit_status, finished.stderr)
    tree, *paths = finished.stdout.decode(errors="replace").split("\0")
    if finished.exit_status == 1:
        return InConflict(tuple(dict.fromkeys(path for path in paths if path)))
    return tree.strip()


async def _commit(
    mirror: Mirror, tree: str, parent: str | None, *, message: str, author: Identity, date: int
) -> str:
    lineage = () if parent is None else ("-p", parent)
    output = await mirror.git.run(
        "commit-tree",
        tree,
        *lineage,
        stdin=message.encode(),
        limit=_SMALL,
        seconds=_QUICK,
        environment=_signed(author, date),
    )
    return output.decode().strip()


def _signed(author: Identity, date: int) -> Mapping[str, str]:
    when = f"@{date} +0000"
    return {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_NAME": author.name,
        "GIT_COMMITTER_EMAIL": author.email,
        "GIT_COMMITTER_DATE": when,
    }
