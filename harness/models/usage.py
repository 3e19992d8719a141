"""What an endpoint tells of tokens, as far as it can be believed."""

from typing import Final

MOST_TOLD: Final = 1_000_000_000
"""Of one request: no model reads or writes as much, and sums of it stay within a database's numbers."""


def tokens_told(told: int | None) -> int:
    """A count that can be added up: nothing told is nothing, and nobody gives tokens back."""
    return min(max(told or 0, 0), MOST_TOLD)
