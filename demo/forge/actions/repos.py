"""What people do with repositories: make, fork, rename, share, protect, hook, and write files and refs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from demo.forge.actions.actor import ADMINISTRATION_WRITE, CONTENTS_WRITE, PUSH_ACCESS, Actor, Needs
from demo.forge.actions.pulls import branch_moved, person
from demo.forge.announce import ping, redeliver
from demo.forge.git import ZERO, Git
from demo.forge.refusals import Refused, invalid, not_found
from demo.forge.state import Delivery, Hook, Label, Repository, Role, State, User

HOOKS_WRITE: Needs = ({"repository_hooks": "write"},)
# The labels that every new repository on github.com has.
DEFAULT_LABELS = (
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("good first issue", "7057ff", "Good for newcomers"),
    ("question", "d876e3", "Further information is requested"),
)


def create_repository(
    actor: Actor,
    *,
    owner: User,
    name: str,
    private: bool = False,
    description: str | None = None,
    directory: Path | None = None,
    message: str = "Initial commit",
) -> Repository:
    """Make a repository; with a directory, its files become the first commit on `main`."""
    state = actor.state
    with state.lock:
        if owner.id != actor.user.id and owner.type != "Organization":
            raise not_found()
        if state.repository(owner.login, name) is not None:
            message = "name already exists on this account"
            raise invalid("Repository", "custom", field="name", message=message)
        now = state.clock()
        repo = state.put(
            Repository(
                id=state.next_id(),
                owner_id=owner.id,
                name=name,
                private=private,
                description=description,
                collaborators={actor.user.id: "admin"} if owner.id != actor.user.id else {},
                created_at=now,
                updated_at=now,
                pushed_at=now,
            )
        )
        git = Git(state.git_dir(repo))
        git.create(default_branch=repo.default_branch)
        for label, color, about in DEFAULT_LABELS:
            state.put(
                Label(
                    id=state.next_id(),
                    repo_id=repo.id,
                    name=label,
                    color=color,
                    description=about,
                    default=True,
                )
            )
        if directory is not None:
            who = person(state, actor.user)
            tree = git.tree_from(directory)
            sha = git.commit_tree(tree, parents=(), message=message, author=who, committer=who)
            git.update_ref(f"refs/heads/{repo.default_branch}", sha)
        return repo


def fork(actor: Actor, repo: Repository, *, name: str | None = None) -> Repository:
    """A copy under the actor's account; the one there already is answered again."""
    state = actor.state
    with state.lock:
        if not state.may_see(actor.viewer, repo):
            raise not_found()
        owner = actor.user
        if owner.id == repo.owner_id:
            raise Refused(403, "You cannot fork your own repository")
        for existing in state.where(Repository, owner_id=owner.id, parent_id=repo.id):
            return existing
        now = state.clock()
        copy = state.put(
            Repository(
                id=state.next_id(),
                owner_id=owner.id,
                name=name or repo.name,
                private=repo.private,
                description=repo.description,
                default_branch=repo.default_branch,
                parent_id=repo.id,
                created_at=now,
                updated_at=now,
                pushed_at=now,
            )
        )
        git = Git(state.git_dir(copy))
        git.clone_from(state.git_dir(repo), default_branch=repo.default_branch)
        return copy


def rename(actor: Actor, repo: Repository, *, name: str) -> Repository:
    """Give it a new name; the old one redirects."""
    state = actor.state
    with state.lock:
        actor.require(repo, needs=ADMINISTRATION_WRITE, role="admin")
        former = state.full_name(repo).casefold()
        return state.put(
            replace(repo, name=name, former_names=(*repo.former_names, former), updated_at=state.clock())
        )


def set_private(actor: Actor, repo: Repository, *, private: bool) -> Repository:
    with actor.state.lock:
        actor.require(repo, needs=ADMINISTRATION_WRITE, role="admin")
        return actor.state.put(replace(repo, private=private))


def describe(actor: Actor, repo: Repository, *, description: str | None) -> Repository:
    with actor.state.lock:
        actor.require(repo, needs=ADMINISTRATION_WRITE, role="admin")
        return actor.state.put(replace(repo, description=description))


def set_collaborator(actor: Actor, repo: Repository, *, user: User, role: Role) -> Repository:
    """Share the repository with someone at once, without the invitation that GitHub sends; "none" ends it."""
    with actor.state.lock:
        actor.require(repo, needs=ADMINISTRATION_WRITE, role="admin")
        shared = {known: given for known, given in repo.collaborators.items() if known != user.id}
        if role != "none":
            shared[user.id] = role
        return actor.state.put(replace(repo, collaborators=shared))


def protect(actor: Actor, repo: Repository, *, branches: Sequence[str]) -> Repository:
    """These branches take changes by pull request only."""
    with actor.state.lock:
        actor.require(repo, needs=ADMINISTRATION_WRITE, role="admin")
        return actor.state.put(replace(repo, protected_branches=tuple(branches)))


