"""What people do in a conversation: issues, comments, labels, assignees, reactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from demo.forge import shapes
from demo.forge.actions.actor import (
    ADMIN_RIGHTS,
    CONVERSATION_WRITE,
    ISSUES_WRITE,
    PULLS_WRITE,
    Actor,
    Needs,
)
from demo.forge.announce import announce
from demo.forge.refusals import Refused, invalid, not_found
from demo.forge.shapes import Json
from demo.forge.state import (
    CONTENTS,
    Comment,
    Content,
    Issue,
    Label,
    Reaction,
    Repository,
    Review,
    ReviewComment,
    SubjectKind,
    TimelineEvent,
)

# https://docs.github.com/en/rest/issues/comments and the wording recorded from api.github.com
LONGEST_BODY = 65_536
LONGEST_TITLE = 256
StateReason = Literal["completed", "not_planned", "duplicate", "reopened"]


def needs_for(issue: Issue) -> Needs:
    """An issue's conversation needs `issues`; a pull request's either of the two."""
    return CONVERSATION_WRITE if issue.pull else ISSUES_WRITE


def check_body(resource: str, body: str | None, *, required: bool) -> None:
    """Refuse a body that is too long, or blank where one is needed."""
    if body is not None and len(body) > LONGEST_BODY:
        raise invalid(
            resource,
            "custom",
            field="body",
            message=f"body is too long (maximum is {LONGEST_BODY} characters)",
        )
    if required and not (body or "").strip():
        raise invalid(resource, "unprocessable", field="data", message="Body cannot be blank")


def check_title(resource: str, title: str | None) -> None:
    if title is None or not title.strip():
        raise invalid(resource, "missing_field", field="title")
    if len(title) > LONGEST_TITLE:
        raise invalid(
            resource,
            "custom",
            field="title",
            message=f"title is too long (maximum is {LONGEST_TITLE} characters)",
        )


def create_issue(
    actor: Actor,
    repo: Repository,
    *,
    title: str,
    body: str | None = None,
    labels: Sequence[str] = (),
    assignees: Sequence[str] = (),
) -> Issue:
    state = actor.state
    with state.lock:
        actor.require(repo, needs=ISSUES_WRITE)
        check_title("Issue", title)
        check_body("Issue", body, required=False)
        # Without push access labels and assignees are silently dropped:
        # https://docs.github.com/en/rest/issues/issues#create-an-issue
        trusted = actor.may(repo, needs=ISSUES_WRITE, role="triage")
        label_ids = tuple(ensure_label(actor, repo, name=name).id for name in labels) if trusted else ()
        assignee_ids = assignable(actor, repo, logins=assignees) if trusted else ()
        now = state.clock()
        issue = state.put(
            Issue(
                id=state.next_id(),
                repo_id=repo.id,
                number=state.next_number(repo),
                title=title,
                body=body,
                author_id=actor.user.id,
                app_id=actor.viewer.app_id,
                label_ids=label_ids,
                assignee_ids=assignee_ids,
                created_at=now,
                updated_at=now,
            )
        )
        tell(actor, repo, issue=issue, action="opened")
        for label in state.labels(issue):
            note(actor, issue, event="labeled", label_id=label.id)
            tell(actor, repo, issue=issue, action="labeled", members={"label": _label(actor, repo, label)})
        return issue


def edit_issue(
    actor: Actor,
    issue: Issue,
    *,
    title: str | None = None,
    body: str | None = None,
) -> Issue:
    """Change the title or body of an issue or pull request; None leaves it."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        _require_author_or(actor, repo, issue=issue, role="write")
        resource = "PullRequest" if issue.pull else "Issue"
        changes: Json = {}
        edited = issue
        if title is not None and title != issue.title:
            check_title(resource, title)
            changes["title"] = {"from": issue.title}
            note(actor, issue, event="renamed", before=issue.title, after=title)
            edited = replace(edited, title=title)
        if body is not None and body != issue.body:
            check_body(resource, body, required=False)
            changes["body"] = {"from": issue.body or ""}
            edited = replace(edited, body=body)
        if not changes:
            return issue
        edited = state.put(replace(edited, updated_at=state.clock()))
        tell(actor, repo, issue=edited, action="edited", members={"changes": changes})
        return edited


