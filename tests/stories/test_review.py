"""Stories of reviews: they begin by themselves, say each thing once, and keep their place over pushes."""

from collections.abc import Mapping

import pytest

from demo.model import ScriptedCall, Session, Turn
from tests.stories.sessions import says
from tests.stories.world import BOT, Clone, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

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
MOVED = f'"""Counts."""\n\nLIMIT = 9\n\n\n{KNIT}'
FIXED = KNIT.replace("total / len(rows)", "total / len(rows) if rows else 0")


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
    world: World, title: str, files: Mapping[str, str], *, settings: str = AUTO, draft: bool = False
) -> tuple[str, int, Clone, str]:
    """A repository that wants reviews, with a pull request of Cole's: its name, number, clone and head."""
    repository = world.repository(files={".github/darner.yml": settings})
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


DIVIDES = "`stitches` divides by zero"


async def test_a_pull_request_is_reviewed_when_it_is_opened(world: World) -> None:
    """One review with the finding on its line, one summary, one check run; nobody had to ask."""
    title = "Count the stitches of a sleeve"
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES),)))

    repository, number, _, head = await pull_of(world, title, {"knit.py": KNIT})
    await world.settled(repository)

    [comment] = await inline(world, repository, number)
    assert comment.startswith("🟠 **P1** · **`stitches` divides by zero**")
    [summary] = await summaries(world, repository, number)
    assert "1 to fix" in summary
    assert f"read at `{head[:7]}`" in summary
    assert await check_of(world, repository, head) == ("neutral", "1 to fix")
    assert len(await world.bot_comments(repository, number)) == 1
