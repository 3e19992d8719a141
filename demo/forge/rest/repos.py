"""Repositories, people, branches, commits, files, refs, hooks and limits over REST."""

from __future__ import annotations

import base64
import binascii

from demo.forge import shapes
from demo.forge.actions import repos as act
from demo.forge.announce import ping
from demo.forge.git import EMPTY_TREE, Commit, Entry
from demo.forge.refusals import Refused, invalid, not_found
from demo.forge.rest.apps import deliveries_page, delivery_of
from demo.forge.rest.call import NO_CONTENT, Answer, Call, Operation, not_supplied, operation
from demo.forge.shapes import Json
from demo.forge.state import ROLES, Hook, Repository, Role, User

# What the older `permission` member makes of the two newer roles:
# https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
_LEGACY: dict[Role, str] = {"maintain": "write", "triage": "read"}


def get_repo(call: Call) -> Answer:
    return Answer(body=shapes.full_repository(call.state, call.viewer, repo=call.repo))


def update_repo(call: Call) -> Answer:
    repo = call.repo
    name, private = call.text("name"), call.flag("private")
    if name is not None and name != repo.name:
        repo = act.rename(call.actor, repo, name=name)
    if private is not None:
        repo = act.set_private(call.actor, repo, private=private)
    if "description" in call.members:
        repo = act.describe(call.actor, repo, description=call.text("description"))
    return Answer(body=shapes.full_repository(call.state, call.viewer, repo=repo))


def delete_repo(call: Call) -> Answer:
    act.delete_repository(call.actor, call.repo)
    return NO_CONTENT


def create_user_repo(call: Call) -> Answer:
    repo = act.create_repository(
        call.actor,
        owner=call.actor.user,
        name=call.required("name"),
        private=call.flag("private") or False,
        description=call.text("description"),
    )
    return Answer(status=201, body=shapes.full_repository(call.state, call.viewer, repo=repo))


def list_user_repos(call: Call) -> Answer:
    user = call.actor.user
    mine = [
        repo
        for repo in call.state.all(Repository)
        if repo.owner_id == user.id or user.id in repo.collaborators
    ]
    return call.listing(
        mine,
        lambda repo: (
            shapes.repository(call.state, repo)
            | {"permissions": shapes.viewers_permissions(call.state, call.viewer, repo)}
        ),
    )


def get_user(call: Call) -> Answer:
    return Answer(body=shapes.public_user(call.state, call.actor.user))


def get_user_by_name(call: Call) -> Answer:
    return Answer(body=shapes.public_user(call.state, _user(call)))


def _user(call: Call) -> User:
    user = call.state.user(call.params["username"])
    if user is None:
        raise not_found()
    return user


def _collaborator(call: Call, user: User, role: Role) -> Json:
    return shapes.user(call.state, user) | {
        "permissions": shapes.permissions(role),
        "role_name": role,
    }


def get_permission(call: Call) -> Answer:
    user = _user(call)
    role = call.state.role_of(user, call.repo)
    body = {
        "permission": _LEGACY.get(role, role),
        "role_name": role,
        "user": _collaborator(call, user, role),
    }
    return Answer(body=body)


def list_collaborators(call: Call) -> Answer:
    ids = [call.repo.owner_id, *call.repo.collaborators]
    users = [call.state.get(User, user_id) for user_id in ids]
    return call.listing(users, lambda user: _collaborator(call, user, call.state.role_of(user, call.repo)))


def check_collaborator(call: Call) -> Answer:
    user = _user(call)
    if user.id != call.repo.owner_id and user.id not in call.repo.collaborators:
        raise not_found()
    return NO_CONTENT


def add_collaborator(call: Call) -> Answer:
    wanted = call.text("permission") or "push"
    named: dict[str, Role] = {"pull": "read", "push": "write", **{role: role for role in ROLES}}
    if wanted not in named:
        raise invalid("Repository", "invalid", field="permission", value=wanted)
    act.set_collaborator(call.actor, call.repo, user=_user(call), role=named[wanted])
    return NO_CONTENT


