"""What people do with pull requests: open, change, merge; and how they follow their branches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from demo.forge import shapes
from demo.forge.actions.actor import CONTENTS_WRITE, PULLS_WRITE, PUSH_ACCESS, Actor
from demo.forge.actions.issues import check_body, check_title, note, shut, tell
from demo.forge.actions.outdated import follow_head
from demo.forge.announce import announce
from demo.forge.git import ZERO, Git, Person
from demo.forge.refusals import Refused, invalid, not_found
from demo.forge.shapes import Json, pull_of
from demo.forge.state import Issue, Pull, Repository, State, User

MergeMethod = Literal["merge", "squash", "rebase"]
# https://docs.github.com/en/issues/tracking-your-work-with-issues/linking-a-pull-request-to-an-issue
_CLOSING = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)\b", re.IGNORECASE)


def head_ref_name(number: int) -> str:
    return f"refs/pull/{number}/head"


def person(state: State, user: User) -> Person:
    """The user as git writes them; the forge keeps addresses private as GitHub does by default."""
    host = state.web_url.partition("://")[2].split(":")[0]
    email = user.email or f"{user.id}+{user.login}@users.noreply.{host}"
    return Person(name=user.name or user.login, email=email, date=state.clock())


def open_pull(
    actor: Actor,
    repo: Repository,
    *,
    head: str,
    base: str,
    title: str | None,
    body: str | None = None,
    draft: bool = False,
    maintainer_can_modify: bool = False,
) -> Issue:
    """Propose to merge `head` (a branch, or `owner:branch` of a fork) into `base`."""
    state = actor.state
    with state.lock:
        actor.require(repo, needs=PULLS_WRITE)
        check_title("PullRequest", title)
        check_body("PullRequest", body, required=False)
        head_repo, head_ref = _head(actor, repo, head)
        head_sha = Git(state.git_dir(head_repo)).head_of(head_ref)
        if head_sha is None:
            raise invalid("PullRequest", "invalid", field="head")
        git = Git(state.git_dir(repo))
        base_sha = git.head_of(base)
        if base_sha is None:
            raise invalid("PullRequest", "invalid", field="base")
        if head_repo.id == repo.id and not actor.may(repo, needs=PULLS_WRITE, role="write"):
            raise Refused(403, PUSH_ACCESS)
        owner = state.get(User, head_repo.owner_id)
        _refuse_duplicate(state, repo, head_repo=head_repo, head_ref=head_ref, base=base)
        number = state.next_number(repo)
        if head_repo.id == repo.id:
            git.update_ref(head_ref_name(number), head_sha)
        else:
            git.fetch_from(state.git_dir(head_repo), sha=head_sha, ref=head_ref_name(number))
        if git.is_ancestor(head_sha, base_sha):
            git.delete_ref(head_ref_name(number))
            message = f"No commits between {base} and {head}"
            raise invalid("PullRequest", "custom", message=message)
        now = state.clock()
        issue = state.put(
            Issue(
                id=state.next_id(),
                repo_id=repo.id,
                number=number,
                title=title or "",
                body=body,
                author_id=actor.user.id,
                app_id=actor.viewer.app_id,
                created_at=now,
                updated_at=now,
                pull=Pull(
                    head_repo_id=head_repo.id,
                    head_owner_id=owner.id,
                    head_ref=head_ref,
                    head_sha=head_sha,
                    base_ref=base,
                    base_sha=base_sha,
                    draft=draft,
                    maintainer_can_modify=maintainer_can_modify and head_repo.id != repo.id,
                ),
            )
        )
        tell(actor, repo, issue=issue, action="opened")
        return issue


def _head(actor: Actor, repo: Repository, head: str) -> tuple[Repository, str]:
    """The repository and branch that `branch`, `owner:branch` or `owner:repo:branch` names."""
    state = actor.state
    login, colon, branch = head.rpartition(":")
    if not colon:
        return repo, head
    login, _, name = login.partition(":")
    owner = state.user(login)
    if owner is None:
        raise invalid("PullRequest", "invalid", field="head")
    if owner.id == repo.owner_id and name in {"", repo.name}:
        return repo, branch
    root = repo.parent_id or repo.id
    for fork in state.where(Repository, owner_id=owner.id):
        in_network = root in {fork.id, fork.parent_id}
        if in_network and name in {"", fork.name} and state.may_see(actor.viewer, fork):
            return fork, branch
    raise invalid("PullRequest", "invalid", field="head")


def _refuse_duplicate(
    state: State, repo: Repository, *, head_repo: Repository, head_ref: str, base: str
) -> None:
    for issue in state.where(Issue, repo_id=repo.id, state="open"):
        pull = issue.pull
        if pull and (pull.head_repo_id, pull.head_ref, pull.base_ref) == (head_repo.id, head_ref, base):
            owner = state.get(User, head_repo.owner_id)
            message = f"A pull request already exists for {owner.login}:{head_ref}."
            raise invalid("PullRequest", "custom", message=message)


def change_base(actor: Actor, issue: Issue, *, base: str) -> Issue:
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE, role="write")
        pull = pull_of(issue)
        if base == pull.base_ref:
            return issue
        base_sha = Git(state.git_dir(repo)).head_of(base)
        if base_sha is None:
            raise invalid("PullRequest", "invalid", field="base")
        changes: Json = {"base": {"ref": {"from": pull.base_ref}, "sha": {"from": pull.base_sha}}}
        moved = replace(pull, base_ref=base, base_sha=base_sha)
        issue = state.put(replace(issue, pull=moved, updated_at=state.clock()))
        note(actor, issue, event="base_ref_changed")
        tell(actor, repo, issue=issue, action="edited", members={"changes": changes})
        return issue


def set_draft(actor: Actor, issue: Issue, *, draft: bool) -> Issue:
    """Convert to a draft, or mark as ready for review."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        mine = issue.author_id == actor.user.id
        actor.require(repo, needs=PULLS_WRITE, role="read" if mine else "write")
        pull = pull_of(issue)
        if pull.draft == draft:
            return issue
        issue = state.put(replace(issue, pull=replace(pull, draft=draft), updated_at=state.clock()))
        action = "converted_to_draft" if draft else "ready_for_review"
        note(actor, issue, event="convert_to_draft" if draft else "ready_for_review")
        tell(actor, repo, issue=issue, action=action)
        return issue


