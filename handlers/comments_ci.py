"""What the bot says about failed checks: what would be tried, what was, and what a person must look at.

As in `handlers.comments`: what happened, to what, what to do next. Decides nothing.
"""

import re
from collections.abc import Sequence
from typing import Final

from handlers.ci.attempts import Attempt, Limits
from handlers.ci.excerpt import FailedJob
from handlers.ci.weakening import Weakening
from handlers.inline import inline_code
from handlers.scan import clean_line

MOST_NAMED: Final = 8
REQUEST: Final = "fix ci"
"""What accepts an offer."""

# Titles of the check run that offers a repair.
OFFERED: Final = "Checks fail: a repair can be asked for"
OFFER_TAKEN: Final = "The repair is asked for"
OFFER_FINE: Final = "All checks pass"
OFFER_ENDED: Final = "A person is needed"


def failed_list(jobs: Sequence[FailedJob]) -> str:
    """The failed checks and what fails in them, a line each; bounded."""
    lines: list[str] = []
    for job in jobs[:MOST_NAMED]:
        told = job.log.failures
        names = [one.test or one.file or one.message for one in told[:3]]
        more = len(told) + job.log.more_failures - len(names)
        said = ", ".join(inline_code(name) for name in names)
        rest = f" and {more} more" if more > 0 and names else ""
        lines.append(f"- {inline_code(job.name)}{': ' if said else ''}{said}{rest}")
    if len(jobs) > MOST_NAMED:
        lines.append(f"- and {len(jobs) - MOST_NAMED} more")
    return "\n".join(lines)


def offer(jobs: Sequence[FailedJob], *, sha: str, limits: Limits, number: int, mention: str) -> str:
    """What would be tried, and what it may cost."""
    return (
        f"🔧 **Checks fail** at `{sha[:7]}`\n\n{failed_list(jobs)}\n\n"
        f"I can try to repair this: read the logs, reproduce the failure in a sandbox, change the code, run "
        f"the failing tests and push one commit to this branch. It would be attempt {number} of "
        f"{limits.attempts}{_cost(limits)}. Nothing starts unless somebody with write access says "
        f"`@{mention} {REQUEST}`."
    )


def with_button(told: str) -> str:
    """An offer as its check run says it."""
    return f"{told}\n\nThe button *Repair* of this check does the same."


def _cost(limits: Limits) -> str:
    caps = []
    if limits.money is not None:
        caps.append(f"{limits.money:.2f} in money")
    if limits.seconds is not None:
        caps.append(f"{limits.seconds / 60:.0f} minutes")
    return f", and all attempts together end at {' and '.join(caps)}" if caps else ""


def same_on_base(jobs: Sequence[FailedJob], *, sha: str, base: str, mention: str) -> str:
    return (
        f"🔁 **Checks fail on {inline_code(base)} too** · at `{sha[:7]}`\n\n{failed_list(jobs)}\n\n"
        f"The base branch fails in the same way, so this pull request is not to blame, and I leave it. "
        f"`@{mention} {REQUEST}` has it repaired here all the same."
    )


def left_alone(jobs: Sequence[FailedJob], reason: str, *, sha: str, mention: str) -> str:
    return (
        f"⏸️ **Not repaired** · checks fail at `{sha[:7]}`\n\n{failed_list(jobs)}\n\n"
        f"{clean_line(reason, limit=300)} `@{mention} {REQUEST}` has it tried all the same."
    )


def not_on_forks(jobs: Sequence[FailedJob], *, sha: str, mention: str) -> str:
    return (
        f"🔧 **Checks fail** at `{sha[:7]}`\n\n{failed_list(jobs)}\n\n"
        "The head belongs to a fork, whose code I do not work on by myself. "
        f"Somebody with write access can say `@{mention} {REQUEST}`; the result comes "
        "by what that fork allows: on its branch, as suggestions or as a patch."
    )


