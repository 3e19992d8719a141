"""`darner policy`: what a turn may do, and which layer decided it. Changes nothing, and asks no forge."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli.complaint import REFUSED, complain
from app.cli.options import AsJson
from handlers.permissions import Permission, TriggerKind

if TYPE_CHECKING:
    from handlers.policy import Resolved
    from handlers.view import RepositoryConfig

_NAME: Final = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")
NO_FILE: Final = "none was looked at; --file gives one"
REASONS: Final = {
    "needs_write": "whoever asks needs write permission.",
    "fork_needs_write": "on a fork's code whoever asks needs write permission, admit_readers or not.",
    "not_on_forks": "such turns do not run on a fork's code.",
}


@dataclass(frozen=True, slots=True)
class _Subject:
    """What the policy is asked for."""

    name: str
    """`OWNER/NAME`; empty for a directory."""
    config: "RepositoryConfig"
    source: str
    """Where the repository's file was read."""


def policy(
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell who decided each field, and what was not granted.")
    ] = False,
    repo: Annotated[
        str,
        typer.Option(
            "--repo",
            metavar="OWNER/NAME|DIR",
            help="A repository by its name, or a directory whose .github/darner.yml counts.",
        ),
    ] = ".",
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Read this as the repository's file instead.",
        ),
    ] = None,
    fork: Annotated[bool, typer.Option("--fork", help="For a turn on the head of a fork.")] = False,
    permission: Annotated[Permission, typer.Option("--permission", help="Of whoever asks.")] = "write",
    trigger: Annotated[TriggerKind, typer.Option("--trigger", help="What begins the turn.")] = "mention",
    as_json: AsJson = False,
) -> None:
    """Show what a turn may do here, under the settings that `darner serve` would find.

    Exits with 3 when such a turn is refused.
    """
    from app.caches import caches_of
    from app.settings import SettingsRefused, load_settings
    from handlers.config import ConfigRefused
    from handlers.permissions import Refusal
    from handlers.policy import Situation, resolve

    try:
        settings = load_settings()
        subject = _subject(repo, file)
    except (SettingsRefused, ConfigRefused) as error:
        raise complain(str(error)) from None
    situation = Situation(
        ceiling=settings.ceiling,
        repository=subject.name,
        file=subject.config.wishes,
        trigger=trigger,
        permission=permission,
        is_fork=fork,
        caches=caches_of(settings.home, "ID"),
    )
    found = resolve(situation)
    if isinstance(found, Refusal):
        refused = {"refused": found.value}
        typer.echo(json.dumps(refused) if as_json else f"Such a turn is refused: {REASONS[found.value]}")
        raise typer.Exit(REFUSED)
    if as_json:
        typer.echo(json.dumps(_report(found, subject), indent=2))
    else:
        typer.echo("\n".join(_lines(found, subject, is_explained=explain)))


def _subject(repo: str, file: Path | None) -> _Subject:
    from app.local_policy import config_in
    from handlers.config import PLACE, parse_config
    from handlers.view import RepositoryConfig

    is_directory = Path(repo).is_dir()
    if not is_directory and not _NAME.fullmatch(repo):
        raise complain(f"{repo!r} is neither a directory nor a repository's OWNER/NAME.")
    name = "" if is_directory else repo
    if file is not None:
        return _Subject(name, parse_config(file.read_bytes()), str(file))
    if is_directory:
        place = Path(repo) / PLACE
        source = f"{place}, as it lies there" if place.exists() else f"there is no {place}"
        return _Subject(name, config_in(Path(repo)), source)
    return _Subject(name, RepositoryConfig(), NO_FILE)


def _lines(found: "Resolved", subject: _Subject, *, is_explained: bool) -> Iterator[str]:
    if is_explained:
        yield f"The repository's file: {subject.source}."
        if not subject.config.enabled:
            yield "It says enabled: false, so that no turn starts in this repository at all."
    from handlers.policy_rows import rows_of

    rows = list(rows_of(found))
    widest = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, layer in rows:
        line = f"{name.ljust(widest[0])}  {value.ljust(min(widest[1], 60)) if is_explained else value}"
        yield f"{line}  {layer}".rstrip() if is_explained else line
    if is_explained:
        for missed in found.not_granted:
            yield f"Not granted: {missed}."
        for line in subject.config.ignored:
            yield f"Not used of devcontainer.json: {line}."


def _report(found: "Resolved", subject: _Subject) -> dict[str, Any]:
    from dataclasses import asdict

    policy = found.policy
    return {
        "file": subject.source,
        "enabled": subject.config.enabled,
        "policy": {
            "mode": policy.mode.value,
            "allowed_hosts": policy.allowed_hosts,
            "protected_paths": policy.protected_paths,
            "limits": asdict(policy.limits),
            "caches": [str(cache.source) for cache in policy.caches],
            "environment": dict(policy.environment),
            "image": policy.image,
            "approvals": found.approvals,
            "approvable_hosts": found.askable.hosts,
        },
        "decided": {name: layer.value for name, layer in found.decided.items()},
        "not_granted": [asdict(missed) for missed in found.not_granted],
        "ignored": subject.config.ignored,
    }
