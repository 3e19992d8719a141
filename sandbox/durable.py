"""Files that are there after a power cut: whole under their name, or not there at all."""

import os
import secrets
from pathlib import Path


def write_whole(place: Path, data: bytes) -> None:
    """Under its name only when all of it is on the disk.

    The name itself is on the disk after `sync_names` of the directory.
    """
    fresh = place.with_name(f".new-{secrets.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(place)


def sync_names(directory: Path) -> None:
    """Have the names in a directory on the disk.

    https://man7.org/linux/man-pages/man2/fsync.2.html: syncing a file does not sync the entry that names it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
