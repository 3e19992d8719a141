"""Who Darner is towards the forge: a personal token, or an App that mints a token for each repository."""

import threading
import time
from dataclasses import dataclass
from typing import Final, Protocol

from github import Auth, Github
from github.GithubException import GithubException
from pydantic import BaseModel, SecretStr

REFRESH_EARLY_SECONDS: Final = 300.0
"""An installation token lives an hour; one that is nearly over is not handed out.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
"""

TURN_PERMISSIONS: Final = {
    "checks": "write",
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
}
PUSH_PERMISSIONS: Final = {"contents": "write", "metadata": "read"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the forge says we are."""

    id: int
    login: str
    slug: str
    """The App's slug; empty for a personal token."""


class Tokens(Protocol):
    """Where tokens come from. Thread-safe."""

    def identity(self) -> Identity:
        """Ask the forge who we are. Raises what PyGithub raises."""
        ...

    def token(self, *, installation: int | None, repository: int) -> SecretStr:
        """One that may read and write this repository, reused while it lives."""
        ...

    def push_token(self, *, installation: int | None, repository: int) -> SecretStr:
        """One for a single push; give it back with `revoke`."""
        ...

    def revoke(self, token: SecretStr) -> None:
        """End a `push_token`."""
        ...

    def live(self) -> tuple[str, ...]:
        """Every token that was handed out and still works: what must not appear in any text."""
        ...


class PersonalToken:
    """`DARNER_GITHUB_TOKEN`: one token for everything; it cannot be narrowed."""

    def __init__(self, token: SecretStr, *, api_url: str) -> None:
        self._token = token
        self._api_url = api_url

    def identity(self) -> Identity:
        with _client(self._api_url, Auth.Token(self._token.get_secret_value())) as client:
            _, user = client.requester.requestJsonAndCheck("GET", "/user")
        return Identity(user["id"], user["login"], "")

    def token(self, *, installation: int | None, repository: int) -> SecretStr:
        del installation, repository
        return self._token

    def push_token(self, *, installation: int | None, repository: int) -> SecretStr:
        return self.token(installation=installation, repository=repository)

    def revoke(self, token: SecretStr) -> None:
        """Nothing to do: it is the operator's own."""

    def live(self) -> tuple[str, ...]:
        return (self._token.get_secret_value(),)


class MintedToken(BaseModel):
    token: SecretStr
    expires_at: str


@dataclass(frozen=True, slots=True)
class _Held:
    token: SecretStr
    until: float


class AppTokens:
    """Installation tokens, narrowed to one repository each."""

    def __init__(self, *, app_id: int, private_key: str, api_url: str) -> None:
        self._auth = Auth.AppAuth(app_id, private_key)
        self._api_url = api_url
        self._lock = threading.Lock()
        self._held: dict[tuple[int, int], _Held] = {}
        self._pushing: set[str] = set()

    def identity(self) -> Identity:
        """The App acts as the user `<slug>[bot]`, whose id is not the App's."""
        with _client(self._api_url, self._auth) as client:
            _, app = client.requester.requestJsonAndCheck("GET", "/app")
        login = f"{app['slug']}[bot]"
        with _client(self._api_url, None) as client:
            _, user = client.requester.requestJsonAndCheck("GET", f"/users/{login}")
        return Identity(user["id"], login, app["slug"])

    def token(self, *, installation: int | None, repository: int) -> SecretStr:
        if installation is None:
            msg = "the delivery names no installation: is this webhook the App's own?"
            raise ValueError(msg)
        with self._lock:
            held = self._held.get((installation, repository))
            if held is None or held.until < time.time():
                minted = self._mint(installation, repository, TURN_PERMISSIONS)
                held = _Held(minted, time.time() + 3600 - REFRESH_EARLY_SECONDS)
                self._held[(installation, repository)] = held
            return held.token

    def push_token(self, *, installation: int | None, repository: int) -> SecretStr:
        if installation is None:
            msg = "the delivery names no installation: is this webhook the App's own?"
            raise ValueError(msg)
        token = self._mint(installation, repository, PUSH_PERMISSIONS)
        with self._lock:
            self._pushing.add(token.get_secret_value())
        return token

    def revoke(self, token: SecretStr) -> None:
        with self._lock:
            self._pushing.discard(token.get_secret_value())
        with _client(self._api_url, Auth.Token(token.get_secret_value())) as client:
            client.requester.requestJsonAndCheck("DELETE", "/installation/token")

    def live(self) -> tuple[str, ...]:
        with self._lock:
            return (*(held.token.get_secret_value() for held in self._held.values()), *self._pushing)

    def _mint(self, installation: int, repository: int, permissions: dict[str, str]) -> SecretStr:
        """PyGithub narrows permissions only, so the request is made by hand.

        https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
        """
        with _client(self._api_url, self._auth) as client:
            _, answer = client.requester.requestJsonAndCheck(
                "POST",
                f"/app/installations/{installation}/access_tokens",
                input={"repository_ids": [repository], "permissions": permissions},
            )
        minted = MintedToken.model_validate(answer)
        if not minted.token.get_secret_value():
            raise GithubException(502, answer, {}, "the forge minted an empty token")
        return minted.token


def _client(api_url: str, auth: Auth.Auth | None) -> Github:
    return Github(
        auth=auth,
        base_url=api_url,
        timeout=15,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        api_version="2022-11-28",
    )
