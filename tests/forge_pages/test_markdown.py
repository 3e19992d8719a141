"""What people write in comments appears as GitHub would show it, and nothing in it can act."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.forge.pages.markdown import MarkdownRenderer

RENDER = MarkdownRenderer(repository_path="/maya/shop", is_user={"maya", "darner"}.__contains__)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**bold** ~~gone~~", "<p><strong>bold</strong> <s>gone</s></p>\n"),
        ("before <!-- darner:7 --> after", "<p>before  after</p>\n"),
        ("<!-- hidden\n\nover paragraphs -->\n", "\n"),
        (
            "#1, @maya, @nobody",
            '<p><a href="/maya/shop/issues/1">#1</a>, <strong class="mention">@maya</strong>, @nobody</p>\n',
        ),
        ("`#12 @maya`", "<p><code>#12 @maya</code></p>\n"),
        (
            "at https://a.example/x.",
            '<p>at <a href="https://a.example/x" rel="nofollow">https://a.example/x</a>.</p>\n',
        ),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        ('<a href="java\tscript:alert(1)">x</a>', '<p><a rel="nofollow">x</a></p>\n'),
        ("<script>alert(1)</script>done", "done"),
        ('<img src=x onerror="alert(1)">', '<img src="x">'),
        ("a <b>b", "<p>a <b>b</b></p>\n"),
        ("a < b & c", "<p>a &lt; b &amp; c</p>\n"),
    ],
)
def test_render(text: str, html: str) -> None:
    """Each piece of text becomes exactly this HTML."""
    assert RENDER(text) == html


def test_render_task_list() -> None:
    """A task list shows boxes, ticked where the task is done."""
    assert RENDER("- [ ] one\n- [x] two") == (
        '<ul>\n<li><input type="checkbox" disabled> one</li>\n'
        '<li><input type="checkbox" disabled checked> two</li>\n</ul>\n'
    )


def test_render_details() -> None:
    """A fold keeps its Markdown inside, and one left open does not swallow the page."""
    assert RENDER("<details>\n<summary>Log</summary>\n\n*inside*\n") == (
        "<details>\n<summary>Log</summary>\n<p><em>inside</em></p>\n</details>"
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value for _, value in attrs if value]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "<script>",
                    "</script>",
                    "<img src=x onerror=y>",
                    "<!--",
                    "-->",
                    "<details>",
                    "</details>",
                    "<svg onload=x>",
                    "<a href='javascript:x'>",
                    "`",
                    "```\n",
                    "- [x] ",
                    "\n\n",
                    "<style>",
                    "<b",
                    ">",
                    '"',
                    "&lt;script&gt;",
                    "<textarea>",
                ]
            ),
            st.text(max_size=8),
        ),
        max_size=12,
    ).map("".join)
)
def test_never_render_what_acts(text: str) -> None:
    """Whatever is written, no script, no handler and no unknown tag comes out, and all tags are balanced."""
    html = str(RENDER(text))
    reader = _Reader()
    reader.feed(html)
    assert not reader.tags & {"script", "style", "svg", "iframe", "textarea", "b\n"}
    assert not {name for name in reader.attributes if name.startswith("on")}
    assert not [value for value in reader.values if "javascript:" in value]
    assert html.count("<details") == html.count("</details>")