def delete_repository(actor: Actor, repo: Repository) -> None:
    """Delete it; pull requests from it stay, with no head repository."""
    state = actor.state
    with state.lock:
        actor.require(repo, needs=ADMINISTRATION_WRITE, role="admin")
        for known in state.all(Repository):
            for issue in state.issues(known):
                if issue.pull and issue.pull.head_repo_id == repo.id and known.id != repo.id:
                    state.put(replace(issue, pull=replace(issue.pull, head_repo_id=None)))
        for issue in state.issues(repo):
            state.delete(issue)
        state.delete(repo)


def _refuse_protected(repo: Repository, ref: str) -> None:
    if ref.removeprefix("refs/heads/") in repo.protected_branches:
        raise Refused(
            422, f"Protected branch update failed for {ref}. Changes must be made through a pull request."
        )


def create_ref(actor: Actor, repo: Repository, *, ref: str, sha: str) -> None:
    state = actor.state
    with state.lock:
        actor.require(repo, needs=CONTENTS_WRITE, role="write", otherwise=PUSH_ACCESS)
        git = Git(state.git_dir(repo))
        if not ref.startswith(("refs/heads/", "refs/tags/")):
            raise Refused(422, "Reference name must start with 'refs/heads/' or 'refs/tags/'.")
        if not git.has(sha):
            raise Refused(422, "Object does not exist")
        if ref in git.refs(ref):
            raise Refused(422, "Reference already exists")
        git.update_ref(ref, sha, old=ZERO)
        branch_moved(actor, repo, ref=ref, before=ZERO, after=sha)


def update_ref(actor: Actor, repo: Repository, *, ref: str, sha: str, force: bool) -> None:
    state = actor.state
    with state.lock:
        actor.require(repo, needs=CONTENTS_WRITE, role="write", otherwise=PUSH_ACCESS)
        git = Git(state.git_dir(repo))
        before = git.refs(ref).get(ref)
        if before is None:
            raise Refused(422, "Reference does not exist")
        _refuse_protected(repo, ref)
        if not git.has(sha):
            raise Refused(422, "Object does not exist")
        if not force and not git.is_ancestor(before, sha):
            raise Refused(422, "Update is not a fast forward")
        git.update_ref(ref, sha, old=before)
        branch_moved(actor, repo, ref=ref, before=before, after=sha)


def delete_ref(actor: Actor, repo: Repository, *, ref: str) -> None:
    state = actor.state
    with state.lock:
        actor.require(repo, needs=CONTENTS_WRITE, role="write", otherwise=PUSH_ACCESS)
        git = Git(state.git_dir(repo))
        before = git.refs(ref).get(ref)
        if before is None:
            raise Refused(422, "Reference does not exist")
        _refuse_protected(repo, ref)
        git.delete_ref(ref)
        branch_moved(actor, repo, ref=ref, before=before, after=ZERO)


def commit_files(
    actor: Actor,
    repo: Repository,
    *,
    branch: str,
    message: str,
    files: Mapping[str, bytes | None],
    expected_head: str | None = None,
) -> str:
    """Commit these files (None: deleted) on a branch, as the contents API and `createCommitOnBranch` do."""
    state = actor.state
    with state.lock:
        actor.require(repo, needs=CONTENTS_WRITE, role="write", otherwise=PUSH_ACCESS)
        git = Git(state.git_dir(repo))
        before = git.head_of(branch)
        if before is None:
            raise Refused(404, f"Branch {branch} not found")
        _refuse_protected(repo, f"refs/heads/{branch}")
        if expected_head is not None and expected_head != before:
            sentence = f"Expected branch to point to {expected_head!r} but it did not. Pull and try again."
            raise Refused(409, sentence)
        who = person(state, actor.user)
        tree = git.changed_tree(before, files)
        sha = git.commit_tree(tree, parents=(before,), message=message, author=who, committer=who)
        git.update_ref(f"refs/heads/{branch}", sha, old=before)
        branch_moved(actor, repo, ref=f"refs/heads/{branch}", before=before, after=sha)
        return sha


def create_hook(
    actor: Actor, repo: Repository, *, url: str, secret: str, events: Sequence[str] = ("push",)
) -> Hook:
    """A webhook of the repository; a ping goes out at once."""
    state = actor.state
    with state.lock:
        actor.require(repo, needs=HOOKS_WRITE, role="admin")
        hook = state.put(
            Hook(
                id=state.next_id(),
                repo_id=repo.id,
                url=url,
                secret=secret,
                events=tuple(events),
                created_at=state.clock(),
            )
        )
        ping(state, hook)
        return hook


def delete_hook(actor: Actor, hook: Hook) -> None:
    state = actor.state
    with state.lock:
        if hook.repo_id is not None:
            actor.require(state.get(Repository, hook.repo_id), needs=HOOKS_WRITE, role="admin")
        state.delete(hook)


def redeliver_webhook(state: State, delivery: Delivery) -> Delivery:
    """Send it again with the same GUID."""
    with state.lock:
        return redeliver(state, delivery)
