"""Budgets by comment: who may set them, how far, what is said of them; and what no longer starts."""

from dataclasses import replace

import pytest

from handlers import comments, comments_budget, reasons
from handlers.broker import Judgement
from handlers.budgets import Amounts, Budgets
from handlers.comments import Progress
from handlers.dispatch import dispatch
from handlers.effects import (
    Effect,
    Ignore,
    LiftBudget,
    PostComment,
    React,
    ReactionTarget,
    SetBudget,
)
from handlers.scan import scan
from handlers.view import Target, ThreadFacts, TurnBrief, View
from handlers.wishes import Ceiling, Wishes
from harness.budget import Allowance
from harness.items import BudgetScope, BudgetUnit, Exhausted, Failed
from tests.handlers.people import DARNER, EVE, HOST, WRITER_VIEW, ended, said, start_on_issue

ACT = "42/7/issue_comment/55/created/2026-11-22T12:00:00Z"
MIDNIGHT = 1_795_392_000.0
"""2026-11-23 00:00 UTC."""
ANEW = (
    "It is counted anew from 2026-11-23 00:00 UTC: ask again then. The operator of this server can raise it."
)
RAISED = "`@darner budget N`, with the amount that all turns here may cost together, "
RAISED += "or lift it: `@darner budget none`."


def view_with(
    thread: Amounts | None = None, *, currency: str = "USD", scopes: dict[str, Wishes] | None = None
) -> View:
    """A writer's view, where the operator allows a conversation so much; 1,500 tokens of it are spent."""
    ceiling = Ceiling(budgets=Budgets(thread=thread or Amounts()), currency=currency, scopes=scopes or {})
    spent = (used("thread", "tokens", 1_500), used("thread", "money", 20_000))
    return replace(WRITER_VIEW, bot=replace(DARNER, ceiling=ceiling), allowances=spent)


def used(
    scope: BudgetScope,
    unit: BudgetUnit,
    amount: float,
    allowed: float | None = None,
    *,
    frees_at: float | None = None,
    is_raisable: bool = False,
) -> Allowance:
    return Allowance(
        scope=scope,
        unit=unit,
        used=amount,
        allowed=allowed,
        currency="USD" if unit == "money" else "",
        frees_at=frees_at,
        is_raisable=is_raisable,
    )


def at_work(view: View) -> View:
    return replace(view, turns=(TurnBrief("t1", "running", 1.0),))


def acknowledged(body: str) -> list[Effect]:
    return [
        React(key=f"{ACT}:react", target=ReactionTarget("issue_comment", 55), content="+1"),
        PostComment(key=f"{ACT}:answer", number=7, body=body, requester="octocat"),
    ]


def answer_of(effects: list[Effect]) -> str:
    return next(effect.body for effect in effects if isinstance(effect, PostComment))


def test_a_writer_sets_what_a_conversation_may_cost() -> None:
    """In tokens or money; what is spent already counts."""
    assert dispatch(said("@darner budget 200k"), view_with()) == [
        SetBudget(key=f"{ACT}:budget", tokens=200_000, micros=None, author="octocat"),
        *acknowledged(
            "From now on all turns of this conversation together may cost 200,000 tokens. "
            "1,500 tokens of it are spent."
        ),
    ]
    assert dispatch(said("@darner budget $2.50"), at_work(view_with())) == [
        SetBudget(key=f"{ACT}:budget", tokens=None, micros=2_500_000, author="octocat"),
        *acknowledged(
            "From now on all turns of this conversation together may cost 2.50 USD. "
            "0.0200 USD of it are spent. It holds for the turn at work, too."
        ),
    ]


@pytest.mark.parametrize("words", ["budget none", "budget off"])
@pytest.mark.parametrize("thread", [ThreadFacts(budget_tokens=1), ThreadFacts(budget_micros=0)])
def test_a_writer_lifts_what_people_have_set(words: str, thread: ThreadFacts) -> None:
    """In whichever unit; the operator's own budgets stay, and where there is none to lift that is said."""
    view = replace(at_work(view_with()), thread=thread)

    assert dispatch(said(f"@darner {words}"), view) == [
        LiftBudget(key=f"{ACT}:budget", author="octocat"),
        *acknowledged(
            "This conversation has no budget of its own any more: its turns may cost what the operator of "
            "this server allows, which `@darner budget` shows. It holds for the turn at work, too."
        ),
    ]
    reaction, comment = dispatch(said(f"@darner {words}"), view_with())
    assert isinstance(reaction, React)
    assert reaction.content == "confused"
    assert isinstance(comment, PostComment)
    assert comment.body.startswith("This conversation has no budget of its own, so there is none to lift.")


