"""Posts a review's comments: all in one call; what the forge refuses is degraded one step at a time.

Each comment carries a signed marker of its finding. A repeated try reads what is there and posts the rest.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from github.GithubException import GithubException

from app.forge_error import ForgeError, forge_error
from app.github import Client, GitHub, LineNote
from app.store.places import RepositoryRef
from handlers.effects import LineComment, PostReview, SettleThread
from handlers.events import PlacedFinding
from handlers.markers import make_marker, verify_marker
from handlers.review.suggestions import lines_in

log = logging.getLogger(__name__)

_ON_FILE: Final = "the forge does not take a comment on this line"
_IN_SUMMARY: Final = "the forge takes no comment on this file"
_NOT_AS_IT_IS: Final = "a part of the change looks like a secret, which no comment shows"


@dataclass(frozen=True, slots=True)
class Posting:
    """Knows how a review is posted. Holds no state of its own."""

    github: GitHub
    bot_id: Callable[[], int | None]
    marker_key: bytes
    clean: Callable[[str], Awaitable[str]]

    async def post(self, effect: PostReview, place: RepositoryRef) -> tuple[PlacedFinding, ...]:
        """Where each finding is now. Raises `ForgeError`."""
        if not effect.comments:
            return ()
        bodies = {
            comment.finding: f"{await self.clean(comment.body)}\n\n{self._marker(effect, comment)}"
            for comment in effect.comments
        }
        body = await self.clean(effect.body)

        def post(client: Client) -> tuple[PlacedFinding, ...]:
            there = self._there(client, effect)
            missing = [comment for comment in effect.comments if comment.finding not in there]
            if missing:
                _Attempt(client, effect, body, bodies).post(missing)
                there = self._there(client, effect)
            return tuple(_placed(comment, there.get(comment.finding)) for comment in effect.comments)

        return await self.github.run(place, post)

    async def post_whole(self, effect: PostReview, place: RepositoryRef) -> str:
        """All of its comments in one review, or none: then why. Raises `ForgeError`."""
        bodies = {}
        for comment in effect.comments:
            cleaned = await self.clean(comment.body)
            if lines_in(cleaned) != lines_in(comment.body):
                return _NOT_AS_IT_IS
            bodies[comment.finding] = f"{cleaned}\n\n{self._marker(effect, comment)}"
        body = await self.clean(effect.body)

        def post(client: Client) -> str:
            if self._there(client, effect):
                return ""
            try:
                _Attempt(client, effect, body, bodies).post_all(effect.comments)
            except GithubException as error:
                if error.status != 422:
                    raise
                return forge_error(error).message
            return ""

        return await self.github.run(place, post)

    async def settle(self, effect: SettleThread, place: RepositoryRef) -> Mapping[str, Any]:
        """Without the right to it the reply says it all."""
        try:
            found = await self.github.run_settling(
                place,
                lambda client: client.settle_thread(
                    effect.number, effect.comment, is_resolved=effect.is_resolved
                ),
            )
        except ForgeError as error:
            if error.is_passing:
                raise
            log.info("thread.not_settled", extra={"fields": {"comment": effect.comment, "error": str(error)}})
            return {"skipped": str(error)}
        return {"settled": found}

    def _marker(self, effect: PostReview, comment: LineComment) -> str:
        return make_marker("finding", f"{effect.turn_id}:{comment.finding}", key=self.marker_key)

    def _there(self, client: Client, effect: PostReview) -> Mapping[str, LineNote]:
        """The comments of this review that the forge has, by finding."""
        mine = [note for note in client.line_notes(effect.number) if note.author_id == self.bot_id()]
        found: dict[str, LineNote] = {}
        for comment in effect.comments:
            name = f"{effect.turn_id}:{comment.finding}"
            for note in mine:
                if verify_marker(note.body, "finding", name, key=self.marker_key):
                    found[comment.finding] = note
                    break
        return found


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try at what is not there yet."""

    client: Client
    effect: PostReview
    body: str
    bodies: Mapping[str, str]

    def post(self, comments: Sequence[LineComment]) -> None:
        """Each on its lines, else on its file; what the forge takes on neither is for the summary."""
        try:
            self.post_all(comments)
        except GithubException as error:
            # One anchor that is refused takes all others with it, and the answer does not name it.
            if error.status != 422:
                raise
            if len(comments) == 1:
                self._on_file(comments[0])
                return
            half = len(comments) // 2
            self.post(comments[:half])
            self.post(comments[half:])

    def post_all(self, comments: Sequence[LineComment]) -> None:
        """In one review."""
        self.client.create_review(
            self.effect.number,
            sha=self.effect.head_sha,
            body=self.body,
            comments=[self._fields(comment) for comment in comments],
        )

    def _on_file(self, comment: LineComment) -> None:
        log.warning("review.anchor_refused", extra={"fields": {"path": comment.path, "line": comment.line}})
        try:
            self.client.comment_on_file(
                self.effect.number,
                sha=self.effect.head_sha,
                path=comment.path,
                body=self.bodies[comment.finding],
            )
        except GithubException as error:
            if error.status not in {404, 422}:
                raise

    def _fields(self, comment: LineComment) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "path": comment.path,
            "side": comment.side,
            "line": comment.line,
            "body": self.bodies[comment.finding],
        }
        if comment.start_line is not None:
            fields |= {"start_line": comment.start_line, "start_side": comment.side}
        return fields


def _placed(comment: LineComment, note: LineNote | None) -> PlacedFinding:
    """By what the forge has: an earlier try may have put it there, and have died before that was stored."""
    if note is None:
        return PlacedFinding(comment.finding, "summary", None, "", _IN_SUMMARY)
    if note.is_on_file:
        return PlacedFinding(comment.finding, "file", note.id, note.url, _ON_FILE)
    return PlacedFinding(comment.finding, "inline", note.id, note.url, "")
