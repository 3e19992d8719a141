"""A forge in its own thread, its people as PyGithub clients, git as they type it, a webhook receiver."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import orjson
from github import Auth, Github, GithubIntegration
from github.PullRequest import PullRequest
from github.Repository import Repository

from demo.forge import Forge, serve
from demo.forge.deliverer import WebhookObserver
from demo.forge.rest.api import Observer

SECRET = "It's a Secret to Everybody"
FILES = {
    "calc.py": "".join(f"line {number}\n" for number in range(1, 31)),
    "README.md": "# Calc\n",
    "docs/guide.md": "Read me.\n",
}


@dataclass(frozen=True, slots=True)
class Hooked:
    """One webhook as it arrived."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> str:
        return self.headers["x-github-event"]

    @property
    def payload(self) -> dict[str, Any]:
        return dict(orjson.loads(self.body))

    @property
    def name(self) -> str:
        action = self.payload.get("action")
        return f"{self.event}.{action}" if action else self.event


class Receiver:
    """Listens for webhooks on loopback and answers as it is told."""

    def __init__(self) -> None:
        self.received: list[Hooked] = []
        self.status = 202
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Hooked(headers, body))
                self.send_response(receiver.status)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhook"

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class World:
    """What a test holds: the running forge, the receiver of its App's webhooks, and hands to act with."""

    def __init__(self, forge: Forge, receiver: Receiver, loop: asyncio.AbstractEventLoop) -> None:
        self.forge = forge
        self.receiver = receiver
        self._loop = loop
        self._clients: list[Github] = []

    def create(self, name: str, *, owner: str = "maya", scratch: Path, **options: Any) -> str:
        """A repository with FILES in it."""
        for path, text in FILES.items():
            target = scratch / "seed" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        self.forge.create_repository(f"{owner}/{name}", directory=scratch / "seed", **options)
        return f"{owner}/{name}"

    def client(self, login: str) -> Github:
        return self.with_token(self.forge.tokens[login])

    def with_token(self, token: str) -> Github:
        made = Github(
            base_url=self.forge.api_url,
            auth=Auth.Token(token),
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
        )
        self._clients.append(made)
        return made

    def integration(self) -> GithubIntegration:
        app = self.forge.seeded.app
        return GithubIntegration(
            auth=Auth.AppAuth(app.id, app.private_key),
            base_url=self.forge.api_url,
            seconds_between_requests=None,
            seconds_between_writes=None,
        )

    def installation_token(self, body: Mapping[str, object] | None = None) -> str:
        answer = self.mint(body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def mint(self, body: Mapping[str, object] | None = None) -> httpx2.Response:
        app = self.forge.seeded.app
        jwt = Auth.AppAuth(app.id, app.private_key).create_jwt()
        path = f"/app/installations/{self.forge.seeded.installation.id}/access_tokens"
        return self.http("POST", path, token=jwt, json=body)

    def http(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """A plain request below /api/v3, redirects not followed."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None if json is None else orjson.dumps(json)
        with httpx2.Client(timeout=60) as client:
            return client.request(method, f"{self.forge.api_url}{path}", headers=sent, content=content)

    def webhooks(self, repository: str | None = None) -> list[Hooked]:
        """What has arrived at the receiver, once the forge has sent all it had."""
        asyncio.run_coroutine_threadsafe(self.forge.webhooks_settled(), self._loop).result(20)
        return [
            hooked
            for hooked in self.receiver.received
            if repository is None or hooked.payload.get("repository", {}).get("full_name") == repository
        ]

    def wait_for(self, name: str, repository: str) -> dict[str, Any]:
        """The payload of the newest webhook of this name."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            found = [hooked for hooked in self.webhooks(repository) if hooked.name == name]
            if found:
                return found[-1].payload
            time.sleep(0.02)
        raise AssertionError(f"no {name} among {[hooked.name for hooked in self.webhooks(repository)]}")

    def close(self) -> None:
        for client in self._clients:
            client.close()


@dataclass(frozen=True, slots=True)
class Git:
    """A working copy, used as its owner would."""

    directory: Path
    url: str
    token: str | None

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ("git", *self._credentials(), *args),
            cwd=self.directory,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_ASKPASS": "/bin/false",
                "LC_ALL": "C.UTF-8",
                **{f"GIT_{role}_NAME": "Cole Abara" for role in ("AUTHOR", "COMMITTER")},
                **{f"GIT_{role}_EMAIL": "cole@example.com" for role in ("AUTHOR", "COMMITTER")},
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def _credentials(self) -> Sequence[str]:
        if self.token is None:
            return ()
        basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        return ("-c", f"http.extraHeader=Authorization: Basic {basic}")

    def commit(self, files: Mapping[str, str | bytes], message: str) -> str:
        for path, content in files.items():
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.run("add", "--all")
        self.run("commit", "--quiet", "--message", message)
        return self.head()

    def head(self) -> str:
        return self.run("rev-parse", "HEAD").stdout.strip()

    def push(self, refspec: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("push", *options, self.url, refspec, check=check)


def clone(world: World, full_name: str, into: Path, *, token: str | None) -> Git:
    into.mkdir(parents=True)
    git = Git(into, f"{world.forge.url}/{full_name}.git", token)
    git.run("clone", "--quiet", git.url, ".")
    return git


def with_line(text: str, number: int, replacement: str) -> str:
    lines = text.splitlines(keepends=True)
    lines[number - 1] = replacement + "\n"
    return "".join(lines)


def open_pull(repo: Repository, *, branch: str, files: Mapping[str, str], body: str = "") -> PullRequest:
    """A branch with these files changed or made, and its pull request, without a working copy."""
    tip = repo.get_branch("main").commit.sha
    repo.create_git_ref(f"refs/heads/{branch}", tip)
    write(repo, branch=branch, files=files)
    return repo.create_pull(base="main", head=branch, title=f"Change by {branch}", body=body)


def write(repo: Repository, *, branch: str, files: Mapping[str, str]) -> None:
    present = {entry.path for entry in repo.get_git_tree(branch, recursive=True).tree}
    for path, text in files.items():
        if path not in present:
            repo.create_file(path, f"Add {path}", text, branch=branch)
            continue
        content = repo.get_contents(path, ref=branch)
        assert not isinstance(content, list)
        repo.update_file(path, f"Change {path}", text, content.sha, branch=branch)


@contextmanager
def running_world(
    home: Path, *, on_exchange: Sequence[Observer] = (), on_webhook: Sequence[WebhookObserver] = ()
) -> Iterator[World]:
    """The forge on an event loop in another thread, so that tests may block as PyGithub does."""
    receiver = Receiver()
    ready: list[World] = []
    failed: list[BaseException] = []
    began, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        try:
            async with serve(
                home,
                webhook_url=receiver.url,
                webhook_secret=SECRET,
                on_exchange=on_exchange,
                on_webhook=on_webhook,
            ) as forge:
                ready.append(World(forge, receiver, loop))
                began.set()
                await stop.wait()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            began.set()

    with receiver.running():
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        began.wait()
        if failed or not ready:
            thread.join()
            raise AssertionError("the forge did not start") from (failed[0] if failed else None)
        world = ready[0]
        try:
            yield world
        finally:
            world.close()
            world._loop.call_soon_threadsafe(stop.set)  # noqa: SLF001 - its own module's class
            thread.join()
