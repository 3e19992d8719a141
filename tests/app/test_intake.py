"""Deliveries: what is taken, what is refused, and what the ledger keeps of both."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection

from app.explain import Explanation, explain
from app.intake import Intake
from app.queues import Queue
from app.store import backlog, ci, inbox
from app.store.places import RepositoryRef
from handlers import reasons
from handlers.events import ChecksDue
from tests.app.conftest import BOT, OLD_SECRET, SECRET, House, Webhook

PAYLOADS = Path(__file__).parent.parent / "data" / "github" / "webhooks"
REPOSITORY = 186853002
MENTION = PAYLOADS / "51-issue_comment.created.derived-mention-parsing.json"


def comment(text: str, **members: Any) -> bytes:
    """A comment by a person, as GitHub sends it."""
    payload = json.loads((PAYLOADS / "01-issue_comment.created.json").read_bytes())
    payload["comment"]["body"] = text
    payload["comment"] |= members
    payload["sender"] |= {"id": 77, "login": "maya", "type": "User"}
    return json.dumps(payload).encode()


def failed_check(sha: str) -> bytes:
    """A check run that ended badly, as GitHub tells of it."""
    payload = json.loads((PAYLOADS / "28-check_run.created.json").read_bytes())
    payload["action"] = "completed"
    payload["check_run"] |= {"head_sha": sha, "status": "completed", "conclusion": "failure"}
    payload["check_run"] |= {"completed_at": "2026-11-22T10:00:00Z", "pull_requests": []}
    return json.dumps(payload).encode()


async def explained(house: House, guid: str) -> Explanation:
    found = await house.database.read(lambda connection: explain(connection, guid))
    assert found is not None
    return found


async def test_mention_is_stored_acknowledged_and_woken_for(house: House, webhook: Webhook) -> None:
    """A mention is answered with 202, is in the ledger, and its thread is driven at once."""
    answer = await webhook.deliver(comment("@darner fix the test"), guid="g1")

    assert answer.status_code == 202
    await house.wait_driven(1)
    story = await explained(house, "g1")
    assert house.driven[0][0] is Queue.EVENTS
    assert (story.decision, story.command, story.actor) == ("pending", "Request", "maya")
    assert story.text == "@darner fix the test"


async def test_checks_that_end_in_numbers_cost_one_look(house: House, webhook: Webhook) -> None:
    """While a look at the head is due soon, nothing more is asked of the forge for its other checks."""
    sha, due = "c" * 40, time.time() + 50

    def wait(connection: Connection) -> None:
        place = RepositoryRef(REPOSITORY, "octo/calc", None)
        inbox.open_thread(connection, f"{REPOSITORY}-8", place, number=8, now=due)
        looked = ChecksDue(
            repository_id=REPOSITORY,
            repository="octo/calc",
            installation_id=None,
            number=8,
            branch="",
            sha=sha,
        )
        inbox.put_quiet_event(
            connection,
            f"{REPOSITORY}-8",
            looked,
            kind=ci.look_kind(sha),
            quiet=0,
            longest=60,
            origin=None,
            now=due,
        )

    await house.database.write(wait)
    await webhook.deliver(failed_check(sha), guid="same head", event="check_run")
    await webhook.deliver(failed_check("d" * 40), guid="another", event="check_run")

    same, another = await explained(house, "same head"), await explained(house, "another")
    assert (same.decision, same.reason) == ("ignored", reasons.CHECK_SEEN_SOON)
    assert another.decision == "pending"


async def test_wrong_signature_is_refused_and_leaves_nothing(house: House, webhook: Webhook) -> None:
    """A forged delivery gets 401 and no row, whatever its body says."""
    answer = await webhook.deliver(comment("@darner fix it"), guid="g1", secret="not the secret")

    assert answer.status_code == 401
    assert "DARNER_WEBHOOK_SECRET" in answer.json()["message"]
    assert await house.database.read(lambda connection: explain(connection, "g1")) is None


async def test_both_secrets_count_while_rotating(webhook: Webhook) -> None:
    """A delivery signed with the old secret is taken as well."""
    answer = await webhook.deliver(comment("hello"), secret=OLD_SECRET)

    assert answer.status_code == 202


async def test_redelivery_is_known(house: House, webhook: Webhook) -> None:
    """The same GUID again is acknowledged and not handled again, also when both come at once."""
    body = comment("@darner fix it")

    answers = await asyncio.gather(*(webhook.deliver(body, guid="g1") for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 202]


async def test_duplicates_wake_nobody(house: House, webhook: Webhook) -> None:
    """However many are redelivered, or told by other hooks: the thread is driven for the first one only."""
    body = comment("@darner fix it")
    await webhook.deliver(body, guid="g0")
    await house.wait_driven(1)

    for _ in range(2):
        await asyncio.gather(*(webhook.deliver(body, guid=f"g{count}") for count in range(100)))

    # Once at once, and once by the durable wake-up.
    assert len(house.driven) <= 2
    pending = await house.database.read(lambda connection: backlog.threads_with_events(connection, now=1e12))
    assert len(pending) == 1


async def test_news_of_installations_and_repositories_is_passed_on(house: House, webhook: Webhook) -> None:
    """They belong to no conversation; whoever keeps those in step with the forge hears of them, once each."""
    heard: list[None] = []
    intake = Intake(
        house.database,
        house.wake_ups,
        secrets=(SECRET,),
        bot=lambda: BOT,
        on_standing_changed=lambda: heard.append(None),
    )
    webhook.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=intake), base_url="http://darner")
    body = (PAYLOADS / "36-installation.created.json").read_bytes()

    async with webhook.client:
        for _ in range(2):
            await webhook.deliver(body, guid="g1", event="installation")
        await webhook.deliver(comment("hello"), guid="g2")

    assert len(heard) == 1


async def test_second_delivery_of_one_act_is_a_duplicate(house: House, webhook: Webhook) -> None:
    """Another GUID for the same comment is recorded as a duplicate of the first."""
    body = comment("@darner fix it")

    await webhook.deliver(body, guid="g1")
    answer = await webhook.deliver(body, guid="g2")

    assert answer.status_code == 202
    story = await explained(house, "g2")
    assert story.decision == "duplicate"
    assert "g1" in story.reason


async def test_event_that_cannot_matter_gets_no_wake_up(house: House, webhook: Webhook) -> None:
    """A comment without a mention is in the ledger with its reason, and wakes nobody."""
    await webhook.deliver(comment("nice weather, see `@darner`"), guid="g1")

    story = await explained(house, "g1")
    assert story.decision == "ignored"
    assert "not addressed" in story.reason
    assert house.driven == []


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"guid": None}, 400),
        ({"event": None}, 400),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"signature": "sha256=00"}, 401),
        ({"signature": "nonsense"}, 401),
    ],
)
async def test_bad_headers_are_told(webhook: Webhook, members: dict[str, Any], status: int) -> None:
    """Each missing or wrong header has its status and a sentence."""
    answer = await webhook.deliver(comment("hello"), **members)

    assert answer.status_code == status
    assert answer.json()["message"]


async def test_bad_json_is_refused_and_recorded(house: House, webhook: Webhook) -> None:
    """A signed body that is no JSON gets 400 and a row that says so."""
    answer = await webhook.deliver(b'{"action": ', guid="g1")

    assert answer.status_code == 400
    assert (await explained(house, "g1")).decision == "refused"


async def test_too_large_body_is_refused(webhook: Webhook) -> None:
    """More than 25 MB is not read to the end."""
    answer = await webhook.deliver(b" " * (25 * 1024 * 1024 + 1))

    assert answer.status_code == 413


async def test_unknown_event_is_recorded(house: House, webhook: Webhook) -> None:
    """An event that nobody handles is acknowledged, and the ledger says why nothing came of it."""
    answer = await webhook.deliver(b'{"action": "sparkled"}', guid="g1", event="galaxy")

    assert answer.status_code == 202
    story = await explained(house, "g1")
    assert (story.event, story.action, story.decision) == ("galaxy", "sparkled", "ignored")


async def test_every_known_payload_is_taken(house: House, webhook: Webhook) -> None:
    """Each of GitHub's published payloads is acknowledged and in the ledger."""
    paths = sorted(PAYLOADS.glob("[0-9]*.json"))
    for path in paths:
        event = path.stem.split("-", 1)[1].split(".")[0]

        answer = await webhook.deliver(path.read_bytes(), guid=path.stem, event=event)

        assert answer.status_code in {200, 202}, path.stem
        assert (await explained(house, path.stem)).event == event
    assert len(paths) == 53
