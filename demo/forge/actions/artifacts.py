"""What the jobs of a run leave behind: zip archives, kept as files until they expire.

https://docs.github.com/en/rest/actions/artifacts
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from demo.forge.refusals import Refused
from demo.forge.state import Artifact, State, WorkflowRun

KEPT = timedelta(days=90)
"""As on GitHub, unless somebody chooses otherwise."""


def packed(files: Mapping[str, bytes]) -> bytes:
    """A zip archive of these files, as the step `actions/upload-artifact` makes one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def upload(state: State, run: WorkflowRun, *, name: str, archive: bytes) -> Artifact:
    """An artifact of the run's present attempt."""
    with state.lock:
        now = state.clock()
        artifact = Artifact(
            id=state.next_id(),
            repo_id=run.repo_id,
            run_id=run.id,
            name=name,
            size=len(archive),
            digest=f"sha256:{hashlib.sha256(archive).hexdigest()}",
            created_at=now,
            expires_at=now + KEPT,
        )
        place = _place(state, artifact)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(archive)
        return state.put(artifact)


def expire(state: State, artifact: Artifact) -> Artifact:
    """Its time is over: it is still listed, and cannot be had any more."""
    with state.lock:
        _place(state, artifact).unlink(missing_ok=True)
        return state.put(replace(artifact, expires_at=state.clock()))


def is_expired(state: State, artifact: Artifact) -> bool:
    return artifact.expires_at <= state.clock()


def require_kept(state: State, artifact: Artifact) -> None:
    """Raises the refusal of an artifact that has expired."""
    if is_expired(state, artifact):
        raise Refused(410, "Artifact has expired")


def archive_of(state: State, artifact: Artifact) -> bytes:
    return _place(state, artifact).read_bytes()


def _place(state: State, artifact: Artifact) -> Path:
    return state.home / "artifacts" / f"{artifact.id}.zip"
