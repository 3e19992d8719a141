"""`darner sandbox`: one command, confined exactly as in a turn. Adds nothing to what the command prints."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.complaint import complain
from app.cli.options import DriverName, Repo
from sandbox.base import EndReason, SandboxMode

if TYPE_CHECKING:
    from app.settings import Settings
    from sandbox.base import Ended, Policy, Process

USAGE: Final = 2
NOT_STARTED: Final = 125
INTERRUPTED: Final = 128 + signal.SIGINT
READER_GONE: Final = 128 + signal.SIGPIPE
POLL_SECONDS: Final = 0.004
"""How long the first output after a silence may lie: what piles up beyond the limit loses its middle,
and a pipe carries gigabytes a second."""
REASONS: Final = {
    EndReason.WALL_TIME: ("ran too long", "wall_seconds"),
    EndReason.OUTPUT: ("printed far too much", "output_bytes"),
    EndReason.DISK: ("wrote too much to the disk", "disk_bytes"),
    EndReason.MEMORY: ("used too much memory", "memory_bytes"),
}
"""Why a command was ended: in words, and the field of its limits."""


def sandbox(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="The program and its arguments.")
    ],
    *,
    driver: Annotated[
        DriverName | None, typer.Option("--driver", help="How to confine (DARNER_SANDBOX).")
    ] = None,
    mode: Annotated[
        SandboxMode | None, typer.Option("--mode", help="What it may write (default: the most allowed).")
    ] = None,
    allow_domain: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-domain",
            metavar="NAME",
            help="Reach this host and no other, of those that DARNER_ALLOWED_HOSTS allows; may be repeated.",
        ),
    ] = None,
    repo: Repo = Path(),
) -> None:
    """Run one command confined as in a turn, on a copy of a directory; what it changed is put back into it.

    Its output and its exit status pass through. 124: the time limit; 137: killed, or another limit; 125: the
    sandbox could not start; 127: there is no such program. Write `--` before a command that has options.
    """
    from app.cli.local_settings import settings_beside
    from app.settings import SettingsRefused

    try:
        settings = settings_beside(repo, **({"sandbox": driver.value} if driver else {}))
    except SettingsRefused as error:
        raise complain(str(error)) from None
    policy = _policy(settings, repo=repo, mode=mode, hosts=allow_domain)
    raise typer.Exit(_run(settings, tuple(command), repo=repo, policy=policy))


def _policy(
    settings: "Settings", *, repo: Path, mode: SandboxMode | None, hosts: Sequence[str] | None
) -> "Policy":
    from app.local_policy import NOT_BY_OPTION, NOT_CONFINED, WishRefused, local_policy
    from handlers.config import ConfigRefused
    from handlers.wishes import Wishes
    from sandbox.egress.rules import HostRefused, parse_host

    if mode is SandboxMode.FULL_ACCESS and SandboxMode(settings.sandbox_mode) is not mode:
        raise complain(NOT_BY_OPTION, status=USAGE)
    try:
        allowed = tuple(str(parse_host(host)) for host in hosts) if hosts else None
    except HostRefused as error:
        raise complain(str(error), status=USAGE) from None
    try:
        policy = local_policy(repo, settings, Wishes(mode=mode, allowed_hosts=allowed)).policy
    except (ConfigRefused, WishRefused) as error:
        raise complain(str(error), status=NOT_STARTED) from None
    if policy.mode is SandboxMode.FULL_ACCESS:
        typer.echo(f"darner: {NOT_CONFINED}", err=True)
    return policy


def _run(settings: "Settings", argv: tuple[str, ...], *, repo: Path, policy: "Policy") -> int:
    from app.local_sandbox import DirectoryRefused
    from sandbox.base import SandboxError

    try:
        return asyncio.run(_interruptible(settings, argv, repo=repo, policy=policy))
    except asyncio.CancelledError:
        return INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer must not fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except (SandboxError, DirectoryRefused, OSError) as error:
        raise complain(str(error), status=NOT_STARTED) from None


async def _interruptible(settings: "Settings", argv: tuple[str, ...], *, repo: Path, policy: "Policy") -> int:
    task = asyncio.ensure_future(_confined(settings, argv, repo=repo, policy=policy))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def _confined(settings: "Settings", argv: tuple[str, ...], *, repo: Path, policy: "Policy") -> int:
    from app.local_sandbox import local_sandbox
    from app.turn_parts import driver_of
    from sandbox.base import Command

    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with local_sandbox(repo, policy, driver=driver_of(settings), home=settings.home) as (local, opened):
        process = await opened.start(Command(argv))
        ended = await _passed_through(process)
        for notice in process.take_notices():
            typer.echo(f"darner: {notice}", err=True)
        for change in await local.finish():
            if change.problem is not None:
                typer.echo(f"darner: {change.path} was not put into {repo}: {change.problem}", err=True)
    if ended.reason in REASONS:
        typer.echo(f"darner: {_why(ended.reason, policy)}", err=True)
    return ended.exit_status


def _why(reason: EndReason, policy: "Policy") -> str:
    from handlers.written import NAMES, shown

    words, field = REASONS[reason]
    limit = f"{NAMES[field]} is {shown(field, getattr(policy.limits, field))}"
    return f"the command was ended: it {words} ({limit}; `darner policy --explain` tells who set it)."


async def _passed_through(process: "Process") -> "Ended":
    """Each piece is written before the next is read: a slow reader holds the command up, as without us."""
    pause = POLL_SECONDS
    while True:
        ended = await process.wait(pause)
        output = process.take_output()
        sys.stdout.buffer.write(output)
        sys.stdout.buffer.flush()
        if ended is not None:
            return ended
        pause = 0 if output else POLL_SECONDS
