"""The validators take what GitHub publishes and recorded, and refuse what it would not send or accept."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import orjson
import pytest

from tests.github.descriptions import DATA, Descriptions, Operation, Violation

AGENT = {"User-Agent": "darner/1"}
JSON = {"content-type": "application/json; charset=utf-8"}
HEADERS = {
    "User-Agent": "GitHub-Hookshot/abc1234",
    "X-GitHub-Hook-ID": "12",
    "X-GitHub-Event": "issue_comment",
    "X-GitHub-Hook-Installation-Target-ID": "34",
    "X-GitHub-Hook-Installation-Target-Type": "integration",
    "X-GitHub-Delivery": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
    "X-Hub-Signature-256": "sha256=" + "6d" * 32,
}
# 227 of the 1,040 examples of GitHub's full description contradict their own schemas. These are ours of them.
CONTRADICTED = {
    "actions/get-job-for-workflow-run 200",
    "actions/list-jobs-for-workflow-run 200",
    "actions/re-run-workflow 201",
    "actions/re-run-workflow-failed-jobs 201",
    "apps/list-installations 200",
    "apps/redeliver-webhook-delivery 202",
    "checks/rerequest-run 201",
    "issues/get 200",
    "meta/get 200",
    "orgs/get 200",
    "pulls/create 201",
    "pulls/get 200",
    "pulls/list 200",
    "pulls/list-requested-reviewers 200",
    "pulls/remove-requested-reviewers 200",
    "pulls/request-reviewers 201",
    "pulls/update 200",
    "repos/create-for-authenticated-user 201",
    "repos/create-fork 202",
    "repos/create-in-org 201",
    "repos/get 200",
    "repos/get-branch-protection 200",
    "repos/get-collaborator-permission-level 200",
    "repos/get-commit 200",
    "repos/list-branches 200",
    "repos/list-pull-requests-associated-with-commit 200",
    "repos/merge 201",
    "repos/redeliver-webhook-delivery 202",
    "repos/update 200",
}


@pytest.fixture(scope="module")
def github() -> Descriptions:
    return Descriptions.load()


@cache
def described() -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((DATA / "openapi.trimmed.json").read_bytes())
    return content


def webhooks() -> list[Any]:
    return [
        pytest.param(entry, id=entry["file"])
        for entry in orjson.loads((DATA / "webhooks/index.json").read_bytes())
    ]


def recorded() -> list[Any]:
    return [
        pytest.param(exchange, id=f"{file.stem}-{number}")
        for file in sorted((DATA / "recordings").iterdir())
        for number, exchange in enumerate(orjson.loads(file.read_bytes()))
    ]


def operation(github: Descriptions, name: str) -> Operation:
    return next(found for found in github.operations if found.id == name)


def told(problems: list[Violation]) -> list[str]:
    return [str(problem) for problem in problems]


def test_each_described_path_is_found_again(github: Descriptions) -> None:
    """A path made from each of the 170 templates leads back to its operation and to no other."""
    for known in github.operations:
        path = known.template.replace("{basehead}", "main...topic")
        for parameter in known.of("path"):
            path = path.replace(f"{{{parameter.name}}}", "7")
        assert github.match(known.method, path) == known


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/repos/o/r/contents/src/deep/file.py", "repos/get-content"),
        ("GET", "/repos/o/r/contents/", "repos/get-content"),
        ("get", "/repos/o/r/git/ref/heads/darner/1-2", "git/get-ref"),
        ("GET", "/repos/o/r/compare/main...feature/x", "repos/compare-commits-with-basehead"),
        ("GET", "/repositories/1000/issues?page=2", "issues/list-for-repo"),
        ("GET", "/repositories/1000", "repos/get"),
        ("GET", "/repos/o/r/issues/comments/5", "issues/get-comment"),
        ("GET", "/repos/o/r/branches/a/rename", None),
        ("GET", "/repos/o/r/git/ref/", None),
        ("POST", "/repos/o/r/issues/1/coments", None),
        ("DELETE", "/repos/o/r/issues/1", None),
    ],
)
def test_find_operation(github: Descriptions, method: str, path: str, name: str | None) -> None:
    """Paths lead to operations as GitHub routes them: across slashes, by repository id, or nowhere."""
    found = github.match(method, path)
    assert (found.id if found else None) == name


@pytest.mark.parametrize(
    ("method", "url", "body", "problems"),
    [
        ("POST", "/repos/o/r/issues/1/comments", {"body": "hello"}, []),
        ("POST", "/repos/o/r/issues/1/labels", ["bug"], []),
        ("GET", "/repos/o/r/issues?state=open&per_page=100&page=2", None, []),
        (
            "POST",
            "/repos/o/r/issues/1/comments",
            {"body": "hello", "bdy": 1},
            ["member bdy: is in no description"],
        ),
        ("POST", "/repos/o/r/issues/1/comments", {}, ['body: "body" is a required property']),
        ("POST", "/repos/o/r/issues/1/comments", None, ["body: is required"]),
        ("POST", "/repos/o/r/issues/1/comments", {"body": 3}, ['body body: 3 is not of type "string"']),
        (
            "POST",
            "/repos/o/r/issues/one/comments",
            {"body": "hello"},
            ['path issue_number: "one" is not of type "integer"'],
        ),
        (
            "GET",
            "/repos/o/r/issues?stat=open",
            None,
            ["query stat: issues/list-for-repo has no such query parameter"],
        ),
        (
            "GET",
            "/repos/o/r/issues?state=opened",
            None,
            ['query state: "opened" is not one of "open", "closed" or "all"'],
        ),
        ("GET", "/repos/o/r/issues?per_page=many", None, ['query per_page: "many" is not of type "integer"']),
        ("GET", "/search/issues", None, ["query q: is required"]),
        ("GET", "/repos/o/r", {"x": 1}, ["body: repos/get takes no body"]),
        ("POST", "/repos/o/r/nothing", {}, ["route: GitHub describes no POST /repos/o/r/nothing"]),
        (
            "POST",
            "/repos/o/r/check-runs",
            {"name": "darner", "head_sha": "abc", "output": {"title": "t", "summary": "s", "sumary": "s"}},
            ["member output/sumary: is in no description"],
        ),
        (
            "POST",
            "/repos/o/r/pulls/1/reviews",
            {"event": "COMMENT", "comments": [{"path": "a.py", "body": "x", "lines": 3}]},
            ["member comments/*/lines: is in no description"],
        ),
    ],
)
def test_judge_request(
    github: Descriptions, method: str, url: str, body: object, problems: list[str]
) -> None:
    """A request is judged by path, query and body, and a misspelt member is found however deep it lies."""
    content = b"" if body is None else orjson.dumps(body)
    assert told(github.check_request(method, url, AGENT, content)) == problems


def test_judge_request_headers(github: Descriptions) -> None:
    """GitHub refuses a request without user agent; another API version is not the one described."""
    assert told(github.check_request("GET", "/zen", {"x-github-api-version": "2026-03-10"}, b"")) == [
        "header User-Agent: is required: GitHub refuses a request without it",
        "header X-GitHub-Api-Version: 2026-03-10 is not the described 2022-11-28",
    ]


def test_judge_body_that_is_no_json(github: Descriptions) -> None:
    """A body that cannot be parsed is a violation, not a crash."""
    (problem,) = github.check_request("POST", "/repos/o/r/issues", AGENT, b'{"title": ')
    assert str(problem).startswith("body: is not JSON")


def test_take_examples_of_requests(github: Descriptions) -> None:
    """Each request body that the documentation shows is one that the validator takes."""
    shown = 0
    for known in github.operations:
        body = described()["paths"][known.template][known.method.lower()].get("requestBody")
        for example in _examples(body["content"]["application/json"]) if body else ():
            url = _sample_url(known)
            problems = github.check_request(known.method, url, AGENT, orjson.dumps(example))
            assert [str(problem) for problem in problems if problem.rule in {"body", "member"}] == []
            shown += 1
    assert shown == 54


def test_take_examples_of_answers(github: Descriptions) -> None:
    """The documentation's answers are taken, but for the known ones that contradict their own schemas."""
    refused, shown = set(), 0
    for known in github.operations:
        for status, answer in described()["paths"][known.template][known.method.lower()]["responses"].items():
            content = _resolved(answer).get("content", {}).get("application/json", {})
            for example in _examples(content):
                shown += 1
                found = github.check_response(known, int(status), JSON, orjson.dumps(example))
                if any(problem.rule != "member" for problem in found):
                    refused.add(f"{known.id} {status}")
    assert refused == CONTRADICTED
    assert shown > 140


