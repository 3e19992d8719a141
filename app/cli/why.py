"""`darner why GUID`: what became of one delivery, from the ledger."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.complaint import complain
from app.cli.options import AsJson
from app.cli.reading import cost_line, reading

if TYPE_CHECKING:
    from app.explain import Explanation


def why(
    guid: Annotated[str, typer.Argument(help="The delivery's GUID (X-GitHub-Delivery).")],
    as_json: AsJson = False,
) -> None:
    """Tell what came of a delivery: who, what, the decision and its reason, the effects and the turn."""
    from app.explain import explain
    from app.settings import load_settings

    with reading() as connection:
        found = explain(connection, guid)
    if found is None:
        message = f"No delivery {guid} came in. Compare with the webhook's list of recent deliveries."
        raise complain(message, status=1)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
        return
    show(found, currency=load_settings().currency)


def show(found: "Explanation", *, currency: str = "") -> None:
    """Print it for a person; `currency` is of the price table."""
    from harness.output import readable

    facts = Table.grid(padding=(0, 2))
    event = found.event + (f".{found.action}" if found.action else "")
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.received_at))
    for name, value in (
        ("delivery", found.guid),
        ("received", at),
        ("event", event),
        ("where", f"{found.repository}#{found.number}" if found.number else (found.repository or "-")),
        ("actor", found.actor or "-"),
        ("text", found.text or "-"),
        ("command", found.command.lower() or "-"),
        ("decision", found.decision),
        ("reason", found.reason or "-"),
        ("turn", _turn(found, currency)),
    ):
        # Strangers wrote some of it: no control sequence of theirs reaches the operator's terminal.
        facts.add_row(f"[bold]{name}[/]", escape(readable(value)))
    console = Console(highlight=False, soft_wrap=True)
    console.print(facts)
    if not found.effects:
        return
    # No table: a table would cut the links.
    console.print(f"\n[bold]{'effect':<17}{'state':<10}{'tries':<7}result[/]")
    for effect in found.effects:
        result = escape(readable(effect.error or _result(effect.result)))
        console.print(f"{effect.type:<17}{effect.state:<10}{effect.attempts:<7}{result}")


def _result(result: Mapping[str, object]) -> str:
    """Where to look, if there is such a place; else what the forge gave it as a name."""
    if url := result.get("url"):
        return str(url)
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.items())


def _turn(found: "Explanation", currency: str) -> str:
    if found.turn is None:
        return "-"
    turn = found.turn
    seconds = f" in {turn.seconds:.1f} s" if turn.seconds is not None else ""
    cost = f", {cost_line(turn.tokens, turn.micros, turn.unpriced_tokens, currency)}" if turn.tokens else ""
    return f"{turn.id}: {turn.outcome or turn.status}{seconds}{cost}"
