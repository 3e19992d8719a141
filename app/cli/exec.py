"""`darner exec`: one turn on a local directory, told by its exit status. The turn is in `local_turn`."""

import asyncio
import signal
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.complaint import complain
from app.cli.options import AsJson, Repo
from sandbox.base import SandboxMode

if TYPE_CHECKING:
    from app.local_turn import Ended, LocalTurn
    from app.settings import Settings
    from handlers.policy import Resolved
    from harness.items import Outcome


class Exit(IntEnum):
    """The contract of names."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    LIMIT = 4
    INTERRUPTED = 130


def exec_(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to do.")],
    *,
    repo: Repo = Path(),
    sandbox: Annotated[
        SandboxMode | None,
        typer.Option("--sandbox", help="What the turn may write (default: the most allowed)."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="Model (DARNER_MODEL).")] = None,
    as_json: AsJson = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="THREAD", help="Go on with a thread of an earlier run.")
    ] = None,
) -> None:
    """Run one turn on a local directory. Its changes are put into the directory's files, never into its .git.

    The final message goes to standard output and progress to standard error, or with --json one event a line
    to standard output. Where standard input and error are a terminal, whoever sits there is asked before a
    command for which a rule wants leave; else it does not run. Exits with 0 completed, 1 failed, 2 usage,
    3 refused by policy, 4 limit reached, 130 interrupted.
    """
    from app.cli.local_settings import settings_beside
    from app.settings import SettingsRefused

    if not prompt.strip():
        raise _complain("The prompt is empty: say what to do.", Exit.USAGE, as_json=as_json)
    try:
        settings = settings_beside(repo, **({"model": model} if model else {}))
    except SettingsRefused as error:
        raise _complain(str(error), Exit.USAGE, as_json=as_json) from None
    if not settings.model:
        message = "No model is set. Give --model, or set DARNER_MODEL (and OPENAI_BASE_URL, OPENAI_API_KEY)."
        raise _complain(message, Exit.USAGE, as_json=as_json)
    allowed = _allowed(settings, repo=repo, mode=sandbox, as_json=as_json)
    status = _run(settings, repo=repo, prompt=prompt, allowed=allowed, as_json=as_json, resume=resume)
    raise typer.Exit(status)


def _allowed(settings: "Settings", *, repo: Path, mode: SandboxMode | None, as_json: bool) -> "Resolved":
    from app.local_policy import NOT_BY_OPTION, NOT_CONFINED, WishRefused, local_policy
    from handlers.config import ConfigRefused
    from handlers.wishes import Wishes

    if mode is SandboxMode.FULL_ACCESS and SandboxMode(settings.sandbox_mode) is not mode:
        raise _complain(NOT_BY_OPTION, Exit.USAGE, as_json=as_json)
    try:
        allowed = local_policy(repo, settings, Wishes(mode=mode))
    except (ConfigRefused, WishRefused) as error:
        raise _complain(f"The turn was refused. {error}", Exit.REFUSED, as_json=as_json) from None
    if allowed.policy.mode is SandboxMode.FULL_ACCESS:
        typer.echo(f"darner: {NOT_CONFINED}", err=True)
    return allowed


def _run(
    settings: "Settings", *, repo: Path, prompt: str, allowed: "Resolved", as_json: bool, resume: str | None
) -> Exit:
    import logging

    from rich.console import Console

    from app.cli.asking import ask, somebody_is_there
    from app.cli.transcript import JsonLines, Transcript
    from app.local_sandbox import DirectoryRefused
    from app.local_turn import Asked, LocalTurn, ThreadUnknown
    from app.log import configure_logging
    from app.settings import SettingsRefused
    from harness.items import ThreadId
    from harness.protocols import OwnershipLost
    from sandbox.base import SandboxError, SandboxUnavailable

    configure_logging(secrets=lambda: settings.secrets, level=logging.ERROR)
    text = prompt.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    asked = Asked(repo, text, allowed.policy, allowed.askable, ThreadId(resume) if resume else None)
    watcher = (
        JsonLines(on_closed=lambda: turn.stop("the reader of its output"))
        if as_json
        else Transcript(Console(stderr=True))
    )
    try:
        turn = LocalTurn(asked, settings, watcher, person=ask if somebody_is_there() else None)
        ended = asyncio.run(_interruptible(turn))
    except asyncio.CancelledError:
        raise _complain(f"Interrupted; {repo} is as it was.", Exit.INTERRUPTED, as_json=as_json) from None
    except (SettingsRefused, ThreadUnknown, DirectoryRefused) as error:
        raise _complain(str(error), Exit.USAGE, as_json=as_json) from None
    except SandboxUnavailable as error:
        raise _complain(f"The turn was refused. {error}", Exit.REFUSED, as_json=as_json) from None
    except (SandboxError, OSError) as error:
        raise _complain(f"The turn failed. {error}", Exit.FAILED, as_json=as_json) from None
    except OwnershipLost:
        message = f"Another process goes on with thread {resume}; this one has stopped."
        raise _complain(message, Exit.FAILED, as_json=as_json) from None
    return _told(ended, repo, as_json=as_json)


async def _interruptible(turn: "LocalTurn") -> "Ended":
    """The first signal ends the turn in order; one at another time, or a second one, at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(turn.run())

    def interrupt() -> None:
        if not turn.stop("Ctrl-C"):
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    return await task


def _told(ended: "Ended", repo: Path, *, as_json: bool) -> Exit:
    from harness.items import Completed, Stopped
    from harness.output import readable

    outcome = ended.result.outcome
    if isinstance(outcome, Completed) and not as_json:
        typer.echo(readable(outcome.message))
    if isinstance(outcome, Stopped):
        typer.echo(f"darner: {repo} is as it was.", err=True)
    status = exit_status(outcome)
    if status is Exit.COMPLETED and any(change.problem for change in ended.changes):
        return Exit.FAILED
    return status


def exit_status(outcome: "Outcome") -> Exit:
    """The exit status that tells how a turn ended."""
    match outcome.status:
        case "completed":
            return Exit.COMPLETED
        case "declined" | "failed":
            return Exit.FAILED
        case "exhausted" | "waiting":
            return Exit.LIMIT
        case "stopped":
            return Exit.INTERRUPTED


def _complain(message: str, status: Exit, *, as_json: bool) -> typer.Exit:
    if as_json:
        from app.cli.transcript import print_error_event

        print_error_event(message)
        sys.stdout.flush()
    return complain(message, status=status)