def test_more_than_the_operator_allows_is_what_the_operator_allows() -> None:
    """And it is said; the unit that was not asked about is not touched."""
    operators = Amounts(tokens=100_000, micros=9)
    scopes = {"octo": Wishes(budgets=Budgets(thread=Amounts(tokens=60_000)))}

    effects = dispatch(said("@darner budget 200k"), view_with(operators, scopes=scopes))

    assert effects[0] == SetBudget(key=f"{ACT}:budget", tokens=60_000, micros=None, author="octocat")
    assert answer_of(effects).startswith(
        "From now on all turns of this conversation together may cost 60,000 tokens: you asked for "
        "200,000 tokens, and the operator of this server allows no more."
    )


def test_less_than_is_spent_ends_what_is_at_work() -> None:
    assert answer_of(dispatch(said("@darner budget 1k"), at_work(view_with()))).endswith(
        "1,500 tokens of it are spent. The turn at work ends before its next step."
    )
    assert answer_of(dispatch(said("@darner budget 1k"), view_with())).endswith("So no turn starts here.")


def test_money_without_a_price_is_not_counted_as_nothing() -> None:
    """Nothing is set; the answer offers what works."""
    effects = dispatch(said("@darner budget 5"), view_with(currency=""))

    assert [effect.type for effect in effects] == ["react", "post_comment"]
    assert isinstance(effects[0], React)
    assert effects[0].content == "confused"
    assert "Say it in tokens: `@darner budget 200k`" in answer_of(effects)


def test_a_budget_is_not_for_outsiders() -> None:
    """Neither a stranger's nor that of somebody who may only start read-only turns."""
    stranger = replace(view_with(), permission="none")
    reader = replace(
        view_with(), permission="read", bot=replace(DARNER, ceiling=Ceiling(admits_readers=True))
    )

    for view in (stranger, reader):
        for words in ("budget", "budget 5m", "budget none"):
            effects = dispatch(said(f"@darner {words}", by=EVE), view)
            assert [effect.type for effect in effects] == ["ignore", "react"]
            assert isinstance(effects[0], Ignore)
            assert effects[0].reason == reasons.NEEDS_WRITE


def test_budget_alone_shows_how_it_stands() -> None:
    view = replace(
        view_with(),
        allowances=(
            used("thread", "tokens", 1_500, 20_000),
            used("actor", "money", 5_100_000, 5_000_000, frees_at=MIDNIGHT),
            used("day", "wall_time", 3_700),
        ),
    )

    assert dispatch(said("@darner budget"), view) == acknowledged(
        "| budget | spent | allowed | left |\n"
        "| --- | --- | --- | --- |\n"
        "| this conversation | 1,500 tokens | 20,000 tokens | 18,500 tokens |\n"
        "| asked for by you today | 5.10 USD | 5.00 USD | 0.00 USD |\n"
        "| this server today | 1 h 1 min | no limit | no limit |\n\n"
        "A day goes from midnight to midnight UTC. What all turns of this conversation may cost together is "
        "set by `@darner budget 200k` in tokens, `@darner budget 5` in money; `@darner budget none` lifts it."
    )


@pytest.mark.parametrize(
    ("spent", "what", "way_on"),
    [
        (
            used("actor", "tokens", 20_100, 20_000, frees_at=MIDNIGHT),
            "the daily per-person budget of 20,000 tokens is spent (20,100 tokens so far).",
            ANEW,
        ),
        (
            used("thread", "money", 3_000_001, 3_000_000, is_raisable=True),
            "this conversation's budget of 3.00 USD is spent (3.01 USD so far).",
            f"Somebody with write access can raise it: {RAISED} Then ask again.",
        ),
        (
            used("thread", "wall_time", 60, 60),
            "this conversation's budget of 1 min is spent (1 min so far).",
            "The operator of this server can raise it. Then ask again.",
        ),
    ],
    ids=["actor", "thread", "ceiling"],
)
def test_where_a_budget_is_spent_no_turn_starts(spent: Allowance, what: str, way_on: str) -> None:
    """No turn, no checkout, no model: one answer that says which, how much, and what helps."""
    view = replace(view_with(), allowances=(used("day", "tokens", 5, 10), spent))

    effects = dispatch(said("@darner fix the failing test"), view)

    assert [effect.type for effect in effects] == ["ignore", "react", "post_comment"]
    assert isinstance(effects[0], Ignore)
    assert effects[0].reason == reasons.BUDGET_SPENT
    assert answer_of(effects) == f"⌛ **Out of budget** · I did not start: {what} {way_on}"


