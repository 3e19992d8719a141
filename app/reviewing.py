"""A review's turn: the change read from the mirror, what the model is told of it, and what came of it.

All that is read is pinned (base, head, settings) but what people have said of earlier findings: that counts
as it is now.
"""

import asyncio
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.briefing import LARGEST_READ, instructions_of, pinned_config
from app.forge_error import ForgeError
from app.github import Client, GitHub, LineNote
from app.past_findings import PastFindings
from app.store import reviews
from app.store.database import Database
from app.store.places import RepositoryRef
from app.store.turns import TurnRow
from handlers.briefing_review import Answer, Linked, ReviewMaterial, compose_review, issues_named
from handlers.effects import StartTurn
from handlers.review.attributes import FILE as ATTRIBUTES
from handlers.review.attributes import Mark, Rule, governing, marks_of, parse_attributes
from handlers.review.diff import DIFF_ARGUMENTS, FileDiff, by_path, decoded, parse_diff
from handlers.review.findings import Reviewed, checker
from handlers.review.fingerprints import Fingerprint, Place, fingerprint, name_of
from handlers.review.memory import Elsewhere, LastReview, Memory, Remembered
from handlers.review.patch_ids import changed_since, patch_ids
from handlers.review.plan import ReadingPlan, Unread, left_over, plan_reading
from handlers.review.result import Became, ReviewResult, became
from handlers.review.selection import Candidate, ForeignComment, select
from handlers.review.settings import ReviewSettings, why_too_large
from handlers.review.standing import Unchanged, judgement_checker, match
from handlers.view import Bot, RepositoryConfig
from harness.findings import CheckFinding, CheckJudgement, Finding, FindingJudged, Refused
from harness.items import Item, Life
from harness.protocols import Entry
from harness.tools import READING_TOOLS, REVIEW_TOOLS, ToolName
from harness.tools.report_finding import findings_in, judgements_in
from sandbox.base import FileTooLarge
from sandbox.git.mirror import Mirror

DIFF_BYTES: Final = 64 * 1024 * 1024
READ_TOKENS: Final = 60_000
"""Of the change, in a review's first message; of a small window a third."""
MOST_ATTRIBUTES: Final = 100
"""Files of attributes that are read."""
CUT_SHORT: Final = "the change is larger than what is read of one"
TOO_LARGE: Final = "Its diff is larger than what is read of one; unasked, such a change is not reviewed."


