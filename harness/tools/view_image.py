"""The tool `view_image`: an image of the checkout, shown to the model. Never reads outside the checkout."""

import asyncio
import base64
from dataclasses import replace
from typing import Final

from pydantic import Field

from harness.items import Answer, Call, Image, ItemId, ItemStatus, ToolCall, ToolItem
from harness.protocols import ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext
from sandbox.base import FileMissing, FileTooLarge, PathRefused

MOST_BYTES: Final = 4 * 1024 * 1024
"""It goes into every later request of the turn, a third larger as base64."""


class ViewImageArguments(Arguments):
    path: str = Field(min_length=1, description="Path in the checkout.")


class ViewImage:
    is_parallel = True
    spec = ToolSpec(
        name="view_image",
        description="Shows you an image file (PNG, JPEG, GIF, WebP) of the checkout.",
        parameters=schema_of(ViewImageArguments),
    )

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        read_arguments(ViewImageArguments, call.arguments)
        return ToolCall(id=item_id, call=call)

    async def run(self, item: ToolItem) -> ToolItem:
        path = read_arguments(ViewImageArguments, item.call.arguments).path
        files = (await self._context.sandbox()).files
        try:
            content = await asyncio.to_thread(files.read, path, limit=MOST_BYTES)
        except (FileMissing, PathRefused, FileTooLarge) as refusal:
            return replace(item, status=ItemStatus.FAILED, answer=Answer(str(refusal)))
        media_type = media_type_of(content.data)
        if media_type is None:
            why = f"{path}: not a PNG, JPEG, GIF or WebP image"
            return replace(item, status=ItemStatus.FAILED, answer=Answer(why))
        image = Image(media_type, base64.b64encode(content.data).decode("ascii"))
        told = f"{path}: {media_type}, {len(content.data):,} bytes"
        return replace(item, status=ItemStatus.COMPLETED, answer=Answer(told, image=image))


def media_type_of(data: bytes) -> str | None:
    """By the first bytes, never by the name. https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern"""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:14] == b"WEBPVP":
        return "image/webp"
    return None
