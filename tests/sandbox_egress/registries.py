"""A package index for pip and a registry for npm, over HTTPS on this machine, each with one package."""

import base64
import datetime as dt
import hashlib
import io
import json
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "packages.test"
WHEEL = "greet-1.0-py3-none-any.whl"
TARBALL = "greet-1.0.0.tgz"


@dataclass
class Registry:
    """Where it is, who vouches for it, and what was asked of it."""

    port: int
    certificate: bytes
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"


@contextmanager
def serving_packages(directory: Path) -> Iterator[Registry]:
    """Serve until the context ends; `directory` keeps the key."""
    certificate, key = self_signed()
    (directory / "server.pem").write_bytes(certificate + key)

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.daemon_threads = True
        Handler.registry = Registry(server.server_port, certificate)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Handler.registry
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.registry.asked.append(self.path)
        found = self.pages().get(self.path)
        if found is None:
            self.answer(404, "text/plain", b"there is no such thing here\n")
        else:
            self.answer(200, *found)

    def do_POST(self) -> None:
        """npm asks for known faults of what it installs: none here."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, "application/json", b"{}")

    def pages(self) -> dict[str, tuple[str, bytes]]:
        digest = hashlib.sha256(wheel()).hexdigest()
        index = f'<!DOCTYPE html><a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a>'
        return {
            "/simple/greet/": ("text/html", index.encode()),
            f"/files/{WHEEL}": ("application/octet-stream", wheel()),
            "/greet": ("application/json", json.dumps(self.packument()).encode()),
            f"/greet/-/{TARBALL}": ("application/octet-stream", tarball()),
        }

    def packument(self) -> dict[str, object]:
        """https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md"""
        integrity = base64.b64encode(hashlib.sha512(tarball()).digest()).decode()
        dist = {"tarball": f"{self.registry.url}/greet/-/{TARBALL}", "integrity": f"sha512-{integrity}"}
        version = {"name": "greet", "version": "1.0.0", "main": "index.js", "dist": dist}
        return {"name": "greet", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`."""


def wheel() -> bytes:
    """https://packaging.python.org/en/latest/specifications/binary-distribution-format/"""
    about = "greet-1.0.dist-info"
    files = {
        "greet.py": "WORDS = 'hello from the wheel'\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in (files | {f"{about}/RECORD": record}).items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return made.getvalue()


def tarball() -> bytes:
    """What `npm pack` makes; the same bytes each time."""
    files = {
        "package/package.json": json.dumps({"name": "greet", "version": "1.0.0", "main": "index.js"}),
        "package/index.js": "module.exports = 'hello from the tarball'\n",
    }
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


def self_signed() -> tuple[bytes, bytes]:
    """A certificate for `HOST` and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
