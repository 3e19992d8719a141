"""Who Darner is towards the forge: a personal token, or an App that mints a token for each repository."""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import quote

from github import Auth, Github
from jwt.exceptions import InvalidKeyError
from pydantic import AwareDatetime, BaseModel, Field, SecretStr, ValidationError

from app.forge_error import RAISED, ForgeError, forge_error

log = logging.getLogger(__name__)

API_VERSION: Final = "2022-11-28"
TIMEOUT_SECONDS: Final = 15

REFRESH_EARLY_SECONDS: Final = 300.0
"""An installation token lives an hour; one that is nearly over is not handed out.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app
"""

TURN_PERMISSIONS: Final = {
    "actions": "write",
    "checks": "write",
    "contents": "read",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "read",
}
WITHOUT: Final = (("actions", "statuses"), ("actions", "statuses", "checks"))
"""What an installation may not have granted: no job is run again then, and no check run written."""
_PAGE: Final = 100
_MOST_PAGES: Final = 10
PUSH_PERMISSIONS: Final = {"contents": "write", "metadata": "read"}
SETTLE_PERMISSIONS: Final = {**PUSH_PERMISSIONS, "pull_requests": "write"}
"""GitHub lets an App resolve a thread on a pull request only if it may write contents, too."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the forge says we are."""

    id: int
    login: str
    slug: str
    """The App's slug; empty for a personal token."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One try of the forge to deliver a webhook."""

    id: int
    guid: str
    was_taken: bool
    at: float
    """Seconds since the epoch."""


class Tokens(Protocol):
    """Where tokens come from. Thread-safe; raises `ForgeError`."""

    def identity(self) -> Identity:
        """Ask the forge who we are."""
        ...

    def check(self) -> None:
        """Ask the forge for next to nothing: it answers, and takes our word."""
        ...

    def token(self, *, installation: int | None, repository: int) -> SecretStr:
        """One that may read and write this repository, reused while it lives."""
        ...

    def forget(self, token: SecretStr) -> None:
        """The forge does not take this one any more."""
        ...

    def push_token(self, *, installation: int | None, repository: int, with_pulls: bool = False) -> SecretStr:
        """One for a single push, or for resolving a thread on a pull request; give it back with `revoke`."""
        ...

    def revoke(self, token: SecretStr) -> None:
        """End a `push_token`. Raises nothing: what was done with it is done."""
        ...

    def installed_on(self, full_name: str) -> int | None:
        """The installation of the App that may write to a repository's contents; None: there is none."""
        ...

    def live(self) -> tuple[str, ...]:
        """Every token that was handed out and still works: what must not appear in any text."""
        ...

    def sent(self, *, since: float) -> list[Sent]:
        """What the forge tried to deliver to our webhook, newest first; nothing for a personal token."""
        ...

    def send_again(self, delivery: int) -> None:
        """Have it delivered once more."""
        ...


class PersonalToken:
    """`DARNER_GITHUB_TOKEN`: one token for everything; it cannot be narrowed."""

    def __init__(self, token: SecretStr, *, api_url: str) -> None:
        self._token = token
        self._auth = Auth.Token(token.get_secret_value())
        self._api_url = api_url

    def identity(self) -> Identity:
        user = _ask(self._api_url, self._auth, "GET", "/user")
        return Identity(user["id"], user["login"], "")

    def check(self) -> None:
        self.identity()

    def token(self, *, installation: int | None, repository: int) -> SecretStr:
        del installation, repository
        return self._token

    def forget(self, token: SecretStr) -> None:
        """There is no other."""

    def push_token(self, *, installation: int | None, repository: int, with_pulls: bool = False) -> SecretStr:
        del with_pulls
        return self.token(installation=installation, repository=repository)

    def revoke(self, token: SecretStr) -> None:
        """Nothing to do: it is the operator's own."""

    def installed_on(self, full_name: str) -> int | None:
        """None: that its owner reaches a repository is nobody's consent to push there."""
        del full_name
        return None

    def live(self) -> tuple[str, ...]:
        return (self._token.get_secret_value(),)

    def sent(self, *, since: float) -> list[Sent]:
        """A repository's hooks are its administrators': a personal token need not be one's."""
        del since
        return []

    def send_again(self, delivery: int) -> None:
        """Never asked for: nothing was `sent`."""
        raise AssertionError(f"delivery {delivery} is not ours")


