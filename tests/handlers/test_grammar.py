"""Words after a mention are a command only when they stand alone; all else is a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.grammar import (
    COMMAND_WORDS,
    Approve,
    Budget,
    Command,
    Compact,
    Deny,
    DidYouMean,
    Empty,
    Forget,
    Fork,
    Help,
    Pause,
    Request,
    Resume,
    Retry,
    Review,
    ShowPolicy,
    Status,
    Stop,
    Unclear,
    Undo,
    Why,
    parse_command,
)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", Empty()),
        (" \n ", Empty()),
        ("help", Help()),
        ("Help!", Help()),
        ("/help", Help()),
        ("review", Review()),
        ("review, please", Review()),
        ("STOP", Stop()),
        ("stop now", Stop()),
        ("retry.", Retry()),
        ("status?", Status()),
        ("hlep", DidYouMean("hlep", "help")),
        ("reveiw", DidYouMean("reveiw", "review")),
        ("stauts", DidYouMean("stauts", "status")),
        ("stpo", DidYouMean("stpo", "stop")),
        ("pause", Pause()),
        ("resume, please", Resume()),
        ("compact", Compact()),
        ("policy?", ShowPolicy()),
        ("forget", Forget()),
        ("approve", Approve()),
        ("approve 1a2b3c4d", Approve("1a2b3c4d")),
        ("Approve `1a2b3c4d`, thanks", Approve("1a2b3c4d")),
        ("approve 1A2B3C4D", Approve("1a2b3c4d")),
        ("approve 1a2b3c4d if the tests pass", Unclear("approve")),
        ("approve the change", Request("approve the change")),
        ("deny 1a2b3c4d it may reach the registry", Deny("1a2b3c4d", "it may reach the registry")),
        ("reject 1a2b3c4d", Deny("1a2b3c4d")),
        ("deny all access to /admin", Request("deny all access to /admin")),
        ("fork", Fork()),
        ("fork 0123456789ab without\nregexes", Fork("0123456789ab", "without\nregexes")),
        ("fork the parser", Request("fork the parser")),
        ("undo", Undo()),
        ("undo 0123456789ab", Undo("0123456789ab")),
        ("undo the last change", Request("undo the last change")),
        ("why", Why()),
        ("why?", Why()),
        ("why 0123456789ab", Why("0123456789ab")),
        ("why does it fail", Request("why does it fail")),
        ("budget 5", Budget(micros=5_000_000)),
        ("budget $2.50", Budget(micros=2_500_000)),
        ("budget 0,5 EUR", Budget(micros=500_000)),
        ("budget 200k", Budget(tokens=200_000)),
        ("budget 1.5m tokens", Budget(tokens=1_500_000)),
        ("budget 3000 tokens", Budget(tokens=3000)),
        ("budget 0", Budget(micros=0)),
        ("budget 5 $", Budget(micros=5_000_000)),
        ("budget 2.50€", Budget(micros=2_500_000)),
        ("budget 50,000 tokens", Budget(tokens=50_000)),
        ("budget 1,250.50 USD", Budget(micros=1_250_500_000)),
        ("budget 1,500", Unclear("budget")),
        ("budget -5", Unclear("budget")),
        ("budget 1e9", Unclear("budget")),
        ("budget $200k", Unclear("budget")),
        ("budget 0.0000001", Unclear("budget")),
        ("budget?", Budget()),
        ("budget none", Budget(is_lifted=True)),
        ("budget off, please", Budget(is_lifted=True)),
        ("budget none of this", Request("budget none of this")),
        ("budget the sprint", Request("budget the sprint")),
        ("budget 5 apples", Request("budget 5 apples")),
        ("fix", Request("fix")),
        ("test", Request("test")),
        ("fix the failing test", Request("fix the failing test")),
        ("help me fix the test", Request("help me fix the test")),
        ("review the parser for races", Request("review the parser for races")),
        ("stop using the old API", Request("stop using the old API")),
        ("hlep me", Request("hlep me")),
    ],
)
def test_commands_and_requests(text: str, command: Command) -> None:
    assert parse_command(text) == command


@given(st.text(min_size=1))
def test_nothing_said_is_lost(text: str) -> None:
    """What is no command reaches the agent word for word."""
    command = parse_command(text)

    if isinstance(command, Request):
        assert command.text == text.strip()
    if isinstance(command, DidYouMean):
        assert command.suggestion in COMMAND_WORDS
