"""Prices are exact, and amounts are said so that a person can compare them."""

from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.budget import (
    Allowance,
    Price,
    Prices,
    amount,
    exact_money,
    longest_spent,
    money,
    named,
    strictest,
)
from harness.items import BudgetScope, Usage

TOKENS = st.integers(min_value=0, max_value=10**12)
PRICES = st.integers(min_value=0, max_value=10**9)
GPT = Price(input=1_250_000, cached_input=125_000, output=10_000_000)


@given(TOKENS, TOKENS, TOKENS, PRICES, PRICES, PRICES)
def test_a_price_is_what_a_decimal_calculation_says_rounded_up(
    fresh: int, cached: int, output: int, of_input: int, of_cached: int, of_output: int
) -> None:
    usage = Usage(input_tokens=fresh + cached, cached_input_tokens=cached, output_tokens=output)
    whole = Decimal(fresh * of_input + cached * of_cached + output * of_output) / 1_000_000

    found = Price(of_input, of_cached, of_output).of(usage)

    assert found == int(whole.to_integral_value(ROUND_CEILING))


@given(st.lists(st.tuples(TOKENS, TOKENS)), PRICES, PRICES)
def test_requests_counted_one_by_one_are_never_cheaper_than_all_at_once(
    requests: list[tuple[int, int]], of_input: int, of_output: int
) -> None:
    """And dearer by less than a millionth each."""
    price = Price(of_input, of_input, of_output)
    usages = [Usage(input_tokens=read, output_tokens=written) for read, written in requests]

    apart = sum(price.of(usage) for usage in usages)
    together = price.of(sum(usages, Usage()))

    assert together <= apart <= together + len(requests)


def test_a_million_tokens_cost_the_price() -> None:
    """Cached input is part of the input, and cheaper."""
    assert GPT.of(Usage(input_tokens=1_000_000)) == 1_250_000
    assert GPT.of(Usage(input_tokens=1_000_000, cached_input_tokens=1_000_000)) == 125_000
    assert GPT.of(Usage(output_tokens=1)) == 10
    # An endpoint that tells nonsense makes nothing free.
    assert GPT.of(Usage(input_tokens=10, cached_input_tokens=1_000)) == 2


def test_the_exact_name_counts_before_the_longest_beginning() -> None:
    dear, cheap, free = Price(3, 3, 3), Price(2, 2, 2), Price(0, 0, 0)
    prices = Prices({"gpt-*": dear, "gpt-5-mini*": cheap, "gpt-5-mini-local": free})

    assert prices.price_of("gpt-5") == dear
    assert prices.price_of("gpt-5-mini-2025") == cheap
    assert prices.price_of("gpt-5-mini-local") == free
    assert prices.price_of("qwen") is None
    assert prices.micros("qwen", Usage(1, 0, 1)) is None
    assert prices.micros("gpt-5-mini-local", Usage(1, 0, 1)) == 0


@pytest.mark.parametrize(
    ("micros", "said"),
    [
        (0, "0.00 USD"),
        (1, "0.0001 USD"),
        (12_345, "0.0124 USD"),
        (99_999, "0.1000 USD"),
        (100_000, "0.10 USD"),
        (2_499_999, "2.50 USD"),
        (1_234_567_890_000, "1,234,567.89 USD"),
    ],
)
def test_money_is_rounded_up_for_people(micros: int, said: str) -> None:
    assert money(micros, "USD") == said


def test_money_is_exact_for_programs() -> None:
    assert [exact_money(micros) for micros in (0, 1, 2_500_000)] == ["0.000000", "0.000001", "2.500000"]


def test_amounts_are_named() -> None:
    assert amount("wall_time", 3600) == "1 h"
    assert amount("wall_time", 3900) == "1 h 5 min"
    assert amount("wall_time", 75) == "1 min 15 s"
    assert named("actor", "tokens", 20_000) == "the daily per-person budget of 20,000 tokens"


def allowance(scope: BudgetScope, used: float, allowed: float | None) -> Allowance:
    return Allowance(scope=scope, unit="tokens", used=used, allowed=allowed)


def test_the_strictest_is_that_of_which_most_is_used() -> None:
    """A budget of nothing is spent; one without an end never is."""
    turn, thread = allowance("turn", 50, 100), allowance("thread", 600, 1_000)
    nothing, open_one = allowance("day", 0, 0), allowance("actor", 10**9, None)

    assert strictest([turn, thread, open_one]) == thread
    assert strictest([turn, nothing]) == nothing
    assert nothing.is_spent
    assert not open_one.is_nearly_spent
    assert strictest([open_one]) is None


def test_of_spent_budgets_the_one_is_told_that_waiting_does_not_help() -> None:
    """Nobody waits for midnight to find the conversation's own budget spent as well."""
    today = replace(allowance("actor", 5, 5), frees_at=86_400.0)
    forever, not_yet = allowance("thread", 7, 7), allowance("day", 1, 7)

    assert longest_spent([not_yet, today, forever]) == forever
    assert longest_spent([not_yet, today]) == today
    assert longest_spent([not_yet]) is None


def test_a_budget_is_nearly_spent_from_nine_tenths_on() -> None:
    """The agent hears of it at that share, not only behind it."""
    used = [
        Allowance(scope="turn", unit="tokens", used=tokens, allowed=1_000).is_nearly_spent
        for tokens in (899, 900)
    ]

    assert used == [False, True]
