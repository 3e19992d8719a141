"""How many tokens a request may have, for models whose maker says so. For others the endpoint will tell."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WINDOWS: Final[Mapping[str, int]] = MappingProxyType(
    {
        # https://platform.openai.com/docs/models/gpt-5: 400,000 in all, of which 128,000 are kept for the
        # answer; a request of more than 272,000 is refused.
        "gpt-5": 272_000,
        "gpt-5-mini": 272_000,
        "gpt-5-nano": 272_000,
        "gpt-5-codex": 272_000,
        "gpt-5.1": 272_000,
        "gpt-5.1-codex": 272_000,
        # https://platform.openai.com/docs/models/gpt-4.1
        "gpt-4.1": 1_047_576,
        "gpt-4.1-mini": 1_047_576,
        "gpt-4.1-nano": 1_047_576,
        # https://platform.openai.com/docs/models/gpt-4o
        "gpt-4o": 128_000,
        "gpt-4o-mini": 128_000,
        # https://platform.openai.com/docs/models/o3, https://platform.openai.com/docs/models/o4-mini
        "o3": 200_000,
        "o4-mini": 200_000,
    }
)
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}\Z")
"""Of a fixed version: it has the window of its model."""


def window_of(model: str) -> int | None:
    """None: not known."""
    return WINDOWS.get(_DATE.sub("", model))
