"""Names that the parts of a review find each other by."""

import hashlib


def summary_key(thread: str) -> str:
    """Of the effect that posts the one comment of a pull request's reviews, which is edited from then on."""
    return f"{thread}:review:summary"


def thread_name(repository_id: int, number: int) -> str:
    """The conversation's name in the store."""
    return f"{repository_id}-{number}"


def turn_id_of(act: str) -> str:
    """The id of the turn that an act asks for."""
    return hashlib.sha256(act.encode()).hexdigest()[:12]
