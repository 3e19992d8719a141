"""A job's log as its page shows it: times apart, groups to be folded, complaints marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

MOST_SHOWN: Final = 3_000
"""Lines; of a longer log the last ones are shown."""
Kind = Literal["plain", "command", "error", "warning", "notice", "debug"]
_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)(?:\.\d+)?Z ?")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
# https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
_MARKED: Final = re.compile(r"^(?:##\[|\[)(command|error|warning|notice|debug)\](.*)")


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """In the whole log, from 1."""
    time: str
    text: str
    kind: Kind = "plain"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines in a row; with a title they are a group that can be folded."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class JobLog:
    blocks: tuple[Block, ...]
    left_out: int
    """Lines at its beginning that are not shown."""


def read(log: str) -> JobLog:
    every = log.removesuffix("\n").split("\n") if log else []
    left_out = max(0, len(every) - MOST_SHOWN)
    blocks: list[Block] = []
    title, lines = "", list[Line]()

    def end_block(next_title: str) -> None:
        nonlocal title, lines
        if lines or title:
            blocks.append(Block(title, tuple(lines)))
        title, lines = next_title, []

    for number, raw in enumerate(every[left_out:], start=left_out + 1):
        time, text = _split(raw)
        if text.startswith("##[group]"):
            end_block(text.removeprefix("##[group]"))
        elif text.startswith("##[endgroup]"):
            end_block("")
        else:
            lines.append(_line(number, time, text))
    end_block("")
    return JobLog(tuple(blocks), left_out)


def _split(raw: str) -> tuple[str, str]:
    stamp = _TIME.match(raw)
    text = raw[stamp.end() :] if stamp else raw
    return stamp[1] if stamp else "", _COLOUR.sub("", text)


def _line(number: int, time: str, text: str) -> Line:
    marked = _MARKED.match(text)
    if marked is None:
        return Line(number, time, text)
    kind: Kind = marked[1]  # type: ignore[assignment]
    return Line(number, time, marked[2], kind)
