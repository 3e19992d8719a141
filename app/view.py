"""What a handler may look at: fetched from the forge, pinned to SHAs, once per event."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from app.github import GitHub
from app.github_checks import pull_at
from app.store.places import RepositoryRef
from handlers.ci.settings import CiMode
from handlers.config import PLACE, ConfigRefused, parse_config
from handlers.effects import Requester
from handlers.events import (
    Actor,
    ButtonPressed,
    CheckReported,
    ChecksDue,
    CommentDeleted,
    Event,
    HeldApproved,
    IssueCommented,
    OperatorAsked,
    Pinged,
    PullChanged,
    ReviewCommented,
    SubjectClosed,
    SubjectFound,
    SubjectOpened,
    ThreadSettled,
    TurnEnded,
    UndoEnded,
    Unhandled,
    ended_of,
)
from handlers.on_checks import mode_of
from handlers.permissions import Permission
from handlers.view import AskedRequest, Bot, Branch, PullFacts, RepositoryConfig, Target, TurnBrief, View


async def fetch_view(
    event: Event,
    *,
    github: GitHub,
    place: RepositoryRef,
    bot: Bot,
    turns: Sequence[TurnBrief],
    requests: Sequence[AskedRequest] = (),
    target: Target | None = None,
) -> View:
    """The view for `event`, which may be about the turn `target`. Raises `ForgeError`."""
    view = await _view(event, github=github, place=place, bot=bot, turns=turns, target=target)
    if isinstance(event, TurnEnded) and event.changes and view.pull is not None:
        view = replace(view, fork=await github.fork_of(view.pull))
    return replace(view, requests=tuple(requests))


async def _view(
    event: Event,
    *,
    github: GitHub,
    place: RepositoryRef,
    bot: Bot,
    turns: Sequence[TurnBrief],
    target: Target | None,
) -> View:
    who: Actor | Requester
    match event:
        case Pinged() | Unhandled() | UndoEnded():
            return View(bot=bot)
        case SubjectClosed() | CommentDeleted() | SubjectFound():
            # Whoever may close or delete has decided already; it costs no look at the forge.
            return View(bot=bot, turns=tuple(turns))
        case CheckReported():
            return await _check_view(event, github=github, place=place, bot=bot)
        case ChecksDue():
            number = event.number or None
            who = event.asked.by if event.asked else Requester(bot.id or 0, bot.login, "none")
            default = ""
        case ButtonPressed():
            is_pull = target is not None and target.start.is_pull
            number = target.start.number if target is not None and is_pull else None
            who = event.actor
            default = event.repository.default_branch
        case OperatorAsked(start=start):
            # The operator needs nobody's leave, but a turn that goes on is in its requester's name.
            number = start.number if start.is_pull else None
            who = start.requester
            default = ""
        case IssueCommented() | SubjectOpened() | ReviewCommented() | PullChanged() | ThreadSettled():
            number = event.subject.number if event.subject.is_pull else None
            who = event.actor
            default = event.repository.default_branch
        case HeldApproved():
            # Whoever approved it is the one in whose name it is written.
            number = event.ended.start.number if event.ended.start.is_pull else None
            who = event.by
            default = ""
        case _:
            # The requester's permission is read again before anything is written in their name.
            start = ended_of(event).start
            number = start.number if start.is_pull else None
            who = start.requester
            default = ""
    return await _fetch(github, place, bot, default=default, who=who, pull=number, turns=turns)


async def _check_view(event: CheckReported, *, github: GitHub, place: RepositoryRef, bot: Bot) -> View:
    """What says whether anybody wants checks looked after here, and whose head it is."""
    branch = await github.run(place, lambda client: client.branch(event.repository.default_branch))
    if branch is None:
        return View(bot=bot)
    config, fault = await _config(github, place, branch.sha)
    view = View(bot=bot, default_branch=branch, config=config, config_error=fault)
    if event.number is not None or mode_of(view, place.full_name) is CiMode.OFF:
        return view
    return replace(view, ci_pull=await github.run(place, lambda client: pull_at(client, event.sha)))


async def _fetch(
    github: GitHub,
    place: RepositoryRef,
    bot: Bot,
    *,
    default: str,
    who: Actor | Requester,
    pull: int | None,
    turns: Sequence[TurnBrief],
) -> View:
    async def permission() -> Permission:
        return await github.run(place, lambda client: client.permission(who.login, who.id))

    async def pull_facts() -> PullFacts | None:
        return await github.run(place, lambda client: client.pull(pull)) if pull is not None else None

    async def branch_and_config() -> tuple[Branch | None, RepositoryConfig, str]:
        name = default or await github.run(place, lambda client: client.default_branch())
        branch = await github.run(place, lambda client: client.branch(name))
        if branch is None:
            return None, RepositoryConfig(), ""
        config, fault = await _config(github, place, branch.sha)
        return branch, config, fault

    role, facts, (branch, config, fault) = await asyncio.gather(
        permission(), pull_facts(), branch_and_config()
    )
    return View(
        bot=bot,
        permission=role,
        default_branch=branch,
        config=config,
        config_error=fault,
        pull=facts,
        turns=tuple(turns),
    )


async def _config(github: GitHub, place: RepositoryRef, sha: str) -> tuple[RepositoryConfig, str]:
    """The repository file at the default branch's SHA; its fault, when it cannot be used."""
    text = await github.file(place, PLACE, sha)
    if text is None:
        return RepositoryConfig(), ""
    try:
        return parse_config(text), ""
    except ConfigRefused as error:
        return RepositoryConfig(), str(error)
