"""Which new files of a checkout nobody wants: asked of git, in a directory that no agent sees."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sandbox.git import Git
from sandbox.result import directories_of

_LISTING: Final = 256 * 1024 * 1024
_QUICK: Final = 120.0
_REMEMBERED: Final = 100_000

RuleFile = Callable[[bytes], Awaitable[bytes | None]]
"""The base's `.gitignore` at a path; None where it has none."""


class IgnoreRules:
    """Which new paths nobody wants, by the base's rules, whatever the agent made of them; remembered."""

    def __init__(self, directory: Path, git: Git, rule_file: RuleFile) -> None:
        self._directory = directory
        self._git = git
        self._rule_file = rule_file
        self._asked: set[bytes] | None = None
        """The directories whose rules are written; None: not even the place for them is made."""
        self._answers: dict[bytes, bool] = {}

    async def ignored(self, paths: Sequence[bytes]) -> set[bytes]:
        """Those of `paths` that a rule matches; directories are given with a slash at the end."""
        if len(self._answers) > _REMEMBERED:
            self._answers.clear()
        unknown = [path for path in paths if path not in self._answers]
        if unknown:
            await self._write_rules(directories_of(path.rstrip(b"/") for path in unknown))
            matched = await self._matched(unknown)
            self._answers.update((path, path in matched) for path in unknown)
        return {path for path in paths if self._answers[path]}

    async def _matched(self, paths: Iterable[bytes]) -> set[bytes]:
        # This command knows no literal paths; the leading dot keeps a name like `:(top)` from being magic.
        output = await self._git.run(
            "check-ignore",
            "--no-index",
            "-z",
            "--stdin",
            stdin=b"".join(b"./%b\0" % path for path in paths),
            limit=_LISTING,
            seconds=_QUICK,
            accept=(0, 1),
            environment={
                "GIT_WORK_TREE": str(self._directory),
                "GIT_INDEX_FILE": "/dev/null",
                "GIT_LITERAL_PATHSPECS": "0",
            },
        )
        return {path.removeprefix(b"./") for path in output.split(b"\0")} - {b""}

    async def _write_rules(self, directories: set[bytes]) -> None:
        """Only rules in a directory above a path can concern it."""
        if self._asked is None:
            await asyncio.to_thread(_make_empty, self._directory)
            self._asked = set()
        found: dict[bytes, bytes] = {}
        for directory in directories - self._asked:
            path = directory + b"/.gitignore" if directory else b".gitignore"
            if (data := await self._rule_file(path)) is not None:
                found[path] = data
        self._asked |= directories
        await asyncio.to_thread(_write_all, self._directory, found)


def _make_empty(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()


def _write_all(directory: Path, rule_files: Mapping[bytes, bytes]) -> None:
    for path, data in rule_files.items():
        place = Path(os.fsdecode(os.fsencode(directory) + b"/" + path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
