"""What a turn's change to a fork's head can be offered as: read from the mirror, decided in `handlers`."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from handlers.delivery import LONGEST_PATCH
from handlers.effects import StartTurn
from handlers.fork_suggestions import MOST, ProposedSuggestion, as_suggestions
from handlers.review.diff import DIFF_ARGUMENTS, DiffUnreadable, by_path, parse_diff
from sandbox.base import FileTooLarge
from sandbox.git.mirror import GitFailed, Mirror
from sandbox.result import ChangedFile

log = logging.getLogger(__name__)

_DIFF_BYTES: Final = 64 * 1024 * 1024
"""Of the pull request's own diff; a file behind that takes no suggestion."""
_LARGEST_FILE: Final = 1024 * 1024


async def suggestions_of(
    mirror: Mirror, start: StartTurn, changes: Sequence[ChangedFile], patch: str
) -> tuple[ProposedSuggestion, ...]:
    """`changes`, whose unified diff is `patch`, as suggestions; empty where they cannot be put so."""
    if not 0 < len(changes) <= MOST or len(patch) > LONGEST_PATCH:
        return ()
    old, new = dict[str, str](), dict[str, str]()
    try:
        for change in changes:
            before = await mirror.read_entry(start.base_sha, change.path, limit=_LARGEST_FILE)
            if before is None or change.data is None:
                return ()
            old[change.path], new[change.path] = before.decode(), change.data.decode()
        shown = await mirror.patch(start.instructions_sha, start.base_sha, *DIFF_ARGUMENTS, limit=_DIFF_BYTES)
        return await asyncio.to_thread(
            lambda: as_suggestions(parse_diff(patch), by_path(parse_diff(shown)), old=old, new=new)
        )
    except (UnicodeDecodeError, FileTooLarge):
        return ()
    except (DiffUnreadable, GitFailed) as error:
        # A head without a history in common has no such diff; the patch says it all.
        log.warning("suggestions.no_diff", extra={"fields": {"turn": start.turn_id, "error": str(error)}})
        return ()