@pytest.mark.parametrize("exchange", recorded())
def test_take_recordings(github: Descriptions, exchange: Mapping[str, Any]) -> None:
    """What api.github.com was recorded to take is a legal request, for each operation in the description."""
    if exchange["scope"] != "https://api.github.com:443" or exchange["path"] == "/markdown/raw":
        assert github.match(exchange["method"], exchange["path"]) is None
        return
    body = orjson.dumps(exchange["body"]) if exchange["body"] else b""
    problems = github.check_request(exchange["method"], exchange["path"].removesuffix("/refs/"), AGENT, body)
    assert told([problem for problem in problems if problem.rule != "route"]) == []


def test_refuse_answers(github: Descriptions) -> None:
    """Wrong type, missing member, unknown member, wrong status, body where there is none: each is told."""
    reaction = {
        "id": 1,
        "node_id": "x",
        "user": None,
        "content": "eyes",
        "created_at": "2026-01-01T00:00:00Z",
    }
    create = operation(github, "reactions/create-for-issue-comment")

    def judged(status: int, body: bytes, headers: Mapping[str, str] = JSON) -> list[str]:
        return told(github.check_response(create, status, headers, body))

    assert judged(201, orjson.dumps(reaction)) == []
    assert judged(201, orjson.dumps(reaction | {"content": "+2"})) == [
        'body content: "+2" is not one of "+1", "-1" or 6 other candidates'
    ]
    assert judged(201, orjson.dumps(reaction | {"created_at": "yesterday"})) == [
        'body created_at: "yesterday" is not a "date-time"'
    ]
    assert judged(201, orjson.dumps(reaction | {"url": "https://x"})) == ["member url: is in no description"]
    assert judged(201, b"{}")[0] == 'body: "id" is a required property'
    assert judged(201, b"<html>")[0].startswith("body: is not JSON")
    assert judged(201, b"x", {"content-type": "text/html"}) == [
        "media: 201 answers with text/html, not application/json"
    ]
    assert judged(418, b"") == [
        "status 418: reactions/create-for-issue-comment is not described to answer so"
    ]
    assert judged(502, b"<html>") == []
    merge = operation(github, "pulls/merge")
    refused = b'{"message": "Base branch was modified", "documentation_url": "https://d", "status": "409"}'
    assert told(github.check_response(merge, 409, JSON, refused)) == []
    diff = {"content-type": "application/vnd.github.diff; charset=utf-8"}
    assert told(github.check_response(operation(github, "pulls/get"), 200, diff, b"diff --git")) == []
    assert judged(401, b'{"message":"Bad credentials","documentation_url":"https://d","status":"401"}') == []
    assert judged(401, b'{"message":1}') == ['body message: 1 is not of type "string"']
    assert told(github.check_response(operation(github, "repos/delete"), 204, {}, b"x")) == [
        "body: 204 is described to have none"
    ]