def close(actor: Actor, issue: Issue, *, reason: StateReason = "completed") -> Issue:
    """Close an issue, or a pull request without merging it."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        _require_author_or(actor, repo, issue=issue, role="triage")
        if issue.state == "closed":
            return issue
        return shut(actor, repo, issue=issue, reason=reason)


def shut(
    actor: Actor, repo: Repository, *, issue: Issue, reason: StateReason, sha: str | None = None
) -> Issue:
    """Close without asking for permission: what a merge does to the issues it fixes."""
    now = actor.state.clock()
    closed = actor.state.put(
        replace(
            issue,
            state="closed",
            state_reason=None if issue.pull else reason,
            closed_at=now,
            closed_by_id=actor.user.id,
            updated_at=now,
        )
    )
    note(actor, issue, event="closed", sha=sha)
    tell(actor, repo, issue=closed, action="closed")
    return closed


def reopen(actor: Actor, issue: Issue) -> Issue:
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        _require_author_or(actor, repo, issue=issue, role="triage")
        if issue.state == "open":
            return issue
        if issue.pull and issue.pull.merged_at:
            raise invalid("PullRequest", "invalid", field="state", message="state cannot be changed.")
        opened = state.put(
            replace(
                issue,
                state="open",
                state_reason=None if issue.pull else "reopened",
                closed_at=None,
                closed_by_id=None,
                updated_at=state.clock(),
            )
        )
        note(actor, issue, event="reopened")
        tell(actor, repo, issue=opened, action="reopened")
        return opened


def lock(actor: Actor, issue: Issue, *, locked: bool) -> Issue:
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=needs_for(issue), role="write")
        note(actor, issue, event="locked" if locked else "unlocked")
        return state.put(replace(issue, locked=locked))


def comment(actor: Actor, issue: Issue, *, body: str) -> Comment:
    """Say something in the conversation of an issue or pull request."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=needs_for(issue))
        check_body("IssueComment", body, required=True)
        if issue.locked and not actor.may(repo, needs=needs_for(issue), role="write"):
            raise Refused(403, "Unable to create comment because issue is locked.")
        now = state.clock()
        said = state.put(
            Comment(
                id=state.next_id(),
                repo_id=repo.id,
                issue_id=issue.id,
                author_id=actor.user.id,
                app_id=actor.viewer.app_id,
                body=body,
                created_at=now,
                updated_at=now,
            )
        )
        issue = state.put(replace(issue, updated_at=now))
        _tell_comment(actor, repo, issue=issue, comment_=said, action="created")
        return said


def edit_comment(actor: Actor, said: Comment, *, body: str) -> Comment:
    state = actor.state
    with state.lock:
        repo, issue = _require_own_comment(actor, said)
        check_body("IssueComment", body, required=True)
        if body == said.body:
            return said
        edited = state.put(replace(said, body=body, updated_at=state.clock()))
        changes: Json = {"changes": {"body": {"from": said.body}}}
        _tell_comment(actor, repo, issue=issue, comment_=edited, action="edited", members=changes)
        return edited


def delete_comment(actor: Actor, said: Comment) -> None:
    state = actor.state
    with state.lock:
        repo, issue = _require_own_comment(actor, said)
        # The payload shows the comment as it was, with its reactions.
        shown = shapes.comment(state, repo, of=said)
        for reaction in state.reactions("issue_comment", said.id):
            state.delete(reaction)
        state.delete(said)
        members: Json = {"issue": _issue(actor, repo, issue), "comment": shown}
        announce(actor, repo, event="issue_comment", action="deleted", members=members)


def react(
    actor: Actor, subject: Issue | Comment | ReviewComment | Review, *, content: str
) -> tuple[Reaction, bool]:
    """Leave a reaction; the flag says whether it is new. Reactions send no webhook."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, subject.repo_id)
        actor.require(repo, needs=_reaction_needs(actor, subject))
        known = _content(content)
        kind = subject_kind(subject)
        for reaction in state.reactions(kind, subject.id):
            if reaction.user_id == actor.user.id and reaction.content == known:
                return reaction, False
        given = Reaction(
            id=state.next_id(),
            subject=kind,
            subject_id=subject.id,
            user_id=actor.user.id,
            content=known,
            created_at=state.clock(),
        )
        return state.put(given), True


def unreact(actor: Actor, subject: Issue | Comment | ReviewComment | Review, *, reaction_id: int) -> None:
    """Take back one's own reaction."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, subject.repo_id)
        actor.require(repo, needs=_reaction_needs(actor, subject))
        reaction = state.find(Reaction, reaction_id)
        if reaction is None or (reaction.subject, reaction.subject_id) != (subject_kind(subject), subject.id):
            raise not_found()
        if reaction.user_id != actor.user.id and not actor.may(
            repo, needs=_reaction_needs(actor, subject), role="write"
        ):
            raise not_found()
        state.delete(reaction)


