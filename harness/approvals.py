"""What a turn may ask of people, and under which name. Decides nothing, and reaches nobody."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.items import ApprovalRequest, ItemId, TurnId
from harness.protocols import Ask

LONGEST_PLACE: Final = 200
LONGEST_SHOWN: Final = 4_000
"""Characters of what is asked for. Whoever decides must see all of it."""


class Approvals(StrEnum):
    """When a turn asks people."""

    NEVER = "never"
    """What would be asked for is not granted."""
    ON_REQUEST = "on-request"
    """Where a rule says so, and where the agent does."""
    UNTRUSTED = "untrusted"
    """Besides, before each command that no rule allows."""


@dataclass(frozen=True, slots=True)
class Askable:
    """What the turn may ask people for; the default is a turn that has nobody to ask."""

    may_ask: bool = False
    is_untrusted: bool = False
    """Whether a command that no rule allows needs a person's leave."""
    hosts: tuple[str, ...] = ()
    """Rules of the allow-list that people may add to the turn's network."""
    allowed_hosts: tuple[str, ...] = ()
    """What it reaches already."""
    paths: tuple[str, ...] = ()
    """The protected paths that people may open to it."""


def request_id(turn: TurnId | str, item: ItemId | str) -> str:
    """The name that people type. The same request always has the same one: it is asked for once."""
    return hashlib.sha256(f"{turn}/{item}".encode()).hexdigest()[:8]


def digest_of(kind: str, wanted: Sequence[str], *more: str | bool) -> str:
    """Names exactly this: another text, order or option has another digest."""
    written = json.dumps([kind, list(wanted), *more], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def is_shown_whole(ask: Ask) -> bool:
    """Whether a person can be shown all that is asked for."""
    return sum(map(len, ask.wanted)) <= LONGEST_SHOWN and _is_plain(ask.place)


def _is_plain(place: str) -> bool:
    """Whether a directory reads in a line of text as what it is."""
    is_one_line = place.isascii() and place.isprintable() and " ".join(place.split()) == place
    return is_one_line and "`" not in place and len(place) <= LONGEST_PLACE


WAITS_FOR: Final = {
    "command": "leave to run a command",
    "network": "leave to reach hosts",
    "paths": "leave to change protected paths",
    "question": "an answer to its question",
}


def told_of(turn: TurnId, asked: ApprovalRequest) -> str:
    """What a parked turn waits for, in one sentence."""
    return f"The turn waits for {WAITS_FOR[asked.kind]} (request {request_id(turn, asked.id)})."
