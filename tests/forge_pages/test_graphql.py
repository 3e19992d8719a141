"""GraphQL tells what a bot asks about a conversation, does what REST cannot, and errs as GitHub does."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import pytest

from demo.forge import Forge
from demo.forge.actions import issues, reviews
from demo.forge.faults import FaultKind
from demo.forge.state import Comment, ReviewComment, ThreadResolution
from tests.forge_pages.conftest import acting, issue

ASKED_OF_A_PULL = """
query($number: Int!) {
  repository(owner: "maya", name: "inventory") {
    pullRequest(number: $number) {
      title body isDraft state merged author { login __typename }
      baseRefName headRefName
      comments(first: 10) { totalCount nodes { body lastEditedAt author { login } } }
      reviews(first: 10) { nodes { state body author { login } } }
      reviewThreads(first: 10) {
        nodes { isResolved isOutdated path line comments(first: 10) { nodes { body author { login } } } }
      }
      files(first: 10) { nodes { path additions deletions changeType } }
      commits(last: 1) { nodes { commit { messageHeadline } } }
    }
  }
}
"""


@pytest.fixture
async def maya(forge: Forge) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"bearer {forge.tokens['maya']}"}
    async with httpx2.AsyncClient(base_url=forge.url, headers=headers) as client:
        yield client


async def ask(client: httpx2.AsyncClient, query: str, **variables: object) -> dict[str, Any]:
    answer = await client.post("/api/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def errors(told: Mapping[str, Any]) -> list[tuple[str | None, str]]:
    return [(error.get("type"), error["message"]) for error in told["errors"]]


async def test_read_a_pull_request(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """One question tells all of a pull request: texts, reviews, threads with their state, files, commits."""
    draft = reviews.Draft(path="shop/cart.py", side="RIGHT", line=6, body="Empty?")
    reviews.review(acting(forge, "cole"), issue(forge, 2), event="COMMENT", body="Hm.", comments=[draft])
    issues.comment(acting(forge, "maya"), issue(forge, 2), body="Thanks!")
    assert (await ask(maya, ASKED_OF_A_PULL, number=2))["data"]["repository"]["pullRequest"] == {
        "title": "Count the first price",
        "body": "Fixes #1",
        "isDraft": True,
        "state": "OPEN",
        "merged": False,
        "author": {"login": "darner", "__typename": "Bot"},
        "baseRefName": "main",
        "headRefName": "darner/1-abc",
        "comments": {
            "totalCount": 1,
            "nodes": [{"body": "Thanks!", "lastEditedAt": None, "author": {"login": "maya"}}],
        },
        "reviews": {"nodes": [{"state": "COMMENTED", "body": "Hm.", "author": {"login": "cole"}}]},
        "reviewThreads": {
            "nodes": [
                {
                    "isResolved": False,
                    "isOutdated": False,
                    "path": "shop/cart.py",
                    "line": 6,
                    "comments": {"nodes": [{"body": "Empty?", "author": {"login": "cole"}}]},
                }
            ]
        },
        "files": {
            "nodes": [{"path": "shop/cart.py", "additions": 1, "deletions": 1, "changeType": "MODIFIED"}]
        },
        "commits": {"nodes": [{"commit": {"messageHeadline": "Count the first price"}}]},
    }


async def test_page_through_comments(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """A connection is read page by page from its end cursor on, and says when there is no more."""
    for text in ("two", "three"):
        issues.comment(acting(forge, "maya"), issue(forge, 1), body=text)
    query = """query($after: String) { repository(owner: "maya", name: "inventory") { issue(number: 1) {
        comments(first: 2, after: $after) { nodes { body } pageInfo { hasNextPage endCursor } } } } }"""
    first = (await ask(maya, query))["data"]["repository"]["issue"]["comments"]
    assert [comment["body"] for comment in first["nodes"]] == ["I see it too.", "two"]
    assert first["pageInfo"]["hasNextPage"]
    second = (await ask(maya, query, after=first["pageInfo"]["endCursor"]))["data"]["repository"]["issue"][
        "comments"
    ]
    assert [comment["body"] for comment in second["nodes"]] == ["three"]
    assert not second["pageInfo"]["hasNextPage"]


async def test_find_by_global_id(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """The node id that REST gives leads to the same comment here; a made-up one leads nowhere."""
    said = forge.state.comments(issue(forge, 1))[0]
    listed = await maya.get("/api/v3/repos/maya/inventory/issues/1/comments")
    query = "query($id: ID!) { node(id: $id) { __typename ... on IssueComment { databaseId } } }"
    told = await ask(maya, query, id=listed.json()[0]["node_id"])
    assert told == {"data": {"node": {"__typename": "IssueComment", "databaseId": said.id}}}
    told = await ask(maya, query, id="IC_nothing")
    assert errors(told) == [("NOT_FOUND", "Could not resolve to a node with the global id of 'IC_nothing'.")]


async def test_resolve_and_reopen_a_thread(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """A review thread is answered, resolved and unresolved: the deeds that REST does not have."""
    said = reviews.comment_line(
        acting(forge, "cole"), issue(forge, 2), path="shop/cart.py", side="RIGHT", line=6, body="Empty?"
    )
    query = """{ repository(owner: "maya", name: "inventory") { pullRequest(number: 2) {
        reviewThreads(first: 1) { nodes { id } } } } }"""
    told = await ask(maya, query)
    thread = told["data"]["repository"]["pullRequest"]["reviewThreads"]["nodes"][0]["id"]
    reply = """mutation($id: ID!) { addPullRequestReviewThreadReply(input: {
        pullRequestReviewThreadId: $id, body: "Gives 0.", clientMutationId: "m1" }) {
        clientMutationId comment { body replyTo { databaseId } } } }"""
    assert (await ask(maya, reply, id=thread))["data"]["addPullRequestReviewThreadReply"] == {
        "clientMutationId": "m1",
        "comment": {"body": "Gives 0.", "replyTo": {"databaseId": said.id}},
    }
    for deed, resolved in (("resolveReviewThread", True), ("unresolveReviewThread", False)):
        mutation = f"mutation($id: ID!) {{ {deed}(input: {{threadId: $id}}) {{ thread {{ isResolved }} }} }}"
        assert (await ask(maya, mutation, id=thread))["data"] == {deed: {"thread": {"isResolved": resolved}}}
        assert bool(forge.state.all(ThreadResolution)) == resolved
    assert [comment.body for comment in forge.state.all(ReviewComment)] == ["Empty?", "Gives 0."]


async def test_hide_a_comment(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """A minimised comment says why it is hidden."""
    listed = await maya.get("/api/v3/repos/maya/inventory/issues/1/comments")
    mutation = """mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) {
        minimizedComment { isMinimized minimizedReason } } }"""
    told = await ask(maya, mutation, id=listed.json()[0]["node_id"])
    assert told["data"]["minimizeComment"]["minimizedComment"] == {
        "isMinimized": True,
        "minimizedReason": "outdated",
    }
    assert [comment.minimized_reason for comment in forge.state.all(Comment)] == ["OUTDATED"]


async def test_make_a_draft_ready_and_a_draft_again(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """Draft and ready are changed here and nowhere else in GitHub's API."""
    pull = (await maya.get("/api/v3/repos/maya/inventory/pulls/2")).json()["node_id"]
    for deed, is_draft in (("markPullRequestReadyForReview", False), ("convertPullRequestToDraft", True)):
        mutation = (
            f"mutation($id: ID!) {{ {deed}(input: {{pullRequestId: $id}}) {{ pullRequest {{ isDraft }} }} }}"
        )
        assert (await ask(maya, mutation, id=pull))["data"] == {deed: {"pullRequest": {"isDraft": is_draft}}}


