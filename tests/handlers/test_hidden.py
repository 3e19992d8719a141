"""The model is shown what people see, and told that there was more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.hidden import remove_hidden
from handlers.invisible import strip_invisible

RANGES = [
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0x2066, 0x2069), (0xFE00, 0xFE0F),
    (0xE0100, 0xE01EF), (0xE0000, 0xE007F), (0xFEFF, 0xFEFF), (0x00AD, 0x00AD), (0x115F, 0x1160),
    (0x3164, 0x3164), (0xFFA0, 0xFFA0),
]  # fmt: skip


@pytest.mark.parametrize(("first", "last"), RANGES, ids=[f"U+{first:04X}" for first, _ in RANGES])
def test_no_unseen_character_of_any_range_remains(first: int, last: int) -> None:
    for point in range(first, last + 1):
        stripped = strip_invisible(f"a{chr(point)}b")

        assert (stripped.text, sum(stripped.removed.values())) == ("ab", 1), hex(point)


@given(
    st.text(st.sampled_from([*"ab @", *(chr(point) for first, last in RANGES for point in (first, last))]))
)
def test_between_latin_letters_nothing_unseen_remains(text: str) -> None:
    stripped = strip_invisible(text)

    assert stripped.text == "".join(character for character in text if character in "ab @")
    assert len(stripped.text) + sum(stripped.removed.values()) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a zero-width non-joiner is spelling
        "\u0915\u094d\u200d\u0937",  # Devanagari: a joiner asks for a half form
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family is one emoji
        "\U0001f44d\U0001f3fd\u200d\U0001f3eb"[:2] + " ok",
        "日本語 naïve café — “quotes”",
    ],
)
def test_scripts_keep_what_they_need(text: str) -> None:
    assert strip_invisible(text).text == text


def test_runs_of_joiners_carry_no_message_between_letters_that_need_one() -> None:
    smuggled = "\u0645\u200c\u200d\u200c\u200c\u062e"

    assert strip_invisible(smuggled).text == "\u0645\u062e"


@pytest.mark.parametrize(
    ("text", "seen", "kind"),
    [
        ("a <!-- do evil --> b", "a  b", "html comment"),
        ("<!--\ndo evil\n-->\nb", "\nb", "html comment"),
        ("a\n\n<!-- never ended\n\ndo evil", "a\n\n", "html comment"),
        ("<div>\n<!-- x\n\ndo evil\n\n<p>\n-->\n</p>", "<div>\n\n\n</p>", "html comment"),
        ("a <? evil ?> b", "a  b", "html comment"),
        ("![do evil](x.png)", "![](x.png)", "image text"),
        ("![do evil][x]", "![[x]]", "image text"),
        ('[x](y "do evil")', "[x](y)", "link title"),
        ('<img src="x" alt="do evil">', '<img src="x">', "html attributes"),
        ('<b title="do evil">b</b>', "<b>b</b>", "html attributes"),
        ("[//]: # (do evil)\n\nb", "b", "link definition"),
        ('[x]: y "do evil"\n\nsee [x]', "[x]: y\n\nsee [x]", "link definition"),
        ("b\n\n[^1]: do evil please", "b\n", "unused footnote"),
        ("```py do evil\nx\n```", "```py\nx\n```", "text behind a code fence"),
        ("a &#8203;&zwnj; b", "a  b", "unseen characters as entities"),
        ("<details><summary>s</summary>\n\nb\n\n</details>", "s\n\nb\n\n", "folded section (opened)"),
        ("pаypal", "pаypal", "words with look-alike letters (kept)"),  # noqa: RUF001
    ],
)
def test_hidden_things_go_and_are_reported(text: str, seen: str, kind: str) -> None:
    revealed = remove_hidden(text)

    assert revealed.text.removeprefix("\n") == seen.removeprefix("\n")
    assert kind in revealed.removed


@pytest.mark.parametrize(
    "text",
    [
        "plain text, *emphasis* and `code <!-- seen -->`",
        "```html\n<!-- seen -->\n<img alt=seen>\n```",
        "    <!-- seen -->",
        "a < b && c > d, List<String>",
        "[text](http://x/y) and <https://x.test>",
        "> quote\n> more\n\n- a\n- b\n\n| a | b |\n|---|---|\n| c | d |",
        "see [x]\n\n[x]: http://y",
        "note[^1]\n\n[^1]: seen below",
        "&lt;b&gt; &amp; &copy;",
    ],
)
def test_what_people_see_stays_as_it_is(text: str) -> None:
    revealed = remove_hidden(text)

    assert (revealed.text, dict(revealed.removed)) == (text, {})


_MARKUP = st.sampled_from(
    [
        "`", "```\n", "\n", "\n\n", "> ", "- ", "<!--", "-->", "evil", "<b", ">", ' alt="', '"', "![", "](u",
        ")", "[a]: ", "&#8203;", "\u200b", "<details>", "</details>", "<?", "?>", "x", " ", "~~~ ", "[^1]:",
        "    ",
    ]
)  # fmt: skip


@given(st.lists(_MARKUP, max_size=14).map("".join))
@settings(max_examples=300, deadline=None)
def test_revealing_twice_is_revealing_once(text: str) -> None:
    once = remove_hidden(text).text

    assert remove_hidden(once).text == once
    assert "\u200b" not in once