def subject_kind(subject: Issue | Comment | ReviewComment | Review) -> SubjectKind:
    match subject:
        case Issue():
            return "issue"
        case Comment():
            return "issue_comment"
        case ReviewComment():
            return "review_comment"
        case Review():
            return "review"


def label_of(actor: Actor, repo: Repository, *, name: str) -> Label | None:
    wanted = name.casefold()
    labels = actor.state.where(Label, repo_id=repo.id)
    return next((label for label in labels if label.name.casefold() == wanted), None)


def ensure_label(actor: Actor, repo: Repository, *, name: str) -> Label:
    """The label, made if it does not exist: putting a label on an issue makes it."""
    found = label_of(actor, repo, name=name)
    return found or actor.state.put(Label(id=actor.state.next_id(), repo_id=repo.id, name=name))


def create_label(
    actor: Actor, repo: Repository, *, name: str, color: str = "ededed", description: str | None = None
) -> Label:
    with actor.state.lock:
        actor.require(repo, needs=CONVERSATION_WRITE, role="write")
        if label_of(actor, repo, name=name):
            raise invalid("Label", "already_exists", field="name")
        return actor.state.put(
            Label(id=actor.state.next_id(), repo_id=repo.id, name=name, color=color, description=description)
        )


def edit_label(
    actor: Actor,
    label: Label,
    *,
    name: str | None = None,
    color: str | None = None,
    description: str | None = None,
) -> Label:
    with actor.state.lock:
        repo = actor.state.get(Repository, label.repo_id)
        actor.require(repo, needs=CONVERSATION_WRITE, role="write")
        return actor.state.put(
            replace(
                label,
                name=name or label.name,
                color=color or label.color,
                description=label.description if description is None else description,
            )
        )


def delete_label(actor: Actor, label: Label) -> None:
    with actor.state.lock:
        repo = actor.state.get(Repository, label.repo_id)
        actor.require(repo, needs=CONVERSATION_WRITE, role="write")
        for issue in actor.state.issues(repo):
            if label.id in issue.label_ids:
                kept = tuple(given for given in issue.label_ids if given != label.id)
                actor.state.put(replace(issue, label_ids=kept))
        actor.state.delete(label)


def set_labels(actor: Actor, issue: Issue, *, names: Sequence[str]) -> Issue:
    """Make these the labels; each one put on or taken off is told separately."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=needs_for(issue), role="triage")
        wanted = tuple(dict.fromkeys(ensure_label(actor, repo, name=name).id for name in names))
        before = issue.label_ids
        if wanted == before:
            return issue
        issue = state.put(replace(issue, label_ids=wanted, updated_at=state.clock()))
        for label_id in wanted:
            if label_id not in before:
                _tell_label(actor, repo, issue=issue, label_id=label_id, action="labeled")
        for label_id in before:
            if label_id not in wanted:
                _tell_label(actor, repo, issue=issue, label_id=label_id, action="unlabeled")
        return issue


def add_labels(actor: Actor, issue: Issue, *, names: Sequence[str]) -> Issue:
    present = [label.name for label in actor.state.labels(issue)]
    return set_labels(actor, issue, names=[*present, *names])


def remove_label(actor: Actor, issue: Issue, *, name: str) -> Issue:
    present = [label.name for label in actor.state.labels(issue)]
    kept = [known for known in present if known.casefold() != name.casefold()]
    if kept == present:
        raise Refused(404, "Label does not exist")
    return set_labels(actor, issue, names=kept)


def set_assignees(actor: Actor, issue: Issue, *, logins: Sequence[str]) -> Issue:
    state = actor.state
    with state.lock:
        repo = state.get(Repository, issue.repo_id)
        actor.require(repo, needs=needs_for(issue), role="triage")
        wanted = assignable(actor, repo, logins=logins)
        before = issue.assignee_ids
        issue = state.put(replace(issue, assignee_ids=wanted, updated_at=state.clock()))
        for user_id in wanted:
            if user_id not in before:
                _tell_assignee(actor, repo, issue=issue, user_id=user_id, action="assigned")
        for user_id in before:
            if user_id not in wanted:
                _tell_assignee(actor, repo, issue=issue, user_id=user_id, action="unassigned")
        return issue


def assignable(actor: Actor, repo: Repository, *, logins: Sequence[str]) -> tuple[int, ...]:
    """The ids of those among the logins who may be assigned; the others are silently left out."""
    found = []
    for login in logins:
        user = actor.state.user(login)
        if user and (user.id == repo.owner_id or user.id in repo.collaborators):
            found.append(user.id)
    return tuple(dict.fromkeys(found))


def minimize(actor: Actor, said: Comment | ReviewComment, *, reason: str | None) -> Comment | ReviewComment:
    """Hide a comment behind a reason, or show it again with None."""
    state = actor.state
    with state.lock:
        repo = state.get(Repository, said.repo_id)
        actor.require(repo, needs=CONVERSATION_WRITE, role="write")
        return state.put(replace(said, minimized_reason=reason))


def note(
    actor: Actor,
    issue: Issue,
    *,
    event: str,
    label_id: int | None = None,
    user_id: int | None = None,
    sha: str | None = None,
    before: str | None = None,
    after: str | None = None,
) -> None:
    """Write an entry of the issue's timeline."""
    actor.state.put(
        TimelineEvent(
            id=actor.state.next_id(),
            repo_id=issue.repo_id,
            issue_id=issue.id,
            actor_id=actor.user.id,
            event=event,
            created_at=actor.state.clock(),
            label_id=label_id,
            user_id=user_id,
            sha=sha,
            before=before,
            after=after,
        )
    )


