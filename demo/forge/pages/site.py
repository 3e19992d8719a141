"""What all pages share: who is looking, where they may look, and how a template becomes an answer."""

from __future__ import annotations

import html
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from demo.forge import shapes
from demo.forge.actions.actor import Actor
from demo.forge.pages import diffview, timeline
from demo.forge.pages.markdown import MarkdownRenderer
from demo.forge.refusals import Refused, not_found
from demo.forge.state import CONTENTS, Content, Issue, Repository, State, SubjectKind, User, Viewer
from demo.forge.suggestion import lines_of, replaced, suggested

COOKIE: Final = "forge_user"
EMOJI: Final[dict[Content, str]] = {
    "+1": "👍",
    "-1": "👎",
    "laugh": "😄",
    "confused": "😕",
    "heart": "❤️",
    "hooray": "🎉",
    "rocket": "🚀",
    "eyes": "👀",
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src * data:; style-src 'self'; script-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Reacted:
    """How often one emoji was given to something, by whom, and whether the reader is among them."""

    content: Content
    emoji: str
    logins: tuple[str, ...]
    is_mine: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A repository as one person sees it: what every page below it begins with."""

    repo: Repository
    me: User
    actor: Actor
    path: str
    may_write: bool
    render: MarkdownRenderer


class Site:
    """The pages' view of the forge, made once for each server."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.templates = Environment(
            loader=PackageLoader("demo.forge.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self.templates.filters |= {"ago": self._ago, "short": lambda sha: sha[:7]}
        self.templates.globals |= {
            "account": self._account,
            "contents": [(content, EMOJI[content]) for content in CONTENTS],
            "excerpt": diffview.excerpt,
            "issue_path": self.issue_path,
            "lines_of": lines_of,
            "replaced": replaced,
            "standing": timeline.standing,
            "suggested": suggested,
            "labels_of": state.labels,
            "reactions_to": self._reactions,
            "role_words": self._role_words,
        }

    def people(self) -> list[User]:
        """Those as whom one may act on the pages."""
        return [user for user in self.state.all(User) if user.type == "User"]

    def me(self, request: Request) -> User:
        """The person chosen last, else the first one; there are no passwords on this forge's pages."""
        chosen = self.state.user(request.cookies.get(COOKIE, ""))
        people = self.people()
        if chosen in people:
            return chosen
        if not people:
            raise Refused(503, "This forge has no users yet.")
        return people[0]

    def place(self, request: Request, owner: str, *, name: str, me: User | None = None) -> Place:
        """The repository, if the person may see it; else it does not exist."""
        me = me or self.me(request)
        repo = self.state.repository(owner, name) or self.state.renamed(owner, name)
        actor = Actor(self.state, Viewer(user=me))
        if repo is None or not self.state.may_see(actor.viewer, repo):
            raise not_found()
        path = "/" + quote(self.state.full_name(repo))
        return Place(
            repo=repo,
            me=me,
            actor=actor,
            path=path,
            may_write=actor.may(repo, needs=(), role="write"),
            render=MarkdownRenderer(repository_path=path, is_user=self._is_user),
        )

    def issue(self, place: Place, number: int) -> Issue:
        found = self.state.issue(place.repo, number)
        if found is None:
            raise not_found()
        return found

    def pull(self, place: Place, number: int) -> Issue:
        found = self.issue(place, number)
        if found.pull is None:
            raise not_found()
        return found

    def page(self, template: str, request: Request, *, me: User, shown: Mapping[str, object]) -> Response:
        text = self.templates.get_template(template).render(
            me=me, people=self.people(), here=request.url.path, **shown
        )
        return HTMLResponse(text, headers=_HEADERS)

    def issue_path(self, place: Place, issue: Issue) -> str:
        return f"{place.path}/{'pull' if issue.pull else 'issues'}/{issue.number}"

    def _is_user(self, login: str) -> bool:
        return self.state.user(login) is not None or self.state.user(f"{login}[bot]") is not None

    def _account(self, user_id: int) -> User:
        return self.state.get(User, user_id)

    def _role_words(self, place: Place, user_id: int) -> str:
        words = shapes.association(self.state, user_id, repo=place.repo)
        return "" if words == "NONE" else words.replace("_", " ").capitalize()

    def _reactions(self, place: Place, kind: SubjectKind, subject_id: int) -> list[Reacted]:
        given: dict[Content, list[User]] = {}
        for reaction in self.state.reactions(kind, subject_id):
            given.setdefault(reaction.content, []).append(self._account(reaction.user_id))
        return [
            Reacted(content, EMOJI[content], tuple(user.login for user in users), place.me in users)
            for content, users in given.items()
        ]

    def _ago(self, when: datetime) -> Markup:
        words = _words_for(self.state.clock() - when)
        stamp = shapes.stamp(when)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, stamp, words)


class PageRoute(APIRoute):
    """Answers a refusal with a page instead of JSON, and takes a form only from the forge's own pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            if request.method == "POST" and not is_same_origin(request):
                return _refusal(403, "This form was sent from another site.")
            try:
                return await handle(request)
            except Refused as refusal:
                return _refusal(refusal.status, sentence_of(refusal))

        return handle_as_page


def is_same_origin(request: Request) -> bool:
    """Browsers name the origin of each form they post; only our own pages may act for the person."""
    origin = urlsplit(request.headers.get("origin", ""))
    return origin.netloc == request.headers.get("host") and _is_local_name(origin.hostname or "")


def _is_local_name(host: str) -> bool:
    """Whether it is an address or a name without dots: a site's own name could be made to lead here too."""
    try:
        ip_address(host)
    except ValueError:
        return "." not in host
    return True


def see_other(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def sentence_of(refusal: Refused) -> str:
    """GitHub's message with the details that make it useful to a person."""
    details = [
        error
        if isinstance(error, str)
        else str(error.get("message") or f"{error.get('field')}: {error.get('code')}")
        for error in refusal.errors
    ]
    return " ".join([refusal.message, *details])


def _refusal(status: int, sentence: str) -> Response:
    phrase = f"{status} {HTTPStatus(status).phrase}"
    text = (
        f'<!doctype html><html lang="en"><title>{phrase}</title><link rel="stylesheet" href="/-/forge.css">'
        f'<main class="refusal"><h1>{phrase}</h1><p>{html.escape("" if sentence in phrase else sentence)}</p>'
        '<p><a href="/">All repositories</a></p></main></html>'
    )
    return HTMLResponse(text, status_code=status, headers=_HEADERS)


def _words_for(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if (count := seconds // size) > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
