"""Pull requests over REST: list, open, change, files, commits, reviewers, merge."""

from __future__ import annotations

from demo.forge import shapes
from demo.forge.actions import issues as issue_act
from demo.forge.actions import pulls as act
from demo.forge.refusals import Refused, invalid, not_found
from demo.forge.rest.call import NO_CONTENT, Answer, Call, Operation, not_supplied, operation
from demo.forge.rest.issues import change_state, sort
from demo.forge.shapes import pull_of
from demo.forge.state import Issue, User


def list_pulls(call: Call) -> Answer:
    wanted = call.query.get("state", "open")
    pulls = [issue for issue in call.state.issues(call.repo) if issue.pull and wanted in {"all", issue.state}]
    if head := call.query.get("head"):
        pulls = [issue for issue in pulls if _is_from(call, issue, head)]
    if base := call.query.get("base"):
        pulls = [issue for issue in pulls if pull_of(issue).base_ref == base]
    ordered = sort(call, pulls)
    return call.listing(ordered, lambda issue: shapes.pull_simple(call.state, call.repo, of=issue))


def _is_from(call: Call, issue: Issue, head: str) -> bool:
    """`owner:branch`; anything without an owner filters nothing, as on github.com."""
    login, colon, branch = head.partition(":")
    if not colon:
        return True
    pull = pull_of(issue)
    owner = call.state.find(User, pull.head_owner_id)
    return owner is not None and owner.login.casefold() == login.casefold() and pull.head_ref == branch


def create_pull(call: Call) -> Answer:
    missing = [name for name in ("head", "base") if call.text(name) is None]
    if missing:
        raise not_supplied(*missing)
    head, base = call.required("head"), call.required("base")
    issue = act.open_pull(
        call.actor,
        call.repo,
        head=head,
        base=base,
        title=call.text("title"),
        body=call.text("body"),
        draft=call.flag("draft") or False,
        maintainer_can_modify=call.flag("maintainer_can_modify") or False,
    )
    body = shapes.pull(call.state, call.repo, of=issue)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def get_pull(call: Call) -> Answer:
    issue = call.pull
    pull = pull_of(issue)
    if call.wants("diff"):
        against = shapes.comparison(call.state, call.repo, pull=pull)
        text = call.git.diff(against.merge_base, pull.head_sha)
        return Answer(text=text, media_type="application/vnd.github.diff; charset=utf-8")
    if call.wants("patch"):
        text = call.git.patch(pull.base_sha, pull.head_sha)
        return Answer(text=text, media_type="application/vnd.github.patch; charset=utf-8")
    answer = Answer(body=shapes.pull(call.state, call.repo, of=issue))
    # Looking starts the test merge, whose result the next look sees:
    # https://docs.github.com/en/rest/guides/using-the-rest-api-to-interact-with-your-git-database
    act.find_mergeable(call.state, issue)
    return answer


def update_pull(call: Call) -> Answer:
    issue = issue_act.edit_issue(call.actor, call.pull, title=call.text("title"), body=call.text("body"))
    base, allowed = call.text("base"), call.flag("maintainer_can_modify")
    if base is not None:
        issue = act.change_base(call.actor, issue, base=base)
    if allowed is not None:
        issue = act.set_maintainer_can_modify(call.actor, issue, allowed=allowed)
    issue = change_state(call, issue)
    return Answer(body=shapes.pull(call.state, call.repo, of=issue))


def list_files(call: Call) -> Answer:
    pull = pull_of(call.pull)
    files = shapes.comparison(call.state, call.repo, pull=pull).files
    return call.listing(
        files, lambda file: shapes.diff_entry(call.state, call.repo, sha=pull.head_sha, file=file)
    )


def list_commits(call: Call) -> Answer:
    pull = pull_of(call.pull)
    # At most 250: https://docs.github.com/en/rest/pulls/pulls#list-commits-on-a-pull-request
    commits = call.git.log(f"{pull.base_sha}..{pull.head_sha}", limit=250)[::-1]
    return call.listing(commits, lambda commit: shapes.commit(call.state, call.repo, commit=commit))


def check_merged(call: Call) -> Answer:
    if pull_of(call.pull).merged_at is None:
        raise not_found()
    return NO_CONTENT


def merge(call: Call) -> Answer:
    issue = act.merge(
        call.actor,
        call.pull,
        method=_method(call),
        expected_head=call.text("sha"),
        title=call.text("commit_title"),
        message=call.text("commit_message"),
    )
    sha = pull_of(issue).merge_commit_sha
    return Answer(body={"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


def _method(call: Call) -> act.MergeMethod:
    match call.text("merge_method"):
        case None | "merge":
            return "merge"
        case "squash":
            return "squash"
        case "rebase":
            return "rebase"
        case other:
            raise invalid("PullRequest", "invalid", field="merge_method", value=other)


def update_branch(call: Call) -> Answer:
    act.update_branch(call.actor, call.pull, expected_head=call.text("expected_head_sha"))
    url = f"{shapes.url(call.state, call.repo)}/pulls/{call.pull.number}"
    return Answer(status=202, body={"message": "Updating pull request branch.", "url": url})


# The description knows no body for this refusal.
_NOT_A_COLLABORATOR = Answer(status=422, text="", media_type="text/plain")


def list_reviewers(call: Call) -> Answer:
    users = [shapes.user_by_id(call.state, one) for one in pull_of(call.pull).requested_reviewer_ids]
    return Answer(body={"users": users, "teams": []})


def request_reviewers(call: Call) -> Answer:
    if call.texts("team_reviewers"):
        return _NOT_A_COLLABORATOR
    try:
        issue = act.request_reviewers(call.actor, call.pull, logins=call.texts("reviewers") or [])
    except Refused as refused:
        if refused.status != 422:
            raise
        return _NOT_A_COLLABORATOR
    return Answer(status=201, body=shapes.pull_simple(call.state, call.repo, of=issue))


def remove_reviewers(call: Call) -> Answer:
    issue = act.remove_reviewers(call.actor, call.pull, logins=call.texts("reviewers") or [])
    return Answer(body=shapes.pull_simple(call.state, call.repo, of=issue))


_REPO = "/repos/{owner}/{repo}"
_PULL = f"{_REPO}/pulls/{{pull_number}}"

OPERATIONS: tuple[Operation, ...] = (
    operation("pulls/list", "GET", f"{_REPO}/pulls", route=list_pulls),
    operation("pulls/create", "POST", f"{_REPO}/pulls", route=create_pull),
    operation("pulls/get", "GET", _PULL, route=get_pull),
    operation("pulls/update", "PATCH", _PULL, route=update_pull),
    operation("pulls/list-files", "GET", f"{_PULL}/files", route=list_files),
    operation("pulls/list-commits", "GET", f"{_PULL}/commits", route=list_commits),
    operation("pulls/check-if-merged", "GET", f"{_PULL}/merge", route=check_merged),
    operation("pulls/merge", "PUT", f"{_PULL}/merge", route=merge),
    operation("pulls/update-branch", "PUT", f"{_PULL}/update-branch", route=update_branch),
    operation("pulls/list-requested-reviewers", "GET", f"{_PULL}/requested_reviewers", route=list_reviewers),
    operation("pulls/request-reviewers", "POST", f"{_PULL}/requested_reviewers", route=request_reviewers),
    operation(
        "pulls/remove-requested-reviewers", "DELETE", f"{_PULL}/requested_reviewers", route=remove_reviewers
    ),
)
