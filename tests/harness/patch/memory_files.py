"""A checkout in memory behind the `Files` contract, quick enough for thousands of generated patches."""

from collections.abc import Mapping, Sequence

from sandbox.base import FileContent, FileEdit, FileMissing, FileTooLarge, PathRefused, WriteFile


class MemoryFiles:
    """Keeps the contract of `sandbox.base.Files` over a dictionary. Counts the edits it was given."""

    def __init__(self, files: Mapping[str, bytes | FileContent]) -> None:
        self._files = {
            path: FileContent(content, executable=False) if isinstance(content, bytes) else content
            for path, content in files.items()
        }
        self.applied = 0

    @property
    def contents(self) -> dict[str, bytes]:
        return {path: content.data for path, content in self._files.items()}

    @property
    def executables(self) -> set[str]:
        return {path for path, content in self._files.items() if content.executable}

    def read(self, path: str, *, limit: int) -> FileContent:
        self._refuse(path)
        content = self._files.get(path)
        if content is None:
            raise FileMissing(path)
        if len(content.data) > limit:
            raise FileTooLarge(path, limit)
        return content

    def apply(self, edits: Sequence[FileEdit]) -> None:
        after = dict(self._files)
        for edit in edits:
            self._refuse(edit.path)
            if isinstance(edit, WriteFile):
                before = after.get(edit.path)
                kept = before is not None and before.executable
                after[edit.path] = FileContent(
                    edit.data, kept if edit.executable is None else edit.executable
                )
            elif after.pop(edit.path, None) is None:
                raise FileMissing(edit.path)
        self._files = after
        self.applied += 1

    def _refuse(self, path: str) -> None:
        if path.startswith("/") or ".." in path.split("/"):
            raise PathRefused(path, "leads outside the checkout")
        if any(other.startswith(f"{path}/") for other in self._files):
            raise PathRefused(path, "is a directory")
