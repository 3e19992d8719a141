"""Does the effects, at least once each: the one place from which anything is written to the forge.

Every text passes the broker's scanner here, whatever it came from; a write that may have happened (`attempts`
is not 0) is looked for by its signed marker, external id, branch or SHA before it is made.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, assert_never
from urllib.parse import urlsplit

from app.forge_error import ForgeError
from app.github import MAX_BODY, Client, GitHub, PostedComment
from app.github_checks import rerun_failed
from app.mirrors import Mirrors
from app.posting import Posting
from app.results import Results
from app.store import forgetting, inbox, outbox, turns
from app.store.database import Database
from app.store.outbox import Pending
from app.store.places import RepositoryRef
from app.undoing import Undoing
from handlers.effects import (
    Annotation,
    AskApproval,
    CompactThread,
    Decide,
    EditComment,
    ForgetThread,
    HoldThread,
    Ignore,
    LiftBudget,
    LookAtChecks,
    NoteChecks,
    OpenPull,
    PauseTurn,
    PostComment,
    PostReview,
    PushResult,
    React,
    RecordReview,
    RerunJobs,
    ResumeTurn,
    SetBudget,
    SettleThread,
    StartTurn,
    SteerTurn,
    StopTurn,
    UndoTurn,
    WriteCheckRun,
)
from handlers.events import (
    EffectFailed,
    InternalEvent,
    PullReady,
    PushRefused,
    ResultPushed,
    ReviewPosted,
    SuggestionsPosted,
    TurnEnded,
    TurnEvent,
    ended_of,
)
from handlers.markers import make_marker, verify_marker
from handlers.scan import scan
from handlers.view import Bot
from sandbox.git.mirror import BranchProtected, Denied, HeadMoved, Identity, Mirror, Pushed
from sandbox.result import MAX_FILE_BYTES, ChangedFile

log = logging.getLogger(__name__)

MARKER_ROOM: Final = 700
"""Characters that the hidden marker may take."""


@dataclass(frozen=True, slots=True)
class Performed:
    """What doing an effect came to."""

    result: dict[str, Any] = field(default_factory=dict)
    """Kept with the effect: ids that later effects refer to."""
    event: InternalEvent | None = None
    """What happened by it, for the handlers."""


class Performer:
    """Knows how each effect is done. Holds no state of its own."""

    def __init__(
        self,
        database: Database,
        github: GitHub,
        mirrors: Mirrors,
        results: Results,
        *,
        bot: Callable[[], Bot],
        marker_key: bytes,
        secrets: Callable[[], Sequence[str]],
    ) -> None:
        self._database = database
        self._github = github
        self._mirrors = mirrors
        self._results = results
        self._bot = bot
        self._marker_key = marker_key
        self._secrets = secrets
        self._posting = Posting(
            github, bot_id=lambda: self._bot().id, marker_key=marker_key, clean=self.clean
        )
        self._undoing = Undoing(github, mirrors, plain=self.plain, author=self._author)

    async def perform(self, pending: Pending, thread: str, place: RepositoryRef) -> Performed:
        """Do it. Raises `ForgeError` and `sandbox.git.GitFailed`."""
        effect = pending.effect
        match effect:
            case React():
                return await self._react(effect, thread, place)
            case PostComment():
                return await self._post_comment(effect, place, is_repeat=pending.attempts > 0)
            case EditComment():
                return await self._edit_comment(effect, place)
            case PushResult():
                return await self._push(effect, place, cause=pending.cause)
            case OpenPull():
                return await self._open_pull(effect, place, cause=pending.cause)
            case WriteCheckRun() | RerunJobs():
                return await self._on_checks(effect, place)
            case UndoTurn():
                undone = await self._undoing.undo(effect, place)
                return Performed({"sha": undone.sha, "undo": undone.result}, undone)
            case PostReview() | SettleThread():
                return await self._review(effect, place, cause=pending.cause)
            case ForgetThread():
                return await self._forget(thread, place)
            case (
                StartTurn()
                | SteerTurn()
                | StopTurn()
                | PauseTurn()
                | ResumeTurn()
                | HoldThread()
                | CompactThread()
                | AskApproval()
                | Decide()
                | SetBudget()
                | LiftBudget()
                | RecordReview()
                | LookAtChecks()
                | NoteChecks()
                | Ignore()
            ):
                # Done with the decision, in its transaction.
                return Performed()
            case _:
                assert_never(effect)

    async def clean(self, text: str, *, requester: str = "") -> str:
        """A Markdown text as it may leave the house. Scanned in a thread: a hostile text takes seconds."""
        return await asyncio.to_thread(self._scanned, text, requester=requester, form="markdown")

    async def plain(self, text: str) -> str:
        """A title or commit message as it may leave the house."""
        return await asyncio.to_thread(self._scanned, text, requester="", form="plain")

    def _scanned(self, text: str, *, requester: str, form: Literal["markdown", "plain"]) -> str:
        scanned = scan(
            text,
            secrets=tuple(self._secrets()),
            allowed_mentions=tuple(login for login in (requester, self._bot().mention) if login),
            own_hosts=(urlsplit(self._github.web_url).netloc,),
            limit=MAX_BODY - MARKER_ROOM,
            form=form,
        )
        if scanned.findings:
            log.warning("outbound.cleaned", extra={"fields": dict(scanned.findings)})
        return scanned.text

    async def edit_progress(
        self, place: RepositoryRef, start: StartTurn, posted: Mapping[str, Any], body: str
    ) -> None:
        """Show how a running turn goes. Raises `ForgeError`; nothing is lost by it."""
        text = await self._marked(start.progress_key, body, requester=start.requester.login)
        comment: int = posted["comment"]
        in_review: bool = posted["in_review"]
        await self._github.run(place, lambda client: client.edit_comment(comment, text, in_review=in_review))

    async def _marked(self, key: str, body: str, *, requester: str) -> str:
        """A comment's body, scanned, with the hidden marker by which a repeated try finds it."""
        marker = make_marker("comment", key, key=self._marker_key)
        return f"{await self.clean(body, requester=requester)}\n\n{marker}"

    async def _forget(self, thread: str, place: RepositoryRef) -> Performed:
        """What the decision has left: what the turns' files were."""
        rows = await self._database.read(lambda connection: turns.of_thread(connection, thread))
        await self._results.forget(place, rows)
        await self._database.write(lambda connection: forgetting.drop_snapshots(connection, thread))
        return Performed()

    async def _review(
        self, effect: PostReview | SettleThread, place: RepositoryRef, *, cause: int
    ) -> Performed:
        if isinstance(effect, SettleThread):
            return Performed(dict(await self._posting.settle(effect, place)))
        if effect.is_whole:
            return await self._suggestions(effect, place, cause=cause)
        placed = await self._posting.post(effect, place)
        ended = await self._ended(cause)
        return Performed({"placed": len(placed)}, ReviewPosted(ended=ended, placed=placed))

    async def _suggestions(self, effect: PostReview, place: RepositoryRef, *, cause: int) -> Performed:
        refused = await self._posting.post_whole(effect, place)
        event = await self._database.read(lambda connection: inbox.event_of(connection, cause))
        push = event if isinstance(event, PushRefused | EffectFailed) else None
        posted = SuggestionsPosted(ended=await self._ended(cause), refused=refused, push=push)
        return Performed({"placed": 0 if refused else len(effect.comments), "refused": refused}, posted)

    async def _react(self, effect: React, thread: str, place: RepositoryRef) -> Performed:
        number = int(thread.split("-")[1])
        await self._github.run(place, lambda client: client.react(number, effect.target, effect.content))
        return Performed()

    async def _post_comment(self, effect: PostComment, place: RepositoryRef, *, is_repeat: bool) -> Performed:
        body = await self._marked(effect.key, effect.body, requester=effect.requester)

        def post(client: Client) -> PostedComment:
            if is_repeat and (found := self._find(client, effect)):
                return found
            if effect.review_thread is not None:
                return client.reply(effect.number, effect.review_thread, body)
            return client.post_comment(effect.number, body)

        comment = await self._github.run(place, post)
        in_review = effect.review_thread is not None
        return Performed({"comment": comment.id, "url": comment.url, "in_review": in_review})

    def _find(self, client: Client, effect: PostComment) -> PostedComment | None:
        """The comment of an earlier try: written by us, and its marker signed by us."""
        where = client.review_replies if effect.review_thread is not None else client.comments
        for comment in reversed(where(effect.number)):
            is_ours = comment.author_id == self._bot().id
            if is_ours and verify_marker(comment.body, "comment", effect.key, key=self._marker_key):
                return comment
        return None

    async def _edit_comment(self, effect: EditComment, place: RepositoryRef) -> Performed:
        posted = await self._database.read(lambda connection: outbox.result_of(connection, effect.posted_key))
        if "comment" not in posted:
            return Performed({"skipped": "the comment to edit was never posted"})
        body = await self._marked(effect.posted_key, effect.body, requester=effect.requester)
        comment: int = posted["comment"]
        in_review: bool = posted["in_review"]
        await self._github.run(place, lambda client: client.edit_comment(comment, body, in_review=in_review))
        return Performed(posted)

    async def _push(self, effect: PushResult, place: RepositoryRef, *, cause: int) -> Performed:
        ended = await self._ended(cause)
        turn = await self._database.read(lambda connection: turns.find(connection, effect.turn_id))
        if turn is None or turn.snapshot is None:
            msg = f"the result of turn {effect.turn_id} is not in the store"
            raise ForgeError("invalid", msg, status=0)
        base = ended.start.base_sha
        mirror = await self._results.mirror_with(place, turn, base, effect.parent)
        if effect.replays and not await _same_files(mirror, base, effect.parent, effect.paths):
            return _refused(ended, effect, "head_moved", "the same files have changed there")
        sha = await mirror.commit(
            parent=effect.parent,
            changes=await _delivered(mirror, turn.snapshot, ended, effect.paths),
            message=await self.plain(effect.message),
            author=self._author(),
            # The turn's date, not the clock's: a repeated push makes the same commit.
            date=int(turn.ended_at or turn.created_at),
        )
        fork = effect.fork
        where = place if fork is None else RepositoryRef(fork.id, fork.full_name, fork.installation)
        try:
            async with self._mirrors.push_remote(where) as remote:
                outcome = await mirror.push(remote, sha=sha, branch=effect.branch, expected=effect.expected)
        except ForgeError as error:
            if fork is None or error.is_passing:
                raise
            # The App was taken off the fork since.
            outcome = Denied(str(error))
        match outcome:
            case Pushed():
                return Performed({"sha": sha}, ResultPushed(ended=ended, push=effect, sha=sha))
            case HeadMoved(current):
                return _refused(ended, effect, "head_moved", current or "")
            case Denied(detail):
                return _refused(ended, effect, "denied", detail)
            case BranchProtected(detail):
                return _refused(ended, effect, "branch_protected", detail)
            case _:
                assert_never(outcome)

    def _author(self) -> Identity:
        """By this address the forge shows the commit as the bot's."""
        bot = self._bot()
        host = urlsplit(self._github.web_url).hostname
        return Identity(bot.login, f"{bot.id}+{bot.login}@users.noreply.{host}")

    async def _ended(self, cause: int) -> TurnEnded:
        """The end of the turn whose result an effect is about."""
        event = await self._database.read(lambda connection: inbox.event_of(connection, cause))
        if not isinstance(event, TurnEvent):
            msg = "the effect was caused by no turn"
            raise ForgeError("invalid", msg, status=0)
        return ended_of(event)

    async def _open_pull(self, effect: OpenPull, place: RepositoryRef, *, cause: int) -> Performed:
        event = await self._database.read(lambda connection: inbox.event_of(connection, cause))
        if not isinstance(event, ResultPushed):
            msg = "a pull request is opened only after its push"
            raise ForgeError("invalid", msg, status=0)
        requester = event.ended.start.requester.login
        title = (await self.plain(effect.title)).replace("\n", " ")[:240]
        body = await self.clean(effect.body, requester=requester)

        def open_or_find(client: Client) -> tuple[int, str]:
            # A branch of ours is one turn's: its pull request, if there is one, is the one we want.
            pull = client.find_pull(effect.head) or client.open_pull(
                head=effect.head, base=effect.base, title=title, body=body
            )
            return pull.number, pull.url

        number, url = await self._github.run(place, open_or_find)
        ready = PullReady(pushed=event, pull=effect, number=number, url=url)
        return Performed({"pull": number, "url": url}, ready)

    async def _annotation(self, each: Annotation) -> dict[str, Any]:
        return {
            "path": each.path,
            "start_line": each.start_line,
            "end_line": each.end_line,
            "annotation_level": each.level,
            "title": _line(await self.plain(each.title))[:240],
            "message": (await self.plain(each.message))[:16_000],
        }

    async def _on_checks(self, effect: WriteCheckRun | RerunJobs, place: RepositoryRef) -> Performed:
        if isinstance(effect, WriteCheckRun):
            return await self._write_check_run(effect, place)
        run, attempt = effect.run, effect.attempt
        done = await self._github.run(place, lambda client: rerun_failed(client, run, attempt=attempt))
        return Performed({"rerun": done})

    async def _write_check_run(self, effect: WriteCheckRun, place: RepositoryRef) -> Performed:
        fields: dict[str, Any] = {
            "name": effect.name,
            "status": effect.status,
            "output": {
                "title": (await self.plain(effect.title))[:240],
                "summary": await self.clean(effect.summary),
            },
        }
        annotations = [await self._annotation(each) for each in effect.annotations]
        if effect.conclusion is not None:
            fields["conclusion"] = effect.conclusion
        fields["actions"] = [
            {"identifier": action.identifier, "label": action.label, "description": action.description}
            for action in effect.actions
        ]

        def write(client: Client) -> int:
            return client.write_check_run(
                external_id=effect.external_id,
                head_sha=effect.head_sha,
                fields=fields,
                annotations=annotations,
            )

        try:
            return Performed({"check_run": await self._github.run(place, write)})
        except ForgeError as error:
            # Only Apps may write check runs; under a personal token the comment says it all.
            # https://docs.github.com/en/rest/checks/runs#create-a-check-run
            if error.fault == "denied":
                return Performed({"skipped": "check runs need an App"})
            raise


