"""Webhooks as they travel: behaviour 16."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import pytest
from github import Auth

from tests.forge.world import SECRET, Receiver, World

SEVEN = (
    "user-agent",
    "x-github-delivery",
    "x-github-event",
    "x-github-hook-id",
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
    "x-hub-signature-256",
)


def _jwt(world: World) -> str:
    app = world.forge.seeded.app
    return Auth.AppAuth(app.id, app.private_key).create_jwt()


@pytest.fixture
def receiver(world: World) -> Iterator[Receiver]:
    yield world.receiver
    world.receiver.status = 202


def test_signed_and_labelled(world: World, repository: str) -> None:
    """Seven headers, and a signature over the very bytes that were sent."""
    world.client("maya").get_repo(repository).create_issue("Ünïcödé")
    world.wait_for("issues.opened", repository)

    hooked = world.webhooks(repository)[-1]

    digest = hmac.new(SECRET.encode(), hooked.body, hashlib.sha256).hexdigest()
    assert hooked.headers["x-hub-signature-256"] == f"sha256={digest}"
    assert [name for name in SEVEN if name not in hooked.headers] == []
    assert hooked.headers["user-agent"].startswith("GitHub-Hookshot/")
    assert hooked.headers["x-github-hook-installation-target-type"] == "integration"
    assert hooked.headers["x-github-hook-installation-target-id"] == str(world.forge.seeded.app.id)


def test_the_first_webhook_is_a_ping(world: World) -> None:
    """A new address is greeted before anything else."""
    assert "ping" in {hooked.event for hooked in world.webhooks()}


def test_a_failure_is_logged_and_not_repeated(world: World, repository: str, receiver: Receiver) -> None:
    """GitHub tries once; the log of the App's hook tells how it went."""
    receiver.status = 500
    world.client("maya").get_repo(repository).create_issue("x")
    arrived = [hooked for hooked in world.webhooks(repository) if hooked.event == "issues"]
    newest = world.http("GET", "/app/hook/deliveries?per_page=1", token=_jwt(world)).json()[0]

    assert len(arrived) == 1
    assert (newest["event"], newest["action"]) == ("issues", "opened")
    assert (newest["status"], newest["status_code"]) == ("Invalid HTTP Response: 500", 500)


def test_redelivered_under_the_same_guid(world: World, repository: str, receiver: Receiver) -> None:
    """Asked to, GitHub sends the same bytes with the same GUID once more."""
    receiver.status = 500
    world.client("maya").get_repo(repository).create_issue("x")
    world.webhooks()
    newest = world.http("GET", "/app/hook/deliveries", token=_jwt(world)).json()[0]
    receiver.status = 202
    again = world.http("POST", f"/app/hook/deliveries/{newest['id']}/attempts", token=_jwt(world))
    first, second = (hooked for hooked in world.webhooks(repository) if hooked.event == "issues")
    log = world.http("GET", "/app/hook/deliveries?per_page=2", token=_jwt(world))
    detail = world.http("GET", f"/app/hook/deliveries/{log.json()[0]['id']}", token=_jwt(world)).json()

    assert again.status_code == 202
    assert first.body == second.body
    assert first.headers["x-github-delivery"] == second.headers["x-github-delivery"] == newest["guid"]
    assert [(one["guid"], one["redelivery"]) for one in log.json()] == [
        (newest["guid"], True),
        (newest["guid"], False),
    ]
    assert detail["response"]["payload"] == "ok"
    assert detail["request"]["payload"] == second.payload
    assert "cursor=" in log.headers["link"]


def test_a_repositorys_own_hook(world: World, repository: str) -> None:
    """It hears what it asked for, without an installation, beside the App's hook."""
    repo = world.client("maya").get_repo(repository)
    hook = repo.create_hook(
        "web", {"url": world.receiver.url, "secret": "other", "content_type": "json"}, events=["issues"]
    )
    repo.create_issue("x").create_comment("unheard")
    own = [h for h in world.webhooks(repository) if h.headers["x-github-hook-id"] == str(hook.id)]

    assert sorted(hooked.name for hooked in own) == ["issues.opened", "ping"]
    assert all("installation" not in hooked.payload for hooked in own)
    assert own[0].headers["x-github-hook-installation-target-type"] == "repository"
    assert [known.id for known in repo.get_hooks()] == [hook.id]
    hook.delete()
    assert list(repo.get_hooks()) == []


def test_the_log_is_the_apps_alone(world: World) -> None:
    """A person's token does not open it."""
    answer = world.http("GET", "/app/hook/deliveries", token=world.forge.tokens["maya"])

    assert answer.status_code == 401
