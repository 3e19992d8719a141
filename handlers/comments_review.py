"""Every sentence of a review, as Markdown and as check-run texts. Decides nothing; posts nothing.

The model's words stand only where `clean` or `clean_line` has made them inert; code owns all else.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Final, Literal, assert_never
from urllib.parse import quote, urlsplit

from handlers.amounts import counted
from handlers.effects import Annotation
from handlers.inline import inline_code
from handlers.markdown import fence_for
from handlers.review.fingerprints import Place
from handlers.review.memory import RowState
from handlers.review.plan import Unread, left_over
from handlers.review.selection import Dropped, Inline, Quiet, Summarised
from handlers.scan import clean, clean_line, scan
from harness.findings import SEVERITIES, Finding, Severity
from harness.items import Declined, Failed, Outcome

MOST_ROWS: Final = 60
"""Of a table or a list; the rest is counted."""
MOST_TOLD: Final = 25
"""Findings that the summary tells whole: with the table they stay below what a comment holds."""
MOST_ALSO: Final = 10
MOST_ANNOTATIONS: Final = 50
"""In one request; more are appended by further ones. https://docs.github.com/en/rest/checks/runs"""
_LONGEST_TITLE: Final = 160
_LONGEST_WHY: Final = 4_000
_LONGEST_MESSAGE: Final = 8_000
_MARKS: Final[dict[Severity, str]] = {"P0": "🔴", "P1": "🟠", "P2": "🟡", "P3": "⚪"}


def inline_comment(posted: Inline, *, own_hosts: Collection[str] = ()) -> str:
    """A finding on its lines: the claim, why, the suggestion, and how to answer."""
    finding = posted.candidate.finding
    blocks = [
        f"{_MARKS[finding.severity]} **{finding.severity}** · **{_title(finding.title)}**",
        ""
        if posted.anchored.is_exact
        else f"<sub>About {_lines(finding.start_line, finding.end_line)}.</sub>",
        _said(finding.why, own_hosts=own_hosts, limit=_LONGEST_WHY),
        posted.suggestion or _proposed(finding),
        _also(posted.also, finding.path),
        f"<sub>Finding `{posted.candidate.id}` · {_HOW_TO_ANSWER}</sub>",
    ]
    return "\n\n".join(block for block in blocks if block)


_HOW_TO_ANSWER: Final = "👍 or 👎 tells me whether it helps · reply to discuss, or with `fix` and I mend it"


def _title(title: str) -> str:
    """One line of Markdown: code in it stays code, and nothing else has a meaning."""
    return " ".join(clean(" ".join(title.split())[:_LONGEST_TITLE]).split())


def _proposed(finding: Finding) -> str:
    """A replacement for which GitHub's button would not do what is meant: to read, not to press."""
    if not finding.replacement:
        return ""
    shown = finding.replacement.rstrip("\n")
    fence = fence_for(shown)
    return _said(f"A way to mend it:\n\n{fence}\n{shown}\n{fence}", limit=_LONGEST_WHY)


def _also(places: Sequence[Place], path: str) -> str:
    """Where the same was found again, in one sentence."""
    if not places:
        return ""
    here = [place for place in places if place.path == path]
    there = [place for place in places if place.path != path]
    told = [_lines(place.start_line, place.end_line, short=True) for place in here]
    told += [inline_code(f"{place.path}:{place.start_line}") for place in there]
    more = f" and {len(told) - MOST_ALSO} more" if len(told) > MOST_ALSO else ""
    noun = (
        "" if not here else "line " if len(here) == 1 and here[0].start_line == here[0].end_line else "lines "
    )
    return f"Also at {noun}{', '.join(told[:MOST_ALSO])}{more}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finding of the summary's table."""

    id: str
    severity: Severity
    title: str
    place: Place
    state: RowState
    url: str = ""
    """Of the comment on its lines, else the permalink."""
    sha: str = ""
    """The commit that fixed it."""
    by: str = ""
    """Login of whoever dismissed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the persistent comment shows. Equal states give equal texts: an edit is needed only on change."""

    head_sha: str
    rows: tuple[Row, ...]
    summarised: tuple[tuple[Summarised, str], ...] = ()
    """Findings that are told here and not on their lines, each with its permalink."""
    files_read: int
    unread: tuple[Unread, ...] = ()
    quiet: int = 0
    """Findings that are annotations of the check run."""
    note: str = ""
    """Ours: that the review was superseded, or cut short by a limit."""
    mention: str


