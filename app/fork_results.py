"""What a turn's change to a fork's head can be offered as: read from the mirror, decided in `handlers`."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from handlers.broker import is_protected
from handlers.delivery import CI_PATHS, LONGEST_PATCH, UNREAD
from handlers.effects import StartTurn
from handlers.fork_suggestions import MOST, ProposedSuggestion, as_suggestions
from handlers.review.diff import DIFF_ARGUMENTS, DiffUnreadable, FileDiff, by_path, parse_diff
from sandbox.base import FileTooLarge
from sandbox.git.mirror import GitFailed, Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)

DIFF_BYTES: Final = 64 * 1024 * 1024
"""Of the pull request's own diff; a file behind that takes no suggestion."""
_LARGEST_FILE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Offered:
    suggestions: tuple[ProposedSuggestion, ...] = ()
    """All of the change; empty: it cannot be put so."""
    head_touches: tuple[str, ...] = ()
    """Protected paths, and CI's, that the pull request itself changes."""


NO_OFFER: Final = Offered()
MOST_TOUCHED: Final = 1_000
"""Names that are kept; a head that touches more counts as one that could not be read."""


async def offered(
    mirror: Mirror,
    start: StartTurn,
    changes: Sequence[ChangedFile],
    patch: str,
    *,
    protected: Sequence[str],
    diff_bytes: int = DIFF_BYTES,
) -> Offered:
    """`changes` are what may go out, and `patch` is their unified diff on the head."""
    touches: tuple[str, ...] = ()
    try:
        # By names alone: of a diff, its author decides how much of it can be read.
        touched = await mirror.changed_paths(start.instructions_sha, start.base_sha)
        touches = tuple(path for path in sorted(touched) if is_protected(path, (*protected, *CI_PATHS)))
        if len(touches) > MOST_TOUCHED:
            touches = (*touches[:MOST_TOUCHED], UNREAD)
        arguments = (start.instructions_sha, start.base_sha, *DIFF_ARGUMENTS)
        shown = await mirror.patch(*arguments, limit=diff_bytes)
        files = await asyncio.to_thread(parse_diff, shown.data)
    except (DiffUnreadable, GitFailed) as error:
        # A head without a history in common has no such diff.
        log.warning("fork.no_diff", extra={"fields": {"turn": start.turn_id, "error": str(error)}})
        return Offered(head_touches=(*touches, UNREAD))
    return Offered(await _suggestions(mirror, start, changes, patch, files), touches)


async def _suggestions(
    mirror: Mirror,
    start: StartTurn,
    changes: Sequence[ChangedFile],
    patch: str,
    shown: Sequence[FileDiff],
) -> tuple[ProposedSuggestion, ...]:
    if len(changes) > MOST or len(patch) > LONGEST_PATCH:
        return ()
    old, new = dict[str, str](), dict[str, str]()
    try:
        for change in changes:
            before = await mirror.read_entry(start.base_sha, change.path, limit=_LARGEST_FILE)
            if before is None or change.data is None:
                return ()
            old[change.path], new[change.path] = before.decode(), change.data.decode()
        return await asyncio.to_thread(
            lambda: as_suggestions(parse_diff(patch), by_path(shown), old=old, new=new)
        )
    except (UnicodeDecodeError, FileTooLarge, DiffUnreadable):
        return ()