def test_excuse_known_deviations(github: Descriptions) -> None:
    """A pull request from a deleted fork has `head.repo` null: GitHub sends it though it does not say so."""
    example = next(
        _examples(
            described()["paths"]["/repos/{owner}/{repo}/pulls"]["get"]["responses"]["200"]["content"][
                "application/json"
            ]
        )
    )
    example[0]["head"]["repo"] = None
    example[0]["requested_teams"] = []
    example[0]["base"]["repo"] = None
    found = github.check_response(operation(github, "pulls/list"), 200, JSON, orjson.dumps(example))
    known = {problem.where: problem.excuse is not None for problem in found if problem.rule == "body"}
    assert known == {"*/head/repo": True, "*/base/repo": False}


@pytest.mark.parametrize("entry", webhooks())
def test_judge_published_webhooks(github: Descriptions, entry: Mapping[str, Any]) -> None:
    """Of the 53 payloads the validator takes those that the official schema accepts, and no others."""
    payload = orjson.loads((DATA / "webhooks" / entry["file"]).read_bytes())
    found = github.check_webhook(entry["event"], payload, HEADERS | {"X-GitHub-Event": entry["event"]})
    refused = [problem for problem in found if problem.rule != "member"]
    assert (not refused) == (entry["official_schema"] == "valid")


