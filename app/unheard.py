"""Requests that no webhook told of, read from the forge: for a personal token, whose webhooks stay lost.

What was missed while the server was down is read from the repositories that have been heard of, and goes in
by the webhooks' door: as the delivery that would have told of it, under the same name of the act. So nothing
is taken twice, and who asked is judged by the same rules.
https://docs.github.com/en/rest/issues/comments#list-issue-comments-for-a-repository
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from app.forge_error import ForgeError
from app.forge_limits import ForgeLimits
from app.github import PAGE, Client, GitHub
from app.store import unheard
from app.store.database import Database
from app.store.places import RepositoryRef
from handlers.events import ExternalEvent, IssueCommented, ReviewCommented, SubjectOpened
from handlers.ingest import BadPayload, parse, semantic_key, why_no_request
from handlers.view import Bot

log = logging.getLogger(__name__)

LONGEST_SECONDS: Final = 24 * 3600.0
"""What is older has been asked again by now, or done by hand."""
SETTLE_SECONDS: Final = 30.0
"""For so long a webhook may be on its way: what is younger is left to the next look."""
CLOCKS_APART_SECONDS: Final = 300.0
"""By which the forge's clock may differ from ours; what is read twice is taken once."""
MOST_PAGES: Final = 5
"""Of each kind of text in a repository, the newest."""
_LISTS: Final = ("/issues", "/issues/comments", "/pulls/comments")


@dataclass(frozen=True, slots=True)
class Told:
    """A webhook as the forge would have sent it when something was written."""

    name: str
    at: float
    """When it was written."""
    changed_at: float
    """When it was edited last, if the forge tells that apart; of an issue: when anything happened there."""
    payload: Mapping[str, Any]

    @property
    def body(self) -> bytes:
        return json.dumps(self.payload).encode()


