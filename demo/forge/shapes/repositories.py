"""Repositories, branches, commits, trees and files as GitHub writes them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from demo.forge.git import Commit, Entry, FileChange, Git
from demo.forge.shapes.accounts import Json, api, node_id, stamp, user
from demo.forge.state import ROLES, Issue, Repository, Role, State, User, Viewer

VERIFICATION: Json = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def url(state: State, repo: Repository) -> str:
    return f"{api(state)}/repos/{state.full_name(repo)}"


def html_url(state: State, repo: Repository) -> str:
    return f"{state.web_url}/{state.full_name(repo)}"


def simple_repository(state: State, repo: Repository) -> Json:
    """What all shapes of a repository have in common."""
    here = url(state, repo)
    return {
        "id": repo.id,
        "node_id": node_id("Repository", repo.id),
        "name": repo.name,
        "full_name": state.full_name(repo),
        "private": repo.private,
        "owner": user(state, state.get(User, repo.owner_id)),
        "html_url": html_url(state, repo),
        "description": repo.description,
        "fork": repo.parent_id is not None,
        "url": here,
        "forks_url": f"{here}/forks",
        "keys_url": f"{here}/keys{{/key_id}}",
        "collaborators_url": f"{here}/collaborators{{/collaborator}}",
        "teams_url": f"{here}/teams",
        "hooks_url": f"{here}/hooks",
        "issue_events_url": f"{here}/issues/events{{/number}}",
        "events_url": f"{here}/events",
        "assignees_url": f"{here}/assignees{{/user}}",
        "branches_url": f"{here}/branches{{/branch}}",
        "tags_url": f"{here}/tags",
        "blobs_url": f"{here}/git/blobs{{/sha}}",
        "git_tags_url": f"{here}/git/tags{{/sha}}",
        "git_refs_url": f"{here}/git/refs{{/sha}}",
        "trees_url": f"{here}/git/trees{{/sha}}",
        "statuses_url": f"{here}/statuses/{{sha}}",
        "languages_url": f"{here}/languages",
        "stargazers_url": f"{here}/stargazers",
        "contributors_url": f"{here}/contributors",
        "subscribers_url": f"{here}/subscribers",
        "subscription_url": f"{here}/subscription",
        "commits_url": f"{here}/commits{{/sha}}",
        "git_commits_url": f"{here}/git/commits{{/sha}}",
        "comments_url": f"{here}/comments{{/number}}",
        "issue_comment_url": f"{here}/issues/comments{{/number}}",
        "contents_url": f"{here}/contents/{{+path}}",
        "compare_url": f"{here}/compare/{{base}}...{{head}}",
        "merges_url": f"{here}/merges",
        "archive_url": f"{here}/{{archive_format}}{{/ref}}",
        "downloads_url": f"{here}/downloads",
        "issues_url": f"{here}/issues{{/number}}",
        "pulls_url": f"{here}/pulls{{/number}}",
        "milestones_url": f"{here}/milestones{{/number}}",
        "notifications_url": f"{here}/notifications{{?since,all,participating}}",
        "labels_url": f"{here}/labels{{/name}}",
        "releases_url": f"{here}/releases{{/id}}",
        "deployments_url": f"{here}/deployments",
    }


def repository(state: State, repo: Repository) -> Json:
    """A `repository`: the shape inside pull requests, tokens, lists and webhooks."""
    web = html_url(state, repo)
    host = state.web_url.partition("://")[2]
    open_issues = sum(issue.state == "open" for issue in state.where(Issue, repo_id=repo.id))
    forks = sum(1 for _ in state.where(Repository, parent_id=repo.id))
    return simple_repository(state, repo) | {
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.updated_at),
        "pushed_at": stamp(repo.pushed_at),
        "git_url": f"git://{host}/{state.full_name(repo)}.git",
        "ssh_url": f"git@{host}:{state.full_name(repo)}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "mirror_url": None,
        "homepage": None,
        "size": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": None,
        "has_issues": True,
        "has_projects": False,
        "has_downloads": False,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": forks,
        "archived": repo.archived,
        "disabled": False,
        "open_issues_count": open_issues,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private" if repo.private else "public",
        "forks": forks,
        "open_issues": open_issues,
        "watchers": 0,
        "default_branch": repo.default_branch,
    }


def permissions(role: Role) -> Json:
    rank = ROLES.index(role)
    return {
        "admin": rank >= ROLES.index("admin"),
        "maintain": rank >= ROLES.index("maintain"),
        "push": rank >= ROLES.index("write"),
        "triage": rank >= ROLES.index("triage"),
        "pull": rank >= ROLES.index("read"),
    }


def viewers_permissions(state: State, viewer: Viewer, repo: Repository) -> Json:
    if viewer.installation is not None:
        contents = (viewer.permissions or {}).get("contents")
        granted = state.grants(viewer, repo)
        return permissions("write" if granted and contents == "write" else "read") | {"pull": True}
    return permissions(state.role_of(viewer.user, repo))


def full_repository(state: State, viewer: Viewer, *, repo: Repository) -> Json:
    """What `GET /repos/{owner}/{repo}` answers."""
    full = repository(state, repo) | {
        "permissions": viewers_permissions(state, viewer, repo),
        "network_count": 0,
        "subscribers_count": 1,
    }
    owner = state.get(User, repo.owner_id)
    if owner.type == "Organization":
        full["organization"] = user(state, owner)
    parent = state.find(Repository, repo.parent_id)
    if parent is not None:
        full["parent"] = full["source"] = repository(state, parent)
    if viewers_permissions(state, viewer, repo)["push"]:
        full |= {
            "allow_squash_merge": True,
            "allow_merge_commit": True,
            "allow_rebase_merge": True,
            "allow_auto_merge": False,
            "delete_branch_on_merge": False,
            "allow_update_branch": False,
        }
    return full


def git_ref(state: State, repo: Repository, *, ref: str, sha: str) -> Json:
    here = url(state, repo)
    return {
        "ref": ref,
        "node_id": node_id("Ref", f"{repo.id}:{ref}"),
        "url": f"{here}/git/{ref}",
        "object": {"sha": sha, "type": "commit", "url": f"{here}/git/commits/{sha}"},
    }


def protection(*, enabled: bool) -> Json:
    return {
        "enabled": enabled,
        "required_status_checks": {
            "enforcement_level": "everyone" if enabled else "off",
            "contexts": [],
            "checks": [],
        },
    }


def short_branch(state: State, repo: Repository, *, name: str, sha: str) -> Json:
    here = url(state, repo)
    return {
        "name": name,
        "commit": {"sha": sha, "url": f"{here}/commits/{sha}"},
        "protected": name in repo.protected_branches,
    }


def branch(state: State, repo: Repository, *, name: str, commit_: Commit) -> Json:
    here = url(state, repo)
    is_protected = name in repo.protected_branches
    return {
        "name": name,
        "commit": commit(state, repo, commit=commit_),
        "_links": {
            "self": f"{here}/branches/{quote(name, safe='')}",
            "html": f"{html_url(state, repo)}/tree/{name}",
        },
        "protected": is_protected,
        "protection": protection(enabled=is_protected),
        "protection_url": f"{here}/branches/{quote(name, safe='')}/protection",
    }


def author_of(state: State, email: str) -> User | None:
    """The account that a commit's e-mail address belongs to."""
    local, _, domain = email.partition("@")
    if domain.startswith("users.noreply."):
        return state.user(local.partition("+")[2] or local)
    return next((account for account in state.where(User, email=email)), None)


