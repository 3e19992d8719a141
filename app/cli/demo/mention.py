"""The main job, played: an issue, a mention, a draft pull request, and the proof that its tests pass."""

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from app.cli.demo.stage import REPOSITORY, Scenery, Stage
from app.cli.demo.watching import until

if TYPE_CHECKING:
    from demo.forge.person import Person, Pull


def scenery() -> Scenery:
    return Scenery()


async def play(console: Console, status: Status, stage: Stage) -> bool:
    """The issue, the mention, the wait, the proof."""
    from demo import story

    maya, begun = stage.maya, time.monotonic()
    issue = await maya.opens_issue(REPOSITORY, story.ISSUE_TITLE, story.ISSUE_BODY)
    issue_url = f"{stage.url}/issues/{issue}"
    console.print(f"[cyan]maya[/] opened an issue: {story.ISSUE_TITLE}  {issue_url}")
    await maya.says(REPOSITORY, issue, story.MENTION)
    console.print(f"[cyan]maya[/] wrote: [bold]{story.MENTION}[/]\n")
    status.update("The bot is at work …")
    pulls = await until(lambda: _pulls_in_the_end(maya, issue), patience=stage.patience_seconds)
    if not pulls:
        console.print(f"[red]No pull request came.[/] The conversation says why: {issue_url}")
        return False
    seconds = time.monotonic() - begun
    pull = pulls[-1]
    pull_url = f"{stage.url}/pull/{pull.number}"
    opened = f"opened a draft pull request after {seconds:.1f} s"
    console.print(f"\n[cyan]{escape(pull.author)}[/] {opened}: {escape(pull.title)}  {pull_url}")
    status.update("Running the tests of its branch …")
    passed, summary = await _tests_of(stage, pull.head_sha)
    colour = "green" if passed else "red"
    console.print(f"Its branch's tests, run once more from a fresh checkout: [{colour}]{summary}[/]")
    console.print(f"\n  the conversation   {issue_url}\n  the change         {pull_url}/files")
    console.print(f"  the forge          {stage.forge.url}  (act as maya or cole; oskar may not ask)")
    return passed


def invitation() -> str:
    """What a scripted model can be asked once it has been played."""
    return (
        "open the page and write, as maya, for example [bold]@darner help[/],\n"
        "[bold]@darner what does this project do?[/] or, on the pull request, [bold]@darner add a test[/]"
    )


async def _pulls_in_the_end(maya: "Person", issue: int) -> "list[Pull] | None":
    """All pull requests, once the bot's last word is on the issue."""
    pulls = await maya.pulls(REPOSITORY)
    # The mention, the progress comment, the final comment.
    return pulls if len(await maya.reads(REPOSITORY, issue)) >= 3 else None


async def _tests_of(stage: Stage, sha: str) -> tuple[bool, str]:
    """Whether they pass, and their last words."""
    from demo import story

    ran = await stage.execute(REPOSITORY, sha, story.CHECK)
    lines = ran.output.strip().splitlines()
    told = next((line for line in lines if line.startswith("Ran ")), "")
    return ran.exit_status == 0, f"{lines[-1] if lines else 'no output'} ({told})"
