"""A review's comments at the real forge: what it refuses is degraded, and nothing is posted twice."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from app.github import GitHub
from app.posting import Posting
from app.store.places import RepositoryRef
from app.tokens import AppTokens
from demo import forge as local_forge
from demo import story
from demo.forge import Forge
from demo.forge.person import signed_in
from handlers.effects import LineComment, PostReview

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Forge]:
    async with local_forge.serve(tmp_path_factory.mktemp("forge")) as running:
        yield running


async def as_it_is(text: str) -> str:
    return text


def comment(name: str, path: str, line: int) -> LineComment:
    return LineComment(finding=name, path=path, side="RIGHT", line=line, start_line=None, body=f"On {name}.")


async def test_one_refused_anchor_costs_nothing(forge: Forge) -> None:
    """The good ones stand on their lines, the bad one on its file, the one without a file is told of.

    A second try, as after a crash before any of it was stored, posts nothing, and comes to the same.
    """
    made = forge.create_repository("maya/posted", directory=story.REPOSITORY)
    place = RepositoryRef(made.id, "maya/posted", forge.seeded.installation.id)
    app = forge.seeded.app
    tokens = AppTokens(app_id=app.id, private_key=app.private_key, api_url=forge.api_url)
    github = GitHub(api_url=forge.api_url, web_url=forge.url, tokens=tokens)
    bot = forge.state.user("darner[bot]")
    assert bot is not None
    posting = Posting(github, bot_id=lambda: bot.id, marker_key=b"key", clean=as_it_is)
    async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as maya:
        head = await maya.writes("maya/posted", "wool.py", "a = 1\nb = 2\nc = 3\n", branch="wool")
        number = await maya.opens_pull("maya/posted", head="wool", base="main", title="Wool")
        review = PostReview(
            key="t1:review",
            turn_id="t1",
            number=number,
            head_sha=head,
            body="Four findings.",
            comments=(
                comment("f1", "wool.py", 1),
                comment("f2", "wool.py", 3),
                comment("f3", "wool.py", 99),
                comment("f4", "nowhere.py", 1),
            ),
        )

        placed = await posting.post(review, place)
        again = await posting.post(review, place)
        said = await maya.reads_review_comments("maya/posted", number)

    assert [each.shown for each in placed] == ["inline", "inline", "file", "summary"]
    assert again == placed
    assert sorted(comment.body.partition("\n")[0] for comment in said) == ["On f1.", "On f2.", "On f3."]


async def test_what_belongs_together_is_posted_whole_or_not_at_all(forge: Forge) -> None:
    """One anchor that is refused leaves nothing behind; what was posted is not posted again."""
    made = forge.create_repository("maya/together", directory=story.REPOSITORY)
    place = RepositoryRef(made.id, "maya/together", forge.seeded.installation.id)
    app = forge.seeded.app
    tokens = AppTokens(app_id=app.id, private_key=app.private_key, api_url=forge.api_url)
    github = GitHub(api_url=forge.api_url, web_url=forge.url, tokens=tokens)
    bot = forge.state.user("darner[bot]")
    assert bot is not None
    posting = Posting(github, bot_id=lambda: bot.id, marker_key=b"key", clean=as_it_is)
    async with signed_in("maya", api_url=forge.api_url, token=forge.tokens["maya"]) as maya:
        head = await maya.writes("maya/together", "wool.py", "a = 1\nb = 2\nc = 3\n", branch="wool")
        number = await maya.opens_pull("maya/together", head="wool", base="main", title="Wool")
        good = PostReview(
            key="t2:suggestions",
            turn_id="t2",
            number=number,
            head_sha=head,
            body="One change.",
            comments=(comment("part-1", "wool.py", 1), comment("part-2", "wool.py", 3)),
            is_whole=True,
        )
        bad = replace(good, comments=(*good.comments, comment("part-3", "wool.py", 99)))

        refused = await posting.post_whole(bad, place)
        nothing = await maya.reads_review_comments("maya/together", number)
        taken = [await posting.post_whole(good, place) for _ in range(2)]
        said = await maya.reads_review_comments("maya/together", number)

    assert "Unprocessable" in refused or "Validation" in refused
    assert nothing == []
    assert taken == ["", ""]
    assert [each.body.partition("\n")[0] for each in said] == ["On part-1.", "On part-2."]
