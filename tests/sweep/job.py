"""The job that is disturbed: from a mention to a pull request, with all that people may say on the way.

The first turn runs a command, asks for leave to run a second one, is parked, is told something more, is given
leave, and reaches its limit of steps: it delivers what it has. `retry` starts the second turn, which goes on
from there and delivers the rest.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from demo.forge.person import Said
from demo.forge.state import CheckRun
from tests.stories.by_hand import REPOSITORY
from tests.stories.sessions import runs, says, session
from tests.stories.world import BOT, POLL_SECONDS, git
from tests.sweep.place import PATIENCE_SECONDS, Place

WORDS: Final = "keep the long count"
SHRED: Final = "shred -u README.md && echo two >> tally.txt"
COUNT: Final = session(
    WORDS,
    runs("echo one >> tally.txt"),
    runs(SHRED),
    runs("echo three >> tally.txt"),
    runs("echo four >> tally.txt"),
    runs("echo five >> tally.txt"),
    says("Counted."),
)
MODEL_CALLS: Final = len(COUNT.turns)
SAID: Final = (
    "⌛ **Out of budget**",
    "✋ **Needs approval**",
    "Passed on: turn",
    "Approved: turn",
    "⌛ **Out of budget**",
    "✅ **Done**",
    "✅ **Done**",
)
"""How the bot's comments begin once all is over: the first of each turn shows how it went, too."""


