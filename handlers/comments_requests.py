"""What the bot says of requests: what is asked, until when, how to answer, and what came of an answer.

Whoever approves must see exactly what they approve: nothing of it is cut, and what hides is shown by number.
"""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from handlers.effects import StartTurn
from handlers.invisible import strip_invisible
from handlers.markdown import fence_for
from handlers.redact import redact
from handlers.scan import clean, clean_line
from handlers.view import OF_RESULTS, AskedRequest
from harness.items import ApprovalRequest

_ASKS: Final = {
    "command": "I want to run a command that needs a person's leave",
    "network": "I ask for leave to reach hosts, for this turn only",
    "paths": "I ask for leave to change protected paths, in this turn only",
}
_KINDS: Final = {
    "command": "the command",
    "network": "the hosts",
    "paths": "the protected paths",
    "held": "the changes that were held back",
    "question": "the question",
    "companion": "the companion pull request",
}


def asking(start: StartTurn, request: str, asked: ApprovalRequest, *, mention: str) -> str:
    """The comment that asks."""
    if asked.kind == "question":
        return _question(start, request, asked, mention=mention)
    place = f" in `{clean_line(asked.place, limit=200)}`" if asked.place not in {"", "."} else ""
    until = _UNTIL[asked.kind].format(moment(asked.until))
    how = (
        f"Write `@{mention} approve {request}` to allow exactly this, or `@{mention} deny {request}` and "
        "why not."
    )
    if not is_shown_whole(asked.wanted):
        how = (
            "A part of it looks like a secret and is not shown, so that nobody can approve it. Write "
            f"`@{mention} deny {request}` and what to do instead."
        )
    blocks = [
        f"✋ **Needs approval** · {_ASKS[asked.kind]}{place}:",
        _verbatim("\n".join(asked.wanted)),
        _quoted("Why: ", asked.why, limit=1500) if asked.why else "",
        f"{how} {until}",
        _footer(start, request, asked.digest),
    ]
    return "\n\n".join(block for block in blocks if block)


def _question(start: StartTurn, request: str, asked: ApprovalRequest, *, mention: str) -> str:
    question, *options = asked.wanted
    shown = "\n".join(f"{number}. {clean_line(text, limit=200)}" for number, text in enumerate(options, 1))
    blocks = [
        "❓ **A question** · I cannot go on well without an answer:",
        _quoted("", question, limit=2500),
        shown,
        (
            f"Answer by `@{mention} …` here, in your own words. Without an answer until "
            f"{moment(asked.until)} I go on by my best judgement."
        ),
        _footer(start, request, ""),
    ]
    return "\n\n".join(block for block in blocks if block)


_UNTIL: Final = {
    "command": "Without an answer until {} it counts as denied, and I go on without.",
    "network": "Without an answer until {} it counts as denied, and I go on without.",
    "paths": "Without an answer until {} it counts as denied, and I go on without.",
}


def _footer(start: StartTurn, request: str, digest: str) -> str:
    parts = [
        f"Request `{request}`",
        f"turn `{start.turn_id}`",
        f"at `{start.base_sha[:7]}`",
        f"digest `{digest[:12]}`" if digest else "",
        "meanwhile nothing runs",
    ]
    return f"<sub>{' · '.join(part for part in parts if part)}</sub>"


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _verbatim(text: str) -> str:
    """A block that shows every character."""
    shown = every_character(text)
    fence = fence_for(shown)
    return f"{fence}text\n{shown}\n{fence}"


