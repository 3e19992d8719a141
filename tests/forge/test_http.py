"""What surrounds every answer: behaviours 13, 14 and 17, and JSON that is none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest

from demo.forge.faults import FaultKind, Faults
from tests.forge.world import World


@pytest.fixture
def faults(world: World) -> Iterator[Faults]:
    yield world.forge.faults
    world.forge.faults.clear()


def test_an_unchanged_answer_is_304_and_free(world: World, repository: str) -> None:
    """The ETag given back brings no body, and costs nothing of the limit."""
    token = world.forge.tokens["cole"]
    first = world.http("GET", f"/repos/{repository}", token=token)
    again = world.http(
        "GET", f"/repos/{repository}", token=token, headers={"If-None-Match": first.headers["etag"]}
    )
    world.client("maya").get_repo(repository).create_issue("x")
    changed = world.http(
        "GET", f"/repos/{repository}", token=token, headers={"If-None-Match": first.headers["etag"]}
    )

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"]
    assert changed.status_code == 200
    assert int(changed.headers["x-ratelimit-used"]) == int(first.headers["x-ratelimit-used"]) + 1


def test_every_answer_tells_of_limit_and_request(world: World, repository: str) -> None:
    """Rate headers and a request id of its own on each answer, errors included."""
    answers = [world.http("GET", path) for path in (f"/repos/{repository}", "/repos/maya/nothing")]

    ids = {answer.headers["x-github-request-id"] for answer in answers}
    assert len(ids) == 2
    for answer in answers:
        assert answer.headers["x-ratelimit-limit"] == "60"
        assert answer.headers["x-ratelimit-resource"] == "core"
        assert answer.headers["x-github-api-version-selected"] == "2022-11-28"


def test_pages_are_linked_by_the_repositorys_number(world: World, repository: str) -> None:
    """`Link` names /repositories/ID, which works like the name does; PyGithub walks it."""
    repo = world.client("maya").get_repo(repository)
    for number in range(1, 6):
        repo.create_issue(f"Issue {number}")
    first = world.http("GET", f"/repos/{repository}/issues?per_page=2&state=all")
    second = httpx2.get(first.links["next"]["url"])

    assert first.headers["link"] == (
        f'<{world.forge.api_url}/repositories/{repo.id}/issues?per_page=2&state=all&page=2>; rel="next", '
        f'<{world.forge.api_url}/repositories/{repo.id}/issues?per_page=2&state=all&page=3>; rel="last"'
    )
    assert [issue["number"] for issue in second.json()] == [3, 2]
    assert set(second.links) == {"prev", "next", "last", "first"}
    paged = world.client("maya")
    paged.per_page = 2
    assert [issue.number for issue in paged.get_repo(repository).get_issues()] == [5, 4, 3, 2, 1]


def test_a_renamed_repository_redirects(world: World, repository: str) -> None:
    """Reads get 301 and writes 307, to the address by number; the new name works at once."""
    repo = world.client("maya").get_repo(repository)
    repo.edit(name=f"{repo.name}-new")
    token = world.forge.tokens["maya"]

    read = world.http("GET", f"/repos/{repository}/issues?state=all", token=token)
    write = world.http("POST", f"/repos/{repository}/issues", token=token, json={"title": "x"})

    by_number = f"{world.forge.api_url}/repositories/{repo.id}/issues"
    assert (read.status_code, read.headers["location"]) == (301, f"{by_number}?state=all")
    assert (write.status_code, write.headers["location"]) == (307, by_number)
    assert write.json()["message"] == "Moved Permanently"
    assert list(world.client("maya").get_repo(f"{repository}-new").get_issues()) == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [(b"{", 400, "Problems parsing JSON"), (b"[]", 400, "Body should be a JSON object")],
)
def test_a_body_that_is_no_json_object(
    world: World, repository: str, body: bytes, status: int, message: str
) -> None:
    """The two refusals of GitHub's parser."""
    answer = httpx2.post(
        f"{world.forge.api_url}/repos/{repository}/issues",
        content=body,
        headers={"Authorization": f"Bearer {world.forge.tokens['maya']}"},
    )

    assert (answer.status_code, answer.json()["message"]) == (status, message)


