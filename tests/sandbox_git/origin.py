"""A real repository to fetch from and push to, made with plain git as a person would make it."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sandbox.git import Remote

DAY = 1_700_000_000
AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": f"{DAY} +0000",
    "GIT_COMMITTER_DATE": f"{DAY} +0000",
}


class Origin:
    """A bare repository at `directory`, and a work tree beside it to write its commits in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work = directory.parent / f"{directory.name}-work"
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(directory), cwd=directory.parent)
        # As GitHub allows: https://git-scm.com/docs/git-config#Documentation/git-config.txt-uploadpackallowAnySHA1InWant
        self.git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=directory)
        self.git("init", "--quiet", "--initial-branch=main", str(self.work), cwd=directory.parent)

    @property
    def remote(self) -> Remote:
        return Remote(url=f"file://{self.directory}", username="x-access-token", token="")

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        *,
        branch: str = "main",
        executable: tuple[str, ...] = (),
        links: Mapping[str, str] | None = None,
    ) -> str:
        """Write `files` (None removes one) on top of what is there, push, and tell the commit's SHA."""
        for name, content in files.items():
            path = self.work / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        for name in executable:
            (self.work / name).chmod(0o755)
        for name, target in (links or {}).items():
            (self.work / name).symlink_to(target)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A day's work")
        self.git("push", "--quiet", "--force", str(self.directory), f"HEAD:refs/heads/{branch}")
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str) -> str | None:
        """Where a branch of the bare repository is."""
        return (
            self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{name}", cwd=self.directory)
            or None
        )

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        finished = subprocess.run(
            ("git", *arguments),
            cwd=cwd or self.work,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **AUTHOR},
            check=True,
            capture_output=True,
            timeout=180,
        )
        return finished.stdout.decode().strip()
