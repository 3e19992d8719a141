"""What an observer sees of turns that keep a tally each: whether it is over, and what is wrong."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from tests.stories.by_hand import REPOSITORY, House
from tests.stories.sessions import runs, says, session
from tests.stories.world import BOT

TALLY: Final = session(
    "keep the tally",
    runs("echo one >> tally.txt"),
    runs("echo two >> tally.txt"),
    says("Counted."),
)


class Sweep:
    """Looks at the forge and into the database of a house."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def is_over(self, issue: int) -> bool:
        """Whether a turn for the issue has ended and nothing is left to be done."""
        if self._house.has_died:
            return False
        thread = self._thread(issue)
        if thread is None:
            return False
        # One statement, one moment: what is done makes new things to do.
        [(waiting,)] = self._house.rows(
            "SELECT (SELECT count(*) FROM turns WHERE thread = ? AND status != 'ended')"
            " + (SELECT count(*) FROM inbox WHERE thread = ? AND state = 'pending')"
            " + (SELECT count(*) FROM effects WHERE thread = ? AND state = 'pending')",
            *(thread, thread, thread),
        )
        return int(waiting) == 0

    async def faults(self, issue: int) -> AsyncIterator[str]:
        """Each broken promise, in words."""
        house = self._house
        said = [comment.body for comment in await house.bot_comments(issue)]
        if len(said) != 2 or not all(body.startswith("✅ **Done**") for body in said):
            yield f"comments: {[body[:30] for body in said]}"
        reactions = await house.maya.subject_reactions(REPOSITORY, issue)
        if reactions != ["eyes"]:
            yield f"reactions: {reactions}"
        pulls = await house.pulls_for(issue)
        if [(pull.author, pull.is_draft) for pull in pulls] != [(BOT, True)]:
            yield f"pull requests: {pulls}"
        else:
            tally = await house.maya.file(REPOSITORY, "tally.txt", ref=pulls[0].head_ref)
            for fault in self._faults_of_journal(issue, tally):
                yield fault

    def left_behind(self) -> list[str]:
        """The checkouts that are still there."""
        return [path.name for path in self._house.data.glob("**/checkouts/*")]

    def _faults_of_journal(self, issue: int, tally: str) -> Sequence[str]:
        thread = self._thread(issue)
        rows = self._house.rows("SELECT id, usage FROM turns WHERE thread = ?", thread)
        if len(rows) != 1:
            return [f"turns: {rows}"]
        [(turn, usage)] = rows
        faults = []
        items = self._house.rows("SELECT item, life, type, body FROM items WHERE turn = ?", turn)
        calls = _completed(items, "model_call")
        spent = [(call["usage"]["input_tokens"], call["usage"]["output_tokens"]) for call in calls]
        counted = f"{sum(tokens for tokens, _ in spent)} {sum(tokens for _, tokens in spent)}"
        if counted != usage:
            faults.append(f"usage: {usage} stored, {counted} in the journal")
        if len(calls) != len(TALLY.turns):
            faults.append(f"model calls in the journal: {len(calls)}")
        charged = self._house.rows(
            "SELECT item, input_tokens, output_tokens FROM charges WHERE turn = ? AND model != ''", turn
        )
        if sorted(charged) != sorted(
            (call["id"], *tokens) for call, tokens in zip(calls, spent, strict=True)
        ):
            faults.append(f"charges: {charged}, not those of the journal's model calls")
        started = [item for item, life, kind, _ in items if (life, kind) == ("started", "command_execution")]
        commands = _completed(items, "command_execution")
        if sorted(started) != sorted(command["id"] for command in commands):
            faults.append(f"calls without one end each: {started}")
        for command in commands:
            word = command["command"].split()[1]
            times = tally.splitlines().count(word)
            was_seen = command["status"] == "completed"
            # What was cut short is undone: the tree is that of the last finished item.
            if times != was_seen:
                faults.append(f"`{word}` was counted {times} times, status {command['status']}")
        return faults

    def _thread(self, issue: int) -> str | None:
        found = self._house.rows("SELECT id FROM threads WHERE number = ?", issue)
        return found[0][0] if found else None


def _completed(items: Sequence[tuple[Any, ...]], kind: str) -> list[dict[str, Any]]:
    return [json.loads(body) for _, life, type_, body in items if (life, type_) == ("completed", kind)]
