"""What a request asks for, as it is stored: written when it is asked, read when it is answered."""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from handlers.view import AskedRequest


@dataclass(frozen=True, slots=True)
class Wanted:
    wanted: tuple[str, ...]
    """The command; the hosts; the paths; the held files; the question and its options."""
    asker: int
    """GitHub's id of the person who asked for the turn."""
    branch: str = ""
    """Where held files go: the branch that the turn has pushed to; empty: it pushed nothing."""


_ADAPTER: Final = TypeAdapter(Wanted)


def written(wanted: Wanted) -> str:
    return _ADAPTER.dump_json(wanted).decode()


def wanted_of(request: AskedRequest) -> Wanted:
    return read(request.asked)


def read(text: str) -> Wanted:
    return _ADAPTER.validate_json(text)
