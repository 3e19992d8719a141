"""Users, Apps, installations and node ids as GitHub writes them; it reads state and changes nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import overload

from demo.forge.state import App, Installation, State, Token, User

Json = dict[str, object]

# The prefix of a node id tells what it names: https://docs.github.com/en/graphql/guides/using-global-node-ids
PREFIXES: Mapping[str, str] = {
    "User": "U",
    "Bot": "BOT",
    "Organization": "O",
    "App": "A",
    "Installation": "MDIz",
    "Repository": "R",
    "Label": "LA",
    "Issue": "I",
    "PullRequest": "PR",
    "IssueComment": "IC",
    "PullRequestReview": "PRR",
    "PullRequestReviewComment": "PRRC",
    "PullRequestReviewThread": "PRRT",
    "Reaction": "REA",
    "CheckRun": "CR",
    "CheckSuite": "CS",
    "Workflow": "W",
    "WorkflowRun": "WFR",
    "Artifact": "ART",
    "StatusContext": "SC",
    "Commit": "C",
    "Ref": "REF",
    "Event": "EV",
    "Blob": "B",
    "Tree": "T",
}
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}


def node_id(kind: str, of: int | str) -> str:
    """The global id that REST and GraphQL share: `node_id("Issue", issue.id)`."""
    packed = base64.urlsafe_b64encode(str(of).encode()).decode().rstrip("=")
    return f"{PREFIXES[kind]}_kwDO{packed}"


def parse_node_id(text: str) -> tuple[str, str] | None:
    """The kind and the local id inside a global id, or None if it is none of ours."""
    prefix, _, packed = text.partition("_kwDO")
    kind = _KINDS.get(prefix)
    if kind is None or not packed:
        return None
    try:
        padded = packed + "=" * (-len(packed) % 4)
        return kind, base64.urlsafe_b64decode(padded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


@overload
def stamp(when: datetime) -> str: ...
@overload
def stamp(when: datetime | None) -> str | None: ...
def stamp(when: datetime | None) -> str | None:
    """Whole seconds, UTC, ending in Z."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if when else None


def api(state: State) -> str:
    return f"{state.web_url}/api/v3"


def user(state: State, account: User) -> Json:
    """A `simple-user`."""
    login = account.login.replace("[", "%5B").replace("]", "%5D")
    url = f"{api(state)}/users/{login}"
    html_url = f"{state.web_url}/{account.login}"
    if account.type == "Bot":
        html_url = f"{state.web_url}/apps/{account.login.removesuffix('[bot]')}"
    return {
        "login": account.login,
        "id": account.id,
        "node_id": node_id(account.type, account.id),
        "avatar_url": f"{state.web_url}/avatars/u/{account.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": html_url,
        "followers_url": f"{url}/followers",
        "following_url": f"{url}/following{{/other_user}}",
        "gists_url": f"{url}/gists{{/gist_id}}",
        "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{url}/subscriptions",
        "organizations_url": f"{url}/orgs",
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events{{/privacy}}",
        "received_events_url": f"{url}/received_events",
        "type": account.type,
        "site_admin": False,
    }


def user_by_id(state: State, user_id: int | None) -> Json | None:
    account = state.find(User, user_id)
    return user(state, account) if account else None


def public_user(state: State, account: User) -> Json:
    return user(state, account) | {
        "user_view_type": "public",
        "name": account.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": account.email,
        "hireable": None,
        "bio": None,
        "twitter_username": None,
        "public_repos": sum(repo.owner_id == account.id for repo in state.visible_to_all()),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": stamp(account.created_at),
        "updated_at": stamp(account.created_at),
    }


def app(state: State, of: App) -> Json:
    """An `integration`."""
    owner = state.get(User, of.owner_id)
    return {
        "id": of.id,
        "client_id": of.client_id,
        "slug": of.slug,
        "node_id": node_id("App", of.id),
        "owner": user(state, owner),
        "name": of.name,
        "description": "",
        "external_url": f"{state.web_url}/apps/{of.slug}",
        "html_url": f"{state.web_url}/apps/{of.slug}",
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
        "permissions": dict(of.permissions),
        "events": list(of.events),
    }


def app_by_id(state: State, app_id: int | None) -> Json | None:
    of = state.find(App, app_id)
    return app(state, of) if of else None


def installation(state: State, of: Installation) -> Json:
    of_app = state.get(App, of.app_id)
    account = state.get(User, of.account_id)
    return {
        "id": of.id,
        "account": user(state, account),
        "repository_selection": "all" if of.repository_ids is None else "selected",
        "access_tokens_url": f"{api(state)}/app/installations/{of.id}/access_tokens",
        "repositories_url": f"{api(state)}/installation/repositories",
        "html_url": f"{state.web_url}/settings/installations/{of.id}",
        "app_id": of.app_id,
        "app_slug": of_app.slug,
        "target_id": account.id,
        "target_type": account.type,
        "permissions": dict(of.permissions),
        "events": list(of.events),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": user(state, account) if of.suspended_at else None,
        "suspended_at": stamp(of.suspended_at),
    }


def installation_token(token: Token) -> Json:
    """Without the repositories, which the caller adds when the token is for some only."""
    return {
        "token": token.value,
        "expires_at": stamp(token.expires_at),
        "permissions": dict(token.permissions or {}),
        "repository_selection": "all" if token.repository_ids is None else "selected",
    }
