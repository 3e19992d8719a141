"""What people made of earlier findings: 👍 and 👎, of which no webhook tells, read at the forge and kept.

A dismissal comes in as an event, and is in the store already. Both are told to the next review of the same
files, whichever pull request it is of.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.forge_error import ForgeError
from app.github import GitHub, LineNote
from app.store import reviews
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.review.memory import Elsewhere, Remembered
from handlers.review_keys import thread_name

log = logging.getLogger(__name__)

MOST_PULLS: Final = 5
"""Other pull requests whose reactions are read for one review: a request each, the newest first."""
MOST_TOLD: Final = 30


@dataclass(frozen=True, slots=True)
class PastFindings:
    """Reads and keeps them."""

    database: Database
    github: GitHub

    async def with_reactions(
        self, thread: str, findings: Sequence[Remembered], notes: Sequence[LineNote]
    ) -> tuple[Remembered, ...]:
        """`findings` of a thread with what is thought of them now; what is new of that is kept."""
        by_comment = {note.id: note for note in notes}
        now = [replace(each, reactions=_reactions(each, by_comment)) for each in findings]
        changed = {
            new.id: new.reactions
            for old, new in zip(findings, now, strict=True)
            if new.reactions != old.reactions
        }
        if changed:
            await self.database.write(lambda connection: reviews.keep_reactions(connection, thread, changed))
        return tuple(now)

    async def elsewhere(
        self, place: RepositoryRef, number: int, paths: Collection[str]
    ) -> tuple[Elsewhere, ...]:
        """What people have decided or thought of findings on `paths` in other pull requests than `number`.

        Newest first, within a bound. Raises `ForgeError` where that may pass.
        """
        own = thread_name(place.id, number)
        known = await self.database.read(
            lambda connection: reviews.elsewhere(connection, own, place.id, paths)
        )
        numbers = [each.number for each in known if each.finding.comment is not None]
        for other in [*dict.fromkeys(numbers)][:MOST_PULLS]:
            theirs = [each for each in known if each.number == other]
            notes = await self._notes(place, other)
            if notes is None:
                continue
            found = [each.finding for each in theirs]
            fresh = await self.with_reactions(thread_name(place.id, other), found, notes)
            told = {each.id: each for each in fresh}
            known = [
                replace(each, finding=told[each.finding.id]) if each.number == other else each
                for each in known
            ]
        wanted = [each for each in known if each.finding.reactions or each.is_decided]
        return tuple(wanted[:MOST_TOLD])

    async def _notes(self, place: RepositoryRef, number: int) -> list[LineNote] | None:
        try:
            return await self.github.run(place, lambda client: client.line_notes(number))
        except ForgeError as error:
            if error.is_passing:
                raise
            # A pull request that is gone takes nothing away from what is known of it.
            log.info("findings.unheard", extra={"fields": {"pull": number, "error": str(error)}})
            return None


def _reactions(each: Remembered, notes: Mapping[int, LineNote]) -> str:
    note = notes.get(each.comment or 0)
    if note is None:
        return each.reactions
    counted = [f"{count} {mark}" for count, mark in ((note.liked, "👍"), (note.disliked, "👎")) if count]
    return ", ".join(counted)