def list_branches(call: Call) -> Answer:
    heads = call.git.refs("refs/heads")
    return call.listing(
        list(heads.items()),
        lambda head: shapes.short_branch(
            call.state, call.repo, name=head[0].removeprefix("refs/heads/"), sha=head[1]
        ),
    )


def get_branch(call: Call) -> Answer:
    name = call.params["branch"]
    sha = call.git.head_of(name)
    if sha is None:
        raise Refused(404, "Branch not found")
    commit = call.git.commit(sha)
    return Answer(body=shapes.branch(call.state, call.repo, name=name, commit_=commit))


def list_commits(call: Call) -> Answer:
    sha = call.sha(call.query.get("sha", call.repo.default_branch))
    commits = call.git.log(sha, limit=1000, path=call.query.get("path"))
    return call.listing(commits, lambda commit: shapes.commit(call.state, call.repo, commit=commit))


def get_commit(call: Call) -> Answer:
    commit = call.git.commit(call.sha(call.params["ref"]))
    before = commit.parents[0] if commit.parents else EMPTY_TREE
    if call.wants("diff"):
        text = call.git.diff(before, commit.sha)
        return Answer(text=text, media_type="application/vnd.github.diff; charset=utf-8")
    files = call.git.changes(before, commit.sha)
    return Answer(body=shapes.commit_with_files(call.state, call.repo, of=commit, files=files))


def pulls_of_commit(call: Call) -> Answer:
    sha = call.sha(call.params["commit_sha"])
    found = [
        issue
        for issue in call.state.issues(call.repo)
        if issue.pull
        and call.git.is_ancestor(sha, issue.pull.head_sha)
        and not call.git.is_ancestor(sha, issue.pull.base_sha)
    ]
    return call.listing(found, lambda issue: shapes.pull_simple(call.state, call.repo, of=issue))


def compare(call: Call) -> Answer:
    base_name, dots, head_name = call.params["basehead"].partition("...")
    if not dots:
        raise not_found()
    base, head = call.git.resolve(base_name), call.git.resolve(head_name)
    if base is None or head is None:
        raise not_found()
    against = shapes.compared(call.state.git_dir(call.repo), base, head)
    if call.wants("diff"):
        text = call.git.diff(against.merge_base, head)
        return Answer(text=text, media_type="application/vnd.github.diff; charset=utf-8")
    ahead, behind = call.git.log(f"{base}..{head}")[::-1], call.git.count(f"{head}..{base}")
    page = f"{shapes.html_url(call.state, call.repo)}/compare/{base_name}...{head_name}"

    def shape(commit: Commit) -> Json:
        return shapes.commit(call.state, call.repo, commit=commit)

    commits, headers = call.page(ahead, shape)
    body = {
        "url": f"{shapes.url(call.state, call.repo)}/compare/{base_name}...{head_name}",
        "html_url": page,
        "permalink_url": f"{shapes.html_url(call.state, call.repo)}/compare/{base}...{head}",
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "base_commit": shape(call.git.commit(base)),
        "merge_base_commit": shape(call.git.commit(against.merge_base)),
        "status": _direction(against.commits, behind),
        "ahead_by": against.commits,
        "behind_by": behind,
        "total_commits": against.commits,
        "commits": commits,
        "files": [shapes.diff_entry(call.state, call.repo, sha=head, file=file) for file in against.files],
    }
    return Answer(body=body, headers=headers)


def _direction(ahead: int, behind: int) -> str:
    if ahead and behind:
        return "diverged"
    if ahead:
        return "ahead"
    return "behind" if behind else "identical"


def get_content(call: Call) -> Answer:
    ref = call.query.get("ref") or call.repo.default_branch
    sha = call.git.resolve(ref)
    if sha is None:
        raise Refused(404, f"No commit found for the ref {ref}")
    path = call.params.get("path", "").strip("/")
    entry = call.git.entry(sha, path) if path else None
    if path and entry is None:
        raise not_found()
    if entry is None or entry.type == "tree":
        return _directory(call, ref=ref, entries=call.git.tree(sha, path))
    return _file(call, ref=ref, entry=entry)