def set_maintainer_can_modify(actor: Actor, issue: Issue, *, allowed: bool) -> Issue:
    with actor.state.lock:
        repo = actor.state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE)
        return actor.state.put(replace(issue, pull=replace(pull_of(issue), maintainer_can_modify=allowed)))


def request_reviewers(actor: Actor, issue: Issue, *, logins: Sequence[str]) -> Issue:
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE, role="triage")
        for login in logins:
            user = state.user(login)
            if user is None or (user.id != repo.owner_id and user.id not in repo.collaborators):
                sentence = (
                    "Reviews may only be requested from collaborators. One or more of the users or teams "
                    f"you specified is not a collaborator of the {state.full_name(repo)} repository."
                )
                raise Refused(422, sentence)
            if user.id == issue.author_id:
                raise Refused(422, "Review cannot be requested from pull request author.")
            pull = pull_of(issue)
            if user.id in pull.requested_reviewer_ids:
                continue
            pull = replace(pull, requested_reviewer_ids=(*pull.requested_reviewer_ids, user.id))
            issue = state.put(replace(issue, pull=pull, updated_at=state.clock()))
            note(actor, issue, event="review_requested", user_id=user.id)
            members: Json = {"requested_reviewer": shapes.user(state, user)}
            tell(actor, repo, issue=issue, action="review_requested", members=members)
        return issue


