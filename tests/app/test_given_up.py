"""What cannot be done is told: nobody who asked is left in silence."""

from typing import Any

import pytest

from handlers.dispatch import dispatch
from handlers.effects import OpenPull, PostComment
from handlers.events import EffectFailed, InternalEventAdapter, ResultPushed
from handlers.on_handling_failed import on_handling_failed
from handlers.on_turn_end import push_of
from tests.handlers.people import FIX, NEW_SHA, WRITER_VIEW, ended, said, start_on_issue

ENDED = ended(start_on_issue(), FIX)
PUSH = push_of(ENDED.start, (FIX.path,))
PUSHED = ResultPushed(ended=ENDED, push=PUSH, sha=NEW_SHA)
PULL = OpenPull(key="k", turn_id="0ca1", head=PUSH.branch, base="main", title="t", body="b")


def final_of(effects: list[Any]) -> str:
    [final] = [effect for effect in effects if isinstance(effect, PostComment)]
    assert final.key == "0ca1:final"
    return final.body


@pytest.mark.parametrize(
    ("failed", "told"),
    [
        (EffectFailed(ended=ENDED, effect=PUSH, detail="disk full"), "I could not deliver the result."),
        (
            EffectFailed(ended=ENDED, effect=PULL, pushed=PUSHED, detail="422 no"),
            f"The branch `{PUSH.branch}` is there, but GitHub did not open a pull request for it.",
        ),
    ],
)
def test_a_result_that_could_not_be_delivered_is_told(failed: EffectFailed, told: str) -> None:
    """The final comment says what is in the way; it survives the store."""
    stored = InternalEventAdapter.validate_json(InternalEventAdapter.dump_json(failed))

    final = final_of(dispatch(stored, WRITER_VIEW))

    assert told in final
    assert failed.detail in final


def test_an_answer_whose_review_thread_is_gone_comes_in_the_conversation() -> None:
    """Said elsewhere rather than not at all; but only once."""
    lost = PostComment(key="0ca1:final", number=8, body="Done.", review_thread=44)

    [again] = dispatch(EffectFailed(ended=ENDED, effect=lost, detail="404"), WRITER_VIEW)

    assert again == PostComment(key="0ca1:final:conversation", number=8, body="Done.")
    [nothing] = dispatch(EffectFailed(ended=ENDED, effect=again, detail="403"), WRITER_VIEW)
    assert nothing.type == "ignore"


def test_our_own_fault_is_admitted() -> None:
    """A mention that could not be handled gets a reaction and a reference; so does a turn's end."""
    asked = on_handling_failed(said("@darner fix it"), fault="internal error, reference ab12")
    over = on_handling_failed(ENDED, fault="internal error, reference ab12")

    assert [effect.type for effect in asked] == ["react", "post_comment"]
    assert "reference ab12" in final_of(over)
