"""Keeps a running turn's history within the model's context window: when to compact, and by what summary.

What a compaction keeps and states is decided in `harness.compaction`.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from harness.compaction import (
    LEVELS,
    OVERFLOWS,
    Draft,
    Reason,
    Room,
    compaction_of,
    draft_of,
    sizes_for,
    summary_request,
    text_of,
    weigher,
)
from harness.history import History
from harness.items import Item, Life, Notice, ThreadId
from harness.past import read
from harness.protocols import Journal, Model, ModelError, ModelRequest, ModelResponse

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ContextWindow:
    """Of one running turn, whose history it shares.

    `ask_model` and `record` are the turn's own: they raise what ends the turn, and
    count what an answer costs.
    """

    thread: ThreadId
    model: Model
    journal: Journal
    history: History
    room: Room
    fixed_tokens: int
    """An estimate for instructions and tools, which each request has besides the history."""
    ask_model: Callable[[ModelRequest], Awaitable[ModelResponse]]
    """Raises `ModelError` where waiting would not help."""
    record: Callable[[tuple[Life, Item]], Awaitable[None]]
    useless_below: int = 0
    """Below so many tokens a compaction gains too little: it was tried."""

    async def make_room(self) -> None:
        """Before a request: make the history short where it takes too much of the window."""
        tokens = self._tokens()
        last = self.history.compaction
        if last is not None and last.reason == "outline":
            # Stated once, so that the turns after this one begin with it.
            await self._compact("length")
        elif (
            (window := self._size()) is not None
            and tokens >= window * self.room.compact_at
            and tokens >= self.useless_below
            and not await self._compact("share")
        ):
            # Tried again when the history has grown by a twentieth of the window.
            self.useless_below = tokens + window // 20

    async def compact_as_asked(self, number: int) -> None:
        """A person's wish, message `number`: it counts as heard in either case."""
        if not await self._compact("asked", heard=number):
            told = "The history is short already: nothing was left out of it."
            await self.record((Life.COMPLETED, Notice(id=self.history.next_id(), text=told, heard=number)))

    async def has_made_room_after_overflow(self) -> bool:
        """Whether the question that the endpoint did not take may be asked again, over a shorter history."""
        return self.history.overflows < OVERFLOWS and await self._compact("overflow")

    async def _compact(self, reason: Reason, *, heard: int = 0) -> bool:
        """Put a summary in the place of the older part of the history. False when that would gain nothing."""
        if not self.history.is_settled:
            return False
        tokens = self._tokens()
        window = self._size()
        if reason == "overflow":
            window = tokens if window is None else min(window, tokens)
        sizes = sizes_for(reason, window)
        past = read(await self.journal.earlier(), await self.journal.load())
        # What did not fit once more is cut harder each time.
        hardest = LEVELS if reason == "overflow" else 1
        levels = range(min(self.history.overflows_in_a_row, hardest - 1), hardest)
        drafts = (
            draft_of(past, weigh=weigher(self.model.encode), keep=sizes.kept, level=level) for level in levels
        )
        draft = next((made for made in drafts if made is not None and made.gain >= sizes.least_gain), None)
        if draft is None:
            return False
        written = await self._summary_of(draft, tokens=sizes.record)
        compaction = compaction_of(
            draft,
            self.history.next_id(),
            written,
            reason=reason,
            model=self.model.name,
            tokens_before=tokens,
            overflowed_at=tokens if reason == "overflow" else self._overflowed_at(),
            heard=heard,
        )
        await self.record((Life.COMPLETED, compaction))
        fields = {"thread": self.thread, "reason": reason, "by": compaction.by, "tokens": tokens}
        logger.info("turn.compacted", extra={"fields": fields})
        return True

    async def _summary_of(self, draft: Draft, *, tokens: int) -> str:
        """The model's own summary; empty where it gives none, so that the turn goes on without."""
        if not draft.left_out:
            return ""
        for size in (tokens, tokens // 4):
            request = summary_request(draft, self.model.encode, tokens=size, cache_key=self.thread)
            try:
                return text_of(await self.ask_model(request))
            except ModelError as error:
                if error.fault != "context_overflow":
                    return ""
        return ""

    def _tokens(self) -> int:
        """About how many the next request has."""
        return self.history.tokens(self.fixed_tokens)

    def _size(self) -> int | None:
        """Tokens that a request may have: as it is set, or as the model was seen to take. None: not known."""
        known = [size for size in (self.room.window, self._overflowed_at()) if size]
        return min(known) if known else None

    def _overflowed_at(self) -> int:
        """What this model was seen not to take; 0: nothing yet."""
        last = self.history.compaction
        return last.overflowed_at if last is not None and last.model == self.model.name else 0