def remove_reviewers(actor: Actor, issue: Issue, *, logins: Sequence[str]) -> Issue:
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=PULLS_WRITE, role="triage")
        for login in logins:
            user = state.user(login)
            pull = pull_of(issue)
            if user is None or user.id not in pull.requested_reviewer_ids:
                continue
            kept = tuple(known for known in pull.requested_reviewer_ids if known != user.id)
            issue = state.put(replace(issue, pull=replace(pull, requested_reviewer_ids=kept)))
            note(actor, issue, event="review_request_removed", user_id=user.id)
            members: Json = {"requested_reviewer": shapes.user(state, user)}
            tell(actor, repo, issue=issue, action="review_request_removed", members=members)
        return issue


def find_mergeable(state: State, issue: Issue) -> Issue:
    """Do the test merge that GitHub does in the background after someone has looked."""
    with state.lock:
        issue = state.get(Issue, issue.id)
        pull = pull_of(issue)
        repo = state.get(Repository, issue.repo_id)
        git = Git(state.git_dir(repo))
        tip = git.head_of(pull.base_ref)
        if issue.state == "closed" or tip is None or pull.mergeable_for == (pull.head_sha, tip):
            return issue
        clean = git.merged_tree(tip, pull.head_sha) is not None
        return state.put(
            replace(issue, pull=replace(pull, mergeable=clean, mergeable_for=(pull.head_sha, tip)))
        )