@pytest.mark.parametrize("words", ["retry", "fork"])
def test_no_other_command_is_a_way_around_a_budget(words: str) -> None:
    """Going on with a turn, or a second attempt, is a turn like any other."""
    failed = TurnBrief("0ca1", "ended", 1.0, 2.0, 3.0, Failed("No.", "0ca1/1"))
    view = replace(
        view_with(),
        turns=(failed,),
        target=Target(start_on_issue(), failed.outcome),
        allowances=(used("thread", "tokens", 7, 7, is_raisable=True),),
    )

    effects = dispatch(said(f"@darner {words}"), view)

    assert [effect.type for effect in effects] == ["react", "post_comment"]
    assert answer_of(effects).startswith("⌛ **Out of budget** · I did not start: this conversation's budget")


def test_a_turn_at_work_is_steered_though_a_budget_is_spent() -> None:
    """The words cost nothing; the turn itself ends at its next step."""
    view = replace(at_work(view_with()), allowances=(used("day", "tokens", 10, 10),))

    assert dispatch(said("@darner keep the names"), view)[0].type == "steer_turn"


@pytest.mark.parametrize(
    ("outcome", "what", "way_on"),
    [
        (
            Exhausted("money", 2_500_000, "", currency="USD"),
            "The turn reached its limit of 2.50 USD.",
            "To go on from here, write `@darner retry`: that is a new turn, with limits of its own.",
        ),
        (
            Exhausted("tokens", 20_000, "", scope="thread", is_raisable=True),
            "This conversation's budget of 20,000 tokens is spent.",
            f"{RAISED} Then write `@darner retry`.",
        ),
        (
            Exhausted("wall_time", 3600, "", scope="day", frees_at=MIDNIGHT),
            "This server's daily budget of 1 h is spent.",
            "It is counted anew from 2026-11-23 00:00 UTC: write `@darner retry` then.",
        ),
    ],
    ids=["turn", "thread", "day"],
)
def test_an_exhausted_turn_says_what_is_spent_and_how_to_go_on(
    outcome: Exhausted, what: str, way_on: str
) -> None:
    event = replace(
        ended(start_on_issue(), outcome=outcome),
        allowances=(
            used("turn", "tokens", 1_234, 4_000_000),
            used("turn", "wall_time", 42, 3600),
            used("turn", "money", 12_300),
            used("thread", "tokens", 19_000, 20_000),
            used("thread", "money", 0, 2_000_000),
            used("actor", "wall_time", 60, 3600),
            used("day", "tokens", 90_000, 80_000),
        ),
    )

    body = comments.final(event, None, judgement=Judgement((), (), ()), mention="darner")

    assert body.startswith("⌛ **Out of budget** · 42 s")
    assert what in body
    assert way_on in body
    assert body.endswith(
        "3 steps · 1,234 tokens · 0.0123 USD · left: 1,000 tokens, 2.00 USD in this conversation; "
        "59 min for octocat today; 0 tokens on this server today</sub>"
    )
    assert scan(body, own_hosts=[HOST.removeprefix("http://")]).text == body


def test_where_no_wider_budget_applies_only_what_was_spent_is_told() -> None:
    """A turn's own limits are not what anybody has left: the next turn begins with new ones."""
    own = (used("turn", "tokens", 1_234, 4_000_000), used("turn", "money", 12_300, 2_500_000))
    event = replace(ended(start_on_issue()), allowances=own)

    body = comments.final(event, None, judgement=Judgement((), (), ()), mention="darner")

    assert body.endswith("3 steps · 1,234 tokens · 0.0123 USD</sub>")


def test_progress_shows_what_is_spent_and_left() -> None:
    """Tokens, money where it is known, and what each budget beyond the turn's has left."""
    state = Progress(
        phase="working",
        start=start_on_issue(),
        allowances=(
            used("turn", "tokens", 1_234, 4_000_000),
            used("turn", "money", 12_300, 2_500_000),
            used("repository", "money", 7_600_000, 10_000_000),
        ),
    )

    assert comments.progress(state).endswith(
        "asked by octocat · 1,234 tokens · 0.0123 USD · left: 2.40 USD in this repository today</sub>"
    )


def test_an_outcome_that_was_stored_before_there_were_scopes_is_a_turns() -> None:
    """The first version kept the limit's name only."""
    assert comments_budget.exhausted(Exhausted("wall_time", 3600.0, "")) == (
        "The turn reached its limit of 1 h."
    )
