"""When what could not be done is tried again, and when it is given up."""

from app.forge_error import ForgeError
from app.retry import Fault, forge_pause

HOUR = 3600.0


def test_pauses_grow_until_the_last_try() -> None:
    """Eight tries of a fault of our own are two minutes."""
    fault = Fault("disk full", 8)

    pauses = [fault.pause(tried) for tried in range(7)]

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    assert [fault.is_final(tried) for tried in (0, 6, 7)] == [False, False, True]
    assert fault.pause(1000) == 300.0


def test_what_the_forge_asked_for_is_obeyed_within_bounds() -> None:
    """Neither at once, nor in a month."""
    asked = [Fault("limited", 8, retry_after).pause(3) for retry_after in (0.0, 90.0, 30 * 24 * HOUR)]

    assert asked == [1.0, 90.0, HOUR]


def test_a_turn_waits_a_day_for_a_forge_that_is_out_of_order() -> None:
    """The older it is the longer it waits, up to a minute; not at all for what does not pass."""
    broken = ForgeError("broken", "no answer", status=502)
    told = ForgeError("broken", "no answer", status=503, retry_after=7.0)
    gone = ForgeError("missing", "Not Found", status=404)

    assert [forge_pause(broken, age=age) for age in (0.5, 20.0, HOUR)] == [1.0, 10.0, 60.0]
    assert forge_pause(told, age=HOUR) == 7.0
    assert forge_pause(broken, age=24 * HOUR) is None
    assert forge_pause(gone, age=0.0) is None
