"""`--write-table` puts what a complete run has found into the documentation."""

import pytest

from tests.containment.catalogue import CELL, expected, table, write


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known when this directory is named on the command line."""
    parser.addoption("--write-table", action="store_true", help="write the table of docs/security.md anew")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """The cells come with the reports, from whatever process ran the test."""
    if not config.getoption("--write-table", default=False):
        return
    del exitstatus
    cells = {
        (attack, column): works
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == CELL
        for attack, column, works in (value,)
    }
    missing = expected().keys() - cells.keys()
    if missing:
        attack, column = min(missing)
        terminalreporter.write_line(
            f"No table: {len(missing)} cells are not green, the first is {attack} ({column})."
        )
        return
    write(table(cells))
    terminalreporter.write_line("docs/security.md has the table of this run.")
