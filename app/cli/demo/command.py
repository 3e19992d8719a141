"""`darner demo`: a forge, the server and a model on this machine, and one of their jobs played, visibly."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, assert_never

import typer
from rich.console import Console
from rich.status import Status

from app.cli.complaint import complain
from app.cli.demo import ci, mention, review
from app.cli.demo.stage import Scenery, Stage, set_up
from app.settings import Settings, SettingsRefused, load_settings


class Job(StrEnum):
    """What can be played."""

    MENTION = "mention"
    REVIEW = "review"
    CI = "ci"


@dataclass(frozen=True, slots=True)
class Play:
    """One of the jobs."""

    scenery: Callable[[], Scenery]
    play: Callable[[Console, Status, Stage], Awaitable[bool]]
    """Play it; whether what should come of it did."""
    invitation: Callable[[], str]
    webhook: tuple[str, str]
    """Event and action of what the bot hears first of it."""


def demo(
    job: Annotated[Job, typer.Argument(help="What to play.")] = Job.MENTION,
    once: Annotated[bool, typer.Option("--once", help="End when it has been played.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="A real model; needs OPENAI_API_KEY.")
    ] = None,
    port: Annotated[int, typer.Option(help="The forge's port; 0 takes a free one.")] = 0,
) -> None:
    """Play a job on this machine, with a local GitHub.

    mention: someone mentions the bot on an issue, and a tested pull request comes back.

    review: a pull request is reviewed unasked; a push and an answer follow.

    ci: a pull request's test fails; the bot repairs it, and CI passes.

    Exits with 0 only if all came as it should.
    """
    try:
        real = load_settings(model=model) if model else None
    except SettingsRefused as error:
        raise complain(str(error)) from None
    if real is not None and real.openai_api_key is None:
        raise complain("--model needs OPENAI_API_KEY (and OPENAI_BASE_URL for a server of your own).")
    with tempfile.TemporaryDirectory(prefix="darner-demo-") as home:
        try:
            passed = asyncio.run(_play(Path(home), real, _play_of(job), port=port, once=once))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise typer.Exit(130) from None
    raise typer.Exit(0 if passed else 1)


def _play_of(job: Job) -> Play:
    match job:
        case Job.MENTION:
            return Play(mention.scenery, mention.play, mention.invitation, ("issue_comment", "created"))
        case Job.REVIEW:
            return Play(review.scenery, review.play, review.invitation, ("pull_request", "opened"))
        case Job.CI:
            return Play(ci.scenery, ci.play, ci.invitation, ("check_run", "completed"))
        case _:
            assert_never(job)


async def _play(home: Path, real: Settings | None, play: Play, *, port: int, once: bool) -> bool:
    from app.cli.transcript import Transcript

    console = Console(highlight=False, soft_wrap=True)
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("the demo runs in a task")
    _on_interrupt(task.cancel)
    transcript = Transcript(console)
    with console.status("Starting a forge, a model and the server …") as status:
        async with set_up(home, real, transcript, play.scenery(), port=port) as stage:
            _introduce(console, stage, is_scripted=real is None)
            passed = await play.play(console, status, stage)
            status.stop()
            if not once:
                ended = asyncio.Event()
                _on_interrupt(ended.set)
                console.print(f"  what was decided   {_why(stage, *play.webhook)}")
                invitation = play.invitation() if real is None else "open the page and talk to the bot"
                console.print(f"\nIt all stays up: {invitation}. Ctrl-C ends it.")
                await ended.wait()
                _on_interrupt(task.cancel)
                console.print("\nEnding …")
            elif passed:
                console.print("\nWith --once all of it ends here, pages included; without, it stays up.")
            return passed


def _on_interrupt(act: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act)


def _why(stage: Stage, event: str, action: str) -> str:
    """The line that asks what became of the first such webhook, to be pasted into another terminal."""
    from demo.forge.state import Delivery

    delivery = next(stage.forge.state.where(Delivery, event=event, action=action))
    return f"DARNER_HOME={stage.settings.home} {sys.argv[0]} why {delivery.guid}"


def _introduce(console: Console, stage: Stage, *, is_scripted: bool) -> None:
    console.print(f"[bold]Darner demo[/]: all of it runs on this machine. Forge: {stage.forge.url}")
    if is_scripted:
        console.print(
            "The model is [bold]scripted[/]: it plays a recorded session through the real protocol and "
            "thinks nothing.\nWith OPENAI_API_KEY set, [bold]--model NAME[/] lets a real one do the work.",
        )
    else:
        console.print(f"The model is {stage.settings.model} at {stage.settings.openai_base_url}.")
    console.print()
