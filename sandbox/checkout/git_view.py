"""The git directory that the commands of a turn see: it only reads, and the host never runs git with it."""

from pathlib import Path
from typing import Final

from sandbox.base import OBJECTS
from sandbox.git.mirror import ATTRIBUTES, EXCLUDES

_VIEW_CONFIG: Final = """\
[core]
\trepositoryformatversion = 0
\tbare = false
\tfilemode = true
\tsymlinks = true
\tlogAllRefUpdates = false
\tcheckStat = minimal
\ttrustctime = false
\tautocrlf = false
\thooksPath = /dev/null
[gc]
\tauto = 0
"""


def write_view(git: Path, *, head: str, objects: str = OBJECTS) -> None:
    """A git directory that only reads: no remotes, no hooks, objects borrowed from the store at `objects`."""
    for directory in (git, git / "info", git / "refs", git / "objects", git / "objects/info"):
        directory.mkdir()
        directory.chmod(0o755)
    for name, text in (
        ("HEAD", head),
        ("config", _VIEW_CONFIG),
        ("info/attributes", ATTRIBUTES),
        ("info/exclude", EXCLUDES),
        ("objects/info/alternates", f"{objects}\n"),
    ):
        (git / name).write_text(text, encoding="utf-8")
        (git / name).chmod(0o644)
