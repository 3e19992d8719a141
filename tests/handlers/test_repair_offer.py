"""The check run that offers a repair: when it stands, what its button does, and what becomes of it."""

from dataclasses import replace
from typing import Final

import pytest

from handlers import reasons
from handlers.ci.settings import CiMode, CiSettings
from handlers.ci.settled import Superseded
from handlers.dispatch import dispatch
from handlers.effects import (
    CiAsked,
    Effect,
    Ignore,
    LookAtChecks,
    PostComment,
    Requester,
    StartTurn,
    WriteCheckRun,
)
from handlers.events import ButtonPressed
from handlers.view import RepositoryConfig, ThreadFacts, TurnBrief, View
from handlers.wishes import Ceiling
from tests.handlers.people import DARNER, EVE, FORK_PULL, HEAD_SHA, OCTOCAT, REPOSITORY, WRITER_VIEW
from tests.handlers.test_checks import AUTO, DUE, FACTS, FAILURE, FINGERPRINT, OFFER, remembering, tried, view

OFFERED: Final = f"ci-8-{HEAD_SHA[:12]}"
PRESSED: Final = ButtonPressed(
    repository=REPOSITORY,
    actor=OCTOCAT,
    installation_id=5,
    app_slug="darner",
    check_run=9,
    external_id=OFFERED,
    head_sha=HEAD_SHA,
    button="repair 1",
)
# A press finds no turn: what the handler sees is the repository and who pressed.
WRITER: Final = replace(WRITER_VIEW, config=OFFER)
LEAD: Final = "Asked by octocat with a button. "


def check_of(effects: list[Effect]) -> WriteCheckRun:
    [check] = [
        effect for effect in effects if isinstance(effect, WriteCheckRun) and effect.name == "Darner repair"
    ]
    return check


def buttons(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(action.identifier, action.label) for action in check_of(effects).actions]


def wish(seen: View = WRITER) -> CiAsked:
    [look] = dispatch(PRESSED, seen)
    assert isinstance(look, LookAtChecks)
    assert look.asked is not None
    return look.asked


def test_an_offer_is_a_check_of_its_head_with_a_button() -> None:
    effects = dispatch(DUE, view(OFFER))
    check = check_of(effects)

    assert (check.external_id, check.head_sha, check.conclusion) == (OFFERED, HEAD_SHA, "neutral")
    assert buttons(effects) == [("repair 1", "Repair")]
    assert all(len(action.description) <= 40 for action in check.actions)
    assert "It would be attempt 1 of 3" in check.summary


def test_the_button_is_there_wherever_a_repair_can_be_asked_for() -> None:
    """Also when nothing begins by itself, and for the attempt after those that were made."""
    on_base = dispatch(DUE, view(AUTO, replace(FACTS, on_base=frozenset({FAILURE.fingerprint}))))
    second = dispatch(DUE, view(OFFER, remembering(tried=(tried("a", left="other"),), has_comment=True)))

    assert buttons(on_base) == [("repair 1", "Repair")]
    assert buttons(second) == [("repair 2", "Repair")]


def test_forks_and_branches_have_no_such_check() -> None:
    on_fork = dispatch(DUE, replace(view(OFFER), pull=FORK_PULL))
    on_branch = dispatch(replace(DUE, number=0, branch="main"), replace(view(OFFER), pull=None))

    for effects in (on_fork, on_branch):
        assert not [each for each in effects if isinstance(each, WriteCheckRun) and each.actions]


def test_the_button_asks_for_what_the_words_ask_for() -> None:
    asked = wish()
    seen = replace(view(OFFER, remembering(has_offer=True, has_comment=True)), permission="write")

    effects = dispatch(replace(DUE, asked=asked), seen)
    [start] = [effect for effect in effects if isinstance(effect, StartTurn)]
    [progress] = [effect for effect in effects if isinstance(effect, PostComment)]

    assert asked.by == Requester(OCTOCAT.id, "octocat", "write")
    assert (start.base_sha, start.requester, start.trigger.url) == (HEAD_SHA, asked.by, FACTS.url)
    assert progress.body.startswith(LEAD)
    assert buttons(effects) == []
    assert f"Turn `{start.turn_id}` repairs the checks" in check_of(effects).summary


