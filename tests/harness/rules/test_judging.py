"""Rules from files, and what they say: the strictest counts, allowing needs everything in the light."""

from pathlib import Path

import pytest

from harness.rules import (
    Allowed,
    Asks,
    Forbidden,
    Rules,
    RulesRefused,
    Undecided,
    Unreadable,
    judge,
    read_rules,
)

OURS = """\
builtin = false

[[prefix]]
pattern = ["git", ["status", "log", "push"]]
decision = "allow"

[[prefix]]
pattern = ["git", "push"]
decision = "ask"
justification = "Somebody should look."
match = ["git push", "cd x && git push origin"]
not_match = ["git pull"]

[[prefix]]
pattern = ["git", "push", ["-f", "--force"]]
decision = "forbid"

[[prefix]]
pattern = [["ls", "wc", "xargs"]]
decision = "allow"
"""


def written(folder: Path, text: str, name: str = "rules.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture
def ours(tmp_path: Path) -> Rules:
    return read_rules(written(tmp_path, OURS))


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("git status", Allowed),
        ("/usr/bin/git status -s | wc -l", Allowed),
        ("timeout 5 git log", Allowed),
        ("bash -c 'git log; ls'", Allowed),
        ("git push origin", Asks),
        ("git status && git push", Asks),
        ("git push -f", Forbidden),
        ("git push; $X; git push --force", Forbidden),
        ("sudo git push -f '", Forbidden),
        ("git pull", Undecided),
        ("ls; make", Undecided),
        ("sudo git status", Undecided),
        ("PATH=. git status", Undecided),
        ("ls > ~/.bashrc", Undecided),
        ("ls; $X", Undecided),
        ("git() { rm -r .; }; git status", Undecided),
        ("echo x" * 5000, Unreadable),
        ("", Undecided),
    ],
)
def test_the_table(ours: Rules, line: str, verdict: type) -> None:
    """Forbid before ask before allow; allowed only when nothing else happens; else no decision."""
    assert isinstance(judge(ours, line), verdict)


def test_a_verdict_names_its_rule(ours: Rules, tmp_path: Path) -> None:
    """Who reads it finds the rule: its text, its file and line, its reason, and the command it is about."""
    found = judge(ours, "ls && git push origin $BRANCH")
    assert isinstance(found, Asks)
    assert str(found.rule) == "ask git push"
    assert found.rule.source == f"{tmp_path}/rules.toml:7"
    assert found.rule.justification == "Somebody should look."
    assert found.command == "git push origin …"


def test_the_builtin_rules_are_there_unless_declined(tmp_path: Path) -> None:
    """An operator's rules come on top; a looser one loosens nothing; `builtin = false` takes them away."""
    looser = '[[prefix]]\npattern = ["git", "push"]\ndecision = "allow"\n'
    assert isinstance(judge(read_rules(None), "git push"), Forbidden)
    assert isinstance(judge(read_rules(written(tmp_path, looser)), "git push"), Forbidden)
    declined = read_rules(written(tmp_path, f"builtin = false\n{looser}"))
    assert isinstance(judge(declined, "git push"), Allowed)


def test_all_files_of_a_folder_count(tmp_path: Path) -> None:
    """Each `*.toml`, in the order of names; other files are passed over."""
    written(tmp_path, '[[prefix]]\npattern = ["b"]\ndecision = "ask"\n', "b.toml")
    written(tmp_path, '[[prefix]]\npattern = ["a"]\ndecision = "forbid"\n', "a.toml")
    written(tmp_path, "not TOML", "README")
    assert [str(rule) for rule in read_rules(tmp_path, builtin=False).rules] == ["forbid a", "ask b"]


GOOD = '[[prefix]]\npattern = ["a"]\ndecision = "ask"\n\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD + '[[prefix]]\npattern = ["a"]\ndecision = "no"', ":5: decision: "),
        (GOOD + "[[prefix]]\npattern = []\ndecision = 'ask'", ":5: pattern: "),
        (GOOD + "[[prefix]]\npattern = ['a', []]\ndecision = 'ask'", ":5: pattern: "),
        (GOOD + "[[prefix]]\npattern = ['a', 3]\ndecision = 'ask'", ":5: pattern: "),
        (GOOD + "[[prefix]]\npattern = ['']\ndecision = 'ask'", ":5: pattern: "),
        (GOOD + "[[prefix]]\npattern = ['a']", ":5: decision: "),
        (GOOD + "  [[ prefix ]]\npattern = ['a']\ndecision = 'ask'\nwhy = ''", ":5: why: "),
        (
            GOOD + "[[prefix]]\npattern = ['a']\ndecision = 'ask'\nmatch = ['b a']",
            ":5: the rule should match 'b a', and does not",
        ),
        (
            GOOD + "[[prefix]]\npattern = ['a']\ndecision = 'ask'\nnot_match = ['x; a']",
            ":5: the rule should not match 'x; a', and does",
        ),
        ("prefix = [{ pattern = ['a'], decision = 'no' }]", ", rule 1: decision: "),
        (
            "[[prefix]]\npattern = ['a']\ndecision = 'no'\njustification = '''\n[[prefix]]'''",
            ", rule 1: decision: ",
        ),
        ("[[prefixes]]\npattern = ['a']", ": prefixes: "),
        ("builtin = 'no'", ": builtin: "),
        ("[[prefix]\n", ": not a TOML file: "),
        ("x = '\\ud800", ": not a TOML file: "),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    """The line of the rule where it is certain, else its number: never a wrong line."""
    place = written(tmp_path, text)
    with pytest.raises(RulesRefused) as refusal:
        read_rules(place)
    assert str(refusal.value).startswith(f"{place}{complaint}")


def test_a_place_without_rules_is_refused(tmp_path: Path) -> None:
    """A path that is mistyped does not silently mean no rules."""
    with pytest.raises(RulesRefused, match="no file of rules"):
        read_rules(tmp_path)
    with pytest.raises(RulesRefused, match="cannot be read"):
        read_rules(tmp_path / "missing.toml")
