"""The people, App and tokens that a fresh forge starts with; seeding a second time changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.forge.actions import apps, repos
from demo.forge.actions.actor import Actor
from demo.forge.state import App, Installation, Repository, Role, State, Token, User, Viewer

# Login to name and what they are for; roles are given per repository.
PEOPLE: Mapping[str, str] = {
    "maya": "Maya Lindqvist",
    "cole": "Cole Abara",
    "tess": "Tess Okafor",
    "oskar": "Oskar Brandt",
}
ROLES: Mapping[str, Role] = {"cole": "write", "tess": "triage"}
MAINTAINER, CONTRIBUTOR, TRIAGER, OUTSIDER = "maya", "cole", "tess", "oskar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """What a person needs to use the forge: logins to tokens, and the App with its installation."""

    tokens: Mapping[str, str]
    app: App
    installation: Installation


def seed(
    state: State,
    *,
    app_slug: str = "darner",
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
) -> Seeded:
    """Make the people and the App if they are not there; set the App's webhook if told."""
    with state.lock:
        people = {login: _person(state, login=login, name=name) for login, name in PEOPLE.items()}
        owner = people[MAINTAINER]
        app = next(state.where(App, slug=app_slug), None)
        if app is None:
            app = apps.create_app(state, owner=owner, slug=app_slug, name=app_slug.capitalize())
        if webhook_url is not None:
            hook = apps.app_hook(state, app)
            secret = webhook_secret or (hook.secret if hook else secrets.token_hex(20))
            apps.set_app_hook(state, app, url=webhook_url, secret=secret)
        installation = next(state.where(Installation, app_id=app.id, account_id=owner.id), None)
        if installation is None:
            installation = apps.install(acting(state, owner), app, account=owner)
        tokens = {login: _token(state, user).value for login, user in people.items()}
        bot = state.get(User, app.bot_id)
        tokens[bot.login] = _token(state, bot).value
        return Seeded(tokens=tokens, app=app, installation=installation)


def acting(state: State, user: User) -> Actor:
    """The user as an actor, as if signed in."""
    return Actor(state, Viewer(user=user))


def create_repository(
    state: State,
    full_name: str,
    *,
    directory: Path | None = None,
    private: bool = False,
    description: str | None = None,
    collaborators: Mapping[str, Role] = ROLES,
    protected: Sequence[str] = (),
) -> Repository:
    """A repository of a seeded person, from a directory of files, shared with the others by their roles."""
    login, _, name = full_name.partition("/")
    with state.lock:
        owner = state.user(login)
        if owner is None:
            raise KeyError(login)
        actor = acting(state, owner)
        repo = repos.create_repository(
            actor, owner=owner, name=name, private=private, description=description, directory=directory
        )
        for other, role in collaborators.items():
            user = state.user(other)
            if user is not None and user.id != owner.id:
                repo = repos.set_collaborator(actor, repo, user=user, role=role)
        # The bot's own account counts as a writer, so that it can be used with a plain token.
        for app in state.all(App):
            bot = state.get(User, app.bot_id)
            repo = repos.set_collaborator(actor, repo, user=bot, role="write")
        return repos.protect(actor, repo, branches=protected) if protected else repo


def _person(state: State, *, login: str, name: str) -> User:
    found = state.user(login)
    if found is not None:
        return found
    return state.put(
        User(
            id=state.next_id(),
            login=login,
            name=name,
            email=f"{login}@example.com",
            created_at=state.clock(),
        )
    )


def _token(state: State, user: User) -> Token:
    for token in state.where(Token, user_id=user.id, installation_id=None, revoked=False):
        return token
    return apps.user_token(state, user)