def test_writing_needs_a_name(world: World, repository: str) -> None:
    """Anonymous requests may read what is public, and no more."""
    answer = world.http("POST", f"/repos/{repository}/issues", json={"title": "x"})

    assert (answer.status_code, answer.json()["message"]) == (401, "Requires authentication")


def test_a_bad_gateway_does_nothing(world: World, repository: str, faults: Faults) -> None:
    """502 on demand, as often as asked, before anything is written."""
    faults.add(FaultKind.BAD_GATEWAY, method="POST", path="/issues$", count=2)
    token = world.forge.tokens["maya"]

    statuses = [
        world.http("POST", f"/repos/{repository}/issues", token=token, json={"title": "x"}).status_code
        for _ in range(3)
    ]

    assert statuses == [502, 502, 201]
    assert len(world.http("GET", f"/repos/{repository}/issues").json()) == 1


def test_an_answer_lost_after_the_write(world: World, repository: str, faults: Faults) -> None:
    """The comment is there though its writer never hears so: the trap for blind retries."""
    world.client("maya").get_repo(repository).create_issue("x")
    path, token = f"/repos/{repository}/issues/1/comments", world.forge.tokens["maya"]
    faults.add(FaultKind.DROP_AFTER_WRITE, method="POST", path="/comments$")
    with pytest.raises(httpx2.RemoteProtocolError):
        world.http("POST", path, token=token, json={"body": "once"})
    faults.add(FaultKind.BAD_GATEWAY_AFTER_WRITE, method="POST", path="/comments$")
    answer = world.http("POST", path, token=token, json={"body": "twice"})

    assert answer.status_code == 502
    assert [said["body"] for said in world.http("GET", path).json()] == ["once", "twice"]


@pytest.mark.parametrize(
    ("kind", "status", "header"),
    [
        (FaultKind.SECONDARY_LIMIT, 403, "retry-after"),
        (FaultKind.TOO_MANY_REQUESTS, 429, "retry-after"),
        (FaultKind.PRIMARY_LIMIT, 403, "x-ratelimit-reset"),
    ],
)
def test_limits_on_demand(
    world: World, repository: str, faults: Faults, kind: FaultKind, status: int, header: str
) -> None:
    """The secondary limit says when to come back; the primary one when the hour is over."""
    faults.add(kind, seconds=7)

    answer = world.http("GET", f"/repos/{repository}")

    assert answer.status_code == status
    assert "rate limit" in answer.json()["message"]
    if header == "retry-after":
        assert answer.headers[header] == "7"
    else:
        assert 0 < int(answer.headers[header]) - time.time() <= 8
        assert answer.headers["x-ratelimit-remaining"] == "0"


def test_slowness_on_demand(world: World, repository: str, faults: Faults) -> None:
    """A slow answer is a right answer, later."""
    faults.add(FaultKind.SLOW, seconds=0.3)
    began = time.monotonic()

    assert world.http("GET", f"/repos/{repository}").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_faults_are_switched_by_the_admin(world: World, repository: str, faults: Faults) -> None:
    """`/_faults` takes, lists and clears faults for the holder of the admin token only."""
    url = f"{world.forge.url}/_faults"
    admin = {"Authorization": f"Bearer {world.forge.admin_token}"}
    fault = {"kind": "502", "method": "GET", "path": "/rate_limit"}

    assert httpx2.post(url, json=fault).status_code == 403
    assert httpx2.post(url, json={"kind": "flood"}, headers=admin).status_code == 422
    assert httpx2.post(url, json=fault, headers=admin).status_code == 201
    assert httpx2.get(url, headers=admin).json() == [
        {"kind": "502", "method": "GET", "path": "/rate_limit", "count": 1}
    ]
    assert world.http("GET", "/rate_limit").status_code == 502
    assert world.http("GET", "/rate_limit").status_code == 200
    assert faults.pending() == ()
