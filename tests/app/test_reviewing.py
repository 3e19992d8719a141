"""What a review is made ready with, from a real mirror."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.github import GitHub
from app.reviewing import CUT_SHORT, TOO_LARGE, Review, Reviewing
from app.store import inbox, reviews, turns
from app.store.database import Database
from app.store.places import RepositoryRef
from app.tokens import PersonalToken
from handlers.effects import EffectAdapter, RecordReview
from handlers.review.memory import LastReview
from handlers.view import Bot
from sandbox.git.mirror import Mirror
from tests.handlers.people import start_on_pull
from tests.sandbox_git.origin import Origin

PLACE = RepositoryRef(42, "octo/calc", None)
NOWHERE = "http://127.0.0.1:1"
"""Nothing was found before, so nothing is asked for."""


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[Mirror]:
    mirror = Mirror(tmp_path / "mirror.git", protocols=("file",))
    yield mirror
    await mirror.close()


async def prepared(database: Database, mirror: Mirror, origin: Origin, *, is_unasked: bool) -> Review:
    """Of a change whose first file is too long, after a review of one without that file."""
    base = origin.commit({"calc.py": "1\n"})
    head = origin.commit({"#first": "x" * 5_000, "calc.py": "2\n", "secret.py": "3\n"}, branch="faster")
    await mirror.ensure(origin.remote)
    await mirror.fetch(origin.remote, base, head)
    start = replace(
        start_on_pull(),
        kind="review",
        instructions_sha=base,
        config_sha=base,
        base_sha=head,
        is_unasked=is_unasked,
    )
    last = LastReview(turn="t0", head_sha=base, patches={"calc.py": "p1"})

    await database.write(lambda connection: inbox.open_thread(connection, "42-8", PLACE, number=8, now=1.0))
    body = EffectAdapter.dump_json(start).decode()
    await database.write(
        lambda connection: turns.queue(
            connection, start.turn_id, "42-8", start=body, origin=None, now=1.0, kind="review"
        )
    )
    await database.write(
        lambda connection: reviews.record(
            connection, "42-8", RecordReview(key="k", last=last, findings=()), now=1.0
        )
    )
    row = await database.read(lambda connection: turns.find(connection, start.turn_id))
    assert row is not None
    token = PersonalToken(SecretStr("t"), api_url=NOWHERE)
    github = GitHub(api_url=NOWHERE, web_url=NOWHERE, tokens=token)
    reviewing = Reviewing(database=database, github=github, window=None, diff_bytes=1_000)
    return await reviewing.prepared(row, start, PLACE, mirror, Bot(1, "darner[bot]", "darner"))


async def test_a_change_that_is_too_long_to_be_seen_whole_is_no_change_without_news(
    database: Database, mirror: Mirror, tmp_path: Path
) -> None:
    """Its author chooses which file comes first, and how long that is: the others do not pass unseen."""
    review = await prepared(database, mirror, Origin(tmp_path / "origin.git"), is_unasked=False)

    assert review.settled is None
    assert CUT_SHORT in [each.reason for each in review.plan.unread]


async def test_unasked_it_is_too_large(database: Database, mirror: Mirror, tmp_path: Path) -> None:
    review = await prepared(database, mirror, Origin(tmp_path / "origin.git"), is_unasked=True)

    assert review.settled is not None
    assert (review.settled.verdict, review.settled.note) == ("too_large", TOO_LARGE)