class Unheard:
    """Reads at the start and from time to time; of several processes one."""

    def __init__(
        self,
        database: Database,
        github: GitHub,
        limits: ForgeLimits,
        *,
        take: Callable[[str, str, bytes], Awaitable[bool]],
        bot: Callable[[], Bot],
        every: float,
        is_my_turn: Callable[[str, float], Awaitable[bool]],
        settle: float = SETTLE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`take`: a delivery by GUID, event name and body; False when it was known. `every`: seconds."""
        self._database = database
        self._github = github
        self._limits = limits
        self._take = take
        self._bot = bot
        self._every = every
        self._is_my_turn = is_my_turn
        self._settle = settle
        self._now = now
        self._read_until: dict[int, float] = {}

    async def watch(self) -> None:
        """For as long as the server runs."""
        # What was written in the last moment of an outage is old enough then.
        await asyncio.sleep(self._settle)
        while True:
            try:
                if await self._is_my_turn("darner-unheard", self._every / 2):
                    await self.look()
            except SQLAlchemyError as error:
                # The database is out of order: the next look is soon enough.
                log.warning("unheard.not_read", extra={"fields": {"error": type(error).__name__}})
            await asyncio.sleep(self._every)

    async def look(self) -> int:
        """Read every repository once, from where the last look ended; how many requests were taken."""
        taken = 0
        for place in await self._database.read(unheard.repositories):
            if self._limits.is_scarce(place.installation):
                continue
            try:
                taken += await self._read(place)
            except ForgeError as error:
                # It may be gone, or the forge be out of order: the next look begins at the same time.
                fields = {"repository": place.full_name, "error": str(error)}
                log.info("unheard.not_told", extra={"fields": fields})
        return taken

    async def _read(self, place: RepositoryRef) -> int:
        now = self._now()
        oldest, settled = now - LONGEST_SECONDS, now - self._settle
        since = max(oldest, self._read_until.get(place.id, oldest) - CLOCKS_APART_SECONDS)
        bot = self._bot()
        told = await self._github.run(place, lambda client: told_since(client, place, since, bot))
        taken = 0
        for one in told:
            if oldest <= one.at and one.changed_at <= settled and await self._was_missed(one):
                taken += 1
        self._read_until[place.id] = settled
        return taken

    async def _was_missed(self, told: Told) -> bool:
        """Take it, unless the text was heard of before: then it was no more than edited."""
        act = semantic_key(parse(told.name, told.body)) or ""
        if await self._database.read(lambda connection: unheard.is_known(connection, act)):
            return False
        guid = str(uuid.uuid5(uuid.NAMESPACE_URL, act))
        if not await self._take(guid, told.name, told.body):
            return False
        log.info("unheard.taken", extra={"fields": {"guid": guid, "event": told.name, "act": act}})
        return True


def told_since(client: Client, place: RepositoryRef, since: float, bot: Bot) -> list[Told]:
    """What asks something of the bot, of all that was written or changed since; oldest first."""
    texts = [(path, raw) for path in _LISTS for raw in _newest(client, path, since)]
    # The forge's clock has whole seconds: of one of them, what a comment stands on comes before it.
    texts.sort(key=lambda text: (text[1]["created_at"], _LISTS.index(text[0]), text[1]["id"]))
    asking = [(path, raw) for path, raw in texts if f"@{bot.mention}".casefold() in _body(raw).casefold()]
    if not asking:
        return []
    repository = client.read("")
    if repository["id"] != place.id:
        # Another one bears the name by now.
        return []
    told = [_told(client, path, raw, repository) for path, raw in asking]
    return [one for one in told if one is not None and _asks(one, bot)]


def _newest(client: Client, path: str, since: float) -> Iterator[dict[str, Any]]:
    at = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {"since": at, "sort": "updated", "direction": "desc", "per_page": PAGE}
    if path == "/issues":
        asked["state"] = "all"
    for page in range(1, MOST_PAGES + 1):
        raws = client.read(path, page=page, **asked)
        yield from raws
        if len(raws) < PAGE:
            return


def _told(client: Client, path: str, raw: dict[str, Any], repository: dict[str, Any]) -> Told | None:
    """As when it was written: its time is that of its first webhook, so that the act has the same name.

    None for what stands on something that was deleted since the list was read.
    """
    written = {**raw, "updated_at": raw["created_at"]}
    payload: dict[str, Any] = {"action": "created", "repository": repository, "sender": raw["user"]}
    match path:
        case "/issues/comments":
            name = "issue_comment"
            subject = client.read_if_there(f"/issues/{_number(raw['issue_url'])}")
            payload |= {"comment": written, "issue": subject}
        case "/pulls/comments":
            name = "pull_request_review_comment"
            subject = client.read_if_there(f"/pulls/{_number(raw['pull_request_url'])}")
            payload |= {"comment": written, "pull_request": subject}
        case _ if raw.get("pull_request"):
            name = "pull_request"
            subject = client.read_if_there(f"/pulls/{raw['number']}")
            pull = {**(subject or {}), "updated_at": raw["created_at"]}
            payload |= {"action": "opened", "pull_request": pull}
        case _:
            name = "issues"
            subject = written
            payload |= {"action": "opened", "issue": written}
    if subject is None:
        return None
    at, changed_at = (datetime.fromisoformat(raw[when]).timestamp() for when in ("created_at", "updated_at"))
    return Told(name, at, changed_at, payload)


def _asks(told: Told, bot: Bot) -> bool:
    try:
        event: ExternalEvent = parse(told.name, told.body)
    except BadPayload as error:
        log.warning("unheard.not_understood", extra={"fields": {"error": str(error)}})
        return False
    return (
        isinstance(event, IssueCommented | ReviewCommented | SubjectOpened)
        and why_no_request(event, bot) is None
    )


def _number(url: str) -> int:
    return int(url.rpartition("/")[2])


def _body(raw: dict[str, Any]) -> str:
    return raw.get("body") or ""
