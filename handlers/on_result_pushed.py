"""The commit is on its branch: open a pull request for it, unless it went into one."""

from handlers import comments
from handlers.comments import Published
from handlers.effects import Effect, OpenPull
from handlers.events import ResultPushed
from handlers.on_companion import is_companion, on_companion_pushed
from handlers.on_held_approved import is_held, on_held_pushed
from handlers.publish import judgement_of, last_words
from handlers.view import View


def on_result_pushed(event: ResultPushed, view: View) -> list[Effect]:
    ended = event.ended
    start = ended.start
    if is_held(event.push):
        return on_held_pushed(event, view)
    if is_companion(event.push):
        return on_companion_pushed(event, view)
    judgement = judgement_of(ended, view).with_delivered(event.push.paths)
    fork = event.push.fork
    if fork is not None or (start.is_pull and event.push.branch == start.base_ref):
        published = Published(
            branch=event.push.branch,
            sha=event.sha,
            is_replayed=event.push.replays,
            fork="" if fork is None else fork.full_name,
        )
        return last_words(ended, view, published, judgement=judgement)
    return [
        OpenPull(
            key=f"{start.turn_id}:pull",
            turn_id=start.turn_id,
            head=event.push.branch,
            base=start.base_ref,
            title=comments.pull_title(start),
            body=comments.pull_body(
                ended, judgement=judgement, mention=view.bot.mention, is_companion=start.is_pull
            ),
        )
    ]