def merge(
    actor: Actor,
    issue: Issue,
    *,
    method: MergeMethod = "merge",
    expected_head: str | None = None,
    title: str | None = None,
    message: str | None = None,
) -> Issue:
    """Merge for real: a commit on the base branch, then everything that follows from it."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=CONTENTS_WRITE, role="write", otherwise=PUSH_ACCESS)
        pull = pull_of(issue)
        git = Git(state.git_dir(repo))
        tip = git.head_of(pull.base_ref)
        if expected_head is not None and expected_head != pull.head_sha:
            raise Refused(409, "Head branch was modified. Review and try the merge again.")
        if pull.draft:
            raise Refused(405, "Pull Request is still a draft")
        if issue.state == "closed" or tip is None:
            raise Refused(405, "Pull Request is not mergeable")
        sha = _merge_commit(actor, repo, issue=issue, tip=tip, method=method, title=title, message=message)
        if sha is None:
            raise Refused(405, "Pull Request is not mergeable")
        if not git.update_ref(f"refs/heads/{pull.base_ref}", sha, old=tip):
            raise Refused(405, "Base branch was modified. Review and try the merge again.")
        merged = _mark_merged(actor, repo, issue=issue, sha=sha, base_sha=tip)
        tell_push(actor, repo, ref=f"refs/heads/{pull.base_ref}", before=tip, after=sha)
        follow_base(actor, repo, branch=pull.base_ref)
        return merged


def _merge_commit(
    actor: Actor,
    repo: Repository,
    *,
    issue: Issue,
    tip: str,
    method: MergeMethod,
    title: str | None,
    message: str | None,
) -> str | None:
    state = actor.state
    git = Git(state.git_dir(repo))
    pull = pull_of(issue)
    who = person(state, actor.user)
    committer = Person(name="GitHub", email="noreply@github.com", date=who.date)
    if method == "rebase":
        return git.rebased(pull.head_sha, onto=tip, committer=who)
    tree = git.merged_tree(tip, pull.head_sha)
    if tree is None:
        return None
    owner = state.find(User, pull.head_owner_id)
    if method == "squash":
        commits = git.log(f"{tip}..{pull.head_sha}")
        subject = title or f"{issue.title} (#{issue.number})"
        text = message if message is not None else "\n\n".join(f"* {c.message}" for c in reversed(commits))
        full = f"{subject}\n\n{text}".rstrip()
        return git.commit_tree(tree, parents=(tip,), message=full, author=who, committer=committer)
    source = f"{owner.login if owner else 'unknown'}/{pull.head_ref}"
    subject = title or f"Merge pull request #{issue.number} from {source}"
    full = f"{subject}\n\n{message if message is not None else issue.title}".rstrip()
    parents = (tip, pull.head_sha)
    return git.commit_tree(tree, parents=parents, message=full, author=who, committer=committer)


def _mark_merged(actor: Actor, repo: Repository, *, issue: Issue, sha: str, base_sha: str) -> Issue:
    state = actor.state
    now = state.clock()
    merged_pull = replace(
        pull_of(issue),
        base_sha=base_sha,
        merged_at=now,
        merged_by_id=actor.user.id,
        merge_commit_sha=sha,
    )
    issue = state.put(
        replace(
            issue, state="closed", closed_at=now, closed_by_id=actor.user.id, updated_at=now, pull=merged_pull
        )
    )
    note(actor, issue, event="merged", sha=sha)
    note(actor, issue, event="closed")
    tell(actor, repo, issue=issue, action="closed")
    if merged_pull.base_ref == repo.default_branch:
        commits = Git(state.git_dir(repo)).log(f"{base_sha}..{merged_pull.head_sha}")
        texts = [issue.body or "", *(commit.message for commit in commits)]
        close_mentioned(actor, repo, texts=texts, sha=sha)
    return issue


def close_mentioned(actor: Actor, repo: Repository, *, texts: Sequence[str], sha: str) -> None:
    """Close the issues that the texts say they close."""
    for number in dict.fromkeys(int(found[1]) for text in texts for found in _CLOSING.finditer(text)):
        issue = actor.state.issue(repo, number)
        if issue and issue.pull is None and issue.state == "open":
            shut(actor, repo, issue=issue, reason="completed", sha=sha)


def update_branch(actor: Actor, issue: Issue, *, expected_head: str | None = None) -> Issue:
    """Merge the base branch into the head branch."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        pull = pull_of(issue)
        head_repo = state.find(Repository, pull.head_repo_id)
        if head_repo is None:
            raise not_found()
        actor.require(repo, needs=PULLS_WRITE, role="write")
        if expected_head is not None and expected_head != pull.head_sha:
            raise Refused(422, "expected head sha didn’t match current head ref.")  # noqa: RUF001 - GitHub's words
        git = Git(state.git_dir(repo))
        tip = git.head_of(pull.base_ref)
        tree = git.merged_tree(pull.head_sha, tip) if tip else None
        if tip is None or tree is None:
            raise Refused(422, "merge conflict between base and head")
        who = person(state, actor.user)
        message = f"Merge branch '{pull.base_ref}' into {pull.head_ref}"
        parents = (pull.head_sha, tip)
        sha = git.commit_tree(tree, parents=parents, message=message, author=who, committer=who)
        head_git = Git(state.git_dir(head_repo))
        if head_repo.id != repo.id:
            head_git.fetch_from(state.git_dir(repo), sha=sha, ref=f"refs/heads/{pull.head_ref}")
        else:
            head_git.update_ref(f"refs/heads/{pull.head_ref}", sha, old=pull.head_sha)
        branch_moved(actor, head_repo, ref=f"refs/heads/{pull.head_ref}", before=pull.head_sha, after=sha)
        return state.get(Issue, issue.id)


def branch_moved(actor: Actor, repo: Repository, *, ref: str, before: str, after: str) -> None:
    """All that follows when a ref was pushed, created or deleted (ZERO)."""
    state = actor.state
    with state.lock:
        now = state.clock()
        repo = state.put(replace(state.get(Repository, repo.id), pushed_at=now, updated_at=now))
        tell_push(actor, repo, ref=ref, before=before, after=after)
        if not ref.startswith("refs/heads/"):
            return
        branch = ref.removeprefix("refs/heads/")
        _follow_heads(actor, repo, branch=branch, after=after)
        if after == ZERO:
            return
        follow_base(actor, repo, branch=branch)
        if branch == repo.default_branch and before != ZERO:
            commits = Git(state.git_dir(repo)).log(f"{before}..{after}")
            close_mentioned(actor, repo, texts=[commit.message for commit in commits], sha=after)