async def test_who_asks_and_what_is_left(maya: httpx2.AsyncClient) -> None:
    """The viewer is the token's owner, and the hour's points are told with a time in whole seconds, UTC."""
    told = await ask(maya, "{ viewer { login } rateLimit { limit resetAt } }")
    assert (told["data"]["viewer"]["login"], told["data"]["rateLimit"]["limit"]) == ("maya", 5000)
    assert told["data"]["rateLimit"]["resetAt"].endswith("Z")


async def test_what_is_not_there(maya: httpx2.AsyncClient) -> None:
    """What cannot be found answers 200 with null, an error of type NOT_FOUND and its path."""
    told = await ask(maya, '{ repository(owner: "maya", name: "nothing") { id } }')
    assert told == {
        "data": {"repository": None},
        "errors": [
            {
                "type": "NOT_FOUND",
                "path": ["repository"],
                "locations": [{"line": 1, "column": 3}],
                "message": "Could not resolve to a Repository with the name 'maya/nothing'.",
            }
        ],
    }


async def test_an_issue_is_no_pull_request(maya: httpx2.AsyncClient) -> None:
    """Issues and pull requests share numbers, but not fields."""
    told = await ask(maya, ASKED_OF_A_PULL, number=1)
    assert errors(told) == [("NOT_FOUND", "Could not resolve to a PullRequest with the number of 1.")]


