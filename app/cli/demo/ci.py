"""CI repair, played: a pull request's test fails, the bot repairs it, and CI passes."""

import time
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from app.cli.demo.stage import REPOSITORY, Scenery, Stage
from app.cli.demo.watching import Expectation, completed, tell, until

if TYPE_CHECKING:
    from demo.forge.person import CheckRun, Pull, Said

JOB: Final = "tests"


def scenery() -> Scenery:
    from demo import story_ci

    return Scenery(files=story_ci.FILES, settings={"ci_repair": "auto"}, jobs=story_ci.JOBS)


async def play(console: Console, status: Status, stage: Stage) -> bool:
    """A pull request whose test fails; whether the bot's one commit makes its checks pass."""
    from demo import story_ci as story

    cole = stage.cole
    await cole.makes_branch(REPOSITORY, story.BRANCH, at="main")
    broken = ""
    for path, text, message in story.COMMITS:
        broken = await cole.commits(REPOSITORY, story.BRANCH, path, text, message=message)
    number = await cole.opens_pull(
        REPOSITORY, head=story.BRANCH, base="main", title=story.TITLE, body=story.BODY
    )
    url = f"{stage.url}/pull/{number}"
    console.print(f"[cyan]cole[/] opened a pull request: {story.TITLE}  {url}")
    status.update("CI runs its tests …")
    before = await _ran(console, stage, broken)
    if before is None:
        console.print(f"[red]CI did not come to an end.[/] {url}/checks")
        return False
    status.update("The bot waits until CI has settled, reads the log and repairs …")
    begun = time.monotonic()
    pull = await until(lambda: _moved(stage, number, broken), patience=stage.patience_seconds)
    if pull is None:
        console.print(f"[red]No repair came.[/] The conversation says why: {url}")
        return False
    seconds = time.monotonic() - begun
    commit = await cole.commit_message(REPOSITORY, pull.head_sha)
    pushed = f"pushed [bold]{pull.head_sha[:7]}[/] after {seconds:.1f} s: {escape(commit.splitlines()[0])}"
    console.print(f"\n[cyan]darner[/] {pushed}")
    status.update("CI runs the tests again …")
    after = await _ran(console, stage, pull.head_sha)
    said = await until(lambda: _last_words(stage, number), patience=stage.patience_seconds)
    pulls = await cole.pulls(REPOSITORY)
    authors = await cole.commit_authors(REPOSITORY, story.BRANCH)
    console.print()
    passed = tell(
        console,
        [
            Expectation("the test really failed before", before.conclusion == "failure"),
            Expectation("the bot's one commit is on the same branch", authors.count("darner[bot]") == 1),
            Expectation("no other pull request", len(pulls) == 1),
            Expectation("it said what it did", said is not None),
            Expectation(
                "all checks of the new head pass", after is not None and after.conclusion == "success"
            ),
        ],
    )
    console.print(f"\n  the conversation   {url}\n  the change         {url}/files")
    console.print(f"  the checks         {url}/checks\n  the failed job     {stage.url}/runs/{before.id}")
    return passed


def invitation() -> str:
    """What a scripted model can be asked once it has been played."""
    return (
        "open the page, read the failed job's log and the commit, or write,\n"
        "as cole, [bold]@darner why[/] or [bold]@darner budget[/] on the pull request"
    )


async def _ran(console: Console, stage: Stage, sha: str) -> "CheckRun | None":
    """What CI made of this head, told; None when it did not end."""
    run = await until(lambda: completed(stage.cole, REPOSITORY, sha, JOB), patience=stage.patience_seconds)
    if run is not None:
        colour = "green" if run.conclusion == "success" else "red"
        ended = f"ran its tests on {sha[:7]}: [{colour}]{run.conclusion}[/]"
        console.print(f"[cyan]CI[/] {ended}  {stage.url}/runs/{run.id}")
    return run


async def _moved(stage: Stage, number: int, old: str) -> "Pull | None":
    """The pull request once its head is another one."""
    pulls = await stage.cole.pulls(REPOSITORY)
    return next((pull for pull in pulls if pull.number == number and pull.head_sha != old), None)


async def _last_words(stage: Stage, number: int) -> "Said | None":
    said = await stage.cole.reads(REPOSITORY, number)
    return next((each for each in said if each.author == "darner[bot]" and "Done" in each.body), None)
