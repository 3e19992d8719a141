"""What of a history stays when it is made short: blocks in, a draft out."""

from collections.abc import Sequence

from harness.compaction import MOST_STEERING, Draft, compaction_of, draft_of
from harness.items import (
    AssistantText,
    Block,
    Call,
    CommandExecution,
    HistoryEntry,
    Item,
    ItemId,
    ItemStatus,
    Life,
    ModelCall,
    Usage,
    UserMessage,
    UserText,
)
from harness.past import Past, read
from harness.protocols import Entry

STEP = Block("step", (AssistantText("s" * 100),))
REQUEST = Block("request", (UserText("Fix the test."),))


def weigh(entry: HistoryEntry) -> int:
    """A token a character of text, one for anything else."""
    return len(entry.text) if isinstance(entry, UserText | AssistantText) else 1


def past(*blocks: Block, own: int = 0, commands: Sequence[str] = ()) -> Past:
    return Past(blocks, own, (), (), tuple(commands))


def draft(history: Past, *, keep: int, level: int = 0) -> Draft:
    found = draft_of(history, weigh=weigh, keep=keep, level=level)
    assert found is not None
    return found


def test_an_earlier_turns_request_has_to_find_room_like_all_else() -> None:
    """Only what this turn is asked for stays at any price."""
    before = Block("request", (UserText("x" * 5_000),))

    found = draft(past(before, STEP, REQUEST, STEP, own=2), keep=300)

    assert found.left_out == (before,)
    assert found.pinned == ()
    assert found.newest == (STEP, REQUEST, STEP)


def test_of_what_people_said_meanwhile_the_newest_stays() -> None:
    """However much they said: the request, and their last words, verbatim."""
    words = [Block("steering", (UserText(f"Word {n}."),)) for n in range(MOST_STEERING + 5)]

    found = draft(past(REQUEST, *words, STEP, STEP, STEP), keep=150)

    assert found.pinned == (REQUEST, *words[5:])
    assert set(words[:5]) < set(found.left_out)


def test_a_harder_cut_keeps_a_quarter() -> None:
    """What the endpoint did not take after one cut is cut again, to less."""
    history = past(REQUEST, *[STEP] * 12)

    kept = [len(draft(history, keep=1_600, level=level).newest) for level in (1, 2)]

    assert kept == [4, 1]


def test_a_last_step_that_is_too_large_stays_as_cut_text() -> None:
    """The agent still knows what it did last, and the next request fits."""
    large = Block("step", (AssistantText("l" * 50_000),))

    found = draft(past(REQUEST, STEP, large), keep=500)

    (shortened,) = found.newest
    assert shortened.kind == "notice"
    assert "Your last step, shortened" in str(shortened.entries)
    assert weigh(shortened.entries[0]) < 3_000
    assert found.left_out[-1] == STEP


def entry(item: Item, life: Life = Life.COMPLETED) -> Entry:
    """Nobody here asks for its number in the journal."""
    return Entry(0, life, item)


ASKED = entry(UserMessage(id=ItemId("item_0"), text="Fix the test."))


def command(number: int, text: str) -> list[Entry]:
    """An answer that runs a command, and its outcome."""
    ran = CommandExecution(
        id=ItemId(f"item_{number}"),
        call=Call(f"c{number}", "exec_command", "{}"),
        command=text,
        workdir="",
        exit_code=0,
        status=ItemStatus.COMPLETED,
    )
    closing = ModelCall(id=ItemId(f"item_{number + 1}"), model="m", usage=Usage(), seconds=0.0, items=1)
    return [entry(ran, Life.STARTED), entry(closing), entry(ran)]


def compacted_by(made: Draft) -> Entry:
    return entry(
        compaction_of(made, ItemId("item_5"), "", reason="asked", model="m", tokens_before=9, overflowed_at=0)
    )


def test_a_second_list_of_commands_begins_where_the_first_ended() -> None:
    """A command that an earlier summary told of is not told as one of the last ones again."""
    before = [ASKED, *command(1, "ls"), *command(3, "pytest")]
    first = read([], before)

    again = read([], [*before, compacted_by(draft(first, keep=0)), *command(6, "git diff")])

    assert first.commands == ("ls → exit 0", "pytest → exit 0")
    assert again.commands == ("git diff → exit 0",)


def test_of_several_requests_that_stay_the_last_is_the_turns_own() -> None:
    """Also after a compaction in whose newest part an earlier turn's request stands."""
    earlier = Block("request", (UserText("Look at the log."),))
    made = draft(past(STEP, earlier, STEP, REQUEST, STEP, own=3), keep=250)

    found = read([], [ASKED, compacted_by(made)])

    assert found.blocks[found.own] == REQUEST
    assert earlier in found.blocks
