"""Check-run annotations as failures: what a tool already told GitHub, at the cost of one call and no log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from handlers.ci.failures import Failure
from handlers.ci.logs.parsing import failure

_RUNNERS_OWN: Final = (".github", "")
"""Paths of annotations that the runner makes about itself: `Process completed with exit code 1.`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One annotation of a check run, in GitHub's words. https://docs.github.com/en/rest/checks/runs"""

    path: str
    start_line: int | None
    start_column: int | None = None
    level: str
    """`notice`, `warning` or `failure`."""
    title: str = ""
    message: str = ""
    raw_details: str = ""


def told_by(annotations: Sequence[Annotation], known: Sequence[Failure] = ()) -> tuple[Failure, ...]:
    """The failures among `annotations`, without those at a place where the logs have one (`known`)."""
    places = {(one.file, one.line) for one in known}
    return tuple(
        told
        for one in annotations
        if one.level == "failure" and one.path not in _RUNNERS_OWN
        for told in (_failure(one),)
        if (told.file, told.line) not in places
    )


def complaints_in(annotations: Sequence[Annotation]) -> tuple[str, ...]:
    """What the runner says of itself: that it was lost, or ran out of time, may stand nowhere else."""
    own = (one for one in annotations if one.level == "failure" and one.path in _RUNNERS_OWN)
    return tuple(dict.fromkeys(one.message.strip() for one in own if one.message.strip()))


def _failure(annotation: Annotation) -> Failure:
    title, message = annotation.title.strip(), annotation.message.strip()
    said = f"{title}: {message}" if title and message and not message.startswith(title) else message or title
    return failure(
        "annotation",
        "other",
        said or "failed without a message",
        file=annotation.path,
        line=annotation.start_line,
        column=annotation.start_column,
        details=annotation.raw_details,
    )
