"""An `undo` is over: say what came of it, where it was asked for."""

from handlers import comments_control
from handlers.effects import Effect, PostComment
from handlers.events import UndoEnded
from handlers.view import View


def on_undo_ended(event: UndoEnded, view: View) -> list[Effect]:
    undo = event.undo
    return [
        PostComment(
            key=f"{undo.key}:ended",
            number=undo.number,
            body=comments_control.undo_ended(event, view.bot.mention, held_by=view.thread.stopped_by),
            review_thread=undo.review_thread,
            requester=undo.requester,
        )
    ]
