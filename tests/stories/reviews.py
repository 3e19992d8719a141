"""What stories of reviews are made of: a pull request to review, what the model finds, what people see."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from demo.forge.person import Person
from demo.forge.state import Issue, ReviewComment
from demo.model import ScriptedCall, Session, Turn
from tests.stories.sessions import says
from tests.stories.world import BOT, Clone, World, git

AUTO = "review:\n  mode: auto\n"
KNIT = """\
def stitches(rows):
    total = 0
    for row in rows:
        total = total + row
    return total / len(rows)


def name(pattern):
    return pattern["name"]
"""
DIVIDES = "`stitches` divides by zero"
"""What is wrong with the fifth line of `KNIT`."""


def finds(path: str, line: int, title: str, severity: str = "P1", **more: object) -> ScriptedCall:
    """One call of `report_finding`."""
    found = {
        "path": path,
        "start_line": line,
        "end_line": line,
        "severity": severity,
        "confidence": 0.9,
        "title": title,
        "why": f"{title}: the input `[]` shows it.",
    }
    return ScriptedCall(name="report_finding", arguments={**found, **more})


def review(*match: str, calls: tuple[ScriptedCall, ...] = (), name: str = "") -> Session:
    """What the model does in the review whose briefing has all of these words."""
    turns = (Turn(calls=calls), says("Read.")) if calls else (says("Read."),)
    return Session(name=name or "-".join(match).replace(" ", "-"), match=match, turns=turns)


async def pull_of(
    world: World,
    title: str,
    files: Mapping[str, str | None],
    *,
    settings: str = AUTO,
    base: Mapping[str, str] | None = None,
) -> tuple[str, int, Clone, str]:
    """A repository that wants reviews, with a pull request of Cole's: its name, number, clone and head.

    `base` are files that are there before; None for a file's text deletes it.
    """
    repository = world.repository(files={".github/darner.yml": settings, **(base or {})})
    clone = await world.clone(world.cole, repository)
    head = await clone.commits(files, branch="wool", message="Count")
    number = await world.cole.opens_pull(repository, head="wool", base="main", title=title)
    return repository, number, clone, head


async def summaries(world: World, repository: str, number: int) -> list[str]:
    return [said.body for said in await world.bot_comments(repository, number) if "**Review** ·" in said.body]


async def inline(world: World, repository: str, number: int) -> list[str]:
    said = await world.maya.reads_review_comments(repository, number)
    return [comment.body for comment in said if comment.author == BOT]


async def check_of(world: World, repository: str, sha: str) -> tuple[str | None, str]:
    runs = await world.maya.check_runs(repository, sha)
    [run] = [run for run in runs if run.name == "Darner review"]
    return run.conclusion, run.title


def places(world: World, repository: str, number: int) -> list[ReviewComment]:
    """The bot's threads on the diff, as the forge keeps them, oldest first."""
    bot = world.forge.state.user(BOT)
    assert bot is not None
    said = world.forge.state.review_comments(pull_in(world, repository, number))
    return [each for each in said if each.author_id == bot.id and each.thread_id == each.id]


def pull_in(world: World, repository: str, number: int) -> Issue:
    found = world.forge.state.repository(*repository.split("/"))
    assert found is not None
    [pull] = world.forge.state.where(Issue, repo_id=found.id, number=number)
    return pull


async def finding_of(world: World, repository: str, number: int) -> str:
    """The id that the first comment on lines tells."""
    found = re.search(r"Finding `([0-9a-f]{8})`", (await inline(world, repository, number))[0])
    assert found
    return found[1]


async def reworded(clone: Clone) -> str:
    """The newest commit with another message, by force; its name."""

    def reword() -> str:
        who = ("-c", f"user.name={clone.login}", "-c", f"user.email={clone.login}@example.com")
        git(clone.directory, *who, "commit", "-q", "--amend", "-m", "Said better")
        git(clone.directory, "push", "-q", "--force", "origin", "HEAD")
        return git(clone.directory, "rev-parse", "HEAD").strip()

    return await asyncio.to_thread(reword)


def offered(world: World) -> list[Any]:
    """The tools of the newest request to the model."""
    return list(world.model.exchanges[-1].request["tools"])


async def replies(person: Person, repository: str, number: int, body: str) -> None:
    """In the thread of the first comment on lines."""
    first = (await person.reads_review_comments(repository, number))[0]
    await person.replies_on_line(repository, number, first.id, body)


async def resolved_threads(world: World, repository: str, number: int) -> list[bool]:
    return await world.maya.thread_resolutions(repository, number)
