"""What happens to Apps: made, installed, given tokens that can do no more than the installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from demo.forge import shapes
from demo.forge.actions.actor import Actor
from demo.forge.announce import announce_installation, ping
from demo.forge.refusals import Refused, not_found
from demo.forge.shapes import Json
from demo.forge.state import (
    Access,
    App,
    Hook,
    Installation,
    Permissions,
    Repository,
    State,
    Token,
    User,
)

TOKEN_LIFE = timedelta(hours=1)
LEVELS: tuple[Access, ...] = ("read", "write", "admin")
PERMISSION_DEFAULTS: Mapping[str, Access] = {
    "metadata": "read",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "checks": "write",
    "actions": "write",
    "statuses": "read",
}
EVENT_DEFAULTS = (
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "check_run",
    "check_suite",
    "workflow_run",
    "status",
    "push",
)


def create_app(
    state: State,
    *,
    owner: User,
    slug: str,
    name: str,
    permissions: Mapping[str, Access] = PERMISSION_DEFAULTS,
    events: Sequence[str] = EVENT_DEFAULTS,
) -> App:
    """A new App with its bot account and key pair; its webhook is set with `set_app_hook`."""
    with state.lock:
        now = state.clock()
        bot = state.put(User(id=state.next_id(), login=f"{slug}[bot]", type="Bot", created_at=now))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return state.put(
            App(
                id=state.next_id(),
                slug=slug,
                name=name,
                owner_id=owner.id,
                bot_id=bot.id,
                client_id=f"Iv23li{state.random_hex(7)}",
                private_key=private.decode(),
                public_key=public.decode(),
                permissions=dict(permissions),
                events=tuple(events),
                created_at=now,
            )
        )


def app_hook(state: State, app: App) -> Hook | None:
    return next(state.where(Hook, app_id=app.id), None)


def set_app_hook(state: State, app: App, *, url: str, secret: str) -> Hook:
    """Where the App's webhooks go, and how they are signed; a new address is pinged."""
    with state.lock:
        present = app_hook(state, app)
        if present is not None:
            return state.put(replace(present, url=url, secret=secret))
        hook = state.put(
            Hook(
                id=state.next_id(),
                app_id=app.id,
                url=url,
                secret=secret,
                events=app.events,
                created_at=state.clock(),
            )
        )
        ping(state, hook)
        return hook


def install(
    actor: Actor, app: App, *, account: User, repositories: Sequence[Repository] | None = None
) -> Installation:
    """Install the App on all repositories of an account, or on some."""
    state = actor.state
    with state.lock:
        installation = state.put(
            Installation(
                id=state.next_id(),
                app_id=app.id,
                account_id=account.id,
                permissions=dict(app.permissions),
                events=app.events,
                repository_ids=None if repositories is None else tuple(repo.id for repo in repositories),
                created_at=state.clock(),
            )
        )
        covered = [repo for repo in state.all(Repository) if state.installed_on(installation, repo)]
        members: Json = {
            "repositories": [_named(state, repo) for repo in covered],
            "requester": None,
        }
        announce_installation(actor, installation, event="installation", action="created", members=members)
        return installation


def uninstall(actor: Actor, installation: Installation) -> None:
    state = actor.state
    with state.lock:
        members: Json = {"repositories": [], "requester": None}
        announce_installation(actor, installation, event="installation", action="deleted", members=members)
        for token in list(state.where(Token, installation_id=installation.id)):
            state.put(replace(token, revoked=True))
        state.delete(installation)


def _named(state: State, repo: Repository) -> Json:
    return {
        "id": repo.id,
        "node_id": shapes.node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": state.full_name(repo),
        "private": repo.private,
    }


def mint(
    state: State,
    installation: Installation,
    *,
    permissions: Mapping[str, Access] | None = None,
    repositories: Sequence[str] | None = None,
    repository_ids: Sequence[int] | None = None,
) -> Token:
    """An installation token for an hour, narrowed as asked; nothing asked means all that was granted."""
    with state.lock:
        if installation.suspended_at is not None:
            raise Refused(403, "This installation has been suspended")
        app = state.get(App, installation.app_id)
        return state.put(
            Token(
                id=state.next_id(),
                value=f"ghs_{state.random_hex(18)}",
                user_id=app.bot_id,
                installation_id=installation.id,
                permissions=_narrowed(installation, permissions),
                repository_ids=_chosen(state, installation, names=repositories, ids=repository_ids),
                expires_at=state.clock() + TOKEN_LIFE,
            )
        )


def _narrowed(installation: Installation, wanted: Mapping[str, Access] | None) -> Permissions:
    granted = dict(installation.permissions)
    if not wanted:
        return granted
    for name, level in wanted.items():
        given = granted.get(name)
        if given is None or LEVELS.index(level) > LEVELS.index(given):
            raise Refused(422, "The permissions requested are not granted to this installation.")
    return {"metadata": "read", **wanted}


def _chosen(
    state: State, installation: Installation, *, names: Sequence[str] | None, ids: Sequence[int] | None
) -> tuple[int, ...] | None:
    """The ids asked for, which must all be covered; None (all) becomes what the installation has."""
    if names is None and ids is None:
        return installation.repository_ids
    covered = [repo for repo in state.all(Repository) if state.installed_on(installation, repo)]
    by_name = {repo.name.casefold(): repo.id for repo in covered}
    chosen: list[int | None] = [by_name.get(name.casefold()) for name in names or ()]
    known = {repo.id for repo in covered}
    chosen += [repo_id if repo_id in known else None for repo_id in ids or ()]
    found = tuple(repo_id for repo_id in chosen if repo_id is not None)
    if len(found) != len(chosen):
        sentence = (
            "There is at least one repository that does not exist or is not accessible to the parent "
            "installation."
        )
        raise Refused(422, sentence)
    return found


def revoke(state: State, token_id: int | None) -> None:
    with state.lock:
        token = state.find(Token, token_id)
        if token is None:
            raise not_found()
        state.put(replace(token, revoked=True))


def user_token(state: State, user: User) -> Token:
    """A personal access token; it never expires."""
    with state.lock:
        return state.put(Token(id=state.next_id(), value=f"ghp_{state.random_hex(18)}", user_id=user.id))
