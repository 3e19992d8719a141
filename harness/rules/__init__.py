"""Rules on command lines: what the operator allows, wants to be asked about, or forbids. Never a boundary.

They judge what a line plainly says, so that a model gets a friendly refusal instead of a failure. A program
can always start another one by means that no line shows: what must not happen is the sandbox's to prevent.
"""

from harness.rules.judging import (
    Allowed,
    Asks,
    Decision,
    Forbidden,
    Rule,
    Rules,
    Undecided,
    Unreadable,
    Verdict,
    judge,
)
from harness.rules.reading import RulesRefused, read_rules

__all__ = [
    "Allowed",
    "Asks",
    "Decision",
    "Forbidden",
    "Rule",
    "Rules",
    "RulesRefused",
    "Undecided",
    "Unreadable",
    "Verdict",
    "judge",
    "read_rules",
]
