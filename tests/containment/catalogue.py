"""All attacks, where they are meant to work, and the table that tells of both."""

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sandbox.base import SandboxMode
from tests.containment.attacks import attack as registry
from tests.containment.attacks.attack import Attack

PAGE: Final = Path(__file__).parents[2] / "docs/security.md"
DRIVERS: Final = ("bubblewrap", "docker")
MODES: Final = (SandboxMode.READ_ONLY, SandboxMode.WORKSPACE_WRITE)
UNCONFINED: Final = "no sandbox"
COLUMNS: Final = (*(f"{driver}, {mode}" for driver in DRIVERS for mode in MODES), UNCONFINED)
CELL: Final = "containment cell"
"""The property of a test's report that is one cell of the table: the attack's id, the column, yes or no."""
GROUPS: Final = {
    "files": "Files",
    "git": "History",
    "processes": "Processes",
    "kernel": "Kernel",
    "network": "Network",
    "terminal": "Terminals",
    "resources": "Resources",
    "left_behind": "What is left behind",
    "environment": "Environment",
}

for _group in GROUPS:
    importlib.import_module(f"tests.containment.attacks.{_group}")

ATTACKS: Final = tuple(registry.ATTACKS.values())

_BEGIN: Final = "<!-- containment:begin -->\n"
_END: Final = "<!-- containment:end -->\n"


def meant_to_work(attack: Attack, driver: str, mode: SandboxMode) -> str:
    """Why it is allowed there, by design; empty where it is not."""
    if attack.allowed or attack.allowed_in.get(driver):
        return attack.allowed or attack.allowed_in[driver]
    return attack.allowed_when_writing if mode is SandboxMode.WORKSPACE_WRITE else ""


def expected() -> dict[tuple[str, str], str]:
    """The cells as a green run fills them."""
    cells = {
        (attack.id, f"{driver}, {mode}"): "yes" if meant_to_work(attack, driver, mode) else "no"
        for attack in ATTACKS
        for driver in DRIVERS
        for mode in MODES
    }
    return cells | {(attack.id, UNCONFINED): "yes" for attack in ATTACKS if not attack.never_unconfined}


def table(cells: Mapping[tuple[str, str], str]) -> str:
    """Markdown: a row an attack, a heading a group. `cells` say whether it works."""
    lines = []
    for group, title in GROUPS.items():
        lines += ["", f"### {title}", ""]
        lines += [
            f"| what is tried | {' | '.join(COLUMNS)} | because |",
            "| --- |" + " --- |" * (len(COLUMNS) + 1),
        ]
        for attack in ATTACKS:
            if attack.group == group:
                words = [_word(attack, column, cells.get((attack.id, column))) for column in COLUMNS]
                lines.append(f"| {attack.tries} | {' | '.join(words)} | {_because(attack)} |")
    return "\n".join(lines[1:]) + "\n"


def on_the_page() -> str:
    """The table as `docs/security.md` has it."""
    found = re.search(
        re.escape(_BEGIN) + "(.*?)" + re.escape(_END), PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    return found[1] if found else ""


def write(text: str) -> None:
    """Put it there in the place of the former one."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(before + _BEGIN + text + _END + after, encoding="utf-8")


def _word(attack: Attack, column: str, works: str | None) -> str:
    if works is None or (column == UNCONFINED and attack.innocent):
        return "-"
    if column == UNCONFINED:
        return "works" if works == "yes" else "fails"
    return "allowed" if works == "yes" else "held"


def _because(attack: Attack) -> str:
    allowed = attack.allowed or attack.allowed_when_writing
    reasons = [
        *([allowed] if allowed else []),
        *(f"{driver}: {why}" for driver, why in attack.allowed_in.items()),
    ]
    without = attack.innocent or attack.never_unconfined
    return "; ".join([*reasons, *([f"no sandbox: {without}"] if without else [])])
