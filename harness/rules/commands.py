"""The commands that a bash line would start, read with tree-sitter's grammar. Runs nothing, knows no rules.

What cannot be read makes the line opaque, and never an error. The text is a stranger's, and the parser needs
time and memory that grow faster than a tangled text's length: what is too long or too tangled is not parsed.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from harness.rules.words import Word, literal, text_of
from harness.rules.wrappers import inside

LONGEST: Final = 8192
"""Characters of a line that are parsed; bodies of here-documents are left out when there are more."""
MOST_MARKS: Final = 1024
"""Characters of a line that mean something to bash; see `_MARK`. Found by measuring hostile lines."""
DEEPEST: Final = 8
"""Commands within commands (`sudo env bash -c …`) and scripts within scripts."""
MOST_COMMANDS: Final = 1000

_MARK: Final = re.compile(r"[()`<>|&;{}\[\]=!$\"'*?#]")
_MISREAD: Final = re.compile(r"[^\S \t\n]|[\x00-\x08\x0e-\x1f\x7f]|\S\\\n\S")
"""Where bash and the grammar differ: other blanks, control characters, a word broken over two lines."""
_HERE_DOCUMENT: Final = re.compile(r"<<-?[ \t]*(['\"]?)(?P<word>\w+)\1")
_SETS_VARIABLES: Final = frozenset({"declaration_command", "unset_command", "variable_assignment"})
_SEQUENCES: Final = frozenset({"pipeline", "list"})
_WRITING: Final = frozenset({">", ">>", ">|", "&>", "&>>", ">&", "<>"})
_HARMLESS_TARGETS: Final = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr"})


@dataclass(frozen=True, slots=True)
class Simple:
    """One command: its words, quotes resolved, assignments before it left out."""

    words: tuple[Word, ...]
    is_wrapper: bool = False
    """It does nothing but start another command of the line."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What a line says."""

    commands: tuple[Simple, ...]
    opaque: str | None = None
    """Why the commands are not all that the line does, where they are not."""
    is_read: bool = True
    """False when nothing was parsed at all."""


def read_line(text: str) -> CommandLine:
    """Read a command line. Never raises."""
    reader = _Reader()
    shown = text
    if _is_too_much(shown):
        shown = _without_here_documents(text)
        reader.doubt("here-documents of a long line are not read")
    if _is_too_much(shown):
        return CommandLine((), opaque="too long or too tangled", is_read=False)
    if _MISREAD.search(shown):
        reader.doubt("it holds unusual characters")
    reader.script(shown, depth=0)
    return CommandLine(tuple(reader.commands), reader.opaque)


def _is_too_much(text: str) -> bool:
    return len(text) > LONGEST or sum(1 for _ in _MARK.finditer(text)) > MOST_MARKS


def _without_here_documents(text: str) -> str:
    kept: list[str] = []
    ends: deque[str] = deque()
    for line in text.split("\n"):
        if not ends:
            kept.append(line)
            ends.extend(found["word"] for found in _HERE_DOCUMENT.finditer(line))
        elif line.lstrip("\t") == ends[0]:
            kept.append(line)
            ends.popleft()
    return "\n".join(kept)


@dataclass(slots=True)
class _Reader:
    """Collects commands, and the first reason why they are not all."""

    commands: list[Simple] = field(default_factory=list)
    opaque: str | None = None

    def doubt(self, why: str) -> None:
        self.opaque = self.opaque or why

    def script(self, text: str, *, depth: int) -> None:
        tree = Parser(_language()).parse(text.encode("utf-8", "surrogatepass"))
        if tree.root_node.has_error:
            self.doubt("it is not understood as a whole")
        waiting = [tree.root_node]
        while waiting:
            node = waiting.pop()
            self._look_at(node, depth)
            waiting.extend(reversed(node.children))

    def _look_at(self, node: Node, depth: int) -> None:
        match node.type:
            case "command":
                words = tuple(literal(word) for word in _words(node))
                if words:
                    self._command(words, depth, stdin=_stdin(node))
            case "function_definition":
                self.doubt("it defines functions")
            case "file_redirect" if _writes(node):
                self.doubt("it writes to a file")
            case kind if kind in _SETS_VARIABLES:
                self.doubt("it sets variables")
            case _:
                pass

    def _command(self, words: tuple[Word, ...], depth: int, *, stdin: str | None) -> None:
        if len(self.commands) >= MOST_COMMANDS or depth > DEEPEST:
            self.doubt("too many commands within commands")
            return
        if words[0] is None:
            self.doubt("the name of a command is only known when it runs")
        within = inside(words, stdin=stdin)
        if within is None:
            self.commands.append(Simple(words))
            return
        starts_something = bool(within.commands or within.scripts)
        self.commands.append(Simple(words, is_wrapper=starts_something and within.is_transparent))
        if within.is_unclear:
            self.doubt(f"what {words[0]} runs is only known when it runs")
        for command in within.commands:
            self._command(command, depth + 1, stdin=None)
        for script in within.scripts:
            if depth >= DEEPEST:
                self.doubt("too many commands within commands")
            else:
                self.script(script, depth=depth + 1)


@cache
def _language() -> Language:
    return Language(tree_sitter_bash.language())


def _words(command: Node) -> Iterator[Node]:
    for at, child in enumerate(command.children):
        if child.type == "command_name":
            yield from child.children
        elif command.field_name_for_child(at) == "argument":
            yield child
    for redirect in _redirects(command):
        # `git >log push`: the grammar takes what follows for further targets, bash for arguments.
        yield from _targets(redirect)[1:]


def _stdin(command: Node) -> str | None:
    """The text that the line itself gives to the command to read."""
    for redirect in _redirects(command):
        if redirect.type == "herestring_redirect" and redirect.named_children:
            return literal(redirect.named_children[-1])
        if redirect.type == "heredoc_redirect":
            return "".join(text_of(part) for part in redirect.children if part.type == "heredoc_body")
    return None


def _redirects(command: Node) -> Iterator[Node]:
    yield from (child for child in command.children if child.type == "herestring_redirect")
    last = command
    while last.parent is not None and last.parent.type in _SEQUENCES and last.parent.children[-1] == last:
        last = last.parent
    around = last.parent
    if around is None or around.type != "redirected_statement" or around.children[0] != last:
        return
    for redirect in around.children[1:]:
        yield redirect
        yield from (child for child in redirect.children if child.type == "file_redirect")


def _targets(redirect: Node) -> list[Node]:
    return redirect.children_by_field_name("destination") if redirect.type == "file_redirect" else []


def _writes(redirect: Node) -> bool:
    if not {child.type for child in redirect.children} & _WRITING:
        return False
    target = _targets(redirect)[0] if _targets(redirect) else redirect
    return target.type != "number" and literal(target) not in _HARMLESS_TARGETS
