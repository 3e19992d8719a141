"""The server name is read out of what a client sends, whatever it sends."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.egress.tls import Incomplete, NotTls, Scattered, server_name
from tests.sandbox_egress.test_proxy import client_hello, in_crumbs, in_two_records

HELLO = client_hello("files.pythonhosted.org")


@pytest.mark.parametrize("hello", [HELLO, in_two_records(HELLO), HELLO + b"\x14\x03\x03\x00\x01\x01"])
def test_a_greeting_names_its_server(hello: bytes) -> None:
    """Real ones, in one record or two, also with something after them."""
    assert server_name(hello) == "files.pythonhosted.org"


def test_a_greeting_need_not_name_a_server() -> None:
    """Old clients do not, nor those that know a number only."""
    assert server_name(client_hello(None)) is None


@given(st.integers(0, len(HELLO) - 1))
def test_a_part_of_a_greeting_is_waited_for(length: int) -> None:
    """Wherever it is cut."""
    with pytest.raises(Incomplete):
        server_name(HELLO[:length])


@given(st.one_of(st.binary(), st.binary().map(lambda rest: HELLO[:5] + rest)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Any bytes are a greeting, the begin of one, or none."""
    with contextlib.suppress(Incomplete, NotTls, Scattered):
        server_name(data)


@given(st.integers(0, len(HELLO) - 1), st.integers(0, 255))
def test_a_damaged_greeting_harms_nobody(position: int, value: int) -> None:
    """One byte of it is another: it is read, waited for, or taken for something else."""
    damaged = HELLO[:position] + bytes([value]) + HELLO[position + 1 :]
    with contextlib.suppress(Incomplete, NotTls, Scattered):
        assert isinstance(server_name(damaged), str | None)


def test_a_greeting_in_crumbs_is_not_put_together() -> None:
    """Nor one that announces more than any client has to say."""
    with pytest.raises(Scattered):
        server_name(in_crumbs(HELLO))
    with pytest.raises(Scattered):
        server_name(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff")
