"""Answers are kept within bounds."""

from app.remembered import Answers, Remembered


def answer(size: int) -> Remembered:
    return Remembered('W/"1"', "", "x" * size)


def test_the_least_recently_used_answers_go_first() -> None:
    """What is asked for stays; what is replaced counts once; what is too long is not kept."""
    answers = Answers(most=100)
    answers.keep("a", answer(40))
    answers.keep("b", answer(10))
    answers.keep("b", answer(40))
    assert answers.find("a") is not None
    answers.keep("c", answer(40))

    assert [key for key in "abc" if answers.find(key)] == ["a", "c"]
    answers.keep("d", answer(101))
    assert answers.find("d") is None
