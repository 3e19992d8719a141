"""Git over HTTP: `git http-backend` as a streamed CGI with GitHub's refusals around it; it parses no pack."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.types import Receive, Scope, Send

from demo.forge.actions.actor import CONTENTS_WRITE, Actor, granted
from demo.forge.actions.pulls import branch_moved
from demo.forge.faults import FaultKind, Faults
from demo.forge.git import ZERO, Git, environment, program
from demo.forge.identity import viewer_of
from demo.forge.refusals import ForgeError, Refused
from demo.forge.rest.api import BAD_GATEWAY, broken_answer, drop
from demo.forge.state import ROLES, Repository, State, Viewer

Service = Literal["git-upload-pack", "git-receive-pack"]
ROUTE = re.compile(
    r"/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.*)"
)
LARGEST_FILE = 100 * 1024 * 1024
DECLINED = b"pre-receive hook declined"

# Runs inside receive-pack, where the pushed objects are in quarantine and can still be refused. The words
# are GitHub's: https://docs.github.com/en/repositories/working-with-files/managing-large-files and
# https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository
PRE_RECEIVE = r"""#!/bin/sh
refuse() { printf '%s' "$1" >"$FORGE_REASON"; exit 1; }
zero=0000000000000000000000000000000000000000
while read -r old new ref; do
    case " $FORGE_PROTECTED " in *" $ref "*)
        echo "error: GH006: Protected branch update failed for $ref." >&2
        echo "error: Changes must be made through a pull request." >&2
        refuse "protected branch hook declined";;
    esac
    [ "$new" = "$zero" ] && continue
    if [ "$FORGE_WORKFLOWS" = denied ]; then
        touched=$(git log --format= --name-only "$new" --not --all -- .github/workflows | head -n 1)
        [ -n "$touched" ] && refuse "refusing to allow a GitHub App to create or update workflow \
\`$touched\` without \`workflows\` permission"
    fi
    large=$(git rev-list --objects "$new" --not --all |
        git cat-file --batch-check='%(objecttype) %(objectsize) %(rest)' |
        awk -v max="$FORGE_LARGEST" '$1 == "blob" && $2 > max {
            size = $2; $1 = $2 = ""; sub(/^ +/, "")
            printf "error: File %s is %.2f MB; this exceeds GitHub'"'"'s file size limit of 100.00 MB\n",
                $0, size / 1048576 }')
    if [ -n "$large" ]; then
        echo "error: See https://gh.io/lfs for more information." >&2
        echo "$large" >&2
        echo "error: GH001: Large files detected. You may want to try Git Large File Storage - \
https://git-lfs.github.com." >&2
        refuse "pre-receive hook declined"
    fi
done
exit 0
"""


class Rejected(ForgeError):
    """A request that never reaches git: a status and a line that git shows as `remote:`."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    ref: str
    before: str
    after: str


