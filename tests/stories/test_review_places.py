"""Stories of where findings stand: removed lines, other names, long files, files that are no text."""

from dataclasses import replace

import pytest

from tests.stories.reviews import (
    AUTO,
    DIVIDES,
    KNIT,
    check_of,
    finds,
    inline,
    places,
    pull_in,
    pull_of,
    resolved_threads,
    review,
    summaries,
)
from tests.stories.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

GUARDED = KNIT.replace("    total = 0\n", "    if not rows:\n        return 0\n    total = 0\n")
LOST = "Without this an empty list divides by zero"


@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
async def test_a_finding_on_a_line_that_the_change_removes(world: World, side: str) -> None:
    """It stands on the removed line; asked for on the side that has no such line, the model hears of it."""
    title = f"Count without a guard, {side}"
    files = {"knit.py": KNIT, "purl.py": None} if side == "RIGHT" else {"knit.py": KNIT}
    path, line = ("purl.py", 2) if side == "RIGHT" else ("knit.py", 2)
    base = {"knit.py": GUARDED, "purl.py": GUARDED}
    world.model.teach(review(title, calls=(finds(path, line, LOST, side=side),)))

    repository, number, clone, head = await pull_of(world, title, files, base=base)
    await world.settled(repository)

    [place] = places(world, repository, number)
    assert (place.path, place.side, place.line) == (path, "LEFT", 2)
    [summary] = await summaries(world, repository, number)
    assert "1 to fix" in summary
    assert await check_of(world, repository, head) == ("neutral", "1 to fix")
    if side == "RIGHT":
        return

    back = await clone.commits({path: GUARDED})
    await world.settled(repository)

    assert f"gone or changed in `{back[:7]}`" in (await inline(world, repository, number))[-1]
    assert await resolved_threads(world, repository, number) == [True]


async def test_lines_that_stay_are_on_the_new_side_whatever_the_model_says(world: World) -> None:
    """A line of context belongs to both sides: the forge shows it where people look."""
    title = "Count with a limit"
    base = {"knit.py": KNIT}
    world.model.teach(review(title, calls=(finds("knit.py", 5, DIVIDES, side="LEFT"),)))

    repository, number, _, _ = await pull_of(
        world, title, {"knit.py": f"LIMIT = 9\n{KNIT.replace('name', 'called')}"}, base=base
    )
    await world.settled(repository)

    [place] = places(world, repository, number)
    assert (place.path, place.side, place.line) == ("knit.py", "RIGHT", 6)


async def test_a_finding_follows_its_file_to_another_name(world: World) -> None:
    """The file is renamed in the change itself, and once more by the next push: the finding stays the one."""
    title = "Count under another name"
    world.model.teach(
        review(title, "Review this change", calls=(finds("wool/knit.py", 5, DIVIDES),)),
        review(title, "Review what changed since", calls=(finds("yarn/knit.py", 6, DIVIDES),)),
    )
    changed = KNIT.replace('"name"', '"title"')
    repository, number, clone, _ = await pull_of(
        world, title, {"knit.py": None, "wool/knit.py": changed}, base={"knit.py": KNIT}
    )
    await world.settled(repository)
    [place] = places(world, repository, number)
    # The rename's diff shows the end of the file alone; the fifth line is the context of that.
    assert (place.path, place.side, place.line) == ("wool/knit.py", "RIGHT", 6)
    assert "About line 5." in place.body

    again = await clone.commits({"wool/knit.py": None, "yarn/knit.py": f"LIMIT = 9\n{changed}"})
    await world.settled(repository)

    told = await inline(world, repository, number)
    assert len(told) == 2
    assert "the code is now at [`yarn/knit.py:6`]" in told[1]
    assert f"/blob/{again}/yarn/knit.py#L6" in told[1]
    [summary] = await summaries(world, repository, number)
    assert "still open, moved" in summary
    assert await resolved_threads(world, repository, number) == [False]


