"""`darner doctor`: what is set, and what holds on this machine, before a turn finds out. Changes nothing."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.complaint import REFUSED, complain
from app.cli.options import AsJson, DriverName

if TYPE_CHECKING:
    from app.settings import Settings
    from sandbox.base import Check

MASK: Final = "********"
STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    *,
    driver: Annotated[
        DriverName | None, typer.Option("--driver", help="Look at this one (DARNER_SANDBOX).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the effective settings (secrets masked) and check that a turn can run here.

    Exits with 3 when a turn would be refused.
    """
    from app.settings import SettingsRefused, load_settings

    try:
        settings = load_settings(sandbox=driver.value) if driver else load_settings()
    except SettingsRefused as error:
        raise complain(str(error)) from None
    checks = asyncio.run(_checks(settings))
    is_ready = all(check.result != "failed" for check in checks)
    if as_json:
        report = {
            "ready": is_ready,
            "settings": effective(settings),
            "checks": [asdict(check) for check in checks],
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        _print_tables(effective(settings), checks, is_ready=is_ready)
    raise typer.Exit(0 if is_ready else REFUSED)


def effective(settings: "Settings") -> dict[str, str]:
    """Every setting by the name people write, with its value for showing: never a secret."""
    from pydantic import BaseModel, SecretStr

    shown = {}
    for field in type(settings).model_fields:
        name = field.upper() if field.startswith("openai_") else f"DARNER_{field.upper()}"
        value = getattr(settings, field)
        if isinstance(value, dict | BaseModel):
            value = _as_json(settings, field)
        shown[name] = MASK if isinstance(value, SecretStr) else _shown(value)
    shown["DARNER_DATABASE_URL"] = _without_password(settings.sql_url)
    shown["OPENAI_BASE_URL"] = _without_password(settings.openai_base_url)
    shown["DARNER_GITHUB_URL"] = _without_password(settings.github_url)
    return shown


def _as_json(settings: "Settings", field: str) -> str:
    """A table of the operator's file, without what it leaves open."""
    written = settings.model_dump(mode="json", include={field}, exclude_defaults=True).get(field)
    return json.dumps(written) if written else ""


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, frozenset)):
        return ", ".join(sorted(map(str, value)))
    return str(value)


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    account, at, place = rest.rpartition("@")
    if not at:
        return url
    return f"{scheme}{separator}{account.partition(':')[0]}:{MASK}@{place}"


async def _checks(settings: "Settings") -> Sequence["Check"]:
    from app.confinement import confinement_checks
    from sandbox.git import check_git

    checks = [
        _home_check(settings.home),
        await asyncio.to_thread(_database_check, settings),
        _model_check(settings),
        _rules_check(settings),
        _budget_check(settings),
        await check_git(),
    ]
    return [*checks, *await confinement_checks(settings)]


def _home_check(home: Path) -> "Check":
    import os

    from sandbox.base import Check

    existing = home
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        if os.statvfs(existing).f_flag & os.ST_NOEXEC:
            why = f"{home} lies where no program can be executed, as git's are to push"
            return Check("home", "warning", why, "Set DARNER_HOME to a directory on another file system.")
        return Check("home", "ok", f"{home} can be written")
    return Check("home", "failed", f"{home} cannot be written", "Set DARNER_HOME to a directory of yours.")


def _database_check(settings: "Settings") -> "Check":
    from app.store.reachable import DatabaseAway, reach
    from sandbox.base import Check

    try:
        return Check("database", "ok", reach(settings.sql_url))
    except DatabaseAway as error:
        why, _, remedy = str(error).rpartition(". ")
        return Check("database", "failed", why, remedy)


def _model_check(settings: "Settings") -> "Check":
    from app.turn_parts import room_of
    from sandbox.base import Check

    if not settings.model:
        return Check("model", "warning", "no model is set", "Set DARNER_MODEL, or give `exec` --model.")
    if settings.openai_api_key is None and settings.openai_base_url == "https://api.openai.com/v1":
        return Check(
            "model", "warning", "api.openai.com wants a key", "Set OPENAI_API_KEY, or OPENAI_BASE_URL."
        )
    window = room_of(settings).window
    holds = f"requests of up to {window:,} tokens" if window else "how much a request may hold is not known"
    place = _without_password(settings.openai_base_url)
    return Check("model", "ok", f"{settings.model} at {place}; {holds}")


def _rules_check(settings: "Settings") -> "Check":
    from app.settings import SettingsRefused
    from app.turn_parts import rules_of
    from sandbox.base import Check

    try:
        rules = rules_of(settings).rules
    except SettingsRefused as error:
        return Check("rules", "failed", str(error), "`darner rules check` tries a file of rules out.")
    return Check("rules", "ok", f"{len(rules)} on commands, all examples as they say")


def _budget_check(settings: "Settings") -> "Check":
    """The limits that are in force, in one line."""
    import time

    from app.spending import Spending
    from app.turn_parts import limits_of
    from handlers.budgets import Budgets
    from harness.budget import amount
    from sandbox.base import Check

    ceiling = settings.ceiling
    limits = Spending(lambda: ceiling, limits_of(settings), time.time).turn_limits(None)
    budgets = ceiling.budgets
    narrowed = replace(budgets.turn, tokens=limits.tokens, seconds=limits.wall_seconds)
    scopes = {
        "a turn": narrowed,
        "a conversation": budgets.thread,
        "a repository a day": budgets.repository,
        "a person a day": budgets.actor,
        "this server a day": budgets.day,
    }
    said = []
    for name, amounts in scopes.items():
        parts = [amount("steps", limits.steps)] if amounts is narrowed else []
        if amounts.tokens is not None:
            parts.append(amount("tokens", amounts.tokens))
        if amounts.micros is not None:
            parts.append(amount("money", amounts.micros, settings.currency))
        if amounts.seconds is not None:
            parts.append(amount("wall_time", amounts.seconds))
        if parts:
            said.append(f"{name}: {', '.join(parts)}")
    if settings.model and not ceiling.currency:
        said.append(f"no price of {settings.model}, so money is not counted")
    narrower = sum(wishes.budgets != Budgets() for wishes in ceiling.scopes.values())
    if narrower:
        said.append(f"less in {narrower} of the operator's tables")
    return Check("budgets", "ok", "; ".join(said))


def _print_tables(settings: dict[str, str], checks: Sequence["Check"], *, is_ready: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("Setting", "Value", title="Settings", title_justify="left")
    for name, value in settings.items():
        table.add_row(Text(name), Text(value or "(not set)", style="" if value else "dim"))
    console.print(table)
    table = Table("What", "Result", "Remedy", title="Checks", title_justify="left")
    for check in checks:
        result = Text(f"{check.result}: {check.detail}", style=STYLES[check.result])
        table.add_row(Text(check.name), result, Text(check.remedy))
    console.print(table)
    console.print(
        "A turn can run here." if is_ready else "A turn would be refused here: see the remedies above."
    )