class GitHttp:
    """Answers `/OWNER/REPO.git/…`; one push at a time to a repository."""

    def __init__(self, state: State, *, faults: Faults) -> None:
        self._state = state
        self._faults = faults
        self._locks: dict[int, asyncio.Lock] = {}
        self._hooks = state.home / "hooks"
        self._hooks.mkdir(exist_ok=True)
        hook = self._hooks / "pre-receive"
        hook.write_text(PRE_RECEIVE)
        hook.chmod(0o755)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        fault = self._faults.take(str(scope["method"]), str(scope["path"]))
        if fault is not None and fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        broken = broken_answer(fault, clock=self._state.clock)
        if broken is not None:
            await _answer(send, broken.status, broken.body, {"content-type": "text/plain"})
            return
        try:
            service, repo, viewer, path_info = self._admit(scope, headers)
        except Moved as moved:
            await _answer(send, 301, b"", {"location": moved.url})
            return
        except Rejected as rejected:
            extra = {"www-authenticate": 'Basic realm="GitHub"'} if rejected.status == 401 else {}
            line = rejected.line.encode() + b"\n"
            await _answer(send, rejected.status, line, {"content-type": "text/plain"} | extra)
            return
        cgi = self._environment(scope, headers, repo=repo, viewer=viewer, path_info=path_info)
        if service == "git-receive-pack" and scope["method"] == "POST":
            lock = self._locks.setdefault(repo.id, asyncio.Lock())
            async with lock:
                status, sent, body = await self._receive_pack(receive, repo=repo, viewer=viewer, cgi=cgi)
            if fault is not None and fault.kind is FaultKind.DROP_AFTER_WRITE:
                await drop(send)
            elif fault is not None and fault.kind is FaultKind.BAD_GATEWAY_AFTER_WRITE:
                await _answer(send, BAD_GATEWAY.status, BAD_GATEWAY.body, {"content-type": "text/plain"})
            else:
                await _answer(send, status, body, sent)
            return
        await _stream(cgi, body=_chunks(receive), send=send)

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> tuple[Service, Repository, Viewer, str]:
        """Who comes, for what; Rejected in GitHub's words otherwise."""
        match = ROUTE.fullmatch(str(scope["path"]))
        if match is None:
            raise Rejected(404, "Not Found")
        owner, name, action = match.groups()
        query = bytes(scope["query_string"]).decode("ascii")
        service = _service(action, query)
        try:
            viewer = viewer_of(self._state, headers.get("authorization"))
        except Refused as refused:
            sentence = (
                "Invalid username or token. Password authentication is not supported for Git operations."
            )
            raise Rejected(401, sentence) from refused
        repo = self._state.repository(owner, name)
        if repo is None:
            moved = self._state.renamed(owner, name)
            if moved is not None and self._state.may_see(viewer, moved):
                url = f"{self._state.web_url}/{self._state.full_name(moved)}.git/{action}"
                raise Moved(f"{url}?{query}" if query else url)
        if repo is None or not self._state.may_see(viewer, repo):
            raise Rejected(404 if viewer.user else 401, "Repository not found.")
        self._check_access(service, repo, viewer)
        return service, repo, viewer, f"/{repo.id}.git/{action}"

    def _check_access(self, service: Service, repo: Repository, viewer: Viewer) -> None:
        state = self._state
        if service == "git-upload-pack":
            reads = granted(viewer, ({"contents": "read"},))
            if viewer.installation is not None and repo.private and not reads:
                raise Rejected(403, "Read access to repository not granted.")
            return
        if viewer.user is None:
            raise Rejected(401, "No anonymous write access.")
        if repo.archived:
            raise Rejected(403, "This repository was archived so it is read-only.")
        if viewer.installation is not None:
            if not state.grants(viewer, repo) or not granted(viewer, CONTENTS_WRITE):
                raise Rejected(403, "Write access to repository not granted.")
            return
        if ROLES.index(state.role_of(viewer.user, repo)) < ROLES.index("write"):
            full_name = state.full_name(repo)
            raise Rejected(403, f"Permission to {full_name}.git denied to {viewer.login}.")

    def _environment(
        self, scope: Scope, headers: Mapping[str, str], *, repo: Repository, viewer: Viewer, path_info: str
    ) -> dict[str, str]:
        protected = " ".join(f"refs/heads/{branch}" for branch in repo.protected_branches)
        may_workflows = viewer.installation is None or granted(viewer, ({"workflows": "write"},))
        cgi = environment() | {
            "GIT_PROJECT_ROOT": str((self._state.home / "repositories").resolve()),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path_info,
            "REQUEST_METHOD": str(scope["method"]),
            "QUERY_STRING": bytes(scope["query_string"]).decode("ascii"),
            "CONTENT_TYPE": headers.get("content-type", ""),
            "REMOTE_USER": viewer.login,
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.hooksPath",
            "GIT_CONFIG_VALUE_0": str(self._hooks.resolve()),
            "FORGE_PROTECTED": protected,
            "FORGE_WORKFLOWS": "allowed" if may_workflows else "denied",
            "FORGE_LARGEST": str(LARGEST_FILE),
        }
        for header, variable in (
            ("content-length", "CONTENT_LENGTH"),
            ("content-encoding", "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ):
            if header in headers:
                cgi[variable] = headers[header]
        return cgi

    async def _receive_pack(
        self, receive: Receive, *, repo: Repository, viewer: Viewer, cgi: dict[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Let git receive, then tell the world which refs really moved; git's answer."""
        body = _chunks(receive)
        head = b""
        async for chunk in body:
            head += chunk
            if (updates := _commands(head)) is not None:
                break
        else:
            updates = []
        with tempfile.TemporaryDirectory() as scratch:
            reason = Path(scratch, "reason")
            cgi["FORGE_REASON"] = str(reason)
            status, headers, answer = await _collect(cgi, body=_after(head, body))
            if reason.exists():
                answer = reworded(answer, reason.read_bytes())
        await asyncio.to_thread(self._announce, repo, viewer, updates or [])
        return status, headers, answer

    def _announce(self, repo: Repository, viewer: Viewer, updates: Sequence[Update]) -> None:
        present = Git(self._state.git_dir(repo)).refs("refs")
        actor = Actor(self._state, viewer)
        for update in updates:
            if update.before != update.after and present.get(update.ref, ZERO) == update.after:
                branch_moved(actor, repo, ref=update.ref, before=update.before, after=update.after)


class Moved(ForgeError):
    """The repository has another name now."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


def _service(action: str, query: str) -> Service:
    asked = query.removeprefix("service=").split("&")[0] if action == "info/refs" else action
    match asked:
        case "git-upload-pack":
            return "git-upload-pack"
        case "git-receive-pack":
            return "git-receive-pack"
        case _:
            raise Rejected(403, "Please upgrade your git client. Dumb HTTP is not supported.")


def _commands(data: bytes) -> list[Update] | None:
    """The ref updates at the start of a push, or None while more bytes are needed.

    https://git-scm.com/docs/pack-protocol#_reference_update_request_and_packfile_transfer
    """
    updates: list[Update] = []
    at = 0
    while True:
        if len(data) < at + 4:
            return None
        length = int(data[at : at + 4], 16)
        if length == 0:
            return updates
        if len(data) < at + length:
            return None
        line = data[at + 4 : at + length].split(b"\0")[0].decode(errors="replace").strip()
        parts = line.split(" ", 2)
        if len(parts) == 3 and len(parts[0]) == 40:
            updates.append(Update(ref=parts[2], before=parts[0], after=parts[1]))
        at += length


def _pkt(payload: bytes) -> bytes:
    return f"{len(payload) + 4:04x}".encode() + payload


def _pkts(data: bytes) -> list[bytes | None]:
    """The payloads of packet lines; None for a flush."""
    found: list[bytes | None] = []
    at = 0
    while at + 4 <= len(data):
        length = int(data[at : at + 4], 16)
        found.append(data[at + 4 : at + length] if length >= 4 else None)
        at += max(length, 4)
    return found


def reworded(answer: bytes, reason: bytes) -> bytes:
    """The report of a push with git's general word for a refusal replaced by GitHub's reason."""
    if DECLINED not in answer:
        return answer
    outer = _pkts(answer)
    if not any(packet is not None and packet[:1] in {b"\1", b"\2"} for packet in outer):
        return _reworded_report(answer, reason)
    written = b""
    report = b"".join(packet[1:] for packet in outer if packet is not None and packet[:1] == b"\1")
    for packet in outer:
        if packet is not None and packet[:1] == b"\2":
            written += _pkt(packet)
    return written + _pkt(b"\1" + _reworded_report(report, reason)) + b"0000"


def _reworded_report(report: bytes, reason: bytes) -> bytes:
    return b"".join(
        b"0000" if packet is None else _pkt(packet.replace(DECLINED, reason)) for packet in _pkts(report)
    )


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return


async def _after(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


async def _backend(cgi: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        program(),
        "http-backend",
        env=dict(cgi),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )


async def _feed(process: asyncio.subprocess.Process, body: AsyncIterator[bytes]) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    # A backend that has said all it wants to say may close its end early.
    with suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in body:
            stdin.write(chunk)
            await stdin.drain()
    stdin.close()
    with suppress(BrokenPipeError, ConnectionResetError):
        await stdin.wait_closed()


async def _head(process: asyncio.subprocess.Process) -> tuple[int, dict[str, str]]:
    """The CGI header block."""
    status, headers = 200, {}
    if process.stdout is None:
        return 500, {}
    while line := (await process.stdout.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name.lower()] = value.strip()
    return status, headers


async def _stream(cgi: Mapping[str, str], *, body: AsyncIterator[bytes], send: Send) -> None:
    process = await _backend(cgi)
    feeding = asyncio.create_task(_feed(process, body))
    try:
        status, headers = await _head(process)
        await _start(send, status, headers)
        while process.stdout is not None and (chunk := await process.stdout.read(1 << 16)):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await process.wait()
    finally:
        await _end(process, feeding)


async def _collect(
    cgi: Mapping[str, str], *, body: AsyncIterator[bytes]
) -> tuple[int, dict[str, str], bytes]:
    process = await _backend(cgi)
    feeding = asyncio.create_task(_feed(process, body))
    try:
        status, headers = await _head(process)
        answer = await process.stdout.read() if process.stdout else b""
        await process.wait()
    finally:
        await _end(process, feeding)
    return status, headers, answer


async def _end(process: asyncio.subprocess.Process, feeding: asyncio.Task[None]) -> None:
    feeding.cancel()
    with suppress(asyncio.CancelledError):
        await feeding
    if process.stdin is not None:
        process.stdin.close()
    if process.returncode is None:
        # The client has gone in the middle.
        with suppress(ProcessLookupError):
            process.terminate()
    await process.wait()


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    listed = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})


async def _answer(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    await _start(send, status, {**headers, "content-length": str(len(body))})
    await send({"type": "http.response.body", "body": body})
