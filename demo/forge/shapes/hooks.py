"""Deliveries and what every webhook payload carries, as GitHub writes them."""

from __future__ import annotations

import orjson

from demo.forge.git import Commit, Git
from demo.forge.shapes.accounts import Json, api, node_id, stamp
from demo.forge.shapes.repositories import author_of, html_url, url
from demo.forge.state import Delivery, Hook, Installation, Repository, State, User


def simple_installation(of: Installation) -> Json:
    return {"id": of.id, "node_id": node_id("Installation", of.id)}


def organization(state: State, of: User) -> Json:
    here = f"{api(state)}/orgs/{of.login}"
    return {
        "login": of.login,
        "id": of.id,
        "node_id": node_id("Organization", of.id),
        "url": here,
        "repos_url": f"{here}/repos",
        "events_url": f"{here}/events",
        "hooks_url": f"{here}/hooks",
        "issues_url": f"{here}/issues",
        "members_url": f"{here}/members{{/member}}",
        "public_members_url": f"{here}/public_members{{/member}}",
        "avatar_url": f"{state.web_url}/avatars/u/{of.id}?v=4",
        "description": None,
    }


def config(of: Hook) -> Json:
    return {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": of.url}


def ping_hook(state: State, of: Hook, *, repo: Repository | None) -> Json:
    shape: Json = {
        "type": "Repository" if of.repo_id else "App",
        "id": of.id,
        "name": "web",
        "active": of.active,
        "events": list(of.events),
        "config": config(of),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
    }
    if of.app_id is not None:
        return shape | {"app_id": of.app_id, "deliveries_url": f"{api(state)}/app/hook/deliveries"}
    if repo is None:
        return shape
    here = f"{url(state, repo)}/hooks/{of.id}"
    return shape | {
        "url": here,
        "test_url": f"{here}/test",
        "ping_url": f"{here}/pings",
        "deliveries_url": f"{here}/deliveries",
        "last_response": {"code": None, "status": "unused", "message": None},
    }


def delivery_item(of: Delivery) -> Json:
    return {
        "id": of.id,
        "guid": of.guid,
        "delivered_at": stamp(of.created_at),
        "redelivery": of.redelivery,
        "duration": round(of.duration, 2),
        "status": of.status,
        "status_code": of.status_code,
        "event": of.event,
        "action": of.action,
        "installation_id": of.installation_id,
        "repository_id": of.repo_id,
        "throttled_at": None,
    }


def delivery(of: Delivery) -> Json:
    return delivery_item(of) | {
        "request": {"headers": dict(of.request_headers), "payload": orjson.loads(of.payload)},
        "response": {"headers": dict(of.response_headers), "payload": of.response_body},
    }


def push_commit(state: State, repo: Repository, *, of: Commit) -> Json:
    """One commit of a `push` payload."""
    before = of.parents[0] if of.parents else None
    git = Git(state.git_dir(repo))
    changes = git.changes(before, of.sha) if before else []
    added = [change.path for change in changes if change.status in {"added", "copied", "renamed"}]
    removed = [change.path for change in changes if change.status == "removed"]
    removed += [change.previous for change in changes if change.status == "renamed" and change.previous]
    if before is None:
        added = [entry.path for entry in git.files(of.sha) if entry.type == "blob"]
    return {
        "id": of.sha,
        "tree_id": of.tree,
        "distinct": True,
        "message": of.message,
        "timestamp": of.author.date.isoformat(),
        "url": f"{html_url(state, repo)}/commit/{of.sha}",
        "author": _person(state, name=of.author.name, email=of.author.email),
        "committer": _person(state, name=of.committer.name, email=of.committer.email),
        "added": added,
        "removed": removed,
        "modified": [change.path for change in changes if change.status in {"modified", "changed"}],
    }


def _person(state: State, *, name: str, email: str) -> dict[str, str]:
    account = author_of(state, email)
    return {"name": name, "email": email} | ({"username": account.login} if account else {})
