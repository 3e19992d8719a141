"""People read and act on the forge's pages, and nothing they do there goes past the rules of the API."""

from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

import httpx2

from demo.forge import Forge
from demo.forge.actions import checks, issues, pulls, repos, reviews
from demo.forge.state import Annotation, CheckAction, Delivery, Issue, ReviewComment, ThreadResolution
from tests.forge_pages.conftest import acting, bot, issue, repository

ISSUE = "/maya/inventory/issues/1"
PULL = "/maya/inventory/pull/2"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"a": "href", "link": "href", "img": "src", "script": "src"}.get(tag)
        self.found |= {value for name, value in attrs if name == wanted and value}


async def test_no_link_leads_nowhere(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """Whoever follows every link from the first page on never meets a page that is not there."""
    review = reviews.Draft(path="shop/cart.py", side="RIGHT", line=6, body="Why?")
    reviews.review(acting(forge, "cole"), issue(forge, 2), event="APPROVE", body="Good.", comments=[review])
    waiting, seen = {"/"}, set[str]()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = await visitor.get(path)
        assert answer.status_code == 200, path
        links = _Links()
        if answer.headers["content-type"].startswith("text/html"):
            links.feed(answer.text)
        for link in links.found:
            target = urldefrag(urljoin(f"{forge.url}{path}", link)).url.removeprefix(forge.url)
            # Relative links inside a README lead to the rendered file only on its own page, as on GitHub.
            if target.startswith("/") and target not in seen and not target.endswith("/shop/cart.py"):
                waiting.add(target)
    assert {
        ISSUE,
        PULL,
        f"{PULL}/files",
        f"{PULL}/checks",
        f"{PULL}/commits",
        "/maya/inventory/branches",
    } <= seen


async def test_read_an_issue(visitor: httpx2.AsyncClient) -> None:
    """The issue page shows title, rendered text, label and conversation, and no hidden comment."""
    page = (await visitor.get(ISSUE)).text
    for shown in ("total() forgets the first price", "<strong>2</strong>", ">bug<", "I see it too.", "Owner"):
        assert shown in page
    assert "a secret note" not in page


async def test_comment_as_somebody(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """A comment written on the page is said by the chosen person, told to the App and shown at its anchor."""
    forge.set_webhook("http://127.0.0.1:9/webhook", secret="s")
    body = "@darner fix the failing test\r\n\r\n- [ ] soon"
    answer = await visitor.post(f"{ISSUE}/comments", data={"body": body, "who": "cole"})
    said = forge.state.comments(issue(forge, 1))[-1]
    assert (said.body, said.author_id) == (
        "@darner fix the failing test\n\n- [ ] soon",
        acting(forge, "cole").user.id,
    )
    assert answer.url.fragment == f"issuecomment-{said.id}"
    assert f'id="issuecomment-{said.id}"' in answer.text
    told = [(sent.event, sent.action) for sent in forge.state.all(Delivery)]
    assert ("issue_comment", "created") in told


async def test_open_an_issue(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The form for a new issue leads to the issue it made."""
    form = {"title": "Empty cart", "body": "What then?", "who": "oskar"}
    answer = await visitor.post("/maya/inventory/issues/new", data=form)
    assert answer.url.path == "/maya/inventory/issues/3"
    assert issue(forge, 3).author_id == acting(forge, "oskar").user.id


async def test_close_with_a_comment_and_reopen(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The second button of the comment form says what was written, then closes; an empty one only reopens."""
    await visitor.post(f"{ISSUE}/comments", data={"body": "Done.", "who": "maya", "then": "close"})
    assert (issue(forge, 1).state, forge.state.comments(issue(forge, 1))[-1].body) == ("closed", "Done.")
    await visitor.post(f"{ISSUE}/comments", data={"body": "", "who": "maya", "then": "reopen"})
    assert (issue(forge, 1).state, len(forge.state.comments(issue(forge, 1)))) == ("open", 2)


async def test_a_form_from_another_site_does_nothing(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """Another site's page cannot speak for the person in front of the browser, with or without an origin."""
    for origin in ("https://elsewhere.example", "null", ""):
        answer = await visitor.post(
            f"{ISSUE}/comments", data={"body": "@darner do it", "who": "maya"}, headers={"Origin": origin}
        )
        assert (answer.status_code, "another site" in answer.text) == (403, True)
    # A name of theirs that their server resolves to this machine makes origin and host agree.
    rebound = {"Origin": "http://elsewhere.example", "Host": "elsewhere.example"}
    answer = await visitor.post(f"{ISSUE}/comments", data={"body": "@darner do it"}, headers=rebound)
    assert answer.status_code == 403
    assert len(forge.state.comments(issue(forge, 1))) == 1


async def test_a_comment_cannot_act_on_its_reader(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """A script in a comment is not in the page, and the page would run none that is not the forge's own."""
    issues.comment(
        acting(forge, "oskar"), issue(forge, 1), body="<script>alert(1)</script><img src=x onerror=alert(2)>"
    )
    answer = await visitor.get(ISSUE)
    assert "alert(" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_a_file_is_never_a_page(visitor: httpx2.AsyncClient) -> None:
    """Raw files come as plain text, whatever they hold."""
    answer = await visitor.get("/maya/inventory/raw/main/README.md")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_private_repositories_do_not_exist_for_outsiders(
    forge: Forge, visitor: httpx2.AsyncClient
) -> None:
    """An outsider neither sees a private repository in the list nor gets to its page."""
    repos.set_private(acting(forge, "maya"), repository(forge), private=True)
    page = await visitor.post("/-/me", data={"who": "oskar", "back": "/"})
    assert "inventory" not in page.text
    assert (await visitor.get(ISSUE)).status_code == 404
    await visitor.post("/-/me", data={"who": "cole", "back": "/"})
    assert (await visitor.get(ISSUE)).status_code == 200


async def test_an_outsider_may_not_merge(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The page offers an outsider no button, and a form sent all the same is refused in words."""
    pulls.set_draft(acting(forge, "maya"), issue(forge, 2), draft=False)
    await visitor.post("/-/me", data={"who": "oskar", "back": "/"})
    assert "Merge pull request" not in (await visitor.get(PULL)).text
    answer = await visitor.post(f"{PULL}/merge", data={"method": "merge"})
    assert answer.status_code == 403
    assert issue(forge, 2).state == "open"


async def test_merge_a_pull_request(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """A draft is made ready, then merged; the issue that it fixes is closed with it."""
    assert "Ready for review" in (await visitor.get(PULL)).text
    await visitor.post(f"{PULL}/draft", data={"then": "ready"})
    page = (await visitor.post(f"{PULL}/merge", data={"method": "squash"})).text
    assert "Merged" in page
    assert [issue(forge, number).state for number in (1, 2)] == ["closed", "closed"]
    assert (await visitor.get("/maya/inventory/raw/main/shop/cart.py")).text.count("[1:]") == 0


async def test_merge_only_what_was_seen(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The merge button of a page that shows an older head merges nothing."""
    pulls.set_draft(acting(forge, "maya"), issue(forge, 2), draft=False)
    answer = await visitor.post(f"{PULL}/merge", data={"method": "merge", "head": "0" * 40})
    assert answer.status_code == 409
    assert issue(forge, 2).state == "open"


async def test_review_on_a_line(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The plus beside a line opens a form below it; what is said there is answered and resolved."""
    await visitor.post("/-/me", data={"who": "cole", "back": "/"})
    line = {"path": "shop/cart.py", "side": "RIGHT", "line": "6"}
    assert "Comment on line 6 as cole" in (await visitor.get(f"{PULL}/files", params=line)).text
    page = (await visitor.post(f"{PULL}/line", data=line | {"body": "And an empty cart?"})).text
    assert "And an empty cart?" in page
    (said,) = forge.state.all(ReviewComment)
    page = (await visitor.post(f"{PULL}/threads/{said.id}", data={"body": "Gives 0."})).text
    assert page.index("And an empty cart?") < page.index("Gives 0.")
    page = (await visitor.post(f"{PULL}/threads/{said.id}/resolution", data={"then": "resolve"})).text
    assert "Resolved" in page
    assert [one.id for one in forge.state.all(ThreadResolution)] == [said.id]


async def test_request_changes(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """A verdict given on the files tab stands in the conversation with its text."""
    form = {"event": "REQUEST_CHANGES", "body": "Add a test, please."}
    page = (await visitor.post(f"{PULL}/reviews", data=form)).text
    assert "requested changes" in page
    assert "Add a test, please." in page


async def test_react_and_take_back(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """The same button gives a reaction and takes it back."""
    said = forge.state.comments(issue(forge, 1))[0]
    form = {"content": "rocket", "back": ISSUE}
    assert (
        "🚀 1" in (await visitor.post(f"/maya/inventory/reactions/issue_comment/{said.id}", data=form)).text
    )
    assert (
        "🚀 1"
        not in (await visitor.post(f"/maya/inventory/reactions/issue_comment/{said.id}", data=form)).text
    )


async def test_see_checks_and_press_their_buttons(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """A check shows its summary and annotations, and its button reaches the App that made it."""
    pull: Issue = issue(forge, 2)
    assert pull.pull is not None
    forge.set_webhook("http://127.0.0.1:9/webhook", secret="s")
    run = checks.create_check_run(
        bot(forge),
        repository(forge),
        head_sha=pull.pull.head_sha,
        report=checks.Report(
            name="darner",
            status="completed",
            conclusion="failure",
            title="2 failed",
            summary="**Two** tests fail.",
            annotations=[
                Annotation(
                    path="shop/cart.py", start_line=6, level="failure", end_line=6, message="Wrong sum"
                )
            ],
            actions=[CheckAction(label="Stop", description="Stops the turn", identifier="stop")],
        ),
    )
    page = (await visitor.get(f"{PULL}/checks")).text
    for shown in ("2 failed", "<strong>Two</strong> tests fail.", "shop/cart.py:6", "Wrong sum", "Stop"):
        assert shown in page
    await visitor.post(f"/maya/inventory/runs/{run.id}", data={"do": "stop"})
    told = [(sent.event, sent.action) for sent in forge.state.all(Delivery)]
    assert told[-1] == ("check_run", "requested_action")


async def test_an_open_page_asks_for_what_is_new(forge: Forge, visitor: httpx2.AsyncClient) -> None:
    """What a script refreshes is the conversation, without the form that somebody types in."""
    fragment = (await visitor.get(ISSUE, params={"fragment": "live"})).text
    assert "I see it too." in fragment
    assert "new_comment" not in fragment
    assert "<html" not in fragment
