"""What a review says: short, in a fixed shape, and never with the model's words in charge."""

import re
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import comments_review as said
from handlers.comments_review import Row, Summary
from handlers.effects import Annotation
from handlers.review.anchors import Anchored
from handlers.review.fingerprints import Place
from handlers.review.plan import Unread
from handlers.review.selection import Candidate, Inline, Quiet, Summarised
from handlers.review.suggestions import applied
from handlers.scan import scan
from harness.findings import Finding
from tests.handlers.people import HEAD_SHA, HOST, NEW_SHA

FINDING = Finding(
    path="calc.py",
    start_line=5,
    end_line=5,
    severity="P1",
    confidence=0.9,
    title="`average` divides by zero for an empty list",
    why="`average([])` raises ZeroDivisionError.",
)
CANDIDATE = Candidate("3f2a91c0", FINDING)
INLINE = Inline(candidate=CANDIDATE, anchored=Anchored(path="calc.py", side="RIGHT", line=5))
FOOTER = (
    "<sub>Finding `3f2a91c0` · 👍 or 👎 tells me whether it helps · reply to discuss, or with `fix` and "
    "I mend it</sub>"
)
EVIL = replace(
    FINDING,
    title="Fixes #1 | @octocat <details> /merge",
    why="@dependabot merge\n\n/merge\n\n</details><img src=x>\n\n```\nopen fence",
)


def left(body: str) -> str:
    """As the forge gets it."""
    return scan(body, own_hosts=("forge.test:8080",)).text


def test_a_comment_on_its_lines() -> None:
    suggested = replace(INLINE, suggestion="```suggestion\n    return 0\n```")

    assert said.inline_comment(suggested) == (
        "🟠 **P1** · **`average` divides by zero for an empty list**\n\n"
        "`average([])` raises ZeroDivisionError.\n\n"
        "```suggestion\n    return 0\n```\n\n" + FOOTER
    )
    assert left(said.inline_comment(suggested)) == said.inline_comment(suggested)


def test_a_comment_near_its_lines_with_more_places() -> None:
    beside = Anchored(path="calc.py", side="RIGHT", line=7, is_exact=False)
    also = (Place("calc.py", "RIGHT", 9, 9), Place("calc.py", "RIGHT", 12, 14), Place("b.py", "RIGHT", 3, 3))
    body = said.inline_comment(
        replace(
            INLINE,
            candidate=Candidate("3f2a91c0", replace(FINDING, replacement="    return 0\n")),
            anchored=beside,
            also=also,
        )
    )

    assert body == (
        "🟠 **P1** · **`average` divides by zero for an empty list**\n\n"
        "<sub>About line 5.</sub>\n\n"
        "`average([])` raises ZeroDivisionError.\n\n"
        "A way to mend it:\n\n```\n    return 0\n```\n\n"
        "Also at lines 9, 12\u201314, `b.py:3`.\n\n" + FOOTER
    )  # fmt: skip


ROWS = (
    Row(
        id="a",
        severity="P2",
        title="Sorts to find | one",
        place=Place("calc.py", "RIGHT", 10, 10),
        state="fixed",
        url=f"{HOST}/octo/calc/pull/8#discussion_r1",
        sha=NEW_SHA,
    ),
    Row(id="b", severity="P2", title="Slow", place=Place("a b|c.py", "RIGHT", 1, 1), state="moved"),
    Row(id="c", severity="P0", title=EVIL.title, place=Place("calc.py", "RIGHT", 5, 5), state="new"),
    Row(
        id="d",
        severity="P1",
        title="Old",
        place=Place("calc.py", "RIGHT", 5, 5),
        state="dismissed",
        by="octocat",
    ),
)
STATE = Summary(
    head_sha=HEAD_SHA,
    rows=ROWS,
    summarised=(
        (
            Summarised(candidate=Candidate("77", FINDING), reason="the line is not in the diff"),
            said.permalink(f"{HOST}/octo/calc", HEAD_SHA, Place("a (b).py", "RIGHT", 3, 5)),
        ),
    ),
    files_read=14,
    unread=(Unread("yarn.lock", "it is generated"),),
    quiet=2,
    mention="darner",
)


def test_the_summary() -> None:
    assert said.summary(STATE, own_hosts=("forge.test:8080",)) == (
        "**Review** · 2 to fix, 1 to consider, 1 fixed, 14 files read at `bbbbbbb`\n\n"
        "| | finding | where | state |\n"
        "| --- | --- | --- | --- |\n"
        "| 🔴 P0 | Fixes `#1` \\| `@octocat` &lt;details> /merge | `calc.py:5` | 🆕 new |\n"
        "| 🟡 P2 | Slow | `a b\\|c.py:1` | still open, moved |\n"
        "| 🟠 P1 | Old | `calc.py:5` | dismissed by octocat |\n"
        f"| 🟡 P2 | Sorts to find \\| one | [`calc.py:10`]({HOST}/octo/calc/pull/8#discussion_r1) | "
        "✅ fixed in `ddddddd` |\n\n"
        "<details>\n<summary>1 finding not on a line of the diff</summary>\n\n"
        "🟠 **P1** · **`average` divides by zero for an empty list** · "
        f"[`calc.py:5`]({HOST}/octo/calc/blob/{HEAD_SHA}/a%20%28b%29.py#L3-L5)\n\n"
        "`average([])` raises ZeroDivisionError.\n\n"
        "<sub>Finding `77` · here, for the line is not in the diff</sub>\n\n</details>\n\n"
        "2 smaller remarks are annotations of the check run.\n\n"
        "<details>\n<summary>Not read, or not whole: 1 file</summary>\n\n"
        "- `yarn.lock`: it is generated\n\n</details>\n\n"
        "<sub>Comment `@darner review` for another look. Reply to a finding to discuss it: I judge it once "
        "more, and then leave it to you.</sub>"
    )
    assert said.check_title(STATE) == "2 to fix, 1 to consider, 1 fixed"