def _directory(call: Call, *, ref: str, entries: list[Entry]) -> Answer:
    return Answer(
        body=[shapes.content_entry(call.state, call.repo, ref=ref, entry=entry) for entry in entries]
    )


def _file(call: Call, *, ref: str, entry: Entry) -> Answer:
    if call.wants("raw") or call.wants("raw+json"):
        text = call.git.blob(entry.sha).decode(errors="replace")
        return Answer(text=text, media_type="application/vnd.github.raw+json; charset=utf-8")
    return Answer(body=shapes.content_file(call.state, call.repo, ref=ref, entry=entry))


def get_readme(call: Call) -> Answer:
    ref = call.query.get("ref") or call.repo.default_branch
    sha = call.git.resolve(ref)
    for entry in call.git.tree(sha) if sha else ():
        if entry.type == "blob" and entry.path.lower().split(".")[0] == "readme":
            return _file(call, ref=ref, entry=entry)
    raise not_found()


def put_content(call: Call) -> Answer:
    """Create or change one file, in a commit of its own."""
    path, branch = call.params["path"], call.text("branch") or call.repo.default_branch
    message = call.required("message")
    try:
        content = base64.b64decode(call.required("content"))
    except binascii.Error as error:
        raise Refused(422, "content is not valid Base64") from error
    existing = _existing(call, branch, path)
    if existing is not None:
        _check_blob(call, existing, path)
    sha = act.commit_files(call.actor, call.repo, branch=branch, message=message, files={path: content})
    entry = call.git.entry(sha, path)
    if entry is None:
        raise not_found()
    body = {
        "content": shapes.content_entry(call.state, call.repo, ref=branch, entry=entry),
        "commit": shapes.git_commit(call.state, call.repo, of=call.git.commit(sha)),
    }
    return Answer(status=200 if existing else 201, body=body)


def delete_content(call: Call) -> Answer:
    path = call.params["path"]
    branch = call.text("branch") or call.query.get("branch") or call.repo.default_branch
    existing = _existing(call, branch, path)
    if existing is None:
        raise not_found()
    _check_blob(call, existing, path)
    message = call.text("message") or call.query.get("message")
    if message is None:
        raise not_supplied("message")
    sha = act.commit_files(call.actor, call.repo, branch=branch, message=message, files={path: None})
    commit = shapes.git_commit(call.state, call.repo, of=call.git.commit(sha))
    return Answer(body={"content": None, "commit": commit})


def _existing(call: Call, branch: str, path: str) -> Entry | None:
    head = call.git.head_of(branch)
    if head is None:
        raise Refused(404, f"Branch {branch} not found")
    return call.git.entry(head, path)


def _check_blob(call: Call, existing: Entry, path: str) -> None:
    sha = call.text("sha") or call.query.get("sha")
    if sha is None:
        raise not_supplied("sha")
    if sha != existing.sha:
        raise Refused(409, f"{path} does not match {sha}")


def get_ref(call: Call) -> Answer:
    ref = f"refs/{call.params['ref']}"
    sha = call.git.refs(ref).get(ref)
    if sha is None:
        raise not_found()
    return Answer(body=shapes.git_ref(call.state, call.repo, ref=ref, sha=sha))


def matching_refs(call: Call) -> Answer:
    prefix = f"refs/{call.params['ref']}"
    found = [(name, sha) for name, sha in call.git.refs("refs").items() if name.startswith(prefix)]
    return call.listing(found, lambda pair: shapes.git_ref(call.state, call.repo, ref=pair[0], sha=pair[1]))


def create_ref(call: Call) -> Answer:
    ref, sha = call.required("ref"), call.required("sha")
    act.create_ref(call.actor, call.repo, ref=ref, sha=sha)
    body = shapes.git_ref(call.state, call.repo, ref=ref, sha=sha)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def update_ref(call: Call) -> Answer:
    ref, sha = f"refs/{call.params['ref']}", call.required("sha")
    act.update_ref(call.actor, call.repo, ref=ref, sha=sha, force=call.flag("force") or False)
    return Answer(body=shapes.git_ref(call.state, call.repo, ref=ref, sha=sha))