def test_a_press_counts_for_the_head_it_was_made_for() -> None:
    newer = replace(FACTS, verdict=Superseded("f" * 40))

    effects = dispatch(replace(DUE, asked=wish()), replace(view(OFFER, newer), permission="write"))

    [answer] = [effect for effect in effects if isinstance(effect, PostComment)]
    assert answer.body.startswith(f"{LEAD}`{HEAD_SHA[:7]}` is not the newest head any more")
    assert not [effect for effect in effects if isinstance(effect, StartTurn)]


def test_of_two_who_press_the_second_is_told_of_the_first() -> None:
    """Whether the first one's turn has begun when the button is pressed, or when the checks are looked at."""
    begun = replace(WRITER, turns=(TurnBrief("0ca1", "running", 1.0),))
    under_way = remembering(tried=(replace(tried("0ca1"), is_over=False),), has_offer=True)

    [at_once] = dispatch(PRESSED, begun)
    later = dispatch(replace(DUE, asked=wish()), replace(view(OFFER, under_way), permission="write"))

    [told] = [effect for effect in later if isinstance(effect, PostComment)]
    assert isinstance(at_once, PostComment)
    assert at_once.body == told.body == f"{LEAD}{at_once.body.removeprefix(LEAD)}"
    assert "Turn `0ca1` is at work here already" in told.body
    assert not [effect for effect in later if isinstance(effect, StartTurn)]


def test_the_offer_goes_when_there_is_nothing_to_accept() -> None:
    """The checks pass after all; or the attempts are spent. A head that had none gets none."""
    fine = replace(remembering(has_offer=True, has_comment=True), jobs=())
    spent = remembering(tried=(tried("a", left=FINGERPRINT),), has_offer=True)

    passed, ended = dispatch(DUE, view(OFFER, fine)), dispatch(DUE, view(AUTO, spent))
    without = dispatch(DUE, view(OFFER, replace(remembering(has_comment=True), jobs=())))

    assert (check_of(passed).conclusion, buttons(passed)) == ("success", [])
    assert "I need a person here" in check_of(ended).summary
    assert buttons(ended) == []
    assert not [effect for effect in without if isinstance(effect, WriteCheckRun)]


def test_github_s_own_button_looks_again_and_repairs_nothing() -> None:
    [look] = dispatch(replace(PRESSED, button="rerequested"), WRITER)

    assert isinstance(look, LookAtChecks)
    assert (look.number, look.sha, look.after, look.asked) == (8, HEAD_SHA, 0.0, None)


def test_what_was_stopped_may_be_asked_for_all_the_same() -> None:
    assert wish(replace(WRITER, thread=ThreadFacts(stopped_by="maya"))).was_stopped


@pytest.mark.parametrize(
    ("event", "seen", "reason"),
    [
        (replace(PRESSED, actor=EVE), replace(WRITER, permission="read"), reasons.NEEDS_WRITE),
        (PRESSED, replace(WRITER, permission="triage"), reasons.NEEDS_WRITE),
        (replace(PRESSED, app_slug="other"), WRITER, reasons.NOT_OUR_CHECK),
        (replace(PRESSED, button="lgtm"), WRITER, reasons.UNKNOWN_BUTTON),
        (replace(PRESSED, external_id="ci-x"), WRITER, reasons.NOT_OUR_CHECK),
        (PRESSED, replace(WRITER, config=RepositoryConfig(enabled=False)), reasons.DISABLED),
        (
            PRESSED,
            replace(WRITER, bot=replace(DARNER, ceiling=Ceiling(ci_repair=CiMode.OFF))),
            reasons.CI_OFF,
        ),
    ],
    ids=["a stranger", "triage", "another App's", "unknown button", "unknown check", "disabled", "off"],
)
def test_every_other_press_is_ignored_with_its_reason(event: ButtonPressed, seen: View, reason: str) -> None:
    [ignored] = dispatch(event, seen)

    assert isinstance(ignored, Ignore)
    assert ignored.reason == reason


def test_the_repository_may_leave_it_to_people() -> None:
    """`off` of the file means nothing by itself: the words count there, and so does a button that is left."""
    config = RepositoryConfig(ci=CiSettings(mode=CiMode.OFF))

    assert wish(replace(WRITER, config=config)).by.login == "octocat"