def summary(state: Summary, *, own_hosts: Collection[str] = ()) -> str:
    """The review's one comment, edited in place: verdict, findings with their state, what was not read."""
    blocks = [
        f"**Review** · {verdict(state)}",
        state.note,
        _table(state.rows),
        _summarised(state.summarised, own_hosts),
        _quiet(state.quiet),
        _unread(state.unread, state.mention),
        f"<sub>Comment `@{state.mention} review` for another look. {_HOW_TO_DISAGREE}</sub>",
    ]
    return "\n\n".join(block for block in blocks if block)


_HOW_TO_DISAGREE: Final = "Reply to a finding to discuss it: I judge it once more, and then leave it to you."


def verdict(state: Summary) -> str:
    """One line: what is to do, how much was read, at which commit."""
    return f"{_to_do(state)}{counted(state.files_read, 'file')} read at `{state.head_sha[:7]}`"


def _to_do(state: Summary) -> str:
    severities = [row.severity for row in state.rows if row.state in _OPEN]
    severities += [each.candidate.finding.severity for each, _ in state.summarised]
    urgent = sum(1 for severity in severities if severity in ("P0", "P1"))
    rest = len(severities) - urgent
    parts = [f"{urgent} to fix" if urgent else "", f"{rest} to consider" if rest else ""]
    told = ", ".join(part for part in parts if part) or "nothing to fix"
    fixed = sum(1 for row in state.rows if row.state == "fixed")
    return f"{told}, " + (f"{fixed} fixed, " if fixed else "")


_OPEN: Final = ("new", "open", "moved", "reopened")


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda row: (row.state not in _OPEN, SEVERITIES.index(row.severity)))
    lines = ["| | finding | where | state |", "| --- | --- | --- | --- |"]
    lines += [_row(row) for row in ordered[:MOST_ROWS]]
    more = len(rows) - MOST_ROWS
    return "\n".join(lines) + (f"\n\n{more} more are not shown." if more > 0 else "")


def _row(row: Row) -> str:
    where = _cell(inline_code(f"{row.place.path}:{row.place.start_line}"))
    linked = f"[{where}]({row.url})" if row.url else where
    return (
        f"| {_MARKS[row.severity]} {row.severity} | {_cell(_title(row.title))} | {linked} | {_state(row)} |"
    )


def _state(row: Row) -> str:
    match row.state:
        case "new":
            return "🆕 new"
        case "open":
            return "still open"
        case "moved":
            return "still open, moved"
        case "reopened":
            return "🔁 back again"
        case "fixed":
            return f"✅ fixed in `{row.sha[:7]}`" if row.sha else "✅ fixed"
        case "withdrawn":
            return "withdrawn"
        case "dismissed":
            return f"dismissed by {clean_line(row.by, limit=60)}" if row.by else "dismissed"
        case _:
            assert_never(row.state)


def _summarised(found: Sequence[tuple[Summarised, str]], own_hosts: Collection[str]) -> str:
    if not found:
        return ""
    items = [_told_here(each, url, own_hosts) for each, url in found[:MOST_TOLD]]
    more = f"\n\n{len(found) - MOST_TOLD} more are not shown." if len(found) > MOST_TOLD else ""
    told = f"{counted(len(found), 'finding')} not on a line of the diff"
    return f"<details>\n<summary>{told}</summary>\n\n" + "\n\n".join(items) + more + "\n\n</details>"


def _told_here(each: Summarised, url: str, own_hosts: Collection[str]) -> str:
    finding = each.candidate.finding
    where = inline_code(f"{finding.path}:{finding.start_line}")
    linked = f"[{where}]({url})" if url else where
    why = _said(finding.why, own_hosts=own_hosts, limit=600)
    also = _also(each.also, finding.path)
    return (
        f"{_MARKS[finding.severity]} **{finding.severity}** · **{_title(finding.title)}** · {linked}\n\n{why}"
        + (f"\n\n{also}" if also else "")
        + f"\n\n<sub>Finding `{each.candidate.id}` · here, for {clean_line(each.reason, limit=200)}</sub>"
    )


def _quiet(count: int) -> str:
    if not count:
        return ""
    noun = "remark is an annotation" if count == 1 else "remarks are annotations"
    return f"{count} smaller {noun} of the check run."


