"""A small image for the tests, made of this machine's own programs: no registry is asked for anything."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import docker

_REPOSITORY: Final = "darner-test"
_SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
_SECONDS: Final = 60

_PROGRAMS: Final = """
    [ awk base64 basename bash cat chgrp chmod chown chroot cmp comm cp curl cut date dd df diff dir
    dirname dmesg du echo egrep env expr false fallocate fgrep file find flock fold free getent git grep
    groups gunzip gzip head hostid hostname id install ionice ip ipcmk ipcrm ipcs jq kill last ldd less
    link ln locale logger ls lsblk lsns make md5sum mesg mkdir mkfifo mknod mktemp more mount mountpoint
    mv nc newgrp nice nl nohup nproc nsenter od passwd paste patch perl pgrep pkill pr printenv printf
    prlimit ps pwd python3 readlink realpath renice rev rg rm rmdir script sed seq setarch setpriv setsid
    sh sha1sum sha256sum shred shuf sleep sort split ss stat stdbuf strace stty su sum sync sysctl tac
    tail tar taskset tee test timeout top touch tr true truncate tty umount uname uniq unlink unshare
    uptime users vdir wc wget who whoami write xargs xxd xz yes zcat
"""
"""As many of them as this machine has."""

_DIRECTORIES: Final = {
    **dict.fromkeys(("dev", "etc", "home", "proc", "run", "sys", "usr", "var"), 0o755),
    **dict.fromkeys(("tmp", "var/tmp"), 0o1777),
    "root": 0o700,
}
_LINKS: Final = ("bin", "sbin", "lib", "lib64")
"""Parts of /usr, as on every machine these tests run on."""
_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def build(client: docker.DockerClient) -> str:
    """The image's name in this Engine; made unless an earlier run has made the same."""
    places = sorted(_closed(_wanted()))
    version = _fingerprint(places)
    name = f"{_REPOSITORY}:{version}"
    if not client.images.list(name=name):
        changes = [f"ENV PATH={_SEARCH_PATH}:/sbin:/bin", 'CMD ["/bin/sh"]']
        with tempfile.TemporaryFile() as archive:
            _write(archive, places)
            archive.seek(0)
            pieces = iter(lambda: archive.read(2**20), b"")
            client.api.import_image_from_stream(pieces, repository=_REPOSITORY, tag=version, changes=changes)
    return name


def _wanted() -> Iterator[Path]:
    for name in _PROGRAMS.split():
        found = shutil.which(name, path=_SEARCH_PATH)
        if found is not None:
            yield Path(found)
    standard_library = Path(_said("python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"))
    pip = standard_library.parent / "python3" / "dist-packages" / "pip"
    git = Path(_said("git", "--exec-path"))
    for directory in (standard_library, pip, git, Path("/usr/share/git-core/templates")):
        for place, below, files in os.walk(directory):
            below[:] = [name for name in below if name not in {"__pycache__", "test", "idlelib"}]
            yield from (Path(place, name) for name in files)


def _closed(wanted: Iterable[Path]) -> set[Path]:
    """`wanted` with what symbolic links lead to and with the libraries that programs load."""
    closed: set[Path] = set()
    new = {_place(path) for path in wanted}
    while new:
        closed |= new
        led_to = {place.resolve() for place in new if place.is_symlink()}
        loaded = {_place(Path(library)) for library in _libraries(place for place in new if _is_elf(place))}
        new = (led_to | loaded) - closed
    return {place for place in closed if place.is_relative_to("/usr")}


def _place(path: Path) -> Path:
    """Where it is by its real directory: /lib/x is /usr/lib/x."""
    return path.parent.resolve() / path.name


def _is_elf(place: Path) -> bool:
    if not place.is_file() or place.is_symlink():
        return False
    with place.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _libraries(programs: Iterable[Path]) -> set[str]:
    # A program that is linked statically makes ldd say so and fail.
    paths = list(programs)
    if not paths:
        return set()
    done = subprocess.run(("ldd", *paths), check=False, capture_output=True, text=True, timeout=_SECONDS)
    return set(re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", done.stdout, flags=re.MULTILINE))


def _said(*argv: str) -> str:
    environment = {"PATH": _SEARCH_PATH}
    done = subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, timeout=_SECONDS)
    return done.stdout.strip()


def _fingerprint(places: Iterable[Path]) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for place in places:
        status = place.lstat()
        digest.update(f"{place}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}\n".encode())
    return digest.hexdigest()[:12]


def _write(archive: IO[bytes], places: Iterable[Path]) -> None:
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, mode in _DIRECTORIES.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name in _LINKS:
            _add_link(tar, name, f"usr/{name}")
        for name, text in _FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
        for place in places:
            if place.is_symlink():
                # Straight to the end: what lies between may be this machine's own (/etc/alternatives).
                _add_link(tar, str(place)[1:], str(place.resolve()))
            else:
                tar.add(place, recursive=False)


def _add_link(tar: tarfile.TarFile, name: str, to: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, to
    tar.addfile(entry)
