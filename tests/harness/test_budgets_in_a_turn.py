"""A turn keeps to every budget: it is asked once to wrap up, and ends before the call that is too many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from harness.budget import Allowance, wrap_up
from harness.items import BudgetUnit, Completed, Exhausted, Notice, TurnLimits, TurnResult
from harness.loop import run_turn
from harness.memory import MemoryJournal, PlainSession
from tests.harness.scripted import ScriptedModel, answer, called, said, turn
from tests.harness.tools_at_hand import Recorder, by_name, echo

TOMORROW = 86_400.0


@dataclass
class PayingSession(PlainSession):
    """Time stands still; somebody keeps the accounts."""

    account: Callable[[], Sequence[Allowance]] = tuple

    def now(self) -> float:
        return 1_000.0

    async def allowances(self) -> Sequence[Allowance]:
        return self.account()


async def run(
    model: ScriptedModel,
    *,
    account: Callable[[], Sequence[Allowance]] = tuple,
    limits: TurnLimits | None = None,
    journal: MemoryJournal | None = None,
) -> TurnResult:
    return await run_turn(
        turn(limits=limits),
        model=model,
        tools=by_name(Recorder("echo", echo)),
        session=PayingSession(account=account),
        journal=journal or MemoryJournal(),
    )


def looping(count: int) -> ScriptedModel:
    """Calls a tool so often, then says so; each answer counts eleven tokens."""
    calls = [answer(called(f"c{number}", "echo")) for number in range(count)]
    return ScriptedModel([*calls, answer(said("Done."))])


def told(model: ScriptedModel) -> list[str]:
    return [entry["user"] for entry in model.history() if entry.get("user", "").startswith("Wrap up")]


async def test_at_nine_tenths_the_agent_is_asked_once_to_wrap_up() -> None:
    """Of whichever budget is nearest to its end; the tool calls go on."""
    model = looping(12)

    result = await run(model, limits=TurnLimits(tokens=140))

    assert result.outcome == Completed("Done.")
    near = Allowance(scope="turn", unit="tokens", used=132, allowed=140)
    assert told(model) == [wrap_up(near)]
    assert "8 tokens are left of this turn's budget of 140 tokens" in told(model)[0]


async def test_a_turn_that_is_taken_up_again_is_not_asked_again() -> None:
    """That it was asked stands in its journal."""
    first, journal = looping(12), MemoryJournal()
    await run(first, limits=TurnLimits(tokens=140), journal=journal)
    kept = next(index for index, entry in enumerate(journal.entries) if isinstance(entry.item, Notice))
    again = MemoryJournal(entries=journal.entries[: kept + 1])
    model = looping(0)

    await run(model, limits=TurnLimits(tokens=140), journal=again)

    assert len(told(model)) == 1
    assert sum(isinstance(entry.item, Notice) for entry in again.entries) == 1


@pytest.mark.parametrize("unit", ["tokens", "money", "wall_time"])
async def test_a_shared_budget_ends_the_turn_before_the_next_call(unit: BudgetUnit) -> None:
    """It may be spent by others meanwhile; the outcome says which one it was, and until when."""
    model = looping(5)

    def account() -> Sequence[Allowance]:
        used = 40 * len(model.requests)
        spent = Allowance(scope="actor", unit=unit, used=used, allowed=100, currency="USD", frees_at=TOMORROW)
        return (Allowance(scope="day", unit=unit, used=used, allowed=None), spent)

    result = await run(model, account=account)

    assert len(model.requests) == 3
    assert result.outcome == Exhausted(unit, 100, "", scope="actor", currency="USD", frees_at=TOMORROW)


async def test_a_turn_that_has_nothing_to_spend_asks_no_model() -> None:
    model = looping(1)

    result = await run(
        model,
        account=lambda: (Allowance(scope="thread", unit="tokens", used=0, allowed=0, is_raisable=True),),
    )

    assert model.requests == []
    assert result.outcome == Exhausted("tokens", 0, "", scope="thread", is_raisable=True)


async def test_a_final_answer_counts_though_the_budget_is_spent_with_it() -> None:
    """Nothing more is asked for, so nothing is over the limit."""
    model = looping(0)

    result = await run(
        model,
        account=lambda: (Allowance(scope="day", unit="tokens", used=100 * len(model.requests), allowed=100),),
    )

    assert result.outcome == Completed("Done.")
