"""Apps, installations, their tokens and webhook deliveries over REST."""

from __future__ import annotations

from demo.forge import shapes
from demo.forge.actions import apps as act
from demo.forge.actions.actor import Actor
from demo.forge.actions.repos import redeliver_webhook
from demo.forge.refusals import Refused, not_found
from demo.forge.rest.call import NO_CONTENT, Answer, Call, Operation, operation, wrong_type
from demo.forge.shapes import Json
from demo.forge.state import Access, App, Delivery, Hook, Installation, Repository, State, User, Viewer


def _app(call: Call) -> App:
    if call.viewer.app is None:
        raise not_found()
    return call.viewer.app


def _installation(call: Call) -> Installation:
    text = call.params["installation_id"]
    found = call.state.find(Installation, int(text)) if text.isdecimal() else None
    if found is None or found.app_id != _app(call).id:
        raise not_found()
    return found


def get_app(call: Call) -> Answer:
    installed = sum(1 for _ in call.state.where(Installation, app_id=_app(call).id))
    return Answer(body=shapes.app(call.state, _app(call)) | {"installations_count": installed})


def get_app_by_slug(call: Call) -> Answer:
    app = next(call.state.where(App, slug=call.params["app_slug"]), None)
    if app is None:
        raise not_found()
    return Answer(body=shapes.app(call.state, app))


def list_installations(call: Call) -> Answer:
    installations = list(call.state.where(Installation, app_id=_app(call).id))
    return call.listing(installations, lambda one: shapes.installation(call.state, one))


def get_installation(call: Call) -> Answer:
    return Answer(body=shapes.installation(call.state, _installation(call)))


def delete_installation(call: Call) -> Answer:
    owner = call.state.get(User, _app(call).owner_id)
    act.uninstall(Actor(call.state, Viewer(user=owner)), _installation(call))
    return NO_CONTENT


def get_repo_installation(call: Call) -> Answer:
    found = call.state.installation_for(_app(call), call.repo)
    if found is None:
        raise not_found()
    return Answer(body=shapes.installation(call.state, found))


def get_user_installation(call: Call) -> Answer:
    account = call.state.user(call.params["username"])
    for installation in call.state.where(Installation, app_id=_app(call).id):
        if account and installation.account_id == account.id:
            return Answer(body=shapes.installation(call.state, installation))
    raise not_found()


def create_token(call: Call) -> Answer:
    ids = call.members.get("repository_ids")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(one, int) for one in ids)):
        raise wrong_type("repository_ids", ids, "array")
    token = act.mint(
        call.state,
        _installation(call),
        permissions=_permissions(call),
        repositories=call.texts("repositories"),
        repository_ids=ids,
    )
    body = shapes.installation_token(token)
    if token.repository_ids is not None:
        body["repositories"] = [
            shapes.repository(call.state, call.state.get(Repository, repo_id))
            for repo_id in token.repository_ids
        ]
    return Answer(status=201, body=body)


def _permissions(call: Call) -> dict[str, Access] | None:
    wanted = call.members.get("permissions")
    if wanted is None:
        return None
    if not isinstance(wanted, dict):
        raise wrong_type("permissions", wanted, "object")
    found: dict[str, Access] = {}
    for name, level in wanted.items():
        match level:
            case "read" | "write" | "admin":
                found[str(name)] = level
            case _:
                raise wrong_type(f"permissions/{name}", level, "member of [read, write, admin]")
    return found


def list_accessible(call: Call) -> Answer:
    repos = [repo for repo in call.state.all(Repository) if call.state.grants(call.viewer, repo)]
    listed, headers = call.page(repos, lambda repo: shapes.repository(call.state, repo))
    installation = call.viewer.installation
    selection = "all" if installation and installation.repository_ids is None else "selected"
    body = {"total_count": len(repos), "repository_selection": selection, "repositories": listed}
    return Answer(body=body, headers=headers)


def revoke_token(call: Call) -> Answer:
    act.revoke(call.state, call.viewer.token_id)
    return NO_CONTENT