def delete_ref(call: Call) -> Answer:
    act.delete_ref(call.actor, call.repo, ref=f"refs/{call.params['ref']}")
    return NO_CONTENT


def get_git_commit(call: Call) -> Answer:
    sha = call.params["commit_sha"]
    if not call.git.has(sha):
        raise not_found()
    return Answer(body=shapes.git_commit(call.state, call.repo, of=call.git.commit(sha)))


def get_tree(call: Call) -> Answer:
    sha = call.git.resolve(call.params["tree_sha"]) or call.params["tree_sha"]
    entries = call.git.files(sha) if "recursive" in call.query else call.git.tree(sha)
    if not entries:
        raise not_found()
    here = shapes.url(call.state, call.repo)
    tree = []
    for entry in entries:
        kind = {"tree": "trees", "blob": "blobs", "commit": "commits"}[entry.type]
        shown: Json = {"path": entry.path, "mode": entry.mode, "type": entry.type, "sha": entry.sha}
        if entry.type == "blob":
            shown["size"] = entry.size
        tree.append(shown | {"url": f"{here}/git/{kind}/{entry.sha}"})
    return Answer(body={"sha": sha, "url": f"{here}/git/trees/{sha}", "tree": tree, "truncated": False})


def create_fork(call: Call) -> Answer:
    fork = act.fork(call.actor, call.repo, name=call.text("name"))
    return Answer(status=202, body=shapes.full_repository(call.state, call.viewer, repo=fork))


def list_forks(call: Call) -> Answer:
    forks = [
        repo
        for repo in call.state.where(Repository, parent_id=call.repo.id)
        if call.state.may_see(call.viewer, repo)
    ]
    return call.listing(forks, lambda repo: shapes.repository(call.state, repo))


def _hook(call: Call) -> Hook:
    text = call.params["hook_id"]
    found = call.state.find(Hook, int(text)) if text.isdecimal() else None
    if found is None or found.repo_id != call.repo.id:
        raise not_found()
    return found


def _hook_shape(call: Call, hook: Hook) -> Json:
    return shapes.ping_hook(call.state, hook, repo=call.repo)


def list_hooks(call: Call) -> Answer:
    hooks = list(call.state.where(Hook, repo_id=call.repo.id))
    return call.listing(hooks, lambda hook: _hook_shape(call, hook))


def create_hook(call: Call) -> Answer:
    config = call.members.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("url"), str):
        raise not_supplied("config")
    hook = act.create_hook(
        call.actor,
        call.repo,
        url=config["url"],
        secret=str(config.get("secret", "")),
        events=call.texts("events") or ("push",),
    )
    return Answer(status=201, body=_hook_shape(call, hook))


def get_hook(call: Call) -> Answer:
    return Answer(body=_hook_shape(call, _hook(call)))


def delete_hook(call: Call) -> Answer:
    act.delete_hook(call.actor, _hook(call))
    return NO_CONTENT


def ping_hook(call: Call) -> Answer:
    ping(call.state, _hook(call))
    return NO_CONTENT


def list_hook_deliveries(call: Call) -> Answer:
    return deliveries_page(call, _hook(call))


def get_hook_delivery(call: Call) -> Answer:
    return Answer(body=shapes.delivery(delivery_of(call, _hook(call))))


def redeliver(call: Call) -> Answer:
    act.redeliver_webhook(call.state, delivery_of(call, _hook(call)))
    return Answer(status=202, body={})


_REPO = "/repos/{owner}/{repo}"
_HOOK = f"{_REPO}/hooks/{{hook_id}}"
_CONTENT = f"{_REPO}/contents/{{path}}"