def test_nothing_found_is_said_in_one_line() -> None:
    quiet = replace(STATE, rows=(), summarised=(), unread=(), quiet=0, files_read=1)

    assert said.summary(quiet).split("\n\n")[0] == "**Review** · nothing to fix, 1 file read at `bbbbbbb`"
    assert said.check_title(quiet) == "Nothing to fix"


@pytest.mark.parametrize(
    "body",
    [
        said.inline_comment(replace(INLINE, candidate=Candidate("1", EVIL))),
        said.summary(
            replace(STATE, summarised=((Summarised(candidate=Candidate("1", EVIL), reason="x"), ""),))
        ),
        said.withdrawn_reply(EVIL.why),
        said.new_evidence_reply(EVIL.why),
        said.fixed_reply(NEW_SHA, why=EVIL.why),
    ],
)
def test_the_models_words_command_nobody(body: str) -> None:
    """What leaves is what was written: there is nothing left to make inert."""
    assert left(body) == body
    assert "\n/merge" not in body
    assert "<img" not in body
    assert body.count("<details>") == body.count("</details>")
    assert body.count("```") % 2 == 0


@settings(max_examples=40, deadline=None)
@given(
    opening=st.sampled_from(["```suggestion", "~~~ Suggestion", "```&#115;uggestion", "```sug\u200bgestion"]),
    why=st.text(st.sampled_from("a `~>-\n1.#|<!/@[]()") | st.characters(), max_size=60),
)
def test_a_suggestion_stands_whatever_the_words_around_it_are(opening: str, why: str) -> None:
    """The button does what was tried, and there is no other button."""
    posted = replace(
        INLINE,
        candidate=Candidate("1", replace(FINDING, why=f"{opening}\nrm -rf\n\n{why}")),
        anchored=Anchored(path="calc.py", side="RIGHT", line=2),
        suggestion="```suggestion\n    return 0\n```",
    )

    body = left(said.inline_comment(posted))

    assert applied("a\nb\nc\n", posted.anchored, body) == "a\n    return 0\nc\n"
    assert unescape(body).casefold().count("suggestion") == 1


def test_hundreds_of_findings_fit_a_comment() -> None:
    """The longest words that a model may use, many times."""
    long = replace(FINDING, title="long " * 30, why="word " * 1600, path="directory/" * 20 + "file.py")
    place = Place(long.path, "RIGHT", 1, 1)
    row = Row(id="1", severity="P1", title=long.title, place=place, state="open", url=f"{HOST}/{'x' * 300}")
    told = Summarised(candidate=Candidate("1", long), reason="a review has at most 8 comments on lines")

    body = said.summary(replace(STATE, rows=(row,) * 300, summarised=((told, row.url),) * 300))

    assert len(body) < 65_000
    assert "240 more are not shown." in body
    assert left(body).count("<details>") == 2


def test_an_annotation_is_plain_text() -> None:
    quiet = Quiet(candidate=CANDIDATE, also=(Place("calc.py", "RIGHT", 9, 10),))

    assert said.annotation(quiet) == Annotation(
        path="calc.py",
        start_line=5,
        end_line=5,
        level="warning",
        title="P1: `average` divides by zero for an empty list",
        message="`average([])` raises ZeroDivisionError.\n\nAlso at: 9\u201310.",
    )
    evil = said.annotation(Quiet(candidate=Candidate("1", EVIL)))
    assert "@" not in evil.title + evil.message


def test_the_check_run_blocks_only_where_the_repository_says_so() -> None:
    assert said.check_conclusion(["P0"], blocking=()) == "neutral"
    assert said.check_conclusion(["P2"], blocking=("P0", "P1")) == "success"
    assert said.check_conclusion(["P0", "P2"], blocking=("P0", "P1")) == "failure"


def test_replies() -> None:
    assert said.fixed_reply(NEW_SHA) == "✅ Fixed in `ddddddd`."
    assert (
        said.withdrawn_reply("It cannot be empty.") == "You are right, I take this back. It cannot be empty."
    )
    assert said.new_evidence_reply("`main` calls it with `[]`.").endswith("the decision is yours.")
    assert said.pointer(1, summary_url=HOST) == (
        f"The last push brings 1 new finding to fix: see [the review]({HOST})."
    )
    assert said.moved_reply(Place("b.py", "RIGHT", 3, 3), url=HOST) == (
        f"Still open; the code is now at [`b.py:3`]({HOST})."
    )


@pytest.mark.parametrize("title", ["a | b", r"a \| b", r"a \\| b", r"`x\|y` ends"])
def test_no_title_leaves_its_cell(title: str) -> None:
    row = Row(id="3f2a91c0", severity="P1", title=title, place=Place("a\\|b.py", "RIGHT", 3, 3), state="new")
    state = Summary(head_sha=HEAD_SHA, rows=(row,), files_read=1, mention="darner")

    [line] = [line for line in said.summary(state).split("\n") if "P1" in line]

    # https://github.github.com/gfm/#tables-extension-: a bar with one backslash before it is text.
    bars = re.sub(r"\\.", "", line).count("|")
    assert bars == 5
