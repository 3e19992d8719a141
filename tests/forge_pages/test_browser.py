"""The pages in a real browser: what happens there without reloading, and that it all works without scripts.

Needs Chromium at /usr/bin/chromium (Debian's `chromium`); without it these tests fail, they are not skipped.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from demo.forge import Forge
from demo.forge.actions import issues, reviews
from demo.forge.state import Delivery
from tests.forge_pages.conftest import acting, bot, issue

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))
        yield launched
        await launched.close()


@asynccontextmanager
async def opened(browser: Browser, forge: Forge, *, path: str, scripts: bool = True) -> AsyncIterator[Page]:
    """A page that must not complain: anything on its console fails the test."""
    context = await browser.new_context(base_url=forge.url, java_script_enabled=scripts)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(path)
    yield page
    await context.close()
    assert complaints == []


async def test_ask_the_bot_and_watch(forge: Forge, browser: Browser) -> None:
    """Maya asks the bot on the issue page; what it answers, and then edits, appears while she looks."""
    forge.set_webhook("http://127.0.0.1:9/webhook", secret="s")
    async with opened(browser, forge, path="/maya/inventory/issues/1") as page:
        await page.get_by_label("Add a comment").fill("@darner fix the failing test")
        await page.get_by_role("button", name="Comment", exact=True).click()
        await expect(page.locator("article", has_text="fix the failing test")).to_be_visible()
        said = forge.state.comments(issue(forge, 1))[-1]
        assert said.author_id == acting(forge, "maya").user.id
        assert page.url.endswith(f"#issuecomment-{said.id}")
        assert forge.state.all(Delivery)[-1].event == "issue_comment"

        issues.react(bot(forge), said, content="eyes")
        answer = issues.comment(
            bot(forge),
            issue(forge, 1),
            body="- [ ] Read the test\n\n<details>\n<summary>Log</summary>\n\nran it\n\n</details>",
        )
        await expect(page.get_by_title("darner[bot]")).to_be_visible()
        await page.get_by_text("Log", exact=True).click()
        await expect(page.get_by_text("ran it")).to_be_visible()

        issues.edit_comment(
            bot(forge), answer, body=answer.body.replace("[ ]", "[x]").replace("ran it", "ran it twice")
        )
        await expect(page.locator(f"#issuecomment-{answer.id} input[type=checkbox]")).to_be_checked()
        # What she had folded open stays open.
        await expect(page.get_by_text("ran it twice")).to_be_visible()


async def test_what_is_being_written_is_not_lost(forge: Forge, browser: Browser) -> None:
    """New comments appear above a half-written one, and leave it alone."""
    async with opened(browser, forge, path="/maya/inventory/issues/1") as page:
        field = page.get_by_label("Add a comment")
        await field.fill("I think that")
        issues.comment(acting(forge, "cole"), issue(forge, 1), body="Any news?")
        await expect(page.get_by_text("Any news?")).to_be_visible()
        await expect(field).to_have_value("I think that")


async def test_review_a_pull_request(forge: Forge, browser: Browser) -> None:
    """Cole opens the diff, comments on a line with the plus beside it, and merges after the bot's answer."""
    async with opened(browser, forge, path="/maya/inventory/pull/2") as page:
        await page.get_by_label("You are").select_option("cole")
        await expect(page.get_by_text("This pull request is a draft.")).to_be_visible()
        await page.get_by_role("link", name="Files changed").click()
        added = page.locator("tr.added", has_text="for price in prices:")
        await expect(added).to_be_visible()
        await added.hover()
        await added.get_by_title("Comment on this line").click()
        await page.get_by_label("Comment on this line").fill("And an empty cart?")
        await page.get_by_role("button", name="Comment", exact=True).click()
        thread = page.locator(".thread", has_text="And an empty cart?")
        await expect(thread).to_be_visible()
        said = forge.state.review_comments(issue(forge, 2))[-1]
        reviews.reply(bot(forge), issue(forge, 2), thread_id=said.id, body="Gives 0.")

        await page.get_by_role("link", name="Conversation").click()
        await expect(page.get_by_text("Gives 0.")).to_be_visible()
        await page.get_by_role("button", name="Ready for review").click()
        await page.get_by_role("button", name="Merge pull request").click()
        await expect(page.locator(".subject .badge", has_text="Merged")).to_be_visible()
        assert issue(forge, 1).state == "closed"


async def test_without_scripts(forge: Forge, browser: Browser) -> None:
    """With scripts turned off a person can still choose who to be, read and comment."""
    async with opened(browser, forge, path="/maya/inventory/issues/1", scripts=False) as page:
        await page.get_by_label("You are").select_option("tess")
        await page.get_by_role("button", name="Switch").click()
        await page.get_by_label("Add a comment").fill("Plain HTML.")
        await page.get_by_role("button", name="Comment", exact=True).click()
        await expect(page.locator("article", has_text="Plain HTML.")).to_contain_text("tess")
