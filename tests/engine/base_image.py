"""What the project's Dockerfile starts from, made of Debian's packages where no registry can be asked."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import docker

_SETTING: Final = "DARNER_TEST_REGISTRY"
"""Set where there is a registry to pull from: the Dockerfile is built as it stands."""
_REPOSITORY: Final = "darner-test-base"
_INCLUDED: Final = "ca-certificates,python3,python3-venv"
_SECONDS: Final = 600
_NOT_NEEDED: Final = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")
# So that packages are fetched in a container as they are on this machine.
_CERTIFICATES: Final = Path("/usr/local/share/ca-certificates")
_PIP: Final = Path("/etc/pip.conf")


def build_arguments(client: docker.DockerClient) -> dict[str, str]:
    """What the Dockerfile is built with: this machine's Debian with Python, made in half a minute."""
    if os.environ.get(_SETTING):
        return {}
    name = _made(client)
    return {"BASE": name, "SANDBOX_BASE": name}


def _made(client: docker.DockerClient) -> str:
    sources = list(_package_sources())
    mirror, suite, components = sources[0]
    name = f"{_REPOSITORY}:{suite}"
    if client.images.list(name=name):
        return name
    with tempfile.TemporaryDirectory(prefix="darner-base-") as directory:
        root = Path(directory, "root")
        options = ("--variant=minbase", f"--components={','.join(components)}", f"--include={_INCLUDED}")
        bootstrap = ("debootstrap", *options, suite, root, mirror)
        subprocess.run(bootstrap, check=True, capture_output=True, timeout=_SECONDS)
        lines = [f"deb {address} {release} {' '.join(of)}\n" for address, release, of in sources]
        (root / "etc" / "apt" / "sources.list").write_text("".join(lines))
        shutil.copytree(_CERTIFICATES, root / str(_CERTIFICATES)[1:], dirs_exist_ok=True)
        trust = ("chroot", root, "update-ca-certificates")
        subprocess.run(trust, check=True, capture_output=True, timeout=_SECONDS)
        if _PIP.exists():
            shutil.copy(_PIP, root / str(_PIP)[1:])
        archive = Path(directory, "archive")
        left_out = [f"--exclude=./{part}/*" for part in _NOT_NEEDED]
        subprocess.run(("tar", *left_out, "-C", root, "-cf", archive, "."), check=True, timeout=_SECONDS)
        with archive.open("rb") as file:
            pieces = iter(lambda: file.read(2**20), b"")
            client.api.import_image_from_stream(pieces, repository=_REPOSITORY, tag=suite)
    return name


def _package_sources() -> Iterator[tuple[str, str, list[str]]]:
    """Address, release and components of this machine's packages; the release before its updates."""
    words = "$(RELEASE) $(REPO_URI) $(COMPONENT)"
    asked = ("apt-get", "indextargets", "--format", words, "Created-By: Packages")
    done = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=_SECONDS)
    found: dict[tuple[str, str], list[str]] = {}
    for line in sorted(set(done.stdout.splitlines())):
        release, address, component = line.split()
        if release.startswith(_this_release()):
            found.setdefault((release, address), []).append(component)
    for (release, address), components in found.items():
        yield address, release, components


def _this_release() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise AssertionError("this machine does not say which release of Debian or Ubuntu it is")