def test_refuse_webhooks(github: Descriptions) -> None:
    """An unknown event, an unknown action, a missing or malformed header, an unknown member: each is told."""
    payload = orjson.loads((DATA / "webhooks/01-issue_comment.created.json").read_bytes())

    def judged(event: str, changed: Mapping[str, object], headers: Mapping[str, str]) -> list[str]:
        return told(github.check_webhook(event, payload | changed, headers))

    assert judged("issue_comment", {}, HEADERS) == []
    assert judged("issue_comment", {"isue": 1}, HEADERS) == ["member isue: is in no description"]
    assert judged("issue_comment", {"sender": None}, HEADERS) == ['body sender: null is not of type "object"']
    assert judged("issue_comment", {"action": "crated"}, HEADERS) == [
        "route: GitHub describes no event issue_comment.crated"
    ]
    unsigned = {name: value for name, value in HEADERS.items() if name != "X-Hub-Signature-256"}
    assert judged("issue_comment", {}, unsigned) == ["header X-Hub-Signature-256: is required"]
    assert judged("issue_comment", {}, HEADERS | {"X-GitHub-Delivery": "7"})[0].startswith(
        "header X-GitHub-Delivery: 7 is not of the form"
    )


def test_take_the_ping_of_a_hook_without_secret(github: Descriptions) -> None:
    """Nothing can be signed without a secret; every other delivery must be."""
    payload = orjson.loads((DATA / "webhooks/39-ping.none.json").read_bytes())
    unsigned = {name: value for name, value in HEADERS.items() if name != "X-Hub-Signature-256"}
    unsigned["X-GitHub-Event"] = "ping"
    payload["hook"]["config"].pop("secret", None)
    assert told(github.check_webhook("ping", payload, unsigned)) == []
    payload["hook"]["config"]["secret"] = "********"
    assert told(github.check_webhook("ping", payload, unsigned)) == [
        "header X-Hub-Signature-256: is required"
    ]


def test_take_errors_that_the_description_forgot(github: Descriptions) -> None:
    """A refusal of GitHub's usual shapes is taken where none is described, another shape is not."""
    create = operation(github, "checks/create")
    entry = b'{"resource": "CheckRun", "code": "invalid", "field": "annotations"}'
    usual = b'{"message": "Validation Failed", "errors": [' + entry + b'], "documentation_url": "https://d"}'
    assert told(github.check_response(create, 422, JSON, usual)) == []
    assert told(github.check_response(create, 422, JSON, b'{"error": 1}')) == [
        "member error: is in no description"
    ]
    conflict = b'{"message": "a.txt does not match", "documentation_url": "https://d", "status": "409"}'
    update = operation(github, "repos/create-or-update-file-contents")
    assert told(github.check_response(update, 409, JSON, conflict)) == []


def _examples(content: Mapping[str, Any]) -> Iterator[Any]:
    for example in content.get("examples", {}).values():
        yield _resolved(example)["value"]


def _resolved(node: Any) -> Any:
    if "$ref" not in node:
        return node
    kind, name = node["$ref"].removeprefix("#/components/").split("/")
    return described()["components"][kind][name]


def _sample_url(known: Operation) -> str:
    path = known.template
    for parameter in known.of("path"):
        path = path.replace(f"{{{parameter.name}}}", "7")
    return path
