"""Signed hidden markers: how the bot finds its own comments again. Never the record of anything.

Anybody can write a marker, and edit one; only the key signs it. The truth is in the database.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final


def make_marker(kind: str, name: str, *, key: bytes) -> str:
    """The HTML comment to append to a body (after the scan, which removes all others)."""
    return f"<!-- darner:{kind}:{_escaped(name)}:{_signature_of(kind, name, key)} -->"


def verify_marker(body: str, kind: str, name: str, *, key: bytes) -> bool:
    """Whether `body` holds the marker of this kind and name, signed with `key`."""
    return Marker(kind, name) in find_markers(body, key=key)


def find_markers(body: str, *, key: bytes) -> tuple["Marker", ...]:
    """The markers in `body` that were made with `key`; forged ones are passed over."""
    found: list[Marker] = []
    for match in _MARKER.finditer(body):
        marker = Marker(match["kind"], _unescaped(match["name"]))
        if hmac.compare_digest(_signature_of(marker.kind, marker.name, key), match["signature"]):
            found.append(marker)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Marker:
    kind: str
    name: str


_MARKER: Final = re.compile(
    r"<!-- darner:(?P<kind>[a-z][a-z_-]{0,31}):(?P<name>[A-Za-z0-9._~/%-]{1,600}):"
    r"(?P<signature>[0-9a-f]{32}) -->"
)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._~/-]|--+")


def _signature_of(kind: str, name: str, key: bytes) -> str:
    return hmac.new(key, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()[:32]


def _escaped(name: str) -> str:
    # `--` ends an HTML comment early, a colon would be read as the marker's own.
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found.group().encode()), name)


def _unescaped(name: str) -> str:
    decoded = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), name.encode())
    return decoded.decode("utf-8", "replace")