def _line(text: str) -> str:
    return " ".join(text.split())


async def _same_files(mirror: Mirror, one: str, other: str, paths: Sequence[str]) -> bool:
    """Whether each of these files is the same in both commits, or in neither."""
    for path in paths:
        before = await mirror.read_entry(one, path, limit=MAX_FILE_BYTES)
        if before != await mirror.read_entry(other, path, limit=MAX_FILE_BYTES):
            return False
    return True


async def _delivered(
    mirror: Mirror, snapshot: str, ended: TurnEnded, paths: Sequence[str]
) -> list[ChangedFile]:
    """The changes at `paths`, as the turn left them."""
    by_path = {change.path: change for change in ended.changes}
    files: list[ChangedFile] = []
    for path in paths:
        change = by_path[path]
        is_gone = change.kind == "delete"
        data = None if is_gone else await mirror.read_entry(snapshot, path, limit=MAX_FILE_BYTES)
        files.append(ChangedFile(path=path, kind=change.kind, mode=change.mode, data=data))
    return files


def _refused(
    ended: TurnEnded,
    push: PushResult,
    reason: Literal["head_moved", "denied", "branch_protected"],
    detail: str,
) -> Performed:
    refused = PushRefused(ended=ended, push=push, reason=reason, detail=detail)
    return Performed({"refused": reason, "detail": detail}, refused)
