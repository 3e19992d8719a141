"""When failed checks are repaired: opted into by the repository, bounded by the operator."""

from datetime import timedelta
from pathlib import Path

import pytest

from handlers.ci.reports import NAMES
from handlers.ci.settings import CiMode
from handlers.config import ConfigRefused, parse_config
from handlers.wishes import Ceiling, Wishes
from handlers.written import narrowest

FILE = """
ci:
  mode: auto
  checks: {include: ["test*", "lint"], exclude: ["*-nightly"]}
  branches: [main, "release/*"]
  rerun: false
  quiet: 2m
  attempts: 2
  money: 1.5
  time: 20m
"""


def test_a_repository_that_says_nothing_has_not_opted_in() -> None:
    assert parse_config("").ci.mode is CiMode.OFF


def test_the_narrowest_word_holds() -> None:
    ceiling = Ceiling(ci_repair=CiMode.OFFER, scopes={"acme/x": Wishes(ci_repair=CiMode.OFF)})

    assert ceiling.ci_repair_of("acme/x") is CiMode.OFF
    assert narrowest(ceiling.ci_repair_of("acme/y"), CiMode.AUTO) is CiMode.OFFER


def test_every_setting() -> None:
    settings = parse_config(FILE).ci

    names = ("test (3.11)", "lint", "test-nightly", "deploy")
    assert [name for name in names if settings.repairs(name)] == ["test (3.11)", "lint"]
    assert [name for name in ("main", "release/2", "topic") if settings.repairs_branch(name)] == [
        "main",
        "release/2",
    ]
    assert not settings.rerun
    assert settings.quiet == timedelta(minutes=2)
    limits = settings.limits
    assert (limits.attempts, limits.money, limits.seconds) == (2, 1.5, 1200.0)


def test_a_job_may_be_named_with_its_workflow() -> None:
    """As GitHub shows it, with or without spaces; a job's own name counts as before."""
    ci = parse_config(
        'ci: {checks: {include: ["CI / *", "Lint/ruff", docs], exclude: ["*/ slow*", "C*t"]}}'
    ).ci
    jobs = [("CI", "test"), ("CI", "call / deep"), ("CI", "slow one"), ("Lint", "ruff"), ("Lint", "mypy")]

    assert [job for workflow, job in jobs if ci.repairs(job, workflow=workflow)] == [
        "test",
        "call / deep",
        "ruff",
    ]
    assert [ci.repairs("", workflow=name) for name in ("CI", "Lint")] == [True, False]
    assert [ci.repairs(name) for name in ("docs", "test", "ruff")] == [True, False, False]


def test_a_check_is_not_set_aside_before_its_workflow_is_known() -> None:
    """A webhook of a check run does not name it."""
    by_workflow = parse_config('ci: {checks: {include: ["CI / test"], exclude: [deploy]}}').ci
    by_name = parse_config("ci: {checks: {include: [test]}}").ci

    assert [by_workflow.may_repair(name) for name in ("test", "lint", "deploy")] == [True, True, False]
    assert [by_name.may_repair(name) for name in ("test", "lint")] == [True, False]


def test_where_test_reports_are_looked_for() -> None:
    """YAML reads the words on and off as something else."""
    words = ("", "  reports: off\n", "  reports: on\n", "  reports: []\n", '  reports: ["*.xml"]\n')

    read = [parse_config(f"ci:\n  mode: offer\n{each}").ci.reports for each in words]

    assert read == [NAMES, (), NAMES, (), ("*.xml",)]
    with pytest.raises(ConfigRefused, match=r"ci\.reports"):
        parse_config("ci: {reports: junit}")


def test_the_settings_in_the_manual_can_be_used_as_they_stand() -> None:
    page = (Path(__file__).parents[3] / "docs" / "ci-repair.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]

    settings = parse_config(example).ci

    assert settings.mode is CiMode.AUTO
    assert settings.repairs("test 3.12")
    assert not settings.repairs("test nightly")
    assert not settings.repairs("docs")
    assert settings.repairs("build", workflow="CI")
    assert not settings.repairs("upload", workflow="Release")
    assert settings.repairs_branch("release/2")
    assert (settings.limits.attempts, settings.limits.money, settings.limits.seconds) == (3, 5.0, 2700.0)
    assert settings.quiet == timedelta(minutes=1)
    assert settings.reports == ("*junit*",)
