"""Every sentence the bot says on GitHub, as Markdown. Decides nothing; posts nothing.

The code owns header, links, footer and state; words of the model or of strangers stand only where `clean` or
`clean_line` has made them inert. Shapes follow one rule: what happened, to what, what to do next.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, assert_never
from urllib.parse import urlsplit

from handlers import comments_budget, comments_fork, reasons
from handlers.amounts import counted, duration
from handlers.broker import Judgement, approval_hash
from handlers.comments_fork import Patched, Suggested
from handlers.delivery import LONGEST_PATCH
from handlers.effects import StartTurn
from handlers.events import Leaving, TurnEnded
from handlers.grammar import CommandWord
from handlers.inline import inline_code
from handlers.markdown import fence_for, open_fence
from handlers.scan import clean, clean_line
from handlers.view import TurnBrief
from harness.budget import Allowance
from harness.items import (
    Completed,
    Declined,
    Exhausted,
    Failed,
    PlanStep,
    Stopped,
    Waiting,
)
from sandbox.base import SandboxMode

NOT_CONFINED: Final = "🔓 **Not confined**: the operator lets this turn use its machine's files and network."
MOST_LINES: Final = 10
"""Of the agent's answer shown at once; the rest is folded away."""
MOST_PLAN_STEPS: Final = 10
_LONGEST_STEP: Final = 160
_LONGEST_TITLE: Final = 120
_LONGEST_ANSWER: Final = 20_000


def help_text(mention: str, *, is_writer: bool = True) -> str:
    """What can be asked for, by whoever asks: people without write permission are shown what is theirs."""
    rows = [
        (f"`@{mention} …` in your own words", "do it, in a sandbox, and show the result"),
        (f"`@{mention} status`", "tell what is at work here, what waits, and how the last turns ended"),
        (f"`@{mention} policy`", "tell what a turn may do here, and who decided it"),
        (f"`@{mention} help`", "say this again"),
    ]
    directing = [
        ("the same while I work", "tell the agent before its next step"),
        (
            f"`@{mention} stop`",
            "end what is at work or waits, show its work as a patch, and start nothing by myself",
        ),
        (f"`@{mention} pause`, `@{mention} resume`", "set the turn aside after its present step; go on"),
        (f"`@{mention} retry`", "go on from where the last turn failed or was stopped"),
        (f"`@{mention} fork [turn] [words]`", "make a second attempt from a turn's end, on its own branch"),
        (f"`@{mention} undo [turn]`", "take back what a turn pushed, by a new commit"),
        (f"`@{mention} review`", "review what is new in this pull request; `review full`: all of it"),
        (
            f"`@{mention} fix`",
            "mend the finding that you answer; `fix ci`: repair this pull request's failed checks",
        ),
        (
            f"`@{mention} companion [turn]`",
            "ask leave to open a draft pull request here with what a turn left on a fork's head",
        ),
        (f"`@{mention} approve 1a2b3c4d`", "do what I have asked leave for; `deny 1a2b3c4d` and why: not"),
        (f"`@{mention} compact`", "put a summary in the place of the older part of a long conversation"),
        (f"`@{mention} budget`", "tell what is spent and left"),
        (
            f"`@{mention} budget 200k`, `budget 5`, `budget none`",
            "take that (tokens, money) as what all turns here may cost; lift it",
        ),
        (f"`@{mention} why [id]`", "explain the last decision, or that one"),
        (f"`@{mention} forget`", "delete this conversation's transcript"),
    ]
    shown = [rows[0], *(directing if is_writer else ()), *rows[1:]]
    table = "\n".join(f"| {say} | {do} |" for say, do in shown)
    return (
        f"Write `@{mention}` at the start of a paragraph and say what you want, for example "
        f"`@{mention} fix the failing test`. I work on a copy of the repository and answer with a draft pull "
        "request, or with a comment when there is nothing to change.\n\n"
        f"| say | and I |\n| --- | --- |\n{table}\n\n"
        "Write access to this repository is needed to ask."
    )


def nothing_asked(mention: str) -> str:
    return f"You named me, and that was all. What shall I do?\n\n{help_text(mention)}"


