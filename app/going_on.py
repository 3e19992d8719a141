"""What a turn that goes on from another one begins with: its history is the journal's, its files are here."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from app.results import ResultLost, Results
from app.store import turns
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from app.turn_report import last_state
from handlers import comments_control
from handlers.effects import EffectAdapter, StartTurn
from harness.items import UserMessage
from harness.protocols import Entry
from sandbox.base import SandboxMode
from sandbox.checkout.snapshots import UNCHANGED
from sandbox.result import ChangedFile


@dataclass(frozen=True, slots=True)
class LeftBefore:
    is_briefed: bool = False
    """Whether the other turn's journal has the request; else this one is briefed anew."""
    files: tuple[ChangedFile, ...] = ()
    is_lost: bool = False
    """Whether it had changed files that nobody has kept."""

    def told(self, start: StartTurn) -> str:
        """What the model is told of it."""
        return comments_control.goes_on(
            start,
            author=start.requester.login,
            has_files=bool(self.files),
            lost_files=self.is_lost,
        )


_NOTHING: Final = LeftBefore()


async def left_by(database: Database, results: Results, place: RepositoryRef, start: StartTurn) -> LeftBefore:
    """What the turn that `start` goes on from has left; nothing for a turn of its own.

    Raises `StoreAway`, and `GitFailed` when the forge has to be asked and cannot be.
    """
    if not start.continues:
        return _NOTHING

    def look(connection: Connection) -> tuple[TurnRow | None, list[Entry]]:
        return turns.find(connection, start.continues), turns.entries_of(connection, start.continues)

    row, entries = await database.read(look)
    is_briefed = any(isinstance(entry.item, UserMessage) for entry in entries)
    state = last_state(entries)
    had_changed = state is None or state.snapshot not in {None, UNCHANGED}
    if row is None or row.snapshot is None or start.mode is SandboxMode.READ_ONLY:
        return LeftBefore(is_briefed, (), is_lost=had_changed)
    before = EffectAdapter.validate_json(row.start)
    base = before.base_sha if isinstance(before, StartTurn) else start.base_sha
    try:
        mirror = await results.mirror_with(place, row, base, start.base_sha)
    except ResultLost:
        return LeftBefore(is_briefed, (), is_lost=had_changed)
    return LeftBefore(is_briefed, await mirror.changes(start.base_sha, row.snapshot))
