"""The patch engine: text of an `apply_patch` envelope → operations → results in memory → one atomic edit.

It never touches a disk itself: files are read and written through `sandbox.base.Files` only.
"""

from harness.patch.parser import (
    AddFile,
    Chunk,
    DeleteFile,
    Operation,
    Patch,
    PatchLine,
    PatchRefused,
    UpdateFile,
    parse,
)
from harness.patch.planning import Plan, Summary, apply, plan

__all__ = [
    "AddFile",
    "Chunk",
    "DeleteFile",
    "Operation",
    "Patch",
    "PatchLine",
    "PatchRefused",
    "Plan",
    "Summary",
    "UpdateFile",
    "apply",
    "parse",
    "plan",
]
