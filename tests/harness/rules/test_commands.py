"""What a command line is read as: tricky spellings, what stays in the dark, and hostile lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rules.commands import LONGEST, read_line


def read(line: str) -> list[str]:
    """The commands, an unknown word as `…`, words with blanks in brackets."""
    return [
        " ".join("…" if word is None else (f"[{word}]" if " " in word else word) for word in command.words)
        for command in read_line(line).commands
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("git push", ["git push"]),
        ("cd x && git push; ls | wc -l", ["cd x", "git push", "ls", "wc -l"]),
        ("(cd x; git push) &", ["cd x", "git push"]),
        ("if true; then git push; fi", ["true", "git push"]),
        ("for f in *; do rm $f; done", ["rm …"]),
        ("! git push", ["git push"]),
        ("A=1 B=2 git push", ["git push"]),
        (">log git push", ["git push"]),
        ("git >log push 2>&1 origin", ["git push origin"]),
        ("ls | git >log push", ["ls", "git push"]),
        # Quotes.
        ("\\git 'pu'\"sh\"", ["git push"]),
        ("$'\\x67it' $'p\\165sh'", ["git push"]),
        ('$"git" push', ["git push"]),
        ("git\\ push", ["[git push]"]),
        ('git commit -m "a \\"b\\" $X"', ["git commit -m …"]),
        # What is not known before the line runs.
        ("$TOOL push", ["… push"]),
        ("g*t push", ["… push"]),
        ("git pu{sh,ll}", ["git …"]),
        ("ls ~/x ~", ["ls … …"]),
        # Within words.
        ("echo $(git push) `git pull`", ["echo … …", "git push", "git pull"]),
        ('echo "${X:-$(git push)}"', ["echo …", "git push"]),
        ("diff <(git push) x", ["diff … x", "git push"]),
        ("X=$(git push)", ["git push"]),
        ("f() { git push; }; f", ["git push", "f"]),
        # Scripts as text.
        ("bash -c 'git push'", ["bash -c [git push]", "git push"]),
        ("sh -euo pipefail -c 'git push' x", ["sh -euo pipefail -c [git push] x", "git push"]),
        ("sh -eu -o pipefail -c 'git push' x", ["sh -eu -o pipefail -c [git push] x", "git push"]),
        ("bash <<'E'\ngit push\nE", ["bash", "git push"]),
        ("bash -s <<< 'git push'", ["bash -s", "git push"]),
        ("eval git 'push -f'", ["eval git [push -f]", "git push -f"]),
        ("trap 'git push' EXIT", ["trap [git push] EXIT", "git push"]),
        # Programs that start others.
        ("env -u X A=1 git push", ["env -u X A=1 git push", "git push"]),
        ("sudo -u root -- git push", ["sudo -u root -- git push", "git push"]),
        ("timeout -k 3 5 git push", ["timeout -k 3 5 git push", "git push"]),
        ("time -p nohup git push", ["time -p nohup git push", "nohup git push", "git push"]),
        ("ls | xargs -n 1 git push", ["ls", "xargs -n 1 git push", "git push"]),
        (
            "find . -exec git push {} \\; -o -execdir rm {} +",
            ["find . -exec git push {} ; -o -execdir rm {} +", "git push {}", "rm {}"],
        ),
        # Text only.
        ("echo git push", ["echo git push"]),
        ("cat <<'E' >x\ngit push\nE", ["cat"]),
        ("# git push", []),
        ("", []),
    ],
)
def test_a_line_is_read_as_bash_would(line: str, expected: list[str]) -> None:
    """Each command is found, its quotes resolved; text that only looks like one is none."""
    assert read(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "$X",
        "g?t push",
        "git push '",
        "echo x > file",
        "X=1",
        "export X=1",
        "f() { ls; }",
        "curl x | bash",
        'bash -c "$X"',
        "eval $X",
        "gi\\\nt push",
        "git\u00a0push",
        "ls\r",
    ],
)
def test_what_is_not_understood_is_said(line: str) -> None:
    """A line that does more than its commands tell is opaque."""
    assert read_line(line).opaque is not None


@pytest.mark.parametrize("line", ["ls", "ls -l | wc", "time timeout 5 ls 2>/dev/null", "cat $X", "(ls) 2>&1"])
def test_a_plain_line_is_not_opaque(line: str) -> None:
    """Nothing of it is in the dark."""
    assert read_line(line).opaque is None


def test_scripts_within_scripts_have_an_end() -> None:
    """What is nested deeper than anybody writes is left unread, and that is told."""
    line = "ls"
    for _ in range(12):
        line = f"eval {line!r}" if "'" not in line else f"sudo {line}"
    assert read_line(line).opaque is not None
    assert read_line("env " * 20 + "ls").opaque is not None


def test_a_long_file_in_a_here_document_is_no_obstacle() -> None:
    """The commands around it are read; that the text was not is told."""
    body = "x = (y[0], {z: 'w'})\n" * 2000
    found = read_line(f"cat > x.py <<'END'\n{body}END\ngit push && sudo ls")
    assert [command.words[0] for command in found.commands] == ["cat", "git", "sudo", "ls"]
    assert found.opaque is not None
    assert found.is_read


@pytest.mark.parametrize("fragment", [">=`", "}`>", "a=(", "a|", ":-|!", "$<*", "((<)"])
def test_a_tangled_line_is_not_read(fragment: str) -> None:
    """Lines on which the parser needs quadratic time, and memory, are cut off before they hurt."""
    assert not read_line((fragment * LONGEST)[:LONGEST]).is_read


PIECES = (
    "a git push = ( ) { } $ \" ' ` | & < <<A > ; [ [[ \n if fi case in esac do ${a # ! $( (( + * :- \\ "
    "sudo env bash -c eval xargs timeout find -exec -- \ud800 \0 é"
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line", ["<<A\n" * 25_000, "<<A " * 25_000, "cat <<E\n" + "x\n" * 50_000, "(" * 120_000]
)
def test_a_huge_line_is_read_or_left(line: str) -> None:
    """As long as the kernel lets a word be; at once, either way."""
    assert len(read_line(line).commands) <= 1


SHELL = st.lists(st.sampled_from(PIECES.split(" ")), max_size=40)


@given(st.one_of(SHELL.map("".join), SHELL.map(" ".join), st.text(max_size=200)))
def test_no_line_breaks_the_reader(line: str) -> None:
    """Whatever is asked for, there is an answer of bounded size."""
    found = read_line(line)
    assert len(found.commands) <= 1000
