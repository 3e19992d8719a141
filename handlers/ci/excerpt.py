"""What the model is shown of failed jobs: the failures first, then the lines around them, within a bound.

All of it is hostile text (tests name themselves, and print what they like): without unseen characters here,
fenced as data by whoever puts it into a briefing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from handlers.amounts import counted
from handlers.ci.failures import Failure, JobLog, settled_text
from handlers.invisible import strip_invisible

LIMIT: Final = 12_000
"""Characters of the whole excerpt when the caller says nothing else."""
_SHORTEST: Final = 1_000
_DETAILS: Final = 2_500
_LONGEST_LINE: Final = 300
_MOST_JOBS: Final = 20
_MOST_TWINS: Final = 5

_ORDER: Final[Mapping[str, int]] = {"compile": 0, "build": 1, "type": 2, "test": 3, "lint": 4, "other": 5}
"""What does not compile breaks the rest; what a linter says seldom does."""


@dataclass(frozen=True, slots=True)
class FailedJob:
    name: str
    log: JobLog
    path: str | None
    """Where the agent can read the whole log; None where it cannot."""


def excerpt_of(jobs: Sequence[FailedJob], *, limit: int = LIMIT) -> str:
    """The failures of `jobs` as text of at most `limit` characters (1,000 at least), and what it leaves out.

    A failure that several jobs have (a matrix) is told once, as are failures with the same message. Every
    failure is named before any is shown in detail.
    """
    limit = max(limit, _SHORTEST)
    removed: Counter[str] = Counter()
    groups = _groups(jobs)
    parts = [_overview(jobs, groups, removed)]
    room = limit - len(parts[0]) - _NOTES
    shown = 0
    for group in groups:
        heading = _heading(group, shown + 1, removed)
        if shown and len(heading) + 2 > room - limit // 3:
            break
        parts.append(heading)
        room -= len(heading) + 2
        shown += 1
    detailed = 0
    for number, group in enumerate(groups[:shown], start=1):
        details = _cut(_clean(group.first.details, removed), min(_DETAILS, room - 40))
        if not details:
            continue
        told = _indented(details)
        parts[number] += f"\n{told}"
        room -= len(told) + 1
        detailed += 1
    for job in jobs:
        said = _surroundings(job, removed, room) if not job.log.failures else ""
        if said:
            parts.append(said)
            room -= len(said) + 2
    parts += _notes(
        jobs, len(groups) - shown, sum(bool(one.first.details) for one in groups) - detailed, removed
    )
    return _cut("\n\n".join(parts), limit)


_NOTES: Final = 300
"""Characters kept for the sentences at the end."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Failures that are told together: they have tool, kind and message in common."""

    failures: tuple[Failure, ...]
    jobs: tuple[str, ...]

    @property
    def first(self) -> Failure:
        return self.failures[0]


def _groups(jobs: Sequence[FailedJob]) -> list[_Group]:
    failures: dict[tuple[str, str, str], dict[str, Failure]] = {}
    names: dict[tuple[str, str, str], dict[str, None]] = {}
    for job in jobs:
        for failure in job.log.failures:
            key = (failure.tool, failure.kind, settled_text(failure.message))
            known = failures.setdefault(key, {})
            # The same failure with more to show stands for it.
            other = known.get(failure.fingerprint)
            if other is None or len(failure.details) > len(other.details):
                known[failure.fingerprint] = failure
            names.setdefault(key, {})[job.name] = None
    groups = [_Group(tuple(known.values()), tuple(names[key])) for key, known in failures.items()]
    return sorted(groups, key=lambda one: _ORDER[one.first.kind])


