"""The pytest plugin that keeps the session's ledger, prints it at the end and fails the run below 100 %."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.github.ledger import Ledger

_LEDGER: Final = pytest.StashKey[Ledger]()
_OUTPUT: Final = "github_ledger"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LEDGER] = Ledger.load()


@pytest.fixture(scope="session")
def github_ledger(pytestconfig: pytest.Config) -> Ledger:
    """Where every exchange and webhook of a forge in this session is to be written."""
    return pytestconfig.stash[_LEDGER]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """pytest-xdist: a worker has ended; its counts join the controller's."""
    output: Mapping[str, object] = getattr(node, "workeroutput", {})
    if error is None and isinstance(stored := output.get(_OUTPUT), str):
        node.config.stash[_LEDGER].merge(stored.encode())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    ledger = session.config.stash[_LEDGER]
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = ledger.stored().decode()
    elif exitstatus == pytest.ExitCode.OK and ledger.failures():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ledger = config.stash[_LEDGER]
    if not (ledger.tally.exercised or ledger.tally.webhooks.seen):
        return
    terminalreporter.section("exchanges with GitHub, held to its descriptions")
    for line in ledger.lines():
        terminalreporter.line(line)
    for failure in ledger.failures():
        terminalreporter.line(f"FAILED {failure}", red=True)
