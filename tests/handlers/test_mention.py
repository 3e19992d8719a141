"""A mention counts only where a person plainly addresses the bot."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.mention import find_request


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("@darner fix this", "fix this"),
        ("@DARNER fix this", "fix this"),
        ("  @darner fix this", "fix this"),
        ("@darner", ""),
        ("@darner, please fix this", "please fix this"),
        ("@darner: fix", "fix"),
        ("@darner — fix", "fix"),
        ("@darner[bot] fix", "fix"),
        ("@darner. Fix it", "Fix it"),
        ("@darner\nfix this", "fix this"),
        ("Hello.\n\n@darner fix this", "fix this"),
        ("- @darner fix this", "fix this"),
        ("1. @darner fix this", "fix this"),
        ("- one\n- @darner fix this\n- three", "fix this"),
        ("- one\n  - @darner fix this\n    and that\n- three", "fix this\n    and that"),
        ("@darner fix:\n\n```\nlog\n```\n\n> quote", "fix:\n\n```\nlog\n```\n\n> quote"),
        ("@darner fix\r\n\r\nall", "fix\n\nall"),
        ("@darner fix `x` and **y**", "fix `x` and **y**"),
        ("> @darner no\n\n@darner yes", "yes"),
        ("<details>\n\n@darner no\n\n</details>\n\n@darner yes", "yes"),
        ("@darner\n- fix a\n- fix b", "- fix a\n- fix b"),
        ("# Title\n\n@darner fix", "fix"),
    ],
)
def test_the_words_after_the_mention_are_the_request(text: str, wanted: str) -> None:
    assert find_request(text, "darner") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "darner fix this",
        "please @darner fix this",
        "Thanks!\n@darner fix this",
        "x@darner fix",
        "@darnerd fix",
        "@darner-team fix",
        "@darner_x fix",
        "@darner/team fix",
        "@darner.io is a site",
        "@darneré fix",
        "`@darner fix`",
        "`@darner` fix",
        "```\n@darner fix\n```",
        "~~~\n@darner fix\n~~~",
        "    @darner fix",
        "> @darner fix",
        "> - @darner fix",
        "- > @darner fix",
        "> quoted\n@darner lazily continues the quote",
        "<!-- @darner fix -->",
        "<!--\n@darner fix\n-->",
        "<!--\n\n@darner fix",
        "<div>@darner fix</div>",
        "<div>\n@darner fix\n</div>",
        "<details>\n\n@darner fix\n\n</details>",
        "<blockquote>\n\n@darner fix\n\n</blockquote>",
        "<pre>\n\n@darner fix\n\n</pre>",
        "<b>@darner fix</b>",
        "[@darner](http://x) fix",
        "[@darner fix](http://x)",
        "![@darner fix](http://x)",
        "**@darner fix**",
        "*@darner* fix",
        "~~@darner fix~~",
        "# @darner fix",
        "@darner fix\n===",
        "| @darner fix |\n|---|\n| @darner fix |",
        "[x]: http://y '@darner fix'",
        "\\@darner fix",
        "&#64;darner fix",
        "\u200b@darner fix",
        "\u202e@darner fix",
        "@\u200bdarner fix",
        "@dаrner fix",  # noqa: RUF001  a Cyrillic letter
    ],
)
def test_what_only_looks_like_a_mention_is_none(text: str) -> None:
    assert find_request(text, "darner") is None


def test_a_line_inside_a_paragraph_does_not_begin_one() -> None:
    """The published payload quotes, codes and hides mentions, and ends with one in mid-paragraph."""
    path = Path(__file__).parents[1] / "data/github/webhooks"
    name = "51-issue_comment.created.derived-mention-parsing.json"
    body: str = json.loads((path / name).read_text())["comment"]["body"]

    assert find_request(body, "robot") is None
    assert find_request(body.replace("\r\n@Robot", "\r\n\r\n@Robot"), "robot") == (
        "please fix this, cc @robot-team @robotics"
    )


_INERT = st.sampled_from(
    ["`", "```\n", "> ", "    ", "<!--", "-->", "\n", "@darner ", "x ", "- ", "<b>", "[", "](u)"]
)


@given(st.lists(_INERT, max_size=12).map("".join))
def test_any_mix_of_markup_is_read_without_a_crash(text: str) -> None:
    request = find_request(text, "darner")

    assert request is None or request in text.replace("\r\n", "\n")


@given(st.text(max_size=60), st.sampled_from(["> {}", "`{}`", "```\n{}\n```", "<!-- {} -->"]))
def test_quoting_or_hiding_a_mention_silences_it(words: str, wrapper: str) -> None:
    line = " ".join(words.replace("`", "").replace("-", "").replace(">", "").split())

    assert find_request(wrapper.format(f"@darner {line}"), "darner") is None
