"""`darner demo`: a forge, the server and a model on this machine, and the main job played once, visibly."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from app.cli.complaint import complain
from app.settings import Settings, SettingsRefused, load_settings

if TYPE_CHECKING:
    from app.cli.transcript import Transcript
    from demo.forge import Forge
    from demo.forge.person import Person, Pull

REPOSITORY: Final = "maya/purl"
PATIENCE_SECONDS: Final = 900.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that plays, with its addresses."""

    forge: "Forge"
    maya: "Person"
    settings: Settings


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End when the pull request is open and tested.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="A real model; needs OPENAI_API_KEY.")
    ] = None,
    port: Annotated[int, typer.Option(help="The forge's port; 0 takes a free one.")] = 0,
) -> None:
    """Play the main job on this machine: someone mentions the bot on an issue, and a pull request comes back.

    Exits with 0 only if the pull request is open and its branch's tests pass.
    """
    try:
        real = load_settings(model=model) if model else None
    except SettingsRefused as error:
        raise complain(str(error)) from None
    if real is not None and real.openai_api_key is None:
        raise complain("--model needs OPENAI_API_KEY (and OPENAI_BASE_URL for a server of your own).")
    with tempfile.TemporaryDirectory(prefix="darner-demo-") as home:
        try:
            passed = asyncio.run(_play(Path(home), real, port=port, once=once))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise typer.Exit(130) from None
    raise typer.Exit(0 if passed else 1)


async def _play(home: Path, real: Settings | None, *, port: int, once: bool) -> bool:
    from app.cli.transcript import Transcript

    console = Console(highlight=False, soft_wrap=True)
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("the demo runs in a task")
    _on_interrupt(task.cancel)
    transcript = Transcript(console)
    with console.status("Starting a forge, a model and the server …") as status:
        async with _stage(home, real, transcript, port=port) as stage:
            _introduce(console, stage, is_scripted=real is None)
            passed = await _main_job(console, status, stage)
            status.stop()
            if not once:
                ended = asyncio.Event()
                _on_interrupt(ended.set)
                console.print(f"  what was decided   {_why(stage)}")
                console.print(f"\nIt all stays up: {_suggestion(is_scripted=real is None)}. Ctrl-C ends it.")
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


def _why(stage: Stage) -> str:
    """The line that asks what became of the mention, to be pasted into another terminal."""
    from demo.forge.state import Delivery

    mention = next(stage.forge.state.where(Delivery, event="issue_comment"))
    return f"DARNER_HOME={stage.settings.home} {sys.argv[0]} why {mention.guid}"


def _suggestion(*, is_scripted: bool) -> str:
    if not is_scripted:
        return "open the page and talk to the bot"
    return (
        "open the page and write, as maya, for example [bold]@darner help[/],\n"
        "[bold]@darner what does this project do?[/] or, on the pull request, [bold]@darner add a test[/]"
    )


@asynccontextmanager
async def _stage(
    home: Path, real: Settings | None, transcript: "Transcript", *, port: int
) -> AsyncIterator[Stage]:
    """Forge, model and server, wired to one another by settings only."""
    import secrets

    from app.log import configure_logging
    from demo import forge, story
    from demo.forge.person import signed_in

    secret = secrets.token_hex(16)
    # A name beside the demo's display: problems only.
    configure_logging(secrets=lambda: (secret,), level=40)
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(forge.serve(home / "forge", port=port))
        local.create_repository(REPOSITORY, directory=story.REPOSITORY)
        spoken = await stack.enter_async_context(_model(real))
        settings = Settings(
            home=home / "darner",
            github_url=local.url,
            github_app_id=local.seeded.app.id,
            github_app_key=local.seeded.app.private_key,
            webhook_secret=secret,
            **spoken,
        )
        server_url = await stack.enter_async_context(_server(settings, transcript))
        local.set_webhook(f"{server_url}/webhook", secret=secret)
        maya = await stack.enter_async_context(
            signed_in("maya", api_url=local.api_url, token=local.tokens["maya"])
        )
        yield Stage(local, maya, settings)


@asynccontextmanager
async def _model(real: Settings | None) -> AsyncIterator[dict[str, Any]]:
    """The settings that lead to the model: the real one's, or those of a scripted one, served meanwhile."""
    if real is not None:
        yield real.model_dump(include={"model", "model_wire", "openai_base_url", "openai_api_key"})
        return
    from demo import model

    async with model.serve(model.create_app()) as url:
        yield {
            "model": model.BY_CONTENT,
            "openai_base_url": f"{url}/v1",
            "openai_api_key": "the scripted model takes any key",
        }


