"""The limits that all processes share: order, spacing, windows and blocks, on every database."""

import asyncio

from app.store import throttles
from app.store.database import Database

GITHUB = throttles.github(7)


async def booked(
    database: Database, *, now: float, is_creating: bool = False, is_urgent: bool = False
) -> float:
    return await database.write(
        lambda connection: throttles.book(
            connection,
            GITHUB,
            spacing=1.0,
            is_creating=is_creating,
            is_urgent=is_urgent,
            installation=7,
            now=now,
        )
    )


async def blocked(database: Database, *, wait: float | None, now: float) -> float:
    return await database.write(lambda connection: throttles.block(connection, GITHUB, wait=wait, now=now))


async def test_writes_stand_a_second_apart_in_the_order_in_which_they_came(database: Database) -> None:
    """Whoever comes later goes later; after a quiet time at once."""
    assert [await booked(database, now=100.0) for _ in range(3)] == [100.0, 101.0, 102.0]
    assert await booked(database, now=200.0) == 200.0


async def test_two_processes_never_take_the_same_time(database: Database) -> None:
    """They share nothing but the database, and book at once."""
    with Database(database.url) as other:
        times = await asyncio.gather(
            *(booked(one, now=100.0, is_creating=True) for _ in range(10) for one in (database, other))
        )

    assert sorted(times) == [100.0 + count for count in range(20)]


async def test_an_acknowledgement_goes_before_what_waits(database: Database) -> None:
    """It takes the place of the first that waits, and the next comer still stands behind all."""
    for _ in range(4):
        await booked(database, now=100.0)

    assert await booked(database, now=100.5, is_urgent=True) == 101.0
    assert await booked(database, now=100.5) == 105.0


async def test_the_eightieth_comment_of_a_minute_and_the_five_hundredth_of_an_hour_wait(
    database: Database,
) -> None:
    """GitHub counts content apart: what is over its share waits until the window has moved on."""
    times = []
    now = 1000.0
    for _ in range(502):
        # A deployment that leaves half a second between: the minute's count binds before the spacing.
        at = await database.write(
            lambda connection: throttles.book(
                connection,
                GITHUB,
                spacing=0.5,
                is_creating=True,
                is_urgent=False,
                installation=7,
                now=now,  # noqa: B023 - run before the next turn of the loop
            )
        )
        times.append(at)
        now = at

    assert times[79] == 1000.0 + 79 * 0.5
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[80:], strict=False))
    assert all(later - earlier >= 3600 for earlier, later in zip(times, times[500:], strict=False))
    assert times[500] == times[0] + 3600


async def test_a_block_is_kept_as_long_as_the_forge_says(database: Database) -> None:
    """Everybody's next write waits for its end, and what several hear at once is one block."""
    assert await blocked(database, wait=72, now=100.0) == 172.0
    assert await blocked(database, wait=5, now=101.0) == 172.0
    assert await booked(database, now=102.0) == 172.0
    assert await booked(database, now=102.0) == 173.0
    held = await database.read(lambda connection: throttles.blocked(connection, now=150.0))
    assert [(limit.name, limit.writes_from) for limit in held] == [("github/7", 172.0)]
    assert await database.read(lambda connection: throttles.blocked(connection, now=172.0)) == []


async def test_blocks_that_name_no_time_grow_until_they_are_forgiven(database: Database) -> None:
    """A minute, then two, then four; ten quiet minutes later a minute again."""
    assert await blocked(database, wait=None, now=1000.0) == 1060.0
    assert await blocked(database, wait=None, now=1061.0) == 1061.0 + 120
    assert await blocked(database, wait=None, now=1200.0) == 1200.0 + 240
    assert await blocked(database, wait=None, now=3000.0) == 3060.0


async def test_what_is_better_dropped_than_late_takes_a_free_moment_only(database: Database) -> None:
    """A progress edit never waits, and never makes others wait longer than for its own moment."""

    async def may_show(now: float) -> bool:
        return await database.write(
            lambda connection: throttles.book_if_free(connection, GITHUB, spacing=1.0, now=now)
        )

    assert await may_show(100.0)
    assert not await may_show(100.5)
    assert await booked(database, now=100.5) == 101.0
    assert not await may_show(101.5)
    await blocked(database, wait=72, now=102.0)
    assert not await may_show(150.0)
    assert await may_show(174.0)


async def test_a_wait_without_end_ends_after_a_day(database: Database) -> None:
    """A header that is wrong by years must not keep a deployment from the forge for good."""
    assert await blocked(database, wait=1e12, now=100.0) == 100.0 + 24 * 3600
    assert await booked(database, now=200.0) == 100.0 + 24 * 3600
