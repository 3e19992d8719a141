"""Gathers what a briefing is made of: the conversation from the forge, the rest from the mirror."""

import asyncio
from typing import Final

from app.github import GitHub, PostedComment, SubjectText
from app.store.places import RepositoryRef
from handlers.briefing import BriefedComment, InstructionFile, Material
from handlers.config import DEVCONTAINERS, PLACE, parse_config, with_devcontainer
from handlers.effects import StartTurn
from handlers.view import RepositoryConfig
from harness.instructions import PROJECT_BYTES, PROJECT_FILE
from sandbox.base import FileTooLarge
from sandbox.git.mirror import Mirror

LARGEST_READ: Final = 1024 * 1024
DIFF_CHARACTERS: Final = 200_000
"""More than a briefing holds: it cuts, and says so."""


async def gather(
    start: StartTurn, *, github: GitHub, place: RepositoryRef, mirror: Mirror, bot: int | None
) -> Material:
    """Everything `handlers.briefing.compose` needs. Raises `ForgeError` and `GitFailed`."""
    subject, comments, instructions, diff, config = await asyncio.gather(
        _subject(start, github, place),
        _comments(start, github, place),
        instructions_of(mirror, start.instructions_sha),
        _diff(mirror, start),
        pinned_config(mirror, start),
    )
    # The turn's own progress comment is no part of the conversation.
    heard = [
        comment for comment in comments if comment.author_id != bot or comment.created_at < start.trigger.at
    ]
    return _material(start, subject, heard, instructions, diff, config.instructions)


async def _subject(start: StartTurn, github: GitHub, place: RepositoryRef) -> SubjectText:
    if not start.number:
        # The checks of a branch: nobody has written anything.
        return SubjectText(body="", author="", association="", created_at="")
    return await github.run(place, lambda client: client.subject(start.number))


async def _comments(start: StartTurn, github: GitHub, place: RepositoryRef) -> list[PostedComment]:
    if not start.number:
        return []
    return await github.run(place, lambda client: client.comments(start.number))


async def instructions_of(mirror: Mirror, sha: str) -> tuple[InstructionFile, ...]:
    """The `AGENTS.md` files of the base: the head's are data like any other file (attack class A5)."""
    found: list[InstructionFile] = []
    for path in await mirror.list_paths(sha, names=(PROJECT_FILE,)):
        data = await _read_beginning(mirror, sha, path)
        if data is not None:
            found.append(InstructionFile(path, data.decode("utf-8", "replace")))
    return tuple(found)


async def _read_beginning(mirror: Mirror, sha: str, path: str) -> bytes | None:
    """The first 32 KiB of a file, as much as a briefing takes of all instructions together."""
    try:
        data = await mirror.read(sha, path, limit=LARGEST_READ)
    except FileTooLarge:
        return b"(This file is too large to be read as instructions.)"
    return None if data is None else data[:PROJECT_BYTES]


async def _diff(mirror: Mirror, start: StartTurn) -> str | None:
    if not start.is_pull:
        return None
    return await mirror.diff(start.instructions_sha, start.base_sha, limit=DIFF_CHARACTERS)


async def pinned_config(mirror: Mirror, start: StartTurn) -> RepositoryConfig:
    """The repository's file at the commit the turn is pinned to.

    Raises `ConfigRefused`: a file that cannot be read may have narrowed what the turn may do.
    """
    sha = start.config_sha or start.instructions_sha
    text = await _read_beginning(mirror, sha, PLACE)
    config = parse_config(text) if text is not None else RepositoryConfig()
    for place in DEVCONTAINERS if config.devcontainer else ():
        if (told := await _read_beginning(mirror, sha, place)) is not None:
            return with_devcontainer(config, told, place=place)
    return config


def _material(
    start: StartTurn,
    subject: SubjectText,
    comments: list[PostedComment],
    instructions: tuple[InstructionFile, ...],
    diff: str | None,
    extra: str,
) -> Material:
    return Material(
        start=start,
        subject_body=subject.body,
        subject_author=subject.author,
        subject_association=subject.association,
        subject_created_at=subject.created_at,
        comments=tuple(
            BriefedComment(
                id=comment.id,
                author=comment.author,
                kind=comment.author_kind,
                association=comment.association,
                created_at=comment.created_at,
                updated_at=comment.updated_at,
                body=comment.body,
                url=comment.url,
            )
            for comment in comments
        ),
        diff=diff,
        instructions=instructions,
        repository_instructions=extra,
    )