def _unread(unread: Sequence[Unread], mention: str) -> str:
    if not unread:
        return ""
    lines = [
        f"- {inline_code(each.path)}: {clean_line(each.reason, limit=200)}" for each in unread[:MOST_ROWS]
    ]
    more = f"\n- and {len(unread) - MOST_ROWS} more" if len(unread) > MOST_ROWS else ""
    told = f"Not read, or not whole: {counted(len(unread), 'file')}"
    rest = len(left_over(unread))
    reads_on = f"\n\nComment `@{mention} review` and I read on." if rest else ""
    return f"<details>\n<summary>{told}</summary>\n\n" + "\n".join(lines) + f"{more}{reads_on}\n\n</details>"


def permalink(repository_url: str, sha: str, place: Place) -> str:
    """The lines as they are at this commit, for ever. `repository_url` is the web page's."""
    last = "" if place.end_line == place.start_line else f"-L{place.end_line}"
    return f"{repository_url}/blob/{sha}/{quote(place.path)}#L{place.start_line}{last}"


def host_of(url: str) -> str:
    """What `own_hosts` wants."""
    return urlsplit(url).netloc


def fixed_reply(sha: str, *, why: str = "") -> str:
    """The answer in a finding's thread before it is resolved; `why` are the agent's words, if it judged."""
    said = f" {_sentence(why)}" if why else ""
    return f"✅ Fixed in `{sha[:7]}`.{said}"


def gone_reply(sha: str) -> str:
    """The same where only the lines are known to have changed."""
    return f"✅ The lines are gone or changed in `{sha[:7]}`, and the review of it does not find this again."


def withdrawn_reply(why: str) -> str:
    return f"You are right, I take this back. {_sentence(why)}".strip()


def new_evidence_reply(why: str) -> str:
    """The second and last word of the bot on a finding."""
    last = "This is my last word on it; the decision is yours."
    return f"I looked again, and still see it: {_sentence(why)}\n\n{last}"


def reopened_reply(sha: str, *, url: str = "") -> str:
    where = f"[at these lines]({url})" if url else "in these lines"
    return f"🔁 This was fixed, and is back {where} as of `{sha[:7]}`."


def moved_reply(place: Place, *, url: str) -> str:
    """In a thread whose lines are in another file now: GitHub shows it as outdated."""
    return f"Still open; the code is now at [{inline_code(f'{place.path}:{place.start_line}')}]({url})."


def pointer(new: int, *, summary_url: str) -> str:
    """The only new comment of a later review, for high findings only: an edit tells nobody."""
    return f"The last push brings {counted(new, 'new finding')} to fix: see [the review]({summary_url})."


def nothing_new(sha: str) -> str:
    """The check run's summary where a push changed nothing that was reviewed."""
    return f"`{sha[:7]}` changes nothing since the last review: the patch of every file is the same."


CheckConclusion = Literal["success", "neutral", "failure"]


def check_conclusion(severities: Collection[Severity], *, blocking: Collection[Severity]) -> CheckConclusion:
    """Of the open findings' severities. Neutral, unless the repository lets some severities block."""
    if not blocking:
        return "neutral"
    return "failure" if any(severity in blocking for severity in severities) else "success"


def check_title(state: Summary) -> str:
    """At most 255 characters."""
    return _to_do(state).rstrip(", ").capitalize()


def annotation(quiet: Quiet) -> Annotation:
    """A finding as GitHub takes it: https://docs.github.com/en/rest/checks/runs#create-a-check-run"""
    finding = quiet.candidate.finding
    also = [_lines(place.start_line, place.end_line, short=True) for place in quiet.also[:MOST_ALSO]]
    told = f"\n\nAlso at: {', '.join(also)}." if also else ""
    message = scan(finding.why, origin="model", form="plain", limit=_LONGEST_MESSAGE).text
    return Annotation(
        path=finding.path,
        start_line=finding.start_line,
        end_line=finding.end_line,
        level=_LEVELS[finding.severity],
        title=f"{finding.severity}: {clean_line(finding.title, limit=_LONGEST_TITLE)}",
        message=f"{message}{told}",
    )


_LEVELS: Final[dict[Severity, Literal["notice", "warning", "failure"]]] = {
    "P0": "failure",
    "P1": "warning",
    "P2": "warning",
    "P3": "notice",
}


def _sentence(why: str) -> str:
    return _said(why, limit=1_500)


