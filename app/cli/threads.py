"""`darner threads …`: the conversations of this server, and what an operator does with one."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from app.cli.complaint import complain
from app.cli.options import AsJson
from app.cli.reading import cost_line, reading

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.queues import Queue
    from app.store.overview import ThreadSummary

threads = typer.Typer(
    name="threads", help="Look at conversations, and direct the turn at work in one.", no_args_is_help=True
)

ThreadArgument = Annotated[str, typer.Argument(metavar="THREAD", help="As `threads list` shows it.")]
TurnArgument = Annotated[str, typer.Argument(metavar="[TURN]", help="As `threads show` tells it.")]


@threads.command("list")
def list_threads(
    as_json: AsJson = False,
    most: Annotated[int, typer.Option("--most", min=1, help="How many, newest first.")] = 30,
    with_archived: Annotated[bool, typer.Option("--all", help="Those set aside, too.")] = False,
) -> None:
    """Show the conversations, the one with the newest turn first."""
    from app.store.overview import summaries

    with reading() as connection:
        found = summaries(connection, most=most, with_archived=with_archived)
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
    from handlers.asked import OPERATOR
    from handlers.comments import steering

    told = steering(OPERATOR, text)
    with _directing(thread) as (connection, [turn, *_]):
        messages.steer(connection, turn, author=OPERATOR, text=told, key=_key(turn), now=time.time())
    typer.echo(f"Turn {turn} reads it before its next step.")


@threads.command()
def stop(thread: ThreadArgument) -> None:
    """End what is at work or waits, its work shown in the conversation; nothing starts there by itself."""
    from app.stopping import stop as stop_turn
    from app.store.threads import hold
    from handlers.asked import OPERATOR

    with _waking() as wake, _directing(thread) as (connection, turns):
        for turn in turns:
            key = _key(turn)
            queue = stop_turn(connection, turn, author=OPERATOR, key=key, now=time.time())
            if queue is not None:
                wake(connection, queue, thread, key)
        hold(connection, thread, by=OPERATOR)
    for turn in turns:
        typer.echo(f"Turn {turn} ends within seconds, if the server is running.")


@threads.command()
def pause(thread: ThreadArgument) -> None:
    """Set the turn at work aside after its present step; it holds nothing meanwhile."""
    _ask(thread, "pause")


@threads.command()
def resume(thread: ThreadArgument) -> None:
    """Let a paused turn go on, and things start by themselves again; takes back `stop` and `archive`."""
    _ask(thread, "resume")


@threads.command()
def retry(thread: ThreadArgument) -> None:
    """Go on from where the last turn failed or was stopped, in the name of whoever asked for it."""
    _ask(thread, "retry")


@threads.command()
def fork(
    thread: ThreadArgument,
    turn: TurnArgument = "",
    words: Annotated[str, typer.Argument(help="What to do this time; needs TURN.")] = "",
) -> None:
    """Make a second attempt from the end of a turn, on a branch of its own."""
    _ask(thread, f"fork {turn} {words}")


@threads.command()
def undo(thread: ThreadArgument, turn: TurnArgument = "") -> None:
    """Take back what a turn has pushed, by one new commit on its branch."""
    _ask(thread, f"undo {turn}")


@threads.command()
def archive(thread: ThreadArgument) -> None:
    """Set a conversation aside: `list` leaves it out, and nothing starts there by itself."""
    from app.store import threads as store

    with _writing() as connection:
        is_there = store.archive(connection, thread, now=time.time())
    if not is_there:
        raise complain(f"There is no thread {thread}; `darner threads list` shows those there are.", status=1)
    typer.echo(
        f"Set aside. `darner threads list --all` shows it, `darner threads resume {thread}` takes it back."
    )


def _ask(thread: str, command: str) -> None:
    """Leave the command to the server, which answers in the conversation as it does to a comment."""
    from app.queues import Queue
    from app.store import inbox
    from app.store.turns import of_thread
    from handlers.effects import EffectAdapter, StartTurn
    from handlers.events import OperatorAsked
    from handlers.grammar import Request, parse_command

    text = " ".join(command.split())
    if isinstance(parse_command(text), Request):
        raise complain(
            "That is no turn's id: it has twelve digits, as `darner threads show` tells.", status=2
        )
    with reading() as reader:
        rows = of_thread(reader, thread)
    if not rows:
        raise complain(f"There is no thread {thread}; `darner threads list` shows those there are.", status=1)
    start = EffectAdapter.validate_json(rows[-1].start) if rows[-1].start != "{}" else None
    if not isinstance(start, StartTurn):
        message = f"{thread} is a local conversation; `darner exec --resume {thread}` goes on with it."
        raise complain(message, status=1)
    key = _key(thread)
    asked = OperatorAsked(key=key, text=text, start=start)
    with _waking() as wake, _writing() as connection:
        inbox.put_event(connection, thread, asked, origin=None, now=time.time())
        wake(connection, Queue.EVENTS, thread, key)
    where = f"{start.repository}#{start.number}"
    typer.echo(f"Asked. The answer stands in {where} within seconds, if the server is running.")


@contextmanager
def _waking() -> "Iterator[Callable[[Connection, Queue, str, str], None]]":
    """What makes sure that the server drives a thread. Opened before a transaction: it looks by itself."""
    from app.engine import waking_from_outside

    with reading() as reader:
        url = reader.engine.url
    with waking_from_outside(url.render_as_string(hide_password=False)) as wake:
        yield wake


@contextmanager
def _writing() -> Iterator["Connection"]:
    """A transaction on the server's database."""
    from app.store.database import engine_for

    with reading() as reader:
        url = reader.engine.url
    engine = engine_for(url.render_as_string(hide_password=False))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _directing(thread: str) -> Iterator[tuple["Connection", list[str]]]:
    """A transaction, and the thread's turns that have not ended: the oldest, which is at work, first."""
    from app.store.turns import TurnOver, hold_open, of_thread

    with _writing() as connection:
        unended = []
        for row in of_thread(connection, thread):
            with suppress(TurnOver):
                hold_open(connection, row.id)
                unended.append(row.id)
        if not unended:
            raise complain(f"Nothing is at work in {thread}; `darner threads list` shows what is.", status=1)
        yield connection, unended


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
