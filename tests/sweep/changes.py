"""The world changes under a turn at work: its branch is pushed to or deleted, the right to write is lost.

What comes of it is another end than the job's own. Whatever it is: somebody else's commit stays, and what the
agent has made is on a branch or before everybody's eyes; or it is said why not, and how to have it.
"""

import asyncio
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from demo.forge.actions import repos
from demo.forge.git import Git
from demo.forge.state import Role
from tests.stories.by_hand import REPOSITORY
from tests.stories.world import POLL_SECONDS
from tests.sweep.deaths import NOT_OVER, Ran
from tests.sweep.job import Job, job, over
from tests.sweep.place import PATIENCE_SECONDS, Place

NOTE: Final = "NOTES.md"


async def pushed_to(place: Place, branch: str) -> None:
    def push() -> None:
        files = {NOTE: b"Mine.\n"}
        repos.commit_files(place.actor("maya"), place.repository, branch=branch, message="Mine", files=files)

    await asyncio.to_thread(push)


async def deleted(place: Place, branch: str) -> None:
    await asyncio.to_thread(
        repos.delete_ref, place.actor("maya"), place.repository, ref=f"refs/heads/{branch}"
    )


async def right_taken_away(place: Place, branch: str) -> None:
    """Of Cole, who asked for the turn at work."""
    _set_role(place, "read")


CHANGES: Final = {
    "its branch is pushed to": pushed_to,
    "its branch is deleted": deleted,
    "who asked may not write any more": right_taken_away,
}


async def changed(place: Place, name: str, *, and_dies: bool) -> Ran:
    """A job whose second turn is at work when the world changes; the server may die of it."""
    begun = time.monotonic()
    asked = await job(place, f"While {name}")
    asked.retried_by = "cole"
    playing = asyncio.create_task(over(asked))
    faults: list[str] = []
    try:
        branch = await _at_work(asked)
        await CHANGES[name](place, branch)
        if and_dies:
            place.house.tell(signal.SIGKILL)
        await playing
    except TimeoutError:
        faults.append(NOT_OVER)
    finally:
        playing.cancel()
        _set_role(place, "write")
    faults += [*await _faults_outside(asked, name), *await asked.faults_inside()]
    told = f"{name}, and the server dies" if and_dies else name
    return Ran(told, (), tuple(faults), time.monotonic() - begun)


async def _at_work(asked: Job) -> str:
    """Return when the second turn has finished a command: the branch that it is to deliver to."""
    query = "SELECT 1 FROM items WHERE turn = ? AND life = 'completed' AND type = 'command_execution'"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(turns := asked.turns) < 2 or not asked.place.house.rows(query, turns[1]):
            await asyncio.sleep(POLL_SECONDS)
    [pull] = await asked.place.house.pulls_for(asked.issue)
    return pull.head_ref


async def _faults_outside(asked: Job, name: str) -> list[str]:
    house, git = asked.place.house, Git(asked.place.forge.state.git_dir(asked.place.repository))
    ours = f"darner/{asked.issue}-"
    heads = [sha for name, sha in (await house.maya.branches(REPOSITORY)).items() if name.startswith(ours)]
    said = [comment.body for comment in await house.bot_comments(asked.issue)]
    faults = []
    finals = Counter(body for body in said if body.startswith(("✅", "⌛", "🔀", "✋", "❌")))
    if twice := [body[:40] for body, times in finals.items() if times > 1]:
        faults.append(f"said twice: {twice}")
    tallies = [git.text("show", f"{sha}:tally.txt") for sha in heads if git.entry(sha, "tally.txt")]
    shown = "\n".join([*said, *tallies])
    lost = [word for word in asked.counted() if not re.search(rf"^\+?{word}$", shown, re.MULTILINE)]
    # Who has lost the right is shown nothing more; how another has it, is said.
    if lost and f"`fork {asked.turns[1]}`" not in shown:
        faults.append(f"what finished commands wrote is nowhere: {lost}")
    if name == "its branch is pushed to" and not any(git.entry(sha, NOTE) for sha in heads):
        faults.append("somebody's commit is gone")
    return faults


def _set_role(place: Place, role: Role) -> None:
    cole = place.forge.state.user("cole")
    assert cole is not None
    repos.set_collaborator(place.actor("maya"), place.repository, user=cole, role=role)


async def of_the_world(place: Place) -> AsyncIterator[Ran]:
    for name in CHANGES:
        for and_dies in (False, True):
            yield await changed(place, name, and_dies=and_dies)
