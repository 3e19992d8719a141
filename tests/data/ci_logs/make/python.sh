#!/usr/bin/env bash
# pytest, unittest, ruff, mypy. PYTHON is an interpreter that has the first and the last two.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
mkdir -p shop tests other
cat >shop/__init__.py <<'X'
X
cat >shop/money.py <<'X'
import os
import json


def total(prices: list[float], discount: float = 0) -> float:
    result = sum(prices)
    return result - discount * 2


def parse(text: str) -> int:
    amount = int(text.strip("€ "))
    return amount.upper()


def owner(id: int) -> str:
    name: str = id
    l = 3
    return name + undefined_name
X
cat >tests/test_money.py <<'X'
import pytest

from shop import money


@pytest.fixture
def basket():
    return [1.0, 2.0, 3.5]


@pytest.fixture
def database():
    raise ConnectionError("no database at localhost:5432")


def test_total(basket):
    assert money.total(basket) == 6.5


def test_discount(basket):
    """Takes the discount once."""
    print("basket is", basket)
    assert money.total(basket, discount=1.0) == pytest.approx(5.5)


@pytest.mark.parametrize("text", ["3 €", "x y - z", "5"])
def test_parse(text):
    assert money.parse(text) == 3


class TestOwner:
    def test_name(self):
        owners = {"ann": [1, 2, 3], "bob": [4, 5, 6, 7]}
        assert owners == {"ann": [1, 2], "bob": [4, 5, 6, 7], "eve": []}

    def test_raises(self):
        with pytest.raises(ValueError):
            money.total([1.0])


def test_needs_database(database):
    assert database


def test_long_text():
    assert "\n".join(["a", "b", "c"]) == "\n".join(["a", "x", "c"])
X
cat >other/test_broken.py <<'X'
from shop.nowhere import nothing


def test_it():
    assert nothing
X
record pytest.txt "$python" -m pytest -p no:cacheprovider --continue-on-collection-errors tests other
record pytest_collect.txt "$python" -m pytest -p no:cacheprovider other
record pytest_short.txt "$python" -m pytest -p no:cacheprovider -q --tb=short --color=yes tests
record pytest_native.txt "$python" -m pytest -p no:cacheprovider --tb=native tests/test_money.py::TestOwner
record pytest_line.txt "$python" -m pytest -p no:cacheprovider --tb=line -v tests
"$python" -m pytest -p no:cacheprovider -q --continue-on-collection-errors --junitxml=junit.xml tests other >/dev/null 2>&1
as_hosted <junit.xml >"$logs/junit_pytest.xml"
rm -rf tests/__pycache__
cat >suite.py <<'X'
import unittest

from shop import money


class TotalTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(money.total([1, 2]), 3)

    def test_discount(self):
        """Takes the discount once."""
        self.assertEqual(money.total([5.0], 1.0), 4.0)

    def test_lists(self):
        self.assertEqual([1, 2, 3], [1, 2, 4], "lists must be equal")

    def test_error(self):
        money.parse("x")

    def test_many(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(number % 2, 0)


class Setup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("cannot set up")

    def test_never(self):
        pass


if __name__ == "__main__":
    unittest.main()
X
record unittest.txt "$python" -m unittest -v suite nowhere
record ruff_full.txt "$python" -m ruff check --no-cache --isolated --select E,F,I --output-format full shop
record ruff_concise.txt "$python" -m ruff check --no-cache --isolated --select E,F,I --output-format concise shop
printf 'def broken(:\n    pass\n' >shop/syntax.py
record ruff_syntax.txt "$python" -m ruff check --no-cache --isolated shop/syntax.py
rm shop/syntax.py
record mypy.txt "$python" -m mypy --strict --no-incremental --cache-dir=/dev/null shop
record mypy_columns.txt "$python" -m mypy --strict --no-incremental --cache-dir=/dev/null --show-column-numbers --pretty shop
as_github github_pytest.txt pytest.txt "python -m pytest tests other"
as_github github_mypy.txt mypy.txt "mypy --strict shop"