def did_you_mean(mention: str, *, word: str, suggestion: CommandWord) -> str:
    said = clean_line(word, limit=40).replace("`", "")
    return (
        f"I do not know the command `{said}`. Did you mean `@{mention} {suggestion}`? "
        "To ask for work, say in more than one word what you want."
    )


def unclear(mention: str, word: Literal["approve", "budget"]) -> str:
    """To whoever said more with a command than it takes: nothing was done."""
    if word == "approve":
        return (
            "Nothing was approved: a request is approved as it was asked, or not. "
            f"Write `@{mention} approve ID` and no more, or `@{mention} deny ID` and what to do instead."
        )
    return (
        f"I do not understand that amount; nothing was changed. Write `@{mention} budget 200k` or "
        f"`@{mention} budget 50000 tokens` for tokens, `@{mention} budget 2.50` for money, "
        f"`@{mention} budget none` for no limit."
    )


def needs_write() -> str:
    """To a collaborator who may not ask: the one thing that helps."""
    return (
        "Asking me for this needs write access to this repository. "
        "Someone who has it can write the same for you."
    )


def config_broken(error: str) -> str:
    return (
        f"**Error** · I did not start: `.github/darner.yml` on the default branch cannot be used.\n\n"
        f"{clean(error, limit=1000)}\n\nCorrect the file and ask again."
    )


def nothing_to_work_on() -> str:
    return (
        "**Error** · I did not start: this repository has no commit on its default branch that I can read. "
        "Push a first commit (or give me access to the repository's contents) and ask again."
    )


def pull_unreadable() -> str:
    return (
        "**Error** · I did not start: I could not read this pull request's branches. "
        "Ask again in a moment; if it stays so, check that I may read pull requests here."
    )


def not_decided(fault: str) -> str:
    """Our own failing, at whatever point: the reference leads the operator to the log."""
    return (
        f"**Error** · I could not go on with this: {clean_line(fault, limit=300)}\n\n"
        "Ask again in a while; if it stays so, tell the operator."
    )


def waiting(reason: str) -> str:
    """The note of a parked turn."""
    return clean(reason, limit=500)


