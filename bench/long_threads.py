"""What 500 turns in a thread cost the next one: time to its first request, and how large that is.

Each beside a thread of a single turn.
The real loop, wire and SQLite journal; the model answers at once. The first turn after the 500 finds no
compaction: it reads the newest turns, asks for a summary and states it; the turns after that begin there.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, insert

from app.store import inbox, turns
from app.store.database import Database
from app.store.schema import items
from app.store.turns import SqlJournal
from bench.endpoint import endpoint
from bench.figure import Figure, median
from bench.ground import ground
from harness.instructions import INSTRUCTIONS
from harness.items import (
    AgentMessage,
    Answer,
    Call,
    CommandExecution,
    Completed,
    HistoryEntry,
    Item,
    ItemAdapter,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    ThreadId,
    Turn,
    TurnId,
    TurnResult,
    Usage,
    UserMessage,
)
from harness.loop import run_turn
from harness.memory import PlainSession
from harness.models import open_model
from harness.protocols import Model, ModelRequest, ModelResponse

TURNS: Final = 500
STEPS: Final = 6
"""Of each turn; their outputs are of 2 KB."""
ROUNDS: Final = 5
WITHIN: Final = 100_000
"""Bytes: kept steps, request and summary."""
OUTPUT: Final = "def answer() -> int: return 42  # and a comment\n" * 42


@dataclass
class Watched:
    """A `Model` that notes when a request of the turn itself comes, and how large its history is."""

    inner: Model
    sizes: list[int] = field(default_factory=list)
    came: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    def encode(self, entry: HistoryEntry) -> bytes:
        return self.inner.encode(entry)

    async def respond(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> ModelResponse:
        if request.instructions == INSTRUCTIONS:
            self.came.append(time.perf_counter())
            self.sizes.append(len(request.history))
        return await self.inner.respond(request, on_text=on_text)


async def measure() -> list[Figure]:
    """All figures of this file."""
    first: list[tuple[float, int]] = []
    later: list[tuple[float, int]] = []
    short: list[tuple[float, int]] = []
    async with (
        ground() as under,
        endpoint({"done": []}) as served,
        open_model(wire="responses", model="m", base_url=served.url("done"), api_key="none") as model,
    ):
        for number in range(ROUNDS):
            for name, count in ((f"long-{number}", TURNS), (f"short-{number}", 1)):
                await under.database.write(_thread(name, count))
            first.append(await _next_turn(under.database, f"long-{number}", model))
            later.append(await _next_turn(under.database, f"long-{number}", model))
            short.append(await _next_turn(under.database, f"short-{number}", model))
    floor = median([seconds for seconds, _ in short]) * 1000
    least = median([size for _, size in short])
    return [
        *_figures("uncompacted", first, floor, least, note="a summary is asked for on the way"),
        *_figures("compacted", later, floor, least),
    ]


def _figures(
    name: str, runs: list[tuple[float, int]], floor: float, least: float, *, note: str = ""
) -> list[Figure]:
    value = median([seconds for seconds, _ in runs]) * 1000
    size = median([size for _, size in runs])
    told = f"<= {WITHIN} bytes"
    return [
        Figure(f"long_threads.{name}_{TURNS}", value, "ms", floor, note=note),
        Figure(f"long_threads.{name}_{TURNS}_size", size, "bytes", least, told, size <= WITHIN),
    ]


def _thread(name: str, count: int) -> Callable[[Connection], None]:
    """Ended turns, as a worker leaves them."""

    def write(connection: Connection) -> None:
        inbox.open_thread(connection, name, None, number=None, now=1.0)
        rows = []
        for number in range(count):
            turn = f"{name}-{number}"
            turns.queue(connection, turn, name, start="{}", now=1.0)
            turns.take(connection, turn, owner="bench", now=1.0)
            rows += [_row(turn, seq, life, item) for seq, (life, item) in enumerate(_journal(number))]
            done = TurnResult(Completed(f"Answer {number}."), Usage(), STEPS, 1.0)
            turns.end(connection, turn, done, snapshot=None, owner="bench", now=2.0)
        connection.execute(insert(items), rows)

    return write


def _journal(number: int) -> list[tuple[Life, Item]]:
    entries: list[tuple[Life, Item]] = [
        (Life.COMPLETED, UserMessage(id=ItemId("item_0"), text=f"Request {number}: " + "please " * 100))
    ]
    for step in range(STEPS):
        call = Call(f"call_{number}_{step}", "exec_command", '{"cmd": "cat answer.py"}')
        item = CommandExecution(
            id=ItemId(f"item_{2 * step + 1}"), call=call, command="cat answer.py", workdir="."
        )
        done = CommandExecution(
            id=item.id,
            call=call,
            command=item.command,
            workdir=".",
            status=ItemStatus.COMPLETED,
            exit_code=0,
            answer=Answer(OUTPUT),
        )
        entries += [(Life.STARTED, item), (Life.COMPLETED, _answered(2 * step + 2)), (Life.COMPLETED, done)]
    last = 2 * STEPS + 1
    message = AgentMessage(id=ItemId(f"item_{last}"), text=f"Answer {number}.", phase="final_answer")
    return [*entries, (Life.COMPLETED, message), (Life.COMPLETED, _answered(last + 1))]


def _answered(number: int) -> ModelCall:
    return ModelCall(id=ItemId(f"item_{number}"), model="m", usage=Usage(), seconds=0.1, items=1)


def _row(turn: str, seq: int, life: Life, item: Item) -> dict[str, object]:
    body = ItemAdapter.dump_json(item).decode()
    return {
        "turn": turn,
        "seq": seq,
        "life": life.value,
        "item": item.id,
        "type": item.type,
        "body": body,
        "at": 1.0,
    }


async def _next_turn(database: Database, thread: str, model: Model) -> tuple[float, int]:
    """Seconds from the turn's start to its first request, and that request's history in bytes."""
    turn = f"{thread}-{time.monotonic_ns()}"

    def begin(connection: Connection) -> None:
        turns.queue(connection, turn, thread, start="{}", now=3.0)
        turns.take(connection, turn, owner="bench", now=3.0)

    await database.write(begin)
    watched = Watched(model)
    asked = Turn(
        id=TurnId(turn), thread_id=ThreadId(thread), instructions=INSTRUCTIONS, request="What is the answer?"
    )
    journal = SqlJournal(database, turn=turn, thread=thread, owner="bench")
    begun = time.perf_counter()
    result = await run_turn(asked, model=watched, tools={}, session=PlainSession(), journal=journal)
    if not isinstance(result.outcome, Completed):
        raise TypeError(f"the measured turn did not complete: {result.outcome}")
    await database.write(
        lambda connection: turns.end(connection, turn, result, snapshot=None, owner="bench", now=4.0)
    )
    return watched.came[0] - begun, watched.sizes[0]
