"""`darner rules`: are these files in order, and what would they say of a command? Runs nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.complaint import complain

if TYPE_CHECKING:
    from harness.rules import Rule, Rules, Verdict

rules: Final = typer.Typer(help="Rules on command lines: try them out.", no_args_is_help=True)

Place = Annotated[
    Path | None,
    typer.Option("--rules", metavar="PATH", help="A file or folder of rules (DARNER_RULES)."),
]


@rules.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files or folders of rules.")],
) -> None:
    """Read files of rules and try out their examples. Exits with 1 when one cannot be used."""
    from harness.rules import RulesRefused, read_rules

    for file in files:
        try:
            read = read_rules(file, builtin=False)
        except RulesRefused as error:
            raise complain(str(error), status=1) from None
        count = len(read.rules)
        typer.echo(f"{file}: {count} rule{'s' * (count != 1)}, all examples as they say.")


@rules.command("test", context_settings={"allow_interspersed_args": False})
def try_out(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="One command line.")],
    *,
    place: Place = None,
) -> None:
    """Tell what the rules in force say of a command line, and why.

    Several words are one command with these words; a line with pipes and the like is given as one word.
    Exits with 0 when it would run, 1 when it would not.
    """
    import shlex

    from harness.output import readable
    from harness.rules import Allowed, Undecided, judge

    line = command[0] if len(command) == 1 else shlex.join(command)
    verdict = judge(_in_force(place), line)
    typer.echo(readable(_told(verdict)))
    raise typer.Exit(0 if isinstance(verdict, Allowed | Undecided) else 1)


def _in_force(place: Path | None) -> "Rules":
    from app.settings import SettingsRefused, load_settings
    from app.turn_parts import rules_of

    try:
        return rules_of(load_settings(rules=place) if place else load_settings())
    except SettingsRefused as error:
        raise complain(str(error)) from None


def _told(verdict: "Verdict") -> str:
    from harness.rules import Allowed, Asks, Forbidden, Undecided, Unreadable

    match verdict:
        case Forbidden(rule=rule, command=command):
            return f"forbidden: {command}\n{_with_reason(rule)}"
        case Asks(rule=rule, command=command):
            return f"needs a person's leave: {command}\n{_with_reason(rule)}"
        case Allowed(rules=allowing):
            return "\n".join(("allowed", *map(_with_reason, allowing)))
        case Undecided(why=why):
            return f"runs: no decision ({why})"
        case Unreadable():
            return "refused: too long or too tangled to be compared with the rules"


def _with_reason(rule: "Rule") -> str:
    reason = f"\n  {rule.justification}" if rule.justification else ""
    return f"  {rule}  ({rule.source}){reason}"
