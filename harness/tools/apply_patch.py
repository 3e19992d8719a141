"""The tool `apply_patch`: edits the files of the checkout, all hunks or none. Runs nothing."""

import asyncio
from dataclasses import replace
from typing import Final, assert_never

from pydantic import Field

from harness.items import Answer, Call, FileChange, ItemId, ItemStatus, PathChange, ToolItem
from harness.patch import AddFile, DeleteFile, Operation, PatchRefused, UpdateFile, apply, parse, plan
from harness.protocols import ArgumentsRefused, ToolSpec
from harness.tools.arguments import Arguments, read_arguments, schema_of
from harness.tools.context import ToolContext
from sandbox.base import Files

GRAMMAR: Final = r"""start: begin operation+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?
operation: add | delete | update
add: "*** Add File: " PATH LF (ADDED LF)+
delete: "*** Delete File: " PATH LF
update: "*** Update File: " PATH LF move? chunk+
move: "*** Move to: " PATH LF
chunk: PLACE LF (LINE LF)+ end_of_file?
end_of_file: "*** End of File" LF
PATH: /[^\n]+/
PLACE: /@@( [^\n]*)?/
ADDED: /\+[^\n]*/
LINE: /[ +-][^\n]*/
%import common.LF
"""

DESCRIPTION: Final = """\
Edits files: all of the patch is applied, or nothing. Its text:
*** Begin Patch
*** Update File: path/in/checkout
@@ optional line above the place, such as a def or class
 kept line
-removed line
+added line
*** End Patch
More files may follow: `*** Add File: PATH` with only `+` lines, `*** Delete File: PATH`, \
`*** Update File: PATH` then optionally `*** Move to: PATH`. Give 3 kept lines around each change; \
start each chunk with `@@`, in the order of the file; `*** End of File` after a chunk ties it to the end."""


class ApplyPatchArguments(Arguments):
    input: str = Field(min_length=1, description="The whole patch.")


class ApplyPatch:
    is_parallel = False
    spec = ToolSpec(
        name="apply_patch",
        description=DESCRIPTION,
        parameters=schema_of(ApplyPatchArguments),
        grammar=GRAMMAR,
    )

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def begin(self, call: Call, item_id: ItemId) -> ToolItem:
        try:
            patch = parse(_text_of(call))
        except PatchRefused as refusal:
            raise ArgumentsRefused(f"No file was changed. {refusal}") from refusal
        return FileChange(id=item_id, call=call, changes=tuple(map(_change_of, patch.operations)))

    async def run(self, item: ToolItem) -> ToolItem:
        files = (await self._context.sandbox()).files
        applying = asyncio.ensure_future(asyncio.to_thread(_applied, _text_of(item.call), files))
        try:
            answer = await asyncio.shield(applying)
        except PatchRefused as refusal:
            told = Answer(f"No file was changed. {refusal}")
            return replace(item, status=ItemStatus.FAILED, answer=told)
        finally:
            # A thread cannot be cancelled: a turn that is stopped now must not be edited after its end.
            await asyncio.wait([applying])
        return replace(item, status=ItemStatus.COMPLETED, answer=Answer(answer))


def _text_of(call: Call) -> str:
    return (
        call.arguments if call.kind == "custom" else read_arguments(ApplyPatchArguments, call.arguments).input
    )


def _applied(text: str, files: Files) -> str:
    return str(apply(plan(parse(text), files), files))


def _change_of(operation: Operation) -> PathChange:
    match operation:
        case AddFile(path=path):
            return PathChange(path, "add")
        case DeleteFile(path=path):
            return PathChange(path, "delete")
        case UpdateFile(path=path, move_to=move_to):
            return PathChange(path, "update", moved_to=move_to)
        case _:
            assert_never(operation)
