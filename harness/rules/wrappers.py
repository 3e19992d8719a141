"""Programs that start the one named in their own arguments: `env`, `sudo`, `xargs`, `bash -c` and the like.

A table, not a complete list: what is not in it is judged by its own name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.rules.words import Word


@dataclass(frozen=True, slots=True)
class Inside:
    """What a command starts, as far as its words tell."""

    commands: tuple[tuple[Word, ...], ...] = ()
    scripts: tuple[str, ...] = ()
    """Shell scripts given as text."""
    is_unclear: bool = False
    """It starts something that the words do not tell."""
    is_transparent: bool = True
    """Whether it does nothing besides, so that what it starts may be allowed in its place."""


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """How to find the inner command: past the options, some operands, perhaps assignments."""

    valued: frozenset[str] = frozenset()
    """Options whose value is a word of its own."""
    operands: int = 0
    has_assignments: bool = False
    is_transparent: bool = True


def _wrapper(
    valued: str = "", *, operands: int = 0, has_assignments: bool = False, is_transparent: bool = True
) -> _Wrapper:
    return _Wrapper(frozenset(valued.split()), operands, has_assignments, is_transparent)


_AS_ANOTHER: Final = _wrapper(
    "-u --user -g --group -h --host -p --prompt -C --close-from -D --chdir -R --chroot -T -U -r -t -a",
    has_assignments=True,
    is_transparent=False,
)
_WRAPPERS: Final = {
    "builtin": _wrapper(),
    "busybox": _wrapper(is_transparent=False),
    "command": _wrapper(),
    "coproc": _wrapper(),
    "doas": _AS_ANOTHER,
    "env": _wrapper("-u --unset -C --chdir", has_assignments=True, is_transparent=False),
    "exec": _wrapper("-a"),
    "ionice": _wrapper("-c --class -n --classdata"),
    "nice": _wrapper("-n --adjustment"),
    "nohup": _wrapper(),
    "setsid": _wrapper(),
    "stdbuf": _wrapper("-i --input -o --output -e --error"),
    "sudo": _AS_ANOTHER,
    "time": _wrapper("-f --format -o --output"),
    "timeout": _wrapper("-k --kill-after -s --signal", operands=1),
    "xargs": _wrapper(
        "-a --arg-file -d --delimiter -E -I -L --max-lines -n --max-args -P --max-procs -s --max-chars"
    ),
}
_SHELLS: Final = frozenset({"ash", "bash", "dash", "ksh", "sh", "zsh"})
_SHELL_VALUED: Final = frozenset({"--rcfile", "--init-file"})
_FIND_EXECUTES: Final = frozenset({"-exec", "-execdir", "-ok", "-okdir"})


def inside(words: Sequence[Word], *, stdin: str | None = None) -> Inside | None:
    """What `words` start; None for a command that stands for itself. `stdin` is what it is known to read."""
    name = program_name(words[0])
    if name is None:
        return None
    if name in _SHELLS:
        return _in_shell(words[1:], stdin)
    if name == "eval":
        return _evaluated(words[1:])
    if name == "trap":
        return _scripts(words[1:2])
    if name == "find":
        return Inside(tuple(_found(words)), is_transparent=False)
    if name in _WRAPPERS:
        return _wrapped(words[1:], _WRAPPERS[name])
    return None


def program_name(word: Word) -> Word:
    """What a program goes by, wherever it lies."""
    return None if word is None else word.rpartition("/")[2]


def _wrapped(words: Sequence[Word], wrapper: _Wrapper) -> Inside:
    at = _past_options(words, wrapper.valued) + wrapper.operands
    while wrapper.has_assignments and at < len(words) and "=" in (words[at] or ""):
        at += 1
    rest = tuple(words[at:])
    return Inside((rest,) if rest else (), is_transparent=wrapper.is_transparent)


def _past_options(words: Sequence[Word], valued: frozenset[str]) -> int:
    at = 0
    while at < len(words):
        word = words[at]
        if word == "--":
            return at + 1
        if word is None or not word.startswith("-") or word == "-":
            return at
        at += 2 if word in valued else 1
    return at


def _in_shell(words: Sequence[Word], stdin: str | None) -> Inside:
    gives_script = False
    at = 0
    while at < len(words):
        word = words[at]
        if word is None:
            return Inside(is_unclear=True)
        if word in {"--", "-"} or word[:1] not in {"-", "+"}:
            at += word in {"--", "-"}
            break
        letters = "" if word.startswith("--") else word[1:].lower()
        gives_script = gives_script or ("c" in letters and word[0] == "-")
        at += 2 if "o" in letters or word in _SHELL_VALUED else 1
    if gives_script:
        return _scripts(words[at : at + 1])
    if at < len(words):
        # A file of commands: it has a name, which rules can be about.
        return Inside(is_transparent=False)
    return Inside(is_unclear=True) if stdin is None else Inside(scripts=(stdin,))


def _evaluated(words: Sequence[Word]) -> Inside:
    known = [word for word in words if word is not None]
    if len(known) != len(words):
        return Inside(is_unclear=True)
    return Inside(scripts=(" ".join(known),))


def _scripts(words: Sequence[Word]) -> Inside:
    if not words or words[0] is None:
        return Inside(is_unclear=True)
    return Inside(scripts=(words[0],))


def _found(words: Sequence[Word]) -> Iterator[tuple[Word, ...]]:
    at = 0
    while at < len(words):
        if words[at] in _FIND_EXECUTES:
            end = at + 1
            while end < len(words) and words[end] not in {";", "+"}:
                end += 1
            if words[at + 1 : end]:
                yield tuple(words[at + 1 : end])
            at = end
        at += 1
