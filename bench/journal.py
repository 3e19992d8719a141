"""What the journal costs: an append beside the bare durable insert, and bytes a step, in turns of any length.

The floor inserts the same text into a table of the same database settings (write-ahead log, synced at each
commit), on the same disk, right before each append.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from app.store import inbox, turns
from app.store.database import Database, make_durable
from app.store.turns import SqlJournal
from bench.figure import Figure, median, percentile
from bench.ground import Ground, ground
from bench.steps import Scripted
from harness.items import Answer, Call, CommandExecution, HistoryEntry, ItemId, ItemStatus, Life
from harness.protocols import Model, ModelRequest, ModelResponse

APPENDS: Final = 400
WITHIN: Final = 2.0
LENGTHS: Final = (10, 100, 500)
FLAT: Final = 1.05
OUTPUT: Final = "x" * 1_000


@dataclass
class Weighed:
    """A `Model` that notes how long each request's history is."""

    inner: Model
    sizes: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    def encode(self, entry: HistoryEntry) -> bytes:
        return self.inner.encode(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        self.sizes.append(len(request.history))
        return await self.inner.respond(request, on_text=on_text)


async def measure() -> list[Figure]:
    """All figures of this file."""
    ours, floor = await _appends()
    async with ground() as under:
        weights = {steps: await _weights(under, steps) for steps in LENGTHS}
    stored = {steps: weight[0] for steps, weight in weights.items()}
    added = {steps: weight[1] for steps, weight in weights.items()}
    short, long = LENGTHS[0], LENGTHS[-1]
    value, least = median(ours), median(floor)
    return [
        Figure(
            "journal.append",
            value * 1000,
            "ms",
            least * 1000,
            f"<= {WITHIN} x bare durable insert",
            value <= WITHIN * least,
            f"p95 {percentile(ours, 0.95) * 1000:.1f} and {percentile(floor, 0.95) * 1000:.1f} ms",
        ),
        *(Figure(f"journal.stored_n{steps}", value, "bytes/step") for steps, value in stored.items()),
        Figure(
            "journal.stored_flat",
            stored[long],
            "bytes/step",
            stored[short],
            f"<= {FLAT} x a turn of {short} steps",
            stored[long] <= FLAT * stored[short],
        ),
        *(
            Figure(
                f"journal.sent_n{steps}",
                value,
                "bytes/step",
                note="what each step adds to the requests after it; all of it is sent again with each",
            )
            for steps, value in added.items()
        ),
    ]


async def _appends() -> tuple[list[float], list[float]]:
    """Seconds of appends, and of inserts."""
    ours, floor = [], []
    with tempfile.TemporaryDirectory(prefix="darner-bench-") as name:
        bare_file = Path(name) / "bare.db"
        with Database(f"sqlite:///{Path(name) / 'darner.db'}") as database, closing(_bare(bare_file)) as bare:
            await database.write(_begin)
            journal = SqlJournal(database, turn="t", thread="bench", owner="bench")
            await journal.load()
            for number in range(APPENDS):
                item = _item(number)
                body = "x" * 1_400
                floor.append(await asyncio.to_thread(_insert, bare, number, body))
                begun = time.perf_counter()
                await journal.append(Life.COMPLETED, item)
                ours.append(time.perf_counter() - begun)
    return ours, floor


def _begin(connection: Connection) -> None:
    inbox.open_thread(connection, "bench", None, number=None, now=time.time())
    turns.queue(connection, "t", "bench", start="{}", now=time.time())
    turns.take(connection, "t", owner="bench", now=time.time())


def _item(number: int) -> CommandExecution:
    call = Call(f"call_{number}", "exec_command", '{"cmd":"true"}')
    return CommandExecution(
        id=ItemId(f"item_{number}"),
        call=call,
        command="true",
        workdir=".",
        status=ItemStatus.COMPLETED,
        exit_code=0,
        answer=Answer(OUTPUT),
    )


def _bare(place: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
    make_durable(connection)
    connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, body TEXT)")
    return connection


def _insert(connection: sqlite3.Connection, number: int, body: str) -> float:
    begun = time.perf_counter()
    connection.execute("INSERT INTO bare VALUES (?, ?)", (number, body))
    return time.perf_counter() - begun


async def _weights(under: Ground, steps: int) -> tuple[float, float]:
    """Bytes that a step stores, and that it adds to the next requests."""
    before = await under.database.read(_stored)
    model = Weighed(Scripted(steps))
    await under.run(model)
    after = await under.database.read(_stored)
    return (after - before) / steps, (model.sizes[-1] - model.sizes[0]) / steps


def _stored(connection: Connection) -> int:
    query = text(
        "SELECT coalesce(sum(length(turn) + length(item) + length(type) + length(life) + length(body)), 0)"
        " FROM items"
    )
    return int(connection.execute(query).scalar_one())
