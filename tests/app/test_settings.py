"""Settings that would put the service's own secrets within reach are refused."""

from pathlib import Path

import pytest

from app.settings import EnvironmentSettings, Settings, SettingsRefused, load_settings


def settings(**values: object) -> Settings:
    return load_settings(EnvironmentSettings, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"home": Path("/usr/local/darner"), "sandbox_read_only": ()},
        {"home": Path("/opt/darner/data"), "sandbox_read_only": "/srv/tools:/opt"},
        {"home": Path("/opt/tools/../darner"), "sandbox_read_only": "/opt/darner"},
        {
            "home": Path("/srv/darner"),
            "sandbox_read_only": "/opt",
            "github_app_id": 1,
            "github_app_key": "/opt/darner/key.pem",
        },
    ],
)
def test_a_turn_is_never_shown_what_is_the_services_own(values: dict[str, object]) -> None:
    """Directories shown inside the sandbox hold neither the database nor the App's key."""
    with pytest.raises(SettingsRefused, match="which every turn can read; move one of them"):
        settings(**values)


def test_tool_chains_beside_the_services_own_are_fine() -> None:
    assert settings(home=Path("/opt/darner"), sandbox_read_only="/opt/python").sandbox_read_only == (
        Path("/opt/python"),
    )


def test_passwords_in_addresses_are_secrets() -> None:
    """What a log line or a comment must not hold includes the database's password."""
    found = settings(
        database_url="postgresql://darner:correct-horse@db.example/darner",
    ).secrets

    assert "correct-horse" in found


PRICE = {"input": "1.25", "output": 10}


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (
            {"model": "m", "budget": {"turn": {"money": 1}}},
            r'there is no price of m; add \[prices."m"\] with input and output',
        ),
        (
            {
                "model": "m",
                "prices": {"n*": PRICE},
                "organisation": {"acme": {"budget": {"turn": {"money": 1}}}},
            },
            "there is no price of m",
        ),
        ({"budget": {"week": {}}}, "Known are turn, thread, repository, actor, day"),
        ({"budget": {"day": {"mony": 1}}}, "Known are tokens, money, seconds"),
        ({"organisation": {"acme": {"budget": {"day": {}}}}}, "Known are turn, thread, repository, actor"),
        ({"budget": {"day": {"money": True}}}, "must be an amount such as 2.50"),
        ({"budget": {"day": {"money": float("nan")}}}, "DARNER_BUDGET.day.money"),
        ({"budget": {"day": {"money": 0.0000001}}}, "no more than 6 decimal places"),
        ({"budget": {"day": {"tokens": 0}}}, "DARNER_BUDGET.day.tokens: must be greater than or equal to 1"),
        ({"prices": {"a*b": PRICE}}, "must be the name of a model, or its beginning"),
        ({"prices": {"m": {"input": 1}}}, "DARNER_PRICES.m.output: Field required"),
        ({"prices": {"m": {**PRICE, "reasoning": 1}}}, "Known are input, output, cached_input"),
        ({"currency": "dollars"}, "must be three capital letters"),
    ],
)
def test_budgets_that_would_be_none_are_refused(values: dict[str, object], fault: str) -> None:
    """A word that is not known, an amount that is none, money that no price counts."""
    with pytest.raises(SettingsRefused, match=fault):
        settings(**values)


def test_money_is_taken_by_its_digits() -> None:
    """A decimal fraction that no binary one equals is exactly what was written."""
    found = settings(
        model="m-1", prices={"m*": {"input": 0.1, "output": 0.3}}, budget={"day": {"money": 5.1}}
    )

    price = found.price_table.price_of("m-1")
    assert price is not None
    assert (price.input, price.cached_input, price.output) == (100_000, 100_000, 300_000)
    assert found.ceiling.budgets.day.micros == 5_100_000
