"""git over HTTP on loopback: `git http-backend` behind Basic authentication, with doors for trouble."""

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.git import Remote

TOKEN = "ghs_PlantedTokenOfThePush0123456789"


@dataclass
class Forge:
    """What the server knows, and what a test may change about it."""

    root: Path
    url: str = ""
    during: Callable[[str], None] = lambda _path: None
    """Called on every authorised request while git waits for the answer."""
    status: int | None = None
    """Answer every authorised request with this instead."""
    redirect_to: str | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request, in order."""
    credentials: list[str] = field(default_factory=list)
    """Every Authorization header that came."""

    def remote(self, name: str, token: str = TOKEN) -> Remote:
        return Remote(f"{self.url}/{name}", "x-access-token", token)


@contextmanager
def serving(root: Path) -> Iterator[Forge]:
    """Serve the bare repositories below `root` until the context ends."""
    forge = Forge(root)

    class Handler(_Handler):
        state = forge

    with _Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        forge.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield forge
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed in the middle of an answer is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            raise


class _Handler(BaseHTTPRequestHandler):
    state: Forge

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def _answer(self) -> None:
        self.state.seen.append((self.command, self.path))
        given = self.headers.get("Authorization")
        if given is not None:
            self.state.credentials.append(given)
        body = self._body()
        if self.state.redirect_to is not None:
            self._plain(301, ("Location", self.state.redirect_to + self.path))
            return
        expected = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        if given != expected:
            self._plain(401, ("WWW-Authenticate", 'Basic realm="GitHub"'))
            return
        self.state.during(self.path)
        if self.state.status is not None:
            self._plain(self.state.status)
            return
        self._backend(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _plain(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _backend(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        finished = subprocess.run(
            ("git", "http-backend"),
            input=body,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.state.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": "x-access-token",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
            check=True,
            capture_output=True,
            timeout=180,
        )
        head, _, content = finished.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
