"""Signed hidden markers: how the bot finds its own comments again. Never the record of anything.

Anybody can write a marker, and edit one; only the key signs it. The truth is in the database.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Marker:
    kind: str
    key: str


def marker_for(marker: Marker, secret: bytes) -> str:
    """The HTML comment to append to a body (after the scan, which removes all others)."""
    return f"<!-- darner:{marker.kind}:{_escaped(marker.key)}:{_signature_of(marker, secret)} -->"


def find_markers(body: str, secret: bytes) -> tuple[Marker, ...]:
    """The markers in `body` that were made with `secret`; forged ones are passed over."""
    found: list[Marker] = []
    for match in _MARKER.finditer(body):
        marker = Marker(match["kind"], _unescaped(match["key"]))
        if hmac.compare_digest(_signature_of(marker, secret), match["signature"]):
            found.append(marker)
    return tuple(found)


def is_marked(body: str, marker: Marker, secret: bytes) -> bool:
    return marker in find_markers(body, secret)


_MARKER: Final = re.compile(
    r"<!-- darner:(?P<kind>[a-z][a-z_-]{0,31}):(?P<key>[A-Za-z0-9._~/%-]{1,600}):"
    r"(?P<signature>[0-9a-f]{32}) -->"
)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._~/-]|--+")


def _signature_of(marker: Marker, secret: bytes) -> str:
    message = f"{marker.kind}\0{marker.key}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[:32]


def _escaped(key: str) -> str:
    # `--` ends an HTML comment early, a colon would be read as the marker's own.
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode()), key)


def _unescaped(key: str) -> str:
    decoded = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), key.encode())
    return decoded.decode("utf-8", "replace")