async def test_an_outsider_may_not(forge: Forge) -> None:
    """A deed that the asker may not do is refused with FORBIDDEN, and not done."""
    headers = {"Authorization": f"bearer {forge.tokens['oskar']}"}
    async with httpx2.AsyncClient(base_url=forge.url, headers=headers) as oskar:
        pull = (await oskar.get("/api/v3/repos/maya/inventory/pulls/2")).json()["node_id"]
        mutation = """mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) {
            pullRequest { isDraft } } }"""
        told = await ask(oskar, mutation, id=pull)
    assert [kind for kind, _ in errors(told)] == ["FORBIDDEN"]
    pull_now = issue(forge, 2).pull
    assert pull_now is not None
    assert pull_now.draft


@pytest.mark.parametrize(
    ("query", "type_", "part"),
    [
        ("{ repository(owner: 1", None, "Syntax Error"),
        ("{ viewer { logn } }", None, "Cannot query field 'logn'"),
        (
            '{ repository(owner: "maya", name: "inventory") { issues { totalCount } } }',
            "MISSING_PAGINATION_BOUNDARIES",
            "`first` or `last`",
        ),
        (
            '{ repository(owner: "maya", name: "inventory") { issues(first: 101) { totalCount } } }',
            "EXCESSIVE_PAGINATION",
            "100 records",
        ),
        (
            '{ repository(owner: "maya", name: "inventory") { issues(first: 1, after: "") { totalCount } } }',
            "INVALID_CURSOR_ARGUMENTS",
            "valid cursor",
        ),
        (
            '{ repository(owner: "maya", name: "inventory") { diskUsage } }',
            "NOT_BUILT",
            "no answer to Repository.diskUsage",
        ),
    ],
)
async def test_refused_queries(forge: Forge, query: str, type_: str | None, part: str) -> None:
    """A query that GitHub would not run is answered 200 with the reason; what the forge lacks says so."""
    headers = {"Authorization": f"bearer {forge.tokens['maya']}"}
    async with httpx2.AsyncClient(base_url=forge.url, headers=headers) as client:
        ((kind, message),) = errors(await ask(client, query))
    assert (kind, part in message) == (type_, True)


async def test_nobody_may_ask_without_a_token(forge: Forge) -> None:
    """Not even what is public: GitHub's GraphQL wants to know who asks."""
    async with httpx2.AsyncClient(base_url=forge.url) as anyone:
        answer = await anyone.post("/api/graphql", json={"query": "{ viewer { login } }"})
    assert (answer.status_code, answer.json()["message"]) == (
        401,
        "This endpoint requires you to be authenticated.",
    )


async def test_faults_strike_here_too(forge: Forge, maya: httpx2.AsyncClient) -> None:
    """The fault switches that hold for REST hold for GraphQL."""
    forge.faults.add(FaultKind.BAD_GATEWAY, path="/api/graphql")
    answer = await maya.post("/api/graphql", json={"query": "{ viewer { login } }"})
    assert answer.status_code == 502