def commit(state: State, repo: Repository, *, commit: Commit) -> Json:
    """A `commit` without its files."""
    here = url(state, repo)
    web = html_url(state, repo)
    author = author_of(state, commit.author.email)
    committer = author_of(state, commit.committer.email)
    return {
        "sha": commit.sha,
        "node_id": node_id("Commit", f"{repo.id}:{commit.sha}"),
        "commit": {
            "author": {
                "name": commit.author.name,
                "email": commit.author.email,
                "date": stamp(commit.author.date),
            },
            "committer": {
                "name": commit.committer.name,
                "email": commit.committer.email,
                "date": stamp(commit.committer.date),
            },
            "message": commit.message,
            "tree": {"sha": commit.tree, "url": f"{here}/git/trees/{commit.tree}"},
            "url": f"{here}/git/commits/{commit.sha}",
            "comment_count": 0,
            "verification": VERIFICATION,
        },
        "url": f"{here}/commits/{commit.sha}",
        "html_url": f"{web}/commit/{commit.sha}",
        "comments_url": f"{here}/commits/{commit.sha}/comments",
        "author": user(state, author) if author else None,
        "committer": user(state, committer) if committer else None,
        "parents": [
            {"sha": parent, "url": f"{here}/commits/{parent}", "html_url": f"{web}/commit/{parent}"}
            for parent in commit.parents
        ],
    }