def _overview(jobs: Sequence[FailedJob], groups: Sequence[_Group], removed: Counter[str]) -> str:
    count = sum(len(group.failures) for group in groups)
    lines = [f"{counted(len(jobs), 'failed job')}, {counted(count, 'failure')}:"]
    for job in jobs[:_MOST_JOBS]:
        told = len(job.log.failures) + job.log.more_failures
        where = f"; whole log: {job.path}" if job.path else ""
        known = counted(told, "failure") if told else "no known failure"
        lines.append(f"- {_line(job.name, removed)}: {known}{where}")
    if len(jobs) > _MOST_JOBS:
        lines.append(f"- and {len(jobs) - _MOST_JOBS} more")
    return "\n".join(lines)


def _heading(group: _Group, number: int, removed: Counter[str]) -> str:
    failure = group.first
    place = ":".join(str(part) for part in (failure.file, failure.line, failure.column) if part is not None)
    named = " ".join(part for part in (failure.tool, failure.kind, failure.test or "") if part)
    lines = [f"{number}. {_line(named, removed)}"]
    if place:
        lines.append(f"   at {_line(place, removed)}")
    lines += [f"   {_line(line, removed)}" for line in failure.message.splitlines()[:8]]
    if len(group.failures) > 1:
        others = [one.test or f"{one.file}:{one.line}" for one in group.failures[1 : _MOST_TWINS + 1]]
        more = len(group.failures) - 1 - len(others)
        told = "; ".join(_line(one, removed) for one in others) + (f"; and {more} more" if more else "")
        lines.append(f"   the same: {told}")
    if len(group.jobs) > 1:
        lines.append(f"   in {len(group.jobs)} jobs")
    return "\n".join(lines)


def _surroundings(job: FailedJob, removed: Counter[str], room: int) -> str:
    """Of a job whose failure no parser knows: what the runner complained of, and the lines above it."""
    complaints = "\n".join(f"   {_line(one, removed)}" for one in job.log.complaints[:5])
    heading = (
        f"{_line(job.name, removed)} says:\n{complaints}"
        if complaints
        else f"{_line(job.name, removed)} ends:"
    )
    lines = _clean(job.log.around or job.log.tail, removed)
    # The end is nearest to the fault.
    kept = lines[-max(min(room - len(heading) - 80, 2 * _DETAILS), 0) :] if room > len(heading) + 80 else ""
    if not kept and not complaints:
        return ""
    return f"{heading}\n{_indented(kept)}" if kept else heading


def _notes(jobs: Sequence[FailedJob], hidden: int, undetailed: int, removed: Counter[str]) -> list[str]:
    notes = []
    uncounted = sum(job.log.more_failures for job in jobs)
    if hidden or undetailed or uncounted:
        left = [
            f"{counted(hidden, 'kind')} of failure" if hidden else "",
            f"the details of {undetailed}" if undetailed else "",
            f"{counted(uncounted, 'failure')} beyond what is kept of a log" if uncounted else "",
        ]
        notes.append(f"Left out: {', '.join(part for part in left if part)}.")
    unread = sum(job.log.unread for job in jobs)
    if unread:
        notes.append(f"The logs go on for {unread} bytes that were not read.")
    if removed:
        notes.append(f"{counted(removed.total(), 'unseen character')} taken out.")
    return ["\n".join(notes)] if notes else []


def _clean(text: str, removed: Counter[str]) -> str:
    stripped = strip_invisible(text)
    removed.update(stripped.removed)
    return stripped.text.strip("\n")


def _line(text: str, removed: Counter[str]) -> str:
    line = " ".join(_clean(text, removed).split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "\u2026"


def _cut(text: str, limit: int) -> str:
    """`text` with its middle left out where it is longer than `limit`; nothing where there is no room."""
    if len(text) <= limit:
        return text
    mark = f"\n[… {len(text) - limit} characters left out …]\n"
    kept = limit - len(mark)
    if kept < _LEAST:
        return ""
    return text[: kept * 2 // 3] + mark + text[len(text) - kept // 3 :]


_LEAST: Final = 120


def _indented(text: str) -> str:
    return "\n".join(f"   | {line}" if line else "   |" for line in text.splitlines())
