"""How a play waits for what should happen, and tells whether all of it did."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from rich.console import Console

if TYPE_CHECKING:
    from demo.forge.person import CheckRun, Person

T = TypeVar("T")

PATIENCE_SECONDS: Final = 900.0
"""For a real model, which may think for long."""
SCRIPTED_PATIENCE_SECONDS: Final = 100.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Expectation:
    """Something that should be there in the end, as a sentence."""

    sentence: str
    holds: bool


async def until(look: Callable[[], Awaitable[T | None]], *, patience: float) -> T | None:
    """What `look` finds as soon as it finds something; None when it has not after `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(POLL_SECONDS)
    return None


async def completed(person: "Person", repository: str, sha: str, name: str) -> "CheckRun | None":
    """The newest check run of this name, if it has ended."""
    runs = [run for run in await person.check_runs(repository, sha) if run.name == name]
    return runs[-1] if runs and runs[-1].status == "completed" else None


def tell(console: Console, expected: Iterable[Expectation]) -> bool:
    """Print each with a mark; whether all hold."""
    all_hold = True
    for each in expected:
        mark = "[green]✓[/]" if each.holds else "[red]✗[/]"
        console.print(f"  {mark} {each.sentence}", markup=True)
        all_hold &= each.holds
    return all_hold
