"""The flags of `docker run`, read from the documents: what is tested is what people are told."""

import re
import shlex
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# Where it listens, what it keeps and its settings: each installation's own.
_ITS_OWN: Final = ("--publish", "--volume", "--env-file")
_ALONE: Final = ("--read-only", "--detach")


def documented_flags() -> list[str]:
    """Each with its value, as it is written."""
    text = (ROOT / "docs" / "operations.md").read_text()
    command = re.search(r"^docker run (--detach .*?) darner$", text, flags=re.MULTILINE | re.DOTALL)
    assert command, "docs/operations.md has no `docker run` command"
    words = iter(shlex.split(command[1].replace("\\\n", " ")))
    flags = [word if word in _ALONE else f"{word} {next(words)}" for word in words]
    return [flag for flag in flags if flag != "--detach" and not flag.startswith(_ITS_OWN)]
