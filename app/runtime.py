"""What the server's turns have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.github import GitHub
from app.mirrors import Mirrors
from app.results import Results
from app.spending import Payer, Spending
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from app.workspaces import Workspaces
from handlers.effects import StartTurn
from handlers.view import Bot
from harness.budget import Prices
from harness.compaction import Room
from harness.protocols import Model
from harness.rules import Rules


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every turn shares."""

    database: Database
    github: GitHub
    mirrors: Mirrors
    results: Results
    workspaces: Workspaces
    model: Model
    spending: Spending
    prices: Prices
    room: Room
    rules: Rules
    bot: Callable[[], Bot]
    home: Path
    now: Callable[[], float]


def payer_of(row: TurnRow, start: StartTurn, place: RepositoryRef) -> Payer:
    """Whose budgets a turn is held to."""
    return Payer(thread=row.thread, turn=row.id, place=place, actor=start.requester.id)