def at_work(turn: str, *, sha: str, number: int, of: int) -> str:
    """Where the offer was, once it is taken up."""
    return f"🔧 Turn `{turn}` repairs the checks that fail at `{sha[:7]}` (attempt {number} of {of})."


def at_work_already(turn: str) -> str:
    """To whoever asks for a repair while one is under way."""
    return f"Turn `{turn}` is at work here already: nothing else was begun. Ask again when it has ended."


def fine_again(sha: str) -> str:
    return f"✅ All checks pass at `{sha[:7]}`."


def no_failure(sha: str) -> str:
    """To whoever asked for a repair."""
    return f"All checks that I look after pass at `{sha[:7]}`: there is nothing to repair."


def moved_on(sha: str, newest: str) -> str:
    return f"`{sha[:7]}` is not the newest head any more; ask again for `{newest[:7]}` if its checks fail."


def not_a_pull(mention: str) -> str:
    return f"I repair the checks of a pull request: say `@{mention} {REQUEST}` on one."


def called(
    jobs: Sequence[FailedJob], reason: str, tried: Sequence[Attempt], *, sha: str, mention: str
) -> str:
    """A person is needed: why, and all that was tried."""
    lines = "\n".join(
        f"{position}. Turn `{attempt.turn_id}`: {clean_line(attempt.said, limit=240) or 'it left no word'}"
        for position, attempt in enumerate(tried, start=1)
    )
    told = f"\n\nWhat was tried:\n{lines}" if lines else ""
    return (
        f"🧑 **I need a person here** · checks fail at `{sha[:7]}`\n\n{failed_list(jobs)}\n\n"
        f"{clean_line(reason, limit=300)} I try no more by myself.{told}\n\n"
        f"With a hint, `@{mention} …` in your own words begins anew."
    )


def request(jobs: Sequence[FailedJob], *, attempt: int, tried: Sequence[Attempt], base: str) -> str:
    """What the model is asked for; the excerpt stands beside it."""
    before = "".join(
        f"\n- An attempt before this one: {clean_line(one.said, limit=300) or 'it left no word.'}"
        for one in tried
    )
    return (
        f"Repair the failed checks of this head ({_plain_names(jobs)}). What they say, "
        "and where the whole logs lie, stands above.\n"
        "- Reproduce the failure first, with the one test that fails, where that can be done here.\n"
        "- Mend its cause in the code. Do not delete or skip tests, loosen assertions or thresholds, silence "
        "checks, or edit workflows: such changes are held back for a person.\n"
        "- Prove it: run that test and its neighbours, and say which commands passed.\n"
        "- Change nothing else. If no change of this repository can repair it, change nothing and say why.\n"
        f"- {base}{before}"
        + (f"\n- This is attempt {attempt}: do not repeat what did not help." if attempt > 1 else "")
    )


def _plain_names(jobs: Sequence[FailedJob]) -> str:
    """Names of checks in a text that asks: nothing in them can be an order."""
    names = [_UNPLAIN.sub("?", job.name)[:40] for job in jobs[:MOST_NAMED]]
    return ", ".join(dict.fromkeys(names))


_UNPLAIN: Final = re.compile(r"[^\w./+()-]")


def base_told(is_known: bool) -> str:
    if is_known:
        return "The base branch does not fail in the same way, as far as its own checks tell."
    return "Whether the base branch fails in the same way is not known; you can look for yourself."


def weakened(found: Sequence[Weakening]) -> str:
    """Why a repair, or a part of it, was held."""
    lines = [f"- {_place(one)}: {clean_line(one.said, limit=200)}" for one in found[:MOST_NAMED]]
    if len(found) > MOST_NAMED:
        lines.append(f"- and {len(found) - MOST_NAMED} more")
    return "These changes would have CI ask less of the code:\n" + "\n".join(lines)


def _place(one: Weakening) -> str:
    if not one.path:
        return "the change as a whole"
    return inline_code(one.path if one.line is None else f"{one.path}:{one.line}")
