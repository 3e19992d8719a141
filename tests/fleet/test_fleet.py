"""The fleet in its short form; `make fleet` has more of everything."""

import signal
from pathlib import Path

import pytest

from tests.app import postgres
from tests.fleet.fleet import fleet
from tests.sweep.sweep import Sweep

pytestmark = pytest.mark.timeout(300)


async def test_one_dies_and_one_freezes_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """The third takes over; who wakes up writes nothing more of what was taken from it."""
    with postgres.running(postgres.programs()) as server:
        async with fleet(
            tmp_path,
            database_url=server.format("postgres"),
            seconds=1.0,
            patience=120,
            limits={"DARNER_MAX_TURNS": "2", "DARNER_MAX_TURNS_TOTAL": "5"},
        ) as made:
            sweep = Sweep(made.house)
            await made.hire("doomed", "sleepy", "steady")
            issues = await made.asked(6)
            frozen = await made.busy("sleepy")
            made.tell("sleepy", signal.SIGSTOP)
            killed = await made.busy("doomed")
            made.tell("doomed", signal.SIGKILL)

            await made.taken_over("doomed", killed)
            await made.taken_over("sleepy", frozen)
            made.tell("sleepy", signal.SIGCONT)
            await made.done(issues, by=sweep)

            faults = {issue: [fault async for fault in sweep.faults(issue)] for issue in issues}
            assert faults == {issue: [] for issue in issues}
            assert made.most_at_once <= 5
            # What the dead one left goes when somebody has its seat.
            assert set(sweep.left_behind()) <= set(made.turns_of(killed))
