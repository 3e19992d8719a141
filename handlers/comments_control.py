"""What the bot says when people direct it: stop, pause, resume, retry, fork, undo, why, policy, forget.

As in `handlers.comments`: what happened, to what, what to do next. Decides nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from handlers.effects import Requester, StartTurn
from handlers.events import UndoEnded
from handlers.inline import inline_code
from handlers.policy import Resolved
from handlers.policy_rows import rows_of
from handlers.scan import clean, clean_line
from handlers.view import (
    Account,
    AskedRequest,
    DoneEffect,
    Landing,
    RepositoryConfig,
    ThreadFacts,
    TurnBrief,
    View,
)

MOST_EFFECTS: Final = 12


def held(mention: str) -> str:
    """Nothing was at work when somebody said `stop`."""
    return f"Nothing is at work here. From now on nothing starts by itself either, until `@{mention} resume`."


def held_already(by: str, mention: str) -> str:
    who = clean_line(by, limit=60)
    return (
        f"Nothing is at work here, and {who} has stopped what starts by itself. `@{mention} resume` "
        "allows it again."
    )


def not_at_work(turn: str) -> str:
    return f"Turn `{turn}` has ended already; nothing was stopped."


def stop_asked_before(turn: str, by: str) -> str:
    return f"Turn `{turn}` is ending already: {clean_line(by, limit=60)} has stopped it."


def stopping_review(turn: str, mention: str) -> str:
    return (
        f"The review ends (turn `{turn}`), and nothing of it is posted. Nothing starts here by itself "
        f"any more, until `@{mention} resume`."
    )


def stopping(turns: Sequence[TurnBrief]) -> str:
    """Several at once."""
    said = [_stopping(turn) for turn in turns]
    return (
        f"All that had not ended here ends: {', '.join(said[:-1])} and {said[-1]}. "
        "What each of them has done so far follows."
    )


def _stopping(turn: TurnBrief) -> str:
    if turn.stopping_by is not None:
        return f"turn `{turn.id}` (stopped by {clean_line(turn.stopping_by, limit=60)} before)"
    was = "which was at work" if turn.state == "running" else "which waited"
    return f"turn `{turn.id}` ({was})"


def pausing(turn: str, mention: str) -> str:
    return (
        f"Turn `{turn}` pauses after its present step, and holds nothing then. "
        f"`@{mention} resume` lets it go on; what you write to me until then it reads first."
    )


def paused_before(turn: str, by: str, mention: str) -> str:
    return (
        f"Turn `{turn}` is paused already, by {clean_line(by, limit=60)}. `@{mention} resume` lets it go on."
    )


def nothing_to_pause(mention: str) -> str:
    return (
        f"Nothing is at work here, so there is nothing to pause. `@{mention} stop` keeps things from "
        "starting."
    )


def kept_for_later(turn: str, mention: str) -> str:
    """To whoever wrote to a turn that is paused."""
    return f"Kept: turn `{turn}` is paused, and reads this first when someone writes `@{mention} resume`."


def resumed(*, turn: str | None, ending: str | None, was_held: bool, mention: str) -> str:
    """What `resume` has done; `turn` goes on, `ending` does not: it was stopped."""
    said = []
    if turn is not None:
        said.append(f"Turn `{turn}` goes on.")
    if was_held:
        said.append("What starts by itself may start here again.")
    if ending is not None:
        said.append(
            f"Turn `{ending}` was stopped and stays so; `@{mention} retry` goes on from where it ended."
        )
    return " ".join(said)


def nothing_to_resume(mention: str) -> str:
    return f"Nothing is paused or stopped here. `@{mention} status` tells what there is."


def nothing_to_retry(mention: str) -> str:
    return (
        f"I have not worked here yet, so there is nothing to go on from. Write `@{mention}` and what you "
        "want."
    )


def retry_at_work(turn: str, mention: str) -> str:
    return (
        f"Turn `{turn}` has not ended: there is nothing to retry yet. "
        f"What you write to me now it reads before its next step; `@{mention} stop` ends it."
    )


def retry_of_done(turn: str, mention: str) -> str:
    return (
        f"Turn `{turn}`, the last one here, is done: there is nothing to retry. "
        f"`@{mention} fork {turn}` makes a second attempt from its end, on a branch of its own."
    )


def not_the_last(turn: str, last: str) -> str:
    return f"Turn `{turn}` is not the last one of this conversation any more; that is `{last}`."


def no_such_turn(turn: str, mention: str) -> str:
    return f"There is no turn `{turn}` in this conversation. `@{mention} status` lists those there are."


def not_ended(turn: str, mention: str) -> str:
    return f"Turn `{turn}` has not ended. When it has, `@{mention} fork {turn}` goes on from its end."


def forgotten_turn(turn: str, mention: str) -> str:
    return (
        f"What was asked and done in turn `{turn}` has been deleted (`forget`), so that nothing can go on "
        "from it. "
        f"Write `@{mention}` and what you want."
    )


def moved_meanwhile(branch: str) -> str:
    """The note of a turn that goes on at a commit which is no longer the head."""
    return (
        f"`{branch}` has been pushed to since that turn began. This one goes on from the same commit; "
        "its result will be put beside the branch, and nothing is overwritten."
    )


def moved_meanwhile_in_fork(branch: str) -> str:
    """The same on a pull request from a fork."""
    return (
        f"The fork's branch `{branch}` has been pushed to since that turn began. This one goes on from the "
        "same commit; its result is shown as a patch for that, and nothing is overwritten."
    )


def nothing_pushed(mention: str) -> str:
    return (
        f"No turn of this conversation has pushed anything, so there is nothing to undo. `@{mention} "
        "status` lists them."
    )


def turn_pushed_nothing(turn: str) -> str:
    return f"Turn `{turn}` has pushed nothing, so there is nothing to undo."


def undone_before(landing: Landing) -> str:
    return (
        f"Turn `{landing.turn}` is undone already: `{landing.undone_by[:7]}` on `{landing.branch}` did "
        "it. Nothing was changed."
    )


def fork_is_closed(landing: Landing) -> str:
    name = landing.fork.full_name if landing.fork is not None else ""
    return (
        f"I did not undo turn `{landing.turn}`: its commit `{landing.sha[:7]}` is in the fork `{name}`, and "
        "the pull request does not let maintainers push there any more. Ask its author to revert the commit."
    )


def undo_message(start: StartTurn, landing: Landing, requester: Requester | None) -> str:
    """Subject, cause and trailers of the commit that takes a turn back."""
    title = clean_line(start.title, limit=50) or f"#{start.number}"
    lines = [
        f"Undo: {title}",
        "",
        f"Takes back what turn {landing.turn} pushed in {landing.sha[:12]}.",
        "",
        f"Requested in #{start.number}.",
        "",
        f"Darner-Undo: {landing.turn}",
    ]
    if requester is not None:
        lines.append(
            f"Co-authored-by: {requester.login} <{requester.id}+{requester.login}@users.noreply.github.com>"
        )
    return "\n".join(lines) + "\n"


def undo_ended(event: UndoEnded, mention: str, *, held_by: str | None = None) -> str:
    """The last word about an `undo`."""
    undo = event.undo
    turn, branch = f"`{undo.turn_id}`", f"`{undo.branch}`"
    detail = f" {inline_code(event.detail)}" if event.detail else ""
    said = {
        "done": f"Turn {turn} is undone: `{event.sha[:7]}` on {branch} takes back `{undo.sha[:7]}`.",
        "done_before": (
            f"Turn {turn} is undone already, by `{event.sha[:7]}` on {branch}. Nothing was changed."
        ),
        "conflict": (
            f"I did not undo turn {turn}: later commits on {branch} change the same lines, in{detail}. "
            f"Take `{undo.sha[:7]}` back by hand, or ask me in words to do it."
        ),
        "nothing_left": f"Nothing of turn {turn} is left on {branch}: there was nothing to undo.",
        "branch_gone": f"I did not undo turn {turn}: the branch {branch} is gone, and its commit with it.",
        "not_there": (
            f"I did not undo turn {turn}: its commit `{undo.sha[:7]}` is not on {branch} any more "
            "(the branch was rewritten)."
        ),
        "merged": (
            f"I did not undo turn {turn}: the pull request of {branch} is merged, and its branch no "
            "longer counts. "
            f"Ask me in words to revert `{undo.sha[:7]}` where it was merged."
        ),
        "head_moved": (
            f"I did not undo turn {turn}: {branch} is being pushed to. Write `@{mention} undo "
            f"{undo.turn_id}` again."
        ),
        "denied": f"I did not undo turn {turn}: GitHub did not let me push to {branch}.{detail}",
        "branch_protected": f"I did not undo turn {turn}: {branch} is protected.{detail}",
        "unavailable": (
            f"I could not undo turn {turn}.{detail} Write `@{mention} undo {undo.turn_id}` to try again."
        ),
    }
    is_back = event.result in {"done", "done_before"} and held_by is not None
    held = f" Nothing starts here by itself until `@{mention} resume`." if is_back else ""
    return f"{said[event.result]}{held}"


def forget_at_work(turn: str, mention: str) -> str:
    return (
        f"Turn `{turn}` has not ended, so I have deleted nothing. Write `@{mention} stop`, "
        f"and `@{mention} forget` once it has ended."
    )


def forgotten(turns: int) -> str:
    whose = "1 turn" if turns == 1 else f"{turns} turns"
    return (
        f"Deleted: the transcript of {whose} of this conversation, the words that asked for them, what "
        "was said to them, "
        "and the snapshots of their files. Kept: who asked when, how it ended and what it cost. "
        "What stands on GitHub (comments, branches, pull requests) is yours to delete."
    )


def policy_table(resolved: Resolved, config: RepositoryConfig, *, login: str) -> str:
    """What a turn may do that this person asks for now, and who decided each part."""
    lines = [f"What a turn that {clean_line(login, limit=60)} asks for here may do now:", ""]
    lines += ["| what | value | decided by |", "| --- | --- | --- |"]
    for name, value, layer in rows_of(resolved):
        lines.append(f"| {name} | {inline_code(value).replace('|', '&#124;')} | {layer} |")
    lines += [f"\nNot granted: {inline_code(str(missed))}." for missed in resolved.not_granted]
    lines += [f"\nNot used of `devcontainer.json`: {inline_code(line)}." for line in config.ignored]
    return "\n".join(lines)


def nothing_known(named: str | None) -> str:
    if named is None:
        return "There is no decision before this one in this conversation."
    return f"I know of no turn, request or delivery `{named}` in this conversation."


def account(told: Account) -> str:
    """One decision, from the ledger."""
    at = datetime.fromtimestamp(told.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    who = f" by {clean_line(told.who, limit=60)}" if told.who else ""
    lines = [f"`{told.what}`{who}, {at}: **{told.decision}**. {clean(told.reason, limit=600)}".strip()]
    if told.text:
        lines.append(f"> {clean_line(told.text, limit=200)}")
    if told.turn:
        cause = f" {clean(told.turn_cause, limit=600)}" if told.turn_cause else ""
        lines.append(f"Turn `{told.turn}`: {told.turn_state}.{cause}")
    if told.effects:
        rows = [_effect_row(effect) for effect in told.effects[:MOST_EFFECTS]]
        lines.append("\n".join(["| what I did | how it went |", "| --- | --- |", *rows]))
        if len(told.effects) > MOST_EFFECTS:
            lines.append(f"and {len(told.effects) - MOST_EFFECTS} more.")
    return "\n\n".join(lines)


def _effect_row(effect: DoneEffect) -> str:
    how = effect.state
    if effect.error:
        how = f"{how}: {inline_code(effect.error)}"
    elif effect.url:
        how = f"[{how}]({effect.url})"
    return f"| {effect.type.replace('_', ' ')} | {how.replace('|', '&#124;')} |"


def standing(view: View) -> Sequence[str]:
    """What is said below the table of turns: what holds the thread, and what waits for people."""
    lines = []
    mention = view.bot.mention
    if (turn := view.at_work) is not None and turn.paused_by is not None:
        who = clean_line(turn.paused_by, limit=60)
        lines.append(f"⏸ Turn `{turn.id}` is paused by {who}; `@{mention} resume` lets it go on.")
    elif turn is not None and turn.waits_for:
        lines.append(f"💤 Turn `{turn.id}` waits: {clean(turn.waits_for, limit=300)}")
    lines += _holds(view.thread, mention)
    lines += [_open_request(asked) for asked in view.requests if asked.state == "open"]
    return lines


def _holds(thread: ThreadFacts, mention: str) -> list[str]:
    if thread.stopped_by is not None:
        who = clean_line(thread.stopped_by, limit=60)
        return [f"🛑 Stopped by {who}: nothing starts here by itself until `@{mention} resume`."]
    if thread.is_archived:
        return [f"🗄 Set aside by the operator: nothing starts here by itself until `@{mention} resume`."]
    return []


def _open_request(asked: AskedRequest) -> str:
    until = datetime.fromtimestamp(asked.until, UTC).strftime("%Y-%m-%d %H:%M UTC")
    what = "a question" if asked.kind == "question" else f"leave ({asked.kind})"
    return f"✋ Turn `{asked.turn}` has asked for {what}: `{asked.id}`, open until {until}."


def goes_on(start: StartTurn, *, author: str, has_files: bool, lost_files: bool) -> str:
    """What the model is told in a turn that goes on from another one, after that one's history."""
    if start.follows == start.continues:
        asks = f"{author} asks for a second attempt, from the end of turn {start.continues}."
    else:
        asks = f"{author} asks you to go on with turn {start.continues}, which had not come to its end."
    if lost_files:
        files = (
            "Its changes to the files are lost: the work tree is as the commit has it. Look before you "
            "rely on them."
        )
    elif has_files:
        files = "The work tree is as that turn left it; nothing of it needs to be done again."
    else:
        files = "The work tree is as the commit has it."
    words = f"\n\nThis time:\n\n{start.words}" if start.words else ""
    return f"{asks} {files}{words}"
