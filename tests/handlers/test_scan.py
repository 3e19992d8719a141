"""Whatever leaves the house informs people and commands no one."""

import base64
import codecs
import re
import unicodedata
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from handlers.markdown import Region, RegionKind, split_regions
from handlers.redact import REMOVED, redact
from handlers.scan import clean, clean_line, scan

HOSTS: Final = ("forge.test:8080",)


def leaving(text: str) -> str:
    return scan(text, allowed_mentions=["octocat"], own_hosts=HOSTS).text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Thanks @octocat and @bob!", "Thanks @octocat and `@bob`!"),
        ("@octo/team look", "`@octo/team` look"),
        ("mail bob@example.com", "mail bob@example.com"),
        ("`@property` stays", "`@property` stays"),
        ("a`x`@bob", "a`x` `@bob`"),
        ("stray ` and @bob", "stray \\` and `@bob`"),
        ("\\@bob \\<b> \\![i](x) fixes \\#3 \\*", "`@bob` &lt;b> [i] (x) fixes `#3` \\*"),
        ("```py\n@cached\n/merge\n/usr/lib\n```", "```py\n@cached\n /merge\n/usr/lib\n```"),
        ("/merge", "`/merge`"),
        ("> /lgtm", "> `/lgtm`"),
        ("- /approve now", "- `/approve` now"),
        ("see /usr/lib", "see /usr/lib"),
        ("bors r+", "`bors` r+"),
        ("atlantis apply", "`atlantis` apply"),
        ("this fixes #12.", "this fixes `#12`."),
        ("Resolves: octo/calc#3", "Resolves: `octo/calc#3`"),
        ("closes http://forge.test:8080/o/r/issues/3", "closes `http://forge.test:8080/o/r/issues/3`"),
        ("Closes #7", "Closes #7"),
        ("it Closes #7", "it Closes `#7`"),
        ("see #12", "see #12"),
        ("[x](http://forge.test:8080/a)", "[x](http://forge.test:8080/a)"),
        ("[x](#top)", "[x](#top)"),
        ("[x](http://evil.test/a)", "[x] (`http://evil.test/a`)"),
        ("[x](//evil.test)", "[x] (//evil.test)"),
        ("[x](javascript:alert)", "[x] (javascript:alert)"),
        ("http://forge.test:8080@evil.test/", "`http://forge.test:8080@evil.test/`"),
        ("http://forge.test:8080.evil.test/", "`http://forge.test:8080.evil.test/`"),
        ("see www.evil.test.", "see `www.evil.test`."),
        ("<https://evil.test>", "`https://evil.test`"),
        ("![pixel](http://evil.test/p.png)", "[pixel] (`http://evil.test/p.png`)"),
        ("[x]: http://evil.test\n\n[x]", "\\[x]: `http://evil.test`\n\n[x]"),
        ("<img src=x>", "&lt;img src=x>"),
        ("a <b>b</b>", "a &lt;b>b&lt;/b>"),
        ("1 < 2 & 3", "1 < 2 & 3"),
        ("a<!-- darner:comment:x:1 -->b", "ab"),
        ("<!-- open", "&lt;!-- open"),
        ("&#64;bob", "&amp;#64;bob"),
        ("&lt;b&gt;", "&lt;b&gt;"),
        ("_@bob_ and __@eve__", "_`@bob_` and __`@eve__`"),
        ("_closes #7_", "_closes `#7`_"),
        ("\\](http://forge.test:8080/x)@bob", "\\](http://forge.test:8080/x)`@bob`"),
        ("(http://forge.test:8080/x_(y))http://e.test", "(http://forge.test:8080/x_(y))`http://e.test`"),
        ("_Fixes GH-7_", "_Fixes `GH-7`_"),
        ("\u202ebob\u202c\u200b", "bob"),
        ("| @bob | `|` |\n|---|---|\n| @eve | x |", "| `@bob` | `|` |\n|---|---|\n| `@eve` | x |"),
    ],
)
def test_what_would_act_is_shown_and_made_inert(text: str, shown: str) -> None:
    assert leaving(text) == shown


def test_the_templates_folded_sections_pass_and_hold_markdown() -> None:
    text = "<details>\n<summary>The patch by @eve</summary>\n\n```diff\n+@x\n```\n\n</details>"

    assert leaving(text) == text.replace("@eve", "\uff20eve")


def test_findings_say_what_was_done() -> None:
    scanned = scan("@bob fixes #3 ![i](http://x.test) ghp_" + "a" * 36)

    assert scanned.findings == {
        "mention": 1,
        "closing keyword": 1,
        "image": 1,
        "foreign link": 2,
        "github token": 1,
    }


SECRET: Final = "hunter2-Sesame/Open+42"


