"""Where the logs of jobs lie: addresses that need no credential and soon stop working, as GitHub's do.

https://docs.github.com/en/rest/actions/workflow-jobs#download-job-logs-for-a-workflow-run
"""

from __future__ import annotations

import hashlib
import hmac
import re

from starlette.types import Receive, Scope, Send

from demo.forge.state import State, WorkflowJob

PLACE = "/_logs/"
SECONDS = 60
_ADDRESS = re.compile(rf"{PLACE}(?P<job>\d+)/(?P<until>\d+)/(?P<seal>[0-9a-f]{{32}})")


def address_of(state: State, job: WorkflowJob) -> str:
    until = int(state.clock().timestamp()) + SECONDS
    return f"{state.web_url}{PLACE}{job.id}/{until}/{_seal(state, job.id, until)}"


class Logs:
    """Answers such addresses."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        text = self._text(str(scope["path"]))
        body = (text if text is not None else "The address has expired.").encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        status = 403 if text is None else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _text(self, path: str) -> str | None:
        named = _ADDRESS.fullmatch(path)
        if named is None:
            return None
        job, until = int(named["job"]), int(named["until"])
        is_sound = hmac.compare_digest(_seal(self._state, job, until), named["seal"])
        if not is_sound or until < self._state.clock().timestamp():
            return None
        return self._state.get(WorkflowJob, job).log


def _seal(state: State, job: int, until: int) -> str:
    key = str(state.home).encode()
    return hmac.new(key, f"{job}/{until}".encode(), hashlib.sha256).hexdigest()[:32]
