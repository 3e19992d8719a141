"""Tells the hooks what happened: builds payloads and stores deliveries, but sends nothing itself."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import orjson

from demo.forge import shapes
from demo.forge.actions.actor import Actor
from demo.forge.shapes import Json
from demo.forge.state import App, Delivery, Hook, Installation, Repository, State, User

# An App always hears of its own installations and of its own check runs' buttons, subscribed or not.
ALWAYS = frozenset({"ping", "installation", "installation_repositories"})


def announce(
    actor: Actor,
    repo: Repository,
    *,
    event: str,
    action: str | None,
    members: Mapping[str, object],
    only_app_id: int | None = None,
) -> None:
    """Store a delivery for each hook of the repository or of an App on it that wants the event."""
    state = actor.state
    payload: Json = {} if action is None else {"action": action}
    payload.update(members)
    payload["repository"] = shapes.repository(state, repo)
    owner = state.get(User, repo.owner_id)
    if owner.type == "Organization":
        payload["organization"] = shapes.organization(state, owner)
    payload["sender"] = shapes.user(state, actor.user)
    for hook in state.all(Hook):
        if not hook.active:
            continue
        if hook.repo_id == repo.id and only_app_id is None and _wants(hook.events, event):
            deliver(state, hook, event=event, action=action, payload=payload, repo=repo)
            continue
        app = state.find(App, hook.app_id)
        if app is None or only_app_id not in {None, app.id}:
            continue
        installation = state.installation_for(app, repo)
        if installation is None or installation.suspended_at is not None:
            continue
        if only_app_id == app.id or _wants(installation.events, event):
            deliver(
                state,
                hook,
                event=event,
                action=action,
                payload=payload | {"installation": shapes.simple_installation(installation)},
                repo=repo,
                installation=installation,
            )


def announce_installation(
    actor: Actor, installation: Installation, *, event: str, action: str, members: Mapping[str, object]
) -> None:
    """Tell an App about its own installation."""
    state = actor.state
    payload: Json = {
        "action": action,
        "installation": shapes.installation(state, installation),
        **members,
        "sender": shapes.user(state, actor.user),
    }
    for hook in state.where(Hook, app_id=installation.app_id):
        deliver(state, hook, event=event, action=action, payload=payload, installation=installation)


def ping(state: State, hook: Hook) -> Delivery:
    """What a new hook receives first."""
    repo = state.find(Repository, hook.repo_id)
    payload: Json = {
        "zen": "Practicality beats purity.",
        "hook_id": hook.id,
        "hook": shapes.ping_hook(state, hook, repo=repo),
    }
    if repo is not None:
        payload["repository"] = shapes.repository(state, repo)
        payload["sender"] = shapes.user(state, state.get(User, repo.owner_id))
    return deliver(state, hook, event="ping", action=None, payload=payload, repo=repo)


def deliver(
    state: State,
    hook: Hook,
    *,
    event: str,
    action: str | None,
    payload: Json,
    repo: Repository | None = None,
    installation: Installation | None = None,
) -> Delivery:
    """Store the delivery and hand it to whoever sends."""
    delivery = state.put(
        Delivery(
            id=state.next_id(),
            guid=str(uuid.UUID(state.random_hex(16), version=4)),
            hook_id=hook.id,
            event=event,
            action=action,
            repo_id=repo.id if repo else None,
            installation_id=installation.id if installation else None,
            payload=orjson.dumps(payload).decode(),
            created_at=state.clock(),
        )
    )
    if state.on_delivery is not None:
        state.on_delivery(delivery)
    return delivery


def redeliver(state: State, original: Delivery) -> Delivery:
    """The same payload and GUID again, as a new attempt."""
    again = state.put(
        Delivery(
            id=state.next_id(),
            guid=original.guid,
            hook_id=original.hook_id,
            event=original.event,
            action=original.action,
            repo_id=original.repo_id,
            installation_id=original.installation_id,
            payload=original.payload,
            redelivery=True,
            created_at=state.clock(),
        )
    )
    if state.on_delivery is not None:
        state.on_delivery(again)
    return again


def _wants(events: tuple[str, ...], event: str) -> bool:
    return event in events or "*" in events or event in ALWAYS
