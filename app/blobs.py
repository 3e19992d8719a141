"""Files of turns that go from machine to machine: a folder that all processes see, or any fsspec URL.

Names are `turns/TURN/…` for what a running turn needs to go on elsewhere, and `results/DAY/TURN` for what an
ended one left. Nothing here is trusted: whoever reads knows by a hash what it must be. No secret of Darner's
is put here.
"""

import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec.core

from app.settings import Settings, SettingsRefused
from sandbox.durable import sync_names, write_whole


class Blobs(Protocol):
    """All of it blocks. Every call may raise `OSError`."""

    def put(self, files: Mapping[str, Path]) -> None:
        """Have these files there; one that is there already is the same."""
        ...

    def put_bytes(self, name: str, data: bytes) -> None: ...

    def get(self, name: str) -> bytes | None:
        """None when there is none."""
        ...

    def below(self, name: str) -> list[str]:
        """The last parts of the names below this one."""
        ...

    def remove(self, name: str) -> None:
        """This one and all below; it need not be there."""
        ...


@dataclass(frozen=True, slots=True)
class FolderBlobs:
    """On a disk. A file has its name only when it is whole; of the same file system nothing is copied.

    What was put is there after a power cut, too.
    """

    folder: Path

    def put(self, files: Mapping[str, Path]) -> None:
        places = {self._made(name): source for name, source in files.items()}
        for place, source in places.items():
            fresh = place.with_name(f".new-{secrets.token_hex(8)}")
            try:
                fresh.hardlink_to(source)
            except OSError:
                write_whole(place, source.read_bytes())
                continue
            fresh.chmod(0o600)
            fresh.replace(place)
        for directory in {place.parent for place in places}:
            sync_names(directory)

    def put_bytes(self, name: str, data: bytes) -> None:
        place = self._made(name)
        write_whole(place, data)
        sync_names(place.parent)

    def get(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def below(self, name: str) -> list[str]:
        try:
            return sorted(path.name for path in (self.folder / name).iterdir())
        except FileNotFoundError:
            return []

    def remove(self, name: str) -> None:
        place = self.folder / name
        if place.is_file():
            place.unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError):
            shutil.rmtree(place)

    def _made(self, name: str) -> Path:
        # This one shuts the others in: the mode is not given to what is made on the way.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


class UrlBlobs:
    """Wherever fsspec reaches. https://filesystem-spec.readthedocs.io/en/latest/api.html"""

    def __init__(self, url: str) -> None:
        """Raises `SettingsRefused`."""
        try:
            files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            msg = f"DARNER_STORE_URL cannot be used: {error}."
            raise SettingsRefused(msg) from None
        self._files: Any = files
        self._root: str = str(root).rstrip("/")

    def put(self, files: Mapping[str, Path]) -> None:
        for name, source in files.items():
            self.put_bytes(name, source.read_bytes())

    def put_bytes(self, name: str, data: bytes) -> None:
        place = self._place(name)
        try:
            self._files.pipe_file(place, data)
        except FileNotFoundError:
            # Where folders have to be made first.
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(place, data)

    def get(self, name: str) -> bytes | None:
        try:
            return bytes(self._files.cat_file(self._place(name)))
        except FileNotFoundError:
            return None

    def below(self, name: str) -> list[str]:
        # Other processes write there, too.
        self._files.invalidate_cache()
        try:
            found: list[str] = self._files.ls(self._place(name), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm(self._place(name), recursive=True)

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"


def blobs_of(settings: Settings) -> Blobs | None:
    """None where one process on SQLite has all it needs on its own disk. Raises `SettingsRefused`."""
    url = settings.store_url
    if not url:
        is_one_of_many = settings.database_url.startswith("postgresql")
        return FolderBlobs(settings.home / "blobs") if is_one_of_many else None
    if urlsplit(url).scheme == "file":
        return FolderBlobs(Path(url2pathname(urlsplit(url).path)))
    return UrlBlobs(url)