@dataclass
class Job:
    """One issue, and what Maya says in it."""

    place: Place
    issue: int
    retried_by: str = "maya"
    _steered: bool = False
    _approved: bool = False
    _retried: bool = False

    async def goes_on(self) -> bool:
        """Say what is to be said now. Whether all is over: nothing is left to be done."""
        said = await self.place.house.bot_comments(self.issue)
        if not self._steered and (request := _request_in(said)):
            await self.place.says(self.issue, "@darner count slowly")
            self._steered = True
        elif self._steered and not self._approved and _begins(said, "Passed on: turn"):
            request = _request_in(said)
            await self.place.says(self.issue, f"@darner approve {request}")
            self._approved = True
        elif (
            not self._retried and sum(body.startswith("⌛ **Out of budget**") for body in _bodies(said)) == 2
        ):
            await self.place.says(self.issue, "@darner retry", by=self.retried_by)
            self._retried = True
        elif self._retried:
            return self._is_quiet()
        return False

    def _is_quiet(self) -> bool:
        thread = self.thread
        # One statement, one moment: what is done makes new things to do.
        [(turns, waiting)] = self.place.house.rows(
            "SELECT (SELECT count(*) FROM turns WHERE thread = ? AND status = 'ended'),"
            " (SELECT count(*) FROM turns WHERE thread = ? AND status != 'ended')"
            " + (SELECT count(*) FROM inbox WHERE thread = ? AND state = 'pending')"
            " + (SELECT count(*) FROM effects WHERE thread = ? AND state = 'pending')",
            *(thread, thread, thread, thread),
        )
        return int(turns) == 2 and int(waiting) == 0

    @property
    def thread(self) -> str | None:
        found = self.place.house.rows("SELECT id FROM threads WHERE number = ?", self.issue)
        return found[0][0] if found else None

    async def faults(self) -> list[str]:
        """Each broken promise, in words."""
        return [
            *await self._of_the_conversation(),
            *await self._of_the_result(),
            *await self.faults_inside(),
        ]

    async def faults_inside(self) -> list[str]:
        """Those that hold whatever becomes of the job: in the ledger, in the journal, left behind."""
        return [
            *self._of_the_ledger(),
            *(fault for turn, usage in self._turns() for fault in self._of_the_journal(turn, usage)),
            *await self._left_behind(),
        ]

    @property
    def turns(self) -> list[str]:
        """Their ids, in the order in which they were asked for."""
        return [turn for turn, _ in self._turns()]

    def _turns(self) -> list[tuple[str, str]]:
        rows = self.place.house.rows(
            "SELECT id, usage FROM turns WHERE thread = ? ORDER BY created_at", self.thread
        )
        return [(turn, usage) for turn, usage in rows]

    async def _of_the_conversation(self) -> list[str]:
        faults = []
        bodies = _bodies(await self.place.house.bot_comments(self.issue))
        if Counter(_beginning(body) for body in bodies) != Counter(SAID):
            faults.append(f"comments: {[body[:40] for body in bodies]}")
        state, subject = self.place.forge.state, self.place.subject(self.issue)
        reactions = [
            [reaction.content for reaction in state.reactions("issue", subject.id)],
            *(
                [reaction.content for reaction in state.reactions("issue_comment", comment.id)]
                for comment in state.comments(subject)
                if "@darner" in comment.body and comment.author_id != self._bot_id()
            ),
        ]
        if reactions != [["eyes"], ["eyes"], ["+1"], ["eyes"]]:
            faults.append(f"reactions: {reactions}")
        for turn, _ in self._turns():
            runs_of_turn = list(state.where(CheckRun, external_id=turn))
            if [run.status for run in runs_of_turn] != ["completed"]:
                faults.append(f"check runs of turn {turn}: {[run.status for run in runs_of_turn]}")
        return faults

    def _bot_id(self) -> int:
        bot = self.place.forge.state.user(BOT)
        assert bot is not None
        return bot.id

    async def _of_the_result(self) -> list[str]:
        """One branch with a commit of each turn, one pull request, each finished command's work once."""
        house = self.place.house
        branches = [
            name for name in await house.maya.branches(REPOSITORY) if name.startswith(f"darner/{self.issue}-")
        ]
        pulls = await house.pulls_for(self.issue)
        if len(branches) != 1 or [(pull.author, pull.is_draft) for pull in pulls] != [(BOT, True)]:
            return [f"branches {branches}, pull requests {pulls}"]
        commits = await asyncio.to_thread(self._commits_on, branches[0])
        faults = [] if commits == 2 else [f"commits on {branches[0]}: {commits}"]
        tally = (await house.maya.file(REPOSITORY, "tally.txt", ref=branches[0])).splitlines()
        if tally != self.counted():
            faults.append(f"tally {tally}, finished commands {self.counted()}")
        return faults

    def counted(self) -> list[str]:
        """What the finished commands have written, in their order."""
        words = []
        for turn, _ in self._turns():
            for command in _completed(self._items(turn), "command_execution"):
                # What was cut short is undone: the tree is that of the last finished item.
                if command["status"] == "completed":
                    words += re.findall(r"echo (\w+)", command["command"])[:1]
        return words

    def _commits_on(self, branch: str) -> int:
        directory = self.place.forge.state.git_dir(self.place.repository)
        return int(git(directory, "rev-list", "--count", f"main..{branch}"))

    def _of_the_ledger(self) -> list[str]:
        """Deliveries, inbox, outbox, requests, messages: all brought to an end, each once."""
        rows = self.place.house.rows
        faults = []
        undone = rows(
            "SELECT 'delivery ' || event, state, reason FROM deliveries"
            " WHERE thread = ? AND state NOT IN ('handled', 'ignored')"
            " UNION ALL SELECT 'effect ' || type, state, error FROM effects"
            " WHERE thread = ? AND state != 'done'"
            " UNION ALL SELECT 'letter', state, '' FROM inbox WHERE thread = ? AND state != 'handled'"
            " UNION ALL SELECT 'request', state, kind FROM requests WHERE thread = ? AND state != 'approved'",
            *(self.thread,) * 4,
        )
        if undone:
            faults.append(f"not brought to an end: {undone}")
        for table, expected in (("requests", 1), ("turns", 2)):
            [(count,)] = rows(f"SELECT count(*) FROM {table} WHERE thread = ?", self.thread)  # noqa: S608
            if count != expected:
                faults.append(f"{table}: {count}")
        [(steered,)] = rows(
            "SELECT count(*) FROM messages m JOIN turns t ON t.id = m.turn"
            " WHERE m.kind = 'steer' AND t.thread = ?",
            self.thread,
        )
        if steered != 1:
            faults.append(f"messages: {steered}")
        return faults

    def _items(self, turn: str) -> Sequence[tuple[Any, ...]]:
        return self.place.house.rows(
            "SELECT item, life, type, body FROM items WHERE turn = ? ORDER BY seq", turn
        )

    def _of_the_journal(self, turn: str, usage: str) -> Iterator[str]:
        """Each call has one end, and money is counted as often as the model answered."""
        items = self._items(turn)
        calls = _completed(items, "model_call")
        spent = [(call["usage"]["input_tokens"], call["usage"]["output_tokens"]) for call in calls]
        counted = f"{sum(tokens for tokens, _ in spent)} {sum(tokens for _, tokens in spent)}"
        if counted != usage:
            yield f"usage: {usage} stored, {counted} in the journal"
        charged = self.place.house.rows(
            "SELECT item, input_tokens, output_tokens FROM charges WHERE turn = ? AND model != ''", turn
        )
        if sorted(charged) != sorted(
            (call["id"], *tokens) for call, tokens in zip(calls, spent, strict=True)
        ):
            yield f"charges: {charged}, not those of the journal's model calls"
        begun = Counter(item for item, life, kind, _ in items if life == "started" and kind != "model_call")
        ended = Counter(item for item, life, kind, _ in items if life == "completed" and item in begun)
        if begun != ended or set(begun.values()) - {1}:
            yield f"calls without one end each: {begun - ended or ended - begun}"
        steers = [item for item in _completed(items, "user_message") if "count slowly" in item["text"]]
        is_first = any(item["command"] == SHRED for item in _completed(items, "command_execution"))
        if len(steers) != is_first:
            yield f"the words said meanwhile were heard {len(steers)} times"

    async def _left_behind(self) -> list[str]:
        """Checkouts, leases, files in the store, processes: given back a moment after the end."""
        try:
            async with asyncio.timeout(60):
                while self.held():
                    await asyncio.sleep(POLL_SECONDS * 5)
        except TimeoutError:
            return [f"left behind: {self.held()}"]
        return []

    def held(self) -> list[str]:
        """What is there now that only a turn at work needs."""
        data = self.place.house.data
        left = [str(path.relative_to(data)) for path in data.glob("**/checkouts/*")]
        left += [str(path.relative_to(data)) for path in data.glob("blobs/turns/*")]
        # One that a dead process let run out is a row still, until somebody buries it; it holds nobody up.
        query = "SELECT name FROM leases WHERE name LIKE ? AND until > ?"
        held = self.place.house.rows(query, "%/%", time.time())
        left += [f"lease {name}" for (name,) in held]
        left += [f"process {command}" for command in _processes_in(data / "checkouts")]
        blocked = self.place.house.rows(
            "SELECT name FROM throttles WHERE blocked_until > ?", self.place.now()
        )
        return left + [f"throttle {name}" for (name,) in blocked]