Phase = Literal["queued", "working", "waiting", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the progress comment shows. Equal states give equal texts, so an edit is needed only on change."""

    phase: Phase
    start: StartTurn
    seconds: float | None = None
    plan: tuple[PlanStep, ...] = ()
    note: str = ""
    """Ours, never the model's: what is waited for, or how it ended."""
    allowances: tuple[Allowance, ...] = ()
    """What is spent, and what is left."""


def progress(state: Progress) -> str:
    """The progress comment: header and footer by the code, the checklist by the agent's plan."""
    start = state.start
    # Nothing is in the way of a turn without a note: it will be at work before the comment is read.
    parts = ["🕓 **Starting**" if state.phase == "queued" and not state.note else _PHASES[state.phase]]
    if state.phase == "ended":
        parts = [state.note or parts[0]]
    if state.seconds is not None:
        parts.append(duration(state.seconds))
    parts += [_POLICIES[start.mode], f"at `{start.base_sha[:7]}`"]
    blocks = [" · ".join(parts)]
    if start.mode is SandboxMode.FULL_ACCESS:
        blocks.append(NOT_CONFINED)
    if start.continues:
        blocks.append(_origin(start))
    if state.note and state.phase != "ended":
        blocks.append(state.note)
    if state.plan:
        blocks.append(checklist(state.plan, is_over=state.phase == "ended"))
    blocks += _not_granted(start)
    footer = [
        f"Turn `{start.turn_id}`",
        f"asked by {start.requester.login}",
        *comments_budget.spent_tokens(state.allowances),
        *comments_budget.spent_parts(state.allowances, asker=start.requester.login),
    ]
    blocks.append(f"<sub>{' · '.join(footer)}</sub>")
    return "\n\n".join(blocks)


def _origin(start: StartTurn) -> str:
    if start.follows == start.continues:
        return f"A second attempt, from the end of turn `{start.continues}`, on a branch of its own."
    return f"Goes on from where turn `{start.continues}` ended."


def _not_granted(start: StartTurn) -> list[str]:
    """What `.github/darner.yml` asks for and does not get; the turn goes on without."""
    if not start.not_granted:
        return []
    lines = "\n".join(f"- {inline_code(missed)}" for missed in start.not_granted[:MOST_LINES])
    more = len(start.not_granted) - MOST_LINES
    rest = f"\n- and {more} more" if more > 0 else ""
    return [f"Asked for in `.github/darner.yml`, and not granted on this server:\n{lines}{rest}"]


def steered(turn_id: str) -> str:
    """To whoever wrote while a turn was at work."""
    return (
        f"Passed on: turn `{turn_id}` is at work and reads this before its next step. "
        "What you add within the minute goes the same way, and gets a 👀 only."
    )


def steering(author: str, text: str, *, path: str = "", hunk: str = "") -> str:
    """What the model is told between two steps. The text is a person's, and asks like the first one did."""
    where = f" on `{path}`, at\n```diff\n{hunk}\n```\n" if path else ""
    return f"{author}, who may direct this turn, writes while you work{where}:\n\n{text}"


def compacting(turn_id: str | None) -> str:
    """To whoever wants the history short."""
    if turn_id is None:
        return "Noted: my next turn here begins with a summary in the place of the older part of our history."
    return (
        f"Noted: before its next step, turn `{turn_id}` puts a summary in the place of the older part of "
        "its history. Request, plan and newest steps stay as they are."
    )


def nothing_to_compact(mention: str) -> str:
    return f"I have not worked in this conversation yet: there is no history. `@{mention} help` tells more."


SOMEBODY: Final = "somebody"
"""Where the forge does not tell who."""


def subject_gone(way: Leaving, by: str) -> str:
    """What the model is told when what it works on is over."""
    what = {
        "closed": "closed this conversation",
        "merged": "merged this pull request",
        "deleted": "deleted this issue",
        "transferred": "moved this issue to another repository",
    }[way]
    return (
        f"{by} {what} while you work. Finish what is nearly done if it is still of use, and begin nothing "
        "new; else end now and say what you have."
    )


def nothing_runs(mention: str) -> str:
    return f"Nothing is at work in this conversation. `@{mention} status` tells what was."


def thread_status(turns: Sequence[TurnBrief], *, mention: str) -> str:
    """What is at work here, what waits, and how the last turns ended; newest first."""
    if not turns:
        return f"I have not worked in this conversation yet. `@{mention} help` tells what I can do."
    lines = ["| turn | state | asked | took |", "| --- | --- | --- | --- |"]
    lines += [_turn_line(turn) for turn in reversed(turns[-MOST_TURNS:])]
    if len(turns) > MOST_TURNS:
        lines.append(f"\n{len(turns) - MOST_TURNS} earlier ones are not shown.")
    return "\n".join(lines)


def _turn_line(turn: TurnBrief) -> str:
    asked = datetime.fromtimestamp(turn.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    is_over = turn.started_at is not None and turn.ended_at is not None
    took = duration((turn.ended_at or 0.0) - (turn.started_at or 0.0)) if is_over else ""
    return f"| `{turn.id}` | {_turn_state(turn)} | {asked} | {took} |"


def _turn_state(turn: TurnBrief) -> str:
    if turn.outcome is not None and turn.state == "ended":
        return _ENDS[turn.outcome.status]
    return "⏳ at work" if turn.state == "running" else "🕓 waiting"


MOST_TURNS: Final = 10
_ENDS: Final = {
    "completed": "✅ done",
    "declined": "🚫 declined",
    "waiting": "💤 waiting",
    "stopped": "🛑 stopped",
    "exhausted": "⌛ out of budget",
    "failed": "❌ failed",
}


def queued_behind(turn_id: str) -> str:
    """The note of a turn that has to wait for the thread's turn before it."""
    return f"Another turn (`{turn_id}`) is at work in this conversation; this one starts when it has ended."


def checklist(plan: Sequence[PlanStep], *, is_over: bool = True) -> str:
    """The plan as a task list; nothing is marked as being done *now* once the turn is over."""
    marks = {"pending": "[ ]", "in_progress": "[ ]", "completed": "[x]"}
    lines = []
    for step in plan[:MOST_PLAN_STEPS]:
        text = " ".join(clean(" ".join(step.step.split())[:_LONGEST_STEP]).split())
        now = " *(now)*" if step.status == "in_progress" and not is_over else ""
        lines.append(f"- {marks[step.status]} {text}{now}")
    if len(plan) > MOST_PLAN_STEPS:
        lines.append(f"- and {len(plan) - MOST_PLAN_STEPS} more")
    return "\n".join(lines)


_PHASES: Final[dict[Phase, str]] = {
    "queued": "🕓 **Queued**",
    "working": "⏳ **Working**",
    "waiting": "💤 **Waiting**",
    "ended": "**Ended**",
}
_POLICIES: Final = {
    SandboxMode.READ_ONLY: "read-only",
    SandboxMode.WORKSPACE_WRITE: "may change files",
    SandboxMode.FULL_ACCESS: "full access",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the result is."""

    branch: str
    sha: str
    pull_number: int | None = None
    pull_url: str = ""
    detour: Literal["head_moved", "branch_protected", "default_branch", "second_attempt", ""] = ""
    """Why the branch is a companion, beside the pull request's own; empty: it is none."""
    is_replayed: bool = False
    """The head had moved, in other files; the result stands on the new one."""
    pull_fault: str = ""
    """Why there is no pull request for the branch."""
    fork: str = ""
    """Full name of the fork that has the branch; empty: the repository itself."""


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The forge did not take the result."""

    reason: Literal["head_moved", "denied", "branch_protected", "unavailable"]
    detail: str


Publication = Published | Unpublished | Suggested | Patched | None
"""None: there was nothing to publish."""


def outcome_word(ended: TurnEnded, publication: Publication, *, judgement: Judgement) -> str:
    """One of a fixed few, with its mark: how the turn ended, for people."""
    match ended.outcome:
        case Completed():
            return _completed_word(ended, publication, judgement)
        case Declined():
            return "🚫 **Declined**"
        case Waiting():
            return "💤 **Waiting**"
        case Stopped(by=by):
            return f"🛑 **Stopped by {clean_line(by, limit=60)}**"
        case Exhausted():
            return "⌛ **Out of budget**"
        case Failed():
            return "❌ **Failed**"
        case _:
            assert_never(ended.outcome)


def _completed_word(ended: TurnEnded, publication: Publication, judgement: Judgement) -> str:
    if isinstance(publication, Unpublished):
        return "❌ **Not delivered**"
    if isinstance(publication, Published) and publication.detour == "head_moved":
        return "🔀 **Head moved**"
    if publication is None and judgement.refused and not judgement.held:
        return "🚫 **Refused by policy**"
    is_elsewhere = isinstance(publication, Patched) or (
        isinstance(publication, Published) and bool(publication.pull_fault)
    )
    if judgement.held or judgement.refused or is_elsewhere:
        return "✋ **Done with open points**"
    if publication is None and ended.start.mode is not SandboxMode.READ_ONLY:
        return "🆗 **Nothing changed**"
    return "✅ **Done**"


def final(
    ended: TurnEnded,
    publication: Publication,
    *,
    judgement: Judgement,
    mention: str,
    take_held: str = "",
    is_held: bool = False,
) -> str:
    """The final comment: one line that says it all, the agent's words, then what else matters.

    `take_held` tells how to have what was held back; empty: only by hand. `is_held`: nothing starts in this
    conversation by itself now.
    """
    blocks = [
        _header(ended, publication, judgement),
        NOT_CONFINED if ended.start.mode is SandboxMode.FULL_ACCESS else "",
        "---",
        _words(ended),
        _tests(ended),
        _open_points(ended, publication, judgement, take_held, mention),
        _next_step(ended, publication, mention, is_held=is_held),
        _footer(ended),
    ]
    return "\n\n".join(block for block in blocks if block)


def _header(ended: TurnEnded, publication: Publication, judgement: Judgement) -> str:
    parts = [outcome_word(ended, publication, judgement=judgement), duration(ended.seconds)]
    if isinstance(publication, Published):
        if publication.pull_number is not None:
            parts.append(f"draft pull request [#{publication.pull_number}]({publication.pull_url})")
        where = f"{publication.fork}:{publication.branch}" if publication.fork else publication.branch
        parts += [f"`{where}` at `{publication.sha[:7]}`"]
    if isinstance(publication, Suggested):
        parts.append(counted(publication.count, "suggestion"))
    delivered = [change for change in ended.changes if change.path in judgement.deliver]
    if delivered and isinstance(publication, Published):
        added = sum(change.added_lines for change in delivered)
        removed = sum(change.removed_lines for change in delivered)
        parts.append(f"{counted(len(delivered), 'file')} (+{added} −{removed})")  # noqa: RUF001  a minus sign
    return " · ".join(parts)


def _words(ended: TurnEnded) -> str:
    """The agent's own words, or ours where it has none."""
    hosts = _own_hosts(ended.start)
    match ended.outcome:
        case Completed(message=message):
            return _folded(message, hosts) or "*The agent left no message.*"
        case Declined(reason=reason):
            return f"The model would not do this.\n\n{_folded(reason, hosts)}".strip()
        case Waiting(reason=reason):
            return clean(reason, limit=1000)
        case Stopped():
            if not ended.changes:
                return ""
            return "Nothing was published." + (" What was done so far is below." if ended.patch else "")
        case Exhausted(message=message):
            said = _folded(message, hosts)
            return f"{comments_budget.exhausted(ended.outcome)}\n\n{said}".strip()
        case Failed(cause=cause, reference=reference):
            at = f" (reference `{clean_line(reference, limit=60)}`)" if reference else ""
            return f"{clean(cause, limit=2000)}{at}"
        case _:
            assert_never(ended.outcome)


def _tests(ended: TurnEnded) -> str:
    if not ended.commands_run:
        return ""
    shown = "\n".join(f"- {inline_code(command)}" for command in ended.commands_run)
    return f"Checked with:\n{shown}"


def _open_points(
    ended: TurnEnded, publication: Publication, judgement: Judgement, take_held: str, mention: str
) -> str:
    blocks: list[str] = []
    if isinstance(publication, Published) and publication.detour:
        why = {
            "head_moved": "was pushed to while I worked",
            "branch_protected": "is protected",
            "default_branch": "is the default branch",
            "second_attempt": "has the first attempt",
        }[publication.detour]
        blocks.append(
            f"The branch `{ended.start.base_ref}` {why}, so I left it alone and put the result on "
            "a branch of its own."
        )
    if isinstance(publication, Published) and publication.is_replayed:
        blocks.append(
            f"The branch `{publication.branch}` was pushed to while I worked, in other files; the result "
            "stands on the new head."
        )
    if isinstance(publication, Published) and publication.pull_fault:
        said = inline_code(clean_line(publication.pull_fault, limit=300))
        blocks.append(
            f"The branch `{publication.branch}` is there, but GitHub did not open a pull request for it. "
            f"It said: {said} You can open it yourself."
        )
    if isinstance(publication, Unpublished):
        blocks.append(_not_taken(publication))
        if ended.patch and not isinstance(ended.outcome, Stopped):
            blocks.append(_details("The result, as a patch", ended.patch))
    if judgement.held:
        blocks.append(_held(ended, judgement.held, take_held))
    if judgement.refused:
        lines = "\n".join(
            f"- {inline_code(refused.path)}: {clean_line(refused.why, limit=200)}"
            for refused in judgement.refused[:10]
        )
        more = f"\n- and {len(judgement.refused) - 10} more" if len(judgement.refused) > 10 else ""
        blocks.append(f"Not delivered, by policy:\n{lines}{more}")
        if any(refused.why == reasons.RIGHT_LOST for refused in judgement.refused):
            blocks.append(
                f"The work is kept: `fork {ended.start.turn_id}`, in a mention of me by somebody who may "
                "write, goes on from there on a branch of its own."
            )
    if isinstance(ended.outcome, Stopped) and ended.patch:
        blocks.append(_details("The work so far, as a patch", ended.patch))
    if isinstance(publication, Suggested):
        blocks.append(comments_fork.where(publication, ended.start))
    if isinstance(publication, Patched):
        limit = LONGEST_PATCH if publication.is_whole else comments_fork.BEGINNING
        details = _details("The patch", ended.patch, limit=limit)
        blocks.append(comments_fork.patch(publication, details, mention=mention))
    return "\n\n".join(blocks)


def checked(command: str, *, exit_code: int) -> str:
    """A test command and what came of it, in one line."""
    shown = " ".join(command.split())[:120]
    if _PIPE.search(command) and "pipefail" not in command:
        # The shell tells the status of a pipe's last command: `pytest | tail` always succeeds.
        return f"{shown} → result not known: its output was piped"
    return f"{shown} → passed" if exit_code == 0 else f"{shown} → exit status {exit_code}"


_PIPE: Final = re.compile(r"(?<!\|)\|(?!\|)")


def _not_taken(publication: Unpublished) -> str:
    why = {
        "head_moved": "The branch was changed by someone else in the meantime.",
        "denied": "GitHub did not let me push.",
        "branch_protected": "The branch is protected.",
        "unavailable": "I could not deliver the result.",
    }
    detail = clean_line(publication.detail, limit=300)
    said = f" It said: {inline_code(detail)}" if detail else ""
    return f"{why[publication.reason]}{said}"


def _held(ended: TurnEnded, held: Sequence[str], take_held: str = "") -> str:
    names = ", ".join(inline_code(path) for path in held[:10])
    more = f" and {len(held) - 10} more" if len(held) > 10 else ""
    why = "a person must look at this first" if ended.weakened else "only a person may change protected files"
    text = f"Held back, because {why}: {names}{more}."
    if not ended.protected_patch:
        return text
    digest = f"`{approval_hash(ended.protected_patch)}`"
    how = take_held or f"To take it, apply this patch ({digest}) yourself."
    return f"{text} {how}\n\n" + _details("The patch that was held back", ended.protected_patch)


def _next_step(ended: TurnEnded, publication: Publication, mention: str, *, is_held: bool) -> str:
    if isinstance(ended.outcome, Exhausted) and not isinstance(publication, Unpublished):
        return comments_budget.after_exhausted(ended.outcome, mention=mention)
    if isinstance(ended.outcome, Failed | Exhausted | Stopped | Declined):
        said = f"To go on from here, write `@{mention} retry`; to begin anew, the request once more."
        if isinstance(ended.outcome, Stopped) and is_held:
            said = f"{said} Nothing starts here by itself until `@{mention} resume`."
        return said
    if isinstance(publication, Unpublished):
        return f"To try again, write `@{mention}` and the request once more."
    if isinstance(publication, Published) and publication.pull_number is not None:
        return f"Next: review it. For changes, write `@{mention} …` on the pull request."
    return ""


def _footer(ended: TurnEnded) -> str:
    tokens = f"{ended.usage.total_tokens:,} tokens" if ended.usage.total_tokens else ""
    parts = [
        f"Turn `{ended.start.turn_id}`",
        f"asked by {ended.start.requester.login}",
        _POLICIES[ended.start.mode],
        counted(ended.steps, "step"),
        tokens,
        *comments_budget.spent_parts(ended.allowances, asker=ended.start.requester.login),
    ]
    return f"<sub>{' · '.join(part for part in parts if part)}</sub>"


def pull_title(start: StartTurn) -> str:
    title = clean_line(start.title, limit=_LONGEST_TITLE) or f"Result for #{start.number}"
    return f"{title} (#{start.number})" if start.number else title


def pull_body(
    ended: TurnEnded,
    *,
    judgement: Judgement,
    mention: str,
    is_companion: bool = False,
    fork_note: str = "",
) -> str:
    """The body of a turn's draft pull request: why it exists, what was done, how to go on.

    `fork_note` says of which fork's commits it is a companion.
    """
    start = ended.start
    is_whole = isinstance(ended.outcome, Completed) and not judgement.held and not judgement.refused
    # The only closing keyword there is: it stands for the issue that the turn was asked on.
    link = f"Closes #{start.number}" if is_whole and not start.is_pull else f"Part of #{start.number}"
    asked = (
        f"Requested by @{start.requester.login} in [this text]({start.trigger.url}), made by turn "
        f"`{start.turn_id}` from `{start.base_sha[:7]}`."
    )
    if not start.number:
        link = f"The checks of `{start.base_ref}` fail at [`{start.base_sha[:7]}`]({start.trigger.url})."
        asked = f"Made by turn `{start.turn_id}`; nobody asked for it but the repository's settings."
    blocks = [
        fork_note,
        _words(ended),
        link,
        asked,
    ]
    if start.follows:
        blocks.append(
            f"A second attempt, from the end of turn `{start.follows}`; the first one stays as it is."
        )
    elif is_companion:
        blocks.append(
            f"This is meant for the branch `{start.base_ref}` of #{start.number}, which I could not push to. "
            "Merging it brings the result there."
        )
    if ended.plan:
        blocks.append(f"**Plan**\n\n{checklist(ended.plan)}")
    if ended.commands_run:
        shown = "\n".join(f"- {inline_code(command)}" for command in ended.commands_run)
        blocks.append(f"**Checked with**\n\n{shown}")
    else:
        blocks.append("**Not checked**: the agent ran no tests that I recognised.")
    if judgement.held:
        blocks.append(_held(ended, judgement.held))
    blocks.append(f"<sub>To steer: comment `@{mention} …` here. Nothing is merged without a person.</sub>")
    return "\n\n".join(block for block in blocks if block)


def commit_message(start: StartTurn, *, approved_by: str = "") -> str:
    """Subject, cause and trailers. Credits the requester by GitHub's id, which no one can take over."""
    subject = clean_line(start.title, limit=68) or f"Result for #{start.number}"
    requester = start.requester
    if start.ci is not None and start.ci.by_itself:
        return _repair_message(start, approved_by)
    approved = f"Approved-by: {clean_line(approved_by, limit=60)}\n" if approved_by else ""
    return (
        f"{subject}\n\n"
        f"Requested in #{start.number}.\n\n"
        f"Darner-Turn: {start.turn_id}\n"
        f"Darner-Trigger: {start.trigger.url}\n"
        f"{approved}"
        f"Co-authored-by: {requester.login} <{requester.id}+{requester.login}@users.noreply.github.com>\n"
    )


def _repair_message(start: StartTurn, approved_by: str) -> str:
    """Of a commit that nobody asked for: its cause is what failed."""
    where = f"of #{start.number}" if start.number else f"of {clean_line(start.base_ref, limit=60)}"
    approved = f"Approved-by: {clean_line(approved_by, limit=60)}\n" if approved_by else ""
    return (
        f"Repair the failed checks {where}\n\n"
        f"They fail at {start.base_sha}.\n\n"
        f"Darner-Turn: {start.turn_id}\n"
        f"Darner-Trigger: {start.trigger.url}\n"
        f"{approved}"
    )


def check_title(phase: Literal["queued", "waiting", "ended"], word: str = "") -> str:
    if phase != "ended":
        return "Queued" if phase == "queued" else "Waiting for an answer"
    return word.replace("**", "")


def check_summary(start: StartTurn, text: str = "") -> str:
    asked = f"Turn `{start.turn_id}`, asked by {start.requester.login}: [the request]({start.trigger.url})."
    return f"{asked}\n\n{text}".strip()


def _folded(message: str, hosts: Collection[str]) -> str:
    """Model text: its first lines, the rest folded away."""
    text = clean(message, own_hosts=hosts, limit=_LONGEST_ANSWER)
    lines = text.split("\n")
    if len(lines) <= MOST_LINES:
        return text
    cut = next(
        (
            at
            for at in range(MOST_LINES, 0, -1)
            if not lines[at].strip() and not open_fence("\n".join(lines[:at]))
        ),
        0,
    )
    head, rest = "\n".join(lines[:cut]).strip(), "\n".join(lines[cut:]).strip("\n")
    summary = "The rest" if head else "The agent's answer"
    return f"{head}\n\n<details>\n<summary>{summary}</summary>\n\n{rest}\n\n</details>".strip()


def _details(summary: str, patch: str, *, limit: int = LONGEST_PATCH) -> str:
    shown = patch[:limit]
    cut = f"\n… cut: {len(patch) - len(shown)} more characters" if len(patch) > len(shown) else ""
    fence = fence_for(shown)
    fenced = f"{fence}diff\n{shown.rstrip()}{cut}\n{fence}"
    return f"<details>\n<summary>{summary}</summary>\n\n{fenced}\n\n</details>"


def _own_hosts(start: StartTurn) -> tuple[str, ...]:
    return (urlsplit(start.trigger.url).netloc,)
