"""Somebody pressed a button of the check run that offers a repair."""

from handlers import comments_ci, on_checks, reasons
from handlers.asked import Asked, answer_to, lead_of
from handlers.ci.offers import is_button
from handlers.effects import CiAsked, Effect, LookAtChecks, Requester
from handlers.events import ButtonPressed
from handlers.ingest import act_of, ignored
from handlers.permissions import STANDING
from handlers.view import View


def on_repair_asked(event: ButtonPressed, view: View, number: int) -> list[Effect]:
    """*Repair* is `fix ci` for that head of the pull request `number`; "Re-run" only looks at it again."""
    repository = event.repository.full_name
    if STANDING[view.permission] != "writer":
        return [ignored(event, reasons.NEEDS_WRITE)]
    if not view.config.enabled or view.config_error:
        return [ignored(event, reasons.DISABLED)]
    if not on_checks.may_be_asked(view, repository):
        return [ignored(event, reasons.CI_OFF)]
    act = act_of(event)
    if event.button == "rerequested":
        return [LookAtChecks(key=f"{act}:look", number=number, branch="", sha=event.head_sha, after=0.0)]
    if not is_button(event.button):
        return [ignored(event, reasons.UNKNOWN_BUTTON)]
    by = Requester(event.actor.id, event.actor.login, view.permission)
    lead = lead_of(event)
    if (at_work := view.task_at_work) is not None:
        asked = Asked(
            act=act,
            author=by.login,
            number=number,
            review_thread=None,
            text=None,
            requester=by,
            trigger=None,
            lead=lead,
        )
        return answer_to(asked, comments_ci.at_work_already(at_work.id))
    wanted = CiAsked(act=act, by=by, trigger=None, was_stopped=view.thread.stopped_by is not None, lead=lead)
    return [on_checks.look_for(wanted, number, event.head_sha)]
