"""When a pull request is reviewed unasked: each filter, and its reason."""

from dataclasses import replace

import pytest

from handlers.config import parse_config
from handlers.review.settings import Candidate, ReviewMode, why_not_unasked, why_too_large
from handlers.wishes import Ceiling, Wishes
from handlers.written import narrowest

FILE = """
review:
  mode: auto
  paths: {include: ["src/**", "*.md"], exclude: ["**/generated/**"]}
  authors: {ignore: ["*[bot]"]}
  labels: {require: [ready], ignore: [no-review]}
  titles: {ignore: ["wip*"]}
  largest: {files: 2, lines: 10}
  inline: 4
  annotations: [P2, P3]
  blocking: P1
  rules:
    - paths: ["src/db/**"]
      say: Every migration can be undone.
      at_most: P2
"""
READY = Candidate(author="cole", title="Mend spread", labels=("ready",), is_draft=False)


def test_nothing_said_means_on_demand() -> None:
    """Nobody is reviewed unasked because an App was installed."""
    settings = parse_config("").review

    assert settings.mode is ReviewMode.ON_DEMAND
    assert "on demand" in (why_not_unasked(READY, settings, settings.mode) or "")


def test_the_narrowest_word_holds() -> None:
    scopes = {"acme": Wishes(review=ReviewMode.ON_DEMAND), "acme/secret": Wishes(review=ReviewMode.OFF)}
    ceiling = Ceiling(scopes=scopes)

    assert ceiling.review_of("Other/x") is ReviewMode.AUTO
    assert ceiling.review_of("Acme/x") is ReviewMode.ON_DEMAND
    assert ceiling.review_of("acme/Secret") is ReviewMode.OFF
    assert narrowest(ReviewMode.AUTO, ReviewMode.ON_DEMAND) is ReviewMode.ON_DEMAND


@pytest.mark.parametrize(
    ("candidate", "said"),
    [
        (READY, None),
        (replace(READY, is_draft=True), "The pull request is a draft."),
        (replace(READY, is_open=False), "The pull request is closed."),
        (replace(READY, author="renovate[bot]"), "`review.authors.ignore` names renovate[bot]."),
        (replace(READY, title="WIP: more"), "`review.titles.ignore` matches the title."),
        (
            replace(READY, labels=("ready", "no-review")),
            "`review.labels.ignore` names the label no-review.",
        ),
        (
            replace(READY, labels=()),
            "It has none of the labels that `review.labels.require` names: ready.",
        ),
    ],
)
def test_each_filter_says_why(candidate: Candidate, said: str | None) -> None:
    settings = parse_config(FILE).review

    assert why_not_unasked(candidate, settings, ReviewMode.AUTO) == said


def test_paths_sizes_and_rules() -> None:
    settings = parse_config(FILE).review

    assert [
        path for path in ("src/a.py", "README.md", "src/generated/a.py", "x.c") if settings.reviews(path)
    ] == [
        "src/a.py",
        "README.md",
    ]
    assert why_too_large(2, 10, settings) is None
    assert why_too_large(3, 1, settings) == "It changes 3 files; unasked, at most 2 are reviewed."
    assert why_too_large(1, 11, settings) == "It changes 11 lines; unasked, at most 10 are reviewed."
    assert [rule.say for rule in settings.rules_for(["src/db/a.sql"])] == ["Every migration can be undone."]
    assert settings.at_most("src/db/a.sql") == "P2"
    assert settings.at_most("src/a.py") is None
    assert (settings.limits.inline, sorted(settings.limits.quiet), settings.blocking) == (
        4,
        ["P2", "P3"],
        "P1",
    )
