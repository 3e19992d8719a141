"""Reviews, played: a pull request is reviewed unasked; its findings outlive a push and a disagreement."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from app.cli.demo.stage import REPOSITORY, Scenery, Stage
from app.cli.demo.watching import Expectation, completed, tell, until

if TYPE_CHECKING:
    from demo.forge.person import CheckRun, ReviewThread, Said

CHECK_NAME: Final = "Darner review"


def scenery() -> Scenery:
    from demo import story_review

    return Scenery(files=story_review.FILES, settings={"review": "auto", "review_quiet_seconds": 1.0})


async def play(console: Console, status: Status, stage: Stage) -> bool:
    """Two pushes and an answer; whether the pages show what they should."""
    from demo import story_review as story

    cole = stage.cole
    await cole.makes_branch(REPOSITORY, story.BRANCH, at="main")
    first = await cole.commits(REPOSITORY, story.BRANCH, story.PATH, story.FIRST, message=story.FIRST_MESSAGE)
    number = await cole.opens_pull(
        REPOSITORY, head=story.BRANCH, base="main", title=story.TITLE, body=story.BODY
    )
    url = f"{stage.url}/pull/{number}"
    console.print(f"[cyan]cole[/] opened a pull request: {story.TITLE}  {url}")
    status.update("The bot reviews it, unasked …")
    before = await _review(console, stage, number, first)
    if before is None:
        console.print(f"[red]No review came.[/] The checks say why: {url}/checks")
        return False
    # The pages show times in whole seconds: nobody answers a review in the second it came.
    await asyncio.sleep(1)
    second = await cole.commits(
        REPOSITORY, story.BRANCH, story.PATH, story.SECOND, message=story.SECOND_MESSAGE
    )
    console.print(f"\n[cyan]cole[/] pushed [bold]{second[:7]}[/]: {story.SECOND_MESSAGE}")
    status.update("The bot looks at what changed …")
    after = await _review(console, stage, number, second)
    if after is None:
        console.print(f"[red]No second review came.[/] The checks say why: {url}/checks")
        return False
    await _disagree(console, status, stage, number)
    threads = await cole.review_threads(REPOSITORY, number)
    said = await cole.reads(REPOSITORY, number)
    console.print()
    passed = tell(console, _expected(stage, before, second, threads, said))
    console.print(f"\n  the conversation   {url}\n  the lines          {url}/files")
    console.print(f"  the checks         {url}/checks")
    return passed


def invitation() -> str:
    """What a scripted model can be asked once it has been played."""
    return (
        "open the page and, as cole, answer the finding that is still open\n"
        "with [bold]fix[/]; what is pushed then is reviewed in its turn"
    )


async def _review(console: Console, stage: Stage, number: int, sha: str) -> "CheckRun | None":
    """The review of this head, told; None when none came."""
    begun = time.monotonic()
    check = await until(
        lambda: completed(stage.cole, REPOSITORY, sha, CHECK_NAME), patience=stage.patience_seconds
    )
    if check is None:
        return None
    seconds = time.monotonic() - begun
    # The check run is the last that a review writes.
    console.print(f"\n[cyan]darner[/] reviewed {sha[:7]} after {seconds:.1f} s: {escape(check.title)}")
    for thread in await stage.cole.review_threads(REPOSITORY, number):
        place = f"{thread.path}:{thread.line}" if thread.line else f"{thread.path} (outdated)"
        state = " · [green]resolved[/]" if thread.is_resolved else ""
        claim = thread.said[0].body.splitlines()[0].replace("**", "")
        console.print(f"  {place:<28} {escape(claim)}{state}")
    return check


async def _disagree(console: Console, status: Status, stage: Stage, number: int) -> None:
    """Cole answers a finding, and the bot judges once."""
    from demo import story_review as story

    threads = [
        thread
        for thread in await stage.cole.review_threads(REPOSITORY, number)
        if not thread.is_resolved and story.DISPUTED in thread.said[0].body
    ]
    if not threads:
        return
    root = threads[-1].said[0].id
    await stage.cole.replies(REPOSITORY, number, root, story.ANSWER)
    console.print(f"\n[cyan]cole[/] answered “{_claim(threads[-1])}”: {story.ANSWER.strip()}")
    status.update("The bot thinks it over …")

    async def judged() -> "ReviewThread | None":
        for thread in await stage.cole.review_threads(REPOSITORY, number):
            if (
                thread.said[0].id == root
                and thread.is_resolved
                and len(thread.said) > len(threads[-1].said) + 1
            ):
                return thread
        return None

    thread = await until(judged, patience=stage.patience_seconds)
    if thread is not None:
        console.print(f"\n[cyan]darner[/] answered: {escape(thread.said[-1].body.splitlines()[0])}")


def _claim(thread: "ReviewThread") -> str:
    return escape(thread.said[0].body.splitlines()[0].replace("**", "").partition(" · ")[2])


def _expected(
    stage: Stage,
    first: "CheckRun",
    second: str,
    threads: Sequence["ReviewThread"],
    said: Sequence["Said"],
) -> list[Expectation]:
    from demo import story_review as story

    summaries = [each for each in said if each.author == "darner[bot]"]
    always = [
        Expectation("the check run blocks nothing: it is neutral", first.conclusion == "neutral"),
        Expectation("one summary, edited in place", len(summaries) == 1),
    ]
    if not stage.is_scripted:
        # What another model finds is its own affair.
        return always
    mended, moved, disputed = [
        [thread for thread in threads if part in thread.said[0].body]
        for part in (story.SUGGESTED, story.MOVED, story.DISPUTED)
    ]
    return [
        *always,
        Expectation("three findings on their lines, each once", len(threads) == 3),
        Expectation(
            "one with a suggestion that can be committed",
            any("```suggestion" in thread.said[0].body for thread in mended),
        ),
        Expectation("a remark as an annotation of the check run", first.annotations == 1),
        Expectation(
            "the mended one: answered with its commit, and resolved",
            [thread.is_resolved and second[:7] in thread.said[-1].body for thread in mended] == [True],
        ),
        Expectation(
            "the moved one: still open, and followed in the summary",
            [not thread.is_resolved for thread in moved] == [True]
            and any("moved" in each.body for each in summaries),
        ),
        Expectation(
            "the disputed one: judged once, withdrawn and resolved",
            [thread.is_resolved and len(thread.said) == 3 for thread in disputed] == [True],
        ),
    ]