class _Texts(Mapping[str, str]):
    """The texts that were read, of a commit whose paths are all known."""

    def __init__(self, read: Mapping[str, str], paths: frozenset[str]) -> None:
        self._read = read
        self._paths = paths

    def __getitem__(self, path: str) -> str:
        return self._read[path]

    def __contains__(self, path: object) -> bool:
        return path in self._paths or path in self._read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review, from before its first request to its end."""

    start: StartTurn
    config: RepositoryConfig
    reviewed: Reviewed
    """Of the files that the repository wants reviewed."""
    memory: Memory
    notes: Sequence[LineNote]
    """What stood on the diff's lines when it began; not asked for where nothing was found before."""
    patches: Mapping[str, str]
    changed: frozenset[str]
    renames: Mapping[str, str]
    plan: ReadingPlan
    check_finding: CheckFinding
    check_judgement: CheckJudgement
    tools: Sequence[ToolName]
    settled: ReviewResult | None
    """What the review comes to without the model."""

    def result(self, entries: Sequence[Entry], foreign: Sequence[ForeignComment]) -> ReviewResult:
        """What the turn's journal says was found, and became of what was found before."""
        items: list[Item] = [entry.item for entry in entries if entry.life is Life.COMPLETED]
        judged = judgements_in(items, self.check_judgement)
        known = [each.known for each in self.memory.findings]
        if self.start.finding:
            return ReviewResult(
                verdict="judged",
                became=tuple(
                    _judged(each, verdict.verdict, verdict.why)
                    for each in self.memory.findings
                    for verdict in judged
                    if each.id == verdict.id
                ),
            )
        found = [
            self._capped(taken.finding)
            for taken in findings_in(items, self.check_finding)
            if self.config.review.reviews(taken.finding.path)
        ]
        matched = match(
            known, found, self.reviewed, judged=judged, renames=self.renames, changed=self.changed
        )
        marks: dict[str, Fingerprint] = {}
        candidates = []
        taken_names = {each.id for each in known}
        for finding in matched.new:
            mark = fingerprint(finding, self.reviewed.text(finding.path, finding.side))
            name = name_of(mark)
            if name not in taken_names:
                marks[name] = mark
                candidates.append(Candidate(name, finding))
        selection = select(candidates, self.reviewed, foreign=foreign, limits=self.config.review.limits)
        read = [reading for group in self.plan.groups for reading in group.readings]
        return ReviewResult(
            verdict="reviewed",
            patches=dict(self.patches),
            files_read=len(read),
            unread=self.plan.unread,
            selection=selection,
            fingerprints=marks,
            became=tuple(
                self._with_second_word(became(each, self.reviewed), judged)
                for each in matched.standings
                if not (isinstance(each, Unchanged) and each.again is None)
            ),
        )

    def _with_second_word(self, became: Became, judged: Sequence[FindingJudged]) -> Became:
        said = next((each for each in judged if each.id == became.id), None)
        if said is None or said.verdict != "new_evidence" or became.what not in ("open", "moved"):
            return became
        return replace(became, holds=True, why=said.why)

    def _capped(self, finding: Finding) -> Finding:
        cap = self.config.review.at_most(finding.path)
        return finding if cap is None else replace(finding, severity=max(finding.severity, cap))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewing:
    """Makes reviews ready."""

    database: Database
    github: GitHub
    window: int | None
    """Of the model, in tokens."""
    diff_bytes: int = DIFF_BYTES
    """Of a change, that are read."""

    async def prepared(
        self, row: TurnRow, start: StartTurn, place: RepositoryRef, mirror: Mirror, bot: Bot
    ) -> Review:
        """Raises `GitFailed`, `ForgeError` and `ConfigRefused`."""
        config = await pinned_config(mirror, start)
        memory = await self.database.read(lambda connection: reviews.memory_of(connection, row.thread))
        notes = await self._notes(start, place) if memory.findings else []
        past = PastFindings(self.database, self.github)
        memory = replace(memory, findings=await past.with_reactions(row.thread, memory.findings, notes))
        both = (start.instructions_sha, start.base_sha)
        shown = await mirror.patch(*both, *DIFF_ARGUMENTS, limit=self.diff_bytes)
        every = await asyncio.to_thread(parse_diff, shown.data)
        files = [file for file in every if config.review.reviews(file.path)]
        patches = await asyncio.to_thread(patch_ids, files)
        last = memory.last
        is_follow_up = last is not None and not start.is_full
        before = last.patches if last is not None and is_follow_up else {}
        changed = frozenset(changed_since(before, patches))
        unread = [] if last is None or not is_follow_up else _still_unread(last, patches, changed)
        # Whoever asks for another look has the rest of a large change read, within the budget again.
        more = frozenset() if start.is_unasked else left_over(unread)
        settled = _settled(
            start,
            config.review,
            files,
            patches,
            before=before,
            has_last=is_follow_up,
            reads_on=bool(more),
            is_cut=shown.is_cut,
        )
        wanted = [file for file in files if file.path in changed | more]
        if start.finding:
            disputed = {each.known.finding.path for each in memory.findings if each.id == start.finding}
            wanted, settled = [file for file in files if file.path in disputed], None
        marked = await _marks(mirror, start.instructions_sha, [file.path for file in wanted])
        plan = _plan(wanted, files, every, budget=self._budget(), marked=marked, is_cut=shown.is_cut)
        kept = tuple(each for each in unread if each.path not in more)
        plan = replace(plan, unread=(*plan.unread, *kept))
        reviewed = await _reviewed(mirror, start, files, memory)
        review = Review(
            start=start,
            config=config,
            reviewed=reviewed,
            memory=memory,
            notes=notes,
            patches=patches,
            changed=changed,
            renames=await _renames(mirror, last.head_sha if last else "", start.base_sha),
            plan=plan,
            check_finding=_no_finding if start.finding else checker(reviewed),
            check_judgement=judgement_checker(
                [each.known for each in memory.findings], disputed=_disputed(start, memory)
            ),
            tools=_tools(start, bot),
            settled=settled,
        )
        if settled is not None and settled.verdict == "reviewed":
            # Only files are gone from the change: what stood in them is known without anybody's look.
            return replace(review, settled=review.result((), ()))
        return review

    async def briefing(self, review: Review, place: RepositoryRef, mirror: Mirror, bot: Bot) -> str:
        """The review's first message."""
        start = review.start
        instructions, body, linked, elsewhere = await asyncio.gather(
            instructions_of(mirror, start.instructions_sha),
            self._body(start, place),
            self._linked(start, place),
            self._elsewhere(review, place),
        )
        shown = [reading.path for group in review.plan.groups for reading in group.readings]
        material = ReviewMaterial(
            start=start,
            body=body,
            files=review.reviewed.files,
            plan=review.plan,
            instructions=instructions,
            repository_instructions=review.config.instructions,
            rules=review.config.review.rules_for(shown),
            linked=tuple(linked),
            earlier=review.memory.findings,
            elsewhere=elsewhere,
            answers=_answers(review.memory, review.notes, bot.id),
            may_run=review.tools is REVIEW_TOOLS,
            is_follow_up=review.memory.last is not None and not start.is_full,
        )
        return await asyncio.to_thread(compose_review, material, secrets.token_hex(4))

    async def result(
        self, review: Review, entries: Sequence[Entry], place: RepositoryRef, bot: Bot
    ) -> ReviewResult:
        """What it has come to. Raises `ForgeError`."""
        notes = await self._notes(review.start, place)
        foreign = [
            ForeignComment(
                note.author,
                note.is_bot,
                Place(note.path, note.side, note.start_line or note.line, note.line),
            )
            for note in notes
            if note.line is not None and note.author_id != bot.id
        ]
        return await asyncio.to_thread(review.result, entries, foreign)

    async def _notes(self, start: StartTurn, place: RepositoryRef) -> list[LineNote]:
        return await self.github.run(place, lambda client: client.line_notes(start.number))

    async def _body(self, start: StartTurn, place: RepositoryRef) -> str:
        if start.subject_body is not None:
            return start.subject_body
        subject = await self.github.run(place, lambda client: client.subject(start.number))
        return subject.body

    async def _elsewhere(self, review: Review, place: RepositoryRef) -> tuple[Elsewhere, ...]:
        if review.start.finding:
            return ()
        files = review.reviewed.files.values()
        paths = frozenset(path for file in files for path in (file.path, file.old_path))
        return await PastFindings(self.database, self.github).elsewhere(place, review.start.number, paths)

    async def _linked(self, start: StartTurn, place: RepositoryRef) -> list[Linked]:
        numbers = issues_named(start.title, start.subject_body or "", own=start.number)

        def read(client: Client) -> list[Linked]:
            found = []
            for number in numbers:
                subject = client.subject(number)
                found.append(Linked(number=number, title=subject.title, body=subject.body))
            return found

        try:
            return await self.github.run(place, read) if numbers else []
        except ForgeError as error:
            if error.is_passing:
                raise
            # A number that is no issue's is no fault of the review's.
            return []

    def _budget(self) -> int:
        return READ_TOKENS if self.window is None else min(READ_TOKENS, self.window // 3)


def _settled(
    start: StartTurn,
    settings: ReviewSettings,
    files: Sequence[FileDiff],
    patches: Mapping[str, str],
    *,
    before: Mapping[str, str],
    has_last: bool,
    reads_on: bool,
    is_cut: bool,
) -> ReviewResult | None:
    """What is known without reading. Of a change that is cut, nothing: what is missing may be what counts."""
    if start.is_unasked and is_cut:
        return ReviewResult(verdict="too_large", note=TOO_LARGE)
    if start.is_unasked:
        lines = sum(file.changed_lines for file in files)
        if why := why_too_large(len(files), lines, settings):
            return ReviewResult(verdict="too_large", note=why)
    if not has_last or reads_on or is_cut or changed_since(before, patches):
        return None
    if set(before) - set(patches):
        return ReviewResult(verdict="reviewed")
    return ReviewResult(verdict="unchanged", patches=dict(patches))


def _still_unread(last: LastReview, patches: Mapping[str, str], changed: Collection[str]) -> list[Unread]:
    """What the last review had not read of the change as it is now, and what no push has touched since."""
    return [each for each in last.reading.unread if each.path in patches and each.path not in changed]


def _plan(
    wanted: Sequence[FileDiff],
    files: Sequence[FileDiff],
    every: Sequence[FileDiff],
    *,
    budget: int,
    marked: Mapping[str, Mark],
    is_cut: bool,
) -> ReadingPlan:
    plan = plan_reading(wanted, budget=budget, marked=marked)
    left_out = {file.path for file in files}
    unread = [
        Unread(file.path, "`.github/darner.yml` leaves it out") for file in every if file.path not in left_out
    ]
    if is_cut:
        unread.append(Unread("(more files)", CUT_SHORT))
    return ReadingPlan(plan.groups, (*plan.unread, *unread))


async def _marks(mirror: Mirror, base: str, paths: Sequence[str]) -> Mapping[str, Mark]:
    """By the `.gitattributes` of the base branch: a change cannot take itself out of its review."""
    found = governing(await mirror.list_paths(base, names=(ATTRIBUTES,)), paths)
    rules: list[Rule] = []
    for path in found[:MOST_ATTRIBUTES]:
        text = await _file(mirror, base, path)
        rules += parse_attributes(text or "", path.rpartition("/")[0])
    return await asyncio.to_thread(marks_of, paths, rules) if rules else {}


async def _reviewed(mirror: Mirror, start: StartTurn, files: Sequence[FileDiff], memory: Memory) -> Reviewed:
    new: dict[str, str] = {}
    old: dict[str, str] = {}
    for file in files:
        if file.is_binary or not file.hunks:
            continue
        if file.kind != "deleted" and (text := await _blob(mirror, file.new_blob)) is not None:
            new[file.path] = text
        if file.kind != "added" and (text := await _blob(mirror, file.old_blob)) is not None:
            old[file.old_path] = text
    for each in memory.findings:
        path = each.known.finding.path
        if each.known.finding.side == "RIGHT" and path not in new:
            text = await _file(mirror, start.base_sha, path)
            if text is not None:
                new[path] = text
    paths = await mirror.all_paths(start.base_sha)
    return Reviewed(files=by_path(files), new_texts=_Texts(new, paths), old_texts=old)


async def _blob(mirror: Mirror, name: str) -> str | None:
    if not name.strip("0"):
        return None
    try:
        data = await mirror.read_blob(name, limit=LARGEST_READ)
    except FileTooLarge:
        return None
    return None if data is None else decoded(data)


async def _file(mirror: Mirror, sha: str, path: str) -> str | None:
    try:
        data = await mirror.read(sha, path, limit=LARGEST_READ)
    except FileTooLarge:
        return None
    return None if data is None else decoded(data)


async def _renames(mirror: Mirror, before: str, after: str) -> Mapping[str, str]:
    """Since the last review; nothing where its head is not here any more."""
    if not before or before == after or not await mirror.has_all(before):
        return {}
    return await mirror.renames(before, after)


def _tools(start: StartTurn, bot: Bot) -> Sequence[ToolName]:
    """Nothing of a fork is run unless the operator says so."""
    if start.is_fork and not bot.ceiling.review_runs_fork_code:
        return READING_TOOLS
    return REVIEW_TOOLS


def _disputed(start: StartTurn, memory: Memory) -> frozenset[str]:
    """The findings that somebody disagrees on, and that have not been judged for it."""
    open_ones = {each.id for each in memory.findings if each.disputed_by and not each.has_answered}
    return frozenset({start.finding} if start.finding else open_ones)


def _no_finding(_finding: Finding) -> Refused:
    return Refused("This turn judges one finding and reports none.")


def _judged(each: Remembered, verdict: str, why: str) -> Became:
    known = each.known
    return Became(
        id=known.id,
        what="withdrawn" if verdict == "withdrawn" else "fixed" if verdict == "fixed" else "open",
        finding=known.finding,
        fingerprint=known.fingerprint,
        why=why,
        by_judgement=verdict == "fixed",
        holds=verdict in {"new_evidence", "still_there"},
    )


def _answers(memory: Memory, notes: Sequence[LineNote], bot: int | None) -> tuple[Answer, ...]:
    """What people have said in the findings' threads."""
    by_root = {each.comment: each.id for each in memory.findings if each.comment is not None}
    return tuple(
        Answer(finding=by_root[note.root], author=note.author, body=note.body)
        for note in notes
        if note.root in by_root and note.author_id != bot and not note.is_bot
    )
