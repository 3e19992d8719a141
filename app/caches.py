"""The directories that turns of one repository and one trust level share: pip's, npm's and the like."""

import os
from pathlib import Path

from sandbox.base import Policy


def caches_of(home: Path, repository: str) -> Path:
    """Where the caches of a repository lie, known by its id; `handlers.policy` says what is below."""
    return home / "caches" / repository


def make_caches(policy: Policy, *, owner_uid: int | None) -> None:
    """Make the directories that `policy.caches` names, for `owner_uid` to write in."""
    for cache in policy.caches:
        cache.source.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        cache.source.mkdir(exist_ok=True, mode=0o700)
        if owner_uid is not None:
            os.chown(cache.source, owner_uid, owner_uid)