def every_character(text: str) -> str:
    """What has no shape, or turns the writing around, by its number."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character == "\n" or character == " ":
        return character
    is_hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
    # Some letters and marks have no shape either.
    is_hidden = is_hidden or not strip_invisible(character).text
    return f"\\u{{{ord(character):x}}}" if is_hidden else character


def is_shown_whole(wanted: Sequence[str]) -> bool:
    """Whether the scanner that each text passes takes nothing out of what is asked for."""
    text = "\n".join(wanted)
    return redact(text, secrets=()).text == text


def _quoted(lead: str, text: str, *, limit: int) -> str:
    """What the agent says of it. More than a line is marked as quoted: it must not pass for our words."""
    said = clean(text, limit=limit)
    if "\n" not in said:
        return f"{lead}{said}"
    quoted = "\n".join(f"> {line}".rstrip() for line in said.split("\n"))
    return f"{lead.rstrip()}\n\n{quoted}" if lead else quoted


def waiting_for_people(request: str, kind: str) -> str:
    """The note of the progress comment."""
    what = "your answer" if kind == "question" else "approval"
    return f"Waiting for {what}: request `{request}`, in a comment below."


def approved(request: AskedRequest) -> str:
    if request.kind == "held":
        return f"Approved: I deliver {_KINDS['held']} (request `{request.id}`)."
    if request.kind == "companion":
        return f"Approved: I open {_KINDS['companion']} (request `{request.id}`)."
    return f"Approved: turn `{request.turn}` goes on with {_KINDS[request.kind]} (request `{request.id}`)."


def denied(request: AskedRequest) -> str:
    if request.kind == "held":
        return f"Denied: {_KINDS['held']} are not delivered (request `{request.id}`)."
    if request.kind == "companion":
        return f"Denied: {_KINDS['companion']} is not opened (request `{request.id}`)."
    return f"Denied: turn `{request.turn}` goes on without {_KINDS[request.kind]} (request `{request.id}`)."


def answered(request: AskedRequest) -> str:
    return f"Passed on as the answer: turn `{request.turn}` goes on (request `{request.id}`)."


def steered_while_open(request: AskedRequest, *, mention: str) -> str:
    """To whoever wrote to a turn that waits for something else."""
    return (
        f"Passed on: turn `{request.turn}` reads this when request `{request.id}` is decided. "
        f"It waits for `@{mention} approve {request.id}` or `@{mention} deny {request.id}`."
    )


def unknown(named: str, open_ids: tuple[str, ...], *, mention: str) -> str:
    return f"There is no request `{named}` in this conversation. {_open(open_ids, mention)}"


def which_one(open_ids: tuple[str, ...], *, mention: str) -> str:
    if not open_ids:
        return "Nothing is waiting for an answer in this conversation."
    return f"Several requests are open; say which one. {_open(open_ids, mention)}"


def _open(open_ids: tuple[str, ...], mention: str) -> str:
    if not open_ids:
        return "Nothing is waiting for an answer here."
    return "Open: " + ", ".join(f"`@{mention} approve {name}`" for name in open_ids) + "."


def wants_its_id(request: AskedRequest, *, mention: str) -> str:
    """To whoever answers the only open request by a bare word, which is no leave for all that it brings."""
    return (
        f"For {_KINDS[request.kind]} I need the request's own id, so that nobody says yes who has not read "
        f"what it means: `@{mention} approve {request.id}` or `@{mention} deny {request.id}`."
    )


def is_decided(request: AskedRequest, *, mention: str) -> str:
    """To whoever answers too late."""
    by = f" by {clean_line(request.decided_by, limit=60)}" if request.decided_by else ""
    again = f"To have it done all the same, write `@{mention}` and what you want."
    match request.state:
        case "expired":
            return (
                f"Request `{request.id}` expired at {moment(request.until)}: it counts as denied, and your "
                f"answer changes nothing any more. {again}"
            )
        case "void":
            return f"Request `{request.id}` is void: what it was about is no more. {again}"
        case "approved":
            otherwise = f"To have it otherwise, write `@{mention}` and what you want."
            return f"Request `{request.id}` was approved{by} before; that stands. {otherwise}"
        case "answered":
            more = f"If there is more to say, write `@{mention}` and your words."
            return f"Request `{request.id}` was answered{by} before; that stands. {more}"
        case _:
            return f"Request `{request.id}` was {request.state}{by} before; that stands. {again}"


def turn_is_over(request: AskedRequest, *, mention: str) -> str:
    return (
        f"Turn `{request.turn}` has ended, and its request `{request.id}` with it. "
        f"To have it done all the same, write `@{mention}` and what you want."
    )


def is_a_question(request: AskedRequest, *, mention: str) -> str:
    return f"Request `{request.id}` is a question: answer it by `@{mention} …` in your own words."


def is_not_shown_whole(request: AskedRequest, *, mention: str) -> str:
    return (
        f"Not approved: a part of request `{request.id}` looks like a secret and was not shown, and nobody "
        f"can approve what they have not seen. `@{mention} deny {request.id}` closes it."
    )


def head_has_moved(request: AskedRequest, head: str, *, mention: str) -> str:
    """The branch is not what it was when this was asked."""
    goes_on = " The agent is told that it was not approved, and goes on without."
    goes_on = "" if request.kind in OF_RESULTS else goes_on
    return (
        f"Not approved: request `{request.id}` was asked at `{request.head_sha[:7]}`, and the head is "
        f"`{head[:7]}` by now. It is void.{goes_on} To have it done on the new head, write `@{mention}` and "
        "what you want."
    )


def held_moved(request: str, *, branch: str, mention: str) -> str:
    return (
        f"Not delivered: `{branch}` was changed since request `{request}` was asked, so what was approved no "
        f"longer fits. It is void. To have it done on the new head, write `@{mention}` and what you want; or "
        "apply the patch yourself."
    )


def held_refused(request: str, why: str, *, mention: str) -> str:
    return (
        f"Not delivered: request `{request}` was approved, but {clean_line(why, limit=300)}. "
        f"Apply the patch yourself, or write `@{mention}` and what you want."
    )


def held_delivered(request: str, *, branch: str, sha: str, files: int, by: str, pull_url: str = "") -> str:
    counted = "1 file" if files == 1 else f"{files} files"
    pull = f" Draft pull request: {pull_url}." if pull_url else ""
    return (
        f"✅ **Delivered** · {counted} that had been held back · `{branch}` at `{sha[:7]}`, approved by "
        f"{clean_line(by, limit=60)} (request `{request}`).{pull}"
    )


def how_to_take_held(request: str, digest: str, *, mention: str, hours: float) -> str:
    """In the final comment, below what was held back."""
    return (
        f"To take exactly this patch (`{digest}`), write `@{mention} approve {request}` within "
        f"{span(hours)}, or `@{mention} deny {request}` to close it. Without an answer it stays undone."
    )


def span(hours: float) -> str:
    """`24 hours`, `3 days`."""
    if hours >= 48:
        return f"{hours / 24:g} days"
    return f"{hours:g} hours" if hours != 1 else "an hour"