def encodings(secret: str) -> dict[str, str]:
    raw = secret.encode()
    return {
        "raw": secret,
        "reversed": secret[::-1],
        "base64": base64.b64encode(raw).decode(),
        "base64 behind one byte": base64.b64encode(b"x" + raw + b"yz").decode(),
        "base64 behind two bytes": base64.b64encode(b"xy" + raw + b"z").decode(),
        "base64url": base64.urlsafe_b64encode(b"?" + raw).decode(),
        "base64 in lines": "\n".join(re.findall(".{1,8}", base64.b64encode(raw).decode())),
        "hex": raw.hex(),
        "HEX": raw.hex().upper(),
        "hex with colons": raw.hex(":"),
        "hex escapes": "".join(f"\\x{byte:02x}" for byte in raw),
        "percent": quote(secret, safe=""),
        "all percent": "".join(f"%{byte:02X}" for byte in raw),
        "entities": "".join(f"&#{byte};" for byte in raw),
        "spaced": " ".join(secret),
        "one a line": "\n".join(secret),
        "zero-width": "\u200b".join(secret),
        "tagged": "\U000e0041".join(secret),
        "reversed base64": base64.b64encode(raw[::-1]).decode(),
        "base64 twice": base64.b64encode(base64.b64encode(raw)).decode(),
        "base64 of hex": base64.b64encode(raw.hex().encode()).decode(),
        "base32": base64.b32encode(raw).decode(),
        "base32 in small letters": base64.b32encode(raw).decode().lower(),
        "rot13": codecs.encode(secret, "rot13"),
        "percent twice": "".join(f"%25{byte:02x}" for byte in raw),
        "mail": "".join(f"={byte:02X}" for byte in raw),
        "JSON": "".join(f"\\u{byte:04x}" for byte in raw),
        "octal": "".join(f"\\{byte:03o}" for byte in raw),
        "full width": "".join(chr(byte + 0xFEE0) for byte in raw),
    }


def disguises(secret: str) -> dict[str, str]:
    """Seen through where a secret has enough letters and digits to be told from ordinary words."""
    return {
        "dashes between": "-".join(secret),
        "dots between": ".".join(secret),
        "bold": "**".join(secret),
        "quoted": '" + "'.join(secret),
        "list": "\n".join(f"- {character}" for character in secret),
        "cells": "|".join(secret),
        "other case": secret.swapcase(),
    }


def survivors(text: str, secret: str) -> list[str]:
    """The encodings in which the secret can still be read out of `text`."""
    bare = re.sub(r"[^!-~]", "", unicodedata.normalize("NFKC", text))
    return [
        name
        for name, encoded in (encodings(secret) | disguises(secret)).items()
        if re.sub(r"[^!-~]", "", unicodedata.normalize("NFKC", encoded))[4:-4] in bare or secret in bare
    ]


@pytest.mark.parametrize("name", [*encodings(SECRET), *disguises(SECRET)])
@pytest.mark.parametrize("form", ["before {} after", "```\n{}\n```", "`{}`", "{}"])
def test_a_live_secret_leaves_in_no_encoding(name: str, form: str) -> None:
    text = form.format((encodings(SECRET) | disguises(SECRET))[name])

    scanned = scan(text, secrets=[SECRET])

    assert survivors(scanned.text, SECRET) == []
    assert REMOVED in scanned.text


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60),
    st.text(max_size=30),
    st.text(max_size=30),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_no_secret_survives_any_encoding(secret: str, before: str, after: str, data: st.DataObject) -> None:
    assume(len(set(secret)) > 5)
    name = data.draw(st.sampled_from(sorted(encodings(secret))))

    scanned = scan(f"{before} {encodings(secret)[name]} {after}", secrets=[secret])

    assert survivors(scanned.text, secret) == []


@pytest.mark.parametrize(
    "token",
    [
        "ghs_" + "A1b2" * 9,
        "ghs_12345_" + "eyJhbGciOi.JSUzI1NiJ9.x-y_z" * 18,
        "ghp_" + "a" * 36,
        "github_pat_" + "1" * 22 + "_" + "b" * 59,
        "sk-proj-" + "Ab1_" * 12,
        "AKIA" + "ABCDEFGH12345678",
        "xoxb-1234567890-abcdef",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nnever ended",
    ],
)
def test_whatever_looks_like_a_token_goes(token: str) -> None:
    redacted = redact(f"a {token}", secrets=[])

    assert redacted.text == f"a {REMOVED}"


