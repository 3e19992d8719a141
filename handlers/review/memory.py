"""What is known of a pull request from its reviews before: kept in the store, looked at by the handlers."""

from dataclasses import dataclass, field
from typing import Literal

from handlers.review.plan import Unread
from handlers.review.standing import Known
from harness.findings import Severity

Shown = Literal["inline", "file", "summary", "quiet"]
"""On its lines, on its file, in the summary only, as an annotation of the check run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A finding, where it was said, and what people made of it."""

    known: Known
    shown: Shown
    comment: int | None = None
    """Id of the comment that begins its thread; None where it has none."""
    url: str = ""
    sha: str = ""
    """The head at which it was fixed."""
    by: str = ""
    """Login of whoever dismissed it."""
    reason: str = ""
    """Why it is not shown on its lines."""
    turn: str = ""
    """The review that found it."""
    disputed_by: str = ""
    """Login of whoever disagreed; the agent judges once."""
    has_answered: bool = False
    """Whether the agent has had its second word."""
    reactions: str = ""
    """What people thought of it: `2 👍, 1 👎`."""

    @property
    def id(self) -> str:
        return self.known.id

    @property
    def severity(self) -> Severity:
        return self.known.finding.severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A finding of another pull request of the repository."""

    number: int
    finding: Remembered

    @property
    def is_decided(self) -> bool:
        """Whether people, or the agent after somebody disagreed, have said that it is none."""
        return self.finding.known.state in ("dismissed", "withdrawn")


RowState = Literal["new", "open", "moved", "reopened", "fixed", "withdrawn", "dismissed"]
"""What a summary says of a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a review's summary told: kept, so that the summary can be written again."""

    files: int = 0
    """How many were read."""
    states: dict[str, RowState] = field(default_factory=dict)
    """Of the findings, by id."""
    unread: tuple[Unread, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReview:
    turn: str
    head_sha: str
    patches: dict[str, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    last: LastReview | None = None
    findings: tuple[Remembered, ...] = ()
    """Oldest first."""
    summary_url: str = ""
    """Of the one comment that is edited in place; empty: there is none yet."""

    def by_comment(self, root: int) -> Remembered | None:
        """The finding whose thread begins with this comment."""
        return next((each for each in self.findings if each.comment == root), None)