OPERATIONS: tuple[Operation, ...] = (
    operation("users/get-authenticated", "GET", "/user", route=get_user),
    operation("users/get-by-username", "GET", "/users/{username}", route=get_user_by_name),
    operation("repos/list-for-authenticated-user", "GET", "/user/repos", route=list_user_repos),
    operation("repos/create-for-authenticated-user", "POST", "/user/repos", route=create_user_repo),
    operation("repos/get", "GET", _REPO, route=get_repo),
    operation("repos/update", "PATCH", _REPO, route=update_repo),
    operation("repos/delete", "DELETE", _REPO, route=delete_repo),
    operation("repos/list-collaborators", "GET", f"{_REPO}/collaborators", route=list_collaborators),
    operation(
        "repos/check-collaborator", "GET", f"{_REPO}/collaborators/{{username}}", route=check_collaborator
    ),
    operation("repos/add-collaborator", "PUT", f"{_REPO}/collaborators/{{username}}", route=add_collaborator),
    operation(
        "repos/get-collaborator-permission-level",
        "GET",
        f"{_REPO}/collaborators/{{username}}/permission",
        route=get_permission,
    ),
    operation("repos/list-branches", "GET", f"{_REPO}/branches", route=list_branches),
    operation("repos/get-branch", "GET", f"{_REPO}/branches/{{branch}}", route=get_branch),
    operation("repos/list-commits", "GET", f"{_REPO}/commits", route=list_commits),
    operation("repos/get-commit", "GET", f"{_REPO}/commits/{{ref}}", route=get_commit),
    operation(
        "repos/list-pull-requests-associated-with-commit",
        "GET",
        f"{_REPO}/commits/{{commit_sha}}/pulls",
        route=pulls_of_commit,
    ),
    operation("repos/compare-commits-with-basehead", "GET", f"{_REPO}/compare/{{basehead}}", route=compare),
    operation("repos/get-readme", "GET", f"{_REPO}/readme", route=get_readme),
    operation("repos/get-content", "GET", _CONTENT, route=get_content),
    operation("repos/create-or-update-file-contents", "PUT", _CONTENT, route=put_content),
    operation("repos/delete-file", "DELETE", _CONTENT, route=delete_content),
    operation("git/get-ref", "GET", f"{_REPO}/git/ref/{{ref}}", route=get_ref),
    operation("git/list-matching-refs", "GET", f"{_REPO}/git/matching-refs/{{ref}}", route=matching_refs),
    operation("git/create-ref", "POST", f"{_REPO}/git/refs", route=create_ref),
    operation("git/update-ref", "PATCH", f"{_REPO}/git/refs/{{ref}}", route=update_ref),
    operation("git/delete-ref", "DELETE", f"{_REPO}/git/refs/{{ref}}", route=delete_ref),
    operation("git/get-commit", "GET", f"{_REPO}/git/commits/{{commit_sha}}", route=get_git_commit),
    operation("git/get-tree", "GET", f"{_REPO}/git/trees/{{tree_sha}}", route=get_tree),
    operation("repos/create-fork", "POST", f"{_REPO}/forks", route=create_fork),
    operation("repos/list-forks", "GET", f"{_REPO}/forks", route=list_forks),
    operation("repos/list-webhooks", "GET", f"{_REPO}/hooks", route=list_hooks),
    operation("repos/create-webhook", "POST", f"{_REPO}/hooks", route=create_hook),
    operation("repos/get-webhook", "GET", _HOOK, route=get_hook),
    operation("repos/delete-webhook", "DELETE", _HOOK, route=delete_hook),
    operation("repos/ping-webhook", "POST", f"{_HOOK}/pings", route=ping_hook),
    operation("repos/list-webhook-deliveries", "GET", f"{_HOOK}/deliveries", route=list_hook_deliveries),
    operation(
        "repos/get-webhook-delivery", "GET", f"{_HOOK}/deliveries/{{delivery_id}}", route=get_hook_delivery
    ),
    operation(
        "repos/redeliver-webhook-delivery",
        "POST",
        f"{_HOOK}/deliveries/{{delivery_id}}/attempts",
        route=redeliver,
    ),
)