def _app_hook(call: Call) -> Hook:
    hook = act.app_hook(call.state, _app(call))
    if hook is None:
        raise not_found()
    return hook


def get_hook_config(call: Call) -> Answer:
    return Answer(body=shapes.config(_app_hook(call)))


def update_hook_config(call: Call) -> Answer:
    hook = _app_hook(call)
    url, secret = call.text("url") or hook.url, call.text("secret") or hook.secret
    return Answer(body=shapes.config(act.set_app_hook(call.state, _app(call), url=url, secret=secret)))


def newest_first(state: State, hook: Hook) -> list[Delivery]:
    return list(state.where(Delivery, hook_id=hook.id))[::-1]


def deliveries_page(call: Call, hook: Hook) -> Answer:
    """Newest first, by cursor: the id of the next delivery to show."""
    found = newest_first(call.state, hook)
    if cursor := call.query.get("cursor"):
        if not cursor.isdecimal():
            raise Refused(400, "Invalid cursor")
        found = [delivery for delivery in found if delivery.id <= int(cursor)]
    if call.query.get("status") in {"success", "failure"}:
        succeeded = call.query["status"] == "success"
        found = [delivery for delivery in found if (200 <= delivery.status_code < 400) == succeeded]
    per_page = min(max(int(call.query.get("per_page", "30")), 1), 100)
    body: list[Json] = [shapes.delivery_item(delivery) for delivery in found[:per_page]]
    headers = {}
    if len(found) > per_page:
        url = f"{shapes.api(call.state)}{call.path}?per_page={per_page}&cursor={found[per_page].id}"
        headers["link"] = f'<{url}>; rel="next"'
    return Answer(body=body, headers=headers)


def delivery_of(call: Call, hook: Hook) -> Delivery:
    text = call.params["delivery_id"]
    found = call.state.find(Delivery, int(text)) if text.isdecimal() else None
    if found is None or found.hook_id != hook.id:
        raise not_found()
    return found


def list_deliveries(call: Call) -> Answer:
    return deliveries_page(call, _app_hook(call))


def get_delivery(call: Call) -> Answer:
    return Answer(body=shapes.delivery(delivery_of(call, _app_hook(call))))


def redeliver(call: Call) -> Answer:
    redeliver_webhook(call.state, delivery_of(call, _app_hook(call)))
    return Answer(status=202, body={})


_INSTALLATION = "/app/installations/{installation_id}"
_DELIVERY = "/app/hook/deliveries/{delivery_id}"

OPERATIONS: tuple[Operation, ...] = (
    operation("apps/get-authenticated", "GET", "/app", route=get_app),
    operation("apps/get-by-slug", "GET", "/apps/{app_slug}", route=get_app_by_slug),
    operation("apps/list-installations", "GET", "/app/installations", route=list_installations),
    operation("apps/get-installation", "GET", _INSTALLATION, route=get_installation),
    operation("apps/delete-installation", "DELETE", _INSTALLATION, route=delete_installation),
    operation(
        "apps/create-installation-access-token", "POST", f"{_INSTALLATION}/access_tokens", route=create_token
    ),
    operation(
        "apps/get-repo-installation", "GET", "/repos/{owner}/{repo}/installation", route=get_repo_installation
    ),
    operation(
        "apps/get-user-installation", "GET", "/users/{username}/installation", route=get_user_installation
    ),
    operation(
        "apps/list-repos-accessible-to-installation",
        "GET",
        "/installation/repositories",
        route=list_accessible,
    ),
    operation("apps/revoke-installation-access-token", "DELETE", "/installation/token", route=revoke_token),
    operation("apps/get-webhook-config-for-app", "GET", "/app/hook/config", route=get_hook_config),
    operation("apps/update-webhook-config-for-app", "PATCH", "/app/hook/config", route=update_hook_config),
    operation("apps/list-webhook-deliveries", "GET", "/app/hook/deliveries", route=list_deliveries),
    operation("apps/get-webhook-delivery", "GET", _DELIVERY, route=get_delivery),
    operation("apps/redeliver-webhook-delivery", "POST", f"{_DELIVERY}/attempts", route=redeliver),
)