class MintedToken(BaseModel):
    token: SecretStr = Field(min_length=1)
    expires_at: AwareDatetime


class AppTokens:
    """Installation tokens, narrowed to one repository each."""

    def __init__(
        self, *, app_id: int, private_key: str, api_url: str, now: Callable[[], float] = time.time
    ) -> None:
        """Raises `ValueError` when `private_key` is none."""
        self._auth = Auth.AppAuth(app_id, private_key)
        self._api_url = api_url
        self._now = now
        self._lock = threading.Lock()
        self._minting: dict[tuple[int, int], threading.Lock] = {}
        self._held: dict[tuple[int, int], MintedToken] = {}
        self._pushing: set[str] = set()
        try:
            self._auth.create_jwt()
        except (InvalidKeyError, ValueError, TypeError):
            msg = "the key is no PEM private key"
            raise ValueError(msg) from None

    def identity(self) -> Identity:
        """The App acts as the user `<slug>[bot]`, whose id is not the App's."""
        slug = self._ask("GET", "/app")["slug"]
        login = f"{slug}[bot]"
        return Identity(self._user_id(login), login, slug)

    def check(self) -> None:
        self._ask("GET", "/app")

    def token(self, *, installation: int | None, repository: int) -> SecretStr:
        key = (_known(installation), repository)
        with self._lock:
            minting = self._minting.setdefault(key, threading.Lock())
        # One asks, whoever comes meanwhile waits for the answer; other repositories do not.
        with minting:
            held = self._held.get(key)
            if held is None or held.expires_at.timestamp() - REFRESH_EARLY_SECONDS <= self._now():
                held = self._mint_for_turn(*key)
                with self._lock:
                    self._held[key] = held
            return held.token

    def forget(self, token: SecretStr) -> None:
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if held.token != token}

    def push_token(self, *, installation: int | None, repository: int, with_pulls: bool = False) -> SecretStr:
        permissions = SETTLE_PERMISSIONS if with_pulls else PUSH_PERMISSIONS
        token = self._mint(_known(installation), repository, permissions).token
        with self._lock:
            self._pushing.add(token.get_secret_value())
        return token

    def revoke(self, token: SecretStr) -> None:
        value = token.get_secret_value()
        try:
            _ask(self._api_url, Auth.Token(value), "DELETE", "/installation/token")
        except ForgeError as error:
            # It ends by itself within the hour.
            log.warning("token.not_revoked", extra={"fields": {"error": str(error)}})
            return
        with self._lock:
            self._pushing.discard(value)

    def live(self) -> tuple[str, ...]:
        with self._lock:
            return (*(held.token.get_secret_value() for held in self._held.values()), *self._pushing)

    def installed_on(self, full_name: str) -> int | None:
        """https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app"""
        try:
            found = self._ask("GET", f"/repos/{quote(full_name)}/installation")
        except ForgeError as error:
            if error.is_passing:
                raise
            return None
        may_write = (found.get("permissions") or {}).get("contents") == "write"
        return int(found["id"]) if may_write and not found.get("suspended_at") else None

    def sent(self, *, since: float) -> list[Sent]:
        """https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook"""
        found: list[Sent] = []
        path = f"/app/hook/deliveries?per_page={_PAGE}"
        for _ in range(_MOST_PAGES):
            headers, page = _answer(self._api_url, self._auth, "GET", path)
            found += [_sent(row) for row in page]
            following = next_page(headers.get("link", ""))
            if following is None or (found and found[-1].at < since):
                break
            path = following
        return [sent for sent in found if sent.at >= since]

    def send_again(self, delivery: int) -> None:
        """https://docs.github.com/en/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook"""
        self._ask("POST", f"/app/hook/deliveries/{delivery}/attempts")

    def _mint_for_turn(self, installation: int, repository: int) -> MintedToken:
        try:
            return self._mint(installation, repository, TURN_PERMISSIONS)
        except ForgeError as error:
            if error.fault != "invalid":
                raise
        # What an installation was not granted cannot be asked for. Without checks there is still a voice.
        with_checks, spoken = (_without(*names) for names in WITHOUT)
        try:
            return self._mint(installation, repository, with_checks)
        except ForgeError as error:
            if error.fault != "invalid":
                raise
        log.warning("token.without_checks", extra={"fields": {"installation": installation}})
        return self._mint(installation, repository, spoken)

    def _user_id(self, login: str) -> int:
        """Anonymously where that is allowed; a GitHub Enterprise Server in private mode wants a token."""
        path = f"/users/{quote(login)}"
        try:
            return int(_ask(self._api_url, None, "GET", path)["id"])
        except ForgeError as error:
            if error.is_passing and error.fault != "signed_out":
                raise
        for installation in self._ask("GET", "/app/installations"):
            token = self._mint(installation["id"], None, {"metadata": "read"}).token
            try:
                return int(_ask(self._api_url, Auth.Token(token.get_secret_value()), "GET", path)["id"])
            finally:
                self.revoke(token)
        msg = "the App is installed nowhere yet, and its user cannot be read without that"
        raise ForgeError("broken", msg, status=0)

    def _mint(self, installation: int, repository: int | None, permissions: dict[str, str]) -> MintedToken:
        """PyGithub narrows permissions only, so the request is made by hand.

        https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
        """
        narrowed: dict[str, Any] = {"permissions": permissions}
        if repository is not None:
            narrowed["repository_ids"] = [repository]
        answer = self._ask("POST", f"/app/installations/{installation}/access_tokens", narrowed)
        try:
            return MintedToken.model_validate(answer)
        except ValidationError:
            # Its text would hold the token.
            msg = "the forge minted no token that can be used"
            raise ForgeError("broken", msg, status=201) from None

    def _ask(self, verb: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return _ask(self._api_url, self._auth, verb, path, body)


def _known(installation: int | None) -> int:
    if installation is None:
        msg = "the delivery names no installation of the App: is this webhook the App's own?"
        raise ForgeError("invalid", msg, status=0)
    return installation


def _sent(row: dict[str, Any]) -> Sent:
    at = datetime.fromisoformat(row["delivered_at"]).timestamp()
    return Sent(row["id"], row["guid"], 200 <= row["status_code"] < 400, at)


def next_page(link: str) -> str | None:
    """The address that a `Link` header names for the next page.

    https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    found = re.search(r'<([^>]+)>;\s*rel="next"', link)
    return found[1] if found else None


def _ask(
    api_url: str, auth: Auth.Auth | None, verb: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    return _answer(api_url, auth, verb, path, body)[1]


def _answer(
    api_url: str, auth: Auth.Auth | None, verb: str, path: str, body: dict[str, Any] | None = None
) -> tuple[dict[str, Any], Any]:
    """Headers and body."""
    try:
        with _client(api_url, auth) as client:
            return client.requester.requestJsonAndCheck(verb, path, input=body)
    except RAISED as error:
        raise forge_error(error) from error


def _client(api_url: str, auth: Auth.Auth | None) -> Github:
    return Github(
        auth=auth,
        base_url=api_url,
        timeout=TIMEOUT_SECONDS,
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        api_version=API_VERSION,
    )


def _without(*names: str) -> dict[str, str]:
    return {name: level for name, level in TURN_PERMISSIONS.items() if name not in names}