def _follow_heads(actor: Actor, head_repo: Repository, *, branch: str, after: str) -> None:
    """Pull requests from this branch move with it; they close when it is deleted."""
    state = actor.state
    for issue in state.where(Issue, state="open"):
        pull = issue.pull
        if pull is None or (pull.head_repo_id, pull.head_ref) != (head_repo.id, branch):
            continue
        repo = state.get(Repository, issue.repo_id)
        if after == ZERO:
            note(actor, issue, event="head_ref_deleted")
            shut(actor, repo, issue=issue, reason="completed")
            continue
        git = Git(state.git_dir(repo))
        ref = head_ref_name(issue.number)
        if head_repo.id == repo.id:
            git.update_ref(ref, after)
        else:
            git.fetch_from(state.git_dir(head_repo), sha=after, ref=ref)
        base_sha = git.head_of(pull.base_ref) or pull.base_sha
        moved = replace(pull, head_sha=after, base_sha=base_sha)
        issue = state.put(replace(issue, pull=moved, updated_at=state.clock()))
        if not git.is_ancestor(pull.head_sha, after):
            note(actor, issue, event="head_ref_force_pushed", sha=after)
        follow_head(state, repo, issue=issue, before=pull)
        members: Json = {"before": pull.head_sha, "after": after}
        tell(actor, repo, issue=issue, action="synchronize", members=members)


def follow_base(actor: Actor, repo: Repository, *, branch: str) -> None:
    """Pull requests whose commits all came to their base branch by a push count as merged."""
    state = actor.state
    git = Git(state.git_dir(repo))
    tip = git.head_of(branch)
    for issue in state.where(Issue, repo_id=repo.id, state="open"):
        pull = issue.pull
        if pull and tip and pull.base_ref == branch and git.is_ancestor(pull.head_sha, tip):
            _mark_merged(actor, repo, issue=issue, sha=tip, base_sha=pull.base_sha)


def tell_push(actor: Actor, repo: Repository, *, ref: str, before: str, after: str) -> None:
    state = actor.state
    git = Git(state.git_dir(repo))
    created, deleted = before == ZERO, after == ZERO
    is_commit = not deleted and git.has(after)
    commits = []
    if is_commit and created:
        known = [f"^{sha}" for name, sha in git.refs("refs/heads").items() if name != ref]
        commits = git.log(after, *known, limit=20)
    elif is_commit:
        commits = git.log(f"{before}..{after}", limit=20)
    listed = [shapes.push_commit(state, repo, of=commit) for commit in reversed(commits)]
    head = shapes.push_commit(state, repo, of=git.commit(after)) if is_commit else None
    short_before, short_after = before[:12], after[:12]
    span = short_after if created else f"{short_before}...{short_after}"
    user = actor.user
    host = state.web_url.partition("://")[2].split(":")[0]
    members: Json = {
        "ref": ref,
        "before": before,
        "after": after,
        "created": created,
        "deleted": deleted,
        "forced": not created and not deleted and not git.is_ancestor(before, after),
        "base_ref": None,
        "compare": f"{shapes.html_url(state, repo)}/compare/{span}",
        "commits": listed,
        "head_commit": head,
        "pusher": {"name": user.login, "email": user.email or f"{user.login}@users.noreply.{host}"},
    }
    announce(actor, repo, event="push", action=None, members=members)
    if created or deleted:
        kind = "tag" if ref.startswith("refs/tags/") else "branch"
        name = ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
        about: Json = {"ref": name, "ref_type": kind, "pusher_type": "user"}
        if created:
            about |= {"master_branch": repo.default_branch, "description": repo.description}
        announce(actor, repo, event="create" if created else "delete", action=None, members=about)
