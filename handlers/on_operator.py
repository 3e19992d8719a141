"""The operator gave a command at the machine: the same as in a comment, and answered in the conversation."""

from dataclasses import replace
from typing import get_args

from handlers import comments, reasons
from handlers.asked import answer_to, by_operator
from handlers.effects import Effect, Ignore
from handlers.events import OperatorAsked
from handlers.grammar import Fork, Resume, Retry, parse_command
from handlers.on_checks import look_after_resume
from handlers.on_control import Control, control
from handlers.permissions import Refusal
from handlers.policy import resolve, situation_of
from handlers.view import View


def on_operator(event: OperatorAsked, view: View) -> list[Effect]:
    """Needs nobody's permission: whoever can write to the database could do all of it by hand."""
    asked = by_operator(event)
    command = parse_command(event.text)
    if not isinstance(command, get_args(Control)):
        return [Ignore(key=f"{event.key}:ignore", reason=reasons.UNHANDLED)]
    situation = situation_of(view, repository=event.start.repository, is_fork=event.start.is_fork)
    # A turn that goes on is in the name of whoever asked for it, if that person still may.
    in_their_name = isinstance(command, Retry | Fork)
    resolved = resolve(situation if in_their_name else replace(situation, permission="admin"))
    if isinstance(resolved, Refusal):
        return answer_to(asked, comments.needs_write(), "confused")
    effects = control(asked, view, command, resolved)
    if isinstance(command, Resume):
        start = event.start
        effects += look_after_resume(event.key, view, repository=start.repository, number=start.number)
    return effects