async def test_a_file_of_thirty_thousand_lines(world: World) -> None:
    """A finding on its middle line stands there; one on lines that did not change is in the summary."""
    title = "Count the stitches of an atlas"
    old = [f"knit({number})\n" for number in range(1, 30_001)]
    new = [*old]
    new[14_999] = "knit(None)\n"
    new[29_999] = "knit(0)\n"
    calls = (
        finds("atlas.py", 15_000, "Row 15000 knits nothing"),
        finds("atlas.py", 20_000, "Row 20000 was wrong before"),
    )
    world.model.teach(review(title, calls=calls))

    repository, number, _, head = await pull_of(
        world, title, {"atlas.py": "".join(new)}, base={"atlas.py": "".join(old)}
    )
    await world.settled(repository)

    [place] = places(world, repository, number)
    assert (place.path, place.line) == ("atlas.py", 15_000)
    [summary] = await summaries(world, repository, number)
    assert "1 finding not on a line of the diff" in summary
    assert f"/blob/{head}/atlas.py#L20000" in summary


async def test_a_finding_on_a_file_that_is_no_text(world: World) -> None:
    """It has no line: the summary tells it, and it is still there when other files change."""
    title = "Count the stitches of a picture"
    world.model.teach(
        review(title, "Review this change", calls=(finds("sleeve.png", 1, "The picture is of a sock"),)),
        review(title, "Review what changed since"),
    )
    picture = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0"
    repository, number, clone, _ = await pull_of(world, title, {"knit.py": KNIT, "sleeve.png": picture})
    await world.settled(repository)

    assert await inline(world, repository, number) == []
    [summary] = await summaries(world, repository, number)
    assert "1 finding not on a line of the diff" in summary
    assert "for the file is binary" in summary
    assert "`sleeve.png`: it is binary" in summary

    await clone.commits({"knit.py": KNIT + "\n\nLIMIT = 9\n"})
    await world.settled(repository)

    [summary] = await summaries(world, repository, number)
    assert "The picture is of a sock" in summary


async def test_a_line_that_the_forge_takes_no_comment_on_costs_no_other(world: World) -> None:
    """For GitHub the base has taken a part of the change meanwhile: it refuses that line, and all with it."""
    title = "Count the stitches of a cuff"
    calls = (finds("knit.py", 5, DIVIDES), finds("purl.py", 5, "Purled rows are counted as none"))
    world.model.teach(review(title, calls=calls))
    repository = world.repository(files={".github/darner.yml": AUTO})
    clone = await world.clone(world.cole, repository)
    taken = await clone.commits({"knit.py": KNIT}, branch="wool")
    head = await clone.commits({"purl.py": KNIT.replace("stitches", "purls")})
    async with world.gate.closed():
        number = await world.cole.opens_pull(repository, head="wool", base="main", title=title)
        await world.gate.someone_waits()
        pull = pull_in(world, repository, number)
        assert pull.pull is not None
        world.forge.state.put(replace(pull, pull=replace(pull.pull, base_sha=taken)))

    await world.settled(repository)

    [place] = places(world, repository, number)
    assert (place.path, place.line) == ("purl.py", 5)
    [summary] = await summaries(world, repository, number)
    assert "1 finding not on a line of the diff" in summary
    assert f"/blob/{head}/knit.py#L5" in summary
    assert await check_of(world, repository, head) == ("neutral", "2 to fix")


async def test_a_change_that_is_larger_than_one_review(world: World) -> None:
    """What was not read is said, and whoever asks for another look has it read."""
    title = "Count the stitches of everything"
    files = {f"part{number}.py": _rows(f"part_{number}", 800) for number in range(5)}
    world.model.teach(
        review(title, "Review this change", calls=(finds("auth.py", 1, DIVIDES),)),
        review(title, "Review what changed since", calls=(finds("part4.py", 9, LOST),)),
    )
    repository, number, _, _ = await pull_of(world, title, {"auth.py": _rows("auth", 4_000), **files})
    await world.settled(repository)

    [summary] = await summaries(world, repository, number)
    assert "`auth.py`: only " in summary
    assert "`part4.py`: the budget of this review was used up" in summary
    assert "Comment `@darner review` and I read on." in summary

    await world.cole.says(repository, number, "@darner review")
    await world.settled(repository)

    assert [place.path for place in places(world, repository, number)] == ["auth.py", "part4.py"]
    [summary] = await summaries(world, repository, number)
    assert "`part4.py`: the" not in summary
    assert "`auth.py`: only " in summary


def _rows(name: str, count: int) -> str:
    """About sixteen tokens a line."""
    return "".join(f"{name}_row_{number} = knit('{'purl ' * 8}')\n" for number in range(1, count + 1))
