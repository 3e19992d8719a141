"""`darner threads list|show|steer|stop`: the conversations of this server, and the turn at work in one."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from app.cli.complaint import complain
from app.cli.options import AsJson
from app.cli.reading import cost_line, reading

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.store.overview import ThreadSummary

threads = typer.Typer(
    name="threads", help="Look at conversations, and direct the turn at work in one.", no_args_is_help=True
)
OPERATOR = "the operator"
"""Who a turn is told it hears from."""

ThreadArgument = Annotated[str, typer.Argument(metavar="THREAD", help="As `threads list` shows it.")]


@threads.command("list")
def list_threads(
    as_json: AsJson = False,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, newest first.")] = 30,
) -> None:
    """Show the conversations, the one with the newest turn first."""
    from app.store.overview import summaries

    with reading() as connection:
        found = summaries(connection, most=most)
    if as_json:
        typer.echo(json.dumps([_as_json(summary) for summary in found]))
        return
    if not found:
        typer.echo("There is no conversation yet.")
    console = Console(highlight=False, soft_wrap=True)
    for summary in found:
        where = f"{summary.repository}#{summary.number}" if summary.repository else "local"
        asked = time.strftime("%Y-%m-%d %H:%M", time.gmtime(summary.newest_at))
        count = f"{summary.turns} turn{'s' * (summary.turns != 1)}"
        console.print(f"{summary.id:<24} {escape(where):<32} {count:>9}  {asked}  {summary.state}")


@threads.command()
def show(thread: ThreadArgument, as_json: AsJson = False) -> None:
    """Show what was asked, said and done in a conversation, turn by turn."""
    from app.cli.transcript import Transcript
    from app.settings import load_settings
    from app.store import charges
    from app.store.turns import entries_of, of_thread
    from harness.events import item_event, line
    from harness.items import Life, UserMessage
    from harness.output import readable

    with reading() as connection:
        rows = of_thread(connection, thread)
        entries = {row.id: entries_of(connection, row.id) for row in rows}
        spent = {row.id: charges.of_turn(connection, row.id) for row in rows}
    if not rows:
        raise complain(f"There is no thread {thread}; `darner threads list` shows those there are.", status=1)
    currency = load_settings().currency
    console = Console(highlight=False, soft_wrap=True)
    transcript = Transcript(console)
    for row in rows:
        if not as_json:
            charged = spent[row.id]
            cost = cost_line(charged.tokens, charged.micros, charged.unpriced_tokens, currency)
            transcript.heading(f"Turn {row.id}: {row.state}, {cost}")
        for entry in entries[row.id]:
            if as_json:
                typer.echo(line({**item_event(entry.life, entry.item), "turn": row.id}))
            elif isinstance(entry.item, UserMessage) and entry.item.heard:
                console.print(escape(readable(entry.item.text)), style="magenta")
            elif entry.life is Life.COMPLETED:
                transcript.item(entry.life, entry.item)
    transcript.catch_up()


@threads.command()
def steer(
    thread: ThreadArgument, text: Annotated[str, typer.Argument(help="What to tell the agent.")]
) -> None:
    """Tell the turn at work something before its next step."""
    from app.store import messages
    from handlers.comments import steering

    told = steering(OPERATOR, text)
    with _directing(thread) as (connection, turn):
        messages.steer(connection, turn, author=OPERATOR, text=told, key=_key(turn), now=time.time())
    typer.echo(f"Turn {turn} reads it before its next step.")


@threads.command()
def stop(thread: ThreadArgument) -> None:
    """End the turn at work: nothing of it is published, its work is shown in the conversation."""
    from app.store import messages

    with _directing(thread) as (connection, turn):
        messages.stop(connection, turn, author=OPERATOR, key=_key(turn), now=time.time())
    typer.echo(f"Turn {turn} ends within seconds, if the server is running.")


@contextmanager
def _directing(thread: str) -> Iterator[tuple["Connection", str]]:
    """A transaction, and the thread's turn that has not ended."""
    from app.store.database import engine_for
    from app.store.turns import TurnOver, hold_open, next_unfinished

    with reading() as reader:
        row = next_unfinished(reader, thread)
        url = reader.engine.url
    if row is None:
        raise complain(f"Nothing is at work in {thread}; `darner threads list` shows what is.", status=1)
    engine = engine_for(url.render_as_string(hide_password=False))
    try:
        with engine.begin() as connection:
            hold_open(connection, row.id)
            yield connection, row.id
    except TurnOver:
        raise complain(f"Turn {row.id} has just ended.", status=1) from None
    finally:
        engine.dispose()


def _key(turn: str) -> str:
    return f"cli/{turn}/{time.time_ns()}"


def _as_json(summary: "ThreadSummary") -> dict[str, object]:
    return {
        "thread": summary.id,
        "repository": summary.repository,
        "number": summary.number,
        "turns": summary.turns,
        "newest_at": summary.newest_at,
        "state": summary.state,
    }
