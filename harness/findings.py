"""Findings as the agent reports them: places in files with what is wrong there. Knows nothing of GitHub.

What becomes of a finding is decided by whoever runs the turn: `CheckFinding` and `CheckJudgement` are theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import TypeAdapter

Side = Literal["LEFT", "RIGHT"]
"""LEFT is the file before the change, RIGHT the file after it."""
Severity = Literal["P0", "P1", "P2", "P3"]
"""P0 must not be merged, P1 should be mended first, P2 is worth mending, P3 is a remark."""
SEVERITIES: Final[tuple[Severity, ...]] = ("P0", "P1", "P2", "P3")
"""Most severe first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One claim about lines `start_line` to `end_line` (from 1, both included) of one side of a file."""

    path: str
    """The file's path after the change, also on the left side of a renamed file."""
    start_line: int
    end_line: int
    side: Side = "RIGHT"
    severity: Severity
    confidence: float
    """From 0 to 1."""
    title: str
    """The claim in one sentence."""
    why: str
    """With the input or the path that fails."""
    rule: str = ""
    """A short name of the kind of problem, the same for all of its places."""
    replacement: str | None = None
    """The text to stand instead of the lines; empty: they go. None: nothing is proposed."""


FindingAdapter: Final[TypeAdapter[Finding]] = TypeAdapter(Finding)


@dataclass(frozen=True, slots=True)
class Taken:
    """The finding counts, as it is here."""

    finding: Finding
    notes: tuple[str, ...] = ()
    """What was repaired and what becomes of it, for the model to read."""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str
    """For the model: what to correct."""


Checked = Taken | Refused
CheckFinding = Callable[[Finding], Checked]
"""A pure function: a turn that is resumed reads its findings again from the journal."""

JudgementVerdict = Literal["still_there", "fixed", "withdrawn", "new_evidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingJudged:
    """What the agent says of a finding of an earlier turn."""

    id: str
    verdict: JudgementVerdict
    why: str


CheckJudgement = Callable[[FindingJudged], Refused | None]
"""None: the judgement counts. A pure function, as `CheckFinding`."""


def takes_no_finding(_finding: Finding) -> Checked:
    """The check of a turn that is no review."""
    return Refused("This turn is no review: say what you found in your final message.")


def takes_no_judgement(_judged: FindingJudged) -> Refused | None:
    """The check of a turn that has no earlier findings."""
    return Refused("There are no earlier findings in this turn.")
