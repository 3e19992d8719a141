"""The /etc of a sandbox: harmless files of the host's and some of our own. Never a password or a key."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TAKEN: Final = (
    "alternatives",
    "debian_version",
    "host.conf",
    "inputrc",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "lsb-release",
    "magic",
    "magic.mime",
    "mime.types",
    "networks",
    "os-release",
    "protocols",
    "rpc",
    "services",
    "shells",
    "ssl/certs/ca-certificates.crt",
    "ssl/openssl.cnf",
    "timezone",
)
"""Patterns below the host's /etc: what programs need to start, to name things and to check certificates.

Not what shells read at their start: operators set proxies and tokens there, and the search path is ours.
"""

_WRITTEN: Final = {
    "passwd": (
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
        "agent:x:1000:1000:agent:/home/agent:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    ),
    "group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
    "machine-id": "00000000000000000000000000000000\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
    "resolv.conf": "# There is no network here.\n",
}
_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class EtcFile:
    """One file or symbolic link of the snapshot."""

    path: str
    content: bytes | str
    """The bytes of a file, or what a link points at."""


def etc_snapshot(host: Path = Path("/etc")) -> tuple[EtcFile, ...]:
    """What the sandbox's /etc holds. Files that not everyone may read are never taken."""
    taken = (file for pattern in _TAKEN for path in sorted(host.glob(pattern)) for file in _taken(host, path))
    written = (EtcFile(name, text.encode()) for name, text in _WRITTEN.items())
    return (*taken, *written)


def laid_out(files: Sequence[EtcFile], parent: Path) -> Path:
    """A directory below `parent` that holds the files, named by their content: made once, then found."""
    parts = (part for file in files for part in (file.path.encode(), b"\0", _bytes_of(file), b"\0"))
    directory = parent / f"etc-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}"
    if directory.is_dir():
        return directory
    # Under another name until it is whole: a service may be killed at any time.
    partial = Path(tempfile.mkdtemp(prefix=".etc-", dir=parent))
    _write(files, partial)
    try:
        partial.rename(directory)
    except OSError:
        shutil.rmtree(partial)
        if not directory.is_dir():
            raise
    return directory


def _write(files: Sequence[EtcFile], directory: Path) -> None:
    for file in files:
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.content, str):
            path.symlink_to(file.content)
        else:
            path.write_bytes(file.content)
    # Whatever the service's umask is.
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o444)


def _bytes_of(file: EtcFile) -> bytes:
    return file.content if isinstance(file.content, bytes) else b"-> " + os.fsencode(file.content)


def _taken(host: Path, path: Path) -> Iterator[EtcFile]:
    if path.name.endswith(".gz"):
        # Alternatives of manual pages, by the hundred.
        return
    status = path.lstat()
    name = str(path.relative_to(host))
    if stat.S_ISLNK(status.st_mode):
        yield EtcFile(name, str(path.readlink()))
    elif stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH and status.st_size <= _LARGEST:
        yield EtcFile(name, path.read_bytes())
    elif stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IROTH and os.access(path, os.X_OK):
        for inner in sorted(path.iterdir()):
            yield from _taken(host, inner)