@asynccontextmanager
async def _server(settings: Settings, transcript: "Transcript") -> AsyncIterator[str]:
    """`darner serve` in this process, with its turns shown."""
    from app.wiring import build
    from demo.serving import serve
    from harness.items import Item, Life, ModelCall

    shown = ""

    def watch(turn: str, life: Life, item: Item) -> None:
        nonlocal shown
        if turn != shown:
            transcript.heading(f"turn {turn}")
            shown = turn
        transcript.item(life, item)
        if isinstance(item, ModelCall):
            transcript.catch_up()

    async with serve(build(settings, watcher=watch), lifespan="on") as url:
        yield url


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


async def _main_job(console: Console, status: Status, stage: Stage) -> bool:
    """The issue, the mention, the wait, the proof."""
    from demo import story

    forge, maya, begun = stage.forge, stage.maya, time.monotonic()
    issue = await maya.opens_issue(REPOSITORY, story.ISSUE_TITLE, story.ISSUE_BODY)
    issue_url = f"{forge.url}/{REPOSITORY}/issues/{issue}"
    console.print(f"[cyan]maya[/] opened an issue: {story.ISSUE_TITLE}  {issue_url}")
    await maya.says(REPOSITORY, issue, story.MENTION)
    console.print(f"[cyan]maya[/] wrote: [bold]{story.MENTION}[/]\n")
    status.update("The bot is at work …")
    pull = await _pull_request(maya, issue)
    if pull is None:
        console.print(f"[red]No pull request came.[/] The conversation says why: {issue_url}")
        return False
    seconds = time.monotonic() - begun
    pull_url = f"{forge.url}/{REPOSITORY}/pull/{pull.number}"
    opened = f"opened a draft pull request after {seconds:.1f} s"
    console.print(f"\n[cyan]{escape(pull.author)}[/] {opened}: {escape(pull.title)}  {pull_url}")
    status.update("Running the tests of its branch …")
    passed, summary = await _tests_of(stage, pull.head_sha)
    colour = "green" if passed else "red"
    console.print(f"Its branch's tests, run once more from a fresh checkout: [{colour}]{summary}[/]")
    console.print(f"\n  the conversation   {issue_url}\n  the change         {pull_url}/files")
    console.print(f"  the forge          {forge.url}  (act as maya or cole; oskar may not ask)")
    return passed


async def _pull_request(maya: "Person", issue: int) -> "Pull | None":
    """The bot's pull request, once its last word is on the issue."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        pulls = await maya.pulls(REPOSITORY)
        # The mention, the progress comment, the final comment.
        if len(await maya.reads(REPOSITORY, issue)) >= 3:
            return pulls[-1] if pulls else None
        await asyncio.sleep(POLL_SECONDS)
    return None


async def _tests_of(stage: Stage, sha: str) -> tuple[bool, str]:
    """Fetch the branch as anybody would, and run its tests confined."""
    from app.turn_parts import driver_of
    from demo import story
    from sandbox.base import Command, Policy, SandboxMode
    from sandbox.checkout import check_out
    from sandbox.git import Remote
    from sandbox.git.mirror import Mirror

    home = stage.settings.home.parent / "proof"
    mirror = Mirror(home / "mirror.git")
    remote = Remote(f"{stage.forge.url}/{REPOSITORY}.git", "x-access-token", stage.forge.tokens["maya"])
    driver = driver_of(stage.settings)
    await mirror.ensure(remote)
    await mirror.fetch(remote, sha)
    checkout = await check_out(mirror, sha, home / "checkout", owner_uid=driver.owner_uid)
    try:
        async with driver.open(checkout.workspace, Policy(SandboxMode.WORKSPACE_WRITE)) as box:
            process = await box.start(Command(story.CHECK))
            ended = await process.wait(120)
            lines = process.take_output().decode("utf-8", "replace").strip().splitlines()
    finally:
        await checkout.remove()
        await mirror.close()
    passed = ended is not None and ended.exit_status == 0
    ran = next((line for line in lines if line.startswith("Ran ")), "")
    return passed, f"{lines[-1] if lines else 'no output'} ({ran})"