async def job(place: Place, title: str) -> Job:
    """Begun: the issue is open."""
    return Job(place, await place.opens_issue(title, f"@darner {WORDS}"))


async def over(job: Job, *, number: int | None = None) -> None:
    """Return when it is, however often the server dies meanwhile."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await job.goes_on():
            if job.place.house.has_died:
                await job.place.starts_again(number or job.issue)
            await asyncio.sleep(POLL_SECONDS * 3)


def _processes_in(directory: Path) -> Iterator[str]:
    """Command lines that name a checkout: the sandboxes'."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(directory).encode() in words:
            yield words.replace(b"\0", b" ").decode("utf-8", "replace")[:80]


def _begins(said: Sequence[Said], beginning: str) -> bool:
    return any(body.startswith(beginning) for body in _bodies(said))


def _beginning(body: str) -> str:
    return next((beginning for beginning in SAID if body.startswith(beginning)), body[:40])


def _bodies(said: Sequence[Said]) -> list[str]:
    return [one.body for one in said]


def _request_in(said: Sequence[Said]) -> str | None:
    found = re.search(r"Request `([0-9a-f]{8})`", "\n".join(_bodies(said)))
    return found[1] if found else None


def _completed(items: Sequence[tuple[Any, ...]], kind: str) -> list[dict[str, Any]]:
    return [json.loads(body) for _, life, type_, body in items if (life, type_) == ("completed", kind)]
