"""What may be done in a local directory: by the operator's settings, its own file, and the command line."""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.caches import caches_of
from app.settings import Settings
from handlers.config import DEVCONTAINERS, LARGEST, PLACE, ConfigRefused, parse_config, with_devcontainer
from handlers.policy import Layer, NotGranted, Resolved, Situation, resolve
from handlers.view import RepositoryConfig
from handlers.wishes import Wishes
from sandbox.base import FileMissing, FileTooLarge, PathRefused, Policy, SandboxMode
from sandbox.files import CheckoutFiles
from sandbox.images import LARGEST_DEVCONTAINER

NOT_CONFINED: Final = (
    "darner.toml allows danger-full-access: this runs with the files and the network of this machine."
)
NOT_BY_OPTION: Final = (
    "danger-full-access is for an operator's file to allow: sandbox_mode in darner.toml. "
    "docs/operations.md tells what it means."
)
_REMEDIES: Final = {
    "mode": "The operator's setting is sandbox_mode.",
    "allowed_hosts": "What may be reached is set by DARNER_ALLOWED_HOSTS, or allowed_hosts in darner.toml.",
}


class WishRefused(Exception):
    """The command line asks for more than is allowed; the message says who decided, and where."""


def local_policy(directory: Path, settings: Settings, wishes: Wishes) -> Resolved:
    """What may be done in `directory` by whoever sits at this machine.

    Raises `ConfigRefused` for a file of the directory that cannot be read, and `WishRefused`.
    """
    situation = Situation(
        ceiling=settings.ceiling,
        file=config_in(directory).wishes,
        command_line=wishes,
        permission="admin",
        caches=caches_of(settings.home, _key(directory)),
    )
    resolved = resolve(situation)
    if not isinstance(resolved, Resolved):
        raise WishRefused(f"A turn may not start here: {resolved}.")
    for missed in resolved.not_granted:
        if missed.layer is Layer.COMMAND_LINE:
            raise WishRefused(_refusal(missed))
    if wishes.allowed_hosts and not resolved.policy.allowed_hosts:
        by = resolved.decided["allowed_hosts"]
        raise WishRefused(f"There is no network in a read-only sandbox, and read-only it is by the {by}.")
    return resolved


def config_in(directory: Path) -> RepositoryConfig:
    """The directory's `.github/darner.yml` as it lies there: it only narrows. Raises `ConfigRefused`."""
    files = CheckoutFiles(directory.resolve(), Policy(SandboxMode.READ_ONLY))
    try:
        config = _config(files)
        return _with_devcontainer(config, files) if config.devcontainer else config
    except (FileTooLarge, PathRefused, ConfigRefused) as error:
        raise ConfigRefused(f"{directory / PLACE} cannot be used. {error}") from error


def _config(files: CheckoutFiles) -> RepositoryConfig:
    try:
        return parse_config(files.read(PLACE, limit=LARGEST).data)
    except FileMissing:
        return RepositoryConfig()


def _with_devcontainer(config: RepositoryConfig, files: CheckoutFiles) -> RepositoryConfig:
    for place in DEVCONTAINERS:
        with suppress(FileMissing):
            told = files.read(place, limit=LARGEST_DEVCONTAINER).data
            return with_devcontainer(config, told, place=place)
    return config


def _refusal(missed: NotGranted) -> str:
    remedy = _REMEDIES.get(missed.field, "")
    return f"Not allowed here: {missed.asked} ({missed.why}). {remedy}".strip()


def _key(directory: Path) -> str:
    """A name for the directory's caches that no repository's id is like."""
    path = str(directory.resolve()).encode("utf-8", "surrogateescape")
    return f"local-{hashlib.sha256(path).hexdigest()[:16]}"