def test_halves_of_a_secret_do_not_find_together() -> None:
    """Taking the inner secret out joins the halves of the outer one; both go."""
    text = SECRET[:9] + SECRET + SECRET[9:]

    assert survivors(scan(text, secrets=[SECRET]).text, SECRET) == []
    assert survivors(scan("hunter2-<!-- x -->Sesame/Open+42", secrets=[SECRET]).text, SECRET) == []


_MARKUP = st.sampled_from(
    [
        "`", "``", "```\n", "~~~\n", "\n", "\n\n", "> ", "- ", "    ", "@bob", "@octocat", "/merge", "<!--",
        "-->", "<b>", "<details>", "</details>", "<summary>", "[a]", "](http://evil.test)", "&#64;",
        "](http://forge.test:8080/x)", "![", "]: http://e.test", "[a]: http://e.test", "http://e.test/a",
        "www.e.test", "fixes #3", "Closes #7", "&amp;", "<https://e.test>", "|", "|---|---|\n", "\\", "*",
        "# ", "===\n", "x", " ", "bors r+",
        "<", ">", "\t", "$", "<br>", "\u200b", "</", "1. ", "\r\n",
    ]
)  # fmt: skip


@given(st.lists(_MARKUP, max_size=14).map("".join))
@settings(max_examples=400, deadline=None)
def test_a_second_scan_changes_nothing(text: str) -> None:
    once = leaving(text)

    assert leaving(once) == once


class Rendered(HTMLParser):
    """What GitHub's own steps after Markdown look at: text outside code, links, and what else there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.others: set[str] = set()
        self._code = 0
        options = {"html": True}
        self.feed(MarkdownIt("commonmark", options).enable(["table", "strikethrough"]).render(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._code += tag in ("code", "pre")
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag in ("img", "b", "script", "iframe"):
            self.others.add(tag)

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.add(f"comment {data}")


@given(st.lists(_MARKUP, max_size=14).map("".join))
@settings(max_examples=500, deadline=None)
def test_nothing_that_is_rendered_acts(text: str) -> None:
    """Judged by the rendered page, as GitHub's filters see it, not by the source that we wrote."""
    sent = leaving(text)
    rendered = Rendered(sent)

    # Other bots read the source.
    assert not re.search(r"(?m)^/merge(?![\w/.-])", sent)
    assert rendered.others == set()
    assert [link for link in rendered.links if not link.startswith(("http://forge.test:8080/", "#"))] == []
    for shown in rendered.texts:
        assert not re.search(r"(?<![A-Za-z0-9_])@bob", shown)
        assert not re.search(r"\b(?i:fixes|closes) #3\b", shown)
        assert not re.search(r"(?<!\w)(?:http://e|www\.e)", shown) or "<" in sent


@given(st.lists(_MARKUP, max_size=14).map("".join))
@settings(max_examples=300, deadline=None)
def test_what_the_model_wrote_cannot_leave_its_place(text: str) -> None:
    """Nothing after an embedded text becomes code or is folded away by it."""
    sentinel = "Turn 1"

    embedded = leaving(f"ours\n\n{clean(text)}\n\n{sentinel}")

    regions = split_regions(embedded)
    assert regions[-1] == Region(RegionKind.PROSE, sentinel)
    assert RegionKind.HTML not in {region.kind for region in regions}


def test_the_models_closing_words_do_not_pass_for_ours() -> None:
    assert leaving(clean("Closes #7")) == "Closes `#7`"


@pytest.mark.parametrize(
    "text", ["x" * 500, "```\n" + "y\n" * 300, "@bob " * 100, "<details>\n\n" + "z " * 300]
)
def test_a_long_text_is_cut_with_a_mark(text: str) -> None:
    scanned = scan(text, limit=200)

    assert len(scanned.text) <= 200
    assert "cut here" in scanned.text
    assert scan(scanned.text, limit=200).text == scanned.text


def test_a_title_is_one_plain_line() -> None:
    assert (
        clean_line("Fix\n@bob's  *thing* (fixes #3)", limit=80) == "Fix \uff20bob's *thing* (fixes issue 3)"
    )
    assert clean_line("x" * 50, limit=10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("title", "told"),
    [
        ("Crash [skip ci]", "Crash \uff3bskip ci]"),
        ("[CI SKIP] crash", "\uff3bCI SKIP] crash"),
        ("crash [no ci][actions skip]", "crash \uff3bno ci]\uff3bactions skip]"),
        ("skip-checks: true", "skip checks: true"),
    ],
)
def test_a_title_cannot_switch_the_checks_off(title: str, told: str) -> None:
    assert clean_line(title, limit=80) == told


def test_trailers_of_a_commit_message_pass_the_plain_form() -> None:
    message = "Fix it\n\nDarner-Turn: 1\nCo-authored-by: octocat <1+octocat@users.noreply.github.com>\n"

    assert scan(message, form="plain").text == message