def _said(text: str, *, own_hosts: Collection[str] = (), limit: int) -> str:
    """The model's words. What is in them was never applied, so nothing of it becomes a button."""
    return _FENCE.sub(_without_button, clean(text, own_hosts=own_hosts, limit=limit))


_FENCE: Final = re.compile(r"([`~]{3,}[ \t]*)([^\n`~]*)")


def _without_button(fence: re.Match[str]) -> str:
    # Entities count in a fence's info: https://spec.commonmark.org/0.31.2/#info-string
    is_button = unescape(fence[2]).strip().casefold().startswith("suggestion")
    return f"{fence[1]}text" if is_button else fence.group()


def _lines(start: int, end: int, *, short: bool = False) -> str:
    if start == end:
        return str(start) if short else f"line {start}"
    return f"{start}\u2013{end}" if short else f"lines {start} to {end}"


def _cell(text: str) -> str:
    """Text that keeps to its cell of a table."""
    # With a backslash before it the escape would be one of the backslash, and the bar would end the cell.
    return re.sub(r"\\*\|", r"\\|", text)


CHECK_QUEUED: Final = "Review queued"
CHECK_STOPPED: Final = "Review stopped"
CHECK_FAILED: Final = "Not reviewed"
CHECK_TOO_LARGE: Final = "Not reviewed: too large"
CHECK_NOTHING_NEW: Final = "No new changes"


CUT_SHORT: Final = "A limit ended this review before all was read."


def not_posted(dropped: Sequence[Dropped]) -> str:
    """What was found and is not told, with why: for whoever looks for it."""
    if not dropped:
        return ""
    told = [
        f"- {_title(each.candidate.finding.title)}: not posted, for {clean_line(each.reason, limit=200)}"
        for each in dropped[:MOST_ROWS]
    ]
    return "\n\n" + "\n".join(told)


def check_of_turn(turn: str, said: str = "") -> str:
    told = f"{said}\n\n" if said else ""
    return f"{told}Turn `{turn}`."


def review_body(findings: int) -> str:
    """GitHub wants a word with a review; the summary has the rest."""
    return f"{counted(findings, 'finding')} on lines of this change; the summary has all of them."


def not_reviewed(outcome: Outcome) -> str:
    """Why there is no review, and what to do."""
    return f"**Not reviewed** · {_why_nothing(outcome)}\n\nAsk for another look when that is mended."


def not_judged(outcome: Outcome) -> str:
    """Why a disagreement was not judged, and what to do."""
    return f"I could not look at it again: {_why_nothing(outcome)}.\n\nReply once more, and I try again."


def _why_nothing(outcome: Outcome) -> str:
    match outcome:
        case Failed(cause=cause, reference=reference):
            return f"{clean_line(cause, limit=400).rstrip('.')} (reference `{reference}`)"
        case Declined(reason=reason):
            return f"the model would not do it: {clean_line(reason, limit=400).rstrip('.')}"
        case _:
            return "it ended before it had read anything"


def undecided() -> str:
    """The second and last word of the bot, where it has found none."""
    return "I looked again and can decide it neither way; the decision is yours."


def read_again(told: str, mention: str) -> str:
    return f"{told} Comment `@{mention} review full` to have all of it read once more."


def reviews_off(mention: str, *, by_operator: bool) -> str:
    who = "The operator of this server has" if by_operator else "`.github/darner.yml` has"
    return f"{who} turned reviews off here. `@{mention}` with a question in your own words still works."


def only_pulls(mention: str) -> str:
    return f"I review pull requests: write `@{mention} review` on one."


def at_work_already(turn: str) -> str:
    return f"A review of this head is at work already (turn `{turn}`); its findings come as comments here."


def fix_request(findings: Sequence[tuple[str, Finding]]) -> str:
    """The words of the turn that is to mend findings."""
    told = [
        f"- {name} ({finding.severity}): {finding.path}:{finding.start_line}-{finding.end_line}: "
        f"{finding.title}. {finding.why}"
        + (
            f"\n  A review proposed instead of these lines:\n{finding.replacement}"
            if finding.replacement
            else ""
        )
        for name, finding in findings
    ]
    heading = "Mend what the review of this pull request found, and nothing else:"
    return "\n".join([heading, *told])


def nothing_to_fix() -> str:
    return "The review has no open finding here: there is nothing to fix."
