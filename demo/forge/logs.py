"""Where logs and artifacts lie: addresses that need no credential and soon stop working, as GitHub's do.

https://docs.github.com/en/rest/actions/workflow-jobs#download-job-logs-for-a-workflow-run
https://docs.github.com/en/rest/actions/artifacts#download-an-artifact
"""

from __future__ import annotations

import hashlib
import hmac
import re

from starlette.types import Receive, Scope, Send

from demo.forge.actions import artifacts
from demo.forge.state import Artifact, State, WorkflowJob

PLACE = "/_logs/"
SECONDS = 60
_ADDRESS = re.compile(rf"{PLACE}(?P<id>\d+)/(?P<until>\d+)/(?P<seal>[0-9a-f]{{32}})")


def address_of(state: State, kept: WorkflowJob | Artifact) -> str:
    """Of a job's log, or of an artifact's archive."""
    until = int(state.clock().timestamp()) + SECONDS
    return f"{state.web_url}{PLACE}{kept.id}/{until}/{_seal(state, kept.id, until)}"


class Logs:
    """Answers such addresses."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        kept = self._kept(str(scope["path"]))
        status, media, body = 200, b"text/plain; charset=utf-8", b""
        if isinstance(kept, WorkflowJob):
            body = kept.log.encode()
        elif kept is not None and not artifacts.is_expired(self._state, kept):
            media, body = b"application/zip", artifacts.archive_of(self._state, kept)
        else:
            status, body = 403, b"The address has expired."
        headers = [(b"content-type", media), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _kept(self, path: str) -> WorkflowJob | Artifact | None:
        """What lies at the address; None where it was made up, or is too old."""
        named = _ADDRESS.fullmatch(path)
        if named is None:
            return None
        kept, until = int(named["id"]), int(named["until"])
        is_sound = hmac.compare_digest(_seal(self._state, kept, until), named["seal"])
        if not is_sound or until < self._state.clock().timestamp():
            return None
        # No two records of any kind have one number.
        return self._state.find(WorkflowJob, kept) or self._state.find(Artifact, kept)


def _seal(state: State, kept: int, until: int) -> str:
    key = str(state.home).encode()
    return hmac.new(key, f"{kept}/{until}".encode(), hashlib.sha256).hexdigest()[:32]
