"""Takes back what a turn has pushed: one new commit, made in the mirror, pushed with lease."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from app.github import Client, GitHub
from app.mirrors import Mirrors
from app.store.places import RepositoryRef
from handlers.effects import UndoTurn
from handlers.events import UndoEnded
from sandbox.git.mirror import BranchProtected, Denied, HeadMoved, Identity, Mirror, Pushed, Remote
from sandbox.git.revert import InConflict, NothingLeft, NotThere, TakenBack, TakenBackBefore, take_back

TRIES: Final = 3
"""Against a branch that is being pushed to."""
_MOST_PATHS: Final = 5


class Undoing:
    """Holds no state: may be begun again at any point, and finds what it did before by its trailer."""

    def __init__(
        self,
        github: GitHub,
        mirrors: Mirrors,
        *,
        plain: Callable[[str], Awaitable[str]],
        author: Callable[[], Identity],
    ) -> None:
        self._github = github
        self._mirrors = mirrors
        self._plain = plain
        self._author = author

    async def undo(self, effect: UndoTurn, place: RepositoryRef) -> UndoEnded:
        """What came of it. Raises `ForgeError` and `sandbox.git.GitFailed`."""
        if await self._github.run(place, lambda client: _is_merged(client, effect)):
            return UndoEnded(undo=effect, result="merged")
        message = await self._plain(effect.message)
        mirror = self._mirrors.of(place)
        await mirror.ensure()
        fork = effect.fork
        where = place if fork is None else RepositoryRef(fork.id, fork.full_name, fork.installation)
        async with self._mirrors.push_remote(where) as remote:
            for _ in range(TRIES):
                ended = await self._try(effect, mirror, remote, message)
                if ended.result != "head_moved":
                    return ended
        return UndoEnded(undo=effect, result="head_moved")

    async def _try(self, effect: UndoTurn, mirror: Mirror, remote: Remote, message: str) -> UndoEnded:
        head = await mirror.head_of(remote, effect.branch)
        if head is None:
            return UndoEnded(undo=effect, result="branch_gone")
        await mirror.fetch(remote, head)
        if not await mirror.has(effect.sha):
            return UndoEnded(undo=effect, result="not_there")
        made = await take_back(
            mirror,
            head=head,
            sha=effect.sha,
            parent=effect.parent,
            trailer=f"Darner-Undo: {effect.turn_id}",
            message=message,
            author=self._author(),
            date=int(time.time()),
        )
        match made:
            case TakenBack(sha):
                return await self._push(effect, mirror, remote, sha, head)
            case TakenBackBefore(sha):
                return UndoEnded(undo=effect, result="done_before", sha=sha)
            case InConflict(paths):
                return UndoEnded(undo=effect, result="conflict", detail=", ".join(paths[:_MOST_PATHS]))
            case NothingLeft():
                return UndoEnded(undo=effect, result="nothing_left")
            case NotThere():
                return UndoEnded(undo=effect, result="not_there")
            case _:
                assert_never(made)

    async def _push(self, effect: UndoTurn, mirror: Mirror, remote: Remote, sha: str, head: str) -> UndoEnded:
        outcome = await mirror.push(remote, sha=sha, branch=effect.branch, expected=head)
        match outcome:
            case Pushed():
                return UndoEnded(undo=effect, result="done", sha=sha)
            case HeadMoved():
                return UndoEnded(undo=effect, result="head_moved")
            case Denied(detail):
                return UndoEnded(undo=effect, result="denied", detail=detail)
            case BranchProtected(detail):
                return UndoEnded(undo=effect, result="branch_protected", detail=detail)
            case _:
                assert_never(outcome)


def _is_merged(client: Client, effect: UndoTurn) -> bool:
    if effect.fork is not None:
        return client.subject_state(effect.number).is_merged
    return client.is_merged(effect.branch)
