"""A turn whose budget was spent while it waited: it ends at once, and nothing is made ready for it."""

import time
from pathlib import Path

from pydantic import SecretStr

from app.forge_limits import ForgeLimits
from app.github import GitHub
from app.mirrors import Mirrors
from app.perform import Performer
from app.progress import Progress
from app.results import Results
from app.runtime import Runtime
from app.spending import Spending
from app.store import inbox, turns
from app.store.places import RepositoryRef
from app.tokens import PersonalToken
from app.turns_worker import TurnsWorker
from app.workspaces import Workspaces
from handlers.budgets import Amounts, Budgets
from handlers.effects import EffectAdapter
from handlers.events import TurnEnded
from handlers.view import Bot
from handlers.wishes import Ceiling
from harness.budget import Prices
from harness.compaction import Room
from harness.items import Exhausted, TurnLimits
from harness.rules import Rules
from sandbox.drivers import Setup, choose
from tests.app.conftest import House
from tests.handlers.people import start_on_issue
from tests.harness.scripted import ScriptedModel

NOWHERE = "http://127.0.0.1:1"
"""Whoever asks the forge fails."""
BOT = Bot(id=9000, login="darner[bot]", mention="darner")


def worker(house: House, home: Path, model: ScriptedModel, budgets: Budgets) -> TurnsWorker:
    """The real one, with a forge that cannot be reached."""
    limits = ForgeLimits(house.database, spacing=0.0)
    tokens = PersonalToken(SecretStr("ghp_nobodys"), api_url=NOWHERE)
    github = GitHub(api_url=NOWHERE, web_url=NOWHERE, tokens=tokens)
    mirrors = Mirrors(home, web_url=NOWHERE, tokens=tokens)
    results = Results(mirrors, None)
    performer = Performer(
        house.database, github, mirrors, results, bot=lambda: BOT, marker_key=b"k", secrets=tuple
    )
    runtime = Runtime(
        database=house.database,
        github=github,
        mirrors=mirrors,
        results=results,
        workspaces=Workspaces(home, choose("bubblewrap", Setup(state=home / "sandbox"))),
        model=model,
        spending=Spending(lambda: Ceiling(budgets=budgets, currency="USD"), TurnLimits(), time.time),
        prices=Prices(),
        room=Room(),
        rules=Rules(()),
        bot=lambda: BOT,
        home=home,
        now=time.time,
    )
    return TurnsWorker(runtime, house.wake_ups, Progress(house.database, performer, limits))


async def test_no_checkout_and_no_briefing_are_made(house: House, tmp_path: Path) -> None:
    """Neither forge nor model is asked; the outcome is told like any other."""
    start, place = start_on_issue(), RepositoryRef(42, "octo/calc", None)
    body = EffectAdapter.dump_json(start).decode()
    await house.database.write(
        lambda connection: inbox.open_thread(connection, "42-7", place, number=7, now=1.0)
    )
    await house.database.write(
        lambda connection: turns.queue(connection, start.turn_id, "42-7", start=body, now=1.0)
    )
    model = ScriptedModel([])

    await worker(house, tmp_path, model, Budgets(turn=Amounts(micros=0))).drive("42-7")

    row = await house.database.read(lambda connection: turns.find(connection, start.turn_id))
    letter = await house.database.read(
        lambda connection: inbox.next_letter(connection, "42-7", now=time.time())
    )
    assert row is not None
    assert (row.outcome, row.request) == (Exhausted("money", 0, "", currency="USD"), "")
    assert model.requests == []
    assert letter is not None
    assert isinstance(letter.event, TurnEnded)
    assert letter.event.outcome == row.outcome
    assert letter.event.changes == ()
    assert list(tmp_path.glob("mirrors/*")) == []
