"""The check run under which a repair is offered: what names it, and what its button is about."""

import re
from typing import Final

BUTTON: Final = "repair"
"""Begins the identifier of the button; the number of the attempt follows."""
_NAMED: Final = re.compile(r"ci-([1-9][0-9]{0,9})-[0-9a-f]{12}")


def offer_id(number: int, sha: str) -> str:
    """The `external_id` of the offer for the head `sha` of the pull request `number`."""
    return f"ci-{number}-{sha[:12]}"


def pull_of_offer(external_id: str) -> int | None:
    """The pull request; None where the check run is of something else."""
    named = _NAMED.fullmatch(external_id)
    return None if named is None else int(named[1])


def button_id(attempt: int) -> str:
    """Another attempt is another button: pressing the same one twice is one wish."""
    return f"{BUTTON} {attempt}"


def is_button(identifier: str) -> bool:
    return identifier.partition(" ")[0] == BUTTON
