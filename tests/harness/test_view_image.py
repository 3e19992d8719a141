"""`view_image`: pictures of the checkout reach the model, nothing else does."""

import base64
from pathlib import Path

import pytest

from harness.items import Answer, Image, ItemId, ItemStatus, ToolItem
from harness.tools import ToolContext, make_tools
from harness.tools.view_image import MOST_BYTES
from sandbox.base import Command, Files, Policy, Process, Sandbox, SandboxMode
from sandbox.files import CheckoutFiles
from tests.harness.scripted import called

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)


class FilesOnly:
    """A sandbox in which nothing is run."""

    policy = Policy(SandboxMode.READ_ONLY)
    tree = -1

    def __init__(self, root: Path) -> None:
        self.files: Files = CheckoutFiles(root, self.policy)

    async def start(self, command: Command) -> Process:
        raise AssertionError(f"{command} was started")


async def view(root: Path, path: str) -> ToolItem:
    async def opened() -> Sandbox:
        return FilesOnly(root)

    tool = make_tools(ToolContext(sandbox=opened))["view_image"]
    return await tool.run(tool.begin(called("c1", "view_image", path=path), ItemId("item_0")))


async def test_a_picture_is_shown(tmp_path: Path) -> None:
    """The kind is told by the bytes, whatever the name says."""
    (tmp_path / "shot.txt").write_bytes(PNG)

    seen = await view(tmp_path, "/workspace/shot.txt")

    assert (seen.status, seen.answer) == (
        ItemStatus.COMPLETED,
        Answer(
            f"/workspace/shot.txt: image/png, {len(PNG)} bytes",
            image=Image("image/png", base64.b64encode(PNG).decode()),
        ),
    )


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
async def test_the_other_kinds(tmp_path: Path, head: bytes, media_type: str) -> None:
    """What the model endpoints take."""
    (tmp_path / "picture").write_bytes(head + bytes(20))

    seen = await view(tmp_path, "picture")

    assert seen.answer is not None
    assert seen.answer.image is not None
    assert seen.answer.image.media_type == media_type


async def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    """Missing, too large, text, or outside: the model reads why, and no byte of it."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "tree" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "tree" / "page.png").write_text("<svg/>")
    (tmp_path / "tree" / "huge.png").write_bytes(PNG + bytes(MOST_BYTES))

    answers = [
        await view(tmp_path / "tree", path)
        for path in ("none.png", "huge.png", "page.png", "link.png", "../secret.png")
    ]

    assert {seen.status for seen in answers} == {ItemStatus.FAILED}
    assert not [seen for seen in answers if seen.answer and seen.answer.image]
    told = [seen.answer.text for seen in answers if seen.answer]
    assert told[:3] == [
        "none.png: no such file in the checkout",
        f"huge.png: larger than {MOST_BYTES} bytes",
        "page.png: not a PNG, JPEG, GIF or WebP image",
    ]
    assert told[3].startswith("link.png: ")
    assert told[4].startswith("../secret.png: ")