def tell(actor: Actor, repo: Repository, *, issue: Issue, action: str, members: Json | None = None) -> None:
    """Announce what happened to an issue, or to a pull request in its own event."""
    if issue.pull is None:
        about: Json = {"issue": _issue(actor, repo, issue)}
        announce(actor, repo, event="issues", action=action, members=about | (members or {}))
        return
    about = {"number": issue.number, "pull_request": shapes.pull(actor.state, repo, of=issue)}
    announce(actor, repo, event="pull_request", action=action, members=about | (members or {}))


def _issue(actor: Actor, repo: Repository, issue: Issue) -> Json:
    return shapes.issue(actor.state, repo, of=issue)


def _label(actor: Actor, repo: Repository, label: Label) -> Json:
    return shapes.label(actor.state, repo, of=label)


def _tell_comment(
    actor: Actor,
    repo: Repository,
    *,
    issue: Issue,
    comment_: Comment,
    action: str,
    members: Json | None = None,
) -> None:
    about: Json = {
        "issue": _issue(actor, repo, issue),
        "comment": shapes.comment(actor.state, repo, of=comment_),
    }
    announce(actor, repo, event="issue_comment", action=action, members=about | (members or {}))


def _tell_label(actor: Actor, repo: Repository, *, issue: Issue, label_id: int, action: str) -> None:
    label = actor.state.get(Label, label_id)
    note(actor, issue, event=action, label_id=label_id)
    tell(actor, repo, issue=issue, action=action, members={"label": _label(actor, repo, label)})


def _tell_assignee(actor: Actor, repo: Repository, *, issue: Issue, user_id: int, action: str) -> None:
    note(actor, issue, event=action, user_id=user_id)
    members: Json = {"assignee": shapes.user_by_id(actor.state, user_id)}
    tell(actor, repo, issue=issue, action=action, members=members)


def _require_author_or(
    actor: Actor, repo: Repository, *, issue: Issue, role: Literal["triage", "write"]
) -> None:
    """Authors may change what they wrote; others need the role. Apps need the permission in any case."""
    needs = PULLS_WRITE if issue.pull else ISSUES_WRITE
    mine = actor.viewer.installation is None and issue.author_id == actor.user.id
    actor.require(repo, needs=needs, role="read" if mine else role)


def _require_own_comment(actor: Actor, said: Comment) -> tuple[Repository, Issue]:
    repo = actor.state.get(Repository, said.repo_id)
    issue = actor.state.get(Issue, said.issue_id)
    mine = said.author_id == actor.user.id
    actor.require(repo, needs=needs_for(issue), role="read" if mine else "write", otherwise=ADMIN_RIGHTS)
    return repo, issue


def _reaction_needs(actor: Actor, subject: Issue | Comment | ReviewComment | Review) -> Needs:
    match subject:
        case Issue():
            return needs_for(subject)
        case Comment():
            return needs_for(actor.state.get(Issue, subject.issue_id))
        case ReviewComment() | Review():
            return PULLS_WRITE


def _content(text: str) -> Content:
    for known in CONTENTS:
        if known == text:
            return known
    raise invalid("Reaction", "invalid", field="content", value=text)