def simple_commit(commit: Commit) -> Json:
    """A `simple-commit`: the head of a check suite, of a workflow run."""
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "message": commit.message,
        "timestamp": stamp(commit.author.date),
        "author": {"name": commit.author.name, "email": commit.author.email},
        "committer": {"name": commit.committer.name, "email": commit.committer.email},
    }


def commit_with_files(state: State, repo: Repository, *, of: Commit, files: Sequence[FileChange]) -> Json:
    additions = sum(file.additions for file in files)
    deletions = sum(file.deletions for file in files)
    return commit(state, repo, commit=of) | {
        "stats": {"total": additions + deletions, "additions": additions, "deletions": deletions},
        "files": [diff_entry(state, repo, sha=of.sha, file=file) for file in files],
    }


def git_commit(state: State, repo: Repository, *, of: Commit) -> Json:
    """What the git database API answers for a commit."""
    here = url(state, repo)
    web = html_url(state, repo)
    return {
        "sha": of.sha,
        "node_id": node_id("Commit", f"{repo.id}:{of.sha}"),
        "url": f"{here}/git/commits/{of.sha}",
        "html_url": f"{web}/commit/{of.sha}",
        "author": {"name": of.author.name, "email": of.author.email, "date": stamp(of.author.date)},
        "committer": {
            "name": of.committer.name,
            "email": of.committer.email,
            "date": stamp(of.committer.date),
        },
        "tree": {"sha": of.tree, "url": f"{here}/git/trees/{of.tree}"},
        "message": of.message,
        "parents": [
            {"sha": parent, "url": f"{here}/git/commits/{parent}", "html_url": f"{web}/commit/{parent}"}
            for parent in of.parents
        ],
        "verification": VERIFICATION,
    }


def diff_entry(state: State, repo: Repository, *, sha: str, file: FileChange) -> Json:
    path = quote(file.path)
    web = html_url(state, repo)
    entry: Json = {
        "sha": file.sha,
        "filename": file.path,
        "status": file.status,
        "additions": file.additions,
        "deletions": file.deletions,
        "changes": file.additions + file.deletions,
        "blob_url": f"{web}/blob/{sha}/{path}",
        "raw_url": f"{web}/raw/{sha}/{path}",
        "contents_url": f"{url(state, repo)}/contents/{path}?ref={sha}",
    }
    if file.patch is not None:
        entry["patch"] = file.patch
    if file.previous is not None:
        entry["previous_filename"] = file.previous
    return entry


_CONTENT_TYPES: dict[tuple[str, str], Literal["file", "dir", "symlink", "submodule"]] = {
    ("tree", "040000"): "dir",
    ("commit", "160000"): "submodule",
    ("blob", "120000"): "symlink",
}


def content_entry(state: State, repo: Repository, *, ref: str, entry: Entry) -> Json:
    """One member of a directory listing."""
    here = url(state, repo)
    path = quote(entry.path)
    kind = _CONTENT_TYPES.get((entry.type, entry.mode), "file")
    self_url = f"{here}/contents/{path}?ref={ref}"
    git_kind = "trees" if entry.type == "tree" else "blobs"
    git_url = f"{here}/git/{git_kind}/{entry.sha}"
    web_kind = "tree" if entry.type == "tree" else "blob"
    page = f"{html_url(state, repo)}/{web_kind}/{ref}/{path}"
    raw = f"{html_url(state, repo)}/raw/{ref}/{path}" if entry.type == "blob" else None
    return {
        "name": entry.path.rsplit("/", 1)[-1],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": self_url,
        "html_url": page,
        "git_url": git_url,
        "download_url": raw,
        "type": kind,
        "_links": {"self": self_url, "git": git_url, "html": page},
    }


def content_file(state: State, repo: Repository, *, ref: str, entry: Entry) -> Json:
    """A single file (content in base64, broken into lines of 60) or symbolic link."""
    listed = content_entry(state, repo, ref=ref, entry=entry)
    content = Git(state.git_dir(repo)).blob(entry.sha)
    if entry.mode == "120000":
        return listed | {"target": content.decode(errors="replace")}
    encoded = base64.b64encode(content).decode()
    lines = "".join(f"{encoded[at : at + 60]}\n" for at in range(0, len(encoded), 60))
    # Between 1 and 100 MB the content is left out:
    # https://docs.github.com/en/rest/repos/contents#get-repository-content
    if len(content) > 1_000_000:
        return listed | {"content": "", "encoding": "none"}
    return listed | {"content": lines, "encoding": "base64"}
