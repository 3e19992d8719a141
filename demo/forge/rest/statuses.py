"""Commit statuses over REST."""

from __future__ import annotations

from demo.forge import shapes
from demo.forge.actions import statuses as act
from demo.forge.refusals import invalid
from demo.forge.rest.call import Answer, Call, Operation, operation


def create(call: Call) -> Answer:
    status = act.create_status(
        call.actor,
        call.repo,
        sha=call.params["sha"],
        state=_state(call.required("state")),
        context=call.text("context") or "default",
        description=call.text("description"),
        target_url=call.text("target_url"),
    )
    body = shapes.commit_status(call.state, call.repo, of=status)
    return Answer(status=201, body=body, headers={"location": str(body["url"])})


def _state(text: str) -> act.StatusState:
    match text:
        case "error" | "failure" | "pending" | "success":
            return text
        case _:
            raise invalid("Status", "invalid", field="state", value=text)


def list_for_ref(call: Call) -> Answer:
    found = act.statuses_of(call.state, call.repo, call.sha(call.params["ref"]))
    return call.listing(found, lambda one: shapes.commit_status(call.state, call.repo, of=one))


def combined(call: Call) -> Answer:
    sha = call.sha(call.params["ref"])
    latest = act.latest_of(call.state, call.repo, sha)
    return Answer(body=shapes.combined_status(call.state, call.repo, sha=sha, latest=latest))


_REPO = "/repos/{owner}/{repo}"

OPERATIONS: tuple[Operation, ...] = (
    operation("repos/create-commit-status", "POST", f"{_REPO}/statuses/{{sha}}", route=create),
    operation(
        "repos/list-commit-statuses-for-ref", "GET", f"{_REPO}/commits/{{ref}}/statuses", route=list_for_ref
    ),
    operation("repos/get-combined-status-for-ref", "GET", f"{_REPO}/commits/{{ref}}/status", route=combined),
)
