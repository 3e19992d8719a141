"""What of a result may go out: every file in exactly one heap."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.broker import (
    LARGEST_FILE,
    MOST_FILES,
    Judgement,
    Refused,
    approval_hash,
    is_protected,
    judge,
)
from handlers.events import ProposedChange
from sandbox.base import PROTECTED_PATHS
from tests.handlers.people import FIX, WORKFLOW


def change(path: str, *, size: int = 10, problem: str | None = None) -> ProposedChange:
    return ProposedChange(path, "update", "100644", size, problem)


def test_sound_files_are_delivered_protected_ones_held_and_strange_ones_refused() -> None:
    link = change("out", problem="the link leads outside the checkout")

    assert judge([WORKFLOW, link, FIX], PROTECTED_PATHS) == Judgement(
        deliver=("calc/median.py",),
        held=(".github/workflows/ci.yml",),
        refused=(Refused("out", "the link leads outside the checkout"),),
    )


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".github/Workflows/CI.yml",
        ".github/actions/x/action.yml",
        ".github/CODEOWNERS",
        "CODEOWNERS",
        "codeowners",
        "AGENTS.md",
        "deep/down/AGENTS.md",
        "deep/agents.MD",
        "deep/CLAUDE.md",
        ".mcp.json",
        ".github/darner.yml",
        ".gitmodules",
        ".claude/settings.json",
        "web/.cursor/rules/style.mdc",
        ".github/workflow\u017f/ci.yml",
    ],
)
def test_protected_paths_are_held_in_any_case_and_instruction_files_anywhere(path: str) -> None:
    assert judge([change(path)], PROTECTED_PATHS).held == (path,)


@pytest.mark.parametrize(
    ("replaced", "with_it"),
    [
        (".github", ".github/workflows/ci.yml"),
        ("docs", "docs/CODEOWNERS"),
        ("deploy", "deploy/keys.yml"),
        ("web", "web/AGENTS.md"),
    ],
)
def test_a_file_or_link_in_the_place_of_a_directory_does_not_take_protected_files_away(
    replaced: str, with_it: str
) -> None:
    link = ProposedChange(replaced, "add", "120000", 4, None)
    gone = ProposedChange(with_it, "delete", "000000", 0, None)

    judgement = judge([link, gone, FIX], (*PROTECTED_PATHS, "deploy/keys.yml"))

    assert judgement == Judgement(deliver=(FIX.path,), held=(replaced, with_it), refused=())


def test_a_file_does_not_take_the_place_of_files_that_stay() -> None:
    gone = ProposedChange("old/odd\\name", "delete", "000000", 0, None)

    judgement = judge([ProposedChange("old", "add", "100644", 4, None), gone], PROTECTED_PATHS)

    assert judgement.deliver == ()
    assert [one.path for one in judgement.refused] == ["old", "old/odd\\name"]


@pytest.mark.parametrize("name", ["invoice\u202efdp.exe", "read\u200bme.md", "a\U000e0041b"])
def test_a_new_name_with_unseen_characters_is_refused(name: str) -> None:
    judgement = judge([ProposedChange(name, "add", "100644", 4, None)], PROTECTED_PATHS)

    assert judgement.refused == (Refused(name, "the name has characters that nobody sees"),)


@pytest.mark.parametrize(
    "path", ["github/workflows/x", ".github/workflows.md", "docs/agents.md.txt", "src/a.py"]
)
def test_names_that_only_resemble_protected_ones_are_free(path: str) -> None:
    assert not is_protected(path, PROTECTED_PATHS)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "plain path"),
        ("../x", "plain path"),
        ("a/../../x", "plain path"),
        ("a//x", "plain path"),
        ("./x", "plain path"),
        ("a/\nx", "shown safely"),
        ("a\\x", "shown safely"),
        (".git/config", "Git's own"),
        ("sub/.GIT/hooks/pre-commit", "Git's own"),
        (".git./x", "Git's own"),
        (".git::$INDEX_ALLOCATION/x", "Git's own"),
        ("GIT~1/x", "Git's own"),
    ],
)
def test_some_paths_are_never_delivered(path: str, why: str) -> None:
    judgement = judge([change(path)], PROTECTED_PATHS)

    assert (judgement.deliver, judgement.held) == ((), ())
    assert why in judgement.refused[0].why


def test_a_file_that_is_too_large_is_refused_and_the_rest_goes() -> None:
    judgement = judge([change("big", size=LARGEST_FILE + 1), FIX], PROTECTED_PATHS)

    assert judgement.deliver == (FIX.path,)
    assert judgement.refused == (Refused("big", "it is larger than 5 MiB"),)


def test_too_many_files_are_refused_together() -> None:
    judgement = judge([change(f"f{number}") for number in range(MOST_FILES + 1)], PROTECTED_PATHS)

    assert judgement.deliver == ()
    assert len(judgement.refused) == MOST_FILES + 1


def test_a_delivered_file_is_not_reported_as_held_when_the_rules_change_later() -> None:
    judgement = judge([FIX], [*PROTECTED_PATHS, "calc"])

    assert judgement.with_delivered([FIX.path]) == Judgement((FIX.path,), (), ())


@given(
    st.lists(
        st.builds(
            replace,
            st.sampled_from([FIX, WORKFLOW]),
            path=st.text(st.sampled_from("a/.\\\nAgits~1:"), min_size=1, max_size=12),
            size=st.integers(0, LARGEST_FILE * 2),
        ),
        max_size=6,
        unique_by=lambda one: one.path,
    )
)
def test_every_change_is_judged_exactly_once(changes: list[ProposedChange]) -> None:
    judgement = judge(changes, PROTECTED_PATHS)

    heaps = [*judgement.deliver, *judgement.held, *(refused.path for refused in judgement.refused)]
    assert sorted(heaps) == sorted(one.path for one in changes)


def test_an_approval_names_one_diff() -> None:
    assert approval_hash("+a") != approval_hash("+b")
    assert len(approval_hash("+a")) == 12
